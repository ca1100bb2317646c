"""From a score map to a displacement and a flag: the decision table of DiMP and ATOM.

Score maps are float64 arrays, rows first; positions on them are in cells. Both families use the
same table; they differ in how a map is prepared and in what a cell means.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tirtrack.trackers.belief import Flag
from tirtrack.trackers.online_settings import OnlineSettings, ScorePreprocess
from tirtrack.trackers.place import OnlinePlace

if TYPE_CHECKING:
    from tirtrack.trackers.patch_extraction import SampleFrame


@dataclass(frozen=True)
class Peak:
    """A maximum of a map and its position, ``[2]`` row and column."""

    value: float
    cells: np.ndarray


@dataclass(frozen=True)
class Localisation:
    """Result of localisation on a frame's score maps.

    Attributes:
        translation_yx: translation from the centre of the sample, ``[2]``, frame pixels.
        scale_index: index of the sample in which the target was found.
        flag: flag of the decision table, which decides how the result may be used.
        scores: score map to report and to learn from, ``[h,w]``.
        has_second: a second peak decided the flag.
    """

    translation_yx: np.ndarray
    scale_index: int
    flag: Flag
    scores: np.ndarray
    has_second: bool = False


@dataclass(frozen=True)
class Grid:
    """Geometry of a map's cells.

    Attributes:
        center_cells: cell of zero displacement, ``[2]``.
        neighborhood_cells: sides of the region around a peak that belongs to it, ``[2]``.
        last_cells: last displacement of the target, ``[2]``.
    """

    center_cells: np.ndarray
    neighborhood_cells: np.ndarray
    last_cells: np.ndarray


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of the table; rows 2 and 3 exist in DiMP only."""

    not_found: float
    distractor: float
    hard_negative: float
    displacement_scale: float
    uncertain: float = -np.inf
    hard_sample: float = -np.inf


def thresholds_of(
    settings: OnlineSettings, *, uncertain: float | None = None, hard_sample: float | None = None
) -> Thresholds:
    """The thresholds of the table from settings; ``None`` leaves out a row."""
    return Thresholds(
        not_found=settings.target_not_found_threshold,
        distractor=settings.distractor_threshold,
        hard_negative=settings.hard_negative_threshold,
        displacement_scale=settings.displacement_scale,
        uncertain=-np.inf if uncertain is None else uncertain,
        hard_sample=-np.inf if hard_sample is None else hard_sample,
    )


def highest(scores: np.ndarray) -> Peak:
    """The maximum of ``scores [h,w]``; ties go to the smallest column, then row.

    >>> highest(np.array([[0.0, 1.0], [1.0, 0.0]])).cells
    array([1, 0])
    """
    column, row = divmod(int(scores.T.argmax()), scores.shape[0])
    return Peak(float(scores[row, column]), np.array([row, column]))


def best_scale(scores: np.ndarray) -> int:
    """Index of the first of the maps ``[S,h,w]`` with the largest maximum."""
    return int(scores.max(axis=(1, 2)).argmax())


def judge(
    peak: Peak, scores: np.ndarray, grid: Grid, thresholds: Thresholds
) -> tuple[np.ndarray, Flag, bool]:
    """The decision table: displacement ``[2]`` in cells, flag, and whether a second peak decided.

    Args:
        peak: first peak, perhaps of the windowed map.
        scores: score map ``[h,w]``, not windowed.
        grid: geometry of the cells.
        thresholds: thresholds of the rows.
    """
    first = peak.cells - grid.center_cells
    if peak.value < thresholds.not_found:
        return first, Flag.NOT_FOUND, False
    if peak.value < thresholds.uncertain:
        return first, Flag.UNCERTAIN, False
    if peak.value < thresholds.hard_sample:
        return first, Flag.HARD_NEGATIVE, False

    other = highest(without_neighborhood(scores, peak.cells, grid.neighborhood_cells))
    second = other.cells - grid.center_cells
    limit = thresholds.displacement_scale * float(np.sqrt(scores.size)) / 2
    first_jump = float(np.linalg.norm(first - grid.last_cells))
    second_jump = float(np.linalg.norm(second - grid.last_cells))
    if other.value > thresholds.distractor * peak.value:
        if second_jump > limit and first_jump < limit:
            return first, Flag.HARD_NEGATIVE, True
        if second_jump < limit and first_jump > limit:
            return second, Flag.HARD_NEGATIVE, True
        return first, Flag.UNCERTAIN, True
    if other.value > thresholds.hard_negative * peak.value and other.value > thresholds.not_found:
        return first, Flag.HARD_NEGATIVE, True
    return first, Flag.NORMAL, False


