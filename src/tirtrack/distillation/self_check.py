"""When the teacher is trusted: does it find the pseudo-box itself?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tirtrack.distillation import losses
from tirtrack.distillation.answers import Answer, dense_of, rated_by
from tirtrack.distillation.batch import Batch, Branch
from tirtrack.distillation.settings import Teacher
from tirtrack.networks.two_branch import DenseBoxes, ScoreKind

NEAR_CELLS = 2.0  # probability mass of a density within this distance counts as at the target


@dataclass(frozen=True)
class SelfCheck:
    """The teacher's answer against the pseudo-box; each ``[S]``.

    Attributes:
        distance_cells: Chebyshev distance of the best cell from the box's centre; 0 without scores.
        overlap: IoU with the pseudo-box of the box at that cell, or of the best-rated proposal.
        probability: probability of the target there: logistic of a margin, a hinge score itself,
            or the mass of a density near the box's centre; 1 without scores.
    """

    distance_cells: Tensor
    overlap: Tensor
    probability: Tensor

    def passed(self, limits: Teacher, *, min_iou: float | None = None) -> Tensor:
        """``[S]`` bool: distance, overlap and probability are all within the limits."""
        return (
            (self.distance_cells <= limits.max_distance_cells)
            & (self.overlap > (limits.min_iou if min_iou is None else min_iou))
            & (self.probability > limits.min_probability)
        )


def self_check(teacher: Answer, batch: Batch) -> SelfCheck:
    """Check whether the teacher finds the pseudo-box, in the first of M test images."""
    return check_against(teacher, batch.for_teacher.test)


def check_against(given: Answer, test: Branch) -> SelfCheck:
    """Check any answer against the boxes of the test branch, in the first of M test images."""
    found = best_boxes(given, test)
    box = test.boxes_patch[0].to(found.dtype)
    overlap = losses.overlap(found, box)
    if not given.response.scores:
        return SelfCheck(torch.zeros_like(overlap), overlap, torch.ones_like(overlap))
    scores = given.response.scores[-1][0].flatten(1)  # [S,n*n]
    centre_xy = box[:, :2] + box[:, 2:] / 2
    cells_xy = given.centres.flatten(1).T  # [n*n,2]
    away = (cells_xy - centre_xy[:, None]).abs().amax(dim=2) / given.stride  # [S,n*n]
    best = scores.argmax(dim=1, keepdim=True)
    peak = scores.gather(1, best)[:, 0]
    if given.response.score_kind is ScoreKind.MARGIN:
        peak = peak.sigmoid()
    elif given.response.score_kind is ScoreKind.DENSITY:
        peak = (scores.softmax(dim=1) * (away <= NEAR_CELLS)).sum(dim=1)
    return SelfCheck(away.gather(1, best)[:, 0], overlap, peak)


def best_boxes(given: Answer, test: Branch) -> Tensor:
    """Boxes ``[S,4]`` xywh, test patch pixels: at the best cell, or the best-rated proposal, in the
    first of M test images.
    """
    if isinstance(given.response.boxes, DenseBoxes):
        best = given.response.scores[-1][0].flatten(1).argmax(dim=1)
        rows = torch.arange(len(best), device=best.device)
        return dense_of(given, "self_check")[0].flatten(1, 2)[rows, best]
    energies, proposals = rated_by(given, test, "self_check")
    best = energies.values[0].argmax(dim=1)
    return proposals.boxes_patch[0][torch.arange(len(best), device=best.device), best]
