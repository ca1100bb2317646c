"""Connected parts of planes above thresholds, and their extents.

A part is labelled by its runs, the unbroken rows of pixels in it, which are far fewer than its
pixels: many thresholds of many planes are labelled at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy

from tirtrack.pairs.proposals.planes import Plane


def parts_above(maps: Sequence[tuple[Plane, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The parts of planes that lie above thresholds; pixels that share a side belong together.

    Args:
        maps: planes ``[H,W]`` of one shape, each with its thresholds.

    Returns:
        ``[n,5]`` xywh of each part and the share of that box that it fills, and ``[n]`` its pixels;
        in the order of the planes, then of the thresholds, then of their first pixels.

    >>> plane = np.array([[0, 3, 3, 0], [0, 0, 3, 0]], np.float32)
    >>> parts_above([(plane, np.array([1.0, 2.0, 4.0]))])[0].tolist()
    [[1.0, 0.0, 2.0, 2.0, 0.75], [1.0, 0.0, 2.0, 2.0, 0.75]]
    """
    height, width = maps[0][0].shape
    line = width + 1  # no run reaches the next line
    above = np.zeros((sum(len(ladder) for _, ladder in maps), height, line), bool)
    pages = iter(above)
    for plane, ladder in maps:
        for threshold in ladder:
            np.greater(plane, _as_level(threshold, plane), out=next(pages)[:, :width])
    start, stop = _runs(above.ravel())
    row, column = np.divmod(start, line)
    count, part = _joined(start, stop, line, is_first=row % height == 0)
    row, length = row % height, stop - start
    area = np.bincount(part, weights=length, minlength=count)
    low, high = np.full((2, count), max(height, line)), np.zeros((2, count), np.int64)
    np.minimum.at(low[0], part, column)
    np.minimum.at(low[1], part, row)
    np.maximum.at(high[0], part, column + length)
    np.maximum.at(high[1], part, row + 1)
    sides = high - low
    return np.concatenate([low, sides, (area / sides.prod(axis=0))[None]]).T, area


def _as_level(threshold: float, plane: Plane) -> np.floating[Any]:
    """The largest level of the plane's type at or below a threshold: the same pixels lie above it,
    and numbers of one type compare in a third of the time.
    """
    level = plane.dtype.type(threshold)
    return np.nextafter(level, -np.inf, dtype=plane.dtype) if level > threshold else level


def _runs(above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where runs of true values start and where they have stopped, ``[r]`` each; the last value is
    false.
    """
    turns = np.flatnonzero(above[1:] != above[:-1]) + 1
    if above.size and above[0]:
        turns = np.concatenate([[0], turns])
    return turns[::2], turns[1::2]


def _joined(
    start: np.ndarray, stop: np.ndarray, line: int, is_first: np.ndarray
) -> tuple[int, np.ndarray]:
    """How many parts the runs form, and the part ``[r]`` of each; ``is_first``: there is no line
    above that of the run.
    """
    begin = np.searchsorted(stop, start - line, side="right")
    end = np.searchsorted(start, stop - line, side="left")
    touched = np.where(is_first, 0, end - begin)  # runs of the line above, from ``begin`` on
    until = np.cumsum(touched)
    other = np.arange(touched.sum()) + np.repeat(begin - (until - touched), touched)
    graph = scipy.sparse.csr_array(
        (np.ones(len(other)), other, np.concatenate([[0], until])), shape=(len(start), len(start))
    )
    count, part = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return int(count), part
