"""Boxes in time without labels: a proposed box that a tracker follows there and back.

A tracker follows the box through the next frames, and from its last box back again. Frames count
in which both ways agree; a tracker alone drifts now and then, but it seldom drifts back the same
way. Several trackers of different families must agree with each other as well. Nothing here knows
a tracker: one is handed in. Read :func:`tracks_from` first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tirtrack.boxes import Box, iou
from tirtrack.crops import Frame, MappedFrame, frame_hw
from tirtrack.errors import FrameError, PairsError
from tirtrack.pairs.likeness import correlation, thumbnail
from tirtrack.pairs.proposals.base import FoundIn, Proposal
from tirtrack.pairs.proposals.rules import FOUND_LIMITS, geometry_fault
from tirtrack.pairs.source import Pair
from tirtrack.pairs.timestamps import seconds_of

SAME_SCENE = 0.6  # correlation of neighbouring frames
FLAT_LEVELS = 1.0  # deviation below which a frame shows nothing to compare
GAP_STEPS = 1.5  # usual steps in time between two frames
_SIDE_PX = 32


class Follower(Protocol):
    """Anything that follows a box; every tracker of the package does."""

    @property
    def origin(self) -> Any:
        """All that its boxes depend on besides the frames: weights, settings and seed; ``None`` if
        that is unknown.
        """

    def init(self, frame: np.ndarray, box: Box) -> Any:
        """Start with a box."""

    def update(self, frame: np.ndarray) -> Any:
        """The state in the next frame; it has a ``box`` and says whether it was ``measured``."""


class TrackSettings(BaseModel):
    """Where tracks begin, and which are trusted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    modalities: list[Literal["rgb", "tir"]] = Field(
        default=[],
        description="modalities in which a tracker follows the boxes that were found there; with "
        "both, each by itself. Empty: no tracks",
    )
    every: int = Field(default=16, ge=1, description="frames from one start of tracks to the next")
    boxes: int = Field(
        default=10, ge=1, description="most boxes followed from one frame in one modality, the best"
    )
    frames: int = Field(default=48, ge=2, description="most frames of a track")
    min_iou: float = Field(
        default=0.6, ge=0, le=1, description="overlap of both ways from which a frame counts"
    )
    min_first_iou: float = Field(
        default=0.5, ge=0, le=1, description="overlap of the returned box with the proposed one"
    )
    min_frames: int = Field(default=16, ge=1, description="fewest frames that count")
    fit: list[Literal["rgb", "tir"]] = Field(
        default=[],
        description="modalities in which boxes are fitted to what moves, before they are followed "
        "and after; what does not move is not trusted. Empty: boxes stay as they were found",
    )


class TrackFault(StrEnum):
    """Why a track is not used."""

    TOO_SHORT = "ends too early"
    BROKEN = "the recording is cut, frozen or has a gap"
    TOO_FEW = "too few frames agree"
    NO_RETURN = "does not come back to its box"
    REFUSED = "cannot be followed"
    STILL = "does not move against its background"


@dataclass(frozen=True)
class Tracklet:
    """A box followed there and back.

    Attributes:
        boxes: one box per frame as far as it was followed; the first is the given one, the others
            are the mean of those of all followers.
        counts: per frame, whether both ways agree there.
        fault: why none of it is trusted; ``None`` if the frames that count are.
    """

    boxes: tuple[Box, ...]
    counts: tuple[bool, ...]
    fault: TrackFault | None = None


@dataclass(frozen=True)
class Track:
    """A proposal followed through a recording.

    Attributes:
        proposal: proposal with which it begins.
        modality: modality in which it was followed, ``rgb`` or ``tir``.
        indices: indices in the source of the pairs through which it was followed.
        tracklet: its boxes in these pairs.
    """

    proposal: Proposal
    modality: str
    indices: tuple[int, ...]
    tracklet: Tracklet

    def trusted(self) -> dict[int, Box]:
        """The trusted boxes by index of their pair; none of a rejected track."""
        if self.tracklet.fault is not None:
            return {}
        rows = zip(self.indices, self.tracklet.boxes, self.tracklet.counts, strict=True)
        return {index: box for index, box, counts in rows if counts}

    def without(self, pairs: Container[int]) -> Track:
        """The track with no trusted box in these pairs."""
        rows = zip(self.indices, self.tracklet.counts, strict=True)
        counts = tuple(counts and index not in pairs for index, counts in rows)
        return replace(self, tracklet=replace(self.tracklet, counts=counts))


