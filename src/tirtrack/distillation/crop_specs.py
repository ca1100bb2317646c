"""Where patches are cut: specs drawn before the frame is read, crops once its size is known.

The :class:`~tirtrack.crops.CropRule` of a network says how its patches are cut. The rule decides
which of the recipe's two kinds of jitter applies; nothing else depends on the family.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tirtrack.boxes import Box
from tirtrack.crops import (
    Crop,
    CropRule,
    Frame,
    mean_fill,
    siamese_crop,
    stretched_crop,
    training_crop,
)
from tirtrack.distillation.settings import BoxJitter, BranchJitter, Jitter

CENTRE_LESS = 0.5  # published centre jitter of a test crop: its area factor minus this


@dataclass(frozen=True)
class CropSpec:
    """Specification of a crop; the size of the frame completes it.

    Attributes:
        rule: crop rule of the network.
        box: box at the centre of the patch, frame pixels.
        shift_patch_xy: offset of the box's centre from the patch's centre, patch pixels (only for
            rules whose crops depend on the box alone).
        scale: factor on the side of the crop (the same rules).
        is_mirrored: whether left and right are exchanged.
    """

    rule: CropRule
    box: Box
    shift_patch_xy: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    is_mirrored: bool = False

    def crop(self, frame_hw: tuple[int, int]) -> Crop:
        """The crop in a frame with this height and width."""
        return replace(self._plain(frame_hw), is_mirrored=self.is_mirrored)

    def _plain(self, frame_hw: tuple[int, int]) -> Crop:
        rule, shift = self.rule, self.shift_patch_xy
        if rule.area_factor is None:
            return siamese_crop(self.box, rule.patch_side, shift_patch_xy=shift, scale=self.scale)
        if rule.stretched:
            return stretched_crop(
                self.box,
                rule.patch_side,
                area_factor=rule.area_factor,
                shift_patch_xy=shift,
                scale=self.scale,
            )
        return training_crop(self.box, rule, frame_hw)


def fill_of(rule: CropRule, image: Frame) -> np.ndarray | None:
    """Fill value outside a frame: its mean, or ``None`` to repeat its border pixels."""
    return mean_fill(image) if rule.border == "mean" else None


def jittered_reference_crop(
    box: Box, rule: CropRule, jitter: Jitter, rng: np.random.Generator, *, is_mirrored: bool = False
) -> CropSpec:
    """A reference patch around a box, jittered."""
    return _spec(box, rule, (jitter.reference, jitter.reference_box), rng, is_mirrored=is_mirrored)


def jittered_test_crop(
    box: Box, rule: CropRule, jitter: Jitter, rng: np.random.Generator, *, is_mirrored: bool = False
) -> CropSpec:
    """A test patch around a box, jittered."""
    return _spec(box, rule, (jitter.test, jitter.test_box), rng, is_mirrored=is_mirrored)


def _spec(
    box: Box,
    rule: CropRule,
    jitter: tuple[BranchJitter, BoxJitter],
    rng: np.random.Generator,
    *,
    is_mirrored: bool,
) -> CropSpec:
    of_patch, of_box = jitter
    if rule.area_factor is not None and not rule.stretched:
        return CropSpec(
            rule, _jittered(box, of_box, rule.area_factor, rng), is_mirrored=is_mirrored
        )
    u = rng.uniform(-1, 1, size=3)
    shift = (float(of_patch.shift * u[0]), float(of_patch.shift * u[1]))
    return CropSpec(rule, box, shift, float(np.exp(of_patch.scale * u[2])), is_mirrored)


def _jittered(box: Box, jitter: BoxJitter, area_factor: float, rng: np.random.Generator) -> Box:
    """``size * exp(N scale)``, then the centre by ``sqrt(w h) centre (U - 1/2)``, as published."""
    w, h = np.array([box.w, box.h]) * np.exp(rng.standard_normal(2) * jitter.scale)
    reach = area_factor - CENTRE_LESS if jitter.centre is None else jitter.centre
    away = np.sqrt(w * h) * reach * (rng.random(2) - 0.5)
    cx, cy = np.array(box.center_xy) + away
    return Box(float(cx - w / 2), float(cy - h / 2), float(w), float(h))
