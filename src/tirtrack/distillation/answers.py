"""The answer of a network to a batch, and the parts of it that a term can ask for.

A term that needs another kind of scores or boxes than the network gives raises
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
        target: target model that the reference branch made.
        response: response of the test branch with this target model.
        test_features: backbone features of the test patches, list of ``[M,S,C,H,W]``.
        centres: ``[2,n,n]`` float64 (x, y) of the cells of the score map, test patch pixels.
        stride: patch pixels per cell.
        test_side: side of the test patches, pixels.
        sigma_cells: sigma of the Gaussian labels, cells; ``None`` if labels are not Gaussian.
    """

    target: TargetModel
    response: Response
    test_features: list[Tensor]
    centres: Tensor
    stride: int
    test_side: int
    sigma_cells: float | None = None


def answer(network: TwoBranchNetwork, batch: Batch, direction: Direction) -> Answer:
    """The network's answer; the direction says which modality each branch sees."""
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
    """The frozen teacher's answer: one modality on both branches, crops without augmentation."""
    return answer(teacher, batch.for_teacher, Direction(f"{modality}_to_{modality}"))


# --- parts of an answer, for terms ---------------------------------------------------------------


def needed(teacher: Answer | None, term: str) -> Answer:
    """The teacher's answer, which the term requires."""
    if teacher is None:
        raise ValueError(f"the term {term} compares with a teacher, got none")
    return teacher


def not_served(term: str, what: str) -> RecipeError:
    """The error for a term without a formula for ``what`` the network gives."""
    return RecipeError(
        f'term "{term}" has no formula for this network, which has {what}',
        "terms",
        "choose another term or another network",
    )


def margins_of(given: Answer, term: str) -> Tensor:
    """Margins ``[M,S,n,n]``: logit(target) - logit(background)."""
    if given.response.score_kind is not ScoreKind.MARGIN:
        raise not_served(term, f"scores of kind {given.response.score_kind}")
    (margins,) = given.response.scores
    return margins


def dense_of(given: Answer, term: str) -> Tensor:
    """Dense boxes ``[M,S,n,n,4]`` xywh, test patch pixels."""
    if not isinstance(given.response.boxes, DenseBoxes):
        raise not_served(term, "no box at every cell but rates proposals")
    return given.response.boxes.boxes_patch.movedim(2, -1)


def rated_by(given: Answer, test: Branch, term: str) -> tuple[Energies, DrawnProposals]:
    """Energies ``[M,S,P]``, and the proposals that were rated."""
    if not isinstance(given.response.boxes, Energies):
        raise not_served(term, "a box at every cell and rates no proposals")
    if test.proposals is None:
        raise ValueError(f"the term {term} needs the proposals that were rated, got none")
    return given.response.boxes, test.proposals


def sigma_of(given: Answer) -> float:
    """Sigma of the Gaussian label of the score map, cells."""
    if given.sigma_cells is None:
        raise ValueError("a label of hinge or density scores needs a sigma, got None")
    return given.sigma_cells


def per_cell(samples: Tensor, like: Tensor) -> Tensor:
    """``[S]`` bool expanded to ``[M,S,n,n]``."""
    return samples[None, :, None, None].expand_as(like)


def per_image(samples: Tensor, like: Tensor) -> Tensor:
    """``[S]`` bool expanded to ``[M,S]``."""
    return samples[None].expand(like.shape[:2])
