"""Arithmetic on image planes, used by the saliency: halving, box means, sums."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def halve(plane: Plane) -> Plane:
    """``[H,W,...]`` to ``[H//2,W//2,...]``: the mean of every 2x2 block; an odd last row or column
    is dropped.
    """
    height, width = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    even = plane[:height, :width]
    total = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    mean: Plane = total * np.float32(0.25)
    return mean


def neighbourhood(plane: Plane) -> Plane:
    """``[H,W]``: the mean of the 3x3 pixels around each, borders repeated."""
    padded = _padded(plane)
    rows = padded[:-2] + padded[1:-1]
    rows += padded[2:]
    mean = rows[:, :-2] + rows[:, 1:-1]
    mean += rows[:, 2:]
    mean *= np.float32(1 / 9)
    return mean


def highest(plane: Plane) -> Plane:
    """``[H,W]``: the maximum of the 3x3 pixels around each."""
    padded = _padded(plane)
    rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    return np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])


def lowest(plane: Plane) -> Plane:
    """``[H,W]``: the minimum of the 3x3 pixels around each."""
    return -highest(-plane)


def _padded(plane: Plane) -> Plane:
    """``[H+2,W+2]``: borders repeated once (``np.pad`` takes longer than what it is needed for)."""
    padded = np.empty((plane.shape[0] + 2, plane.shape[1] + 2), plane.dtype)
    padded[1:-1, 1:-1] = plane
    padded[0, 1:-1], padded[-1, 1:-1] = plane[0], plane[-1]
    padded[:, 0], padded[:, -1] = padded[:, 1], padded[:, -2]
    return padded


def integral(plane: Plane) -> NDArray[np.float64]:
    """``[H+1,W+1]``: sums over everything above and left of each corner."""
    table = np.zeros((plane.shape[0] + 1, plane.shape[1] + 1))
    table[1:, 1:] = plane
    return _summed(table)


def integral_with_squares(plane: Plane) -> NDArray[np.complex128]:
    """``[H+1,W+1]``: sums of a plane as real parts and of its squares as imaginary parts, which
    takes half the time of two :func:`integral`.
    """
    table = np.zeros((plane.shape[0] + 1, plane.shape[1] + 1), np.complex128)
    table.real[1:, 1:] = plane
    table.imag[1:, 1:] = plane * plane
    return _summed(table)


def _summed(table: NDArray[Any]) -> NDArray[Any]:
    """Sums in place; down the columns row by row, as ``np.cumsum`` there takes twice as long."""
    for above, row in pairwise(table.view(np.float64)):
        row += above
    return np.cumsum(table, axis=1, out=table)


def extent_sums(
    table: NDArray[np.float64], boxes: np.ndarray
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sums ``[n]`` over boxes ``[n,4]``, rounded to whole pixels and cut at the border, and how
    many pixels each has (at least 1).
    """
    height, width = table.shape[0] - 1, table.shape[1] - 1
    x1 = np.clip(np.rint(boxes[:, 0]), 0, width).astype(np.int64)
    y1 = np.clip(np.rint(boxes[:, 1]), 0, height).astype(np.int64)
    x2 = np.clip(np.rint(boxes[:, 0] + boxes[:, 2]), 0, width).astype(np.int64)
    y2 = np.clip(np.rint(boxes[:, 1] + boxes[:, 3]), 0, height).astype(np.int64)
    sums = table[y2, x2] - table[y1, x2] - table[y2, x1] + table[y1, x1]
    return sums, np.maximum((x2 - x1) * (y2 - y1), 1)
