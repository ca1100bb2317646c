"""Measures of the candidates of ``regions``, and the odds that one is an object.

Each box is compared with a ring around it, and strips inside its sides with strips outside, in
brightness, colour and change. Which boxes are measured is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tirtrack.pairs.proposals.change import Change
from tirtrack.pairs.proposals.planes import Plane, integral, integral_with_squares
from tirtrack.pairs.proposals.saliency import mean_in

RING = 0.35
CLEAR_CONTRAST = 8.0
CLEAR_CHANGE = 15.0
STRIP_SHARE = 0.1
NOISE_LEVELS = 4.0

# Names of the measures, and their weights in frames with neighbours and in stills.
MEASURES: dict[str, tuple[float, float]] = {
    "mean_contrast": (-0.30, -1.99),
    "contrast": (0.85, 0.95),
    "difference": (-0.14, 0.71),
    "tightness": (0.22, 0.94),
    "least_tightness": (0.02, -0.13),
    "change": (0.19, 0.00),
    "change_squared": (0.08, 0.00),
    "change_over_frame": (0.45, 0.00),
    "change_ratio": (1.29, 0.00),
    "change_tightness": (0.54, 0.00),
    "least_change_tightness": (-0.91, 0.00),
    "fill": (-0.71, -0.33),
    "size": (0.70, 0.30),
    "size_squared": (-0.10, -0.10),
    "elongation": (0.48, 0.86),
    "width": (-0.13, -0.33),
    "at_border": (-0.75, -1.34),
}
CONSTANTS = (1.03, -1.64)


@dataclass(frozen=True)
class Picture:
    """One frame at the working size, and what its neighbours say of it.

    Attributes:
        planes: ``[h,w]`` each: brightness, and of colour two opponents.
        change: what its neighbours do not show; ``None`` for stills.
        masked: ``[h,w]``: 1 where there is no measurement; ``None``: nowhere.
        factor: frame pixels a working pixel.
    """

    planes: Sequence[Plane]
    change: Change | None
    masked: Plane | None
    factor: int

    @cached_property
    def tables(self) -> list[np.ndarray]:
        """Integrals of each plane and, as imaginary parts, of its squares, flat."""
        return [integral_with_squares(one).ravel() for one in self.planes]

    @cached_property
    def change_table(self) -> np.ndarray:
        """Integral of the fine change, flat."""
        if self.change is None:
            raise ValueError("a still has no change")
        return integral(np.minimum(self.change.fine, CLEAR_CHANGE)).ravel()


def log_odds(picture: Picture, boxes: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """``[n]``: logarithm of the odds that each box ``[n,4]`` is an object."""
    kind = int(picture.change is None)
    weights = np.array(list(MEASURES.values()))[:, kind]
    logits: np.ndarray = measures(picture, boxes, fill) @ weights + CONSTANTS[kind]
    return logits


def measures(picture: Picture, boxes: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """``[n, len(MEASURES)]``: each box ``[n,4]`` compared with a ring of about a third of its size
    around it, and strips inside its sides with strips outside. Without neighbours the measures of
    change are 0. A box that touches pixels without a measurement counts as one at the border.
    """
    height, width = picture.planes[0].shape
    extents = _Extents(_parts(boxes), (height, width))
    counts = extents.counts
    cut = np.stack(
        [
            boxes[:, 0] < 1,
            boxes[:, 1] < 1,
            boxes[:, 0] + boxes[:, 2] > width - 1,
            boxes[:, 1] + boxes[:, 3] > height - 1,
        ]
    )
    total = np.zeros((3, len(boxes)))
    energy = np.zeros((2, 4, len(boxes)))
    for table in picture.tables:
        sums = extents.sums(table)
        first, second = sums.real, sums.imag
        inside, around = first[0] / counts[0], _ring(first, counts)
        squares, squares_around = second[0] / counts[0], _ring(second, counts)
        total[0] += (inside - around) ** 2
        total[1] += np.maximum(squares - inside**2, 0.0)
        total[2] += np.maximum(squares_around - around**2, 0.0)
        strips, strips_squared = first[2:] / counts[2:], second[2:] / counts[2:]
        off = np.maximum(strips_squared - 2 * around * strips + around**2, 0.0)
        energy += off.reshape(2, 4, -1)
    noise = len(picture.planes) * NOISE_LEVELS**2
    ratios = np.where(cut, 0.0, np.log((energy[0] + noise) / (energy[1] + noise)))
    size = np.log(np.sqrt(boxes[:, 2] * boxes[:, 3] / (width * height)))
    at_border = cut.any(axis=0)
    if picture.masked is not None:
        at_border |= mean_in(picture.masked, boxes + np.array([-1.0, -1.0, 2.0, 2.0])) > 0
    columns = {
        "mean_contrast": np.log1p(_clear(total[0], total[2])),
        "contrast": np.log(_clear(total[0] + total[1], total[2]) + 0.1),
        "difference": np.log1p(np.sqrt(total[0] + total[1])),
        "tightness": ratios.mean(axis=0),
        "least_tightness": ratios.min(axis=0),
        "fill": fill,
        "size": size,
        "size_squared": size**2,
        "elongation": np.abs(np.log(boxes[:, 2] / boxes[:, 3])),
        "width": np.log(boxes[:, 2] / boxes[:, 3]),
        "at_border": at_border.astype(np.float64),
        **_change_measures(picture, extents, cut),
    }
    return np.stack([columns[name] for name in MEASURES], axis=1)


def _change_measures(picture: Picture, extents: _Extents, cut: np.ndarray) -> dict[str, np.ndarray]:
    names = [name for name in MEASURES if "change" in name]
    if picture.change is None:
        return {name: np.zeros(cut.shape[1]) for name in names}
    table = picture.change_table
    sums, counts = extents.sums(table), extents.counts
    inside, around = sums[0] / counts[0], _ring(sums, counts)
    strips = (sums[2:] / counts[2:]).reshape(2, 4, -1)
    ratios = np.where(cut, 0.0, np.log((strips[0] + 0.7) / (strips[1] + 0.7)))
    level = np.log(inside + 0.3)
    return {
        "change": level,
        "change_squared": level**2,
        "change_over_frame": np.log((inside + 0.3) / (table[-1] / picture.planes[0].size + 0.3)),
        "change_ratio": np.log((inside + 0.7) / (around + 0.7)),
        "change_tightness": ratios.mean(axis=0),
        "least_change_tightness": ratios.min(axis=0),
    }


def _clear(energy: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Contrast in spreads of the ring, saturated: a clear box gains nothing by more contrast."""
    clear: np.ndarray = np.minimum(np.sqrt(energy / (spread + 9)), CLEAR_CONTRAST)
    return clear


