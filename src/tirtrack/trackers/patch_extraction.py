"""From a frame to the patches that a DiMP or ATOM network sees, with the published rounding.

Follows the published formulas, so vectors are row first (``yx``, ``hw``) and a centre is in pixel
indices. The window is rounded to whole pixels and resized; its position is returned with the patch.
Two generations differ in that rounding: ``real`` divides as torch >= 1.5 does, ``floor`` as
torch <= 1.4 did, whose windows are half a pixel smaller if a side is even.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tirtrack.trackers.online_settings import BorderMode, PatchGeneration

# A window shrunk to a side of the frame has that side only up to the rounding of two divisions,
# which must not change it by a whole pixel.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ExtractedPatch:
    """A patch and its window.

    Attributes:
        patch: patch ``[C,h,w]``, levels as in the picture.
        window_tlbr: top, left, bottom, right of the window, ``[4]``, frame pixels, ends exclusive,
            not rounded.
    """

    patch: Tensor
    window_tlbr: np.ndarray


@dataclass(frozen=True)
class SampleFrame:
    """Position and scale of a sample in the frame.

    Attributes:
        center_yx: centre of the sample, ``[2]``, frame pixels.
        scale: frame pixels per sample pixel.
        side_hw: sides of the sample, ``[2]``, sample pixels.
    """

    center_yx: np.ndarray
    scale: float
    side_hw: np.ndarray


def sample_patch(
    picture: np.ndarray,
    center_yx: np.ndarray,
    side_hw: np.ndarray,
    *,
    patch_hw: np.ndarray | None,
    dtype: torch.dtype,
    border_mode: BorderMode = "replicate",
    max_scale_change: float | None = None,
    generation: PatchGeneration = "real",
    is_mask: bool = False,
) -> ExtractedPatch:
    """The window of ``side_hw`` around a centre, resized to ``patch_hw``.

    Args:
        picture: frame ``[H,W]`` or ``[H,W,C]``.
        center_yx: centre of the window, ``[2]``, pixel indices; truncated to whole ones.
        side_hw: sides of the window, ``[2]``, frame pixels.
        patch_hw: sides of the patch, ``[2]``; ``None``: the window is not resized.
        dtype: number type of the patch.
        border_mode: ``replicate`` repeats the border outside the frame; ``inside`` and
            ``inside_major`` shrink the window until it fits in both directions, or in one, and move
            it inside.
        max_scale_change: largest factor by which the window may shrink.
        generation: rounding of the window; see the module.
        is_mask: whether to fill with 0 and resize by the nearest pixel.
    """
    center = np.trunc(center_yx)
    side = np.asarray(side_hw, dtype=np.float64)
    if border_mode != "replicate":
        side = _shrunk(side, picture.shape[:2], border_mode, max_scale_change)
    step = 1
    if patch_hw is not None:
        step = max(int((side / patch_hw).min() - 0.1), 1)
    offset = np.mod(center, step)
    shape = np.ceil((np.array(picture.shape[:2]) - offset) / step)  # of the decimated picture
    top_left, bottom_right = _window((center - offset) / step, side / step, generation)
    if border_mode != "replicate":
        top_left, bottom_right = _pushed_inside(top_left, bottom_right, shape)
    pixels = _taken(picture, top_left, bottom_right, offset=offset, step=step, is_mask=is_mask)
    patch = torch.from_numpy(pixels).to(dtype)
    return ExtractedPatch(
        patch=patch if patch_hw is None else _resized(patch, patch_hw, is_mask=is_mask),
        window_tlbr=step * np.concatenate([top_left, bottom_right]),
    )


def sample_patches(
    picture: np.ndarray,
    center_yx: np.ndarray,
    scales: Sequence[float],
    side_hw: np.ndarray,
    *,
    dtype: torch.dtype,
    border_mode: BorderMode,
    max_scale_change: float | None,
    generation: PatchGeneration,
) -> list[ExtractedPatch]:
    """One patch of ``side_hw`` for each scale, in frame pixels per patch pixel."""
    return [
        sample_patch(
            picture,
            center_yx,
            scale * side_hw,
            patch_hw=side_hw,
            dtype=dtype,
            border_mode=border_mode,
            max_scale_change=max_scale_change,
            generation=generation,
        )
        for scale in scales
    ]


def sample_frame(window_tlbr: np.ndarray, side_hw: np.ndarray) -> SampleFrame:
    """Position and scale of the sample of a window ``window_tlbr [4]``."""
    top_left, bottom_right = window_tlbr[:2], window_tlbr[2:]
    return SampleFrame(
        center_yx=0.5 * (top_left + bottom_right - 1),
        scale=float(np.sqrt(np.prod((bottom_right - top_left) / side_hw))),
        side_hw=side_hw,
    )


def box_in_sample(center_yx: np.ndarray, size_hw: np.ndarray, sample: SampleFrame) -> np.ndarray:
    """The box ``[4]`` xywh of a target, sample pixels."""
    center = (center_yx - sample.center_yx) / sample.scale + (sample.side_hw - 1) / 2
    size = size_hw / sample.scale
    return np.concatenate([(center - (size - 1) / 2)[::-1], size[::-1]])


def _shrunk(
    side: np.ndarray,
    shape: tuple[int, ...],
    border_mode: BorderMode,
    max_scale_change: float | None,
) -> np.ndarray:
    over = side / np.array(shape)
    factor = float(over.max() if border_mode == "inside" else over.min())
    return np.asarray(np.trunc(side / np.clip(factor, 1.0, max_scale_change) + _ROUNDING))


def _window(
    center: np.ndarray, side: np.ndarray, generation: PatchGeneration
) -> tuple[np.ndarray, np.ndarray]:
    whole = np.maximum(np.round(side), 2)
    before, after = (whole - 1) / 2, whole / 2
    if generation == "floor":
        before, after = np.floor(before), np.floor(after)
    return center - before, center + after + 1


def _pushed_inside(
    top_left: np.ndarray, bottom_right: np.ndarray, shape: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A window moved inside the picture; one that is larger is centred on it."""
    shift = _beyond(-top_left) - _beyond(bottom_right - shape)
    top_left, bottom_right = top_left + shift, bottom_right + shift
    outside = np.floor((_beyond(-top_left) + _beyond(bottom_right - shape)) / 2)
    shift = np.where(outside > 0, -top_left - outside, 0.0)
    return top_left + shift, bottom_right + shift


