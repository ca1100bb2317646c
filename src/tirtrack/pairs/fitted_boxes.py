"""Boxes fitted to what moves: the outline of a target in place of the box that was proposed.

A proposal is loose, and a tracker carries on what it began with. But a target moves against its
background, and in the foreground of neighbouring frames (:mod:`tirtrack.pairs.foreground`) its
outline can be read off. What does not move has none: there no box is fitted, and nothing is
trusted. Read :func:`fitted_tracks_from` first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import scipy

from tirtrack.boxes import Box, iou
from tirtrack.errors import PairsError
from tirtrack.pairs.foreground import foreground
from tirtrack.pairs.proposals.base import FoundIn, Proposal
from tirtrack.pairs.proposals.rules import grey_levels
from tirtrack.pairs.registration import measure_offset, summarise
from tirtrack.pairs.source import Pair
from tirtrack.pairs.tracklets import (
    Follower,
    Start,
    Track,
    TrackFault,
    Tracklet,
    TrackSettings,
    tracks_from,
    unbroken,
)

PIECE_FRAMES = 48  # frames that share a background
FEWEST_FRAMES = 8  # that show a background
MOVES = 3.5  # fewest standard deviations of the background from which a pixel is foreground
FAR = 30.0  # standard deviations beyond which all are alike
EDGE = 0.5  # distance at an edge, relative to that inside
INSIDE_PERCENT = 85  # percentile of the distances in a box that stands for its inside
REACH = 0.6  # beyond each side of a box, in sides
REACH_PX = 4.0
MIN_INSIDE = 0.3  # share of a part in the box, from which it belongs to the target
MIN_PART = 0.15  # smallest such part, relative to the largest
MIN_EXTENT = 0.06  # share of the extent that a row or column of foreground must fill
MIN_FILL = 0.25  # share of a fitted box that is foreground
MIN_SIDE = 4.0
SAME_IOU = 0.8  # overlap from which two fitted boxes are one
OFFSET_PAIRS = 5
SIGMA_PX = 0.8
RGB_SHARE = 1 / 3  # of the weight of both modalities
LEAST_DISTANCE = 0.5  # about that of noise: a modality without any has no veto
MEDIAN_FRAMES = 11  # over which a fitted box is the median, relative to the followed one


# --- the tracks of a start -----------------------------------------------------------------------


def fitted_tracks_from(
    start: Start,
    read: Callable[[int], Pair],
    shown: Callable[[tuple[int, ...]], WindowForeground],
    follower: Follower,
    settings: TrackSettings,
) -> list[Track]:
    """All tracks that begin at a start, rejected ones included, with boxes fitted to what moves;
    none if its first pair is damaged.

    Proposals are fitted before they are followed; one around which nothing moves is rejected. Then
    every trusted box is fitted, and the frames count in which something moves.

    Args:
        start: pair in which they begin.
        read: function that reads a pair by its index; raises ``PairsError`` for a damaged one.
        shown: function that gives the foreground of the pairs with some indices.
        follower: tracker; its state is overwritten.
        settings: how many boxes are followed, and which tracks are trusted.
    """
    try:
        read(start.indices[0])
    except PairsError:
        return []
    seen = shown(start.background)
    fits = [(one, seen.fit(start.indices[0], one.box)) for one in start.proposals]
    moving = replace(start, proposals=tuple(_distinct(fits)))
    tracks = tracks_from(moving, read, follower, settings)
    return [
        *_still(start.indices[0], fits, settings),
        *(fitted_track(one, seen, settings) for one in tracks),
    ]


_Fits = Sequence[tuple[Proposal, Box | None]]


def _distinct(fits: _Fits) -> list[Proposal]:
    """The proposals with the boxes that were fitted; of several with nearly one box the first."""
    kept: list[Proposal] = []
    for proposal, box in fits:
        others = [one.box.array() for one in kept]
        if box is not None and not any(iou(box.array(), one) > SAME_IOU for one in others):
            kept.append(replace(proposal, box=box))
    return kept


def _still(index: int, fits: _Fits, settings: TrackSettings) -> list[Track]:
    """A rejected track for each proposal around which nothing moves."""
    return [
        Track(one, modality, (index,), Tracklet((one.box,), (False,), TrackFault.STILL))
        for one, box in fits
        for modality in settings.modalities
        if box is None and one.found_in in (FoundIn.BOTH, modality)
    ]


def fitted_track(track: Track, shown: WindowForeground, settings: TrackSettings) -> Track:
    """A track whose trusted boxes are fitted to what moves; those that move count.

    A fitted box is the median over a few frames of those around it, each relative to the followed
    box, so that what hides a part of the target for a moment does not change it.

    Args:
        track: track to fit; a rejected one stays as it is.
        shown: foreground of its pairs.
        settings: fewest frames that must count.
    """
    followed = track.trusted()
    fits = {index: shown.fit(index, box) for index, box in followed.items()}
    moving = [index for index in followed if fits[index] is not None]
    if not followed:
        return track
    if len(moving) < settings.min_frames:
        return replace(track, tracklet=replace(track.tracklet, fault=TrackFault.STILL))
    before = np.array([followed[index].array() for index in moving])
    after = np.array([box.array() for index in moving if (box := fits[index]) is not None])
    steady = dict(zip(moving, map(Box.of, steadied(before, after)), strict=True))
    rows = zip(track.indices, track.tracklet.boxes, strict=True)
    boxes = tuple(steady.get(index, box) for index, box in rows)
    counts = tuple(index in steady for index in track.indices)
    return replace(track, tracklet=Tracklet(boxes, counts))


def steadied(followed: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """``[n,4]`` xywh: followed boxes, each changed by the median of what fitting changed in the
    frames around it.

    Args:
        followed: ``[n,4]`` xywh, in order of time.
        fitted: ``[n,4]`` xywh of the same frames.
    """
    moved = (fitted[:, :2] - followed[:, :2]) / followed[:, 2:]
    changes = np.concatenate([moved, fitted[:, 2:] / followed[:, 2:]], axis=1)
    reach = MEDIAN_FRAMES // 2
    usual = np.array(
        [np.median(changes[max(k - reach, 0) : k + reach + 1], axis=0) for k in range(len(changes))]
    )
    corners = followed[:, :2] + usual[:, :2] * followed[:, 2:]
    return np.concatenate([corners, usual[:, 2:] * followed[:, 2:]], axis=1)


# --- one box -------------------------------------------------------------------------------------


def fit_box(distance: np.ndarray, box: Box) -> Box | None:
    """The extent of what moves in a box and a little around it; ``None`` where nothing does.

    An edge is taken to be where half of the distance inside is reached, since optics blur it. Parts
    of the foreground count that lie in the box by a third or more, and that are not far smaller
    than the largest.

    Args:
        distance: ``[H,W]`` distance from the background, in its standard deviations.
        box: box to start from, frame pixels.

    >>> distance = np.zeros((40, 60))
    >>> distance[10:20, 20:45] = 9.0
    >>> fit_box(distance, Box(18.0, 6.0, 20.0, 12.0))
    Box(x=20.0, y=10.0, w=25.0, h=10.0)
    """
    left, top, right, bottom = _around(box, distance.shape)
    if right <= left or bottom <= top:
        return None
    near = distance[top:bottom, left:right]
    x1, y1 = max(round(box.x) - left, 0), max(round(box.y) - top, 0)
    place = slice(y1, round(box.y + box.h) - top), slice(x1, round(box.x + box.w) - left)
    if not near[place].size:
        return None
    moves = near > max(MOVES, EDGE * float(np.percentile(near[place], INSIDE_PERCENT)))
    parts = _closed(moves)
    labels, count = scipy.ndimage.label(parts, np.ones((3, 3)))
    inside = np.zeros_like(labels)
    inside[place] = labels[place]
    whole, within = (np.bincount(one.ravel(), minlength=count + 1)[1:] for one in (labels, inside))
    belongs = within >= MIN_INSIDE * whole
    if not belongs.any():
        return None
    belongs &= within >= MIN_PART * within[belongs].max()
    return _extent(parts & np.concatenate([[False], belongs])[labels], left, top)


def _around(box: Box, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the pixels in which the outline is sought."""
    reach_x, reach_y = max(REACH * box.w, REACH_PX), max(REACH * box.h, REACH_PX)
    left, top = max(int(box.x - reach_x), 0), max(int(box.y - reach_y), 0)
    right = min(int(np.ceil(box.x + box.w + reach_x)), shape[1])
    bottom = min(int(np.ceil(box.y + box.h + reach_y)), shape[0])
    return left, top, right, bottom


