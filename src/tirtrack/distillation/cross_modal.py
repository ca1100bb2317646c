"""Cross-modal distillation: the method, from top to bottom.

A tracker's network has two branches: the *reference* branch makes a target model from a patch with
the target at its centre, the *test* branch finds the target in a larger patch. An RGB-TIR pair
gives both patches in both modalities, cut by the same rectangles. A :class:`Direction` says which
modality each branch of the student sees; the teacher is a frozen copy that sees RGB on both
branches. The student's response is compared with a pseudo-box (:func:`cross_supervision`), with
other boxes of the frame (:func:`distractors`), with the teacher's response (:func:`score`,
:func:`boxes`, :func:`filter_`, :func:`filter_search`, :func:`modulation`), or with that of the
teacher on the student's own patches (:func:`anchor`); the weighted sum of these terms is the loss
of a step (:func:`step_loss`).

In order: the loss of a step, the teacher and when it is trusted, the labels, the terms. A network
names what its numbers mean, the kinds of its scores and boxes (``networks/score_kinds``,
``networks/response``), and nothing here asks which they are. The formulas stand one by one in
``networks/losses``; docs/method.md has all equations with their constants. A term that a network
cannot serve raises :class:`~tirtrack.errors.RecipeError`. To try another term, write its function
at the end and name it in :data:`TERMS` and in ``settings.Term``. Nothing here depends on files,
optimisers or recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tirtrack.distillation.batch import Batch
from tirtrack.distillation.settings import Direction, Modality, Teacher, Term
from tirtrack.errors import RecipeError
from tirtrack.networks import losses
from tirtrack.networks.response import Response
from tirtrack.networks.two_branch import TwoBranchNetwork

NEAR_CELLS = 2.0  # probability mass of a density within this distance counts as at the target

# --- The loss of a step --------------------------------------------------------------------------


@dataclass(frozen=True)
class StepLoss:
    """The loss of a step.

    Attributes:
        total: loss that is minimised.
        parts: its parts by name, each before weighting: every term as ``direction/term``, and the
            parts of a term that has some as ``direction/term/part``.
        keys: names of the samples, for messages.
    """

    total: Tensor
    parts: Mapping[str, Tensor]
    keys: Sequence[str]


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
        own = respond(student, batch, direction)
        theirs = teacher_responses(
            teacher, batch, serving, direction=direction, modality=teacher_modality
        )
        for term in serving:
            name, wanted = f"{direction}/{term.name}", theirs.get(term.name)
            found = TERMS[term.name](own, wanted, batch, term)
            if isinstance(found, Mapping):
                parts |= {f"{name}/{part}": value.detach() for part, value in found.items()}
                found = torch.stack([*found.values()]).sum()
            parts[name] = found.detach()
            weighted.append(term.weight * (len(batch) / samples) * found)
    if not weighted:
        raise RecipeError(
            "no term counts in any of the directions",
            "terms",
            "give cross_supervision, or a direction whose test branch sees TIR",
        )
    keys = [key for _, batch in groups for key in batch.keys]
    return StepLoss(torch.stack(weighted).sum(), parts, keys)


def respond(network: TwoBranchNetwork, batch: Batch, direction: Direction) -> Response:
    """The network's response; the direction says which modality each branch sees."""
    reference = batch.reference.view(direction.reference).seen_by(network)
    target = network.reference_from(reference, batch.reference.boxes_patch)
    test = batch.test.view(direction.test).seen_by(network)
    proposals = batch.test.proposals
    boxes_patch = None if proposals is None else proposals.boxes_patch
    return replace(network.respond_from(target, test, boxes_patch), proposals=proposals)


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


def needs_teacher(term: Term) -> bool:
    """Whether the term compares the student with a teacher."""
    return term.name in _MATCHES_REFERENCE | _MATCHES_TEST | {_ANCHOR}


# --- The teacher, and when it is trusted ---------------------------------------------------------


@torch.no_grad()  # the teacher is a constant of the loss: no gradient ever reaches it
def teacher_response(
    teacher: TwoBranchNetwork, batch: Batch, modality: Modality = Modality.RGB
) -> Response:
    """The frozen teacher's response: one modality on both branches, crops without augmentation."""
    return respond(teacher, batch.for_teacher, Direction(f"{modality}_to_{modality}"))


