"""Boxes of salient regions, without any network (the default proposer).

An object differs from what surrounds it, in brightness or colour over some range of scales, or in
that it moves while the background stays. The steps, for each modality by itself:

1. planes: brightness, two colour opponents (RGB only), and motion: what the frame shows beyond the
   median of its neighbours, each shifted onto it first;
2. a pyramid; in each level the contrast of small centres against large surrounds, in units of the
   surround's own spread, and the signed difference of brightness;
3. silhouettes: connected parts of these maps above a ladder of thresholds. Their extents are the
   candidates, some thousands;
4. measures of every candidate, which compare its box with a ring around it; a weighted sum of
   them ranks, overlaps are suppressed, the best ten stay.

The weights of step 4 are the only fitted numbers here: a logistic regression on sequences that may
be tuned on (12 RGB videos and 60 synthetic sequences), rounded and set by hand where that did not
cost recall; ``benchmarks/proposal_recall.py`` measures it. This proposer cannot find an object of
several dissimilar parts before a busy background, or one that fills half of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from tirtrack.boxes import Box, suppress_overlapping
from tirtrack.pairs.proposals.connected_parts import parts_above
from tirtrack.pairs.proposals.each_modality import EachModality
from tirtrack.pairs.proposals.motion import motion_plane
from tirtrack.pairs.proposals.planes import (
    Plane,
    extent_sums,
    halve,
    highest,
    integral,
    neighbourhood,
)
from tirtrack.pairs.proposals.rules import grey_levels
from tirtrack.read_options import NoData
from tirtrack.valid_pixels import valid_mask

# Grey levels, pixels and ratios below are those of the working image: halved until its long side
# is at most this.
WORKING_SIDE = 400
LEVELS = 5
SURROUND_PX = 21
NOISE_LEVELS = 4.0
CONTRAST_LADDER = 0.35 * 1.6 ** np.arange(8)
SIGNED_LADDER = 5.0 * 1.6 ** np.arange(6)
MOTION_LADDER = 2.0 * 1.6 ** np.arange(6)
PEAKS = 12
PEAK_FLOOR = 0.8
PEAK_FRACTIONS = (0.2, 0.35, 0.5)
PEAK_REACH_PX = 24
MAX_SILHOUETTE_PX = 80
MAX_FRAME_SHARE = 0.4
MAX_ASPECT = 4.0
RING = 0.35
CLEAR_CONTRAST = 8.0
MEASURED = 600
FLAT_LEVELS = 0.3
MAX_MASKED_SHARE = 0.2

# Names of the measures, in the order of their columns, and the weights of the ranking.
MEASURES = {
    "mean_contrast": -1.6,
    "contrast": 1.1,
    "difference": 0.45,
    "motion_ratio": 0.24,
    "motion": 0.74,
    "fill": 0.56,
    "size": 0.67,
    "size_squared": -0.11,
    "elongation": 0.65,
    "at_border": -1.56,
    "edge_ratio": 0.64,
    "edges": -0.19,
    "tightness": 0.57,
}


class Saliency(EachModality):
    """Proposes what stands out in each modality, merged."""

    name = "saliency"

    def find(self, image: np.ndarray, neighbours: Sequence[np.ndarray]) -> list[tuple[Box, float]]:
        """See :func:`salient_boxes`."""
        settings = self.settings
        return salient_boxes(image, neighbours, count=settings.count, max_iou=settings.max_iou)


def salient_boxes(
    image: np.ndarray,
    neighbours: Sequence[np.ndarray] = (),
    *,
    count: int = 10,
    max_iou: float = 0.4,
    no_data: NoData | None = None,
) -> list[tuple[Box, float]]:
    """The salient boxes of one frame, best first.

    Pixels without a measurement take the values of the nearest measured ones; their outline counts
    as a border of the frame, and a box may hold few of them.

    Args:
        image: ``[H,W]`` or ``[H,W,3]`` RGB, any depth.
        neighbours: frames of the same video near in time, same size and depth, for motion.
        count: largest number of boxes.
        max_iou: largest overlap of two of them.
        no_data: value without a measurement, as for :func:`tirtrack.valid_pixels.valid_mask`.

    Returns:
        Boxes inside the frame with scores in [0, 1], which rank inside one frame and mean nothing
        across frames; none where the frame is flat.

    >>> frame = np.zeros((120, 160), np.uint8)
    >>> frame[40:60, 70:100] = 200
    >>> salient_boxes(frame)[0][0]
    Box(x=70.0, y=40.0, w=30.0, h=20.0)
    """
    valid = valid_mask(image, no_data)
    planes, factor = working_planes(image, valid)
    if max(float(plane.std()) for plane in planes) < FLAT_LEVELS:
        return []
    motion = _motion(planes[0], [o for o in neighbours if o.shape == image.shape], no_data)
    boxes, fill = candidates(planes, motion)
    masked = None if valid is None else working_mask(valid, planes[0].shape, factor)
    if masked is not None:
        kept = mean_in(masked, boxes) <= MAX_MASKED_SHARE
        boxes, fill = boxes[kept], fill[kept]
    if not len(boxes):
        return []
    logits = measures(planes, motion, boxes, fill, masked) @ np.array(list(MEASURES.values()))
    best = np.argsort(-logits, kind="stable")[:MEASURED]
    chosen = best[suppress_overlapping(boxes[best], logits[best], max_iou, count=count)]
    height, width = image.shape[:2]
    scores = 1.0 / (1.0 + np.exp(-(logits - logits.max() + 2.0)))
    found = []
    for index in chosen:
        x, y, w, h = boxes[index] * factor
        box = Box(float(x), float(y), float(min(w, width - x)), float(min(h, height - y)))
        found.append((box, float(scores[index])))
    return found


def _motion(plane: Plane, neighbours: Sequence[np.ndarray], no_data: NoData | None) -> Plane | None:
    """The motion plane; ``None`` without neighbours."""
    if not neighbours:
        return None
    masks = [valid_mask(other, no_data) for other in neighbours]
    near = [brightness(other, mask) for other, mask in zip(neighbours, masks, strict=True)]
    if all(mask is None for mask in masks):
        return motion_plane(plane, near)
    small = [
        None if mask is None else working_mask(mask, plane.shape, len(mask) // len(plane)) == 0
        for mask in masks
    ]
    return motion_plane(plane, near, small)


def working_mask(valid: np.ndarray, shape_hw: tuple[int, ...], factor: int) -> Plane:
    """``[h,w]`` at the working size: 1 where a pixel covers one without a measurement, else 0."""
    height, width = shape_hw
    blocks = valid[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return np.asarray(~blocks.all(axis=(1, 3)), np.float32)


def mean_in(plane: Plane, boxes: np.ndarray) -> np.ndarray:
    """``[n]``: the mean of a plane in each box ``[n,4]``."""
    sums, counts = extent_sums(integral(plane), boxes)
    return np.asarray(sums / counts)


def working_planes(image: np.ndarray, valid: np.ndarray | None = None) -> tuple[list[Plane], int]:
    """Brightness ``[h,w]``, and for colour two opponents, at the working size; and the factor back
    to the frame, ``[H,W]`` or ``[H,W,3]``. ``valid``: as for :func:`grey_levels`.
    """
    levels, factor = _working(image, valid)
    if levels.ndim == 2:
        return [levels], factor
    red, green, blue = (levels[..., channel] for channel in range(3))
    opponents = [0.7 * (red - green), 0.7 * blue - 0.35 * (red + green)]
    return [(red + green + blue) * np.float32(1 / 3), *opponents], factor


def brightness(image: np.ndarray, valid: np.ndarray | None = None) -> Plane:
    """The first of :func:`working_planes`."""
    levels, _ = _working(image, valid)
    if levels.ndim == 2:
        return levels
    mean: Plane = (levels[..., 0] + levels[..., 1] + levels[..., 2]) * np.float32(1 / 3)
    return mean


def _working(image: np.ndarray, valid: np.ndarray | None) -> tuple[Plane, int]:
    levels, factor = grey_levels(image, valid), 1
    while max(levels.shape[:2]) > WORKING_SIDE:
        levels, factor = halve(levels), 2 * factor
    return levels, factor


def candidates(planes: Sequence[Plane], motion: Plane | None) -> tuple[np.ndarray, np.ndarray]:
    """Extents of all silhouettes, and how much of its box each fills.

    Args:
        planes: ``[H,W]`` each.
        motion: ``[H,W]``, or ``None`` for stills.

    Returns:
        ``[n,4]`` xywh inside the working image, and ``[n]`` fractions.
    """
    height, width = planes[0].shape
    found: list[np.ndarray] = []
    current = list(planes)
    for level in range(LEVELS):
        smaller = [halve(plane) for plane in current]
        if min(smaller[0].shape) < 8:
            break
        least = 2 if level == 0 else 3
        contrasts = contrast(current, smaller)
        found.append(peak_silhouettes(contrasts) * _scale(level))
        maps = [(contrasts, CONTRAST_LADDER)]
        signed = neighbourhood(current[0]) - scipy.ndimage.uniform_filter(current[0], SURROUND_PX)
        maps += [(signed, SIGNED_LADDER), (-signed, SIGNED_LADDER)]
        if motion is not None:
            maps.append((neighbourhood(motion), MOTION_LADDER))
            motion = halve(motion)
        found += [silhouettes(plane, ladder, least) * _scale(level) for plane, ladder in maps]
        current = smaller
    rows = np.concatenate(found) if found else np.zeros((0, 5))
    rows[:, 2] = np.minimum(rows[:, 2], width - rows[:, 0])
    rows[:, 3] = np.minimum(rows[:, 3], height - rows[:, 1])
    w, h = rows[:, 2], rows[:, 3]
    good = (w * h < MAX_FRAME_SHARE * width * height) & (np.minimum(w, h) >= 2)
    good &= np.maximum(w, h) <= MAX_ASPECT * np.minimum(w, h)
    return rows[good, :4], rows[good, 4]


def _scale(level: int) -> np.ndarray:
    return np.array([2.0**level] * 4 + [1.0])


def contrast(planes: Sequence[Plane], smaller: Sequence[Plane]) -> Plane:
    """How far 3x3 centres lie from their surrounds, in spreads of the surround, over all planes;
    the surround is measured at half the size.
    """
    total = np.zeros_like(planes[0])
    window = SURROUND_PX // 2 | 1
    for plane, half in zip(planes, smaller, strict=True):
        mean = scipy.ndimage.uniform_filter(half, window, mode="nearest")
        squares = scipy.ndimage.uniform_filter(half * half, window, mode="nearest")
        spread = np.maximum(squares - mean * mean, 0.0) + NOISE_LEVELS**2
        total += (neighbourhood(plane) - _doubled(mean, plane)) ** 2 / _doubled(spread, plane)
    return np.sqrt(total)


def _doubled(half: Plane, like: Plane) -> Plane:
    full = half.repeat(2, axis=0).repeat(2, axis=1)
    missing = [(0, like.shape[axis] - full.shape[axis]) for axis in range(2)]
    return np.pad(full, missing, mode="edge") if full.shape != like.shape else full


def silhouettes(plane: Plane, ladder: np.ndarray, least: int) -> np.ndarray:
    """``[n,5]`` xywh and fill of the connected parts above each threshold."""
    rows, area = parts_above([(plane, ladder)])
    shorter, longer = rows[:, 2:4].min(axis=1), rows[:, 2:4].max(axis=1)
    good = (shorter >= 2) & (longer >= least) & (longer <= MAX_SILHOUETTE_PX) & (area >= 4)
    return np.asarray(rows[good])


def peak_silhouettes(plane: Plane) -> np.ndarray:
    """``[n,5]`` xywh and fill of the part around each of the strongest peaks that stays above a
    fraction of it: outlines that no common threshold fits.
    """
    is_peak = (plane == highest(highest(plane))) & (plane > PEAK_FLOOR)
    rows, columns = np.nonzero(is_peak)
    order = np.argsort(-plane[rows, columns], kind="stable")[:PEAKS]
    found = []
    for row, column in zip(rows[order], columns[order], strict=True):
        top, left = max(row - PEAK_REACH_PX, 0), max(column - PEAK_REACH_PX, 0)
        part = plane[top : row + PEAK_REACH_PX + 1, left : column + PEAK_REACH_PX + 1]
        for fraction in PEAK_FRACTIONS:
            labels, _ = scipy.ndimage.label(part > fraction * plane[row, column])
            inside = labels == labels[row - top, column - left]
            ys, xs = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            h, w = ys[-1] - ys[0] + 1, xs[-1] - xs[0] + 1
            if min(w, h) >= 2 and max(w, h) < 2 * PEAK_REACH_PX:
                fill = np.count_nonzero(inside) / (w * h)
                found.append((left + xs[0], top + ys[0], w, h, fill))
    return np.array(found, dtype=np.float64).reshape(-1, 5)


def measures(
    planes: Sequence[Plane],
    motion: Plane | None,
    boxes: np.ndarray,
    fill: np.ndarray,
    masked: Plane | None = None,
) -> np.ndarray:
    """``[n, len(MEASURES)]``: each box ``[n,4]`` compared with a ring of about a third of its size
    around it. Without motion its two measures are 0. A box that touches ``masked`` ``[h,w]`` counts
    as one at the border.
    """
    height, width = planes[0].shape
    margin = np.maximum(RING * np.sqrt(boxes[:, 2] * boxes[:, 3]), 2.0)[:, None]
    rings = np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + 2 * margin], axis=1)
    difference, spread_in, spread_ring = _differences(planes, boxes, rings)
    # the gradient of an outline lies on both sides of it
    grown = boxes + np.array([-1.0, -1.0, 2.0, 2.0])
    edges_in, edges_ring = _means(_edges(planes[0]), grown, rings)
    moves = [np.zeros(len(boxes))] * 2
    if motion is not None:
        bounded = np.minimum(motion, 30.0)
        inside, around = _means(bounded, boxes, rings)
        moves = [
            np.log((inside + 0.3) / (around + 0.3)),
            np.log1p(inside / (bounded.mean() + 0.2)),
        ]
    size = np.log(np.sqrt(boxes[:, 2] * boxes[:, 3] / (width * height)))
    right, bottom = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    at_border = (boxes[:, :2].min(axis=1) <= 1) | (right >= width - 1) | (bottom >= height - 1)
    if masked is not None:
        at_border |= mean_in(masked, grown) > 0
    columns = {
        "mean_contrast": np.log1p(_contrast(difference, spread_ring)),
        "contrast": np.log(_contrast(difference + spread_in, spread_ring) + 0.1),
        "difference": np.log1p(np.sqrt(difference + spread_in)),
        "motion_ratio": moves[0],
        "motion": moves[1],
        "fill": fill,
        "size": size,
        "size_squared": size**2,
        "elongation": np.abs(np.log(boxes[:, 2] / boxes[:, 3])),
        "at_border": at_border.astype(np.float64),
        "edge_ratio": np.log((edges_in + 0.5) / (edges_ring + 0.5)),
        "edges": np.log(edges_in + 0.5),
        "tightness": tightness(planes, boxes, rings),
    }
    return np.stack([columns[name] for name in MEASURES], axis=1)


def _contrast(energy: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Contrast in spreads of the ring, saturated: a clear box gains nothing by more contrast."""
    clear: np.ndarray = np.minimum(np.sqrt(energy / (spread + 9)), CLEAR_CONTRAST)
    return clear


