"""Loss of an answer against a box: a classification part and a box part, by kind of answer.

The box may be a pseudo-box (``cross_modal.cross_supervision``) or an annotation (``supervised``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tirtrack.distillation import losses
from tirtrack.distillation.answers import (
    Answer,
    dense_of,
    margins_of,
    not_served,
    per_cell,
    per_image,
    rated_by,
    sigma_of,
)
from tirtrack.distillation.batch import Branch, DrawnProposals
from tirtrack.distillation.labels import (
    NEGATIVE,
    POSITIVE,
    cell_labels,
    gaussian_label,
    label_density,
)
from tirtrack.networks.two_branch import EnergyKind, ScoreKind


@dataclass(frozen=True)
class Weights:
    """Weights of the iterates' score maps (first, mean of the middle, last) and of the boxes."""

    first: float
    middle: float
    last: float
    box: float


# Published weights (docs/method.md), by the kinds of scores and energies; ATOM has no scores.
WEIGHTS: Mapping[tuple[ScoreKind | None, EnergyKind], Weights] = {
    (ScoreKind.HINGE, EnergyKind.IOU): Weights(100.0, 400.0, 100.0, 1.0),
    (ScoreKind.HINGE, EnergyKind.LOG_DENSITY): Weights(100.0, 400.0, 100.0, 0.01),
    (ScoreKind.DENSITY, EnergyKind.LOG_DENSITY): Weights(0.25, 1.0, 0.25, 0.0025),
    (None, EnergyKind.IOU): Weights(0.0, 0.0, 0.0, 1.0),
    (None, EnergyKind.LOG_DENSITY): Weights(0.0, 0.0, 0.0, 1.0),
}


def label_loss(student: Answer, test: Branch, present: Tensor) -> tuple[Tensor, Tensor]:
    """Classification and box part of :func:`cross_supervision`, each times its published weight.

    Args:
        student: answer of the student.
        test: boxes of the target in the test patches, and the proposals that were rated.
        present: ``[S]`` bool; whether the test patch shows the target.
    """
    if student.response.score_kind is ScoreKind.MARGIN:
        return _dense_label_loss(student, test.boxes_patch, present)
    energies, proposals = rated_by(student, test, "cross_supervision")
    weights = _weights(student.response.score_kind, energies.kind)
    box = losses.masked_mean(
        _box_errors(energies.values, proposals, test.boxes_patch),
        per_image(present, energies.values),
    )
    return _iterates_loss(student, test.boxes_patch, present, weights), weights.box * box


def _dense_label_loss(
    student: Answer, boxes_patch: Tensor, present: Tensor
) -> tuple[Tensor, Tensor]:
    """Classification: half the mean of -log p over positive cells plus half the mean of
    -log(1 - p) over negative cells. Box: mean of 1 - IoU over positive cells.
    """
    margins, dense = (
        margins_of(student, "cross_supervision"),
        dense_of(student, "cross_supervision"),
    )
    labels = cell_labels(boxes_patch, present, student.centres)
    positive, negative = labels == POSITIVE, labels == NEGATIVE
    classification = losses.balanced_mean(
        F.softplus(-margins), positive, F.softplus(margins), negative
    )
    overlap = losses.overlap(dense, boxes_patch[:, :, None, None].to(dense.dtype))
    return classification, losses.masked_mean(1 - overlap, positive)


def _iterates_loss(
    student: Answer, boxes_patch: Tensor, present: Tensor, weights: Weights
) -> Tensor:
    """Weighted errors of all iterates' score maps against a Gaussian (hinge) or a density."""
    if not student.response.scores:
        return boxes_patch.new_zeros(())
    label = gaussian_map(student, boxes_patch, present)
    if student.response.score_kind is ScoreKind.HINGE:
        each = [losses.hinge_errors(scores, label).mean() for scores in student.response.scores]
    else:
        density = label_density(label, sigma_of(student)).to(label.dtype)
        each = [
            losses.grid_cross_entropy(scores, density).mean() for scores in student.response.scores
        ]
    middle = torch.stack(each[1:-1]).mean() if len(each) > 2 else each[0].new_zeros(())
    return weights.first * each[0] + weights.middle * middle + weights.last * each[-1]


def gaussian_map(given: Answer, boxes_patch: Tensor, present: Tensor) -> Tensor:
    """Desired score maps ``[M,S,n,n]``: a Gaussian at the target, zero if there is no target."""
    label = gaussian_label(
        boxes_patch,
        given.centres.shape[-1],
        stride=given.stride,
        patch_side=given.test_side,
        sigma_cells=sigma_of(given),
    )
    return (label * per_cell(present, label)).to(given.response.scores[-1].dtype)


def _box_errors(values: Tensor, proposals: DrawnProposals, boxes_patch: Tensor) -> Tensor:
    """Errors ``[M,S]`` of energies ``[M,S,P]``, by the loss of the proposals."""
    drawn, wanted = proposals.drawn.to(values.dtype), proposals.wanted.to(values.dtype)
    if proposals.loss == "kl":
        return losses.proposal_divergence(values, drawn, wanted)
    if proposals.loss == "ml":
        return losses.box_likelihood(values, drawn)
    goal = 2 * losses.overlap(proposals.boxes_patch, boxes_patch[:, :, None]) - 1
    return (values - goal.to(values.dtype)).square().mean(dim=-1)


def _weights(scores: ScoreKind | None, energies: EnergyKind) -> Weights:
    if (scores, energies) not in WEIGHTS:
        raise not_served("cross_supervision", f"scores of kind {scores}, energies {energies}")
    return WEIGHTS[scores, energies]
