"""What moves in a video against its background, in units of the background's own noise.

Neighbouring frames are laid on each other by affine maps, so that the camera may pan, shake and
zoom. In the common frame of reference the median of the frames is the background, and a pixel's
foreground value is its distance from it. What stands still has none, and neither has what is only
noise. Nothing here knows boxes. Read :func:`foreground` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy

from tirtrack.pairs.proposals.motion import translation
from tirtrack.pairs.proposals.planes import Plane, halve

MAX_IN_MEDIAN = 16  # frames of which the background is the median
EDGE_TOLERANCE = 0.3  # pixels by which the alignment may be off
MIN_NOISE_LEVELS = 0.5
CLEAR = 0.1  # correlation of frames that a map lays on each other; noise has less
MIN_OVERLAP = 0.1  # share of a frame
MAX_CANVAS = 3.0  # sides of the common frame of reference, in sides of a frame
_FEW_OFF = 4.0  # deviations from which a pixel does not count as background
_MAX_SPREAD = 6.0  # of a pixel's own noise over the usual one
MIN_CONTRAST_LEVELS = 2.0
_LEAST_GAIN = 0.2
_GAIN_STEP = 3  # pixels from one to the next that set a frame's gain


def foreground(frames: Sequence[np.ndarray]) -> np.ndarray:
    """``[T,H,W]`` float32: distance of each pixel from the background, in its standard deviations.

    Args:
        frames: one modality of neighbouring frames in order, ``[H,W]`` or ``[H,W,3]`` levels of
            equal size, at least two.
    """
    levels = [_with_channels(frame) for frame in frames]
    canvas = _Canvas.around(alignment([frame.mean(axis=2) for frame in levels]), levels[0].shape)
    laid = np.stack([canvas.lay(levels[k], k) for k in _spread(len(levels))])
    sketch = median_of_known(laid)
    gains = [_gain_and_offset(canvas.lay(frame, k), sketch) for k, frame in enumerate(levels)]
    equal = [(frame - offset) / gain for frame, (gain, offset) in zip(levels, gains, strict=True)]
    laid = np.stack([canvas.lay(equal[k], k) for k in _spread(len(levels))])
    background = median_of_known(laid)
    spread = _noise(laid, background)
    return np.stack(
        [
            _distance(frame, canvas.seen(background, k), canvas.seen(spread, k))
            for k, frame in enumerate(equal)
        ]
    )


def _with_channels(frame: np.ndarray) -> np.ndarray:
    """``[H,W,C]`` float32."""
    levels = np.asarray(frame, np.float32)
    return levels if levels.ndim == 3 else levels[..., None]


def _spread(count: int) -> np.ndarray:
    """Places of at most ``MAX_IN_MEDIAN`` frames, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, MAX_IN_MEDIAN)).astype(int))