def _beyond(distance: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(distance, 0.0))


def _taken(
    picture: np.ndarray,
    top_left: np.ndarray,
    bottom_right: np.ndarray,
    *,
    offset: np.ndarray,
    step: int,
    is_mask: bool,
) -> np.ndarray:
    """The pixels ``[C,h,w]`` of a window of the picture decimated by ``step`` from ``offset``.

    Its ends are truncated toward 0, so a window that begins left of or above the picture is a pixel
    smaller.
    """
    rows, columns = (
        np.arange(int(start), int(stop)) for start, stop in zip(top_left, bottom_right, strict=True)
    )
    lengths = [
        -((int(first) - length) // step)
        for first, length in zip(offset, picture.shape[:2], strict=True)
    ]
    inside_rows = rows.clip(0, lengths[0] - 1)
    inside_columns = columns.clip(0, lengths[1] - 1)
    pixels = picture[
        (int(offset[0]) + step * inside_rows)[:, None], int(offset[1]) + step * inside_columns
    ]
    if is_mask:
        outside = (rows != inside_rows)[:, None] | (columns != inside_columns)
        pixels = np.where(outside.reshape(outside.shape + (1,) * (pixels.ndim - 2)), 0, pixels)
    return np.ascontiguousarray(np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), -1, 0))


def _resized(patch: Tensor, patch_hw: np.ndarray, *, is_mask: bool) -> Tensor:
    height, width = (int(side) for side in patch_hw)
    if patch.shape[-2:] == (height, width):
        return patch
    if is_mask:
        return functional.interpolate(patch[None], (height, width), mode="nearest")[0]
    return functional.interpolate(
        patch[None], (height, width), mode="bilinear", align_corners=False
    )[0]
