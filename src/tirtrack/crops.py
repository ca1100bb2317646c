"""Patches: square cut-outs of a frame, resized to a network's input.

One patch is one affine map between frame pixels and patch pixels: a :class:`Crop` says where the
square lies and how many patch pixels it becomes. :func:`cut_patch` samples it at continuous places,
so boxes map exactly and a jitter of a tenth of a pixel is a jitter of a tenth of a pixel.
:func:`cut_patch_published` is the integer crop of the published Siamese code, byte for byte.
Nothing here knows trackers, networks or files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from tirtrack.boxes import Box

TEMPLATE_SIDE = 127
SEARCH_SIDE = 255

_ROWS_AT_ONCE = 64  # keeps the scratch arrays in the second-level cache


@dataclass(frozen=True)
class Crop:
    """A square of the frame that becomes a patch; or a rectangle that is stretched to the square.

    Attributes:
        x: left side, frame pixels, continuous.
        y: top side.
        side: side in frame pixels, above 0; for a rectangle its width.
        patch_side: side ``D`` of the patch, in patch pixels.
        aspect: height over width, above 0; 1 for a square.
        is_mirrored: whether the patch shows it with left and right exchanged.
    """

    x: float
    y: float
    side: float
    patch_side: int
    aspect: float = 1.0
    is_mirrored: bool = False

    @property
    def height(self) -> float:
        """Height in frame pixels."""
        return self.side * self.aspect

    @property
    def scale(self) -> float:
        """Patch pixels in one frame pixel; for a rectangle, horizontally."""
        return self.patch_side / self.side

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Patch pixels in one frame pixel, horizontally and vertically."""
        return self.scale, self.patch_side / self.height


@dataclass(frozen=True)
class CropRule:
    """How a network wants its patches cut: a fact of the network, like its stride.

    Attributes:
        patch_side: side ``D`` of the patch, pixels.
        area_factor: side of the crop over ``sqrt(w * h)`` of the target; ``None``: the context of
            the Siamese family (:func:`siamese_crop`).
        border: fill outside the frame: its ``mean``, or its border pixels repeated. Then
            ``centred`` leaves the crop where it is, ``replicate`` first moves it into the frame
            as far as it fits, ``inside`` and ``inside_major`` shrink it before, until it fits
            along both axes or along one (:func:`training_crop`).
        max_scale_change: limit to which ``inside`` and ``inside_major`` may shrink; ``None``: none.
        stretched: whether the crop is ``area_factor`` times the target's width by ``area_factor``
            times its height (:func:`stretched_crop`), so every target is square in the patch.
    """

    patch_side: int
    area_factor: float | None = None
    border: Literal["mean", "centred", "replicate", "inside", "inside_major"] = "mean"
    max_scale_change: float | None = None
    stretched: bool = False


def context_side(size_wh: np.ndarray) -> np.ndarray:
    """Side of the square that a template covers, for targets of size ``[...,2]``: ``[...]``.

    ``sqrt((w + p)(h + p))`` with ``p = (w + h) / 2``: the target and half its size around it.

    >>> float(context_side(np.array([20.0, 20.0])))
    40.0
    """
    size = np.asarray(size_wh, dtype=np.float64)
    padding = size.sum(axis=-1) / 2
    return np.asarray(np.sqrt((size[..., 0] + padding) * (size[..., 1] + padding)))


def siamese_crop(
    box: Box,
    patch_side: int,
    *,
    shift_patch_xy: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
) -> Crop:
    """The crop of the Siamese family around a box.

    A template (``patch_side`` 127) covers the context of the target, a search patch (255) covers
    255/127 of it, so both show the target at one size.

    Args:
        box: the target, frame pixels.
        patch_side: side of the patch.
        shift_patch_xy: offset of the target's centre from the patch centre, patch pixels of the
            scaled crop.
        scale: factor on the side of the crop; 2 shows the target at half its size.
    """
    side = float(context_side(np.array([box.w, box.h]))) * patch_side / TEMPLATE_SIDE * scale
    cx, cy = box.center_xy
    step = side / patch_side
    left = cx - side / 2 - shift_patch_xy[0] * step
    top = cy - side / 2 - shift_patch_xy[1] * step
    return Crop(x=left, y=top, side=side, patch_side=patch_side)


