"""What a network answers to a batch, and what its numbers mean.

A network names one kind of scores (:class:`Margin`, :class:`Hinge`, :class:`Density`,
:class:`Focal`; none if it has no score map) and one kind of boxes (:class:`DenseBoxes`,
:class:`IouEnergies`, :class:`LogDensityEnergies`). A kind is a small object that knows its label,
its loss against a label, its match against a teacher, its confidence and its box. Nobody else asks
which kind it is: a new one is a class in this file. The formulas are in ``losses``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tirtrack.errors import RecipeError
from tirtrack.networks import filter_labels, losses

BoxLoss = Literal["kl", "ml", "mse"]
Maps = Sequence[Tensor]  # score maps [M,S,n,n], one per filter


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
    """

    target: TargetModel
    features: list[Tensor]
    scores: list[Tensor]
    boxes: Tensor | None
    score_kind: ScoreKind | None
    box_kind: BoxKind


# --- scores --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoreKind(ABC):
    """Meaning of a network's score maps, and where their cells are.

    Attributes:
        stride: patch pixels per cell.
        patch_side: side of the test patch, pixels.
        name: name of the kind, for messages.
        is_log_density: whether a softmax over the cells makes probabilities of the scores.
        peak_centre: raw peak that is worth a score of one half, for weights whose card has no
            calibration.
        peak_scale: scale of the logistic curve around it.
    """

    stride: int
    patch_side: int

    name: ClassVar[str]
    is_log_density: ClassVar[bool] = False
    peak_centre: ClassVar[float] = 0.25
    peak_scale: ClassVar[float] = 0.08

    def centres(self, cells: int, *, device: torch.device | None = None) -> Tensor:
        """Centres of the cells of a map: ``[2,cells,cells]`` float64, (x, y), patch pixels.

        The centre of the map is the centre of the patch. (The map of a filter of even side has one
        cell more per side than the features.)
        """
        steps = torch.arange(cells, dtype=torch.float64, device=device) - (cells - 1) / 2
        y, x = torch.meshgrid(*[steps * self.stride + self.patch_side / 2] * 2, indexing="ij")
        return torch.stack([x, y])

    @abstractmethod
    def label(self, boxes_patch: Tensor, present: Tensor, like: Tensor) -> Tensor:
        """Desired score map for a box.

        Args:
            boxes_patch: ``[M,S,4]`` xywh boxes of the target, test patch pixels.
            present: ``[S]`` bool; whether the test patch shows the target.
            like: ``[M,S,n,n]`` score map with the wanted size, dtype and device.

        Returns:
            ``[M,S,n,n]``.
        """

    @abstractmethod
    def loss(self, scores: Maps, label: Tensor) -> Tensor:
        """Loss of the score maps of all filters against a label, with its published weight."""

    @abstractmethod
    def match(
        self, own: Maps, wanted: Maps, label: Tensor, trusted: Tensor, temperature: float
    ) -> Tensor:
        """Distance of the student's score maps from the teacher's.

        Args:
            own: the student's score maps.
            wanted: the teacher's score maps.
            label: label of the same samples.
            trusted: ``[S]`` bool; samples that count.
            temperature: temperature of the logits.
        """

    def confidence(self, scores: Tensor, near: Tensor) -> Tensor:
        """Probability ``[S]`` of the target: the logistic of the peak.

        Args:
            scores: score maps, ``[S,n*n]``.
            near: ``[S,n*n]`` bool; cells near the box that the target is expected in.
        """
        return scores.amax(dim=1).sigmoid()

    def sure(self, scores: Tensor) -> Tensor:
        """Cells ``[M,S,n,n]`` bool whose boxes are believed, for dense boxes."""
        raise RecipeError(
            f"dense boxes have no formula for scores of kind {self.name}",
            "terms",
            "choose another term or another network",
        )

    def positive(self, label: Tensor) -> Tensor:
        """Cells ``[M,S,n,n]`` bool whose boxes are learnt, for dense boxes."""
        return self.sure(label)


