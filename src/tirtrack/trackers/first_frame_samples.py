"""The samples of the first frame: one patch, transformed.

The list of transforms fixes the order of the random numbers and of the memory's slots. Boxes are
only shifted: a flipped, rotated or rescaled sample keeps the size and place of its box.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tirtrack.trackers.online_settings import FirstFrameAugmentation

Uniforms = Callable[[tuple[int, ...]], Tensor]
"""Draws uniform numbers in [0, 1), in the given shape."""


@dataclass(frozen=True)
class Identity:
    """The unchanged patch; only its shift may move it."""

    def __call__(self, patch: Tensor) -> Tensor:
        """The same ``[C,h,w]``."""
        return patch


@dataclass(frozen=True)
class Flip:
    """Mirrored along an axis: -1 mirrors the columns, -2 the rows."""

    axis: int = -1

    def __call__(self, patch: Tensor) -> Tensor:
        """``[C,h,w]`` mirrored."""
        return patch.flip(self.axis)


@dataclass(frozen=True)
class Blur:
    """Gaussian blur with sigmas for (rows, columns); zero outside."""

    sigmas: tuple[float, float]

    def __call__(self, patch: Tensor) -> Tensor:
        """``[C,h,w]`` blurred."""
        rows, columns = (_gaussian(sigma, patch) for sigma in self.sigmas)
        down, across = rows[None, None, :, None], columns[None, None, None, :]
        blurred = functional.conv2d(patch[:, None], down, padding=(len(rows) // 2, 0))
        return functional.conv2d(blurred, across, padding=(0, len(columns) // 2))[:, 0]


@dataclass(frozen=True)
class Scale:
    """Shrunk by a factor; the new sides keep the parity of the old ones."""

    factor: float

    def __call__(self, patch: Tensor) -> Tensor:
        """``[C,h',w']`` resized."""
        sides = [round(side / self.factor) for side in patch.shape[-2:]]
        sides = [new + (new - old) % 2 for new, old in zip(sides, patch.shape[-2:], strict=True)]
        return functional.interpolate(patch[None], sides, mode="bilinear", align_corners=False)[0]


@dataclass(frozen=True)
class Rotate:
    """Rotated by an angle in degrees, bilinear at exact coordinates, with the border repeated."""

    angle_deg: float

    def __call__(self, patch: Tensor) -> Tensor:
        """``[C,h,w]`` rotated."""
        height, width = patch.shape[-2:]
        center_x, center_y = (height - 1) / 2, (width - 1) / 2  # as published: square patches
        cos, sin = math.cos(math.radians(self.angle_deg)), math.sin(math.radians(self.angle_deg))
        y = torch.arange(height, dtype=patch.dtype, device=patch.device)[:, None] - center_y
        x = torch.arange(width, dtype=patch.dtype, device=patch.device) - center_x
        source_x, source_y = cos * x - sin * y + center_x, sin * x + cos * y + center_y
        grid = torch.stack(
            [source_x * (2 / (width - 1)) - 1, source_y * (2 / (height - 1)) - 1], dim=-1
        )
        return functional.grid_sample(
            patch[None], grid[None], mode="bilinear", padding_mode="border", align_corners=True
        )[0]


Transform = Identity | Flip | Blur | Scale | Rotate


@dataclass(frozen=True)
class Shifted:
    """A transform and the shift (rows, columns) of its result, in whole pixels."""

    transform: Transform
    shift_yx: tuple[int, int]

    @property
    def keeps_shape(self) -> bool:
        """Whether the box of the sample keeps its size and angle; its place may change."""
        return not isinstance(self.transform, Scale | Rotate)

    def __call__(self, patch: Tensor, sides_hw: tuple[int, int] | None) -> Tensor:
        """The sample ``[C,*sides_hw]`` of a patch; ``None`` keeps the size that the transform
        gives.
        """
        return cropped(self.transform(patch), sides_hw, self.shift_yx)


def cropped(patch: Tensor, sides_hw: tuple[int, int] | None, shift_yx: tuple[int, int]) -> Tensor:
    """The middle of ``patch [C,h,w]``, shifted down and right, with the border repeated."""
    for axis, shift in zip((-2, -1), shift_yx, strict=True):
        length = patch.shape[axis]
        pad = 0.0 if sides_hw is None else (sides_hw[axis] - length) / 2
        first, last = -(math.floor(pad) + shift), length + math.ceil(pad) - shift
        places = torch.arange(first, last, device=patch.device).clamp(0, length - 1)
        patch = patch.index_select(axis, places)
    return patch


def first_frame_transforms(
    augmentation: FirstFrameAugmentation | None,
    side_hw: np.ndarray,
    global_shift_yx: np.ndarray,
    *,
    random_shift_factor: float,
    uniforms: Uniforms,
) -> list[Shifted]:
    """The transforms of the first frame, the identity first; draws two uniform numbers for every
    random shift, in order.

    Args:
        augmentation: settings of the transforms; ``None``: the identity only.
        side_hw: sides of a sample, ``[2]``.
        global_shift_yx: shift of every sample, ``[2]``.
        random_shift_factor: range of the random shifts, as a share of the sides.
        uniforms: function that draws uniform numbers.
    """

    def fixed(shift: np.ndarray) -> tuple[int, int]:
        down, right = np.trunc(global_shift_yx) + np.trunc(shift)
        return int(down), int(right)

    def random() -> tuple[int, int]:
        if random_shift_factor == 0:
            return 0, 0
        draw = uniforms((2,)).numpy().astype(np.float64)
        down, right = np.trunc((draw - 0.5) * side_hw * random_shift_factor + global_shift_yx)
        return int(down), int(right)

    found = [Shifted(Identity(), fixed(np.zeros(2)))]
    if augmentation is None:
        return found
    found += [Shifted(Identity(), fixed(np.array(shift))) for shift in augmentation.shift]
    found += [
        Shifted(Identity(), fixed(np.array(share) * side_hw / 2))
        for share in augmentation.relative_shift
    ]
    if augmentation.flip:
        found.append(Shifted(Flip(), random()))
    found += [Shifted(Blur(sigmas), random()) for sigmas in augmentation.blur]
    found += [Shifted(Scale(factor), random()) for factor in augmentation.scale]
    found += [Shifted(Rotate(angle), random()) for angle in augmentation.rotate]
    return found


def expanded_sides(side_hw: np.ndarray, factor: float | None) -> np.ndarray:
    """Sides ``[2]`` of the patch that is transformed; only the middle of the result is kept."""
    if factor is None or factor == 1:
        return side_hw
    sides = np.trunc(factor * side_hw)
    return np.asarray(sides + np.mod(sides - np.trunc(side_hw), 2))


def with_dropout(features: Tensor, kept: Tensor, share: float) -> Tensor:
    """Copies ``[n,C,H,W]`` of ``features [C,H,W]`` with whole channels set to 0.

    Args:
        features: features of one sample, ``[C,H,W]``.
        kept: ``[n,C]``, 1 for the channels that stay, which are divided by ``1 - share``.
        share: average share of dropped channels.
    """
    return features * (kept.to(features) / (1 - share))[:, :, None, None]


def _gaussian(sigma: float, like: Tensor) -> Tensor:
    reach = math.ceil(2 * sigma)
    places = torch.arange(-reach, reach + 1, dtype=like.dtype, device=like.device)
    bell = torch.exp(-(places**2) / (2 * sigma**2))
    return bell / bell.sum()