def stretched_crop(
    box: Box,
    patch_side: int,
    *,
    area_factor: float,
    shift_patch_xy: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
) -> Crop:
    """The crop around a box whose sides are ``area_factor`` times those of the box.

    Whatever the shape of the target, it is a square of ``patch_side / area_factor`` patch pixels.

    Args:
        box: the target, frame pixels.
        patch_side: side of the patch.
        area_factor: sides of the crop over those of the box; 1.4 adds a fifth on every side.
        shift_patch_xy: offset of the target's centre from the patch centre, patch pixels of the
            scaled crop.
        scale: factor on both sides of the crop.

    >>> stretched_crop(Box(50.0, 40.0, 10.0, 20.0), 256, area_factor=5.0)
    Crop(x=30.0, y=0.0, side=50.0, patch_side=256, aspect=2.0, is_mirrored=False)
    """
    width, height = (side * area_factor * scale for side in (box.w, box.h))
    cx, cy = box.center_xy
    left = cx - width * (0.5 + shift_patch_xy[0] / patch_side)
    top = cy - height * (0.5 + shift_patch_xy[1] / patch_side)
    return Crop(x=left, y=top, side=width, patch_side=patch_side, aspect=height / width)


def training_crop(box: Box, rule: CropRule, frame_hw: tuple[int, int]) -> Crop:
    """The crop around a jittered box, as the DiMP family and ATOM cut their training patches.

    The side is whole, ``ceil(sqrt(w h) * area_factor)``. ``centred`` (ATOM) puts the box half a
    patch pixel left of and above the patch's middle. All others put the crop at whole pixels and
    move it into the frame as far as it fits - by ``replicate`` too, as the published code does.
    Two things differ from that code, neither by more than a pixel at the border: a centred crop is
    not rounded (there boxes ignored the rounding), and no row is cut off when the border is
    touched.

    Args:
        box: the jittered target, frame pixels.
        rule: crop rule with an area factor.
        frame_hw: height and width of the frame.

    Raises:
        ValueError: the rule is that of the Siamese family.

    >>> rule = CropRule(352, 6.0, "inside_major", 1.5)
    >>> training_crop(Box(600.0, 460.0, 60.0, 40.0), rule, (480, 640))
    Crop(x=346.0, y=186.0, side=294.0, patch_side=352, aspect=1.0, is_mirrored=False)
    """
    if rule.area_factor is None or rule.border == "mean":
        raise ValueError(f"a training crop needs a rule with an area factor, got {rule}")
    side = max(math.ceil(math.sqrt(box.w * box.h) * rule.area_factor), 1)
    cx, cy = box.center_xy
    if rule.border == "centred":
        middle = (rule.patch_side - 1) / 2 * (side / rule.patch_side)
        return Crop(cx - middle, cy - middle, float(side), rule.patch_side)
    height, width = frame_hw
    side = _shrunk(side, rule, frame_hw)
    left, top = (
        _moved_inside(round(centre - side / 2), side, length)
        for centre, length in ((cx, width), (cy, height))
    )
    return Crop(float(left), float(top), float(side), rule.patch_side)


def _shrunk(side: int, rule: CropRule, frame_hw: tuple[int, int]) -> int:
    """The side, so that it fits along both axes (``inside``) or one (``inside_major``)."""
    if rule.border == "replicate":
        return side
    ratios = [side / length for length in frame_hw]
    excess = max(1.0, max(ratios) if rule.border == "inside" else min(ratios))
    if rule.max_scale_change is not None:
        excess = min(excess, rule.max_scale_change)
    return math.floor(side / excess)


