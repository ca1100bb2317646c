"""Re-detection of a lost target, for any tracker.

While the target is followed, the tracker works as it does alone. Once it is lost, the tracker stops
updating, and every frame is searched with a few probes of its own target model: one around the last
place, the others at tiles of the frame, first within a reach that grows with the time since the
loss, then everywhere, at a few scales. A probe with a high score and the texture of the first box
gives a candidate, which is accepted only if the next frame confirms it. Nothing is learnt
meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tirtrack.boxes import Box, check_first_box, iou, touches_border
from tirtrack.errors import FrameError
from tirtrack.trackers.appearance import Appearance
from tirtrack.trackers.base import (
    Candidate,
    Engine,
    Origin,
    Reason,
    SeekingTracker,
    Status,
    Tracker,
    TrackState,
)
from tirtrack.trackers.steps import Steps, alone

_STATE_FORMAT = 2


class RedetectionSettings(BaseModel):
    """Settings of the search for a lost target."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tiles_per_frame: int = Field(
        default=6, ge=1, description="looks at tiles in a frame, beside the one at the last place"
    )
    scales: tuple[float, ...] = Field(
        default=(1.0, 1.4), description="sizes of a tile, of the search region of the usual target"
    )
    tile_step: float = Field(
        default=0.6, gt=0, le=1, description="from tile to tile, of the side of a tile"
    )
    growth: float = Field(
        default=0.25, gt=0, description="of the reach in a frame, of half a search region"
    )
    score_above: float = Field(default=0.5, ge=0, le=1, description="score of a candidate")
    likeness_above: float = Field(
        default=0.8, ge=0, le=1, description="likeness of a candidate, of the target's usual one"
    )
    overlap_above: float = Field(
        default=0.2, ge=0, le=1, description="overlap of a candidate with itself a frame later"
    )


@dataclass(frozen=True)
class _Tiles:
    """Tiles to probe: ``centres_xy [T,2]``, and ``sizes_wh [T,2]`` of the targets for which the
    search regions there are cut.
    """

    centres_xy: np.ndarray
    sizes_wh: np.ndarray


@dataclass
class _Usual:
    """Usual values of the followed target; likeness is unknown before its first measurement."""

    size_wh: tuple[float, float]
    likeness: float | None = None
    frames: int = 0

    RATE = 0.2
    EVERY_FRAMES = 8  # interval between measurements of likeness, after three frames

    def follow(self, picture: np.ndarray, box: Box, appearance: Appearance) -> None:
        """Update from a frame in which the target was followed."""
        self.frames += 1
        height, width = picture.shape[:2]
        if min(box.x, box.y) > 0 and box.x + box.w < width and box.y + box.h < height:
            w, h = self.size_wh
            self.size_wh = (w + self.RATE * (box.w - w), h + self.RATE * (box.h - h))
            if self.frames <= 3 or self.frames % self.EVERY_FRAMES == 0:
                alike = appearance.likeness(picture, box)
                before = alike if self.likeness is None else self.likeness
                self.likeness = before + self.RATE * (alike - before)


@dataclass
class _Search:
    """A search in progress: its length, when each tile was probed, the candidate to confirm."""

    last: Box
    tiles: _Tiles
    probed_at: np.ndarray = field(init=False)  # [T] frame of the last probe, -1 before the first
    frames: int = 0
    candidate: Box | None = None

    def __post_init__(self) -> None:
        self.probed_at = np.full(len(self.tiles.centres_xy), -1)


