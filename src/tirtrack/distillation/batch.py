"""Training samples in the form that the method takes: both modalities, cut by the same crops.

A batch does not know where its boxes come from. Boxes of pairs are pseudo-boxes, since nothing that
``distill`` reaches can open an annotation; boxes of labelled RGB are annotations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tirtrack.distillation.settings import Modality
from tirtrack.networks.response import DrawnProposals
from tirtrack.networks.two_branch import TwoBranchNetwork


@dataclass(frozen=True)
class View:
    """Input of one branch in one modality: patches, or a frozen backbone's features of them.

    Attributes:
        patches: ``[N,S,3,D,D]`` float32 RGB order in [0, 1], or ``None``.
        features: list of ``[N,S,C,H,W]``, or ``None``; used instead of patches if both are given.
    """

    patches: Tensor | None = None
    features: list[Tensor] | None = None

    def seen_by(self, network: TwoBranchNetwork) -> list[Tensor]:
        """Backbone features, list of ``[N,S,C,H,W]``: the stored ones, or computed now."""
        if self.features is not None:
            return self.features
        if self.patches is None:
            raise ValueError("a view must hold patches or features, got neither")
        return network.features(self.patches)


@dataclass(frozen=True)
class Branch:
    """One branch's images of ``S`` samples.

    Attributes:
        boxes_patch: ``[N,S,4]`` float32 xywh, boxes of the target, patch pixels.
        rgb: crops of the RGB frames; ``None`` if no direction needs them.
        tir: the same crops of the TIR frames; ``None`` if no direction needs them.
        proposals: proposals on the test branch, for networks that rate them; else ``None``.
        others_patch: ``[S,K,4]`` float32 xywh, boxes of other targets in the first test image, NaN
            rows where there are fewer than K; ``None`` if there are none, or no term needs them.
    """

    boxes_patch: Tensor
    rgb: View | None
    tir: View | None
    proposals: DrawnProposals | None = None
    others_patch: Tensor | None = None

    def view(self, modality: Modality) -> View:
        """The view of this branch in a modality.

        Raises:
            ValueError: the batch holds no such view.
        """
        view = self.rgb if modality is Modality.RGB else self.tir
        if view is None:
            raise ValueError(f"the batch holds no {modality} view of this branch")
        return view


@dataclass(frozen=True)
class Batch:
    """``S`` samples of a step.

    Attributes:
        reference: reference branch, with the target at the centre (up to jitter).
        test: test branch, in which the target is sought.
        quality: ``[S]`` qualities of the boxes.
        present: ``[S]`` bool; false where the test patch does not show the target (negative pair).
        accepted: ``[S]`` bool; whether the teacher found the target.
        keys: names of the samples, for messages.
        plain: same crops without augmentation, for the teacher; ``None`` if nothing is augmented.
    """

    reference: Branch
    test: Branch
    quality: Tensor
    present: Tensor
    accepted: Tensor
    keys: tuple[str, ...]
    plain: Batch | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def for_teacher(self) -> Batch:
        """The batch without augmentation, for the teacher."""
        return self if self.plain is None else self.plain

    @property
    def trusted(self) -> Tensor:
        """``[S]`` bool: samples on which the teacher's answer may be matched."""
        return torch.logical_and(self.present, self.accepted)