def _moved_inside(start: int, side: int, length: int) -> int:
    """The start of a crop on one axis, moved into the frame; a crop that is longer than the frame
    is centred on it.
    """
    start += max(0, -start) + min(0, length - (start + side))
    out = (max(0, -start) + max(0, start + side - length)) // 2
    return -out if out > 0 else start


def boxes_to_patch(boxes: np.ndarray, crop: Crop) -> np.ndarray:
    """Boxes of the frame in patch pixels.

    A crop scales and shifts but never rotates, so a box stays a box. Nothing is clipped: a box may
    lie partly or wholly outside the patch.

    Args:
        boxes: ``[...,4]`` xywh, frame pixels.
        crop: crop of the patch.

    Returns:
        ``[...,4]`` float64, xywh, patch pixels.

    Raises:
        ValueError: the last axis is not 4.

    >>> crop = Crop(x=100.0, y=50.0, side=144.0, patch_side=288)
    >>> boxes_to_patch(np.array([110.0, 60.0, 20.0, 30.0]), crop)
    array([20., 20., 40., 60.])
    """
    inside = (_as_boxes(boxes) - [crop.x, crop.y, 0.0, 0.0]) * (crop.scale_xy * 2)
    return _mirrored(inside, crop) if crop.is_mirrored else inside


def boxes_to_frame(boxes_patch: np.ndarray, crop: Crop) -> np.ndarray:
    """Boxes of the patch, ``[...,4]`` xywh patch pixels, in frame pixels; undoes
    :func:`boxes_to_patch`.

    Raises:
        ValueError: the last axis is not 4.
    """
    inside = _as_boxes(boxes_patch)
    if crop.is_mirrored:
        inside = _mirrored(inside, crop)
    return inside / (crop.scale_xy * 2) + [crop.x, crop.y, 0.0, 0.0]


def _mirrored(boxes_patch: np.ndarray, crop: Crop) -> np.ndarray:
    x, y, w, h = np.moveaxis(boxes_patch, -1, 0)
    return np.stack([crop.patch_side - (x + w), y, w, h], axis=-1)


def mean_fill(frame: np.ndarray) -> np.ndarray:
    """Mean of a frame, with which patches are filled outside it.

    Each channel is summed by itself, so a grey frame and its copy in three channels have the same
    mean to the last bit.

    Args:
        frame: ``[H,W]`` or ``[H,W,C]``.

    Returns:
        float64, ``[]`` for a grey frame, else ``[C]``.
    """
    if frame.ndim == 2:
        return np.asarray(_mean(frame))
    return np.array([_mean(frame[..., channel]) for channel in range(frame.shape[2])])


def cut_patch(frame: np.ndarray, crop: Crop, fill: np.ndarray | float | None) -> np.ndarray:
    """The patch of a crop, sampled bilinearly at continuous places.

    Patch pixel ``p`` samples frame position ``crop.x + (p + 0.5) * side / D``; each of the four
    neighbours that lies outside the frame is ``fill``, or the nearest border pixel. Time and memory
    are bounded by ``D`` and the width of the frame, however large the crop is.

    Args:
        frame: ``[H,W]`` or ``[H,W,C]``, any number type; only read.
        crop: crop to cut; it may lie partly or wholly outside the frame.
        fill: one number, or one per channel; ``None`` repeats the border pixels.

    Returns:
        ``[D,D]`` or ``[D,D,C]`` float32, in the frame's own grey levels, not rounded.

    Raises:
        ValueError: the frame is neither ``[H,W]`` nor ``[H,W,C]``.
    """
    if frame.ndim not in (2, 3):
        raise ValueError(f"a frame must be [H,W] or [H,W,C], got {list(frame.shape)}")
    height, width = frame.shape[:2]
    rows = _taps(crop.y, crop.height, crop.patch_side, length=height)
    columns = _taps(crop.x, crop.side, crop.patch_side, length=width)
    side = crop.patch_side
    channels = 1 if frame.ndim == 2 else frame.shape[2]
    if fill is None:
        rows, columns, fill = rows.repeating(), columns.repeating(), 0.0
    patch = _blend(frame, rows, columns, np.broadcast_to(fill, (channels,)))  # [D,D*C]
    patch = patch if frame.ndim == 2 else patch.reshape(side, side, channels)
    return np.ascontiguousarray(patch[:, ::-1]) if crop.is_mirrored else patch


