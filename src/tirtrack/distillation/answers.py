"""What a network answers to a batch, and what a term may ask of an answer.

A term that an answer cannot serve, because the network gives another kind of scores or boxes, is a
:class:`~tirtrack.errors.RecipeError`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tirtrack.distillation.batch import Batch, Branch, DrawnProposals
from tirtrack.distillation.labels import symmetric_centres
from tirtrack.distillation.settings import Direction, Modality
from tirtrack.errors import RecipeError
from tirtrack.networks.two_branch import (
    DenseBoxes,
    Energies,
    Response,
    ScoreKind,
    TargetModel,
    TwoBranchNetwork,
    cell_centres,
)


@dataclass(frozen=True)
class Answer:
    """Both branches' outputs for a batch.

    Attributes:
        target: what the reference branch made of the reference patches.
        response: what the test branch answers with it.
        test_features: backbone features of the test patches, list of ``[M,S,C,H,W]``.
        centres: ``[2,n,n]`` float64 (x, y) of the cells of the score map, test patch pixels.
        stride: patch pixels a cell.
        test_side: of the test patches.
        sigma_cells: of the Gaussian that the score map shall be; ``None`` where it shall not.
    """

    target: TargetModel
    response: Response
    test_features: list[Tensor]
    centres: Tensor
    stride: int
    test_side: int
    sigma_cells: float | None = None


def answer(network: TwoBranchNetwork, batch: Batch, direction: Direction) -> Answer:
    """The network's answer when its branches see the modalities that the direction names."""
    reference = batch.reference.view(direction.reference).seen_by(network)
    target = network.reference_from(reference, batch.reference.boxes_patch)
    test = batch.test.view(direction.test).seen_by(network)
    proposals = batch.test.proposals
    rated = None if proposals is None else proposals.boxes_patch
    response = network.respond_from(target, test, rated)
    cells = response.scores[-1].shape[-1] if response.scores else 1
    centres_of = cell_centres if response.score_kind is ScoreKind.MARGIN else symmetric_centres
    centres = centres_of(cells, network.stride, network.test_side, device=test[0].device)
    return Answer(
        target,
        response,
        test,
        centres.double(),
        network.stride,
        network.test_side,
        network.label_sigma_cells,
    )


@torch.no_grad()  # the teacher is a constant of the loss: no gradient ever reaches it
def teacher_answer(
    teacher: TwoBranchNetwork, batch: Batch, modality: Modality = Modality.RGB
) -> Answer:
    """The frozen teacher's answer, one modality on both branches, crops without augmentation."""
    return answer(teacher, batch.for_teacher, Direction(f"{modality}_to_{modality}"))


# --- what a term asks of an answer ---------------------------------------------------------------


def needed(teacher: Answer | None, term: str) -> Answer:
    """The teacher's answer, which the term cannot do without."""
    if teacher is None:
        raise ValueError(f"the term {term} compares with a teacher, got none")
    return teacher


def not_served(term: str, what: str) -> RecipeError:
    """The error for a term and what the network has in place of what the term needs."""
    return RecipeError(
        f'term "{term}" has no formula for this network, which has {what}',
        "terms",
        "choose another term or another network",
    )


def margins_of(given: Answer, term: str) -> Tensor:
    """``[M,S,n,n]`` logit(target) - logit(background)."""
    if given.response.score_kind is not ScoreKind.MARGIN:
        raise not_served(term, f"scores of kind {given.response.score_kind}")
    (margins,) = given.response.scores
    return margins


def dense_of(given: Answer, term: str) -> Tensor:
    """``[M,S,n,n,4]`` xywh, test patch pixels."""
    if not isinstance(given.response.boxes, DenseBoxes):
        raise not_served(term, "no box at every cell but rates proposals")
    return given.response.boxes.boxes_patch.movedim(2, -1)


def rated_by(given: Answer, test: Branch, term: str) -> tuple[Energies, DrawnProposals]:
    """Energies ``[M,S,P]`` and the proposals that they rate."""
    if not isinstance(given.response.boxes, Energies):
        raise not_served(term, "a box at every cell and rates no proposals")
    if test.proposals is None:
        raise ValueError(f"the term {term} needs the proposals that were rated, got none")
    return given.response.boxes, test.proposals


def sigma_of(given: Answer) -> float:
    """Of the Gaussian that its score map shall be, cells."""
    if given.sigma_cells is None:
        raise ValueError("a label of hinge or density scores needs a sigma, got None")
    return given.sigma_cells


def per_cell(samples: Tensor, like: Tensor) -> Tensor:
    """``[S]`` bool as ``[M,S,n,n]``."""
    return samples[None, :, None, None].expand_as(like)


def per_image(samples: Tensor, like: Tensor) -> Tensor:
    """``[S]`` bool as ``[M,S]``."""
    return samples[None].expand(like.shape[:2])
