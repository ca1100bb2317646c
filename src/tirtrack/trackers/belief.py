"""What a tracker has reported of its target, and by which rule a target is lost and found.

Read :meth:`LossRule.after`. Nothing here depends on frames or networks; a family sets the flags.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from tirtrack.boxes import Box
from tirtrack.trackers.base import Reason, Status

USUAL_RATE = 0.03  # update rate of the usual entropy, per trusted frame


class Flag(StrEnum):
    """What the score map of a frame shows; ``none``, if nothing was decided, counts as normal."""

    NORMAL = "normal"
    HARD_NEGATIVE = "hard_negative"
    UNCERTAIN = "uncertain"
    NOT_FOUND = "not_found"
    NONE = "none"


@dataclass(frozen=True)
class Belief:
    """The last report of the target.

    Attributes:
        trusted: box of the last trusted frame.
        status: status.
        score: score, in [0, 1].
        missing: number of frames in a row in which the target was not found.
        usual_entropy: usual entropy of the score map, nats; ``None`` before the first map,
            and in families whose score does not depend on it.
    """

    trusted: Box
    status: Status = Status.TRACKING
    score: float = 1.0
    missing: int = 0
    usual_entropy: float | None = None

    @classmethod
    def of(cls, state: dict[str, Any]) -> Self:
        """The belief from its fields."""
        return cls(
            Box(**state["trusted"]),
            Status(state["status"]),
            float(state["score"]),
            int(state["missing"]),
            state["usual_entropy"],
        )

    def with_entropy(self, entropy: float | None) -> Self:
        """The belief with one more score map, which changes the usual entropy if it is trusted; the
        first one counts in any case.
        """
        if entropy is None:
            return self
        usual = entropy if self.usual_entropy is None else self.usual_entropy
        if self.status is Status.TRACKING:
            usual += USUAL_RATE * (entropy - usual)
        return replace(self, usual_entropy=usual)


@dataclass(frozen=True)
class LossRule:
    """By which rule a target is lost and found, and what is reported meanwhile.

    Attributes:
        lost_after_frames: number of frames in a row without the target after which it is lost.
        uncertain_below: lower bound of a sure presence (see ``Located``), and upper bound of the
            score that a frozen frame repeats.
        doubt_is_absence: whether an uncertain target may as well be absent: it then stays lost, and
            at the border it is out of view.
        counts_bad_frames: whether frames with nothing to show count as frames without the target.
        safe: whether numbers that are not finite make the target lost, only boxes of the status
            tracking are trusted, and repeated boxes have their centre in the frame; else all is as
            published, and such numbers are an error.
    """

    lost_after_frames: int
    uncertain_below: float
    doubt_is_absence: bool
    counts_bad_frames: bool
    safe: bool

    def after(self, belief: Belief, flag: Flag) -> Belief:
        """The belief after one more frame, with its new status."""
        missing = belief.missing + 1 if flag is Flag.NOT_FOUND else 0
        if flag not in (Flag.UNCERTAIN, Flag.NOT_FOUND):
            return replace(belief, status=Status.TRACKING, missing=missing)
        stays_lost = belief.status is Status.LOST and self._is_absent(flag)
        is_lost = stays_lost or missing >= self.lost_after_frames
        status = Status.LOST if is_lost else Status.UNCERTAIN
        return replace(belief, status=status, missing=missing)

    def reason(self, belief: Belief, flag: Flag, doubt: Reason, *, at_border: bool) -> Reason:
        """The reason to report for the next frame.

        Args:
            belief: belief before that frame.
            flag: what its score map shows.
            doubt: reason if the flag is uncertain or not found.
            at_border: whether the trusted box touches the border of the frame.
        """
        if flag is Flag.HARD_NEGATIVE:
            return Reason.DISTRACTOR
        if flag in (Flag.UNCERTAIN, Flag.NOT_FOUND):
            return Reason.OUT_OF_VIEW if at_border and self._is_absent(flag) else doubt
        return Reason.RE_DETECTED if belief.status is Status.LOST else Reason.NONE

    def waited(self, belief: Belief, *, is_frozen: bool) -> Belief:
        """The belief after a frame with nothing to show; a frozen one is no evidence for or against
        the box.
        """
        missing = belief.missing + int(self.counts_bad_frames)
        is_lost = belief.status is Status.LOST or missing >= self.lost_after_frames
        return replace(
            belief,
            status=Status.LOST if is_lost else Status.UNCERTAIN,
            score=min(belief.score, self.uncertain_below) if is_frozen else 0.0,
            missing=missing,
        )

    def _is_absent(self, flag: Flag) -> bool:
        return flag is Flag.NOT_FOUND or self.doubt_is_absence
