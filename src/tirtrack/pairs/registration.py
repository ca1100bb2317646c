"""The translation between the two modalities of a pair, and whether it can be trusted.

Brightness means different things in RGB and TIR, outlines are shared. So the gradient magnitudes
are compared, at every shift of up to 12 pixels at a long side of at most 480, and the best
normalised correlation wins. Pixels without a measurement, and the outlines of their regions, are
ignored. Scale, rotation and parallax are not measured: parallax shows as disagreement between
pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from tirtrack.pairs.proposals.rules import grey_levels
from tirtrack.valid_pixels import valid_mask

LONG_SIDE = 480
MAX_SHIFT = 12
USABLE_PEAK = 0.15
WARN_OFFSET_PX = 4.0
MIN_MEASURED = 0.1  # share of the pixels
_SIGMA = 1.0


@dataclass(frozen=True)
class Offset:
    """Where TIR content lies in RGB: ``x_rgb = x_tir + dx``, in pixels of the frame.

    Attributes:
        dx: shift to the right.
        dy: shift down.
        peak: correlation at the best shift, -1 to 1.
    """

    dx: float
    dy: float
    peak: float

    @property
    def usable(self) -> bool:
        """Whether the pair has enough common structure to trust the offset."""
        return self.peak > USABLE_PEAK

    @property
    def length(self) -> float:
        """Distance in pixels."""
        return float(np.hypot(self.dx, self.dy))


@dataclass(frozen=True)
class OffsetSummary:
    """The offsets of several pairs.

    Attributes:
        tested: number of pairs that were measured.
        usable: number of pairs whose offset can be trusted.
        dx: median of the usable offsets, pixels to the right; 0 if there are none.
        dy: median of the usable offsets, pixels down; 0 if there are none.
        median_length: median of their lengths, pixels.
        share_within_2px: share of the usable offsets that are at most 2 pixels long.
    """

    tested: int = 0
    usable: int = 0
    dx: float = 0.0
    dy: float = 0.0
    median_length: float = 0.0
    share_within_2px: float = 0.0

    @property
    def shift(self) -> float:
        """Length of the median vector: what all pairs have in common, pixels."""
        return float(np.hypot(self.dx, self.dy))

    @property
    def too_large(self) -> bool:
        """Whether the typical distance is above 4 pixels."""
        return self.median_length > WARN_OFFSET_PX


def measure_offset(rgb: np.ndarray, tir: np.ndarray) -> Offset:
    """The translation between the modalities of one pair, to about half a pixel.

    Args:
        rgb: ``[H,W,3]`` or ``[H,W]``.
        tir: ``[H,W]``, same size.

    Raises:
        ValueError: the sizes differ.

    >>> scene = scipy.ndimage.gaussian_filter(np.random.default_rng(0).random((120, 160)) * 255, 2)
    >>> offset = measure_offset(scene[:, 5:-5], scene[:, 8:-2])
    >>> round(offset.dx), round(offset.dy), offset.usable
    (3, 0, True)
    """
    if rgb.shape[:2] != tir.shape[:2]:
        raise ValueError(f"sizes must be equal, got {list(rgb.shape)} and {list(tir.shape)}")
    scale = min(1.0, LONG_SIDE / max(tir.shape))
    valid = valid_mask(tir)
    fixed, moving = _gradient(rgb, scale), _gradient(tir, scale, valid)
    reach = min(MAX_SHIFT, (min(fixed.shape) - 8) // 2)
    if reach < 1:
        return Offset(0.0, 0.0, 0.0)
    inside = (slice(reach, -reach), slice(reach, -reach))
    if valid is None:
        correlation = _correlation(fixed, moving[inside])
    else:
        weights = _measured_at(valid, moving.shape)
        correlation = _masked_correlation(fixed, moving[inside], weights[inside])
    row, column = np.unravel_index(int(correlation.argmax()), correlation.shape)
    dy = row - reach + _vertex(correlation[:, column], int(row))
    dx = column - reach + _vertex(correlation[row], int(column))
    return Offset(float(dx / scale), float(dy / scale), float(correlation[row, column]))


def _gradient(image: np.ndarray, scale: float, valid: np.ndarray | None = None) -> np.ndarray:
    levels = grey_levels(image, valid)
    grey = levels if levels.ndim == 2 else levels.mean(axis=2)
    if scale < 1.0:
        grey = scipy.ndimage.zoom(scipy.ndimage.gaussian_filter(grey, 0.4 / scale), scale, order=1)
    magnitude: np.ndarray = scipy.ndimage.gaussian_gradient_magnitude(grey, _SIGMA)
    return magnitude.astype(np.float64)


def _correlation(fixed: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Normalised correlation of a template at every place inside ``fixed``; 0 where constant."""
    unit = template - template.mean()
    norm = np.sqrt((unit**2).sum())
    product = scipy.signal.fftconvolve(fixed, unit[::-1, ::-1], mode="valid")
    count = template.size
    total, squares = _window_sums(fixed, template.shape), _window_sums(fixed**2, template.shape)
    spread = np.sqrt(np.maximum(squares - total**2 / count, 0.0))
    scale = norm * spread
    floor = 1e-6 * count
    flat = np.zeros_like(product)
    correlation: np.ndarray = np.divide(product, scale, out=flat, where=scale > floor)
    return correlation


