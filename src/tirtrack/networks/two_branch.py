"""The one contract between networks and distillation: a reference branch and a test branch.

Every family extends :class:`TwoBranchNetwork`; ``distillation`` uses nothing else of a network. It
asks the kinds that a network names (``score_kinds``, ``response``) what its numbers mean.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from tirtrack.crops import CropRule
from tirtrack.networks.response import BoxKind, Response, TargetModel
from tirtrack.networks.score_kinds import ScoreKind


class TwoBranchNetwork(nn.Module, ABC):
    """A tracker's network, as distillation uses it.

    Patches are float32, RGB order, in [0, 1]; ``normalise`` applies the network's own channel
    order, mean and scale. ``features`` is the only part that sees pixels, and it sees one patch
    alone: while the backbone is frozen, features can be computed once. Where template and search
    patch pass the backbone together (a joint encoder), features are the embedded patch only; the
    joint pass is part of ``respond_from``, and computing features once saves nothing.

    Attributes:
        family: family of the network, by whose name a recipe says which networks it trains.
        stride: patch pixels per cell of the score map.
        reference_crop: crop rule of reference patches, around the target.
        test_crop: crop rule of test patches, around the last position of the target.
        score_kind: kind of the scores; ``None`` if there are none.
        box_kind: kind of the boxes.
    """

    family: str
    stride: int
    reference_crop: CropRule
    test_crop: CropRule
    score_kind: ScoreKind | None
    box_kind: BoxKind

    @property
    def reference_side(self) -> int:
        """Side of a reference patch, pixels."""
        return self.reference_crop.patch_side

    @property
    def test_side(self) -> int:
        """Side of a test patch, pixels."""
        return self.test_crop.patch_side

    @abstractmethod
    def normalise(self, patches: Tensor) -> Tensor:
        """Patches ``[...,3,D,D]`` normalised for the first layer."""

    @abstractmethod
    def features(self, patches: Tensor) -> list[Tensor]:
        """Backbone features of patches ``[N,S,3,D,D]``: list of ``[N,S,C,H,W]``."""

    @abstractmethod
    def reference_from(self, features: list[Tensor], boxes_patch: Tensor) -> TargetModel:
        """The target model from features, list of ``[N,S,C,H,W]``; see :meth:`reference`."""

    @abstractmethod
    def respond_from(
        self, target: TargetModel, features: list[Tensor], proposals: Tensor | None = None
    ) -> Response:
        """Scores and boxes from features, list of ``[M,S,C,H,W]``; see :meth:`respond`."""

    @abstractmethod
    def component_names(self) -> list[str]:
        """The components that together hold every parameter once: ``backbone``,
        ``target_filter``, ``box_estimator``, ``adapters``, or parts of one after a dot
        (``target_filter.head``) if these are trained at their own rates.
        """

    @abstractmethod
    def modules_of(self, component: str) -> list[nn.Module]:
        """The modules of a component, whole or a part, for freezing (no gradient, batch norm in
        eval mode).

        Raises:
            ValueError: this family has no such component.
        """

    def published_frozen(self) -> list[nn.Module]:
        """The modules that the published training of this network keeps frozen, with their batch
        norms. Which modules a training freezes is decided there.
        """
        return []

    def reference(self, patches: Tensor, boxes_patch: Tensor) -> TargetModel:
        """The target model from patches ``[N,S,3,D,D]`` and boxes ``[N,S,4]`` xywh patch pixels.

        Raises:
            ValueError: shapes do not fit the family (Siamese: N must be 1).
        """
        return self.reference_from(self.features(patches), boxes_patch)

    def respond(
        self, target: TargetModel, patches: Tensor, proposals: Tensor | None = None
    ) -> Response:
        """Scores and boxes for patches ``[M,S,3,D,D]``.

        Args:
            target: target model from :meth:`reference`.
            patches: ``[M,S,3,D,D]`` test patches.
            proposals: ``[M,S,P,4]`` xywh patch pixels; ``None`` for dense boxes.
        """
        return self.respond_from(target, self.features(patches), proposals)

    def components(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters, by the names of :meth:`component_names`."""
        return {
            name: [p for module in self.modules_of(name) for p in module.parameters()]
            for name in self.component_names()
        }

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """Random weights: normal with variance ``2 / fan_in``, zero biases, so that activations
        keep their scale. Families with published initial values override this.
        """
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()  # constants, no random draw
            elif isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
                if module.bias is not None:
                    module.bias.zero_()


def check_patches(patches: Tensor) -> None:
    """Refuse patches that are not ``[N,S,3,D,D]``.

    Raises:
        ValueError: the patches have another shape.
    """
    if patches.ndim != 5 or patches.shape[2] != 3:
        raise ValueError(f"patches must be [N,S,3,D,D], got {list(patches.shape)}")


def check_sequences(of_target: Tensor, features: Tensor) -> None:
    """Refuse a target model ``[S,...]`` and features ``[M,S,...]`` that differ in S.

    Raises:
        ValueError: they differ in S.
    """
    if of_target.shape[0] != features.shape[1]:
        raise ValueError(
            f"the target model is of {of_target.shape[0]} sequences, the features of "
            f"{features.shape[1]}"
        )


def check_template(template: Tensor, cells: int, patch_side: int) -> None:
    """Refuse template features that are not ``[1,S,C,cells,cells]`` of one patch.

    Raises:
        ValueError: more than one reference image, or another number of cells.
    """
    if template.shape[0] != 1:
        raise ValueError(
            f"the network takes one reference image, N must be 1, got {template.shape[0]}"
        )
    if template.shape[-2:] != (cells, cells):
        raise ValueError(
            f"template features must have {cells}x{cells} cells (a patch of {patch_side} px), got "
            f"{list(template.shape[-2:])}"
        )


def split_images(flat: Tensor, shape: torch.Size) -> Tensor:
    """The flat batch as images and sequences: ``[N*S,...]`` to ``[N,S,...]``."""
    return flat.reshape(*shape, *flat.shape[1:])
