"""How many frames TIR is late, measured from frame differences and outlines.

Two frames of one instant show the same outlines, and motion changes both at the same places. So
outlines and frame differences of RGB are compared with those of TIR at every delay, on small
pictures; a delay is reported if it explains the frames much better than no delay. Frame differences
resemble those a few frames later, so only the excess of their correlation over that of unrelated
instants is compared. A delay of one frame is below the difference between cameras that are
triggered together, and cannot be told from it. If camera and scene both stand still, no delay can
be measured, and none does harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from tirtrack.pairs.registration import Offset, measure_offset

MAX_DELAY_FRAMES = 25
MIN_FRAMES = 8
GAIN = 2.0
GAIN_OF_CHANGES = 1.5
MIN_CORRELATION = 0.2
MIN_EXCESS = 0.15
MIN_RESIDUAL_PX = 2.0
_MIN_SHARED = 5
_MIN_SHARE = 0.3
_NEARLY = 0.97
_COMPARED = 6
_SIGMA = 1.0


@dataclass(frozen=True)
class Delay:
    """A delay that explains the frames much better than no delay.

    Attributes:
        frames: TIR frame ``k + frames`` belongs to RGB frame ``k``; negative: TIR comes early.
        before: value of the measure without the delay.
        after: value of the measure with TIR taken that much later.
        measure: ``correlation`` of frame differences or outlines, or the ``residual`` between the
            modalities, pixels of the compared pictures.
    """

    frames: int
    before: float
    after: float
    measure: str


def measure_delay(rgb: np.ndarray, tir: np.ndarray) -> Delay | None:
    """The delay of TIR in consecutive frames, if it halves the residual between the modalities,
    doubles the correlation of their outlines, or raises that of their changes by half, counted from
    the correlation of unrelated instants.

    Args:
        rgb: ``[T,H,W]`` grey levels, small.
        tir: ``[T,H,W]`` grey levels of the same pairs.

    Returns:
        ``None`` if no delay of up to 25 frames does so, or for fewer than 8 frames.

    >>> scene = scipy.ndimage.gaussian_filter(np.random.default_rng(0).random((48, 160)), 2) * 255
    >>> pan = np.stack([scene[:, 2 * k : 2 * k + 64] for k in range(40)])
    >>> measure_delay(pan[5:], pan[:-5]).frames, measure_delay(pan, pan)
    (5, None)
    """
    if rgb.shape != tir.shape:
        raise ValueError(f"shapes must be equal, got {list(rgb.shape)} and {list(tir.shape)}")
    if len(rgb) < MIN_FRAMES:
        return None
    changes = _by_delay(_changes(rgb), _changes(tir))
    outlines = _by_delay(_outlines(rgb), _outlines(tir))
    found = [
        Delay(frames, curve[0], curve[frames], "correlation")
        for curve, explains in ((changes, _explains_changes), (outlines, _explains_outlines))
        if (frames := _best(curve)) and explains(curve, frames)
    ]
    if found:
        return max(found, key=lambda delay: delay.after - delay.before)
    return _by_residual(rgb, tir, _best(outlines))


def _explains_changes(curve: Mapping[int, float], frames: int) -> bool:
    """Whether a delay raises the correlation by half, or its excess over the usual one."""
    usual = float(np.median(list(curve.values())))
    excess, without = curve[frames] - usual, curve[0] - usual
    if curve[frames] < MIN_CORRELATION:
        return False
    by_excess = excess >= max(MIN_EXCESS, GAIN_OF_CHANGES * without)
    return (by_excess and abs(frames) > 1) or curve[frames] >= GAIN_OF_CHANGES * curve[0]


def _explains_outlines(curve: Mapping[int, float], frames: int) -> bool:
    return curve[frames] >= max(MIN_CORRELATION, GAIN * curve[0])


def _by_residual(rgb: np.ndarray, tir: np.ndarray, frames: int) -> Delay | None:
    """The delay, if it halves the median residual."""
    if frames == 0:
        return None
    before, after = _offsets(rgb, tir, 0), _offsets(rgb, tir, frames)
    if not before or not after:
        return None
    residuals = [float(np.median([one.length for one in side])) for side in (before, after)]
    peaks = [float(np.median([one.peak for one in side])) for side in (before, after)]
    if residuals[0] < MIN_RESIDUAL_PX or residuals[0] < GAIN * residuals[1] or peaks[1] < peaks[0]:
        return None
    return Delay(frames, residuals[0], residuals[1], "residual")


def _offsets(rgb: np.ndarray, tir: np.ndarray, frames: int) -> list[Offset]:
    """The trusted offsets of some pairs with TIR taken ``frames`` later."""
    first, last = max(-frames, 0), len(rgb) - max(frames, 0)
    places = np.linspace(first, last - 1, _COMPARED).astype(int)
    offsets = [measure_offset(rgb[place], tir[place + frames]) for place in places]
    return [offset for offset in offsets if offset.usable]


def _changes(frames: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(frames, axis=0))


def _outlines(frames: np.ndarray) -> np.ndarray:
    return np.stack([scipy.ndimage.gaussian_gradient_magnitude(frame, _SIGMA) for frame in frames])


def _by_delay(rgb: np.ndarray, tir: np.ndarray) -> Mapping[int, float]:
    """Mean correlation of ``[T,H,W]`` by delay, for delays at which enough frames overlap."""
    table = _unit(rgb) @ _unit(tir).T
    fewest = max(_MIN_SHARED, _MIN_SHARE * len(table))
    reach = min(MAX_DELAY_FRAMES, int(len(table) - fewest))
    return {delay: float(np.diagonal(table, delay).mean()) for delay in range(-reach, reach + 1)}


def _unit(frames: np.ndarray) -> np.ndarray:
    """``[T,H*W]`` of zero mean and length 1; 0 where constant."""
    rows = frames.reshape(len(frames), -1).astype(np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-6)
    return unit


def _best(curve: Mapping[int, float]) -> int:
    """The delay of the highest peak; among peaks nearly as high (motion may repeat itself) the one
    nearest to 0.
    """
    if not curve:
        return 0
    enough = _NEARLY * max(curve.values())
    peaks = [delay for delay, value in curve.items() if value >= enough and _is_peak(curve, delay)]
    return min(peaks, key=abs, default=0)


def _is_peak(curve: Mapping[int, float], delay: int) -> bool:
    around: Sequence[float] = [curve[one] for one in (delay - 1, delay + 1) if one in curve]
    return all(curve[delay] >= value for value in around)
