"""The rules of golden/networks/README.md: pictures (2) and weights (1) from a name, by integers."""

from __future__ import annotations

import math
import zlib

import numpy as np


def raw(name: str, count: int) -> np.ndarray:
    return np.random.PCG64(zlib.crc32(name.encode("utf-8"))).random_raw(count)


def image(name: str, height: int, width: int) -> np.ndarray:
    """``[height,width,3]`` uint8 RGB; both sides multiples of 16."""
    rows, columns = height // 16 + 2, width // 16 + 2
    low = raw(f"image/{name}", rows * columns * 3) & np.uint64(255)
    grid = low.astype(np.int64).reshape(rows, columns, 3)
    j, a = np.divmod(np.arange(height)[:, None], 16)
    i, b = np.divmod(np.arange(width)[None, :], 16)
    upper = (16 - b)[..., None] * grid[j, i] + b[..., None] * grid[j, i + 1]
    lower = (16 - b)[..., None] * grid[j + 1, i] + b[..., None] * grid[j + 1, i + 1]
    smooth = (16 - a)[..., None] * upper + a[..., None] * lower
    noise = (raw(f"noise/{name}", height * width * 3) & np.uint64(31)).astype(np.int64) - 16
    return np.clip((smooth + 128) // 256 + noise.reshape(smooth.shape), 0, 255).astype(np.uint8)


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weight rule of golden/networks/README.md 1: float32, counters int64."""
    last = key.rsplit(".", 1)[-1]
    count = math.prod(shape)
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if last in _CONSTANTS:
        return np.full(shape, _CONSTANTS[last], np.float32)
    if last == "running_var":
        values = 1.0 + (raw(key, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    elif len(shape) == 1 or any(part in key for part in _BINNED):
        values = _vector(key, last, count)
    else:
        values = _rows(key, shape[0], count // shape[0])
    return values.reshape(shape).astype(np.float32)


_BINNED = ("label_map_predictor", "target_mask_predictor", "spatial_weight_predictor")
_CONSTANTS = {"log_step_length": -0.125, "filter_reg": 0.09375}
_ONE_STEP = 1.0 / np.sqrt((65536.0**2 - 1.0) / 3.0)


def _sums(name: str, count: int) -> np.ndarray:
    """Of the four 16-bit fields of each raw number: int64, nearly normal."""
    numbers, field = raw(name, count), np.uint64(65535)
    sums = sum((numbers >> np.uint64(shift)) & field for shift in (0, 16, 32, 48))
    return sums.astype(np.int64)


def _vector(key: str, last: str, count: int) -> np.ndarray:
    normal = (_sums(key, count).astype(np.float64) - 131070.0) * _ONE_STEP
    distances = 0.1 * np.arange(count)
    if "label_map_predictor" in key:
        return np.exp(-0.5 * (distances / 0.9) ** 2) + 0.01 * normal
    if "target_mask_predictor" in key:
        return 3.0 * np.tanh(2.0 - distances) + 0.1 * normal
    if "spatial_weight_predictor" in key:
        return 1.0 + 0.05 * normal
    mean, spread = {"running_mean": (0.0, 0.1), "bias": (0.0, 0.05)}.get(last, (1.0, 0.1))
    return mean + spread * normal


def _rows(key: str, rows: int, length: int) -> np.ndarray:
    """Of a convolution or a linear layer: the values of every output sum to zero."""
    sums = _sums(key, rows * length).reshape(rows, length)
    gains = {"filter_conv": 1.0, "_rt.linear": 32.0, ".fc34_": 8.0}
    gain = next((gains[part] for part in gains if part in key), 2.0)
    mean = sums.sum(1).astype(np.float64) / length
    return (sums.astype(np.float64) - mean[:, None]) * _ONE_STEP * np.sqrt(gain / length)
