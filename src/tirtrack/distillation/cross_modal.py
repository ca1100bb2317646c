"""Cross-modal distillation: the method, from top to bottom.

A tracker's network has two branches: the *reference* branch makes a target model from a patch with
the target at its middle, the *test* branch seeks the target in a larger patch. An RGB-TIR pair
gives both patches in both modalities, cut by the same rectangles. A :class:`Direction` says which
modality each branch of the student sees; the teacher is a frozen copy that sees RGB on both
branches. What the student answers is compared with a pseudo-box (:func:`cross_supervision`) or with
what the teacher answers (:func:`score`, :func:`boxes`, :func:`filter_`, :func:`filter_search`); the
sum of these terms, weighted, is the loss of a step (:func:`step_loss`).

Formulas and their numbers: docs/method.md. Terms look at the *kind* of a response (margins
and dense boxes here) and never at the family of the network; a kind that a term has no formula for
is a :class:`~tirtrack.errors.RecipeError`. Read from top to bottom; nothing here knows of files,
optimisers or recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tirtrack.boxes import xywh_to_xyxy
from tirtrack.distillation.pair_batch import PairBatch
from tirtrack.distillation.settings import Direction, Modality, Teacher, Term
from tirtrack.errors import RecipeError
from tirtrack.networks.two_branch import (
    DenseBoxes,
    Response,
    ScoreKind,
    TargetModel,
    TwoBranchNetwork,
    cell_centres,
)

# --- 1. What a network answers -------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """Both branches' outputs for a batch.

    Attributes:
        target: what the reference branch made of the reference patches.
        response: what the test branch answers with it.
        test_features: backbone features of the test patches, list of ``[M,S,C,H,W]``.
        centres: ``[2,n,n]`` float64 (x, y) of the cells of the score map, test patch pixels.
        stride: patch pixels a cell.
    """

    target: TargetModel
    response: Response
    test_features: list[Tensor]
    centres: Tensor
    stride: int


def answer(network: TwoBranchNetwork, batch: PairBatch, direction: Direction) -> Answer:
    """The network's answer when its branches see the modalities that the direction names."""
    return answer_from(
        network,
        batch.reference.view(direction.reference).seen_by(network),
        batch.reference.boxes_patch,
        batch.test.view(direction.test).seen_by(network),
        proposals=batch.test.proposals,
    )


def answer_from(
    network: TwoBranchNetwork,
    reference: list[Tensor],
    boxes_patch: Tensor,
    test: list[Tensor],
    *,
    proposals: Tensor | None = None,
) -> Answer:
    """The network's answer from backbone features of both branches.

    Args:
        network: student or teacher.
        reference: list of ``[N,S,C,H,W]``.
        boxes_patch: ``[N,S,4]`` xywh, reference patch pixels.
        test: list of ``[M,S,C,H,W]``.
        proposals: ``[M,S,P,4]`` xywh, test patch pixels; ``None`` for dense boxes.
    """
    target = network.reference_from(reference, boxes_patch)
    response = network.respond_from(target, test, proposals)
    cells = response.scores[-1].shape[-1] if response.scores else 1
    centres = cell_centres(cells, network.stride, network.test_side, device=test[0].device)
    return Answer(target, response, test, centres.double(), network.stride)


@torch.no_grad()  # the teacher is a constant of the loss: no gradient ever reaches it
def teacher_answer(
    teacher: TwoBranchNetwork, batch: PairBatch, modality: Modality = Modality.RGB
) -> Answer:
    """The frozen teacher's answer, one modality on both branches, crops without augmentation."""
    return answer(teacher, batch.for_teacher, Direction(f"{modality}_to_{modality}"))


# --- 2. Labels from a pseudo-box -----------------------------------------------------------------

POSITIVE, IGNORED, NEGATIVE = 1, -1, 0
INNER, OUTER = 0.25, 0.5  # semi-axes of the two ellipses, parts of the box's sides
MIN_SEMI_AXIS = 8.0  # patch pixels: half a cell, so that small targets keep a positive


