"""Boxes of regions that stand out or changed, without any network: faster than ``saliency``.

An object differs from its place as other frames show it, or from what surrounds it. The steps, for
each modality by itself:

1. change: the two neighbours that lie furthest apart in time are laid on the frame by a scale and
   a shift for each axis, which follows a camera that pans or zooms. What lies outside of what they
   show is divided by the noise of the frame and by what an alignment that is slightly off makes of
   edges;
2. contrast: centres against surrounds at three sizes of the frame, in spreads of the surround, and
   the signed difference of brightness;
3. regions: connected parts of these maps above a ladder of thresholds; their extents are the
   candidates;
4. measures of every candidate, which compare its box with a ring around it; a weighted sum of them
   is the logarithm of the odds that the box is an object. The best are moved side by side while
   that rises, overlaps are suppressed, the best ten stay.

The weights of step 4 are the only fitted numbers: a logistic regression on sequences of the
synthetic world (``python -m benchmarks.proposal_recall --way regions --world 1001 --count 48
--fit``, for stills with ``--without-motion``). Scores are comparable between frames. What stands
still and does not differ from a busy background is not found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from tirtrack.boxes import Box, suppress_overlapping
from tirtrack.pairs.proposals.change import change
from tirtrack.pairs.proposals.connected_parts import parts_above
from tirtrack.pairs.proposals.each_modality import EachModality
from tirtrack.pairs.proposals.planes import Plane, halve, neighbourhood
from tirtrack.pairs.proposals.region_measures import Picture, log_odds
from tirtrack.pairs.proposals.saliency import (
    FLAT_LEVELS,
    MAX_ASPECT,
    MAX_FRAME_SHARE,
    MAX_MASKED_SHARE,
    contrast,
    mean_in,
    working_mask,
    working_planes,
)
from tirtrack.read_options import NoData
from tirtrack.valid_pixels import valid_mask

# Levels, pixels and ratios are those of the working image of ``saliency``.
LEVELS = 4
FINE_LADDER = 2.5 * 1.8 ** np.arange(4)
COARSE_LADDER = 3.0 * 1.7 ** np.arange(5)
CONTRAST_LADDER = 0.7 * 1.7 ** np.arange(4)
SIGNED_LADDER = 7.0 * 2.0 ** np.arange(3)
MIN_PX, MIN_AREA_PX = 2, 5
SURROUND_PX = 21
MOVED = 40
MOVES = (0.16, 0.08, 0.04)
MEASURED = 600
MIN_WORKING_PX = 8  # least side of a map in which something can be found


class Regions(EachModality):
    """Proposes what stands out or changed in each modality, merged."""

    name = "regions"

    def find(self, image: np.ndarray, neighbours: Sequence[np.ndarray]) -> list[tuple[Box, float]]:
        """See :func:`region_boxes`."""
        settings = self.settings
        return region_boxes(image, neighbours, count=settings.count, max_iou=settings.max_iou)


def region_boxes(
    image: np.ndarray,
    neighbours: Sequence[np.ndarray] = (),
    *,
    count: int = 10,
    max_iou: float = 0.4,
    no_data: NoData | None = None,
) -> list[tuple[Box, float]]:
    """The regions of one frame that are most likely objects, best first.

    Args:
        image: ``[H,W]`` or ``[H,W,3]`` RGB, any depth.
        neighbours: frames of the same video near in time; those of another size are left out.
        count: largest number of boxes.
        max_iou: largest overlap of two of them.
        no_data: value without a measurement, as for :func:`tirtrack.valid_pixels.valid_mask`.

    Returns:
        Boxes inside the frame with scores in [0, 1]; none where the frame is flat.

    >>> frame = np.zeros((120, 160), np.uint8)
    >>> frame[40:60, 70:100] = 200
    >>> region_boxes(frame)[0][0]
    Box(x=70.0, y=40.0, w=30.0, h=20.0)
    """
    picture = seen(image, neighbours, no_data)
    if not picture.planes[0].size:  # a frame of a few rows or columns
        return []
    if max(float(plane.std()) for plane in picture.planes) < FLAT_LEVELS:
        return []
    boxes, fill = candidates(picture)
    if not len(boxes):
        return []
    logits = log_odds(picture, boxes, fill)
    best = np.argsort(-logits, kind="stable")[:MEASURED]
    best = best[suppress_overlapping(boxes[best], logits[best], 0.7, count=MOVED)]
    boxes, logits = moved(picture, boxes[best], fill[best], logits[best])
    chosen = suppress_overlapping(boxes, logits, max_iou, count=count)
    height, width = image.shape[:2]
    scores = 1.0 / (1.0 + np.exp(-logits))
    found = []
    for index in chosen:
        x, y, w, h = boxes[index] * picture.factor
        box = Box(float(x), float(y), float(min(w, width - x)), float(min(h, height - y)))
        found.append((box, float(scores[index])))
    return found


def seen(
    image: np.ndarray, neighbours: Sequence[np.ndarray], no_data: NoData | None = None
) -> Picture:
    """A frame and its neighbours at the working size."""
    valid = valid_mask(image, no_data)
    planes, factor = working_planes(image, valid)
    shape = planes[0].shape
    masked = None if valid is None else working_mask(valid, shape, factor)
    near, known = [], []
    alike = [other for other in neighbours if other.shape == image.shape]
    if min(shape) < MIN_WORKING_PX:
        alike = []
    for other in alike[:: max(len(alike) - 1, 1)]:  # the first and the last lie furthest apart
        mask = valid_mask(other, no_data)
        near.append(working_planes(other, mask)[0])
        known.append(None if mask is None else working_mask(mask, shape, factor) == 0)
    return Picture(planes, change(planes, near, known) if near else None, masked, factor)


def candidates(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Extents of all regions, ``[n,4]`` xywh inside the working image, and how much of its box each
    fills, ``[n]``.
    """
    found: list[np.ndarray] = []
    if picture.change is not None:
        fine, joined = picture.change.fine, halve(picture.change.fine)
        found.append(_parts([(fine, FINE_LADDER)]))
        coarse = halve(picture.change.coarse)
        found.append(_parts([(joined, FINE_LADDER), (coarse, COARSE_LADDER)]) * _scale(1))
    current = list(picture.planes)
    for level in range(LEVELS):
        smaller = [halve(plane) for plane in current]
        if min(smaller[0].shape) < MIN_WORKING_PX:
            break
        signed = neighbourhood(current[0]) - scipy.ndimage.uniform_filter(current[0], SURROUND_PX)
        maps = [(signed, SIGNED_LADDER), (-signed, SIGNED_LADDER)]
        if level > 0:  # at full size contrast is mostly noise
            maps.append((contrast(current, smaller), CONTRAST_LADDER))
        found.append(_parts(maps) * _scale(level))
        current = smaller
    return _usable(np.concatenate([np.zeros((0, 5)), *found]), picture)