class Margin(ScoreKind):
    """Scores are logit(target) - logit(background) of every cell (Siamese networks)."""

    name = "margin"

    def centres(self, cells: int, *, device: torch.device | None = None) -> Tensor:
        """Centres of the cells of a map: ``[2,cells,cells]`` float64, (x, y), patch pixels.

        Cell (i, j) is at ``patch_side / 2 + stride * (j - cells // 2)`` in x.
        """
        return cell_centres(cells, self.stride, self.patch_side, device=device).double()

    def label(self, boxes_patch: Tensor, present: Tensor, like: Tensor) -> Tensor:
        """Target (1), background (0) or ignored (-1), int8: :func:`losses.cell_labels`."""
        centres = self.centres(like.shape[-1], device=like.device)
        return losses.cell_labels(boxes_patch, present, centres)

    def loss(self, scores: Maps, label: Tensor) -> Tensor:
        """Half the mean of -log p over positive cells plus half the mean of -log(1 - p) over
        negative cells.
        """
        (margins,) = scores
        return losses.balanced_mean(
            F.softplus(-margins),
            label == losses.POSITIVE,
            F.softplus(margins),
            label == losses.NEGATIVE,
        )

    def match(
        self, own: Maps, wanted: Maps, label: Tensor, trusted: Tensor, temperature: float
    ) -> Tensor:
        """``KL(teacher || student)`` in every cell at a temperature tau, times tau^2; cells that
        the teacher scores as target have half of the weight.
        """
        return _logits_match(own, wanted, trusted, temperature)

    def sure(self, scores: Tensor) -> Tensor:
        """Cells with p > 0.5."""
        return scores > 0

    def positive(self, label: Tensor) -> Tensor:
        """Cells labelled as target."""
        return label == losses.POSITIVE


@dataclass(frozen=True)
class Hinge(ScoreKind):
    """Scores are 1 at the target and at most 0 in the background, for every iterate of the filter
    (DiMP, SuperDiMP).

    Attributes:
        sigma_cells: sigma of the Gaussian label, cells.
    """

    sigma_cells: float

    name: ClassVar[str] = "hinge"

    def label(self, boxes_patch: Tensor, present: Tensor, like: Tensor) -> Tensor:
        """A Gaussian of height 1 at the target, zero if there is no target."""
        return _gaussian(self, boxes_patch, present, like)

    def loss(self, scores: Maps, label: Tensor) -> Tensor:
        """:func:`losses.hinge_errors`, weighted over the iterates."""
        each = [losses.hinge_errors(one, label).mean() for one in scores]
        return losses.over_iterates(each, outer=100.0, inner=400.0)

    def match(
        self, own: Maps, wanted: Maps, label: Tensor, trusted: Tensor, temperature: float
    ) -> Tensor:
        """Squared difference in cells where the label or one of the two scores is above the
        threshold, mean over iterates.
        """
        limit, counts = losses.HINGE_THRESHOLD, losses.per_cell(trusted, label)
        return torch.stack(
            [
                losses.masked_mean(
                    (s - t).square(), ((label >= limit) | (t > limit) | (s > limit)) & counts
                )
                for s, t in zip(own, wanted, strict=True)
            ]
        ).mean()

    def confidence(self, scores: Tensor, near: Tensor) -> Tensor:
        """The peak itself, ``[S]``."""
        return scores.amax(dim=1)


@dataclass(frozen=True)
class Density(ScoreKind):
    """Scores are the log density of the target over the cells, up to a constant, for every iterate
    of the filter (PrDiMP).

    Attributes:
        sigma_cells: sigma of the Gaussian label, cells.
    """

    sigma_cells: float

    name: ClassVar[str] = "density"
    is_log_density: ClassVar[bool] = True
    peak_centre: ClassVar[float] = 0.04
    peak_scale: ClassVar[float] = 0.013

    def label(self, boxes_patch: Tensor, present: Tensor, like: Tensor) -> Tensor:
        """A Gaussian density at the target, uniform if there is no target."""
        gaussian = _gaussian(self, boxes_patch, present, like)
        return losses.density_label(gaussian, self.sigma_cells).to(like.dtype)

    def loss(self, scores: Maps, label: Tensor) -> Tensor:
        """:func:`losses.grid_cross_entropy`, weighted over the iterates."""
        each = [losses.grid_cross_entropy(one, label).mean() for one in scores]
        return losses.over_iterates(each, outer=0.25, inner=1.0)

    def match(
        self, own: Maps, wanted: Maps, label: Tensor, trusted: Tensor, temperature: float
    ) -> Tensor:
        """``KL(teacher || student)`` over the cells, mean over iterates."""
        maps = [
            losses.divergence(t.flatten(-2), s.flatten(-2))
            for s, t in zip(own, wanted, strict=True)
        ]
        return torch.stack(
            [losses.masked_mean(one, losses.per_image(trusted, one)) for one in maps]
        ).mean()

    def confidence(self, scores: Tensor, near: Tensor) -> Tensor:
        """Mass of the density in the cells near the box, ``[S]``."""
        return (scores.softmax(dim=1) * near).sum(dim=1)


