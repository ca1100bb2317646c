"""Per-frame measures: overlap, centre error, normalised centre error.

Two geometries: "inclusive pixels", that of the OTB family, and the continuous one of the GOT-10k
package and of pysot. Both are written in the order of operations of the official toolkits, so that
thresholds fall on the same side to the last bit. As in MATLAB, a NaN operand of ``min`` and
``max`` is ignored: a row whose ``x`` alone is NaN still overlaps, while its centre error is NaN.
The overlap of the rest of tirtrack is :func:`tirtrack.boxes.iou`.
"""

from __future__ import annotations

import numpy as np


def valid_rows(annotation: np.ndarray) -> np.ndarray:
    """``[T]`` bool: the rows ``[T,4]`` that are valid in the OTB family.

    All four numbers must be positive; so a box that touches ``x = 0`` or ``y = 0`` as stored is
    not valid, nor is a NaN row.
    """
    return np.asarray((annotation > 0).all(axis=-1))


def first_valid_row(annotation: np.ndarray) -> int | None:
    """The row of ``annotation [T,4]`` where a sequence starts; ``None`` if no row is valid."""
    if len(annotation) and (annotation[0] > 0).all():  # as a rule
        return 0
    valid = valid_rows(annotation)
    return int(valid.argmax()) if valid.any() else None


def _extent(
    start_a: np.ndarray, size_a: np.ndarray, start_b: np.ndarray, size_b: np.ndarray
) -> np.ndarray:
    end_a = start_a + size_a - 1
    end_b = start_b + size_b - 1
    shared = np.fmin(end_a, end_b) - np.fmax(start_a, start_b) + 1
    return np.asarray(np.fmax(0.0, shared))


def overlap(boxes: np.ndarray, annotation: np.ndarray) -> np.ndarray:
    """Intersection over union row by row: ``[T,4]`` and ``[T,4]`` xywh to ``[T]``.

    Not always finite: two boxes without area give NaN.

    >>> overlap(np.array([[1.0, 1, 2, 2]]), np.array([[2.0, 1, 2, 2]])).round(4)
    array([0.3333])
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        width = _extent(boxes[:, 0], boxes[:, 2], annotation[:, 0], annotation[:, 2])
        height = _extent(boxes[:, 1], boxes[:, 3], annotation[:, 1], annotation[:, 3])
        shared = width * height
        area = boxes[:, 2] * boxes[:, 3]
        area_annotation = annotation[:, 2] * annotation[:, 3]
        return np.asarray(shared / (area + area_annotation - shared))


def _centers(boxes: np.ndarray) -> np.ndarray:
    return np.asarray(boxes[:, :2] + (boxes[:, 2:] - 1) / 2)


def center_error(boxes: np.ndarray, annotation: np.ndarray) -> np.ndarray:
    """Distance of the centres in pixels: ``[T,4]`` and ``[T,4]`` to ``[T]``; NaN stays NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = _centers(boxes) - _centers(annotation)
        return np.asarray(np.sqrt(difference[:, 0] ** 2 + difference[:, 1] ** 2))


def norm_center_error(boxes: np.ndarray, annotation: np.ndarray) -> np.ndarray:
    """Distance of the centres in sizes of the annotated box, ``[T]``.

    The centres are divided before they are subtracted, as in the official code.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        size_wh = annotation[:, 2:]
        difference = np.abs(_centers(boxes) / size_wh - _centers(annotation) / size_wh)
        return np.asarray(np.sqrt(difference[:, 0] ** 2 + difference[:, 1] ** 2))


def continuous_overlap(
    boxes: np.ndarray, annotation: np.ndarray, *, epsilon: float = 0.0
) -> np.ndarray:
    """Intersection over union row by row, without inclusive pixels: ``[T,4]`` twice to ``[T]``.

    Args:
        boxes: result, xywh.
        annotation: annotation, xywh.
        epsilon: number added to the union: 0 in pysot, that of float64 in the GOT-10k package.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        ends, ends_annotation = boxes[:, :2] + boxes[:, 2:], annotation[:, :2] + annotation[:, 2:]
        sides = np.minimum(ends, ends_annotation) - np.maximum(boxes[:, :2], annotation[:, :2])
        shared = np.maximum(0.0, sides).prod(axis=1)
        area, area_annotation = boxes[:, 2:].prod(axis=1), annotation[:, 2:].prod(axis=1)
        return np.asarray(np.clip(shared / (area + area_annotation - shared + epsilon), 0.0, 1.0))


def padded_norm_center_error(
    boxes: np.ndarray, annotation: np.ndarray, *, padding: float
) -> np.ndarray:
    """Like :func:`norm_center_error`, with a number added to the sizes that divide."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        size_wh = annotation[:, 2:] + padding
        difference = _centers(boxes) / size_wh - _centers(annotation) / size_wh
        return np.asarray(np.sqrt((difference**2).sum(axis=1)))


def positive_centers(annotation: np.ndarray) -> np.ndarray:
    """``[T]`` bool: the rows whose centre has two positive coordinates."""
    return np.asarray((_centers(annotation) > 0).all(axis=1))


def geometric_center_error(boxes: np.ndarray, annotation: np.ndarray) -> np.ndarray:
    """Distance of the centres ``x + w/2``, pixels; :func:`center_error` has ``x + (w - 1)/2``."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = boxes[:, :2] + boxes[:, 2:] / 2 - (annotation[:, :2] + annotation[:, 2:] / 2)
        return np.asarray(np.sqrt((difference**2).sum(axis=1)))


def clipped(boxes: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Boxes ``[T,4]`` cut to an image as the GOT-10k package does it.

    An edge that moves to 0 does not reduce the size, so a box over the left edge moves right.
    """
    start = np.clip(boxes[:, :2], 0, size_wh)
    return np.concatenate([start, np.clip(boxes[:, 2:], 0, np.array(size_wh) - start)], axis=1)
