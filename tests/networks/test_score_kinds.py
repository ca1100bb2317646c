"""Kinds of scores: the label and losses of a centre head by hand, and what tells kinds apart."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tirtrack.networks import losses
from tirtrack.networks.score_kinds import Density, Focal, Hinge, Margin

CELLS, STRIDE = 16, 16
FOCAL = Focal(STRIDE, CELLS * STRIDE)
HERE = torch.tensor([True])
LN2 = math.log(2)


def label_of(*box: float, present: Tensor = HERE) -> Tensor:
    """Label ``[n,n]`` of one box xywh, patch pixels."""
    like = torch.zeros(1, 1, CELLS, CELLS).double()
    return FOCAL.label(torch.tensor(box).view(1, 1, 4), present, like)[0, 0]


# --- the heat map --------------------------------------------------------------------------------


def test_the_heat_map_is_1_at_the_cell_that_holds_the_centre_and_0_beyond_its_radius():
    label = label_of(38, 70, 146, 82)  # centre (111, 111), cell 6; 9.1 x 5.1 cells as 10 x 6, r = 2
    assert label[6, 6] == 1.0
    hand = {(6, 7): -0.72, (5, 5): -1.44, (6, 4): -2.88, (8, 8): -5.76}  # sigma = 5 / 6
    for (row, column), exponent in hand.items():
        assert label[row, column].item() == pytest.approx(math.exp(exponent))
    assert (label > 0).sum() == 25
    assert label[6, 9] == 0.0


@pytest.mark.parametrize(
    ("centre", "cell"), [((111.9, 48.0), (3, 6)), ((112.0, 47.9), (2, 7))], ids=["before", "at"]
)
def test_a_centre_on_a_cells_side_belongs_to_the_cell_after_it(centre, cell):
    label = label_of(centre[0] - 8, centre[1] - 8, 16, 16)
    assert divmod(int(label.argmax()), CELLS) == cell
    assert (label > 0).sum() == 1  # a small target has r = 0


def test_x_and_width_are_columns():
    label = label_of(20, 100, 16, 16)
    assert divmod(int(label.argmax()), CELLS) == (6, 1)


@given(st.integers(1, 60), st.integers(1, 60))
def test_the_radius_is_the_smallest_of_the_three_of_the_published_code(width, height):
    coefficients = [
        (1.0, height + width, width * height * (1 - 0.7) / (1 + 0.7)),
        (4.0, 2.0 * (height + width), (1 - 0.7) * width * height),
        (4 * 0.7, -2 * 0.7 * (height + width), (0.7 - 1) * width * height),
    ]
    radius = min((b + math.sqrt(b * b - 4 * a * c)) / 2 for a, b, c in coefficients)
    label = losses.heat_map(
        torch.tensor([30.5, 30.5]).double(), torch.tensor([width, height]).double(), 61
    )
    reach = int((label[30] > 0).sum() - 1) // 2
    assert reach in {int(radius - 1e-9), int(radius + 1e-9)}


def test_no_target_is_a_label_of_zeros():
    assert (label_of(100, 100, 40, 40, present=torch.tensor([False])) == 0).all()


# --- focal loss ----------------------------------------------------------------------------------


def test_the_focal_loss_of_undecided_scores_is_that_of_a_calculation_by_hand():
    label = torch.zeros(1, 1, 3, 3).double()
    label[0, 0, 1, 1], label[0, 0, 1, 2] = 1.0, 0.5
    loss = FOCAL.loss([torch.zeros(1, 1, 3, 3).double()], label)
    assert loss.item() == pytest.approx(0.25 * LN2 * (1 + 0.5**4 + 7))


def test_the_focal_loss_of_each_cell_is_penalty_reduced():
    logits = torch.tensor([2.0, 2.0, 2.0, -1.0]).double()
    label = torch.tensor([1.0, 0.9, 0.0, 0.0]).double()
    p, q = (1 / (1 + math.exp(-x)) for x in (2.0, -1.0))
    expected = [
        -((1 - p) ** 2) * math.log(p),
        -((1 - 0.9) ** 4) * p**2 * math.log(1 - p),
        -(p**2) * math.log(1 - p),
        -(q**2) * math.log(1 - q),
    ]
    assert losses.focal_errors(logits, label).tolist() == pytest.approx(expected)


def test_the_focal_loss_is_divided_by_the_number_of_targets_and_not_by_zero():
    label = torch.zeros(1, 2, 3, 3).double()
    zeros = torch.zeros_like(label)
    assert FOCAL.loss([zeros], label).item() == pytest.approx(18 * 0.25 * LN2)
    label[0, :, 0, 0] = 1.0
    assert FOCAL.loss([zeros], label).item() == pytest.approx(18 * 0.25 * LN2 / 2)


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_the_focal_loss_and_its_slope_are_finite_for_any_score(logit):
    logits = torch.full((1, 1, 2, 2), logit, requires_grad=True)
    label = torch.tensor([[1.0, 0.5], [0.0, 0.0]])[None, None]
    loss = FOCAL.loss([logits], label)
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(logits.grad.isfinite().all())


# --- match, confidence, box ----------------------------------------------------------------------


def test_a_centre_head_is_matched_as_margins_are():
    generator = torch.Generator().manual_seed(0)
    own, wanted = (torch.randn(1, 2, 5, 5, generator=generator).double() for _ in range(2))
    trusted, label = torch.tensor([True, False]), torch.zeros(1, 2, 5, 5)
    focal = FOCAL.match([own], [wanted], label, trusted, 2.0)
    assert focal == Margin(STRIDE, 255).match([own], [wanted], label, trusted, 2.0)
    t, s = wanted[0, 0] / 2, own[0, 0] / 2
    p, q = t.sigmoid(), s.sigmoid()
    divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    sure = wanted[0, 0] > 0
    expected = 4 * 0.5 * (divergence[sure].mean() + divergence[~sure].mean())
    assert focal.item() == pytest.approx(expected.item())
    assert FOCAL.match([own], [own], label, trusted, 1.0).item() == 0.0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Margin(16, 255), 1 / (1 + math.exp(-2))),
        (FOCAL, 1 / (1 + math.exp(-2))),
        (Hinge(16, 256, 0.9), 2.0),
        (Density(16, 256, 0.9), math.exp(2) / (math.exp(2) + math.exp(1) + 2)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_confidence_is_a_probability_by_kind(kind, expected):
    scores, near = torch.tensor([[0.0, 2.0, 1.0, 0.0]]), torch.tensor([[False, True, False, False]])
    assert kind.confidence(scores, near).tolist() == pytest.approx([expected])


def test_a_trackers_peak_is_the_highest_value_and_of_a_density_the_highest_probability():
    scores = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    probability = math.exp(2) / (math.exp(2) + math.exp(1) + 2)
    assert Density(16, 256, 0.9).peak(scores, 5.0) == pytest.approx(probability)
    assert Hinge(16, 256, 0.9).peak(scores, 5.0) == 5.0


def test_kinds_are_equal_where_their_numbers_mean_the_same():
    assert Margin(16, 255) == Margin(16, 255) != Focal(16, 255)
    assert Hinge(16, 288, 0.9) != Hinge(16, 288, 0.8)
    assert Hinge(16, 288, 0.9) != Density(16, 288, 0.9)


@pytest.mark.parametrize(
    ("kind", "first"),
    [(Margin(16, 255), 127.5 - 7 * 16), (FOCAL, 128 - 7 * 16)],
    ids=["odd", "mid"],
)
def test_the_middle_cell_of_an_odd_map_is_at_the_middle_of_the_patch(kind, first):
    x, y = kind.centres(15)
    assert x[0, 0] == y[0, 0] == first
    assert x[3, 7] == y[7, 3] == kind.patch_side / 2
    assert kind.centres(16)[0, 0, 0] == (127.5 - 128 if isinstance(kind, Margin) else 8)
