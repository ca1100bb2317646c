"""What a tracker that learns online has reported of its target, and how the next flag changes it.

Read :meth:`Belief.judged`. Nothing here depends on frames or networks; ``localisation`` makes the
flags.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from tirtrack.boxes import Box
from tirtrack.trackers.base import Reason, Status
from tirtrack.trackers.localisation import Flag, Localisation


@dataclass(frozen=True)
class Belief:
    """The last report: status, box of the last trusted frame, score; and the number of frames in a
    row in which the target was not found.
    """

    trusted: Box
    status: Status = Status.TRACKING
    score: float = 1.0
    missing: int = 0

    def state_dict(self) -> dict[str, Any]:
        """The belief as plain values."""
        return {
            "trusted": list(self.trusted.array()),
            "status": str(self.status),
            "score": self.score,
            "missing": self.missing,
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> Self:
        """The belief from :meth:`state_dict`."""
        return cls(
            Box.of(state["trusted"]),
            Status(state["status"]),
            float(state["score"]),
            int(state.get("missing", 0)),
        )

    def judged(
        self, located: Localisation, *, at_border: bool, lost_after_frames: int
    ) -> tuple[Status, Reason]:
        """Status and reason to report for the next frame, by its flag.

        Args:
            located: localisation in that frame.
            at_border: whether the trusted box touches the border of the frame.
            lost_after_frames: number of frames in a row without the target after which it is lost.
        """
        was_lost = self.status is Status.LOST
        if located.flag is Flag.NOT_FOUND:
            waits = not was_lost and self.missing + 1 < lost_after_frames
            reason = Reason.OUT_OF_VIEW if at_border else Reason.LOW_SCORE
            return Status.UNCERTAIN if waits else Status.LOST, reason
        if located.flag is Flag.HARD_NEGATIVE:
            return Status.TRACKING, Reason.DISTRACTOR
        if located.flag is Flag.UNCERTAIN:
            reason = Reason.AMBIGUOUS if located.has_second else Reason.LOW_SCORE
            return Status.UNCERTAIN, reason
        return Status.TRACKING, Reason.RE_DETECTED if was_lost else Reason.NONE