def teacher_responses(
    teacher: TwoBranchNetwork | None,
    batch: Batch,
    terms: Sequence[Term],
    *,
    direction: Direction,
    modality: Modality,
) -> dict[str, Response]:
    """The frozen teacher's response by the name of the term that compares with it: on the patches
    of its own modality, for the anchor on those that the student sees.
    """
    names = {term.name for term in terms if needs_teacher(term)}
    if teacher is None or not names:
        return {}
    found: dict[str, Response] = {}
    if names - {_ANCHOR}:
        found = dict.fromkeys(names, teacher_response(teacher, batch, modality))
    if _ANCHOR in names:
        with torch.no_grad():
            found[_ANCHOR] = respond(teacher, batch, direction)
    return found


@dataclass(frozen=True)
class SelfCheck:
    """A response against the pseudo-box; each ``[S]``.

    Attributes:
        distance_cells: Chebyshev distance of the best cell from the box's centre; 0 without scores.
        overlap: IoU with the pseudo-box of the box that is answered.
        probability: confidence in the target there, by the kind of the scores; 1 without scores.
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


def self_check(given: Response, boxes_patch: Tensor) -> SelfCheck:
    """Check whether a network finds the pseudo-box, in the first of M test images.

    Args:
        given: response of the network, of the teacher above all.
        boxes_patch: ``[M,S,4]`` xywh pseudo-boxes, test patch pixels.
    """
    found = given.box_kind.best(given)
    box = boxes_patch[0].to(found.dtype)
    overlap = losses.overlap(found, box)
    kind = given.score_kind
    if kind is None:
        return SelfCheck(torch.zeros_like(overlap), overlap, torch.ones_like(overlap))
    scores = given.scores[-1][0]  # [S,n,n]
    centre_xy = box[:, :2] + box[:, 2:] / 2
    cells_xy = kind.centres(scores.shape[-1], device=scores.device).flatten(1).T  # [n*n,2]
    away = (cells_xy - centre_xy[:, None]).abs().amax(dim=2) / kind.stride  # [S,n*n]
    scores = scores.flatten(1)
    best = scores.argmax(dim=1, keepdim=True)
    confidence = kind.confidence(scores, away <= NEAR_CELLS)
    return SelfCheck(away.gather(1, best)[:, 0], overlap, confidence)


# --- The labels ----------------------------------------------------------------------------------


def label_loss(student: Response, boxes_patch: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Classification and box part of the loss against boxes, each times its published weight.

    The boxes may be pseudo-boxes (:func:`cross_supervision`) or annotations (``supervised``).

    Args:
        student: response of the student.
        boxes_patch: ``[M,S,4]`` xywh boxes of the target, test patch pixels.
        present: ``[S]`` bool; whether the test patch shows the target.
    """
    label, classification = None, boxes_patch.new_zeros(())
    if student.score_kind is not None:
        label = student.score_kind.label(boxes_patch, present, student.scores[-1])
        classification = student.score_kind.loss(student.scores, label)
    return classification, student.box_kind.loss(student, label, boxes_patch, present)


# --- The terms: (student, teacher, batch, settings) -> loss, or its parts by name ----------------


def cross_supervision(
    student: Response, teacher: Response | None, batch: Batch, _: Term
) -> dict[str, Tensor]:
    """Hard labels: the student must find the pseudo-box. In crossed directions this is the
    published loss. The teacher is not used.
    """
    classification, box = label_loss(student, batch.test.boxes_patch, batch.present)
    return {"classification": classification, "box": box}


def distractors(
    student: Response, teacher: Response | None, batch: Batch, settings: Term
) -> Tensor:
    """Other boxes of the same frame are background (``ScoreKind.reject``). The teacher is not used.

    They are among the background of :func:`cross_supervision` too, where a few cells of an object
    weigh no more than as many of an empty ground.
    """
    if (kind := student.score_kind) is None:
        raise not_served(settings, "no scores")
    label = kind.label(batch.test.boxes_patch, batch.present, student.scores[-1])
    others_patch = batch.test.others_patch
    if others_patch is None:
        others_patch = batch.test.boxes_patch.new_full((len(batch), 1, 4), torch.nan)
    return kind.reject(student.scores, label, others_patch)


