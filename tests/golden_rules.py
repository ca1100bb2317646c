"""The image rule of golden/networks/README.md 2: pictures from a name, by integers only."""

from __future__ import annotations

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
