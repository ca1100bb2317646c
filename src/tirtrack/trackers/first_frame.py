"""The first frame of a tracker that learns online: augmented samples of one patch, and the
modulation of the box estimator.

Bhat et al., "Unveiling the power of deep tracking", ECCV 2018, introduced learning from augmented
copies of the first frame; ``augmentation`` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np
import torch
from torch import Tensor

from tirtrack.trackers.augmentation import (
    Identity,
    Shifted,
    expanded_sides,
    first_frame_transforms,
    with_dropout,
)
from tirtrack.trackers.draws import Draws
from tirtrack.trackers.online_engine import Features, Network, OnlineEngine
from tirtrack.trackers.online_settings import OnlineSettings
from tirtrack.trackers.patch_extraction import SampleFrame, sample_patch


@dataclass(frozen=True)
class FirstSamples:
    """The first frame as samples.

    Attributes:
        patches: patches of the samples, ``[n,C,h,w]``.
        transforms: transforms, one per sample.
        seen: position of the untransformed sample in the frame.
    """

    patches: Tensor
    transforms: list[Shifted]
    seen: SampleFrame


@dataclass(frozen=True)
class FirstFrame(Generic[Network]):
    """Makes training samples and the modulation from the first frame.

    Attributes:
        engine: engine that runs the network.
        settings: settings of the tracker.
        draws: random numbers of the tracker.
    """

    engine: OnlineEngine[Network]
    settings: OnlineSettings
    draws: Draws

    def samples(
        self,
        levels: np.ndarray,
        seen: SampleFrame,
        *,
        center_yx: np.ndarray,
        global_shift_yx: np.ndarray,
    ) -> FirstSamples:
        """Samples of the first frame: every transform of one patch."""
        settings = self.settings
        expanded = expanded_sides(seen.side_hw, settings.augmentation_expansion_factor)
        whole = sample_patch(
            levels,
            center_yx,
            seen.scale * expanded,
            patch_hw=expanded,
            dtype=self.engine.dtype,
            generation=settings.patch_generation,
        )
        transforms = first_frame_transforms(
            settings.augmentation if settings.use_augmentation else None,
            seen.side_hw,
            global_shift_yx,
            random_shift_factor=settings.random_shift_factor,
            uniforms=self.draws.uniforms,
        )
        kept = int(seen.side_hw[0]), int(seen.side_hw[1])
        patches = torch.stack([transform(whole.patch, kept) for transform in transforms])
        return FirstSamples(patches, transforms, seen)

    def with_dropout(
        self, clf_features: Tensor, transforms: list[Shifted]
    ) -> tuple[Tensor, list[Shifted]]:
        """Samples and transforms, plus copies of the first sample's features with dropout."""
        dropout = self.settings.augmentation.dropout
        if dropout is None or not self.settings.use_augmentation:
            return clf_features, transforms
        count, share = dropout
        kept = self.draws.kept(count, clf_features.shape[1], share).to(clf_features)
        copies = with_dropout(clf_features[0], kept, share)
        again = [Shifted(Identity(), transforms[0].shift_yx)] * count
        return torch.cat([clf_features, copies]), transforms + again

    def modulation(self, first: FirstSamples, features: Features, box: np.ndarray) -> list[Tensor]:
        """Modulation of the box estimator: from the first sample, or the mean over all samples
        before the first one that changes the target's shape.
        """
        if not self.settings.use_iou_net:
            return []
        count = 1
        if self.settings.iounet_augmentation:
            keeps = [transform.keeps_shape for transform in first.transforms]
            count = keeps.index(False) if False in keeps else len(keeps)
        boxes = np.stack([shifted(box, one) for one in first.transforms[:count]])
        vectors = self.engine.network.box_estimator.modulation(
            features.taps(slice(count)), self.engine.tensor(boxes)
        )
        return [vector.mean(dim=0, keepdim=True) for vector in vectors]


def shifted(box: np.ndarray, transform: Shifted) -> np.ndarray:
    """A box ``[4]`` xywh of a sample, moved by the transform's shift."""
    down, right = transform.shift_yx
    return np.asarray(box + np.array([right, down, 0, 0]))
