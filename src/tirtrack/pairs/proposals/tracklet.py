"""Pseudo-boxes for unlabelled video: boxes on which trackers agree, forwards and backwards.

A box is proposed in one frame; trackers of different families follow it through the next frames and
back again. The track is kept if they agree in every frame: each alone drifts now and then, but they
seldom drift to the same wrong place. A single tracker must agree with itself on the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tirtrack.boxes import Box, iou

MIN_AGREEMENT = 0.6  # IoU


class Follower(Protocol):
    """Anything that follows a box; every tracker of the package does."""

    @property
    def origin(self) -> Any:
        """All that its boxes depend on besides the frames: weights, settings and seed."""

    def init(self, frame: np.ndarray, box: Box) -> Any:
        """Start with a box."""

    def update(self, frame: np.ndarray) -> Any:
        """The state in the next frame; it has a ``box`` and says whether it was ``measured``."""


@dataclass(frozen=True)
class Tracklet:
    """A box followed through some frames.

    Attributes:
        boxes: one box per frame; the first is the proposed one, the others are the mean of those
            of all followers.
        agreement: smallest IoU of all comparisons, in [0, 1].
    """

    boxes: tuple[Box, ...]
    agreement: float


def agreed_tracklet(
    frames: Sequence[np.ndarray],
    box: Box,
    followers: Sequence[Follower],
    *,
    min_agreement: float = MIN_AGREEMENT,
) -> Tracklet | None:
    """A box followed from the first frame to the last, or ``None`` where it cannot be trusted.

    All followers start with the box and must agree in every frame. Then all start again from the
    last box and go back: each must match the forward boxes in every frame, which reveals a switch
    to another object on the way. Stops at the first disagreement.

    Args:
        frames: frames in order, at least one; only read.
        box: box in the first frame, frame pixels.
        followers: one follower, or two of different families; their state is overwritten.
        min_agreement: smallest IoU that counts as agreement.

    Raises:
        FrameError: a frame or the box cannot be used.
        ValueError: there is no frame.
    """
    if not len(frames):
        raise ValueError("frames must be at least one, got none")
    ahead = _followed(frames, box, followers, None, min_agreement)
    if ahead is None:
        return None
    back = _followed(frames[::-1], ahead.boxes[-1], followers, ahead.boxes[::-1], min_agreement)
    if back is None:
        return None
    return Tracklet(ahead.boxes, min(ahead.agreement, back.agreement))


def _followed(
    frames: Sequence[np.ndarray],
    box: Box,
    followers: Sequence[Follower],
    expected: Sequence[Box] | None,
    min_agreement: float,
) -> Tracklet | None:
    """One pass: followers must agree with each other, or each with the expected boxes."""
    for follower in followers:
        follower.init(frames[0], box)
    boxes, agreement = [box], 1.0
    for index in range(1, len(frames)):
        states = [follower.update(frames[index]) for follower in followers]
        if not all(state.measured for state in states):
            return None
        found = np.stack([state.box.array() for state in states])
        others = found[::-1] if expected is None else expected[index].array()
        agreement = min(agreement, float(np.min(iou(found, others))))
        if agreement < min_agreement:
            return None
        boxes.append(Box.of(found.mean(axis=0)))
    return Tracklet(tuple(boxes), agreement)
