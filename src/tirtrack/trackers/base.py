"""What every tracker promises.

Two methods: ``init(frame, box)`` once, ``update(frame)`` for each later frame. Everything else
that a tracker knows of itself stands in the :class:`TrackState` that ``update`` returns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tirtrack.boxes import Box


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
    NOT_FINITE = "not finite"
    FAILED = "failed"
    RE_DETECTED = "re-detected"


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


@runtime_checkable
class Tracker(Protocol):
    """A single-object tracker.

    Frames are ``[H,W]``, ``[H,W,1]``, ``[H,W,3]`` or ``[H,W,4]``, uint8, uint16 or float; the
    frame is never changed. The same seed, frames and box give the same boxes, bit for bit.
    """

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        """Begin with a known box.

        Raises:
            FrameError: the frame or the box cannot be used.
        """

    def update(self, frame: np.ndarray) -> TrackState:
        """Where the target is in the next frame.

        Raises:
            RuntimeError: called before ``init``.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that ``update`` depends on, as plain values and arrays."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
