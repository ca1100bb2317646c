"""Training samples in the form that the method takes: both modalities, cut by the same crops.

A batch does not know where its boxes come from: of pairs they are pseudo-boxes, since nothing that
``distill`` reaches can open an annotation; of labelled RGB they are annotations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tirtrack.distillation.settings import BoxLoss, Modality
from tirtrack.networks.two_branch import TwoBranchNetwork


@dataclass(frozen=True)
class View:
    """What one branch sees in one modality: patches, or a frozen backbone's features of them.

    Attributes:
        patches: ``[N,S,3,D,D]`` float32 RGB order in [0, 1], or ``None``.
        features: list of ``[N,S,C,H,W]``, or ``None``; they come first where both are there.
    """

    patches: Tensor | None = None
    features: list[Tensor] | None = None

    def seen_by(self, network: TwoBranchNetwork) -> list[Tensor]:
        """The backbone's features ``[N,S,C,H,W]``: those that were kept, or computed now."""
        if self.features is not None:
            return self.features
        if self.patches is None:
            raise ValueError("a view must hold patches or features, got neither")
        return network.features(self.patches)


@dataclass(frozen=True)
class DrawnProposals:
    """Boxes for a box estimator to rate, drawn around the box of each sample.

    Attributes:
        boxes_patch: ``[M,S,P,4]`` float32 xywh, test patch pixels.
        drawn: ``[M,S,P]`` density with which each was drawn; NaN where the way gives none.
        wanted: ``[M,S,P]`` density that it should have; the same.
        loss: what their energies shall be compared with.
    """

    boxes_patch: Tensor
    drawn: Tensor
    wanted: Tensor
    loss: BoxLoss

    def to(self, device: torch.device | None) -> DrawnProposals:
        """The same on another device."""
        return DrawnProposals(
            self.boxes_patch.to(device), self.drawn.to(device), self.wanted.to(device), self.loss
        )


@dataclass(frozen=True)
class Branch:
    """One branch's images of ``S`` samples.

    Attributes:
        boxes_patch: ``[N,S,4]`` float32 xywh, the pseudo-box in pixels of the patch.
        rgb: the crops of the RGB frames; ``None`` where no direction needs them.
        tir: the same crops of the TIR frames.
        proposals: of the test branch, for networks that rate proposals; else ``None``.
    """

    boxes_patch: Tensor
    rgb: View | None
    tir: View | None
    proposals: DrawnProposals | None = None

    def view(self, modality: Modality) -> View:
        """What this branch sees in a modality.

        Raises:
            ValueError: it was not cut.
        """
        view = self.rgb if modality is Modality.RGB else self.tir
        if view is None:
            raise ValueError(f"the batch holds no {modality} view of this branch")
        return view


@dataclass(frozen=True)
class Batch:
    """``S`` samples of a step.

    Attributes:
        reference: with the target at the middle (up to jitter).
        test: where the target is sought.
        quality: ``[S]`` of the pseudo-boxes.
        present: ``[S]`` bool; false where the test patch does not show the target (negative pair).
        accepted: ``[S]`` bool; whether the teacher found the target.
        keys: one a sample, for messages.
        plain: the same crops without augmentation, for the teacher; ``None`` when there was none.
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
        """What the teacher sees."""
        return self if self.plain is None else self.plain

    @property
    def trusted(self) -> Tensor:
        """``[S]`` bool: samples on which the teacher's answer may be matched."""
        return torch.logical_and(self.present, self.accepted)