def cell_labels(boxes_patch: Tensor, present: Tensor, centres: Tensor) -> Tensor:
    """Which cells shall say target, which background.

    With E(q) = ((gx-tx)/max(q tw, 8))^2 + ((gy-ty)/max(q th, 8))^2 a cell is positive where
    E(1/4) <= 1 and always where it is the nearest one, negative where E(1/2) > 1, else ignored.

    Args:
        boxes_patch: ``[M,S,4]`` xywh.
        present: ``[S]`` bool; without the target every cell is negative (5.2).
        centres: ``[2,n,n]`` float64 (x, y).

    Returns:
        ``[M,S,n,n]`` int8: 1, 0, or -1 for ignored.
    """
    size_wh = boxes_patch[..., 2:].double()
    offset_xy = centres - (boxes_patch[..., :2].double() + size_wh / 2)[..., None, None]

    def ellipse(part: float) -> Tensor:
        semi_axes = (part * size_wh).clamp(min=MIN_SEMI_AXIS)[..., None, None]
        return (offset_xy / semi_axes).square().sum(dim=-3)  # [M,S,n,n]

    nearest = offset_xy.square().sum(dim=-3).flatten(-2).argmin(dim=-1, keepdim=True)
    labels = torch.full_like(ellipse(INNER), IGNORED, dtype=torch.int8)
    labels[ellipse(OUTER) > 1] = NEGATIVE
    labels[ellipse(INNER) <= 1] = POSITIVE
    labels.flatten(-2).scatter_(-1, nearest, POSITIVE)
    labels[:, ~present] = NEGATIVE
    return labels


# --- 3. Terms: (student, teacher, batch, settings) -> loss ---------------------------------------


def cross_supervision(student: Answer, teacher: Answer | None, batch: PairBatch, _: Term) -> Tensor:
    """The student must find the pseudo-box; the published loss when crossed.

    Half the mean of -log p over positive cells, half the mean of -log(1 - p) over negative ones,
    plus the mean of 1 - IoU over positive cells. The teacher is not looked at.
    """
    classification, box = label_loss(student, batch.test.boxes_patch, batch.present)
    return classification + box


