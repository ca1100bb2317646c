"""The two cameras: from scene to numbers, each with its own faults.

All noise is a function of the seed and the tick; only the automatic gain remembers earlier frames,
as the real one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tirtrack.synthetic.settings import WorldSettings
from tirtrack.synthetic.textures import resized, stream

Array = NDArray[np.float32]

COUNTS_PER_KELVIN = 25.0
COUNTS_AT_ZERO_CELSIUS = 7000.0
_SHUTTER_TICKS = 300
_BANK_MARGIN = 64


def to_counts(kelvin: Array) -> NDArray[np.uint16]:
    """Apparent temperature as raw counts."""
    counts = (kelvin - np.float32(273.15)) * np.float32(COUNTS_PER_KELVIN)
    counts += np.float32(COUNTS_AT_ZERO_CELSIUS)
    rounded: NDArray[np.uint16] = np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
    return rounded


class RgbCamera:
    """Exposure that drifts a little, noise, and shading of the lens.

    Args:
        seed: seed of the sequence.
        settings: ranges of its constants.
        is_night: whether it is night, when noise is strong.
    """

    def __init__(self, seed: Sequence[int], settings: WorldSettings, *, is_night: bool) -> None:
        rng = stream(seed, "rgb camera")
        bounds = settings.rgb_noise_night if is_night else settings.rgb_noise_day
        sigma = np.float32(rng.uniform(*bounds))
        self._shape = settings.height, settings.width
        size = (settings.height + _BANK_MARGIN, settings.width + _BANK_MARGIN)
        self._noise = sigma * rng.standard_normal((3, *size), dtype=np.float32)
        self._drift = rng.uniform(0, 0.05), rng.uniform(0.01, 0.05), rng.uniform(0, 6.28)
        balance = np.clip(rng.normal(1.0, 0.035, 3), 0.9, 1.1)
        y, x = np.mgrid[-1 : 1 : 1j * self._shape[0], -1 : 1 : 1j * self._shape[1]]
        lens = 1 - rng.uniform(0.02, 0.14) * (x * x + y * y) / 2
        self._gain = (balance[:, None, None] * lens).astype(np.float32)
        self.shutter_share = float(rng.uniform(0.4, 0.8) if is_night else rng.uniform(0.05, 0.25))

    def expose(self, levels: Array, seed: Sequence[int], tick: int) -> NDArray[np.uint8]:
        """``[3,H,W]`` grey levels as the camera's frame ``[H,W,3]``."""
        rng = stream(seed, "rgb noise", tick)
        top, left = (int(value) for value in rng.integers(_BANK_MARGIN, size=2))
        height, width = self._shape
        strength, pace, start = self._drift
        exposure = np.float32(1 + strength * np.sin(pace * tick + start))
        frame = levels * self._gain
        frame *= exposure
        noise = self._noise[:, top : top + height, left : left + width]
        frame += noise if tick % 2 else noise[:, ::-1, ::-1]
        np.clip(frame, 0, 255, out=frame)
        return np.ascontiguousarray(frame.transpose(1, 2, 0)).astype(np.uint8)