def _parts(boxes: np.ndarray) -> np.ndarray:
    """``[10,n,4]`` xywh: the box, the box with its ring, strips of a tenth inside its left, upper,
    right and lower side, and such strips outside.
    """
    x, y, w, h = boxes.T
    margin = np.maximum(RING * np.sqrt(w * h), 2.0)
    dx, dy = np.maximum(np.rint(STRIP_SHARE * w), 1.0), np.maximum(np.rint(STRIP_SHARE * h), 1.0)
    return np.stack(
        [
            boxes,
            np.stack([x - margin, y - margin, w + 2 * margin, h + 2 * margin], 1),
            *(
                np.stack(strip, 1)
                for strip in (
                    (x, y, dx, h), (x, y, w, dy), (x + w - dx, y, dx, h), (x, y + h - dy, w, dy),
                    (x - dx, y, dx, h), (x, y - dy, w, dy), (x + w, y, dx, h), (x, y + h, w, dy),
                )
            ),
        ]
    )  # fmt: skip


class _Extents:
    """Boxes ``[k,n,4]`` in whole pixels, cut at the border, for sums over many planes."""

    def __init__(self, boxes: np.ndarray, shape_hw: tuple[int, ...]) -> None:
        height, width = shape_hw
        low = np.rint(boxes[..., :2])
        high = np.rint(boxes[..., :2] + boxes[..., 2:])
        x1, x2 = (np.clip(one[..., 0], 0, width).astype(np.intp) for one in (low, high))
        y1, y2 = (np.clip(one[..., 1], 0, height).astype(np.intp) for one in (low, high))
        self.counts = np.maximum((x2 - x1) * (y2 - y1), 1)
        row = width + 1
        self._corners = (y2 * row + x2, y1 * row + x2, y2 * row + x1, y1 * row + x1)

    def sums(self, table: np.ndarray) -> np.ndarray:
        """``[k,n]`` sums of the plane whose flat integral is given."""
        a, b, c, d = (table.take(corner) for corner in self._corners)
        total: np.ndarray = a - b - c + d
        return total


def _ring(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means of the rings without their boxes."""
    mean: np.ndarray = (sums[1] - sums[0]) / np.maximum(counts[1] - counts[0], 1)
    return mean