class RedetectingTracker:
    """A tracker that searches the whole frame for its target once it is lost.

    Implements :class:`tirtrack.trackers.base.SeekingTracker`; until the first loss the states are
    those of the wrapped tracker, bit for bit.

    Args:
        tracker: tracker that follows the target and probes given places.
        settings: settings of the search.
    """

    def __init__(
        self, tracker: SeekingTracker, settings: RedetectionSettings | None = None
    ) -> None:
        self.tracker = tracker
        self.redetection = settings or RedetectionSettings()
        self._appearance: Appearance | None = None
        self._usual = _Usual((0.0, 0.0))
        self._frame_wh = (0, 0)
        self._search: _Search | None = None
        self._found: TrackState | None = None
        self._picture: np.ndarray | None = None

    @property
    def origin(self) -> Origin | None:
        """Origin of the wrapped tracker, plus the settings of the search."""
        inner = self.tracker.origin
        if inner is None:
            return None
        settings = {**inner.settings, "redetection": self.redetection.model_dump(mode="json")}
        return Origin(inner.weights, inner.weights_sha256, settings, inner.seed)

    @property
    def engine(self) -> Engine:
        """Engine of the wrapped tracker."""
        return self.tracker.engine

    def twin(self, target: str, *, phase: int = 0) -> RedetectingTracker:
        """See :meth:`tirtrack.trackers.base.SharingTracker.twin`."""
        return RedetectingTracker(self.tracker.twin(target, phase=phase), self.redetection)

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        """See :meth:`tirtrack.trackers.base.Tracker.init`."""
        state = self.tracker.init(frame, box)
        picture = self.tracker.picture(frame)
        self._appearance = Appearance.of(picture, box)
        self._usual = _Usual((box.w, box.h))
        self._frame_wh = (picture.shape[1], picture.shape[0])
        self._search = self._found = None
        return state

    def update(self, frame: np.ndarray) -> TrackState:
        """See :meth:`tirtrack.trackers.base.Tracker.update`."""
        if self._search is not None:
            return self._searched(frame, self._search)
        return self._followed(frame, self.tracker.update(frame))

    def request(self, frame: np.ndarray) -> np.ndarray | None:
        """See :meth:`tirtrack.trackers.base.SharingTracker.request`; a search probes by itself and
        requests nothing.
        """
        if self._search is not None:
            self._found = self._searched(frame, self._search)
            return None
        self._picture = frame
        return self.tracker.request(frame)

    def answer(self, features: Any | None) -> TrackState:
        """See :meth:`tirtrack.trackers.base.SharingTracker.answer`."""
        return alone(self.answering(features))

    def answering(self, features: Any | None) -> Steps[TrackState]:
        """See :meth:`tirtrack.trackers.base.SharingTracker.answering`."""
        if self._found is not None:
            state, self._found = self._found, None
            return state
        state = yield from self.tracker.answering(features)
        frame, self._picture = self._picture, None
        return state if frame is None else self._followed(frame, state)

    def skip(self, frames: int) -> None:
        """See :meth:`tirtrack.trackers.base.Tracker.skip`."""
        self.tracker.skip(frames)
        if self._search is not None:
            self._search.frames += frames

    def observe(self, frame: np.ndarray) -> tuple[Reason, np.ndarray]:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.observe`."""
        return self.tracker.observe(frame)

    def picture(self, frame: np.ndarray) -> np.ndarray:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.picture`."""
        return self.tracker.picture(frame)

    def probe(
        self, levels: np.ndarray, center_xy: tuple[float, float], size_wh: tuple[float, float]
    ) -> Candidate | None:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.probe`."""
        return self.tracker.probe(levels, center_xy, size_wh)

    def search_side(self, size_wh: tuple[float, float]) -> float:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.search_side`."""
        return self.tracker.search_side(size_wh)

    def resume(self, candidate: Candidate) -> TrackState:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.resume`; ends a search."""
        state = self.tracker.resume(candidate)
        self._search = self._found = None
        return state

    def state_dict(self) -> dict[str, Any]:
        """Everything that ``update`` depends on, as plain values and arrays.

        Raises:
            RuntimeError: called before ``init``.
        """
        inner = self.tracker.state_dict()
        search = self._search
        return {
            "format": _STATE_FORMAT,
            "tracker": inner,
            "appearance": self._first_appearance().state_dict(),
            "frame_wh": list(self._frame_wh),
            "usual": {
                "size_wh": list(self._usual.size_wh),
                "likeness": self._usual.likeness,
                "frames": self._usual.frames,
            },
            "search": None
            if search is None
            else {
                "last": search.last.array(),
                "frames": search.frames,
                "candidate": None if search.candidate is None else search.candidate.array(),
                "probed_at": search.probed_at.copy(),
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a saved state, with the same weights and settings.

        Raises:
            ValueError: the state has another format.
        """
        if state.get("format") != _STATE_FORMAT:
            raise ValueError(
                f"state of a search must have format {_STATE_FORMAT}, got {state.get('format')!r}"
            )
        self.tracker.load_state_dict(state["tracker"])
        self._appearance = Appearance(np.array(state["appearance"]["samples"]))
        self._frame_wh = (int(state["frame_wh"][0]), int(state["frame_wh"][1]))
        usual, search = state["usual"], state["search"]
        width, height = usual["size_wh"]
        self._usual = _Usual((width, height), usual["likeness"], int(usual["frames"]))
        self._found = None
        self._search = None
        if search is not None:
            self._search = _Search(Box.of(search["last"]), self._tiles())
            self._search.probed_at = np.array(search["probed_at"])
            self._search.frames = int(search["frames"])
            candidate = search["candidate"]
            self._search.candidate = None if candidate is None else Box.of(candidate)

    def _first_appearance(self) -> Appearance:
        if self._appearance is None:
            raise RuntimeError("call init(frame, box) first")
        return self._appearance

    def _followed(self, frame: np.ndarray, state: TrackState) -> TrackState:
        """Update the usual values from a state of the wrapped tracker, or begin a search."""
        if state.status is Status.LOST:
            self._search = _Search(state.box, self._tiles())
        elif state.status is Status.TRACKING and state.measured:
            self._usual.follow(self.tracker.picture(frame), state.box, self._first_appearance())
        return state

    def _searched(self, frame: np.ndarray, search: _Search) -> TrackState:
        """The state after a frame of the search."""
        search.frames += 1
        fault, levels = self.tracker.observe(frame)
        if fault is not Reason.NONE:
            return _lost(search.last, 0.0, fault)
        picture = self.tracker.picture(frame)
        candidates = [(one, self._likeness(picture, one)) for one in self._probes(levels, search)]
        believed = [(one, alike) for one, alike in candidates if self._is_alike(one, alike)]
        best = max(believed, key=lambda pair: pair[0].score * pair[1], default=None)
        if best is not None and search.candidate is not None:
            overlap = float(iou(best[0].box.array(), search.candidate.array()))
            if overlap > self.redetection.overlap_above and _can_begin(best[0], self._frame_wh):
                return self.resume(best[0])
        search.candidate = None if best is None else best[0].box
        score = max((one.score * max(alike, 0.0) for one, alike in candidates), default=0.0)
        at_border = touches_border(search.last, *self._frame_wh)
        reason = Reason.OUT_OF_VIEW if at_border else Reason.LOW_SCORE
        return _lost(search.last, min(score, self.redetection.score_above), reason)

    def _likeness(self, picture: np.ndarray, candidate: Candidate) -> float:
        if candidate.score < self.redetection.score_above:
            return 0.0
        return self._first_appearance().likeness(picture, candidate.box)

    def _is_alike(self, candidate: Candidate, likeness: float) -> bool:
        usual = 1.0 if self._usual.likeness is None else self._usual.likeness
        return (
            candidate.score >= self.redetection.score_above
            and likeness >= self.redetection.likeness_above * usual
        )

    def _probes(self, levels: np.ndarray, search: _Search) -> Iterator[Candidate]:
        """Probes of the candidate's place, or else the last one, and of the next tiles."""
        places = [(search.last.center_xy, self._usual.size_wh)]
        if search.candidate is not None:
            places = [(search.candidate.center_xy, (search.candidate.w, search.candidate.h))]
        for k in self._next_tiles(search):
            (cx, cy), (w, h) = search.tiles.centres_xy[k], search.tiles.sizes_wh[k]
            places.append(((float(cx), float(cy)), (float(w), float(h))))
        for center_xy, size_wh in places:
            candidate = self.tracker.probe(levels, center_xy, size_wh)
            if candidate is not None:
                yield candidate

    def _next_tiles(self, search: _Search) -> np.ndarray:
        """Indices of the tiles for this frame: those in reach that were not probed for the longest
        time, near ones first.
        """
        distances = np.hypot(*(search.tiles.centres_xy - search.last.center_xy).T)
        half = self.tracker.search_side(self._usual.size_wh) / 2
        is_far = distances > half * (1 + self.redetection.growth * search.frames)
        order = np.lexsort((distances, search.probed_at, is_far))
        chosen = order[: min(self.redetection.tiles_per_frame, int((~is_far).sum()))]
        search.probed_at[chosen] = search.frames
        return chosen

    def _tiles(self) -> _Tiles:
        """Tiles of all scales for a target of usual size; each scale covers the whole frame."""
        centres, sizes = [], []
        for scale in self.redetection.scales:
            size_wh = (self._usual.size_wh[0] * scale, self._usual.size_wh[1] * scale)
            step = self.tracker.search_side(size_wh) * self.redetection.tile_step
            counts = [max(math.ceil(length / step), 1) for length in self._frame_wh]
            xs, ys = (
                (np.arange(count) + 0.5) * length / count
                for count, length in zip(counts, self._frame_wh, strict=True)
            )
            grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
            centres.append(grid)
            sizes.append(np.broadcast_to(size_wh, grid.shape))
        return _Tiles(np.concatenate(centres), np.concatenate(sizes))


def with_redetection(tracker: Tracker) -> Tracker:
    """The tracker with a search for lost targets, if it can probe given places."""
    if not isinstance(tracker, SeekingTracker):
        return tracker
    return RedetectingTracker(tracker)


def _can_begin(candidate: Candidate, frame_wh: tuple[int, int]) -> bool:
    """Whether a target can be there: rounding may put a place in the corner outside the frame."""
    try:
        check_first_box(candidate.box, *frame_wh)
    except FrameError:
        return False
    return True


def _lost(box: Box, score: float, reason: Reason) -> TrackState:
    return TrackState(box=box, measured=False, score=score, status=Status.LOST, reason=reason)
