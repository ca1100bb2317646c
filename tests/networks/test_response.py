"""Kinds of boxes: which cells count, and what tells kinds apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tirtrack.errors import RecipeError
from tirtrack.networks.response import (
    DenseBoxes,
    IouEnergies,
    LogDensityEnergies,
    Response,
    TargetModel,
)
from tirtrack.networks.score_kinds import Density, Focal, Hinge, ScoreKind

HERE = torch.tensor([True])


def dense_response(kind: ScoreKind, scores: Tensor, boxes: Tensor) -> Response:
    return Response(TargetModel([]), [], [scores], boxes, kind, DenseBoxes())


def test_dense_boxes_of_a_centre_head_are_learnt_at_the_cell_that_holds_the_centre():
    focal = Focal(16, 256)
    box = torch.tensor([31.0, 63.0, 160.0, 96.0]).view(1, 1, 4)
    logits = torch.zeros(1, 1, 16, 16)
    boxes = torch.zeros(1, 1, 4, 16, 16)
    boxes[0, 0, :, 6, 6] = torch.tensor([31.0, 63.0, 160.0, 48.0])  # half of the box
    logits[0, 0, 6, 6] = 1.0
    given = dense_response(focal, logits, boxes)
    label = focal.label(box, HERE, logits)
    assert given.box_kind.loss(given, label, box, HERE).item() == pytest.approx(0.5)
    assert given.box_kind.best(given).tolist() == [[31.0, 63.0, 160.0, 48.0]]


@pytest.mark.parametrize("kind", [Hinge(16, 256, 0.9), Density(16, 256, 0.9)])
def test_scores_that_do_not_say_which_boxes_are_believed_have_no_dense_boxes(kind):
    given = dense_response(kind, torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 4, 3, 3))
    with pytest.raises(RecipeError, match=f"no formula for scores of kind {kind.name}"):
        given.box_kind.match(given, given, HERE, "iou")


def test_kinds_of_energies_are_equal_where_their_numbers_mean_the_same():
    assert IouEnergies() == IouEnergies(1.0) != LogDensityEnergies(1.0)
    assert LogDensityEnergies(0.01) != LogDensityEnergies(0.0025)