def label_loss(student: Answer, boxes_patch: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Classification and box part of :func:`cross_supervision`, for any boxes.

    Args:
        student: an answer with margins and dense boxes.
        boxes_patch: ``[M,S,4]`` where the target is, test patch pixels.
        present: ``[S]`` bool; whether it is there at all.
    """
    margins, dense = _margins(student, "cross_supervision"), _dense(student, "cross_supervision")
    labels = cell_labels(boxes_patch, present, student.centres)
    positive, negative = labels == POSITIVE, labels == NEGATIVE
    classification = _halves(F.softplus(-margins), positive, F.softplus(margins), negative)
    overlap = _overlap(dense, boxes_patch[:, :, None, None].to(dense.dtype))
    return classification, _mean(1 - overlap, positive)


def score(student: Answer, teacher: Answer | None, batch: PairBatch, settings: Term) -> Tensor:
    """The student's score map must be the teacher's: KL divergence in every cell.

    Half the mean over the cells that the teacher takes for target, half the mean over all others,
    both over trusted samples alone, times temperature squared.
    """
    margins = _margins(student, "score") / settings.temperature
    wanted_raw = _margins(_needed(teacher, "score"), "score")
    wanted = wanted_raw / settings.temperature
    p = wanted.sigmoid()
    divergence = p * (F.logsigmoid(wanted) - F.logsigmoid(margins)) + (1 - p) * (
        F.logsigmoid(-wanted) - F.logsigmoid(-margins)
    )
    trusted = _per_cell(batch.trusted, wanted)
    confident = wanted_raw > 0  # p > 0.5, whatever the temperature
    halves = _halves(divergence, confident & trusted, divergence, ~confident & trusted)
    return settings.temperature**2 * halves


def boxes(student: Answer, teacher: Answer | None, batch: PairBatch, settings: Term) -> Tensor:
    """The student's boxes must be the teacher's where the teacher is confident."""
    teacher = _needed(teacher, "boxes")
    own, wanted = _dense(student, "boxes"), _dense(teacher, "boxes")
    margins = _margins(teacher, "boxes")
    confident = (margins > 0) & _per_cell(batch.trusted, margins)
    if settings.form == "smooth_l1":
        sides, goal = (_distances(d, student.centres) / student.stride for d in (own, wanted))
        return _mean(F.smooth_l1_loss(sides, goal, reduction="none", beta=1.0).mean(-1), confident)
    return _mean(1 - _overlap(own, wanted), confident)


def filter_(student: Answer, teacher: Answer | None, batch: PairBatch, _: Term) -> Tensor:
    """The student's target model must be the teacher's: relative squared distance of the filters,
    mean over samples and iterates. No gradient while the backbone is frozen.
    """
    filters = _needed(teacher, "filter").target.filters
    return _relative_distance(student.target.filters, filters, "filter")


def filter_search(student: Answer, teacher: Answer | None, batch: PairBatch, _: Term) -> Tensor:
    """:func:`filter_` for the features of the test patches."""
    features = _needed(teacher, "filter_search").test_features
    return _relative_distance(student.test_features, features, "filter_search")


TermFunction = Callable[[Answer, Answer | None, PairBatch, Term], Tensor]

TERMS: Mapping[str, TermFunction] = {
    "cross_supervision": cross_supervision,
    "score": score,
    "boxes": boxes,
    "filter": filter_,
    "filter_search": filter_search,
}
_MATCHES_REFERENCE = frozenset({"filter"})
_MATCHES_TEST = frozenset({"score", "boxes", "filter_search"})


def needs_teacher(term: Term) -> bool:
    """Whether the term compares with a teacher."""
    return term.name in _MATCHES_REFERENCE | _MATCHES_TEST


def serves(term: Term, direction: Direction) -> bool:
    """Whether a term counts in a direction.

    In crossed directions a term that matches the teacher counts only where the branch that it
    looks at sees TIR: on RGB there is nothing to learn from an RGB teacher.
    """
    if term.directions is not None and direction not in term.directions:
        return False
    if not direction.is_crossed:
        return True
    if term.name in _MATCHES_REFERENCE:
        return direction.reference is Modality.TIR
    return term.name not in _MATCHES_TEST or direction.test is Modality.TIR


# --- 4. When the teacher is trusted --------------------------------------------------------------


@dataclass(frozen=True)
class SelfCheck:
    """The teacher's best cell against the pseudo-box; each ``[S]``.

    Attributes:
        distance_cells: Chebyshev distance of the cell from the box's centre.
        overlap: IoU of the box at that cell with the pseudo-box.
        probability: of the target there.
    """

    distance_cells: Tensor
    overlap: Tensor
    probability: Tensor

    def passed(self, limits: Teacher, *, min_iou: float | None = None) -> Tensor:
        """``[S]`` bool: near, alike and sure."""
        return (
            (self.distance_cells <= limits.max_distance_cells)
            & (self.overlap > (limits.min_iou if min_iou is None else min_iou))
            & (self.probability > limits.min_probability)
        )


def self_check(teacher: Answer, batch: PairBatch) -> SelfCheck:
    """Does the teacher itself find the pseudo-box? Of M test images the first."""
    return check_against(teacher, batch.for_teacher.test.boxes_patch[0])


def check_against(given: Answer, box: Tensor) -> SelfCheck:
    """The best cell of any answer against boxes ``[S,4]`` xywh, test patch pixels."""
    margins, dense = _margins(given, "self_check")[0], _dense(given, "self_check")[0]
    box = box.to(dense.dtype)
    best = margins.flatten(1).argmax(dim=1)  # [S]
    rows = torch.arange(len(best), device=best.device)
    cell_xy = given.centres.flatten(1).T[best]  # [S,2]
    away_xy = (cell_xy - (box[:, :2] + box[:, 2:] / 2)).abs()
    return SelfCheck(
        distance_cells=away_xy.amax(dim=1) / given.stride,
        overlap=_overlap(dense.flatten(1, 2)[rows, best], box),
        probability=margins.flatten(1)[rows, best].sigmoid(),
    )


# --- 5. The loss of a step -----------------------------------------------------------------------


@dataclass(frozen=True)
class StepLoss:
    """The loss of a step, and each part by name (``direction/term``, before its weights)."""

    total: Tensor
    parts: dict[str, Tensor]


def step_loss(
    student: TwoBranchNetwork,
    teacher: TwoBranchNetwork | None,
    groups: Sequence[tuple[Direction, PairBatch]],
    terms: Sequence[Term],
    *,
    teacher_modality: Modality = Modality.RGB,
) -> StepLoss:
    """Sum over directions and terms, each direction weighted by its part of the samples.

    Args:
        student: the network that is trained.
        teacher: the frozen one; may be ``None`` where no term needs it.
        groups: the samples of the step, by direction.
        terms: what the recipe asks for.
        teacher_modality: what the teacher sees, on both branches.

    Raises:
        RecipeError: a term has no formula for the kind of this network's responses.
    """
    samples = sum(len(batch) for _, batch in groups)
    parts: dict[str, Tensor] = {}
    weighted = []
    for direction, batch in groups:
        serving = [term for term in terms if serves(term, direction)]
        own = answer(student, batch, direction)
        wanted = None
        if teacher is not None and any(needs_teacher(term) for term in serving):
            wanted = teacher_answer(teacher, batch, teacher_modality)
        for term in serving:
            part = _function_of(term)(own, wanted, batch, term)
            parts[f"{direction}/{term.name}"] = part.detach()
            weighted.append(term.weight * (len(batch) / samples) * part)
    if not weighted:
        raise RecipeError(
            "no term counts in any of the directions",
            "terms",
            "give cross_supervision, or a direction whose test branch sees TIR",
        )
    return StepLoss(torch.stack(weighted).sum(), parts)


# --- Parts of the formulas -----------------------------------------------------------------------


def _function_of(term: Term) -> TermFunction:
    if term.name not in TERMS:
        raise RecipeError(
            f'term "{term.name}" has no formula for this network (margins and dense boxes)',
            "terms",
            f"use {', '.join(TERMS)}",
        )
    return TERMS[term.name]


def _needed(teacher: Answer | None, term: str) -> Answer:
    if teacher is None:
        raise ValueError(f"the term {term} compares with a teacher, got none")
    return teacher


def _margins(given: Answer, term: str) -> Tensor:
    """``[M,S,n,n]`` logit(target) - logit(background)."""
    if given.response.score_kind is not ScoreKind.MARGIN:
        raise RecipeError(
            f'term "{term}" has no formula for scores of kind {given.response.score_kind}',
            "terms",
            "choose another term or another network",
        )
    (margins,) = given.response.scores
    return margins


def _dense(given: Answer, term: str) -> Tensor:
    """``[M,S,n,n,4]`` xywh, test patch pixels."""
    if not isinstance(given.response.boxes, DenseBoxes):
        raise RecipeError(
            f'term "{term}" needs a box at every cell, and this network rates proposals',
            "terms",
            "choose another term or another network",
        )
    return given.response.boxes.boxes_patch.movedim(2, -1)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean over the cells of a mask; 0, with a gradient of 0, where there are none."""
    return values[where].sum() / where.sum().clamp(min=1)


def _halves(a: Tensor, where_a: Tensor, b: Tensor, where_b: Tensor) -> Tensor:
    return 0.5 * _mean(a, where_a) + 0.5 * _mean(b, where_b)


def _per_cell(samples: Tensor, like: Tensor) -> Tensor:
    """``[S]`` bool as ``[M,S,n,n]``."""
    return samples[None, :, None, None].expand_as(like)


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """IoU of ``[...,4]`` xywh, all sides from the corners, so that it is exactly 1 for equal boxes
    (``x + w - x`` is not always ``w``).
    """
    a_xyxy, b_xyxy = xywh_to_xyxy(a), xywh_to_xyxy(b)
    left_top = torch.maximum(a_xyxy[..., :2], b_xyxy[..., :2])
    right_bottom = torch.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    inter = _area((right_bottom - left_top).clamp(min=0))
    union = _area(a_xyxy[..., 2:] - a_xyxy[..., :2]) + _area(b_xyxy[..., 2:] - b_xyxy[..., :2])
    return inter / (union - inter).clamp(min=1e-12)


def _area(size_wh: Tensor) -> Tensor:
    return size_wh[..., 0] * size_wh[..., 1]


def _distances(dense: Tensor, centres: Tensor) -> Tensor:
    """Left, top, right, bottom of ``[M,S,n,n,4]`` boxes, from their cells."""
    corners = xywh_to_xyxy(dense)
    cells = centres.movedim(0, -1).to(dense.dtype)  # [n,n,2]
    return torch.cat([cells - corners[..., :2], corners[..., 2:] - cells], dim=-1)


def _relative_distance(own: list[Tensor], wanted: list[Tensor], term: str) -> Tensor:
    """Mean over list and samples of ||own - wanted||^2 / ||wanted||^2; zero targets are left
    out.
    """
    if not wanted:
        raise RecipeError(f'term "{term}" needs a filter, and this network has none', "terms")
    ratios = []
    for ours, theirs in zip(own, wanted, strict=True):
        axes = tuple(range(theirs.ndim - 3, theirs.ndim))  # C, H, W
        energy = theirs.square().sum(dim=axes)
        ratio = (ours - theirs).square().sum(dim=axes) / energy.clamp(min=1e-8)
        ratios.append(_mean(ratio, energy > 0))
    return torch.stack(ratios).mean()