def median_of_known(values: np.ndarray) -> np.ndarray:
    """The lower median along the first axis of what is no NaN; NaN where all are."""
    known = np.isfinite(values).sum(axis=0)
    middle = np.maximum((known - 1) // 2, 0)
    return np.asarray(np.take_along_axis(np.sort(values, axis=0), middle[None], axis=0)[0])


def _noise(laid: np.ndarray, background: np.ndarray) -> np.ndarray:
    """``[h,w,C]``: standard deviation of the background: of all pixels, of each by itself, and what
    an alignment that is slightly off makes of its edges.
    """
    own = 1.4826 * median_of_known(np.abs(laid - background))
    usual = np.maximum(np.nanmedian(own, axis=(0, 1)), MIN_NOISE_LEVELS)
    known = np.nan_to_num(background)
    edges = [
        scipy.ndimage.gaussian_gradient_magnitude(known[..., c], 0.7) for c in range(own.shape[2])
    ]
    moved = EDGE_TOLERANCE * np.stack(edges, axis=2)
    return np.asarray(np.sqrt(usual**2 + np.minimum(own, _MAX_SPREAD * usual) ** 2 + moved**2))


def _distance(frame: np.ndarray, background: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """``[H,W]``; 0 where the background is unknown."""
    off = (frame - background) / spread
    return np.asarray(np.nan_to_num(np.sqrt(np.mean(off * off, axis=2))), np.float32)


def _gain_and_offset(laid: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``[C]`` each: the background's levels times the first plus the second are nearest to those of
    a frame, pixels that are far off left out. Cameras set their gain frame by frame.
    """
    few = (slice(None, None, _GAIN_STEP),) * 2
    lines = [_line(background[few][..., c], laid[few][..., c]) for c in range(laid.shape[2])]
    gains, offsets = np.array(lines, np.float32).T
    return gains, offsets


def _line(values: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the line from some values to others, far ones left out; the slope is 1
    where the values hardly differ.
    """
    known = np.isfinite(values) & np.isfinite(wanted)
    x, y = values[known].astype(np.float64), wanted[known].astype(np.float64)
    weights, slope, offset = np.ones(len(x)), 1.0, 0.0
    for _ in range(4 if len(x) else 0):
        middle_x, middle_y = np.average(x, weights=weights), np.average(y, weights=weights)
        variance = float(np.average((x - middle_x) ** 2, weights=weights))
        if variance > MIN_CONTRAST_LEVELS**2:
            slope = float(np.average((x - middle_x) * (y - middle_y), weights=weights)) / variance
        offset = float(middle_y - slope * middle_x)
        weights = tukey_weights(slope * x + offset - y) + 1e-6
    return max(slope, _LEAST_GAIN), offset


def tukey_weights(residuals: np.ndarray) -> np.ndarray:
    """Weights of residuals: Tukey's biweight in units of their median."""
    usual = 1.4826 * float(np.median(np.abs(residuals))) + 1e-3
    return np.asarray(np.clip(1 - (residuals / (_FEW_OFF * usual)) ** 2, 0, 1) ** 2)


# --- alignment -----------------------------------------------------------------------------------


def alignment(planes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """``[3,3]`` for each frame: where a pixel of the first frame's background lies in it.

    Where no map is clearly better than none, as on noise, the camera is taken to stand still.

    Args:
        planes: ``[H,W]`` brightness of neighbouring frames in order.
    """
    small = [flattened(halve(halve(plane)), 4.0) for plane in planes]
    half = [flattened(halve(plane), 6.0) for plane in planes]
    maps = [np.eye(3)]
    for (coarse, next_coarse), (fine, next_fine) in zip(
        pairwise(small), pairwise(half), strict=True
    ):
        dx, dy = translation(coarse, next_coarse)
        start = np.array([[1.0, 0.0, -dx], [0.0, 1.0, -dy], [0.0, 0.0, 1.0]])
        found = _doubled(_affine(coarse, next_coarse, start, steps=12))
        found = _affine(fine, next_fine, found, steps=6)
        alike = _likeness(fine, next_fine, found)
        is_clear = alike > max(CLEAR, _likeness(fine, next_fine, np.eye(3)))
        maps.append(_doubled(found if is_clear else np.eye(3)) @ maps[-1])
    return maps


def _likeness(fixed: np.ndarray, moving: np.ndarray, mapping: np.ndarray) -> float:
    """Correlation of two planes under a map; 0 where they hardly overlap or one is flat."""
    laid = sampled(moving, mapping, fixed.shape)
    known = np.isfinite(laid)
    if known.mean() < MIN_OVERLAP or not laid[known].std() * fixed[known].std():
        return 0.0
    return float(np.corrcoef(laid[known], fixed[known])[0, 1])


def flattened(plane: np.ndarray, sigma: float) -> Plane:
    """Detail relative to the contrast around it, so that gain and light do not count."""
    detail = plane - scipy.ndimage.gaussian_filter(plane, sigma)
    contrast = np.sqrt(scipy.ndimage.gaussian_filter(detail * detail, 2 * sigma)) + 2.0
    return np.asarray(detail / contrast, np.float32)


def _affine(fixed: np.ndarray, moving: np.ndarray, start: np.ndarray, *, steps: int) -> np.ndarray:
    """``[3,3]`` map under which ``moving`` lies on ``fixed``: Gauss-Newton from a start, pixels
    that move otherwise left out; the start where less than a tenth overlaps.
    """
    height, width = fixed.shape
    down, right = np.gradient(fixed)
    rows, columns = np.mgrid[0:height, 0:width]
    v, u = 2 * rows / height - 1, 2 * columns / width - 1
    slopes = [right * u, right * v, right, down * u, down * v, down]
    jacobian = np.stack(slopes, axis=2).reshape(-1, 6)
    found = start
    for _ in range(steps):
        off = (sampled(moving, found, fixed.shape) - fixed).ravel()
        known = np.isfinite(off)
        if known.mean() < MIN_OVERLAP:
            return start
        weighted = jacobian[known] * tukey_weights(off[known])[:, None]
        normal = weighted.T @ jacobian[known] + 1e-3 * np.eye(6)
        a, b, c, d, e, f = step = np.linalg.solve(normal, weighted.T @ off[known])
        x, y = 2 / width, 2 / height
        moved = [[a * x, b * y, c - a - b], [d * x, e * y, f - d - e], [0.0, 0.0, 0.0]]
        found = found @ np.linalg.inv(np.eye(3) + np.array(moved))
        if np.abs(step).max() < 0.01:
            break
    return found


def _doubled(mapping: np.ndarray) -> np.ndarray:
    """A map between frames of half the size, as one between the frames."""
    size = np.array([[2.0, 0.0, 0.5], [0.0, 2.0, 0.5], [0.0, 0.0, 1.0]])
    return np.asarray(size @ mapping @ np.linalg.inv(size))


def sampled(image: np.ndarray, mapping: np.ndarray, shape_hw: tuple[int, ...]) -> np.ndarray:
    """An image seen through a map: its value at ``mapping @ (x, y, 1)`` for each pixel (x, y), NaN
    outside.

    Args:
        image: ``[H,W]`` or ``[H,W,C]``.
        mapping: ``[3,3]`` affine map of pixel indices.
        shape_hw: rows and columns of the result.
    """
    if image.ndim == 3:
        planes = [sampled(image[..., c], mapping, shape_hw) for c in range(image.shape[2])]
        return np.stack(planes, axis=2)
    inverse_yx = mapping[:2, :2][::-1, ::-1]
    return np.asarray(
        scipy.ndimage.affine_transform(
            image, inverse_yx, mapping[:2, 2][::-1], shape_hw[:2], order=1, cval=np.nan
        )
    )


@dataclass(frozen=True)
class _Canvas:
    """The common frame of reference of some frames: that of the middle one, large enough for all.

    Attributes:
        from_canvas: per frame, ``[3,3]`` where a pixel of the canvas lies in it.
        shape_hw: rows and columns.
        frame_hw: rows and columns of a frame.
    """

    from_canvas: Sequence[np.ndarray]
    shape_hw: tuple[int, int]
    frame_hw: tuple[int, int]

    @classmethod
    def around(cls, maps: Sequence[np.ndarray], shape: tuple[int, ...]) -> _Canvas:
        height, width = shape[:2]
        middle = np.linalg.inv(maps[len(maps) // 2])
        maps = [one @ middle for one in maps]
        corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
        reached = np.concatenate([(np.linalg.inv(one) @ corners)[:2] for one in maps], axis=1)
        size = np.array([width, height])
        beyond = (MAX_CANVAS - 1) / 2 * size
        low = np.maximum(np.floor(reached.min(axis=1)), -beyond)
        high = np.minimum(np.ceil(reached.max(axis=1)), size + beyond)
        columns, rows = (int(side) for side in high - low)
        shift = np.array([[1.0, 0.0, low[0]], [0.0, 1.0, low[1]], [0.0, 0.0, 1.0]])
        return cls([one @ shift for one in maps], (rows, columns), (height, width))

    def lay(self, frame: np.ndarray, number: int) -> np.ndarray:
        """A frame on the canvas, NaN around it."""
        return sampled(frame, self.from_canvas[number], self.shape_hw)

    def seen(self, picture: np.ndarray, number: int) -> np.ndarray:
        """What a frame sees of a picture on the canvas."""
        return sampled(picture, np.linalg.inv(self.from_canvas[number]), self.frame_hw)
