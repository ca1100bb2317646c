"""What the score maps of a network mean: one object per kind, none for a network without scores.

A network names its kind: :class:`Margin`, :class:`Hinge`, :class:`Density` or :class:`Focal`. A
kind knows where the cells are, its label, its loss against a label, its match against a teacher and
its confidence; nobody else asks which it is. The formulas are in ``losses``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tirtrack.errors import RecipeError
from tirtrack.networks import filter_labels, losses

Maps = Sequence[Tensor]  # score maps [M,S,n,n], one per filter


@dataclass(frozen=True)
class ScoreKind(ABC):
    """Meaning of a network's score maps, and where their cells are.

    Attributes:
        stride: patch pixels per cell.
        patch_side: side of the test patch, pixels.
        name: name of the kind, for messages.
        peak_centre: raw peak that is worth a score of one half, for weights whose card has no
            calibration.
        peak_scale: scale of the logistic curve around it.
    """

    stride: int
    patch_side: int

    name: ClassVar[str]
    peak_centre: ClassVar[float] = 0.25
    peak_scale: ClassVar[float] = 0.08

    def centres(self, cells: int, *, device: torch.device | None = None) -> Tensor:
        """Centres of the cells of a map: ``[2,cells,cells]`` float64, (x, y), patch pixels.

        The centre of the map is the centre of the patch. (The map of a filter of even side has one
        cell more per side than the features.)
        """
        steps = torch.arange(cells, dtype=torch.float64, device=device) - (cells - 1) / 2
        return self._grid(steps)

    def _grid(self, steps: Tensor) -> Tensor:
        """(x, y) ``[2,n,n]`` of cells that lie so many cells ``[n]`` from the patch's centre."""
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

    def reject(self, scores: Maps, label: Tensor, others_patch: Tensor) -> Tensor:
        """Loss of the cells of other boxes, which are background.

        Args:
            scores: score maps of all filters.
            label: label of the same samples.
            others_patch: ``[S,K,4]`` xywh boxes of other targets in the first of M test images,
                patch pixels; NaN rows are none.
        """
        raise RecipeError(
            f"other boxes as background have no formula for scores of kind {self.name}",
            "terms",
            "leave the term distractors out, or choose another network",
        )

    def confidence(self, scores: Tensor, near: Tensor) -> Tensor:
        """Probability ``[S]`` of the target: the logistic of the peak.

        Args:
            scores: score maps, ``[S,n*n]``.
            near: ``[S,n*n]`` bool; cells near the box that the target is expected in.
        """
        return scores.amax(dim=1).sigmoid()

    def peak(self, scores: Tensor, highest: float) -> float:
        """Raw peak of a tracker: the highest value of the map as the tracker prepared it.

        Args:
            scores: score map ``[n,n]`` of the network.
            highest: highest value of the prepared map.
        """
        return highest

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
        steps = torch.arange(cells, dtype=torch.float64, device=device) - cells // 2
        return self._grid(steps)

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

    def reject(self, scores: Maps, label: Tensor, others_patch: Tensor) -> Tensor:
        """Mean of -log(1 - p) over the negative cells inside of the inner ellipse of any of the
        boxes (:func:`losses.ellipses`); 0 if there is no such cell.
        """
        (margins,) = scores
        centres = self.centres(margins.shape[-1], device=margins.device)
        inside = losses.ellipses(others_patch, losses.INNER, centres) <= 1  # [S,K,n,n]
        where = inside.any(dim=1)[None] & (label[:1] == losses.NEGATIVE)
        return losses.masked_mean(F.softplus(margins[:1]), where)

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

    def peak(self, scores: Tensor, highest: float) -> float:
        """Highest probability of a cell of the network's map."""
        return float(scores.flatten().softmax(dim=0).max())


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
    mean = losses.balanced_mean(divergence, sure & counts, divergence, ~sure & counts)
    return temperature**2 * mean