def cut_patch_published(
    frame: np.ndarray,
    center_xy_index: tuple[float, float],
    side: int,
    *,
    patch_side: int,
    fill: np.ndarray,
) -> np.ndarray:
    """The patch of the published Siamese code: integer crop, then its 8-bit resize.

    Args:
        frame: ``[H,W,3]`` uint8.
        center_xy_index: centre counted in pixel indices, half a pixel less than ours.
        side: side of the crop, whole frame pixels.
        patch_side: side of the patch.
        fill: ``[3]`` mean of the first frame, cut toward zero here.

    Returns:
        ``[D,D,3]`` uint8, channels in the order of the frame.

    Raises:
        ValueError: the frame is not ``[H,W,3]`` uint8.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3:
        raise ValueError(f"frame must be [H,W,3] uint8, got {frame.dtype} {list(frame.shape)}")
    levels = np.asarray(fill, dtype=np.float64).astype(np.uint8)
    origin = published_origin(center_xy_index, side)
    square = _whole_pixels(frame, (*origin, side, side), levels)
    return square if side == patch_side else _resize_published(square, patch_side)


def cut_stretched_published(
    frame: np.ndarray, xywh: tuple[int, int, int, int], *, patch_side: int, fill: np.ndarray
) -> np.ndarray:
    """The patch of the published FEAR code: a rectangle of whole pixels, then the 8-bit resize.

    Args:
        frame: ``[H,W,3]`` uint8.
        xywh: the rectangle, frame pixels; it may lie partly or wholly outside the frame.
        patch_side: side of the patch.
        fill: ``[3]`` mean of the first frame, rounded here.

    Returns:
        ``[D,D,3]`` uint8, channels in the order of the frame.
    """
    return _resize_published(_whole_pixels(frame, xywh, np.rint(fill).astype(np.uint8)), patch_side)


def published_origin(center_xy_index: tuple[float, float], side: int) -> tuple[int, int]:
    """First column and row of the published integer crop."""
    left, top = (int(np.floor(centre - (side + 1) / 2 + 0.5)) for centre in center_xy_index)
    return left, top


def _whole_pixels(
    frame: np.ndarray, xywh: tuple[int, int, int, int], fill: np.ndarray
) -> np.ndarray:
    """A rectangle of the frame ``[h,w,3]``, ``fill`` where it lies outside."""
    left, top, wide, high = xywh
    height, width = frame.shape[:2]
    rectangle = np.empty((high, wide, frame.shape[2]), dtype=np.uint8)
    rectangle[:] = fill
    x1, x2 = max(left, 0), min(left + wide, width)
    y1, y2 = max(top, 0), min(top + high, height)
    if x1 < x2 and y1 < y2:
        rectangle[y1 - top : y2 - top, x1 - left : x2 - left] = frame[y1:y2, x1:x2]
    return rectangle


def _as_boxes(boxes: np.ndarray) -> np.ndarray:
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.shape[-1] != 4:
        raise ValueError(f"boxes must be [...,4] xywh, got {list(boxes.shape)}")
    return boxes


def _mean(channel: np.ndarray) -> np.float64:
    return np.float64(np.ascontiguousarray(channel).mean(dtype=np.float64))


@dataclass(frozen=True)
class _Taps:
    """Where one axis of a patch is read: two neighbours and their weights, each ``[D]``.

    ``outside`` is the weight of neighbours beyond the frame; theirs in ``low_weight`` and
    ``high_weight`` is 0 and their index is that of a border pixel.
    """

    low: np.ndarray
    high: np.ndarray
    low_weight: np.ndarray
    high_weight: np.ndarray
    outside: np.ndarray

    def repeating(self) -> _Taps:
        """The same, but what lies beyond the frame is its border pixel (all the weight there is
        belongs to the index nearest to it).
        """
        if not self.outside.any():
            return self
        beyond = self.outside > 0
        at_start = beyond & (self.low == 0)
        low_weight = self.low_weight + np.where(beyond & at_start, self.outside, np.float32(0))
        high_weight = self.high_weight + np.where(beyond & ~at_start, self.outside, np.float32(0))
        return _Taps(self.low, self.high, low_weight, high_weight, np.zeros_like(self.outside))


def _taps(start: float, side: float, patch_side: int, *, length: int) -> _Taps:
    places = _half_grid(patch_side) * (side / patch_side) + (start - 0.5)
    inside = places[0] >= 0 and places[-1] < length - 1
    if not inside:  # beyond the clip all is fill, and indices stay small
        places = places.clip(-2.0, length + 1.0)
    floor = np.floor(places)
    low = floor.astype(np.int64)
    high_weight = (places - floor).astype(np.float32)
    low_weight = np.float32(1) - high_weight
    if inside:
        return _Taps(low, low + 1, low_weight, high_weight, np.zeros(patch_side, np.float32))
    low_in, high_in = (low >= 0) & (low < length), (low >= -1) & (low < length - 1)
    outside = np.where(low_in, np.float32(0), low_weight)
    return _Taps(
        low=low.clip(0, length - 1),
        high=(low + 1).clip(0, length - 1),
        low_weight=low_weight * low_in,
        high_weight=high_weight * high_in,
        outside=outside + np.where(high_in, np.float32(0), high_weight),
    )


@lru_cache(maxsize=8)
def _half_grid(patch_side: int) -> np.ndarray:
    """Centres of the patch pixels ``[D]``: 0.5, 1.5, ..."""
    grid = np.arange(patch_side) + 0.5
    grid.setflags(write=False)
    return grid


def _blend(frame: np.ndarray, rows: _Taps, columns: _Taps, fill: np.ndarray) -> np.ndarray:
    """``[D,D*C]``: pixel by pixel, the channels of each side by side.

    Rows first, then columns, a few rows at a time: both steps read and write contiguously.
    """
    side, channels = len(rows.low), len(fill)
    across = _across(columns, channels)
    rows_outside = np.tile(fill, side).astype(np.float32)
    columns_outside = np.repeat(columns.outside, channels) * rows_outside
    columns_cross, rows_cross = bool(columns.outside.any()), bool(rows.outside.any())
    read = frame[:, across.first : across.last + 1]

    upper = np.empty((_ROWS_AT_ONCE, across.width * channels), dtype=np.float32)
    lower = np.empty_like(upper)
    other = np.empty((_ROWS_AT_ONCE, side * channels), dtype=np.float32)
    patch = np.empty((side, side * channels), dtype=np.float32)
    for begin in range(0, side, _ROWS_AT_ONCE):
        part = slice(begin, min(begin + _ROWS_AT_ONCE, side))
        count = part.stop - begin
        out, more, mixed = patch[part], other[:count], upper[:count]
        _weighted_rows(read, rows.low[part], rows.low_weight[part], across, out=mixed)
        _weighted_rows(read, rows.high[part], rows.high_weight[part], across, out=lower[:count])
        mixed += lower[:count]
        # mode "clip" writes straight into out; the indices are inside anyway
        np.take(mixed, across.low, axis=1, out=out, mode="clip")
        np.take(mixed, across.high, axis=1, out=more, mode="clip")
        out *= across.low_weight
        more *= across.high_weight
        out += more
        outside = rows.outside[part, None]
        if columns_cross:
            out += np.multiply(1 - outside, columns_outside, out=more)
        if rows_cross:
            out += np.multiply(outside, rows_outside, out=more)
    return patch


@dataclass(frozen=True)
class _Across:
    """The columns of a patch, all channels: the columns read from a row, and the taps in them.

    ``columns`` names the columns to gather when the crop is so wide that most are skipped;
    ``low``, ``high`` and their weights are ``[D*C]``, the channels of a pixel side by side.
    """

    first: int
    last: int
    width: int
    columns: np.ndarray | None
    low: np.ndarray
    high: np.ndarray
    low_weight: np.ndarray
    high_weight: np.ndarray


def _across(columns: _Taps, channels: int) -> _Across:
    side = len(columns.low)
    first, last = int(columns.low[0]), int(columns.high[-1])
    low, high = columns.low - first, columns.high - first
    width, gathered = last + 1 - first, None
    if width > 2 * side:
        width, gathered = 2 * side, np.concatenate([low, high])
        low = np.arange(side)
        high = low + side
    plane = np.arange(channels)
    return _Across(
        first=first,
        last=last,
        width=width,
        columns=gathered,
        low=(low[:, None] * channels + plane).ravel(),
        high=(high[:, None] * channels + plane).ravel(),
        low_weight=np.repeat(columns.low_weight, channels),
        high_weight=np.repeat(columns.high_weight, channels),
    )


def _weighted_rows(
    read: np.ndarray, rows: np.ndarray, weights: np.ndarray, across: _Across, *, out: np.ndarray
) -> None:
    block = read[rows]
    if across.columns is not None:
        block = block.take(across.columns, axis=1)
    out[...] = block.reshape(out.shape)
    out *= weights[:, None]


def _resize_published(cut: np.ndarray, patch_side: int) -> np.ndarray:
    """The 8-bit linear resize of the published trackers: ``[h,w,3]`` to ``[D,D,3]`` uint8.

    Weights of 11 bits, truncated between the two passes: not the exact bilinear value.
    """
    wide = cut.astype(np.int32)
    if cut.shape[:2] == (2 * patch_side, 2 * patch_side):
        total = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
        return np.asarray((total + 2) >> 2).astype(np.uint8)

    # Columns beyond the border take one pixel with the whole weight ...
    low, low_weight, high_weight = _taps_published(cut.shape[1], patch_side)
    beyond = (low < 0) | (low >= cut.shape[1] - 1)
    left, right = low.clip(0, cut.shape[1] - 1), (low + 1).clip(0, cut.shape[1] - 1)
    left_weight = np.where(beyond, 2048, low_weight).astype(np.int32)[:, None]
    right_weight = np.where(beyond, 0, high_weight).astype(np.int32)[:, None]
    across = left_weight * wide[:, left] + right_weight * wide[:, right]  # [h,D,3]

    # ... rows keep both weights on the clamped index.
    low, low_weight, high_weight = _taps_published(len(cut), patch_side)
    upper = across[low.clip(0, len(cut) - 1)] >> 4
    lower = across[(low + 1).clip(0, len(cut) - 1)] >> 4
    upper_weight, lower_weight = low_weight[:, None, None], high_weight[:, None, None]
    mixed = ((upper_weight * upper) >> 16) + ((lower_weight * lower) >> 16) + 2
    return np.asarray(mixed >> 2).clip(0, 255).astype(np.uint8)


def _taps_published(length: int, patch_side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For one axis, each ``[D]``: the lower index, its weight and the upper one's, out of 2048."""
    steps = (np.arange(patch_side) + 0.5) * (length / patch_side) - 0.5
    places = steps.astype(np.float32)
    low = np.floor(places).astype(np.int64)
    fraction = places - low.astype(np.float32)
    high_weight = np.rint(fraction * np.float32(2048)).astype(np.int32)
    low_weight = np.rint((np.float32(1) - fraction) * np.float32(2048)).astype(np.int32)
    return low, low_weight, high_weight
