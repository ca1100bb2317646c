"""The transforms of the first frame: golden pictures, order, random shifts."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.trackers.first_frame_samples import (
    Blur,
    Flip,
    Identity,
    Rotate,
    Scale,
    Shifted,
    expanded_sides,
    first_frame_transforms,
    with_dropout,
)
from tirtrack.trackers.online_settings import FirstFrameAugmentation

SIDE = np.array([288.0, 288.0])


def named(name, arguments):
    """A published transform as ours, and the shift that it brings."""
    if name == "Translation":
        return Identity(), np.array(arguments[0])
    made = {
        "Identity": lambda: Identity(),
        "FlipHorizontal": lambda: Flip(),
        "FlipVertical": lambda: Flip(-2),
        "Scale": lambda: Scale(arguments[0]),
        "Rotate": lambda: Rotate(arguments[0]),
        "Blur": lambda: Blur(tuple(np.broadcast_to(arguments[0], 2).tolist())),
    }[name]()
    return made, np.zeros(2, int)


@pytest.mark.parametrize("case", range(17))
def test_transforms_equal_the_golden_ones(shared, golden_runs, piece_picture, case):
    numbers, arrays = golden_runs.pieces(shared, "boxes")
    one = numbers["augmentation"]["cases"][case]
    patch = torch.from_numpy(np.moveaxis(piece_picture(40, 40), -1, 0).copy())
    transform, own_shift = named(one["name"], one["args"])
    shift = own_shift + np.array(one["shift"] or [0, 0])
    sides = None if one["output_sz"] is None else tuple(one["output_sz"])
    found = Shifted(transform, (int(shift[0]), int(shift[1])))(patch, sides)
    assert_allclose(found, arrays[f"aug_{case:02d}"], atol=1e-9)


def drawing(values):
    rest = iter(values)
    return lambda shape: torch.tensor([next(rest) for _ in range(shape[0])])


EVERYTHING = FirstFrameAugmentation(
    shift=((3, -2),),
    relative_shift=((0.5, -0.25),),
    flip=True,
    blur=((2.0, 2.0),),
    scale=(0.8,),
    rotate=(30.0,),
)


def test_order_and_shifts_are_the_published_ones():
    found = first_frame_transforms(
        EVERYTHING,
        SIDE,
        np.array([1.5, -1.5]),
        random_shift_factor=0.5,
        uniforms=drawing([0.0, 1.0, 0.5, 0.5, 0.25, 0.75, 1.0, 0.0]),
    )
    kinds = [type(one.transform) for one in found]
    assert kinds == [Identity, Identity, Identity, Flip, Blur, Scale, Rotate]
    shifts = [(1, -1), (4, -3), (73, -37), (-70, 70), (1, -1), (-34, 34), (73, -73)]
    assert [one.shift_yx for one in found] == shifts
    assert [one.keeps_shape for one in found] == [True] * 5 + [False] * 2


def test_without_random_shifts_nothing_is_drawn():
    found = first_frame_transforms(
        EVERYTHING, SIDE, np.zeros(2), random_shift_factor=0.0, uniforms=drawing([])
    )
    assert [one.shift_yx for one in found[3:]] == [(0, 0)] * 4


@pytest.mark.parametrize(
    ("side", "factor", "expanded"),
    [(288, 2.0, 576), (288, 1.4, 404), (287, 1.4, 401), (288, None, 288), (288, 1.0, 288)],
)
def test_the_expanded_patch_keeps_the_parity_of_the_sample(side, factor, expanded):
    assert_array_equal(expanded_sides(np.array([side, side]), factor), [expanded, expanded])


def test_dropout_takes_whole_channels_and_keeps_the_mean():
    features = torch.ones(4, 2, 2)
    found = with_dropout(features, torch.tensor([[1.0, 0.0, 1.0, 1.0]]), 0.2)
    assert_allclose(found[0, :, 0, 0], [1.25, 0, 1.25, 1.25])