class Focal(ScoreKind):
    """Scores are the logit of the target's centre at every cell (centre head of a joint encoder).

    The label and the loss are CenterNet's (Zhou et al., "Objects as points", 2019), as OSTrack uses
    them (Ye et al., ECCV 2022).
    """

    name = "focal"

    def label(self, boxes_patch: Tensor, present: Tensor, like: Tensor) -> Tensor:
        """A Gaussian of height 1 at the cell that holds the centre, as wide as the box is large
        (:func:`losses.heat_map`); zero if there is no target.
        """
        cells = like.shape[-1]
        centre_xy = boxes_patch[..., :2].double() + boxes_patch[..., 2:].double() / 2
        centre_cells = (centre_xy - self.patch_side / 2) / self.stride + cells / 2
        label = losses.heat_map(centre_cells, boxes_patch[..., 2:].double() / self.stride, cells)
        return (label * losses.per_cell(present, label)).to(like.dtype)

    def loss(self, scores: Maps, label: Tensor) -> Tensor:
        """Penalty-reduced focal loss: :func:`losses.focal_errors`, per positive cell."""
        positives = (label == 1).sum().clamp(min=1)
        return losses.focal_errors(scores[-1], label).sum() / positives

    def match(
        self, own: Maps, wanted: Maps, label: Tensor, trusted: Tensor, temperature: float
    ) -> Tensor:
        """Same as for margins: binary ``KL(teacher || student)`` in every cell. This is ours, not
        published.
        """
        return _logits_match(own, wanted, trusted, temperature)

    def sure(self, scores: Tensor) -> Tensor:
        """Cells with p > 0.5."""
        return scores > 0

    def positive(self, label: Tensor) -> Tensor:
        """The cell that holds the centre."""
        return label == 1


# --- boxes ---------------------------------------------------------------------------------------


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
        self,
        given: Response,
        boxes_patch: Tensor,
        proposals: DrawnProposals | None,
        present: Tensor,
        label: Tensor | None,
    ) -> Tensor:
        """Loss against boxes, with its published weight.

        Args:
            given: response of the student.
            boxes_patch: ``[M,S,4]`` xywh boxes of the target, test patch pixels.
            proposals: proposals that were rated.
            present: ``[S]`` bool; whether the test patch shows the target.
            label: label of the scores; ``None`` if the network has none.
        """

    @abstractmethod
    def match(
        self,
        student: Response,
        teacher: Response,
        proposals: DrawnProposals | None,
        trusted: Tensor,
        form: str,
    ) -> Tensor:
        """Distance of the student's boxes from the teacher's.

        Args:
            student: response of the student.
            teacher: response of the teacher.
            proposals: proposals that both rated.
            trusted: ``[S]`` bool; samples that count.
            form: ``iou`` or ``smooth_l1``, for dense boxes.
        """

    @abstractmethod
    def best(self, given: Response, proposals: DrawnProposals | None) -> Tensor:
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
        self,
        given: Response,
        boxes_patch: Tensor,
        proposals: DrawnProposals | None,
        present: Tensor,
        label: Tensor | None,
    ) -> Tensor:
        """Mean of 1 - IoU over positive cells."""
        if label is None:
            raise ValueError("dense boxes are learnt at positive cells, got no label")
        dense = _dense(given)
        overlap = losses.overlap(dense, boxes_patch[:, :, None, None].to(dense.dtype))
        return losses.masked_mean(1 - overlap, _cells_of(given).positive(label))

    def match(
        self,
        student: Response,
        teacher: Response,
        proposals: DrawnProposals | None,
        trusted: Tensor,
        form: str,
    ) -> Tensor:
        """1 - IoU, or smooth L1 of the distances to the four sides in cells, mean over the cells
        that the teacher is sure of.
        """
        own, wanted = _dense(student), _dense(teacher)
        kind, scores = _cells_of(teacher), teacher.scores[-1]
        sure = kind.sure(scores) & losses.per_cell(trusted, scores)
        if form == "smooth_l1":
            centres = kind.centres(scores.shape[-1], device=scores.device)
            sides, goal = (losses.ltrb(d, centres) / kind.stride for d in (own, wanted))
            errors = F.smooth_l1_loss(sides, goal, reduction="none", beta=1.0).mean(-1)
            return losses.masked_mean(errors, sure)
        return losses.masked_mean(1 - losses.overlap(own, wanted), sure)

    def best(self, given: Response, proposals: DrawnProposals | None) -> Tensor:
        """Boxes ``[S,4]`` at the best cell."""
        return _highest(_dense(given)[0].flatten(1, 2), given.scores[-1][0].flatten(1))


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
        self,
        given: Response,
        boxes_patch: Tensor,
        proposals: DrawnProposals | None,
        present: Tensor,
        label: Tensor | None,
    ) -> Tensor:
        """Errors of the energies by the loss of the proposals, mean over samples."""
        values, rated = _rated(given, proposals)
        drawn, wanted = rated.drawn.to(values.dtype), rated.wanted.to(values.dtype)
        if rated.loss == "kl":
            errors = losses.proposal_divergence(values, drawn, wanted)
        elif rated.loss == "ml":
            errors = losses.box_likelihood(values, drawn)
        else:
            errors = losses.iou_errors(values, rated.boxes_patch, boxes_patch)
        return self.weight * losses.masked_mean(errors, losses.per_image(present, errors))

    def match(
        self,
        student: Response,
        teacher: Response,
        proposals: DrawnProposals | None,
        trusted: Tensor,
        form: str,
    ) -> Tensor:
        """Distance of the energies of the same proposals, mean over samples."""
        (own, rated), (wanted, _) = (_rated(one, proposals) for one in (student, teacher))
        errors = self._distances(own, wanted, rated)
        return losses.masked_mean(errors, losses.per_image(trusted, errors))

    def best(self, given: Response, proposals: DrawnProposals | None) -> Tensor:
        """The best-rated proposals ``[S,4]``."""
        values, rated = _rated(given, proposals)
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