def _closed(mask: np.ndarray) -> np.ndarray:
    """A mask whose gaps of one or two pixels are closed."""
    return np.asarray(scipy.ndimage.binary_closing(np.pad(mask, 2))[2:-2, 2:-2])


def _extent(mask: np.ndarray, left: int, top: int) -> Box | None:
    """The box around a mask, without rows and columns that are nearly empty; ``None`` where it is
    too small or mostly empty.
    """
    across, down = mask.sum(axis=0), mask.sum(axis=1)
    columns = np.flatnonzero(across >= max(1.0, MIN_EXTENT * np.count_nonzero(down)))
    rows = np.flatnonzero(down >= max(1.0, MIN_EXTENT * np.count_nonzero(across)))
    if not len(columns) or not len(rows):
        return None
    w, h = float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1)
    if min(w, h) < MIN_SIDE or mask.sum() < MIN_FILL * w * h:
        return None
    return Box(float(left + columns[0]), float(top + rows[0]), w, h)


# --- the foreground of some pairs ----------------------------------------------------------------


class WindowForeground:
    """The foreground of neighbouring pairs, piece by piece as it is asked for.

    Of both modalities it is their weighted geometric mean, RGB moved onto TIR. Optics blur TIR, so
    RGB says where an outline ends; headlights and shadows move in RGB alone, and count little. No
    pixel of a modality counts less than one of noise: where RGB is black, TIR decides. Where TIR
    shows nothing, nothing is foreground: RGB is a third of the weight, and cannot decide alone.

    Args:
        indices: indices of the pairs, in order of time.
        read: function that reads a pair by its index; raises ``PairsError`` for a damaged one.
        modalities: modalities that are looked at.
    """

    def __init__(
        self, indices: Sequence[int], read: Callable[[int], Pair], modalities: Sequence[str]
    ) -> None:
        self._indices, self._read, self._modalities = indices, read, modalities
        self._places = {index: place for place, index in enumerate(indices)}
        self._piece = lru_cache(2)(self._made)

    def fit(self, index: int, box: Box) -> Box | None:
        """The result of :func:`fit_box` in a pair; ``None`` also where too few frames show the
        background.
        """
        distance = self._piece(self._places[index] // PIECE_FRAMES).get(index)
        return None if distance is None else fit_box(distance, box)

    def _made(self, number: int) -> dict[int, np.ndarray]:
        end = min((number + 1) * PIECE_FRAMES, len(self._indices))
        indices = self._indices[max(end - PIECE_FRAMES, 0) : end]
        return {
            index: plane
            for run in self._runs(indices)
            for index, plane in zip(run, self._distances([run[one] for one in run]), strict=True)
        }

    def _runs(self, indices: Sequence[int]) -> Iterator[dict[int, Pair]]:
        """Readable pairs without a break, by index; runs that show no background are left out."""
        pairs: dict[int, Pair] = {}
        for index in indices:
            try:
                pairs[index] = self._read(index)
            except PairsError:
                continue
        rest = list(pairs.items())
        while rest:
            length = min(
                len(unbroken([pair for _, pair in rest], modality)) for modality in self._modalities
            )
            if length >= FEWEST_FRAMES:
                yield dict(rest[:length])
            rest = rest[length:]

    def _distances(self, pairs: Sequence[Pair]) -> np.ndarray:
        """``[T,H,W]`` of the modalities together."""
        planes = {
            modality: np.maximum(self._distance(pairs, modality), LEAST_DISTANCE)
            for modality in self._modalities
        }
        if len(planes) == 1:
            return next(iter(planes.values()))
        return np.asarray(planes["rgb"] ** RGB_SHARE * planes["tir"] ** (1 - RGB_SHARE))

    def _distance(self, pairs: Sequence[Pair], modality: str) -> np.ndarray:
        if modality == "tir":
            return _smooth(foreground([grey_levels(one.tir, one.tir_valid) for one in pairs]))
        frames = [grey_levels(one.rgb) for one in pairs if one.rgb is not None]
        moved = _smooth(foreground(frames))
        some = [pairs[k] for k in np.linspace(0, len(pairs) - 1, OFFSET_PAIRS).astype(int)]
        offsets = [measure_offset(one.rgb, one.tir) for one in some if one.rgb is not None]
        shift = summarise(offsets)
        return np.asarray(scipy.ndimage.shift(moved, (0, -shift.dy, -shift.dx), order=1))


def _smooth(distances: np.ndarray) -> np.ndarray:
    """Distances ``[T,H,W]`` without noise of single pixels, and none too far."""
    near = np.minimum(distances, FAR)
    return np.asarray(scipy.ndimage.gaussian_filter(near, (0, SIGMA_PX, SIGMA_PX)))