def score(student: Response, teacher: Response | None, batch: Batch, settings: Term) -> Tensor:
    """Match the student's score maps to the teacher's, on trusted samples."""
    kind, wanted = student.score_kind, needed(teacher, settings)
    if kind is None:
        raise not_served(settings, "no scores")
    label = kind.label(batch.test.boxes_patch, batch.present, student.scores[-1])
    return kind.match(student.scores, wanted.scores, label, batch.trusted, settings.temperature)


def boxes(student: Response, teacher: Response | None, batch: Batch, settings: Term) -> Tensor:
    """Match the student's boxes to the teacher's, on trusted samples: dense boxes (``boxes``), or
    the energies of the same proposals (``energy``).
    """
    kind, wanted = student.box_kind, needed(teacher, settings)
    if settings.name != kind.term:
        raise not_served(settings, kind.says)
    return kind.match(student, wanted, batch.trusted, settings.form)


def filter_(student: Response, teacher: Response | None, batch: Batch, settings: Term) -> Tensor:
    """Match the student's filters to the teacher's: relative squared distance, mean over iterates
    and over samples that the teacher accepted. A Siamese filter has no gradient while the backbone
    is frozen.
    """
    filters = needed(teacher, settings).target.filters
    if not filters:
        raise not_served(settings, "no filter")
    return losses.relative_distance(student.target.filters, filters, batch.accepted)


def filter_search(
    student: Response, teacher: Response | None, batch: Batch, settings: Term
) -> Tensor:
    """:func:`filter_` for the features of the test patches."""
    features = needed(teacher, settings).features
    return losses.relative_distance(student.features, features, batch.accepted)


def modulation(student: Response, teacher: Response | None, batch: Batch, settings: Term) -> Tensor:
    """Match the direction of the student's modulation to the teacher's: 1 - cosine, mean over
    vectors and over samples that the teacher accepted.
    """
    wanted = needed(teacher, settings).target.modulation
    if not wanted:
        raise not_served(settings, "no modulation")
    pairs = zip(student.target.modulation, wanted, strict=True)
    return torch.stack(
        [losses.masked_mean(losses.cosine_distance(s, t), batch.accepted) for s, t in pairs]
    ).mean()


def anchor(student: Response, teacher: Response | None, batch: Batch, settings: Term) -> Tensor:
    """Stay near the teacher's scores and boxes on the same patches, in every sample: where the
    target is absent or the teacher does not find the pseudo-box, too.
    """
    wanted, every = needed(teacher, settings), torch.ones_like(batch.present)
    of_boxes = student.box_kind.match(student, wanted, every, settings.form)
    if (kind := student.score_kind) is None:
        return of_boxes
    label = kind.label(batch.test.boxes_patch, batch.present, student.scores[-1])
    return of_boxes + kind.match(student.scores, wanted.scores, label, every, settings.temperature)


TermFunction = Callable[[Response, Response | None, Batch, Term], Tensor | Mapping[str, Tensor]]
"""A term gives its loss, or the named parts whose sum is its loss; the log shows both."""

TERMS: Mapping[str, TermFunction] = {
    "cross_supervision": cross_supervision,
    "distractors": distractors,
    "score": score,
    "boxes": boxes,
    "energy": boxes,
    "filter": filter_,
    "filter_search": filter_search,
    "modulation": modulation,
    "anchor": anchor,
}
_ANCHOR = "anchor"
_MATCHES_REFERENCE = frozenset({"filter", "modulation"})
_MATCHES_TEST = frozenset({"score", "boxes", "energy", "filter_search"})


def needed(teacher: Response | None, term: Term) -> Response:
    """The teacher's response, which the term requires."""
    if teacher is None:
        raise ValueError(f"the term {term.name} compares with a teacher, got none")
    return teacher


def not_served(term: Term, what: str) -> RecipeError:
    """The error for a term without a formula for ``what`` the network gives."""
    return RecipeError(
        f'term "{term.name}" has no formula for this network, which has {what}',
        "terms",
        "choose another term or another network",
    )
