"""Where to seek a target after frames that were left out.

The target is likelier where its mean velocity leads, which is asked for where that is farther than
its own size; and if it is not there, in a wider region. What is seen in that one only says where
the search region of usual width lies, in which the target is measured: networks that learnt one
scale call a smaller target too large, which with a gap before every frame grows without end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tirtrack.trackers.base import XY, Candidate

NEWEST_SHARE = 0.3  # of the newest velocity in the mean
FARTHEST_FRAMES = 10  # no velocity is believed for longer
WIDER_PER_FRAME = 0.15
WIDEST = 2.0

Probe = Callable[[np.ndarray, XY, XY], Candidate | None]
"""As :meth:`tirtrack.trackers.base.SeekingTracker.probe`."""


@dataclass(frozen=True)
class Motion:
    """Mean velocity of a target's centre.

    Attributes:
        velocity_xy: frame pixels a frame.
        unseen: frames that went by since the last in which the target was measured.
        skipped: those of them that the tracker was not given.

    >>> Motion().left_out(1).followed((0.0, 0.0), (4.0, 2.0))
    Motion(velocity_xy=(0.6, 0.3), unseen=0, skipped=0)
    """

    velocity_xy: XY = (0.0, 0.0)
    unseen: int = 0
    skipped: int = 0

    @classmethod
    def of(cls, saved: dict[str, Any] | None) -> Self:
        """As ``dataclasses.asdict`` gave it; of a state that has none, a target that stands."""
        if saved is None:
            return cls()
        across, down = saved["velocity_xy"]
        return cls((float(across), float(down)), int(saved["unseen"]), int(saved["skipped"]))

    def left_out(self, frames: int) -> Self:
        """After frames that the tracker was not given."""
        return replace(self, unseen=self.unseen + frames, skipped=self.skipped + frames)

    def waited(self) -> Self:
        """After a frame in which the target was not measured."""
        return replace(self, unseen=self.unseen + 1)

    def doubted(self) -> Self:
        """After a frame in which the target was measured, but not for sure: the gap is over, and
        the velocity is as it was.
        """
        return replace(self, unseen=self.unseen + 1, skipped=0)

    def followed(self, before: XY, now: XY) -> Self:
        """After a frame in which the target was measured, by its last centre and the new one."""
        across, down = (
            (1 - NEWEST_SHARE) * speed + NEWEST_SHARE * (new - old) / (self.unseen + 1)
            for speed, old, new in zip(self.velocity_xy, before, now, strict=True)
        )
        return type(self)((across, down))

    def ahead(self, center_xy: XY, size_wh: XY, frame_wh: Sequence[int]) -> XY:
        """The centre in the frame to come.

        As it is where no frame was left out, or where the way is shorter than the target: that far
        every search region reaches. Else at most ten frames on, and not out of the frame.
        """
        frames = min(self.unseen + 1, FARTHEST_FRAMES)
        across, down = (frames * speed for speed in self.velocity_xy)
        if not self.skipped or math.hypot(across, down) < math.sqrt(size_wh[0] * size_wh[1]):
            return center_xy
        return (
            min(max(center_xy[0] + across, 0.0), float(frame_wh[0])),
            min(max(center_xy[1] + down, 0.0), float(frame_wh[1])),
        )

    def seen_more_widely(
        self, sight: Probe, levels: np.ndarray, center_xy: XY, size_wh: XY
    ) -> XY | None:
        """Where a target may be that the usual search region did not show, to be looked at again.

        Args:
            sight: how the tracker looks at any place.
            levels: the frame, ``[H,W]`` or ``[H,W,3]``, as ``sight`` takes it.
            center_xy: of the usual search region, frame pixels.
            size_wh: of the target.

        Returns:
            A centre; ``None`` if it is less than half the target away from the one that was
            looked at, or the network gave numbers that are not finite.
        """
        wider = widening(self.skipped)
        seen = sight(levels, center_xy, (wider * size_wh[0], wider * size_wh[1]))
        if seen is None:
            return None
        x, y = seen.box.center_xy
        is_new = max(abs(x - center_xy[0]) / size_wh[0], abs(y - center_xy[1]) / size_wh[1]) > 0.5
        return (x, y) if is_new else None


NO_MOTION = Motion()
"""Nothing is known of the target's motion."""


def widening(skipped: int) -> float:
    """Factor on the side of a search region after frames that were left out.

    >>> widening(0), widening(100)
    (1.0, 2.0)
    """
    return min(1.0 + WIDER_PER_FRAME * skipped, WIDEST)
