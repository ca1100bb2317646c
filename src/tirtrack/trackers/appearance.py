"""Similarity of the content of a box to that of the first one: correlation of their texture.

A network recognises the kind of thing; this tells, as far as texture can, whether it is the same
one. Gain and offset of a camera have no effect.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tirtrack.boxes import Box

_SIDE = 32  # samples per side of a box
_MARGIN = 6  # samples around it, for a box that is off
_SCALES = (0.87, 1.0, 1.15)  # for a box that is too large or too small
_ROUNDING = 1e-9  # spread of a flat box, relative to its level
_FINE = 64  # pixels per side above which a box is shrunk by block means before it is sampled


class Appearance:
    """The content of the first box.

    Args:
        samples: samples of the box, ``[32,32]``.
    """

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples
        weights = _inside().ravel()
        centred = samples.ravel() - weights @ samples.ravel()
        norm = float(np.sqrt(weights @ centred**2))
        has_texture = norm > _ROUNDING * float(np.abs(samples).max())
        self._weights = weights
        self._weighted = weights * centred / norm if has_texture else np.zeros_like(weights)

    @classmethod
    def of(cls, picture: np.ndarray, box: Box) -> Appearance:
        """The content of a box in a picture ``[H,W]`` or ``[H,W,3]`` of any number type."""
        return cls(_samples(picture, box, scale=1.0, margin=0))

    def likeness(self, picture: np.ndarray, box: Box) -> float:
        """Largest correlation in [-1, 1] with the first box, in or near a box: it may be off by a
        fifth of its size, or a seventh too large or too small. 0 without any texture.
        """
        return max(self._correlation(picture, box, scale) for scale in _SCALES)

    def state_dict(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"samples": self.samples.copy()}

    def _correlation(self, picture: np.ndarray, box: Box, scale: float) -> float:
        samples = _samples(picture, box, scale=scale, margin=_MARGIN)
        samples = samples - samples.mean()
        windows = np.lib.stride_tricks.sliding_window_view(samples, (_SIDE, _SIDE))
        flat = windows.reshape(-1, _SIDE * _SIDE)
        variances = flat**2 @ self._weights - (flat @ self._weights) ** 2
        norms = np.sqrt(np.maximum(variances, 1e-12 * max(float((samples**2).mean()), 1e-300)))
        correlations = (flat @ self._weighted) / norms
        return float(correlations.max().clip(-1, 1))


def _inside() -> np.ndarray:
    """Weights ``[32,32]``, sum 1, of the ellipse in a box: its corners show the background."""
    places = (np.arange(_SIDE) + 0.5) / _SIDE * 2 - 1
    inside = (places[:, None] ** 2 + places[None, :] ** 2 < 0.9).astype(np.float64)
    return np.asarray(inside / inside.sum())


def _samples(picture: np.ndarray, box: Box, *, scale: float, margin: int) -> np.ndarray:
    """Grey samples ``[32+2m,32+2m]`` float64 of the scaled box with ``margin`` samples around it.
    Pixels outside the picture repeat its border; non-finite ones are 0.
    """
    spread = scale * (1 + 2 * margin / _SIDE)
    count = _SIDE + 2 * margin
    cx, cy = box.center_xy
    rows = _places(cy, box.h * spread, count)
    columns = _places(cx, box.w * spread, count)
    block = (_block(box.h), _block(box.w))
    low, high = _limits(rows, len(picture), block[0]), _limits(columns, picture.shape[1], block[1])
    grey = picture[low[0] : low[1], high[0] : high[1]].astype(np.float64)
    grey = np.nan_to_num(grey.mean(axis=2) if grey.ndim == 3 else grey, posinf=0.0, neginf=0.0)
    grey = _shrunk(grey, block)
    fine = _linear(grey, (rows - low[0]) / block[0])
    return _linear(fine.T, (columns - high[0]) / block[1]).T


def _places(centre: float, length: float, count: int) -> np.ndarray:
    return centre + ((np.arange(count) + 0.5) / count - 0.5) * length


def _block(length: float) -> int:
    return max(int(length // _FINE), 1)


def _limits(places: np.ndarray, length: int, block: int) -> tuple[int, int]:
    """The first pixel that the places need and the one after the last, at least one block."""
    first = int(np.clip(places[0] - 2 * block, 0, max(length - block, 0)))
    last = int(np.clip(places[-1] + 2 * block, first + block, max(length, first + block)))
    return first, min(last, length)


def _shrunk(grey: np.ndarray, block: tuple[int, int]) -> np.ndarray:
    """Means of whole blocks; at least one."""
    rows, columns = max(len(grey) // block[0], 1), max(grey.shape[1] // block[1], 1)
    cut = grey[: rows * block[0], : columns * block[1]]
    return np.asarray(cut.reshape(rows, len(cut) // rows, columns, -1).mean(axis=(1, 3)))


def _linear(grey: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rows at continuous places (a pixel covers ``[i, i+1)``), interpolated linearly, with the
    border repeated.
    """
    steps = (places - 0.5).clip(0, len(grey) - 1)
    low = np.floor(steps).astype(np.int64)
    share = (steps - low)[:, None]
    high = np.minimum(low + 1, len(grey) - 1)
    return np.asarray(grey[low] * (1 - share) + grey[high] * share)
