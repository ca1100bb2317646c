"""From the two maps of a Siamese network to one position and size.

Pure functions of arrays; the tracker calls them in order and keeps the results. Positions on the
map count from the patch centre, in patch pixels. ``n`` is the number of cells per side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tirtrack.crops import context_side
from tirtrack.trackers.presets import SiameseSettings

STRIDE = 16


@dataclass(frozen=True)
class BestCell:
    """The best cell of a frame and the measurements there.

    Attributes:
        cell: row and column of the best cell.
        probability: softmax probability of the target at the cell, in [0, 1].
        peak: penalised and windowed score at the cell, the highest of the map.
        lead: ``peak`` minus the second highest score of the map.
        margin: logit(target) - logit(background) at the cell.
        entropy: entropy of the probabilities of all cells, normalised to sum 1; nats.
        offset_patch_xy: measured centre, from the patch centre, patch pixels.
        size_patch_wh: measured size, patch pixels.
        penalty: penalty for the change of size and aspect, in (0, 1].
    """

    cell: tuple[int, int]
    probability: float
    peak: float
    lead: float
    margin: float
    entropy: float
    offset_patch_xy: tuple[float, float]
    size_patch_wh: tuple[float, float]
    penalty: float


def target_probability(logits: np.ndarray) -> np.ndarray:
    """The target's share ``[n,n]`` float32 of the softmax over (background, target) ``[2,n,n]``."""
    shifted = logits - logits.max(axis=0)
    powers = np.exp(shifted)
    return np.asarray(powers[1] / (powers[0] + powers[1]))


def decode_boxes(ltrb: np.ndarray) -> np.ndarray:
    """Distances ``[4,n,n]`` of the four sides as boxes ``[4,n,n]`` cxcywh, from the patch centre.

    Float32, computed through the corners as in the published code.
    """
    centres = _cell_centres(ltrb.shape[-1])
    low, high = centres - ltrb[:2], centres + ltrb[2:]
    return np.concatenate([(low + high) * np.float32(0.5), high - low])


def change_penalty(
    sizes_wh: np.ndarray, size_wh: tuple[float, float], strength: float
) -> np.ndarray:
    """Penalty for the change from the last size: 1 for no change, toward 0 for more.

    Args:
        sizes_wh: measured widths and heights, ``[2,...]``.
        size_wh: last size, in the same unit.
        strength: ``penalty_k`` of the settings.

    Returns:
        ``[...]`` float64, ``exp(-(aspect change * scale change - 1) * strength)``.
    """
    widths, heights = sizes_wh.astype(np.float64)
    aspect = _change((size_wh[0] / size_wh[1]) / (widths / heights))
    scale = _change(context_side(widths, heights) / context_side(*size_wh))
    return np.asarray(np.exp(-(aspect * scale - 1) * strength))


def windowed(probability: np.ndarray, penalty: np.ndarray, window_influence: float) -> np.ndarray:
    """The score that picks the cell: penalised probability ``[n,n]``, mixed with the window."""
    mixed: np.ndarray = penalty * probability
    mixed *= 1 - window_influence
    mixed += _weighted_window(len(probability), window_influence)
    return mixed


def best_cell(peaks: np.ndarray) -> tuple[int, int]:
    """Row and column of the first maximum of ``peaks [n,n]``, in row-major order."""
    row, column = divmod(int(peaks.argmax()), peaks.shape[1])
    return row, column


def map_entropy(probability: np.ndarray) -> float:
    """Entropy of a probability map ``[n,n]`` normalised to sum 1, in nats: low for one sharp peak,
    ``ln(n * n)`` for a flat map.
    """
    share = probability.astype(np.float64).ravel() + 1e-12  # a map of zeros is flat, not undefined
    share /= share.sum()
    return float(-(share * np.log(share)).sum())


def localise(
    logits: np.ndarray,
    ltrb: np.ndarray,
    size_patch_wh: tuple[float, float],
    *,
    settings: SiameseSettings,
) -> BestCell | None:
    """The best cell of a frame, or ``None`` if a map holds a number that is not finite.

    Args:
        logits: logits ``[2,n,n]`` (background, target).
        ltrb: distances of the sides ``[4,n,n]``, patch pixels, above 0.
        size_patch_wh: last size of the target, in pixels of this patch.
        settings: settings of penalty and window.
    """
    if not (np.isfinite(logits).all() and np.isfinite(ltrb).all() and ltrb.min() > 0):
        return None
    probability = target_probability(logits)
    boxes = decode_boxes(ltrb)
    penalty = change_penalty(boxes[2:], size_patch_wh, settings.penalty_k)
    peaks = windowed(probability, penalty, settings.window_influence)
    if not np.isfinite(peaks).all():
        return None
    row, column = best_cell(peaks)
    second, first = np.partition(peaks, -2, axis=None)[-2:]
    dx, dy, width, height = (float(value) for value in boxes[:, row, column])
    return BestCell(
        cell=(row, column),
        probability=float(probability[row, column]),
        peak=float(first),
        lead=float(first - second),
        margin=float(logits[1, row, column] - logits[0, row, column]),
        entropy=map_entropy(probability),
        offset_patch_xy=(dx, dy),
        size_patch_wh=(width, height),
        penalty=float(penalty[row, column]),
    )


def limit_to_frame(
    center_xy: tuple[float, float],
    size_wh: tuple[float, float],
    *,
    frame_wh: tuple[int, int],
    min_side: float,
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Moves the centre into the frame and limits the sides to the frame's and to at least
    ``min_side``, which takes precedence.
    """
    cx, cy = (
        min(max(centre, 0.0), float(limit))
        for centre, limit in zip(center_xy, frame_wh, strict=True)
    )
    width, height = (
        max(min_side, min(side, float(limit)))
        for side, limit in zip(size_wh, frame_wh, strict=True)
    )
    return (cx, cy), (width, height)


@lru_cache(maxsize=8)
def cosine_window(cells: int) -> np.ndarray:
    """Outer product of two Hann windows ``[n,n]``, zero at the border, 1 in the middle."""
    window: np.ndarray = np.outer(np.hanning(cells), np.hanning(cells))
    window.setflags(write=False)
    return window


@lru_cache(maxsize=8)
def _weighted_window(cells: int, weight: float) -> np.ndarray:
    window = cosine_window(cells) * weight
    window.setflags(write=False)
    return window


@lru_cache(maxsize=8)
def _cell_centres(cells: int) -> np.ndarray:
    """``[2,n,n]`` x and y, from the patch centre, patch pixels."""
    steps = ((np.arange(cells) - cells // 2) * STRIDE).astype(np.float32)
    centres = np.stack(np.meshgrid(steps, steps, indexing="xy"))
    centres.setflags(write=False)
    return centres


def _change(ratio: np.ndarray) -> np.ndarray:
    """A ratio or its inverse, whichever is above 1."""
    return np.asarray(np.maximum(ratio, 1.0 / ratio))