def _differences(
    planes: Sequence[Plane], boxes: np.ndarray, rings: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Summed over the planes: squared difference of the means of box and ring, variance in the
    box, variance in the ring.
    """
    total = np.zeros((3, len(boxes)))
    for plane in planes:
        inside, around = _means(plane, boxes, rings)
        squares_inside, squares_around = _means(plane * plane, boxes, rings)
        total[0] += (inside - around) ** 2
        total[1] += np.maximum(squares_inside - inside**2, 0.0)
        total[2] += np.maximum(squares_around - around**2, 0.0)
    return total[0], total[1], total[2]


def tightness(planes: Sequence[Plane], boxes: np.ndarray, rings: np.ndarray) -> np.ndarray:
    """``[n]``: how much further the strips just inside a box lie from the ring's mean than those
    just outside, as a logarithm, averaged over the four sides; a side at the border counts 0.

    In a tight box the object reaches every side and does not pass it.
    """
    energy = np.zeros((2, 4, len(boxes)))
    inside, outside = _strips(boxes)
    for plane in planes:
        table, table_squared = integral(plane), integral(plane * plane)
        _, mean = _means_of(table, boxes, rings)
        for place, strips in enumerate((inside, outside)):
            for side in range(4):
                sums, counts = extent_sums(table, strips[side])
                squares, _ = extent_sums(table_squared, strips[side])
                first, second = sums / counts, squares / counts
                energy[place, side] += np.maximum(second - 2 * mean * first + mean**2, 0.0)
    height, width = planes[0].shape
    right, bottom = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    cut = np.stack([boxes[:, 0] < 1, boxes[:, 1] < 1, right > width - 1, bottom > height - 1])
    noise = len(planes) * NOISE_LEVELS**2
    ratio = np.log((energy[0] + noise) / (energy[1] + noise))
    tight: np.ndarray = np.where(cut, 0.0, ratio).mean(axis=0)
    return tight


def _strips(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``[4,n,4]`` each: strips of a tenth of the box inside and outside its left, upper, right and
    lower side.
    """
    x, y, w, h = boxes.T
    dx, dy = np.maximum(np.rint(0.1 * w), 1.0), np.maximum(np.rint(0.1 * h), 1.0)
    inside = [(x, y, dx, h), (x, y, w, dy), (x + w - dx, y, dx, h), (x, y + h - dy, w, dy)]
    outside = [(x - dx, y, dx, h), (x, y - dy, w, dy), (x + w, y, dx, h), (x, y + h, w, dy)]
    return np.array([np.stack(one, 1) for one in inside]), np.array(
        [np.stack(one, 1) for one in outside]
    )


def _means(plane: Plane, boxes: np.ndarray, rings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means inside the boxes and in their rings outside the boxes."""
    return _means_of(integral(plane), boxes, rings)


def _means_of(
    table: np.ndarray, boxes: np.ndarray, rings: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    sums, counts = extent_sums(table, boxes)
    sums_ring, counts_ring = extent_sums(table, rings)
    around = (sums_ring - sums) / np.maximum(counts_ring - counts, 1)
    return sums / counts, around


def _edges(plane: Plane) -> Plane:
    edges = np.zeros_like(plane)
    down = np.abs(plane[1:, :-1] - plane[:-1, :-1])
    edges[:-1, :-1] = down + np.abs(plane[:-1, 1:] - plane[:-1, :-1])
    return np.minimum(edges, 60.0)
