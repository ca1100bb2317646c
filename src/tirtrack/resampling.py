"""Resampling of a frame at the places of a patch: bilinear, and the 8-bit one of published code.

Each axis by itself: rows first, then columns. Where each axis is read, and with which weights, is
an :class:`AxisTaps`; :func:`resampled` is the one routine for all frames, crops and borders.
Nothing here knows what a crop is for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

_NUMBERS_AT_ONCE = 1 << 16  # keeps the scratch arrays in the second-level cache


@dataclass(frozen=True)
class AxisTaps:
    """Where one axis of a patch is read: two neighbours and their weights, each ``[D]``.

    Indices never fall. ``outside`` is the weight of neighbours beyond the frame; theirs in
    ``low_weight`` and ``high_weight`` is 0 and their index is that of a border pixel.
    """

    low: np.ndarray
    high: np.ndarray
    low_weight: np.ndarray
    high_weight: np.ndarray
    outside: np.ndarray

    def repeating(self) -> AxisTaps:
        """The same, but what lies beyond the frame is its border pixel (all the weight there is
        belongs to the index nearest to it).
        """
        if not self.outside.any():
            return self
        beyond = self.outside > 0
        at_start = beyond & (self.low == 0)
        low_weight = self.low_weight + np.where(beyond & at_start, self.outside, np.float32(0))
        high_weight = self.high_weight + np.where(beyond & ~at_start, self.outside, np.float32(0))
        return AxisTaps(self.low, self.high, low_weight, high_weight, np.zeros_like(self.outside))

    def of_channels(self, channels: int) -> AxisTaps:
        """The taps of rows ``[D*C]`` in which the channels of a pixel lie side by side."""
        plane = np.arange(channels)
        low, high = ((index[:, None] * channels + plane).ravel() for index in (self.low, self.high))
        weights = (self.low_weight, self.high_weight, self.outside)
        return AxisTaps(low, high, *(np.repeat(weight, channels) for weight in weights))


def axis_taps(start: float, side: float, patch_side: int, *, length: int) -> AxisTaps:
    """The taps of a crop on one axis: patch pixel ``p`` lies at ``start + (p + 0.5) * side / D``.

    Args:
        start: first edge of the crop, frame pixels, continuous.
        side: side of the crop, frame pixels.
        patch_side: side ``D`` of the patch.
        length: pixels of the frame on this axis.
    """
    places = _half_grid(patch_side) * (side / patch_side) + (start - 0.5)
    inside = places[0] >= 0 and places[-1] < length - 1
    if not inside:  # beyond the clip all is fill, and indices stay small
        places = places.clip(-2.0, length + 1.0)
    floor = np.floor(places)
    low = floor.astype(np.int64)
    high_weight = (places - floor).astype(np.float32)
    low_weight = np.float32(1) - high_weight
    if inside:
        return AxisTaps(low, low + 1, low_weight, high_weight, np.zeros(patch_side, np.float32))
    low_in, high_in = (low >= 0) & (low < length), (low >= -1) & (low < length - 1)
    outside = np.where(low_in, np.float32(0), low_weight)
    return AxisTaps(
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


def resampled(frame: np.ndarray, rows: AxisTaps, columns: AxisTaps, fill: np.ndarray) -> np.ndarray:
    """The patch ``[D,D*C]`` float32 of a frame, the channels of a pixel side by side.

    A few rows at a time are mixed from two rows each, then their columns; each step reads and
    writes contiguously.

    Args:
        frame: ``[H,W]`` or ``[H,W,C]``, any number type; only read.
        rows: taps of the vertical axis.
        columns: taps of the horizontal axis.
        fill: level outside the frame, ``[C]``.
    """
    side, channels = len(rows.low), len(fill)
    source, rows = _needed(frame, rows, axis=0)
    source, columns = _needed(source, columns, axis=1)
    source = source.reshape(len(source), -1)
    across = columns.of_channels(channels)
    rows_fill = np.tile(fill, side).astype(np.float32)
    columns_fill = across.outside * rows_fill
    rows_cross, columns_cross = bool(rows.outside.any()), bool(columns.outside.any())

    at_once = max(1, _NUMBERS_AT_ONCE // (side * channels))
    upper, lower = np.empty((2, at_once, source.shape[1]), dtype=np.float32)
    right = np.empty((at_once, side * channels), dtype=np.float32)
    patch = np.empty((side, side * channels), dtype=np.float32)
    for begin in range(0, side, at_once):
        part = slice(begin, begin + at_once)
        left = patch[part]
        mixed, below, more = upper[: len(left)], lower[: len(left)], right[: len(left)]
        mixed[...], below[...] = source[rows.low[part]], source[rows.high[part]]
        _mix(mixed, below, rows.low_weight[part, None], rows.high_weight[part, None])
        # mode "clip" writes straight into out; the indices are inside anyway
        np.take(mixed, across.low, axis=1, out=left, mode="clip")
        np.take(mixed, across.high, axis=1, out=more, mode="clip")
        _mix(left, more, across.low_weight, across.high_weight)
        outside = rows.outside[part, None]
        if columns_cross:
            left += np.multiply(1 - outside, columns_fill, out=more)
        if rows_cross:
            left += np.multiply(outside, rows_fill, out=more)
    return patch


def resampled_at(
    frame: np.ndarray, places_xy: np.ndarray, fill: np.ndarray | float | None
) -> np.ndarray:
    """The levels of a frame at any places, bilinear between the four pixels around each.

    Args:
        frame: ``[H,W]`` or ``[H,W,C]``, any number type; only read.
        places_xy: ``[...,2]``, continuous (the centre of pixel 0 is at 0.5).
        fill: level outside the frame, one number or one per channel; ``None`` repeats its border.

    Returns:
        ``[...]`` or ``[...,C]`` float32.
    """
    height, width = frame.shape[:2]
    rows, row_low, row_high = _neighbours(places_xy[..., 1], height, repeats=fill is None)
    columns, column_low, column_high = _neighbours(places_xy[..., 0], width, repeats=fill is None)
    more = (...,) + (None,) * (frame.ndim - 2)
    total = np.zeros((*places_xy.shape[:-1], *frame.shape[2:]), np.float32)
    for row, row_weight in zip(rows, (row_low, row_high), strict=True):
        for column, column_weight in zip(columns, (column_low, column_high), strict=True):
            total += frame[row, column] * (row_weight * column_weight)[more]
    if fill is not None:
        inside = (row_low + row_high) * (column_low + column_high)
        total += (1 - inside)[more] * np.asarray(fill, np.float32)
    return total


def _neighbours(
    places: np.ndarray, length: int, *, repeats: bool
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Indices of the two pixels around each place on one axis, and their weights float32; 0 for
    those outside.
    """
    low, high = (0.0, length - 1.0) if repeats else (-2.0, length + 1.0)
    places = (places - 0.5).clip(low, high)
    floor = np.floor(places)
    first = floor.astype(np.int64)
    share = (places - floor).astype(np.float32)
    indices = first.clip(0, length - 1), (first + 1).clip(0, length - 1)
    if repeats:
        return indices, np.float32(1) - share, share
    low_weight = (np.float32(1) - share) * ((first >= 0) & (first < length))
    high_weight = share * ((first >= -1) & (first < length - 1))
    return indices, low_weight, high_weight


def _needed(frame: np.ndarray, taps: AxisTaps, *, axis: int) -> tuple[np.ndarray, AxisTaps]:
    """The part of a frame that is read along an axis, and the taps in it: a view, or a copy of its
    neighbours alone where most of it is skipped.
    """
    side, first, end = len(taps.low), int(taps.low[0]), int(taps.high[-1]) + 1
    if end - first <= 2 * side:
        part = frame[first:end] if axis == 0 else frame[:, first:end]
        return part, replace(taps, low=taps.low - first, high=taps.high - first)
    part = frame.take(np.concatenate([taps.low, taps.high]), axis)
    places = np.arange(2 * side)
    return part, replace(taps, low=places[:side], high=places[side:])


def _mix(one: np.ndarray, other: np.ndarray, weight: np.ndarray, other_weight: np.ndarray) -> None:
    """Turn ``one`` into the weighted sum of the two; ``other`` is used up."""
    one *= weight
    other *= other_weight
    one += other


def resized_published(cut: np.ndarray, patch_side: int) -> np.ndarray:
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