class TirCamera:
    """Optics, halo, and the noise of a microbolometer.

    Args:
        seed: seed of the sequence.
        settings: ranges of its constants.
    """

    def __init__(self, seed: Sequence[int], settings: WorldSettings) -> None:
        rng = stream(seed, "tir camera")
        self._shape = height, width = settings.height, settings.width
        self._kernel = _gaussian(rng.uniform(*settings.psf_sigma))
        self._halo = np.float32(rng.uniform(*settings.halo_strength))
        # two box filters at a quarter of the size reach twice their half width
        self._halo_quarter_px = max(1, round(rng.uniform(*settings.halo_px) / 8))
        size = (height + _BANK_MARGIN, width + _BANK_MARGIN)
        netd = np.float32(rng.uniform(*settings.netd_kelvin))
        self._noise = netd * rng.standard_normal(size, dtype=np.float32)
        pattern = np.float32(rng.uniform(*settings.pattern_kelvin))
        self._patterns = pattern * rng.standard_normal((2, height, width), dtype=np.float32)
        self._columns = pattern * rng.standard_normal((2, 1, width), dtype=np.float32)
        self._start = int(rng.integers(_SHUTTER_TICKS))
        count = int(rng.integers(settings.dead_pixels + 1))
        self._dead = rng.integers(height, size=count), rng.integers(width, size=count)
        self._stuck = rng.uniform(-12, 12, count).astype(np.float32)

    def measure(self, kelvin: Array, seed: Sequence[int], tick: int) -> NDArray[np.uint16]:
        """Apparent temperature ``[H,W]`` as counts."""
        rng = stream(seed, "tir noise", tick)
        height, width = self._shape
        seen = _blurred(kelvin, self._kernel)
        seen += self._ring(seen)
        top, left = (int(value) for value in rng.integers(_BANK_MARGIN, size=2))
        noise = self._noise[top : top + height, left : left + width]
        seen += noise if tick % 2 else noise[::-1, ::-1]
        seen += self._pattern(tick)
        seen[self._dead] = seen.mean() + self._stuck
        return to_counts(seen)

    def _pattern(self, tick: int) -> Array:
        """Fixed pattern: what the last shutter left, growing until the next one."""
        since = (tick + self._start) % _SHUTTER_TICKS
        age = np.float32(since / _SHUTTER_TICKS)
        event = (tick + self._start) // _SHUTTER_TICKS
        sign = np.float32(1 - 2 * (event % 2))
        still = sign * self._patterns[0] + age * self._patterns[1]
        pattern: Array = still + sign * self._columns[0] + age * self._columns[1]
        return pattern

    def _ring(self, seen: Array) -> Array:
        """What the halo subtracts: a share of the neighbourhood's warm excess."""
        height, width = seen.shape
        quarter = seen.reshape(height // 4, 4, width // 4, 4).mean(axis=(1, 3))
        excess = np.maximum(quarter - np.median(quarter), 0)
        reach = 2 * self._halo_quarter_px + 1
        spread = ndimage.uniform_filter(excess, reach, mode="nearest")
        spread = ndimage.uniform_filter(spread, reach, mode="nearest")
        hole = np.clip(excess - 4, 0, 4) / 4
        return resized(-self._halo * spread * (1 - 0.7 * hole), width, height)


def _gaussian(sigma: float) -> Array:
    taps = np.exp(-0.5 * (np.arange(4) / sigma) ** 2)
    return np.asarray(taps / (taps[0] + 2 * taps[1:].sum()), np.float32)


def _blurred(plane: Array, kernel: Array) -> Array:
    """Separable blur by a symmetric kernel given from its middle on; borders are repeated."""
    reach = len(kernel) - 1
    for axis in (0, 1):
        width = [(0, 0), (0, 0)]
        width[axis] = (reach, reach)
        padded = np.pad(plane, width, mode="edge")
        length = plane.shape[axis]

        def shifted(by: int, source: Array = padded, on: int = axis, size: int = length) -> Array:
            begin = reach + by
            return source[begin : begin + size] if on == 0 else source[:, begin : begin + size]

        plane = kernel[0] * shifted(0)
        for tap in range(1, reach + 1):
            plane += kernel[tap] * (shifted(tap) + shifted(-tap))
    return plane


@dataclass(frozen=True)
class AgcSettings:
    """How counts become 8 bit in one sequence.

    Attributes:
        plateau: plateau equalisation; else percentiles 1 and 99.
        black_hot: inverted polarity.
        memory: share of the last table that is kept.
    """

    plateau: bool
    black_hot: bool
    memory: float


def draw_agc(seed: Sequence[int], settings: WorldSettings) -> AgcSettings | None:
    """The sequence's gain control; None where counts are stored as they are."""
    rng = stream(seed, "agc")
    stored, plateau, inverted = rng.random(3)
    if stored < settings.sixteen_bit_share:
        return None
    return AgcSettings(
        bool(plateau < settings.plateau_share),
        bool(inverted < settings.black_hot_share),
        float(rng.uniform(*settings.agc_memory)),
    )


class Agc:
    """Automatic gain over the whole frame: a hot object that enters changes the grey of all others.

    Attributes:
        jump: change of the grey level of the frame's median, from the last frame to this.
    """

    _LOWEST = 4500
    _TABLE = 6000

    def __init__(self, settings: AgcSettings) -> None:
        self._settings = settings
        self._table: Array | None = None
        self.jump = 0.0

    def __call__(self, counts: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """``[H,W]`` counts as 8 bit."""
        index = np.clip(counts.astype(np.int32) - self._LOWEST, 0, self._TABLE - 1)
        histogram = np.bincount(index.ravel(), minlength=self._TABLE)
        cumulated = np.cumsum(histogram)
        wanted = self._plateau(histogram) if self._settings.plateau else self._linear(cumulated)
        middle = int(np.searchsorted(cumulated, cumulated[-1] // 2))
        before = self._table
        if before is None:
            self._table = wanted
        else:
            keep = np.float32(self._settings.memory)
            self._table = keep * before + (1 - keep) * wanted
            self.jump = float(abs(self._table[middle] - before[middle]))
        table = np.rint(self._table).astype(np.uint8)
        if self._settings.black_hot:
            table = 255 - table
        return np.take(table, index)

    def _linear(self, cumulated: NDArray[np.int64]) -> Array:
        total = int(cumulated[-1])
        low = int(np.searchsorted(cumulated, 0.01 * total))
        high = int(np.searchsorted(cumulated, 0.99 * total))
        span = max(high - low, 2 * int(COUNTS_PER_KELVIN))
        ramp = (np.arange(self._TABLE, dtype=np.float32) - low) * np.float32(255.0 / span)
        return np.asarray(np.clip(ramp, 0, 255), np.float32)

    def _plateau(self, histogram: NDArray[np.int64]) -> Array:
        filled = np.minimum(histogram, max(1, int(histogram.sum() // 400)))
        cumulated = np.cumsum(filled).astype(np.float32)
        return np.asarray(cumulated * np.float32(255.0 / cumulated[-1]), np.float32)
