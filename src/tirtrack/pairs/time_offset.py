"""The time offset of TIR and its drift, to parts of a frame, from what moves in both modalities.

Two measures are taken in several windows of consecutive frames, and neither needs the modalities to
lie on each other. Where the camera moves, it moves alike in both: the shift from frame to frame,
found in each modality by itself, is the same signal some frames later. Where things move, they
change the picture at the same places, but for a shift of the whole: changes are compared at every
delay and every small shift, so that a thing that moves evenly, for which a shift explains a delay
as well, has no clear best delay and counts for nothing. A line through what most windows agree on
is the offset and its drift; where they do not agree, nothing is told.

``delay`` finds longer delays in whole frames, on one window, and only to warn of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy

from tirtrack.errors import PairsError
from tirtrack.pairs.likeness import resized, thumbnail
from tirtrack.pairs.rig import TimeOffset
from tirtrack.pairs.source import Pair, PairSource, Recording
from tirtrack.pairs.spreading import spread

SIDE = 160
WINDOW = 64  # frames
LEAST_FRAMES = 32
MOST_DAMAGED = 3  # of a window
REACH = 12  # frames, early or late
MOST_WINDOWS = 6  # of a recording
WINDOWS_IN_ALL = 24

MIN_CAMERA_PEAK = 0.5
MIN_CHANGE_PEAK = 0.15
MAX_MEASURE_ERROR = 0.6
MIN_ERROR = 0.05
AGREES_FRAMES = 0.75
MAX_DRIFT = 5.0  # frames in 1000
MAX_ERROR = 0.25
CLEAR_DRIFT = 3.0  # times its error

_CAMERA_REACH_PX = 12
_CHANGE_REACH_PX = 5
_GAP = 2  # frames between which changes are taken
_FREE = 16  # independent parts of a picture of changes


@dataclass(frozen=True)
class Window:
    """Consecutive pairs.

    Attributes:
        start: position of the first pair in its recording.
        rgb: ``[T,H,W]`` grey levels, small.
        tir: ``[T,H,W]`` grey levels of the same pairs.
        repeated: places of pairs that could not be read, and in place of which the one before
            stands.
    """

    start: int
    rgb: np.ndarray
    tir: np.ndarray
    repeated: Sequence[int] = ()


@dataclass(frozen=True)
class _Measure:
    """An offset in frames, at a position of the recording, and its expected error."""

    position: float
    frames: float
    error: float


def common_time_offset(source: PairSource) -> TimeOffset | None:
    """The time offset that the videos of a source have in common, counted from the first pair of
    each; ``None`` where it cannot be told.

    Args:
        source: the pairs; recordings of stills and of TIR alone are passed over.
    """
    recordings, each = _measured(source)
    return measure_time_offset(
        [window for recording in recordings for window in _windows(source, recording, each)]
    )


def time_offsets(source: PairSource, names: Collection[str] | None = None) -> dict[str, TimeOffset]:
    """The time offset of each video of a source that has one which can be told, by its name; of
    many videos only some are measured, evenly spread.

    Args:
        source: the pairs; recordings of stills and of TIR alone are passed over.
        names: recordings to look at; ``None``: all.
    """
    recordings, each = _measured(source, names)
    found = {one.name: measure_time_offset(_windows(source, one, each)) for one in recordings}
    return {name: one for name, one in found.items() if one is not None}


def _measured(
    source: PairSource, names: Collection[str] | None = None
) -> tuple[list[Recording], int]:
    """The videos that are measured, and in how many windows each."""
    recordings = [
        one
        for one in source.recordings().values()
        if one.is_video
        and one.has_rgb
        and len(one.indices) >= LEAST_FRAMES
        and (names is None or one.name in names)
    ]
    each = max(min(WINDOWS_IN_ALL // max(len(recordings), 1), MOST_WINDOWS), 1)
    return spread(recordings, WINDOWS_IN_ALL), each


def measure_time_offset(windows: Sequence[Window]) -> TimeOffset | None:
    """The line on which most measures in some windows agree; ``None`` if they do not, or if it is
    not known to a quarter of a frame.

    Args:
        windows: windows of at least 32 frames.

    Raises:
        ValueError: RGB and TIR of a window differ in shape.
    """
    measures = []
    for window in windows:
        if window.rgb.shape != window.tir.shape:
            shapes = f"{list(window.rgb.shape)} and {list(window.tir.shape)}"
            raise ValueError(f"shapes must be equal, got {shapes}")
        if len(window.rgb) >= LEAST_FRAMES:
            measures += _measures(window)
    return _line(measures)


def _windows(source: PairSource, recording: Recording, count: int) -> list[Window]:
    """Windows spread evenly over a recording. In place of a pair that cannot be read stands the one
    before; a window with more than a few of them is left out.
    """
    length = min(WINDOW, len(recording.indices))
    count = max(min(count, len(recording.indices) // length), 1)
    last = len(recording.indices) - length
    starts = np.linspace(0, last, count).astype(int) if count > 1 else [last // 2]
    found = []
    for start in map(int, starts):
        pairs: list[Pair] = []
        damaged: list[int] = []
        for index in recording.indices[start : start + length]:
            try:
                pairs.append(source[index])
            except PairsError:  # counted and named where all pairs are read
                damaged.append(len(pairs))
                pairs += pairs[-1:]
        if len(damaged) > MOST_DAMAGED or len(pairs) < length:
            continue
        both = [(thumbnail(one.both[0], SIDE), thumbnail(one.tir, SIDE, one.tir_valid))
                for one in pairs]  # fmt: skip
        height, width = both[0][0].shape
        rgb, tir = (
            np.stack([resized(one[side], height, width) for one in both]) for side in (0, 1)
        )
        found.append(Window(start, rgb, tir, damaged))
    return found


def _measures(window: Window) -> list[_Measure]:
    """What the motion of the camera and what changes say, where they say anything."""
    position = window.start + (len(window.rgb) - 1) / 2
    reach = min(REACH, len(window.rgb) // 3)
    rgb, tir = window.rgb.astype(np.float32), window.tir.astype(np.float32)
    found = []
    for curve, least, samples in (
        (_by_camera(rgb, tir, reach, window.repeated), MIN_CAMERA_PEAK, 2 * len(rgb)),
        (_by_changes(rgb, tir, reach), MIN_CHANGE_PEAK, _FREE * len(rgb)),
    ):
        peak = _peak(curve, samples)
        if peak is not None and peak[2] >= least and peak[1] <= MAX_MEASURE_ERROR:
            found.append(_Measure(position, peak[0], max(peak[1], MIN_ERROR)))
    return found


# --- the two measures: correlation by delay ------------------------------------------------------


def _by_camera(
    rgb: np.ndarray, tir: np.ndarray, reach: int, repeated: Sequence[int]
) -> Mapping[int, float]:
    """Correlation of the shifts from frame to frame. Those to and from a repeated frame, which both
    modalities repeat at once, say nothing.
    """
    a, b = _steps(rgb), _steps(tir)
    known = ~np.isin(np.arange(len(a)), [*repeated, *(place - 1 for place in repeated)])
    curve = {}
    for delay in range(-reach, reach + 1):
        both = np.logical_and(*_paired(known, known, delay))
        one, two = (side[both] - side[both].mean(axis=0) for side in _paired(a, b, delay))
        norm = float(np.sqrt((one**2).sum() * (two**2).sum()))
        curve[delay] = float((one * two).sum()) / norm if norm > 1e-6 else 0.0
    return curve


def _steps(frames: np.ndarray) -> np.ndarray:
    """``[T-1,2]`` (x, y): shift of the whole picture from each frame to the next, by phase
    correlation.
    """
    height, width = frames.shape[1:]
    fine = scipy.ndimage.gaussian_filter(frames, (0, 1, 1)) - scipy.ndimage.gaussian_filter(
        frames, (0, 6, 6)
    )
    spectra = np.fft.rfft2(fine * np.hanning(height)[:, None] * np.hanning(width))
    cross = spectra[1:] * spectra[:-1].conj()
    size = np.abs(cross)
    cross /= size + 1e-3 * size.max() + 1e-12
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    cross *= np.exp(-2 * np.pi**2 * 1.5**2 * (x**2 + y**2))
    reach = min(_CAMERA_REACH_PX, (min(height, width) - 1) // 2)
    maps = _around_zero(np.fft.irfft2(cross, s=(height, width)), reach)
    return np.array([_best_shift(one)[:2] for one in maps])


def _by_changes(rgb: np.ndarray, tir: np.ndarray, reach: int) -> Mapping[int, float]:
    """Correlation of what changes, at the best small shift of the whole picture."""
    a, b = _changes(rgb), _changes(tir)
    padded = tuple(side + _CHANGE_REACH_PX for side in a.shape[1:])
    spectra = np.fft.rfft2(a, s=padded), np.fft.rfft2(b, s=padded)
    powers = (a**2).sum(axis=(1, 2)), (b**2).sum(axis=(1, 2))
    curve = {}
    for delay in range(-reach, reach + 1):
        one, two = _paired(*spectra, delay)
        product = np.fft.irfft2((one.conj() * two).sum(axis=0), s=padded)
        norm = float(np.sqrt(np.prod([side.sum() for side in _paired(*powers, delay)])))
        values = _around_zero(product, _CHANGE_REACH_PX) / max(norm, 1e-6)
        curve[delay] = _best_shift(values)[2]
    return curve


def _changes(frames: np.ndarray) -> np.ndarray:
    """``[T-2,H/2,W/2]``: how much each part changes, above what it does usually."""
    smooth = scipy.ndimage.gaussian_filter(frames, (0, 1, 1))
    changes = np.sqrt(np.abs(smooth[_GAP:] - smooth[:-_GAP]))
    height, width = (side // 2 for side in changes.shape[1:])
    halved = changes[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2).mean((2, 4))
    halved = halved - halved.mean(axis=0)
    return np.asarray(halved - halved.mean(axis=(1, 2), keepdims=True))


def _paired(a: np.ndarray, b: np.ndarray, delay: int) -> tuple[np.ndarray, np.ndarray]:
    """What of ``[T,...]`` belongs together, if ``b`` is ``delay`` late."""
    return (a[: len(a) - delay], b[delay:]) if delay >= 0 else (a[-delay:], b[:delay])


def _around_zero(maps: np.ndarray, reach: int) -> np.ndarray:
    """``[...,2*reach+1,2*reach+1]``: the values of circular maps around shift 0."""
    rolled = np.roll(maps, (reach, reach), axis=(-2, -1))
    return np.asarray(rolled[..., : 2 * reach + 1, : 2 * reach + 1])


def _best_shift(values: np.ndarray) -> tuple[float, float, float]:
    """Place (x, y) of the highest value, from the middle, and that value, between the pixels."""
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    reach = values.shape[0] // 2
    x, more_x = _vertex(values[row], int(column))
    y, more_y = _vertex(values[:, column], int(row))
    return column - reach + x, row - reach + y, float(values[row, column]) + more_x + more_y


def _vertex(values: np.ndarray, place: int) -> tuple[float, float]:
    """How far the parabola through a maximum and its neighbours peaks from it, and above it."""
    if not 0 < place < len(values) - 1:
        return 0.0, 0.0
    left, middle, right = (float(one) for one in values[place - 1 : place + 2])
    curvature = 2 * middle - left - right
    if curvature <= 0:
        return 0.0, 0.0
    return 0.5 * (right - left) / curvature, (right - left) ** 2 / (8 * curvature)


def _peak(curve: Mapping[int, float], samples: int) -> tuple[float, float, float] | None:
    """Delay of the highest correlation, its expected error, and the correlation; ``None`` where no
    delay inside the curve is best.

    The error is that of the delay that leaves the least squares between one signal and the other,
    times a gain: their variance is ``1 - r**2``, and the curvature of ``r`` says how it grows.
    """
    best = max(curve, key=curve.__getitem__)
    if best - 1 not in curve or best + 1 not in curve:
        return None
    left, middle, right = (curve[best + step] for step in (-1, 0, 1))
    curvature = 2 * middle - left - right
    if curvature <= 0 or middle <= 0:
        return None
    error = np.sqrt(max(1 - middle**2, 1e-4) / (samples * middle * curvature))
    return best + 0.5 * (right - left) / curvature, float(error), middle


# --- the line ------------------------------------------------------------------------------------


def _line(measures: Sequence[_Measure]) -> TimeOffset | None:
    """The line that most measures agree on, level unless a slope is clear."""
    if len(measures) < 2:
        return None
    t, y, error = (
        np.array([getattr(one, name) for one in measures])
        for name in ("position", "frames", "error")
    )
    lines = [(one.frames, 0.0) for one in measures]
    for one, two in combinations(measures, 2):
        if one.position != two.position:
            slope = (two.frames - one.frames) / (two.position - one.position)
            if abs(slope) <= MAX_DRIFT / 1000:
                lines.append((one.frames - slope * one.position, slope))
    weights = 1 / error**2
    start, slope = max(
        lines, key=lambda line: float(weights @ _closeness(y - line[0] - line[1] * t))
    )
    agree = _closeness(y - start - slope * t) > 0
    if agree.sum() < 2 or 2 * agree.sum() <= len(y):
        return None
    t, y, weights = t[agree], y[agree], weights[agree]
    level, level_error = _fitted(np.ones((len(y), 1)), y, weights)
    drift, drift_error = 0.0, None
    if np.ptp(t) > 0 and len(y) > 2:
        both, errors = _fitted(np.column_stack([np.ones(len(y)), t]), y, weights)
        drift_error = float(errors[1])
        if abs(both[1]) > CLEAR_DRIFT * drift_error and np.ptp(t) * abs(both[1]) > MIN_ERROR:
            middle = np.average(t, weights=weights)
            about, level_error = _fitted(np.column_stack([np.ones(len(y)), t - middle]), y, weights)
            level, drift = both[:1], float(about[1])
    if level_error[0] > MAX_ERROR:
        return None
    return TimeOffset(
        frames=round(float(level[0]), 3),
        drift_per_1000=round(1000 * drift, 4),
        error_frames=round(float(level_error[0]), 3),
        drift_error_per_1000=None if drift_error is None else round(1000 * drift_error, 4),
        measures=int(agree.sum()),
    )


def _closeness(residuals: np.ndarray) -> np.ndarray:
    return np.maximum(1 - (residuals / AGREES_FRAMES) ** 2, 0.0)


def _fitted(rows: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least squares, and the errors by what remains, at least those of the measures."""
    covariance = np.linalg.inv(rows.T @ (rows * weights[:, None]))
    found = covariance @ rows.T @ (weights * y)
    freedom = len(y) - rows.shape[1]
    remains = float(weights @ (y - rows @ found) ** 2) / freedom if freedom else 1.0
    return found, np.sqrt(np.diag(covariance) * max(remains, 1.0))
