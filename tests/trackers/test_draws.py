"""Streams of random numbers: sequential as published, or of a frame's own."""

import pytest
import torch

from tirtrack.trackers.draws import Draws


def numbers(draws):
    parts = draws.uniforms((2, 3)), draws.kept(2, 5, 0.4), draws.normals((4,))
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("make", [lambda: Draws(3), lambda: Draws(3, "one")])
def test_a_saved_stream_goes_on_where_it_stood(make):
    draws, other = make(), make()
    draws.begin_frame(1)
    numbers(draws)
    other.load_state_dict(draws.state_dict())
    assert torch.equal(numbers(draws), numbers(other))


def test_a_sequential_stream_begins_anew_with_the_first_frame_only():
    draws = Draws(3)
    draws.begin_frame(0)
    first = numbers(draws)
    draws.begin_frame(1)
    assert not torch.equal(numbers(draws), first)
    draws.begin_frame(0)
    assert torch.equal(numbers(draws), first)


def test_nothing_touches_the_global_generator():
    before = torch.get_rng_state()
    numbers(Draws(3, "one"))
    assert torch.equal(torch.get_rng_state(), before)