def _measured_at(valid: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The mask ``[H,W]`` at another size: 1.0 where all pixels that a gradient uses are measured.

    Where both modalities were warped alike, RGB is cut off where the mask ends; so no shift may
    bring measured TIR onto the outline of a large masked region.
    """
    scale = max(1.0, valid.shape[0] / shape[0])
    reach = math.ceil(3 * _SIGMA * scale)
    large = scipy.ndimage.binary_opening(~valid, iterations=reach, border_value=0)
    inner = scipy.ndimage.minimum_filter(valid, 2 * reach + 1, mode="nearest")
    far = 2 * (reach + math.ceil(MAX_SHIFT * scale)) + 1
    inner &= ~scipy.ndimage.maximum_filter(large, far, mode="nearest")
    rows, columns = (
        (np.arange(size) * length) // size for size, length in zip(shape, valid.shape, strict=True)
    )
    return np.asarray(inner[rows][:, columns], np.float64)


def _masked_correlation(fixed: np.ndarray, template: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """As :func:`_correlation`, but only over template pixels of weight 1; 0 where there are too
    few of them.
    """
    count = float(weights.sum())
    if count < MIN_MEASURED * weights.size:
        return np.zeros([a - b + 1 for a, b in zip(fixed.shape, weights.shape, strict=True)])
    unit = (template - (template * weights).sum() / count) * weights
    product, total, squares = (
        scipy.signal.fftconvolve(values, kernel[::-1, ::-1], mode="valid")
        for values, kernel in ((fixed, unit), (fixed, weights), (fixed**2, weights))
    )
    spread = np.sqrt(np.maximum(squares - total**2 / count, 0.0))
    scale = np.sqrt((unit**2).sum()) * spread
    flat = np.zeros_like(product)
    return np.asarray(np.divide(product, scale, out=flat, where=scale > 1e-6 * count))


def _window_sums(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    table = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    h, w = shape[0], shape[1]
    sums: np.ndarray = table[h:, w:] - table[:-h, w:] - table[h:, :-w] + table[:-h, :-w]
    return sums


def _vertex(values: np.ndarray, index: int) -> float:
    """Where the parabola through a maximum and its two neighbours peaks, relative to it."""
    if not 0 < index < len(values) - 1:
        return 0.0
    left, middle, right = values[index - 1 : index + 2]
    curvature = left - 2 * middle + right
    return float(0.5 * (left - right) / curvature) if curvature < 0 else 0.0


def summarise(offsets: Sequence[Offset]) -> OffsetSummary:
    """Medians over the usable pairs."""
    usable = [offset for offset in offsets if offset.usable]
    if not usable:
        return OffsetSummary(len(offsets), 0, 0.0, 0.0, 0.0, 0.0)
    lengths = np.array([offset.length for offset in usable])
    return OffsetSummary(
        tested=len(offsets),
        usable=len(usable),
        dx=float(np.median([offset.dx for offset in usable])),
        dy=float(np.median([offset.dy for offset in usable])),
        median_length=float(np.median(lengths)),
        share_within_2px=float((lengths <= 2.0).mean()),
    )
