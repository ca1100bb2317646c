"""The one contract between networks and distillation: a reference branch and a test branch.

Every family implements :class:`TwoBranchNetwork`; ``distillation`` knows nothing else of a network
and dispatches on the kinds that a :class:`Response` names, never on a family.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


class ScoreKind(StrEnum):
    """What the numbers of a score map are."""

    MARGIN = "margin"  # logit(target) - logit(background): Siamese
    HINGE = "hinge"  # DiMP, SuperDiMP
    DENSITY = "density"  # PrDiMP


class EnergyKind(StrEnum):
    """What the numbers of a box estimator are."""

    IOU = "iou"  # 2 IoU - 1
    LOG_DENSITY = "log_density"


@dataclass(frozen=True)
class TargetModel:
    """All that is kept of the target.

    Attributes:
        filters: list of ``[S,C,k,k]``; one entry an optimiser iterate (DiMP), one in all
            (Siamese), none (ATOM).
        modulation: list of ``[S,C,1,1]``; empty for the Siamese family.
    """

    filters: list[Tensor]
    modulation: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class DenseBoxes:
    """A box at every cell of the score map: ``[M,S,4,H',W']`` xywh, pixels of the test patch."""

    boxes_patch: Tensor


@dataclass(frozen=True)
class Energies:
    """One value a proposal: ``[M,S,P]``."""

    values: Tensor
    kind: EnergyKind


@dataclass(frozen=True)
class Response:
    """What the test branch answers.

    Attributes:
        scores: list of ``[M,S,H',W']``, one per filter of the target model.
        score_kind: what the scores are; ``None`` when there are none.
        boxes: dense boxes, or energies of the proposals; ``None`` when no proposals were given to
            an energy model.
    """

    scores: list[Tensor]
    score_kind: ScoreKind | None
    boxes: DenseBoxes | Energies | None


@runtime_checkable
class TwoBranchNetwork(Protocol):
    """A tracker's network, as distillation sees it. Implementations are ``nn.Module``.

    Patches are float32, RGB order, in [0, 1]; ``normalise`` applies the network's own channel
    order, mean and scale.
    """

    reference_side: int
    test_side: int
    stride: int

    def normalise(self, patches: Tensor) -> Tensor:
        """Patches ``[...,3,D,D]`` as the first layer wants them."""

    def features(self, patches: Tensor) -> list[Tensor]:
        """What the backbone makes of patches ``[N,S,3,D,D]``: list of ``[N,S,C,H,W]``.

        The only part that sees pixels; while the backbone is frozen, these can be computed once.
        """

    def reference_from(self, features: list[Tensor], boxes_patch: Tensor) -> TargetModel:
        """The target model from features, list of ``[N,S,C,H,W]``; see :meth:`reference`."""

    def respond_from(
        self, target: TargetModel, features: list[Tensor], proposals: Tensor | None = None
    ) -> Response:
        """Scores and boxes from features, list of ``[M,S,C,H,W]``; see :meth:`respond`."""

    def reference(self, patches: Tensor, boxes_patch: Tensor) -> TargetModel:
        """The target model from patches ``[N,S,3,D,D]`` and boxes ``[N,S,4]`` xywh patch pixels.

        Raises:
            ValueError: shapes do not fit the family (Siamese: N must be 1).
        """

    def respond(
        self, target: TargetModel, patches: Tensor, proposals: Tensor | None = None
    ) -> Response:
        """Scores and boxes for patches ``[M,S,3,D,D]``.

        Args:
            target: from :meth:`reference`.
            patches: ``[M,S,3,D,D]``.
            proposals: ``[M,S,P,4]`` xywh patch pixels; ``None`` for dense boxes.
        """

    def components(self) -> dict[str, list[nn.Parameter]]:
        """What can be trained: ``backbone``, ``target_filter``, ``box_estimator``, ``adapters``.

        Sub-names after a dot (``target_filter.head``) name parts that are trained at rates of
        their own.
        """

    def modules_of(self, component: str) -> list[nn.Module]:
        """The modules of a component, for freezing (no gradient, batch norm in eval mode)."""


def cell_centres(
    cells: int, stride: int, patch_side: int, *, device: torch.device | None = None
) -> Tensor:
    """Centres of the cells of a square score map: ``[2,cells,cells]``, (x, y), patch pixels.

    Cell (i, j) stands at ``patch_side / 2 + stride * (j - cells // 2)`` in x.
    """
    steps = (
        torch.arange(cells, dtype=torch.float32, device=device) - cells // 2
    ) * stride + patch_side / 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y])
