"""Where a target is sought after frames that were left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tirtrack.boxes import Box, iou
from tirtrack.trackers.base import Status
from tirtrack.trackers.loading import load_tracker
from tirtrack.trackers.motion_model import NO_MOTION, Motion

steady = st.floats(-5, 5)


@given(steady, steady)
def test_a_steady_target_gives_its_velocity_whatever_was_skipped(across, down):
    motion, at = NO_MOTION, np.zeros(2)
    for skipped in [0, 3, 0, 1] * 10:
        now = at + (skipped + 1) * np.array([across, down])
        motion, at = motion.left_out(skipped).followed(at, now), now
    assert_allclose(motion.velocity_xy, (across, down), atol=1e-4)


def test_the_centre_goes_ahead_only_after_skipped_frames_if_it_is_worth_it_and_not_far():
    def ahead(center_xy, skipped, size_wh=(2, 2), bad=0):
        motion = Motion((2.0, -1.0)).left_out(skipped)
        for _ in range(bad):
            motion = motion.waited()
        return motion.ahead(center_xy, size_wh, (100, 100))

    assert ahead((50, 60), 0) == (50, 60)
    assert ahead((50, 60), 0, bad=2) == (50, 60)
    assert ahead((50, 60), 2) == (56, 57)
    assert ahead((50, 60), 1, bad=1) == (56, 57)
    assert ahead((50, 60), 2, (7, 7)) == (50, 60)
    assert ahead((50, 60), 1000) == (70, 50)
    assert ahead((90, 5), 1000) == (100, 0)


def place(t: int, speed: int = 8) -> Box:
    return Box(20.0 + speed * t, 50.0, 12.0, 14.0)


def frame(t: int, speed: int = 8) -> np.ndarray:
    image = np.random.default_rng(0).integers(60, 90, (120, 400), dtype=np.uint8)
    box = place(t, speed)
    image[int(box.y) : int(box.y + box.h), int(box.x) : int(box.x + box.w)] = 200
    return image


@pytest.mark.parametrize("knows", [True, False])
def test_a_fast_target_is_found_after_a_gap_by_its_velocity_alone(knows):
    """Nine frames are missing; the jump is more than the widened search region reaches."""
    tracker = load_tracker("nano-tir")
    tracker.init(frame(0), place(0))
    for t in range(1, 25):
        tracker.update(frame(t))
    if not knows:
        state = tracker.state_dict()
        state["motion"]["velocity_xy"] = (0.0, 0.0)
        tracker.load_state_dict(state)
    tracker.skip(8)
    tracker.update(np.zeros_like(frame(33)))  # a bad frame does not end the gap
    state = tracker.update(frame(34))
    assert (iou(state.box.array(), place(34).array()) > 0.5) == knows, state


def test_a_target_that_stood_is_found_after_a_gap_in_the_wider_region():
    def moved(x: float) -> np.ndarray:
        return np.roll(frame(0), round(x), axis=1)

    tracker = load_tracker("nano-tir")
    tracker.init(frame(0), place(0))
    for t in range(1, 6):
        tracker.update(np.roll(frame(0), t % 2, axis=0))
    unaware = load_tracker("nano-tir")
    unaware.load_state_dict(tracker.state_dict())
    tracker.skip(9)
    there = Box(20.0 + 40, 50.0, 12.0, 14.0).array()
    assert iou(tracker.update(moved(40)).box.array(), there) > 0.5
    assert iou(unaware.update(moved(40)).box.array(), there) < 0.1


def test_a_doubtful_measurement_ends_the_gap_and_leaves_the_velocity():
    """The place has moved; to go ahead once more would count the gap twice."""
    tracker = load_tracker("nano-tir")
    tracker.init(frame(0), place(0))
    for t in range(1, 25):
        tracker.update(frame(t))
    before = Motion.of(tracker.state_dict()["motion"])
    tracker.skip(9)
    hidden = np.roll(np.random.default_rng(0).integers(60, 90, (120, 400), dtype=np.uint8), 7, 1)
    assert tracker.update(hidden).status is Status.UNCERTAIN
    after = Motion.of(tracker.state_dict()["motion"])
    assert after == Motion(before.velocity_xy, unseen=10)


def test_a_gap_before_every_frame_does_not_blow_the_box_up():
    tracker = load_tracker("nano-tir")
    tracker.init(frame(0, 1), place(0, 1))
    for t in range(3, 300, 3):
        tracker.skip(2)
        state = tracker.update(frame(t, 1))
    assert iou(state.box.array(), place(t, 1).array()) > 0.5
