"""Overlap of boxes as the VOT toolkit counts it: by pixels, of rounded float32 boxes.

Each of x, y, w, h is rounded by itself, halves to even; the last column is ``x + w - 1``. Two
quirks are kept: boxes whose common extent is one pixel wide or high overlap fully, and without a
size of the frame columns and rows are cut where the common extent begins before 0.
"""

from __future__ import annotations

import numpy as np


def raster_overlap(
    boxes: np.ndarray, annotation: np.ndarray, size_wh: tuple[int, int] | None
) -> np.ndarray:
    """Shares of common pixels ``[T]`` of boxes ``[T,4]`` and ``[T,4]`` xywh, 0-based.

    A row with a NaN is not a shape: its overlap is 1 with another such row and else 0.

    Args:
        boxes: result.
        annotation: annotation.
        size_wh: width and height of the frames, whose pixels alone count; ``None``: all count.
    """
    special = np.isnan(boxes).any(axis=1), np.isnan(annotation).any(axis=1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        a, b = _bounds(boxes), _bounds(annotation)
        joint = np.concatenate([np.minimum(a, b)[:, :2], np.maximum(a, b)[:, 2:]], axis=1)
        nothing = _empty(joint)
        window = joint
        if size_wh is not None:
            width, height = size_wh
            window = np.concatenate(
                [
                    np.maximum(joint[:, :2], 0),
                    np.minimum(joint[:, 2:], [width - 1, height - 1]),
                ],
                axis=1,
            )
        rows_a, rows_b = _in_window(a, window), _in_window(b, window)
        both = np.concatenate(
            [np.maximum(rows_a, rows_b)[:, :2], np.minimum(rows_a, rows_b)[:, 2:]], axis=1
        )
        shared = _pixels(both)
        union = _pixels(rows_a) + _pixels(rows_b) - shared
        found = np.where(union > 0, shared / union, 0.0)
    found = np.where(_empty(window), 0.0, found)
    found = np.where(nothing, 1.0, found)
    return np.where(special[0] | special[1], special[0] & special[1], found).astype(np.float64)


def _bounds(boxes: np.ndarray) -> np.ndarray:
    """First and last column and row, ``[T,4]``: left, top, right, bottom."""
    rounded = np.round(boxes.astype(np.float32)).astype(np.float64)
    return np.concatenate([rounded[:, :2], rounded[:, :2] + rounded[:, 2:] - 1], axis=1)


def _empty(extent: np.ndarray) -> np.ndarray:
    return np.asarray((extent[:, 0] >= extent[:, 2]) | (extent[:, 1] >= extent[:, 3]))


def _in_window(bounds: np.ndarray, window: np.ndarray) -> np.ndarray:
    """First and last column and row of shapes in an array that begins at the window's corner.

    The toolkit ends a shape at the lesser of its own last column, counted from the window, and of
    that of the window, counted from the frame; a negative end counts from the end of the array.
    """
    corner, sides = window[:, :2], window[:, 2:] - window[:, :2] + 1
    stop = np.minimum(window[:, 2:], bounds[:, 2:] - corner) + 1
    stop = np.minimum(np.where(stop < 0, stop + sides, stop), sides)
    stop = np.where(bounds[:, 2:] < corner, 0, stop)  # wholly before the window
    return np.concatenate([np.maximum(bounds[:, :2] - corner, 0), stop - 1], axis=1)


def _pixels(extent: np.ndarray) -> np.ndarray:
    sides = np.maximum(extent[:, 2:] - extent[:, :2] + 1, 0)
    return np.asarray(sides.prod(axis=1))
