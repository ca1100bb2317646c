"""Noise that surfaces are made of. Every sequence draws its own; none is shared."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Array = NDArray[np.float32]

GRAINS = (1.0, 3.0, 9.0, 27.0)
"""Grain sizes of the noise, pixels."""

_SHAPE = (512, 768)


def stream(seed: Sequence[int], purpose: str, *more: int) -> np.random.Generator:
    """The random stream of one purpose: draws for one never shift those for another."""
    return np.random.default_rng([*seed, zlib.crc32(purpose.encode()), *more])


def resized(array: Array, width: int, height: int) -> Array:
    """``[h,w]`` resampled to ``[height,width]``, bilinear."""
    image = Image.fromarray(array).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _smooth_noise(rng: np.random.Generator, grain: float) -> Array:
    step = max(1, int(grain // 2))
    height, width = _SHAPE[0] // step, _SHAPE[1] // step
    white = rng.standard_normal((height, width), dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, 0.6 * grain / step, mode="wrap", truncate=2.5)
    smooth /= smooth.std()
    return resized(smooth, _SHAPE[1], _SHAPE[0]) if step > 1 else smooth


class Textures:
    """Noise fields of zero mean and unit deviation, one for every grain, ``[512,768]``."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.fields = [_smooth_noise(rng, grain) for grain in GRAINS]
        self._rng = rng

    def patch(self, height: int, width: int, grain: int) -> Array:
        """A piece ``[height,width]`` from a random place; wraps round where it is larger."""
        field = self.fields[grain]
        rows = (int(self._rng.integers(_SHAPE[0])) + np.arange(height)) % _SHAPE[0]
        columns = (int(self._rng.integers(_SHAPE[1])) + np.arange(width)) % _SHAPE[1]
        return field[rows[:, None], columns[None, :]]

    def mixed(self, height: int, width: int, grain: int) -> Array:
        """A piece with finer grain on it, as most surfaces have."""
        fine = self.patch(height, width, max(grain - 1, 0))
        mixed: Array = np.float32(0.8) * self.patch(height, width, grain) + np.float32(0.6) * fine
        return mixed

    def on_ground(
        self, across: NDArray[np.float64], away: NDArray[np.float64], grain: int
    ) -> Array:
        """The noise as it lies on a plane: ``across [h,w]`` and ``away [h]`` in texture pixels."""
        rows = away.astype(np.int64) % _SHAPE[0]
        columns = across.astype(np.int64) % _SHAPE[1]
        return self.fields[grain][rows[:, None], columns]
