"""What a network answers to a batch, and what it means for boxes: one object per kind of boxes.

A network names its kind: :class:`DenseBoxes`, :class:`IouEnergies` or :class:`LogDensityEnergies`.
A kind knows its loss against boxes, its match against a teacher and the box that it answers; nobody
else asks which it is. The kinds of scores are in ``score_kinds``, the formulas in ``losses``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tirtrack.networks import losses
from tirtrack.networks.score_kinds import ScoreKind

BoxLoss = Literal["kl", "ml", "mse"]


@dataclass(frozen=True)
class TargetModel:
    """All that is kept of the target.

    Attributes:
        filters: list of ``[S,C,k,k]``; one per optimiser iterate (DiMP), a single one (Siamese),
            none (ATOM).
        modulation: list of ``[S,C,1,1]``; empty for the Siamese family.
    """

    filters: list[Tensor]
    modulation: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class DrawnProposals:
    """Boxes for a box estimator to rate, drawn around the box of each sample.

    Attributes:
        boxes_patch: ``[M,S,P,4]`` float32 xywh, test patch pixels.
        drawn: ``[M,S,P]`` density with which each was drawn; NaN if drawn by overlap.
        wanted: ``[M,S,P]`` density that each should have; NaN if drawn by overlap.
        loss: loss of their energies.
    """

    boxes_patch: Tensor
    drawn: Tensor
    wanted: Tensor
    loss: BoxLoss

    def to(self, device: torch.device | None) -> DrawnProposals:
        """A copy on another device."""
        return DrawnProposals(
            self.boxes_patch.to(device), self.drawn.to(device), self.wanted.to(device), self.loss
        )


@dataclass(frozen=True)
class Response:
    """Outputs of both branches for a batch.

    Attributes:
        target: target model that the reference branch made.
        features: backbone features of the test patches, list of ``[M,S,C,H,W]``.
        scores: list of ``[M,S,n,n]``, one per filter of the target model; empty without scores.
        boxes: ``[M,S,4,n,n]`` xywh in test patch pixels, or energies ``[M,S,P]`` of the proposals;
            ``None`` if a network that rates proposals was given none.
        score_kind: kind of the scores; ``None`` if the network has none.
        box_kind: kind of the boxes.
        proposals: proposals that were rated, as training draws them; else ``None``.
    """

    target: TargetModel
    features: list[Tensor]
    scores: list[Tensor]
    boxes: Tensor | None
    score_kind: ScoreKind | None
    box_kind: BoxKind
    proposals: DrawnProposals | None = None


class BoxKind(ABC):
    """Meaning of what a network says of boxes.

    Attributes:
        name: name of the kind, for messages.
        says: what a network of this kind says of boxes, for messages.
        term: term that matches the boxes of a teacher.
        rates_proposals: whether it needs proposals, whose energies it gives.
        needs_densities: whether proposals must come with the density of their draw.
    """

    name: ClassVar[str]
    says: ClassVar[str]
    term: ClassVar[str]
    rates_proposals: ClassVar[bool]
    needs_densities: ClassVar[bool] = False

    @abstractmethod
    def loss(
        self, given: Response, label: Tensor | None, boxes_patch: Tensor, present: Tensor
    ) -> Tensor:
        """Loss against boxes, with its published weight.

        Args:
            given: response of the student.
            label: label of its scores; ``None`` if it has none.
            boxes_patch: ``[M,S,4]`` xywh boxes of the target, test patch pixels.
            present: ``[S]`` bool; whether the test patch shows the target.
        """

    @abstractmethod
    def match(self, student: Response, teacher: Response, trusted: Tensor, form: str) -> Tensor:
        """Distance of the student's boxes from the teacher's.

        Args:
            student: response of the student.
            teacher: response of the teacher.
            trusted: ``[S]`` bool; samples that count.
            form: ``iou`` or ``smooth_l1``, for dense boxes.
        """

    @abstractmethod
    def best(self, given: Response) -> Tensor:
        """The box that the network answers in the first of M test images: ``[S,4]`` xywh, test
        patch pixels.
        """


@dataclass(frozen=True)
class DenseBoxes(BoxKind):
    """A box at every cell of the score map (Siamese networks, joint encoders)."""

    name: ClassVar[str] = "dense"
    says: ClassVar[str] = "a box at every cell and rates no proposals"
    term: ClassVar[str] = "boxes"
    rates_proposals: ClassVar[bool] = False

    def loss(
        self, given: Response, label: Tensor | None, boxes_patch: Tensor, present: Tensor
    ) -> Tensor:
        """Mean of 1 - IoU over positive cells."""
        kind, dense = _dense(given)
        if label is None:
            raise ValueError("dense boxes are learnt at positive cells, got no label")
        overlap = losses.overlap(dense, boxes_patch[:, :, None, None].to(dense.dtype))
        return losses.masked_mean(1 - overlap, kind.positive(label))

    def match(self, student: Response, teacher: Response, trusted: Tensor, form: str) -> Tensor:
        """1 - IoU, or smooth L1 of the distances to the four sides in cells, mean over the cells
        that the teacher is sure of.
        """
        (_, own), (kind, wanted) = _dense(student), _dense(teacher)
        scores = teacher.scores[-1]
        sure = kind.sure(scores) & losses.per_cell(trusted, scores)
        if form == "smooth_l1":
            centres = kind.centres(scores.shape[-1], device=scores.device)
            sides, goal = (losses.ltrb(d, centres) / kind.stride for d in (own, wanted))
            errors = F.smooth_l1_loss(sides, goal, reduction="none", beta=1.0).mean(-1)
            return losses.masked_mean(errors, sure)
        return losses.masked_mean(1 - losses.overlap(own, wanted), sure)

    def best(self, given: Response) -> Tensor:
        """Boxes ``[S,4]`` at the best cell."""
        _, dense = _dense(given)
        return _highest(dense[0].flatten(1, 2), given.scores[-1][0].flatten(1))


@dataclass(frozen=True)
class _Energies(BoxKind):
    """A value for every proposal, its energy.

    Attributes:
        weight: published weight of the loss beside that of the scores.
    """

    weight: float = 1.0

    says: ClassVar[str] = "no box at every cell but rates proposals"
    term: ClassVar[str] = "energy"
    rates_proposals: ClassVar[bool] = True

    def loss(
        self, given: Response, label: Tensor | None, boxes_patch: Tensor, present: Tensor
    ) -> Tensor:
        """Errors of the energies by the loss of the proposals, mean over samples."""
        values, rated = _rated(given)
        drawn, wanted = rated.drawn.to(values.dtype), rated.wanted.to(values.dtype)
        if rated.loss == "kl":
            errors = losses.proposal_divergence(values, drawn, wanted)
        elif rated.loss == "ml":
            errors = losses.box_likelihood(values, drawn)
        else:
            errors = losses.iou_errors(values, rated.boxes_patch, boxes_patch)
        return self.weight * losses.masked_mean(errors, losses.per_image(present, errors))

    def match(self, student: Response, teacher: Response, trusted: Tensor, form: str) -> Tensor:
        """Distance of the energies of the same proposals, mean over samples."""
        (own, rated), (wanted, _) = map(_rated, (student, teacher))
        errors = self._distances(own, wanted, rated)
        return losses.masked_mean(errors, losses.per_image(trusted, errors))

    def best(self, given: Response) -> Tensor:
        """The best-rated proposals ``[S,4]``."""
        values, rated = _rated(given)
        return _highest(rated.boxes_patch[0], values[0])

    @abstractmethod
    def _distances(self, own: Tensor, wanted: Tensor, rated: DrawnProposals) -> Tensor:
        """Distances ``[M,S]`` of energies ``[M,S,P]`` from those of the teacher."""


class IouEnergies(_Energies):
    """Energies are ``2 IoU - 1`` (DiMP, ATOM)."""

    name = "iou"

    def _distances(self, own: Tensor, wanted: Tensor, rated: DrawnProposals) -> Tensor:
        """Mean squared difference of the energies."""
        return (own - wanted).square().mean(dim=-1)


class LogDensityEnergies(_Energies):
    """Energies are the log density of the box, up to a constant (PrDiMP, SuperDiMP)."""

    name = "log_density"
    needs_densities = True

    def _distances(self, own: Tensor, wanted: Tensor, rated: DrawnProposals) -> Tensor:
        """``KL(teacher || student)`` of distributions over the proposals, each the softmax of
        energy minus log density of the draw.
        """
        first = 1 if rated.loss == "ml" else 0  # the box itself was not drawn
        log_drawn = rated.drawn.to(own.dtype)[..., first:].log()
        return losses.divergence(wanted[..., first:] - log_drawn, own[..., first:] - log_drawn)


def _dense(given: Response) -> tuple[ScoreKind, Tensor]:
    """The kind of the scores, whose cells the boxes belong to, and the boxes ``[M,S,n,n,4]``."""
    if given.score_kind is None or given.boxes is None:
        raise ValueError("dense boxes are those of the cells of a score map, got none")
    return given.score_kind, given.boxes.movedim(2, -1)


def _rated(given: Response) -> tuple[Tensor, DrawnProposals]:
    """Energies ``[M,S,P]``, and the proposals that were rated."""
    if given.boxes is None or given.proposals is None:
        raise ValueError("energies are those of proposals, got none")
    return given.boxes, given.proposals


def _highest(boxes: Tensor, scores: Tensor) -> Tensor:
    """The boxes ``[S,4]`` with the highest score, of ``[S,n,4]`` and scores ``[S,n]``."""
    best = scores.argmax(dim=1)
    return boxes[torch.arange(len(best), device=best.device), best]
