"""Motion in a frame, relative to its neighbours in time.

Each neighbour is shifted onto the frame by one translation (phase correlation), which follows a
camera that pans. The motion of a pixel is its distance from the range that most neighbours show
within one pixel of its place; this margin absorbs what a translation leaves over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from tirtrack.pairs.proposals.planes import Plane, halve, highest, lowest

MAX_SHIFT_SHARE = 0.25


def motion_plane(
    plane: Plane, neighbours: Sequence[Plane], valid: Sequence[np.ndarray | None] = ()
) -> Plane:
    """``[H,W]``: by how many grey levels the frame lies outside the middle range of its neighbours,
    else 0.

    Args:
        plane: ``[H,W]`` brightness.
        neighbours: brightness of the neighbours, at least one, same size.
        valid: ``[H,W]`` mask of each neighbour's measured pixels; others are ignored. ``None``, or
            an empty sequence: all pixels.
    """
    moves = [translation(plane, other) for other in neighbours]
    aligned = [shifted(other, *move) for other, move in zip(neighbours, moves, strict=True)]
    for k, mask in enumerate(valid):
        if mask is not None:
            aligned[k] = np.where(shifted(mask, *moves[k]), aligned[k], plane)
    low = np.sort([lowest(other) for other in aligned], axis=0)
    high = np.sort([highest(other) for other in aligned], axis=0)
    count = len(aligned)
    beyond = np.maximum(plane - high[count // 2], low[(count - 1) // 2] - plane)
    motion: Plane = np.maximum(beyond, 0.0)
    return motion


def translation(plane: Plane, other: Plane) -> tuple[int, int]:
    """Pixels right and down by which ``other`` must move to lie on ``plane``; (0, 0) if the best
    shift is over a quarter of the frame.
    """
    small, small_other = (plane, other) if min(plane.shape) < 64 else (halve(plane), halve(other))
    factor = round(plane.shape[0] / small.shape[0])
    window = np.outer(np.hanning(small.shape[0]), np.hanning(small.shape[1])).astype(np.float32)
    spectrum = scipy.fft.rfft2((small - small.mean()) * window)
    spectrum_other = scipy.fft.rfft2((small_other - small_other.mean()) * window)
    cross = spectrum * np.conj(spectrum_other)
    size = np.abs(cross)
    cross /= size + 1e-3 * size.mean() + 1e-12
    peaks = scipy.fft.irfft2(cross, s=small.shape)
    row, column = np.unravel_index(int(peaks.argmax()), peaks.shape)
    dy = _vertex(np.take(peaks, [row - 1, row, row + 1], axis=0, mode="wrap")[:, column], row)
    dx = _vertex(np.take(peaks, [column - 1, column, column + 1], axis=1, mode="wrap")[row], column)
    dy, dx = _signed(dy, small.shape[0]), _signed(dx, small.shape[1])
    if abs(dy) > MAX_SHIFT_SHARE * small.shape[0] or abs(dx) > MAX_SHIFT_SHARE * small.shape[1]:
        return 0, 0
    return round(dx * factor), round(dy * factor)


def _vertex(values: np.ndarray, middle: np.intp) -> float:
    curvature = values[0] - 2 * values[1] + values[2]
    offset = 0.5 * (values[0] - values[2]) / curvature if curvature < 0 else 0.0
    return float(middle + offset)


def _signed(shift: float, length: int) -> float:
    return shift - length if shift > length / 2 else shift


def shifted(plane: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """``[H,W]`` moved right by ``dx`` and down by ``dy``; borders repeat."""
    rows = np.clip(np.arange(plane.shape[0]) - dy, 0, plane.shape[0] - 1)
    columns = np.clip(np.arange(plane.shape[1]) - dx, 0, plane.shape[1] - 1)
    return plane[rows][:, columns]
