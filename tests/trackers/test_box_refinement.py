"""Ascent of both families on the golden score, proposals, and which boxes count."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tirtrack.trackers.box_refinement import Ascent, AscentRule, ascend, mean_of_best, proposals


def golden_score(target, factors):
    """-0.5 * sum of a_k ((b_k - t_k) / (t_w, t_h, t_w, t_h)_k)^2."""
    target, factors = (torch.tensor(v, dtype=torch.float64) for v in (target, factors))
    unit = target[2:].repeat(2)
    return with_slopes(lambda boxes: -0.5 * (factors * ((boxes - target) / unit) ** 2).sum(dim=1))


def with_slopes(score):
    """A score of boxes with its gradients by automatic differentiation."""

    def scored(boxes):
        with torch.enable_grad():
            boxes = boxes.detach().requires_grad_()
            scores = score(boxes)
            (slopes,) = torch.autograd.grad(scores.sum(), boxes)
        return scores.detach(), slopes

    return scored


@pytest.mark.parametrize("case", range(20))
def test_ascent_equals_the_golden_one(shared, golden_runs, case):
    one = golden_runs.pieces(shared, "boxes")[0]["optimize_boxes"]["cases"][case]
    with torch.no_grad():  # as a tracker calls it
        found = ascend(
            golden_score(one["target"], one["a"]),
            torch.tensor(one["init"], dtype=torch.float64),
            AscentRule(
                one["space"],
                golden_runs.as_tuple(one["step"]),
                one["decay"],
                one["iters"],
                undo=one["tracker"] == "atom",
            ),
        )
    assert_allclose(found.boxes, one["boxes"], rtol=1e-9, atol=1e-9)
    assert_allclose(found.scores, one["scores"], rtol=1e-9, atol=1e-9)
    assert found.boxes.grad_fn is None


@given(st.lists(st.floats(0, 0.999), min_size=4, max_size=4), st.floats(2, 300), st.floats(2, 300))
def test_proposals_begin_with_the_box_and_stay_within_the_jitter(draw, width, height):
    box = torch.tensor([10.0, 20.0, width, height], dtype=torch.float64)
    found = proposals(
        box, torch.tensor([draw], dtype=torch.float64), jitter_pos=0.1, jitter_size=0.5
    )
    assert_allclose(found[0], box)
    side = (width * height) ** 0.5
    shift = (found[1, :2] + found[1, 2:] / 2) - (box[:2] + box[2:] / 2)
    assert float(shift.abs().max()) <= 0.05 * side + 1e-9
    assert float(found[1, 2:].min()) >= min(width, height) / 3 - 1e-9


def test_the_mean_is_of_the_best_boxes_that_are_not_too_thin():
    boxes = torch.tensor(
        [[0.0, 0, 10, 10], [2, 2, 10, 10], [50, 50, 10, 10], [9, 9, 100, 1], [4, 4, 10, 10]]
    )
    ascent = Ascent(boxes, torch.tensor([0.9, 0.8, 0.1, 2.0, 0.7]))
    best = mean_of_best(ascent, maximal_aspect_ratio=6.0, count=3)
    assert_allclose(best, [2, 2, 10, 10])


def test_thin_boxes_alone_leave_nothing():
    ascent = Ascent(torch.tensor([[0.0, 0, 70, 10]]), torch.tensor([1.0]))
    assert mean_of_best(ascent, maximal_aspect_ratio=6.0, count=3) is None


def test_step_pairs_move_position_and_size_apart():
    found = ascend(
        lambda boxes: (boxes.sum(dim=1), torch.ones_like(boxes)),
        torch.full((1, 4), 10.0),
        AscentRule("default", (1.0, 0.0), 1.0, 1, undo=False),
    )
    assert np.array_equal(found.boxes[0], [20, 20, 10, 10])
