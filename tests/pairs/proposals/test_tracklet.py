"""Tracklets: kept only where two followers agree, there and back."""

from dataclasses import dataclass

import numpy as np
import pytest

from tirtrack.boxes import Box, iou
from tirtrack.pairs.proposals.tracklet import agreed_tracklet

FRAMES = [np.full((4, 4), t, np.uint8) for t in range(6)]
START = Box(10.0, 20.0, 16.0, 12.0)


@dataclass
class State:
    box: Box
    measured: bool = True


def path(t):
    return Box(START.x + 3.0 * t, START.y, START.w, START.h)


class Scripted:
    """Follows ``path`` by the number that a frame shows, ``wrong(t, t of its first frame)`` off."""

    def __init__(self, wrong=lambda t, begun: 0.0, measured=lambda t: True):
        self.wrong, self.measured, self.begun, self.looks = wrong, measured, None, 0

    def init(self, frame, box):
        self.begun = int(frame[0, 0])

    def update(self, frame):
        self.looks += 1
        t = int(frame[0, 0])
        box = path(t)
        return State(Box(box.x + self.wrong(t, self.begun), box.y, box.w, box.h), self.measured(t))


def test_what_both_follow_alike_is_kept_with_boxes_midway():
    tracklet = agreed_tracklet(FRAMES, START, (Scripted(lambda t, b: 2.0), Scripted()))
    assert tracklet.boxes[0] == START
    assert tracklet.boxes[1:] == tuple(
        Box(path(t).x + 1.0, START.y, START.w, START.h) for t in range(1, 6)
    )
    assert tracklet.agreement == pytest.approx(14 / 18)


@pytest.mark.parametrize(
    ("first", "second", "looks"),
    [
        (Scripted(), Scripted(lambda t, b: 8.0 * (t == 3)), 3),
        (Scripted(lambda t, b: 8.0 * (t == 2)), Scripted(), 2),
        (Scripted(), Scripted(measured=lambda t: t != 4), 4),
        # both drift alike on the way there, and do not come back by the same way
        (Scripted(lambda t, b: 8.0 * (b == 5)), Scripted(lambda t, b: 8.0 * (b == 5)), 6),
        (Scripted(), Scripted(lambda t, b: 8.0 * (b == 5 and t == 0)), 10),
    ],
    ids=["second drifts", "first drifts", "lost", "another way back", "misses the start"],
)
def test_work_ends_at_the_first_doubt(first, second, looks):
    assert agreed_tracklet(FRAMES, START, (first, second)) is None
    assert first.looks == second.looks == looks


def test_the_least_agreement_is_the_callers_to_choose():
    pair = Scripted(lambda t, b: 4.0), Scripted()
    shifted = path(1).array() + np.array([4, 0, 0, 0])
    assert float(iou(shifted, path(1).array())) == pytest.approx(0.6)
    assert agreed_tracklet(FRAMES, START, pair, min_agreement=0.59) is not None
    assert agreed_tracklet(FRAMES, START, pair, min_agreement=0.61) is None


def test_one_frame_is_its_box_and_none_is_refused():
    tracklet = agreed_tracklet(FRAMES[:1], START, (Scripted(), Scripted()))
    assert (tracklet.boxes, tracklet.agreement) == ((START,), 1.0)
    with pytest.raises(ValueError, match="at least one"):
        agreed_tracklet([], START, (Scripted(), Scripted()))