# --- the tracks of a recording -------------------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """A pair in which tracks begin.

    Attributes:
        indices: indices in the source of the pairs through which boxes are followed, in order of
            time; tracks begin in the first.
        proposals: boxes to follow, best first.
        background: indices of the pairs that show the background of these pairs, which are among
            them; none if boxes are not fitted.
    """

    indices: tuple[int, ...]
    proposals: tuple[Proposal, ...]
    background: tuple[int, ...] = ()


def starts_of(
    indices: Sequence[int], proposals: Mapping[int, Sequence[Proposal]], settings: TrackSettings
) -> list[Start]:
    """The starts in a recording, in order of time.

    Args:
        indices: indices of the recording's pairs that may be read, in order of time.
        proposals: boxes to follow, best first, by index of their pair.
        settings: most frames of a track, and whether boxes are fitted.
    """
    last = max(len(indices) - settings.frames, 0)
    starts = []
    for begin, index in enumerate(indices):
        if boxes := proposals.get(index):
            end = begin + settings.frames
            background = indices[min(begin, last) : end] if settings.fit else ()
            starts.append(Start(tuple(indices[begin:end]), tuple(boxes), tuple(background)))
    return starts


def tracks_from(
    start: Start, read: Callable[[int], Pair], follower: Follower, settings: TrackSettings
) -> list[Track]:
    """All tracks that begin at a start, rejected ones included; none if its first pair is damaged.

    A track ends before a scene change in its modality, before a gap in time, a frozen or a damaged
    frame, and where the target leaves or the follower loses it. Registered TIR is followed as it is
    stored, not in the copy on the RGB grid; boxes are those of the grid.

    Args:
        start: pair in which they begin.
        read: function that reads a pair by its index; raises ``PairsError`` for a damaged one.
        follower: tracker; its state is overwritten.
        settings: how many boxes are followed, and which tracks are trusted.
    """
    tracks = []
    pairs = list(_readable(read, start.indices))
    for modality in settings.modalities if pairs else ():
        unbroken_pairs = unbroken(pairs, modality)
        frames = [pair.tir_frame if modality == "tir" else pair.both[0] for pair in unbroken_pairs]
        is_broken = len(frames) < settings.min_frames <= len(start.indices)
        found = [one for one in start.proposals if one.found_in in (FoundIn.BOTH, modality)]
        for proposal in found[: settings.boxes]:
            tracklet = follow(frames, proposal.box, [follower], settings)
            if is_broken:
                tracklet = replace(tracklet, fault=TrackFault.BROKEN)
            followed = start.indices[: len(tracklet.boxes)]
            tracks.append(Track(proposal, modality, followed, tracklet))
    return tracks


def _readable(read: Callable[[int], Pair], indices: Sequence[int]) -> Iterator[Pair]:
    """The pairs before the first damaged one."""
    for index in indices:
        try:
            yield read(index)
        except PairsError:
            return


def unbroken(pairs: Sequence[Pair], modality: str) -> Sequence[Pair]:
    """The first pairs, up to a frozen frame or a gap in time, or another scene in a modality.

    A gap is a step in the numbers or times of the names that is longer than usual in these pairs;
    numbers may be off by one, as those of a camera whose frames are matched to a slower one.

    Args:
        pairs: pairs in order of time; a frame of either modality may be frozen.
        modality: modality in which the scene must stay, ``rgb`` or ``tir``.
    """
    times = [_time_of(pair.key) for pair in pairs]
    steps = [_step(*two) for two in pairwise(times)]
    usual = float(np.median(steps)) if steps else 0.0
    longest = GAP_STEPS * usual + (0.0 if _is_time(pairs[0].key) else 1.0) if usual else math.inf
    for place, (before, after) in enumerate(pairwise(map(_compared_frames, pairs))):
        is_gap = steps[place] > longest
        is_frozen = any(map(_ComparedFrame.repeats, after.values(), before.values()))
        if is_gap or is_frozen or after[modality].shows_another_scene(before[modality]):
            return pairs[: place + 1]
    return pairs


def _compared_frames(pair: Pair) -> dict[str, _ComparedFrame]:
    """The frames of a pair by modality."""
    frames = {"rgb": pair.rgb, "tir": pair.tir}
    return {name: _ComparedFrame.of(frame) for name, frame in frames.items() if frame is not None}


@dataclass(frozen=True)
class _ComparedFrame:
    """A frame, and a small copy of it for comparison."""

    frame: np.ndarray
    small: np.ndarray

    @classmethod
    def of(cls, frame: np.ndarray) -> _ComparedFrame:
        return cls(frame, thumbnail(frame, _SIDE_PX))

    @property
    def is_flat(self) -> bool:
        return float(self.small.std()) < FLAT_LEVELS

    def repeats(self, before: _ComparedFrame) -> bool:
        """Whether it is the frame before once more, and not flat (a closed shutter, a modality that
        is blank).
        """
        nan = self.frame.dtype.kind == "f"
        return not self.is_flat and np.array_equal(self.frame, before.frame, equal_nan=nan)

    def shows_another_scene(self, before: _ComparedFrame) -> bool:
        """Whether it shows another scene than the frame before; two flat frames do not."""
        if self.is_flat and before.is_flat:
            return False
        if self.frame.shape != before.frame.shape:
            return True
        return correlation(self.small, before.small) < SAME_SCENE


def _is_time(key: str) -> bool:
    """Whether the name of a frame is a time."""
    return seconds_of(key.rpartition("/")[2]) is not None


def _time_of(key: str) -> float:
    """The time or number in the name of a frame; NaN without one."""
    stem = key.rpartition("/")[2]
    numbers = re.findall(r"\d+", stem)
    time_s = seconds_of(stem)
    if time_s is not None:
        return time_s
    return float(numbers[-1]) if numbers else math.nan


def _step(before: float, after: float) -> float:
    return 0.0 if math.isnan(after - before) else after - before


# --- one box -------------------------------------------------------------------------------------


def follow(
    frames: Sequence[Frame], box: Box, followers: Sequence[Follower], settings: TrackSettings
) -> Tracklet:
    """A box followed through frames, there and back.

    All followers start with the box. They go on as long as none loses the target, it does not
    leave the frame, and they agree with each other. Then all start again from the last box and go
    back, until too few frames can count.

    Args:
        frames: frames in order, at least one; only read. Followers see mapped ones as they are
            stored, and their boxes are carried to the grid.
        box: box in the first frame, pixels of the frame or of its grid.
        followers: one follower, or several of different families; their state is overwritten.
        settings: which frames count, and how many must.

    Raises:
        ValueError: there is no frame.
    """
    if not len(frames):
        raise ValueError("frames must be at least one, got none")
    try:
        boxes = tuple(_way_there(frames, box, followers, settings.min_iou))
        if len(boxes) < settings.min_frames:
            return Tracklet(boxes, (False,) * len(boxes), TrackFault.TOO_SHORT)
        overlaps = _way_back(frames[: len(boxes)], boxes, followers, settings)
    except FrameError:
        return Tracklet((box,), (False,), TrackFault.REFUSED)
    counts = tuple(bool(one) for one in overlaps >= settings.min_iou)
    if sum(counts) < settings.min_frames:
        return Tracklet(boxes, counts, TrackFault.TOO_FEW)
    returns = overlaps[0] >= settings.min_first_iou
    return Tracklet(boxes, counts, None if returns else TrackFault.NO_RETURN)


def _way_there(
    frames: Sequence[Frame], box: Box, followers: Sequence[Follower], min_iou: float
) -> Iterator[Box]:
    """The box in each frame, up to where it is lost, leaves, or the followers disagree."""
    height, width = frame_hw(frames[0])
    for follower in followers:
        _begin(follower, frames[0], box)
    yield box
    for frame in frames[1:]:
        found = _next_boxes(followers, frame)
        if found is None:
            return
        mean = Box.of(found.mean(axis=0))
        if float(np.min(iou(found, found[::-1]))) < min_iou:
            return
        if geometry_fault(mean, width, height, FOUND_LIMITS) is not None:
            return
        yield mean


def _way_back(
    frames: Sequence[Frame],
    boxes: Sequence[Box],
    followers: Sequence[Follower],
    settings: TrackSettings,
) -> np.ndarray:
    """``[T]``: smallest overlap of a follower's way back with the boxes; 0 where one is lost, and
    where it was not followed because too few frames could count.
    """
    for follower in followers:
        _begin(follower, frames[-1], boxes[-1])
    overlaps = np.zeros(len(boxes))
    overlaps[-1] = 1.0
    for index in reversed(range(len(boxes) - 1)):
        found = _next_boxes(followers, frames[index])
        if found is not None:
            overlaps[index] = float(np.min(iou(found, boxes[index].array())))
        failed = int((overlaps[index:] < settings.min_iou).sum())
        if len(boxes) - failed < settings.min_frames:
            break
    return overlaps


def _begin(follower: Follower, frame: Frame, box: Box) -> None:
    if isinstance(frame, MappedFrame):
        follower.init(frame.pixels, frame.box_in_frame(box))
    else:
        follower.init(frame, box)


def _next_boxes(followers: Sequence[Follower], frame: Frame) -> np.ndarray | None:
    """``[n,4]``: the box of each follower in the next frame; ``None`` if one has lost it."""
    pixels = frame.pixels if isinstance(frame, MappedFrame) else frame
    states = [follower.update(pixels) for follower in followers]
    if not all(state.measured for state in states):
        return None
    boxes = [state.box for state in states]
    if isinstance(frame, MappedFrame):
        boxes = [frame.box_on_grid(box) for box in boxes]
    return np.stack([box.array() for box in boxes])