def _parts(maps: Sequence[tuple[Plane, np.ndarray]]) -> np.ndarray:
    """``[n,5]`` xywh and fill of the parts above each threshold, without mere specks."""
    rows, area = parts_above(maps)
    good = (rows[:, 2:4].min(axis=1) >= MIN_PX) & (area >= MIN_AREA_PX)
    return np.asarray(rows[good])


def _usable(rows: np.ndarray, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and fill of rows ``[n,5]`` cut at the border, without repeated and impossible ones."""
    height, width = picture.planes[0].shape
    rows[:, 2] = np.minimum(rows[:, 2], width - rows[:, 0])
    rows[:, 3] = np.minimum(rows[:, 3], height - rows[:, 1])
    w, h = rows[:, 2], rows[:, 3]
    good = (w * h < MAX_FRAME_SHARE * width * height) & (np.minimum(w, h) >= 2)
    good &= np.maximum(w, h) <= MAX_ASPECT * np.minimum(w, h)
    rows = rows[good]
    if picture.masked is not None:
        rows = rows[mean_in(picture.masked, rows[:, :4]) <= MAX_MASKED_SHARE]
    keys = rows[:, :4].astype(np.int64) @ np.array([1, 2**12, 2**24, 2**36])
    _, first = np.unique(keys, return_index=True)
    return rows[first, :4], rows[first, 4]


def _scale(level: int) -> np.ndarray:
    return np.array([2.0**level] * 4 + [1.0])


def moved(
    picture: Picture, boxes: np.ndarray, fill: np.ndarray, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes ``[n,4]`` whose sides were moved, one at a time, as long as their logits rise; and the
    logits ``[n]``.
    """
    height, width = picture.planes[0].shape
    boxes, logits = boxes.copy(), logits.copy()
    for share in MOVES:
        step = np.maximum(np.rint(share * boxes[:, 2:]), 1.0)
        tried = np.repeat(boxes[None], 8, axis=0)
        for side in range(2):
            for k, sign in enumerate((-1.0, 1.0)):
                tried[4 * side + k, :, side] += sign * step[:, side]
                tried[4 * side + k, :, side + 2] -= sign * step[:, side]
                tried[4 * side + 2 + k, :, side + 2] += sign * step[:, side]
        flat = tried.reshape(-1, 4)
        right, bottom = flat[:, 0] + flat[:, 2], flat[:, 1] + flat[:, 3]
        good = (flat[:, :2].min(axis=1) >= 0) & (right <= width) & (bottom <= height)
        good &= flat[:, 2:].min(axis=1) >= 2
        good &= flat[:, 2:].max(axis=1) <= MAX_ASPECT * flat[:, 2:].min(axis=1)
        each = np.full(len(flat), -np.inf)
        if good.any():
            each[good] = log_odds(picture, flat[good], np.tile(fill, 8)[good])
        found = each.reshape(8, -1)
        best = found.argmax(axis=0)
        every = np.arange(len(boxes))
        better = found[best, every] > logits
        boxes[better] = tried[best, every][better]
        logits[better] = found[best, every][better]
    return boxes, logits
