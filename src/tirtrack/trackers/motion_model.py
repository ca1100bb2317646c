"""Where to seek a target after skipped frames.

The target is most likely where its mean velocity leads, which is used if that is farther than its
own size; if it is not there, a wider region is searched. That region only places the search region
of usual width, in which the target is measured: networks trained at one scale measure a smaller
target too large, so with a gap before every frame the size would grow without bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tirtrack.trackers.base import XY, Candidate

NEWEST_SHARE = 0.3  # share of the newest velocity in the mean
FARTHEST_FRAMES = 10  # frames for which a velocity is trusted at most
WIDER_PER_FRAME = 0.15
WIDEST = 2.0

Probe = Callable[[np.ndarray, XY, XY], Candidate | None]
"""A function like :meth:`tirtrack.trackers.base.SeekingTracker.probe`."""


@dataclass(frozen=True)
class Motion:
    """Mean velocity of a target's centre.

    Attributes:
        velocity_xy: velocity, frame pixels per frame.
        unseen: number of frames since the last one in which the target was measured.
        skipped: number of those frames that the tracker was not given.

    >>> Motion().left_out(1).followed((0.0, 0.0), (4.0, 2.0))
    Motion(velocity_xy=(0.6, 0.3), unseen=0, skipped=0)
    """

    velocity_xy: XY = (0.0, 0.0)
    unseen: int = 0
    skipped: int = 0

    @classmethod
    def of(cls, saved: dict[str, Any] | None) -> Self:
        """From the values of ``dataclasses.asdict``; ``None``: a target that does not move."""
        if saved is None:
            return cls()
        across, down = saved["velocity_xy"]
        return cls((float(across), float(down)), int(saved["unseen"]), int(saved["skipped"]))

    def left_out(self, frames: int) -> Self:
        """The motion after frames that the tracker was not given."""
        return replace(self, unseen=self.unseen + frames, skipped=self.skipped + frames)

    def waited(self) -> Self:
        """The motion after a frame in which the target was not measured."""
        return replace(self, unseen=self.unseen + 1)

    def doubted(self) -> Self:
        """The motion after a frame in which the target was measured without certainty: the gap is
        over, and the velocity stays the same.
        """
        return replace(self, unseen=self.unseen + 1, skipped=0)

    def followed(self, before: XY, now: XY) -> Self:
        """The motion after a measurement of the target, from its last and its new centre."""
        across, down = (
            (1 - NEWEST_SHARE) * speed + NEWEST_SHARE * (new - old) / (self.unseen + 1)
            for speed, old, new in zip(self.velocity_xy, before, now, strict=True)
        )
        return type(self)((across, down))

    def ahead(self, center_xy: XY, size_wh: XY, frame_wh: Sequence[int]) -> XY:
        """The predicted centre in the next frame.

        The same centre if no frame was skipped, or if the distance is less than the target's size,
        which every search region covers. Else at most ten frames ahead, and inside the frame.
        """
        frames = min(self.unseen + 1, FARTHEST_FRAMES)
        across, down = (frames * speed for speed in self.velocity_xy)
        if not self.skipped or math.hypot(across, down) < math.sqrt(size_wh[0] * size_wh[1]):
            return center_xy
        return (
            min(max(center_xy[0] + across, 0.0), float(frame_wh[0])),
            min(max(center_xy[1] + down, 0.0), float(frame_wh[1])),
        )

    def found_in_wider_region(
        self, probe: Probe, levels: np.ndarray, center_xy: XY, size_wh: XY
    ) -> XY | None:
        """Where a target may be that the usual search region did not show; to be searched again.

        Args:
            probe: the tracker's ``probe``.
            levels: grey levels of the frame, ``[H,W]`` or ``[H,W,3]``, for ``probe``.
            center_xy: centre of the usual search region, frame pixels.
            size_wh: size of the target, frame pixels.

        Returns:
            A centre; ``None`` if it is less than half the target away from ``center_xy``, or the
            network gave numbers that are not finite.
        """
        wider = widening(self.skipped)
        found = probe(levels, center_xy, (wider * size_wh[0], wider * size_wh[1]))
        if found is None:
            return None
        x, y = found.box.center_xy
        is_new = max(abs(x - center_xy[0]) / size_wh[0], abs(y - center_xy[1]) / size_wh[1]) > 0.5
        return (x, y) if is_new else None


NO_MOTION = Motion()
"""Motion of a target of which nothing is known."""


def widening(skipped: int) -> float:
    """Factor on the side of a search region after skipped frames.

    >>> widening(0), widening(100)
    (1.0, 2.0)
    """
    return min(1.0 + WIDER_PER_FRAME * skipped, WIDEST)
