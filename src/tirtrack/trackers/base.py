"""What every tracker promises.

Two methods: ``init(frame, box)`` once, ``update(frame)`` for each later frame. Everything else
that a tracker knows of itself stands in the :class:`TrackState` that ``update`` returns. A
:class:`SharingTracker` can be asked in two halves, so that several targets share one network pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from tirtrack.boxes import Box
from tirtrack.trackers.steps import Steps

XY = tuple[float, float]
"""Across and down: a place or a size, frame pixels where nothing else is said."""


class Status(StrEnum):
    """What the tracker believes of the target."""

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
    """What a tracker was made from: a saved state fits only trackers of one origin.

    Attributes:
        weights: their name.
        weights_sha256: of the file.
        settings: everything that the tracker was told, as plain values.
        seed: of what it draws.
    """

    weights: str
    weights_sha256: str
    settings: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class TrackState:
    """One frame's answer.

    Attributes:
        box: where the target is, frame pixels; the last trusted box when ``measured`` is false.
        measured: whether the box was measured in this frame.
        score: in [0, 1]; how much the tracker believes that the target is at the box.
        status: tracking, uncertain or lost.
        reason: why, when not plainly tracking.
        diagnostics: numbers of the family (peak, cell, crop side, ...), for tests and reports.
    """

    box: Box
    measured: bool
    score: float
    status: Status
    reason: Reason = Reason.NONE
    diagnostics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """What a tracker sees at a place that it was asked to look at.

    Attributes:
        box: where the target would be, frame pixels.
        score: in [0, 1]; how much the target model believes in it.
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
        """What it was made from; ``None`` if it was put together by hand."""

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        """Begin with a known box.

        Raises:
            FrameError: the frame or the box cannot be used.
        """

    def update(self, frame: np.ndarray) -> TrackState:
        """Where the target is in the next frame.

        Raises:
            RuntimeError: called before ``init``.
            StreamChangedError: a second frame in a row has the same other size or number type.
            FrameError: the frame cannot be used, and the settings have no frame gate.
        """

    def skip(self, frames: int) -> None:
        """Say that so many frames were left out before the next one: the target is sought where
        its mean velocity leads, and in a wider region where it is not there.

        Raises:
            RuntimeError: called before ``init``.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that ``update`` depends on, as plain values and arrays."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


class Engine(Protocol):
    """Runs what does not depend on the target: the backbone."""

    def features(self, patches: Any) -> Any:
        """Features of patches that are stacked along axis 0, in the same order along axis 0."""


@runtime_checkable
class SharingTracker(Tracker, Protocol):
    """A tracker whose network pass can be shared: ``update(frame)`` is
    ``answer(engine.features(request(frame)))``, to the rounding of the network.
    """

    @property
    def engine(self) -> Engine:
        """What looks at patches; trackers of one engine object can be looked up together."""

    def twin(self, target: str, *, phase: int = 0) -> Self:
        """A new tracker with the same engine and settings, for another target, before ``init``.

        Args:
            target: its name, which with the seed keys what the tracker draws.
            phase: of the schedule by which it learns, frames.
        """

    def request(self, frame: np.ndarray) -> np.ndarray | None:
        """The patches of a frame that the engine has to look at, stacked along axis 0; ``None``
        when there is nothing to see. Must be followed by :meth:`answer`.

        Raises:
            RuntimeError: called before ``init``.
        """

    def answer(self, features: Any | None) -> TrackState:
        """Where the target is, by the features of what was requested.

        Raises:
            RuntimeError: nothing was requested.
        """

    def answering(self, features: Any | None) -> Steps[TrackState]:
        """The same in steps, which hand out the work that several targets can do together."""


@runtime_checkable
class SeekingTracker(SharingTracker, Protocol):
    """A tracker that can be told where to look, and where to go on: what re-detection needs."""

    def observe(self, frame: np.ndarray) -> tuple[Reason, np.ndarray]:
        """Take note of a frame without tracking in it: why it shows nothing, or ``Reason.NONE`` and
        its grey levels for :meth:`probe`.
        """

    def picture(self, frame: np.ndarray) -> np.ndarray:
        """The frame as ``[H,W]`` or ``[H,W,3]``, with the mean in place of pixels that are no
        measurement.

        Raises:
            FrameError: it is no picture.
        """

    def probe(
        self, levels: np.ndarray, center_xy: tuple[float, float], size_wh: tuple[float, float]
    ) -> Candidate | None:
        """What the target model sees in the search region around a place; nothing is kept.

        Args:
            levels: from :meth:`observe`.
            center_xy: of the search region, frame pixels.
            size_wh: of a target for which the search region is cut, frame pixels.

        Returns:
            The best place in it; ``None`` if the network gave numbers that are not finite.
        """

    def search_side(self, size_wh: tuple[float, float]) -> float:
        """Side of the search region for a target of this size, frame pixels."""

    def resume(self, candidate: Candidate) -> TrackState:
        """Go on from a place that is believed, with the target model as it is.

        Raises:
            FrameError: no target can be there.
        """
