"""Cross-modal distillation: the method, from top to bottom.

A tracker's network has two branches: the *reference* branch makes a target model from a patch with
the target at its centre, the *test* branch finds the target in a larger patch. An RGB-TIR pair
gives both patches in both modalities, cut by the same rectangles. A :class:`Direction` says which
modality each branch of the student sees; the teacher is a frozen copy that sees RGB on both
branches. The student's output is compared with a pseudo-box (:func:`cross_supervision`) or with
the teacher's output (:func:`score`, :func:`boxes`, :func:`filter_`, :func:`filter_search`,
:func:`modulation`, :func:`energy`); the weighted sum of these terms is the loss of a step
(:func:`step_loss`).

All equations with their constants: docs/method.md; ``losses`` holds them one by one, ``labels`` the
desired score maps. A term chooses its formula by the *kind* of a response (scores: margin, hinge,
density; boxes: dense, or energies of proposals), never by the family of the network; a kind for
which it has no formula raises :class:`~tirtrack.errors.RecipeError`. Read from top to bottom;
nothing here depends on files, optimisers or recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tirtrack.distillation import losses
from tirtrack.distillation.answers import (
    Answer,
    answer,
    dense_of,
    margins_of,
    needed,
    not_served,
    per_cell,
    per_image,
    rated_by,
    teacher_answer,
)
from tirtrack.distillation.batch import Batch
from tirtrack.distillation.label_loss import gaussian_map, label_loss
from tirtrack.distillation.settings import Direction, Modality, Term
from tirtrack.errors import RecipeError
from tirtrack.networks.two_branch import EnergyKind, ScoreKind, TwoBranchNetwork

# --- Terms: (student, teacher, batch, settings) -> loss ------------------------------------------


def cross_supervision(student: Answer, teacher: Answer | None, batch: Batch, _: Term) -> Tensor:
    """Hard labels: the student must find the pseudo-box. In crossed directions this is the
    published loss. The teacher is not used.
    """
    classification, box = label_loss(student, batch.test, batch.present)
    return classification + box


def score(student: Answer, teacher: Answer | None, batch: Batch, settings: Term) -> Tensor:
    """Match the student's score maps to the teacher's, on trusted samples.

    Margins: ``KL(teacher || student)`` in every cell at temperature tau, times tau^2; cells that
    the teacher scores as target have half of the weight. Hinge: squared difference in cells where
    the label or one of the two scores is above the threshold. Density: ``KL(teacher || student)``.
    """
    teacher = needed(teacher, "score")
    kind = student.response.score_kind
    if kind is ScoreKind.MARGIN:
        return _margin_match(student, teacher, batch, settings.temperature)
    if not student.response.scores:
        raise not_served("score", "scores of kind None")
    pairs = list(zip(student.response.scores, teacher.response.scores, strict=True))
    if kind is ScoreKind.DENSITY:
        maps = [losses.divergence(t.flatten(-2), s.flatten(-2)) for s, t in pairs]
        return torch.stack(
            [losses.masked_mean(one, per_image(batch.trusted, one)) for one in maps]
        ).mean()
    label = gaussian_map(student, batch.test.boxes_patch, batch.present)
    threshold, trusted = losses.HINGE_THRESHOLD, per_cell(batch.trusted, label)
    return torch.stack(
        [
            losses.masked_mean(
                (s - t).square(),
                ((label >= threshold) | (t > threshold) | (s > threshold)) & trusted,
            )
            for s, t in pairs
        ]
    ).mean()


def _margin_match(student: Answer, teacher: Answer, batch: Batch, temperature: float) -> Tensor:
    wanted = margins_of(teacher, "score")
    divergence = losses.binary_divergence(
        wanted / temperature, margins_of(student, "score") / temperature
    )
    trusted = per_cell(batch.trusted, wanted)
    confident = wanted > 0  # p > 0.5, whatever the temperature
    halves = losses.balanced_mean(divergence, confident & trusted, divergence, ~confident & trusted)
    return temperature**2 * halves


def boxes(student: Answer, teacher: Answer | None, batch: Batch, settings: Term) -> Tensor:
    """Match the student's dense boxes to the teacher's in cells where the teacher is confident:
    1 - IoU, or smooth L1 of the distances to the four sides in cells. Only trusted samples count.
    """
    teacher = needed(teacher, "boxes")
    own, wanted = dense_of(student, "boxes"), dense_of(teacher, "boxes")
    margins = margins_of(teacher, "boxes")
    confident = (margins > 0) & per_cell(batch.trusted, margins)
    if settings.form == "smooth_l1":
        sides, goal = (losses.ltrb(d, student.centres) / student.stride for d in (own, wanted))
        errors = F.smooth_l1_loss(sides, goal, reduction="none", beta=1.0).mean(-1)
        return losses.masked_mean(errors, confident)
    return losses.masked_mean(1 - losses.overlap(own, wanted), confident)


def energy(student: Answer, teacher: Answer | None, batch: Batch, _: Term) -> Tensor:
    """Match the student's energies of the same proposals to the teacher's, on trusted samples.

    ``log_density``: ``KL(teacher || student)`` of distributions over the proposals, each the
    softmax of energy minus log density of the draw. ``iou``: mean squared difference of energies.
    """
    own, proposals = rated_by(student, batch.test, "energy")
    wanted, _theirs = rated_by(needed(teacher, "energy"), batch.for_teacher.test, "energy")
    if own.kind is EnergyKind.IOU:
        errors = (own.values - wanted.values).square().mean(dim=-1)
    else:
        first = 1 if proposals.loss == "ml" else 0  # the box itself was not drawn
        log_drawn = proposals.drawn.to(own.values.dtype)[..., first:].log()
        errors = losses.divergence(
            wanted.values[..., first:] - log_drawn, own.values[..., first:] - log_drawn
        )
    return losses.masked_mean(errors, per_image(batch.trusted, errors))


def filter_(student: Answer, teacher: Answer | None, batch: Batch, _: Term) -> Tensor:
    """Match the student's filters to the teacher's: relative squared distance, mean over iterates
    and over samples that the teacher accepted. A Siamese filter has no gradient while the backbone
    is frozen.
    """
    filters = needed(teacher, "filter").target.filters
    if not filters:
        raise not_served("filter", "no filter")
    return losses.relative_distance(student.target.filters, filters, batch.accepted)


def filter_search(student: Answer, teacher: Answer | None, batch: Batch, _: Term) -> Tensor:
    """:func:`filter_` for the features of the test patches."""
    features = needed(teacher, "filter_search").test_features
    return losses.relative_distance(student.test_features, features, batch.accepted)


def modulation(student: Answer, teacher: Answer | None, batch: Batch, _: Term) -> Tensor:
    """Match the direction of the student's modulation to the teacher's: 1 - cosine, mean over
    vectors and over samples that the teacher accepted.
    """
    wanted = needed(teacher, "modulation").target.modulation
    if not wanted:
        raise not_served("modulation", "no modulation")
    pairs = zip(student.target.modulation, wanted, strict=True)
    return torch.stack(
        [losses.masked_mean(losses.cosine_distance(s, t), batch.accepted) for s, t in pairs]
    ).mean()


TermFunction = Callable[[Answer, Answer | None, Batch, Term], Tensor]

TERMS: Mapping[str, TermFunction] = {
    "cross_supervision": cross_supervision,
    "score": score,
    "boxes": boxes,
    "energy": energy,
    "filter": filter_,
    "filter_search": filter_search,
    "modulation": modulation,
}
_MATCHES_REFERENCE = frozenset({"filter", "modulation"})
_MATCHES_TEST = frozenset({"score", "boxes", "energy", "filter_search"})


def needs_teacher(term: Term) -> bool:
    """Whether the term compares the student with a teacher."""
    return term.name in _MATCHES_REFERENCE | _MATCHES_TEST


def serves(term: Term, direction: Direction) -> bool:
    """Whether a term counts in a direction.

    In crossed directions a term that matches the teacher counts only if its branch sees TIR: on
    RGB there is nothing to learn from an RGB teacher.
    """
    if term.directions is not None and direction not in term.directions:
        return False
    if not direction.is_crossed:
        return True
    if term.name in _MATCHES_REFERENCE:
        return direction.reference is Modality.TIR
    return term.name not in _MATCHES_TEST or direction.test is Modality.TIR


# --- The loss of a step --------------------------------------------------------------------------


@dataclass(frozen=True)
class StepLoss:
    """The loss of a step, and its parts by name (``direction/term``), each before weighting."""

    total: Tensor
    parts: dict[str, Tensor]


def step_loss(
    student: TwoBranchNetwork,
    teacher: TwoBranchNetwork | None,
    groups: Sequence[tuple[Direction, Batch]],
    terms: Sequence[Term],
    *,
    teacher_modality: Modality = Modality.RGB,
) -> StepLoss:
    """Weighted sum over directions and terms; a direction's weight is its share of the samples.

    Args:
        student: network that is trained.
        teacher: frozen network; may be ``None`` if no term needs it.
        groups: samples of the step, by direction.
        terms: terms of the recipe.
        teacher_modality: modality that the teacher sees, on both branches.

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
            part = TERMS[term.name](own, wanted, batch, term)
            parts[f"{direction}/{term.name}"] = part.detach()
            weighted.append(term.weight * (len(batch) / samples) * part)
    if not weighted:
        raise RecipeError(
            "no term counts in any of the directions",
            "terms",
            "give cross_supervision, or a direction whose test branch sees TIR",
        )
    return StepLoss(torch.stack(weighted).sum(), parts)