def without_neighborhood(scores: np.ndarray, cells: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """The map ``[h,w]`` with 0 in a region of the given sides ``[2]`` around a cell."""
    low = np.maximum(np.round(cells - sides / 2), 0).astype(int)
    high = np.minimum(np.round(cells + sides / 2 + 1), scores.shape).astype(int)
    masked = scores.copy()
    masked[low[0] : high[0], low[1] : high[1]] = 0
    return masked


def localise_dimp(
    scores: np.ndarray,
    samples: list[SampleFrame],
    place: OnlinePlace,
    *,
    settings: OnlineSettings,
    thresholds: Thresholds,
    kernel_side: int,
    window: np.ndarray | None,
) -> Localisation:
    """Localisation of DiMP.

    Args:
        scores: prepared maps ``[S,h,w]``, one for each scale.
        samples: position and scale of each sample.
        place: last place of the target.
        settings: settings of the table.
        thresholds: thresholds of the table.
        kernel_side: side of the filter; an even one gives maps that are a cell larger.
        window: window ``[h,w]`` for the first peak, or none.
    """
    windowed = scores
    if settings.advanced_localization and window is not None:
        windowed = scores * window if settings.perform_hn_without_windowing else scores
    index = best_scale(windowed)
    peak, sample = highest(windowed[index]), samples[index]
    shape = np.array(scores.shape[1:])
    output = shape - (kernel_side + 1) % 2
    step = sample.side_hw / output * sample.scale
    grid = Grid(
        center_cells=(shape - 1) / 2,
        neighborhood_cells=settings.target_neighborhood_scale
        * (place.size_hw / sample.scale)
        * (output / sample.side_hw),
        last_cells=(place.center_yx - sample.center_yx) / step,
    )
    if not settings.advanced_localization:
        return Localisation(
            (peak.cells - grid.center_cells) * step, index, Flag.NONE, scores[index]
        )
    cells, flag, has_second = judge(peak, scores[index], grid, thresholds)
    return Localisation(cells * step, index, flag, scores[index], has_second)


def localise_atom(
    scores: np.ndarray,
    place: OnlinePlace,
    sample_hw: np.ndarray,
    *,
    settings: OnlineSettings,
    window: np.ndarray | None,
) -> Localisation:
    """Localisation of ATOM.

    Args:
        scores: fine maps ``[S,h,w]`` whose zero displacement is at index (0, 0).
        place: last place of the target.
        sample_hw: sides of a sample, ``[2]``.
        settings: settings of the table, and the scale factors.
        window: window ``[h,w]``, its middle at index (0, 0), or none.
    """
    shape = np.array(scores.shape[1:])
    windowed = scores if window is None else scores * window
    shown = scores if settings.perform_hn_without_windowing else windowed
    step = sample_hw / shape * place.scale
    if not settings.advanced_localization:
        chosen = scores if settings.perform_hn_without_windowing else windowed
        index = best_scale(chosen)
        half = shape // 2
        cells = np.mod(highest(chosen[index]).cells + half, shape) - half
        step = step * settings.scale_factors[index]
        return Localisation(cells * step, index, Flag.NONE, chosen[index])

    windowed, shown = (np.roll(maps, shape // 2, axis=(1, 2)) for maps in (windowed, shown))
    index = best_scale(windowed)
    grid = Grid(
        center_cells=shape // 2,
        neighborhood_cells=settings.target_neighborhood_scale * (place.size_hw / place.scale),
        last_cells=np.zeros(2),
    )
    cells, flag, has_second = judge(
        highest(windowed[index]), shown[index], grid, thresholds_of(settings)
    )
    located = Localisation(cells * step, index, flag, shown[index], has_second)
    if flag is Flag.NOT_FOUND:
        return replace(located, scores=windowed[index])
    return replace(located, flag=Flag.NONE) if flag is Flag.NORMAL else located


def prepared(
    scores: np.ndarray,
    preprocess: ScorePreprocess,
    *,
    softmax_reg: float | None = None,
    filter_side: int = 1,
) -> np.ndarray:
    """Score maps ``[S,h,w]`` prepared for DiMP's localisation.

    Args:
        scores: raw score maps.
        preprocess: none, exponential, or softmax over the positions of each map.
        softmax_reg: extra logit in the softmax, dropped afterwards.
        filter_side: number of cells to sum over in both directions, odd.
    """
    if preprocess == "exp":
        scores = np.exp(scores)
    elif preprocess == "softmax":
        scores = _softmax(scores, softmax_reg)
    return _box_sums(scores, filter_side) if filter_side > 1 else scores


def _softmax(scores: np.ndarray, extra: float | None) -> np.ndarray:
    top = scores.max(axis=(1, 2), keepdims=True)
    if extra is not None:
        top = np.maximum(top, extra)
    powers = np.exp(scores - top)
    total = powers.sum(axis=(1, 2), keepdims=True)
    return np.asarray(powers / (total if extra is None else total + np.exp(extra - top)))


def _box_sums(scores: np.ndarray, side: int) -> np.ndarray:
    reach = side // 2
    padded = np.pad(scores, ((0, 0), (reach, reach), (reach, reach)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    return np.asarray(windows.sum(axis=(-2, -1)))


def fine_scores(
    scores: np.ndarray, grid_hw: tuple[int, int], kernel_hw: tuple[int, int]
) -> np.ndarray:
    """ATOM's maps ``[S,h,w]`` on a finer grid ``[S,*grid_hw]`` by Fourier interpolation.

    Zero displacement is at index (0, 0).
    """
    height, width = scores.shape[1:]
    half_h, half_w = height // 2, width // 2
    spectrum = np.fft.rfft2(scores) / (height * width)
    rows, columns = np.arange(-half_h, half_h + 1), np.arange(half_w + 1)
    # The Nyquist row of an even map appears at both ends, unhalved.
    spectrum = spectrum[:, rows % height]
    shift_h, shift_w = (
        np.pi * (1 - (kernel % 2) / side)
        for kernel, side in zip(kernel_hw, (height, width), strict=True)
    )
    spectrum = spectrum * np.exp(1j * (shift_h * rows[:, None] + shift_w * columns))
    fine = np.zeros((len(scores), grid_hw[0], grid_hw[1] // 2 + 1), dtype=np.complex128)
    fine[:, rows % grid_hw[0], : half_w + 1] = spectrum
    return np.asarray(np.fft.irfft2(fine, s=grid_hw) * np.prod(grid_hw))


def centered_hann(shape: np.ndarray) -> np.ndarray:
    """Outer product of two Hann windows ``[h,w]`` without their zeros, 1 towards the middle."""
    rows, columns = (
        0.5 * (1 - np.cos(2 * np.pi * np.arange(1, n + 1) / (n + 1)))
        for n in (int(side) for side in shape)
    )
    return np.outer(rows, columns)


def origin_hann(shape: np.ndarray) -> np.ndarray:
    """The same ``[h,w]`` with its middle at index (0, 0)."""
    rows, columns = (_origin_hann(int(side)) for side in shape)
    return np.outer(rows, columns)


def clipped_hann(shape: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """A window ``[h,w]`` that is Hann on its inner ``effective [2]`` cells and flat around them."""
    effective = effective + np.mod(effective - shape, 2)
    (top, left) = ((shape - effective) // 2).astype(int)
    return np.pad(centered_hann(effective), ((top, top), (left, left)), mode="edge")


def origin_clipped_hann(shape: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """The same ``[h,w]`` with its middle at index (0, 0)."""
    middle = (np.asarray(shape) // 2).astype(int)
    return np.roll(clipped_hann(shape, effective), -middle, axis=(0, 1))


def _origin_hann(side: int) -> np.ndarray:
    falling = 0.5 * (1 + np.cos(2 * np.pi * np.arange(side // 2 + 1) / (side + 2)))
    return np.concatenate([falling, falling[1 : side - side // 2][::-1]])