# --- parts of the kinds --------------------------------------------------------------------------


def cell_centres(
    cells: int, stride: int, patch_side: int, *, device: torch.device | None = None
) -> Tensor:
    """Centres of the cells of a Siamese score map: ``[2,cells,cells]``, (x, y), patch pixels.

    Cell (i, j) is at ``patch_side / 2 + stride * (j - cells // 2)`` in x.
    """
    steps = (
        torch.arange(cells, dtype=torch.float32, device=device) - cells // 2
    ) * stride + patch_side / 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y])


def _gaussian(kind: Hinge | Density, boxes_patch: Tensor, present: Tensor, like: Tensor) -> Tensor:
    """Maps ``[M,S,n,n]`` with a Gaussian of height 1 at the target, zero if there is none."""
    cells = like.shape[-1]
    middle_xy = boxes_patch[..., :2].double() + boxes_patch[..., 2:].double() / 2
    centres_yx = (middle_xy.flip(-1) - kind.patch_side / 2) / kind.stride + (cells - 1) / 2
    label = filter_labels.gaussian_label(centres_yx, (cells, cells), sigma=kind.sigma_cells)
    return (label * losses.per_cell(present, label)).to(like.dtype)


def _logits_match(own: Maps, wanted: Maps, trusted: Tensor, temperature: float) -> Tensor:
    """Binary ``KL(teacher || student)`` in every cell at a temperature tau, times tau^2; cells that
    the teacher scores as target have half of the weight.
    """
    (given,), (goal,) = own, wanted
    divergence = losses.binary_divergence(goal / temperature, given / temperature)
    counts = losses.per_cell(trusted, goal)
    sure = goal > 0  # p > 0.5, whatever the temperature
    halves = losses.balanced_mean(divergence, sure & counts, divergence, ~sure & counts)
    return temperature**2 * halves


def _cells_of(given: Response) -> ScoreKind:
    if given.score_kind is None:
        raise ValueError("dense boxes need scores, which say where the target is, got none")
    return given.score_kind


def _dense(given: Response) -> Tensor:
    """Dense boxes ``[M,S,n,n,4]`` xywh, test patch pixels."""
    if given.boxes is None:
        raise ValueError("dense boxes are needed, got None")
    return given.boxes.movedim(2, -1)


def _rated(given: Response, proposals: DrawnProposals | None) -> tuple[Tensor, DrawnProposals]:
    """Energies ``[M,S,P]``, and the proposals that were rated."""
    if given.boxes is None or proposals is None:
        raise ValueError("energies are those of proposals, got none")
    return given.boxes, proposals


def _highest(boxes: Tensor, scores: Tensor) -> Tensor:
    """The boxes ``[S,4]`` with the highest score, of ``[S,n,4]`` and scores ``[S,n]``."""
    best = scores.argmax(dim=1)
    return boxes[torch.arange(len(best), device=best.device), best]
