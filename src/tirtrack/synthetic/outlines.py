"""Silhouettes on a frame's grid: polygons drawn at a fraction of a pixel, and their extents."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tirtrack.synthetic.shapes import Part, Points

Array = NDArray[np.float32]
NO_BOX = np.full(4, np.nan)
_SMALL_PX = 40


@dataclass(frozen=True)
class Outline:
    """A silhouette on a frame's grid, as far as it lies in the frame.

    Attributes:
        left: first column of its window, pixels.
        top: first row of its window.
        names: names of surfaces; index k shows ``names[k - 1]``.
        index: ``[h*f, w*f]`` 0 outside the silhouette, else the number of the surface.
        fineness: sub-pixels f per pixel and axis.
    """

    left: int
    top: int
    names: tuple[str, ...]
    index: NDArray[np.uint8]
    fineness: int

    @property
    def coverage(self) -> Array:
        """``[h,w]`` share of each pixel inside the silhouette."""
        return pooled((self.index > 0).astype(np.float32), self.fineness)

    @property
    def box(self) -> NDArray[np.float64]:
        """``[4]`` extent inside the frame, to a sub-pixel; NaN if empty."""
        return self.extent_of(self.index > 0)

    def extent_of(self, cells: NDArray[np.bool_]) -> NDArray[np.float64]:
        """``[4]`` xywh of the set sub-pixels ``[h*f, w*f]``; NaN if there are none."""
        rows, columns = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
        if not len(rows):
            return NO_BOX
        corner = np.array([self.left, self.top]) + np.array([columns[0], rows[0]]) / self.fineness
        size = np.array([columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]) / self.fineness
        return np.concatenate([corner, size])


def pooled(values: Array, fineness: int) -> Array:
    """Mean over the sub-pixels of each pixel: ``[...,h*f,w*f]`` to ``[...,h,w]``."""
    for _ in range(fineness.bit_length() - 1):  # halve; faster than one reduction
        values = values[..., 0::2, :] + values[..., 1::2, :]
        values = values[..., 0::2] + values[..., 1::2]
    return values * np.float32(1 / (fineness * fineness))


def whole_extent(corners: list[Points]) -> tuple[NDArray[np.float64], int]:
    """Extent of all parts, in the frame or not: ``[4]`` xywh to a sub-pixel; sub-pixels a pixel."""
    everything = np.concatenate(corners)
    low, high = everything.min(axis=0), everything.max(axis=0)
    fineness = 4 if high[1] - low[1] < _SMALL_PX else 2
    low, high = np.floor(low * fineness), np.floor(high * fineness) + 1
    return np.concatenate([low, high - low]) / fineness, fineness


def raster(parts: list[Part], corners: list[Points], height: int, width: int) -> Outline | None:
    """Draw parts over each other on a frame's grid; ``corners`` are their corners in pixels.

    Returns:
        The outline, or None when no part of it falls in the frame.
    """
    (x, y, w, h), fineness = whole_extent(corners)
    left, top = max(math.floor(x), 0), max(math.floor(y), 0)
    right, bottom = min(math.ceil(x + w), width), min(math.ceil(y + h), height)
    if left >= right or top >= bottom:
        return None
    image = Image.new("L", ((right - left) * fineness, (bottom - top) * fineness))
    draw, names = ImageDraw.Draw(image), dict[str, int]()
    for part, points in zip(parts, corners, strict=True):
        # a vertex fills its sub-pixel: floor, so that negative ones do so too
        cells = np.floor(points * fineness) - np.array([left, top]) * fineness
        draw.polygon(cells.ravel().tolist(), fill=names.setdefault(part.surface, len(names) + 1))
    index = np.asarray(image)
    return Outline(left, top, tuple(names), index, fineness) if index.any() else None
