"""The interface of every tracker.

Two methods: ``init(frame, box)`` once, ``update(frame)`` for each later frame. Everything else
that a tracker reports is in the :class:`TrackState` that ``update`` returns. A
:class:`SharingTracker` splits ``update`` in two, so that several targets share one network pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from tirtrack.boxes import Box
from tirtrack.trackers.steps import Steps

XY = tuple[float, float]
"""Horizontal and vertical: a position or a size, in frame pixels unless stated otherwise."""


class Status(StrEnum):
    """The tracker's belief about the target."""

    TRACKING = "tracking"
    UNCERTAIN = "uncertain"
    LOST = "lost"


class Reason(StrEnum):
    """Why the status is not plainly ``tracking``; a closed list."""

    NONE = ""
    LOW_SCORE = "low score"
    AMBIGUOUS = "ambiguous"
    DISTRACTOR = "distractor"
    OUT_OF_VIEW = "out of view"
    BLACK_FRAME = "bad frame: black"
    CONSTANT_FRAME = "bad frame: constant"
    FROZEN_FRAME = "bad frame: frozen"
    DAMAGED_FRAME = "bad frame: damaged"
    NO_MEASUREMENT = "bad frame: no measurement"
    NOT_FINITE = "not finite"
    FAILED = "failed"
    RE_DETECTED = "re-detected"


@dataclass(frozen=True)
class Origin:
    """Weights, settings and seed of a tracker: a saved state fits only trackers of one origin.

    Attributes:
        weights: name of the weights.
        weights_sha256: SHA-256 hash of the weights file.
        settings: all settings of the tracker, as plain values.
        seed: seed of all random draws.
    """

    weights: str
    weights_sha256: str
    settings: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class TrackState:
    """The result for one frame.

    Attributes:
        box: box of the target, frame pixels; the last trusted box when ``measured`` is false.
        measured: whether the box was measured in this frame.
        score: the tracker's belief, in [0, 1], that the target is at the box.
        status: tracking, uncertain or lost.
        reason: reason of a status that is not plainly tracking.
        diagnostics: numbers of the family (peak, cell, crop side, ...), for tests and reports.
        measured_box: best box in this frame, which evaluation scores, also while the status is
            lost; equals ``box`` unless given.
    """

    box: Box
    measured: bool
    score: float
    status: Status
    reason: Reason = Reason.NONE
    diagnostics: dict[str, Any] = field(default_factory=dict)
    measured_box: Box = None  # type: ignore[assignment]  # set below if not given

    def __post_init__(self) -> None:
        if self.measured_box is None:
            object.__setattr__(self, "measured_box", self.box)


@dataclass(frozen=True)
class Candidate:
    """The best box around a probed position.

    Attributes:
        box: possible box of the target, frame pixels.
        score: score of the target model, in [0, 1].
    """

    box: Box
    score: float


@runtime_checkable
class Tracker(Protocol):
    """A single-object tracker.

    Frames are ``[H,W]``, ``[H,W,1]``, ``[H,W,3]`` or ``[H,W,4]``, uint8, uint16 or float; the
    frame is never changed. The same seed, frames and box give the same boxes, bit for bit.
    """

    @property
    def origin(self) -> Origin | None:
        """Origin of the tracker; ``None`` if it was not made by ``tirtrack.load``."""

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        """Begin with a known box.

        Raises:
            FrameError: the frame or the box cannot be used.
            RecipeError: the settings do not fit the first frame.
            RunError: the network gave numbers that are not finite.
        """

    def update(self, frame: np.ndarray) -> TrackState:
        """Where the target is in the next frame.

        Raises:
            RuntimeError: called before ``init``.
            StreamChangedError: two frames in a row have the same new size or number type.
            FrameError: the frame cannot be used, and the settings have no frame gate.
            RunError: the network gave numbers that are not finite, and the settings are published
                ones.
        """

    def skip(self, frames: int) -> None:
        """Report that so many frames were skipped before the next one: the target is sought where
        its mean velocity leads and, if it is not there, in a wider region.

        Raises:
            RuntimeError: called before ``init``.
        """

    def state_dict(self) -> dict[str, Any]:
        """Everything that ``update`` depends on, as plain values and arrays."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a saved state."""


class Engine(Protocol):
    """Runs the part of the network that does not depend on the target: the backbone."""

    def features(self, patches: Any) -> Any:
        """Features of patches that are stacked along axis 0, in the same order along axis 0."""


@runtime_checkable
class SharingTracker(Tracker, Protocol):
    """A tracker whose network pass can be shared: ``update(frame)`` equals
    ``answer(engine.features(request(frame)))``, up to the network's rounding.
    """

    @property
    def engine(self) -> Engine:
        """Makes features of patches; trackers with the same engine object can share a pass."""

    def twin(self, target: str, *, phase: int = 0) -> Self:
        """A new tracker with the same engine and settings, for another target, before ``init``.

        Args:
            target: name of the target; together with the seed it keys the random draws.
            phase: phase of the tracker's learning schedule, frames.
        """

    def request(self, frame: np.ndarray) -> np.ndarray | None:
        """The patches of a frame for the engine, stacked along axis 0; ``None`` if the frame has
        nothing to show. Must be followed by :meth:`answer`. Raises what :meth:`update` raises for a
        frame.
        """

    def answer(self, features: Any | None) -> TrackState:
        """The target's state, from the features of the requested patches.

        Raises:
            RuntimeError: nothing was requested.
            RunError: as in :meth:`update`.
        """

    def answering(self, features: Any | None) -> Steps[TrackState]:
        """The same in steps, which yield the work that several targets can share."""


@runtime_checkable
class SeekingTracker(SharingTracker, Protocol):
    """A tracker that can probe and resume at a given place, as re-detection needs."""

    def observe(self, frame: np.ndarray) -> tuple[Reason, np.ndarray]:
        """Observe a frame without tracking in it: the reason why it shows nothing, or
        ``Reason.NONE``, and its grey levels for :meth:`probe`.
        """

    def picture(self, frame: np.ndarray) -> np.ndarray:
        """The frame as ``[H,W]`` or ``[H,W,3]``; pixels without a measurement become the mean.

        Raises:
            FrameError: the frame is not an image.
        """

    def probe(
        self, levels: np.ndarray, center_xy: tuple[float, float], size_wh: tuple[float, float]
    ) -> Candidate | None:
        """The target model's best candidate in the search region around a place; no state changes.

        Args:
            levels: grey levels from :meth:`observe`.
            center_xy: centre of the search region, frame pixels.
            size_wh: size of the target for which the search region is cut, frame pixels.

        Returns:
            The best place in it; ``None`` if the network gave numbers that are not finite.
        """

    def search_side(self, size_wh: tuple[float, float]) -> float:
        """Side of the search region for a target of this size, frame pixels."""

    def resume(self, candidate: Candidate) -> TrackState:
        """Resume tracking at a trusted candidate, with the target model unchanged.

        Raises:
            FrameError: the candidate's box cannot hold a target.
        """
