"""What a frame shows that its neighbours in time do not, in units of the frame's own noise.

Each neighbour is laid on the frame by a scale and a shift for each axis: a camera that pans, tilts
or zooms. (``motion`` lays it by a whole shift and counts in grey levels.) A pixel changed if its
level lies outside of the middle range of the neighbours there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from tirtrack.pairs.foreground import flattened, tukey_weights
from tirtrack.pairs.proposals.motion import translation
from tirtrack.pairs.proposals.planes import Plane, halve, neighbourhood

QUARTER = 4
STEPS = 5
DETAIL_PX = 4.0
EDGE_TOLERANCE = 0.35  # pixels by which the alignment may be off
MIN_NOISE_LEVELS = 0.7
COARSE_PX = 7
NOISE_STEP = 4  # pixels from one to the next that the noise is measured on


@dataclass(frozen=True)
class Change:
    """How far a frame lies outside of its neighbours, in standard deviations of the noise.

    Attributes:
        fine: ``[H,W]``, over 3x3 pixels.
        coarse: ``[H,W]``, over 7x7 pixels: finds faint objects, and joins their parts.
    """

    fine: Plane
    coarse: Plane


def change(
    planes: Sequence[Plane],
    neighbours: Sequence[Sequence[Plane]],
    known: Sequence[np.ndarray | None] = (),
) -> Change:
    """The change of a frame.

    Args:
        planes: ``[H,W]`` each: brightness, and perhaps opponents of colour.
        neighbours: the same planes of each neighbour, at least one neighbour.
        known: ``[H,W]`` mask of each neighbour's measured pixels; others show no change. ``None``,
            or an empty sequence: all pixels.
    """
    small = _small(planes[0])
    laid = []
    for place, other in enumerate(neighbours):
        moved = _aligned(small, _small(other[0]))
        valid = known[place] if known else None
        laid.append(_laid(planes, other, moved, valid))
    fine, coarse = np.zeros_like(planes[0]), np.zeros_like(planes[0])
    for place, plane in enumerate(planes):
        low, high = _middle_range([one[place] for one in laid])
        middle = np.float32(0.5) * (low + high)
        few = (slice(None, None, NOISE_STEP),) * 2
        off = np.abs(plane[few] - laid[0][place][few])
        noise = max(1.4826 * float(np.median(off)), MIN_NOISE_LEVELS)
        beyond = plane - np.minimum(np.maximum(plane, low), high)
        spread = _slope_squared(middle)
        spread *= np.float32(EDGE_TOLERANCE**2)
        spread += noise**2
        beyond /= np.sqrt(spread, out=spread)
        fine += neighbourhood(beyond) ** 2
        coarse += scipy.ndimage.uniform_filter(beyond, COARSE_PX) ** 2
    return Change(3 * np.sqrt(fine), COARSE_PX * np.sqrt(coarse))


def _middle_range(values: Sequence[Plane]) -> tuple[Plane, Plane]:
    """The two middle ones of the values of each pixel; of an odd number, the middle one twice."""
    ordered = list(values)
    for end in range(len(ordered) - 1, 0, -1):
        for k in range(end):
            low, high = ordered[k], ordered[k + 1]
            ordered[k], ordered[k + 1] = np.minimum(low, high), np.maximum(low, high)
    return ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]


def _slope_squared(plane: Plane) -> Plane:
    """``[H,W]``: square of the gradient, levels a pixel."""
    slope = np.zeros_like(plane)
    slope[:, 1:-1] = (plane[:, 2:] - plane[:, :-2]) ** 2
    slope[1:-1] += (plane[2:] - plane[:-2]) ** 2
    slope *= np.float32(0.25)
    return slope


# --- alignment -----------------------------------------------------------------------------------


def _small(plane: Plane) -> Plane:
    return flattened(halve(halve(plane)), DETAIL_PX)


def _places(length: int) -> np.ndarray:
    """Pixel indices as -1 to 1 from end to end."""
    return np.linspace(-1.0, 1.0, max(length, 2), dtype=np.float32)[:length]


def _aligned(fixed: Plane, moving: Plane) -> np.ndarray:
    """``[2,2]``, for x and y: by how many pixels ``moving`` is stretched at the ends and shifted,
    to lie on ``fixed``; Gauss-Newton from the best whole shift, pixels that move otherwise left
    out. No move where that lies better.
    """
    height, width = fixed.shape
    down, right = np.gradient(fixed)
    u, v = _places(width)[None, :], _places(height)[:, None]
    jacobian = np.stack([right * u, right, down * v, down], axis=2).reshape(-1, 4)
    dx, dy = translation(fixed, moving)
    moved = np.array([[0.0, -dx], [0.0, -dy]])
    still = np.abs(moving - fixed).mean()
    for _ in range(STEPS):
        off = (_resampled(moving, moved) - fixed).ravel()
        weighted = jacobian * tukey_weights(off)[:, None]
        normal = weighted.T @ jacobian + 1e-3 * np.eye(4)
        step = np.linalg.solve(normal, weighted.T @ off)
        moved = moved - step.reshape(2, 2)
        if np.abs(step).max() < 0.01:
            break
    lies = np.abs(_resampled(moving, moved) - fixed).mean()
    return moved if lies < still else np.zeros((2, 2))


def _resampled(plane: np.ndarray, moved: np.ndarray, factor: int = 1) -> np.ndarray:
    """A plane ``[H,W]`` under a move in pixels ``factor`` times as large; borders repeat."""
    for axis, (stretch, shift) in ((1, moved[0]), (0, moved[1])):
        length = plane.shape[axis]
        at = np.arange(length) + factor * (stretch * _places(length) + shift)
        at = np.clip(at, 0, length - 1)
        low = np.minimum(at.astype(np.int64), max(length - 2, 0))
        share = (at - low).astype(np.float32)
        share = share[None, :] if axis == 1 else share[:, None]
        first, second = plane.take(low, axis), plane.take(np.minimum(low + 1, length - 1), axis)
        second -= first
        second *= share
        second += first
        plane = second
    return plane


def _laid(
    planes: Sequence[Plane], other: Sequence[Plane], moved: np.ndarray, valid: np.ndarray | None
) -> list[Plane]:
    """The planes of a neighbour on those of the frame; the frame's own where it does not reach."""
    height, width = planes[0].shape
    inside = []
    for length, (stretch, shift) in ((width, moved[0]), (height, moved[1])):
        at = np.arange(length) + QUARTER * (stretch * _places(length) + shift)
        inside.append((at >= 0) & (at <= length - 1))
    reached = inside[1][:, None] & inside[0][None, :]
    if valid is not None:
        reached &= _resampled(valid.astype(np.float32), moved, QUARTER) > 0.99
    return [
        np.where(reached, _resampled(theirs, moved, QUARTER), own)
        for own, theirs in zip(planes, other, strict=True)
    ]
