"""What every tracker promises, one suite for all; ``conftest`` lists the families."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.boxes import Box
from tirtrack.errors import FrameError
from tirtrack.trackers.base import (
    Candidate,
    Reason,
    SeekingTracker,
    SharingTracker,
    Status,
    Tracker,
)
from tirtrack.trackers.motion_model import NO_MOTION, Motion
from tirtrack.trackers.redetection import RedetectingTracker, _Search

FIRST = Box(50.0, 40.0, 20.0, 14.0)


def colour_frames(count, *, height=96, width=128):
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def boxes_of(tracker, frames):
    return [tracker.update(frame).box.array() for frame in frames]


def test_a_tracker_is_a_tracker(any_tracker):
    assert isinstance(any_tracker(), Tracker)


def test_same_frames_give_the_same_boxes_to_the_bit_and_are_not_changed(any_tracker):
    frames = colour_frames(8)
    before = [frame.copy() for frame in frames]
    for frame in frames:
        frame.setflags(write=False)
    runs = []
    for _ in range(2):
        tracker = any_tracker()
        tracker.init(frames[0], FIRST)
        runs.append(boxes_of(tracker, frames[1:]))
    assert_array_equal(runs[0], runs[1])
    assert_array_equal(frames, before)


def test_init_forgets_what_was_before(any_tracker):
    frames = colour_frames(6)
    fresh, used = any_tracker(), any_tracker()
    used.init(frames[5], Box(3.0, 4.0, 30.0, 30.0))
    boxes_of(used, frames[:4])
    for tracker in (fresh, used):
        tracker.init(frames[0], FIRST)
    assert_array_equal(boxes_of(used, frames[1:]), boxes_of(fresh, frames[1:]))


def test_a_run_split_by_save_and_load_gives_the_same_boxes(any_tracker):
    frames = colour_frames(9)
    whole, second = any_tracker(), any_tracker()
    whole.init(frames[0], FIRST)
    boxes_of(whole, frames[1:5])
    saved = whole.state_dict()
    expected = boxes_of(whole, frames[5:])
    second.load_state_dict(saved)
    assert_array_equal(boxes_of(second, frames[5:]), expected)
    second.load_state_dict(saved)  # the saved state was not changed by going on
    assert_array_equal(boxes_of(second, frames[5:]), expected)


def test_states_are_finite_and_scores_in_range(any_tracker):
    frames = colour_frames(12)
    tracker = any_tracker()
    tracker.init(frames[0], FIRST)
    for frame in frames[1:]:
        state = tracker.update(frame)
        assert state.box.is_finite()
        assert 0.0 <= state.score <= 1.0
        assert 0 <= state.box.center_xy[0] <= 128
        assert 0 <= state.box.center_xy[1] <= 96
        assert state.box.w * state.box.h <= 4 * 128 * 96


def test_update_before_init_says_so(any_tracker):
    with pytest.raises(RuntimeError, match=r"call init\(frame, box\) first"):
        any_tracker().update(colour_frames(1)[0])


def test_a_state_of_another_format_is_refused(any_tracker):
    with pytest.raises(ValueError, match=r"format \d, got 7"):
        any_tracker().load_state_dict({"format": 7})


def test_a_network_pass_of_several_frames_gives_the_boxes_of_one_by_one(any_tracker):
    frames = colour_frames(6)
    alone, shared = any_tracker(), any_tracker()
    other = shared.twin("other")
    assert isinstance(shared, SharingTracker)
    assert other.engine is shared.engine
    for tracker in (alone, shared):
        tracker.init(frames[0], FIRST)
    other.init(frames[0], Box(20.0, 30.0, 26.0, 16.0))
    for frame in frames[1:]:
        expected = alone.update(frame)
        stacked = np.concatenate([shared.request(frame), other.request(frame)])
        features = shared.engine.features(stacked)
        state = shared.answer(features[:1])
        other.answer(features[1:])
        assert_allclose(state.box.array(), expected.box.array(), atol=0.05)
        assert state.score == pytest.approx(expected.score, abs=2e-3)


def test_an_answer_needs_a_request(any_tracker):
    tracker = any_tracker()
    tracker.init(colour_frames(1)[0], FIRST)
    with pytest.raises(RuntimeError, match="call request"):
        tracker.answer(None)


def test_a_frame_that_shows_nothing_requests_nothing(any_tracker):
    tracker = any_tracker()
    frames = colour_frames(3)
    tracker.init(frames[0], FIRST)
    if tracker.request(np.zeros_like(frames[0])) is not None:
        return  # published loops look at every frame
    assert not tracker.answer(None).measured
    assert tracker.update(frames[1]).box.is_finite()


def test_a_skip_survives_saving_and_counts_once(any_tracker):
    frames = colour_frames(4)
    whole, restored = any_tracker(), any_tracker()
    whole.init(frames[0], FIRST)
    whole.skip(3)
    restored.load_state_dict(whole.state_dict())
    assert_array_equal(boxes_of(restored, frames[1:]), boxes_of(whole, frames[1:]))


def test_frames_left_out_are_bridged_with_the_velocity(any_tracker):
    first, frame = colour_frames(2, height=400, width=400)
    tracker = any_tracker()
    tracker.init(first, Box(190.0, 200.0, 20.0, 14.0))
    state = tracker.state_dict()
    asked = []
    for speed, further in ((0.0, 40), (20.0, 0)):
        state["motion"]["velocity_xy"] = (speed, speed)
        tracker.load_state_dict(state)
        tracker.skip(1)
        asked.append(tracker.request(np.roll(frame, (-further, -further), axis=(0, 1))))
    assert_allclose(asked[0], asked[1], atol=1e-4)


def test_the_velocity_is_learnt_from_the_measured_boxes(any_tracker):
    frames = colour_frames(6)
    tracker = any_tracker()
    if "target_not_found_threshold" in type(tracker.settings).model_fields:
        always = {"target_not_found_threshold": -1e9}
        tracker.settings = tracker.settings.model_copy(update=always)
    trusted = tracker.init(frames[0], FIRST).box.center_xy
    state = tracker.update(frames[1])
    known = Motion.of(tracker.state_dict()["motion"])
    for frame in frames[2:]:
        was = state.status
        if was is Status.TRACKING:
            trusted = state.box.center_xy
        tracker.skip(1)
        state = tracker.update(frame)
        known = known.left_out(1)
        if Status.LOST in (was, state.status):
            known = NO_MOTION
        elif state.status is Status.TRACKING:
            known = known.followed(trusted, state.box.center_xy)
        else:
            known = known.waited()
        found = tracker.state_dict()["motion"]["velocity_xy"]
        assert_allclose(found, known.velocity_xy, atol=1e-6)
    if Status.LOST not in (was, state.status) and state.status is Status.TRACKING:
        assert np.abs(found).max() > 0.01
    if isinstance(tracker, SeekingTracker):
        tracker.resume(Candidate(FIRST, 1.0))
        assert Motion.of(tracker.state_dict()["motion"]) == NO_MOTION


def test_nothing_left_in_a_tracker_holds_a_gradient(any_tracker):
    frames = colour_frames(3)
    tracker = any_tracker()
    tracker.init(frames[0], FIRST)
    boxes_of(tracker, frames[1:])
    assert [t for t in tensors_of(tracker) if t.grad_fn is not None] == []


def tensors_of(root):
    """Every tensor that can be reached from an object through attributes and containers."""
    seen, found, todo = set(), [], [root]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type | str | bytes | int | float | np.ndarray):
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            found.append(one)
        elif isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list | tuple | set):
            todo += one
        elif hasattr(one, "__dict__"):
            todo += vars(one).values()
    return found


def global_states():
    return (
        random.getstate(),
        str(np.random.get_state()),  # noqa: NPY002
        torch.get_rng_state().numpy().tobytes(),
    )


def test_random_numbers_of_others_neither_change_nor_are_changed(any_tracker):
    frames = colour_frames(6)
    plain, disturbed = any_tracker(), any_tracker()
    before = global_states()
    plain.init(frames[0], FIRST)
    expected = boxes_of(plain, frames[1:])
    assert global_states() == before
    disturbed.init(frames[0], FIRST)
    boxes = []
    for frame in frames[1:]:
        random.random(), np.random.random(), torch.rand(3)  # noqa: NPY002
        boxes += boxes_of(disturbed, [frame])
    assert_array_equal(boxes, expected)


def test_a_look_elsewhere_finds_what_following_finds_and_keeps_nothing(any_tracker):
    frames = colour_frames(3)
    tracker, other = any_tracker(), any_tracker()
    for one in (tracker, other):
        one.init(frames[0], FIRST)
        one.update(frames[1])
    assert isinstance(tracker, SeekingTracker)
    fault, levels = tracker.observe(frames[2])
    before = tracker.state_dict()
    seen = tracker.probe(levels, FIRST.center_xy, (FIRST.w, FIRST.h))
    elsewhere = tracker.probe(levels, (20.0, 70.0), (30.0, 30.0))
    assert fault is Reason.NONE
    for candidate in (seen, elsewhere):
        assert candidate.box.is_finite()
        assert 0 <= candidate.score <= 1
    assert seen.box != elsewhere.box
    after = tracker.state_dict()
    for state in (before, after):
        state.pop("draws", None)
    assert str(after) == str(before)
    assert tracker.search_side((40.0, 40.0)) == pytest.approx(2 * tracker.search_side((20.0, 20.0)))


def test_a_tracker_goes_on_from_where_it_is_told(any_tracker):
    frames = colour_frames(3)
    tracker = any_tracker()
    tracker.init(frames[0], FIRST)
    there = Box(80.0, 60.0, 24.0, 20.0)
    state = tracker.resume(Candidate(there, 0.9))
    assert (state.box, state.reason) == (there, Reason.RE_DETECTED)
    assert tracker.search_side((24.0, 20.0)) > 0
    after = tracker.update(frames[1])
    assert np.hypot(*np.subtract(after.box.center_xy, there.center_xy)) < 60
    with pytest.raises(FrameError, match="outside the frame"):
        tracker.resume(Candidate(Box(900.0, 4.0, 10.0, 10.0), 0.9))


def test_a_search_of_any_family_gives_valid_states(any_tracker):
    frames = colour_frames(8)
    tracker = RedetectingTracker(any_tracker())
    tracker.init(frames[0], FIRST)
    tracker.update(frames[1])
    tracker._search = _Search(FIRST, tracker._tiles())
    for frame in frames[2:]:
        state = tracker.update(frame)
        assert state.box.is_finite()
        assert 0 <= state.score <= 1


@pytest.mark.parametrize("is_searching", [False, True], ids=["followed", "searched for"])
def test_what_stands_in_pixels_without_measurement_changes_no_state(any_tracker, is_searching):
    """A band of fill lies beside the target, within its search region."""
    rng = np.random.default_rng(6)
    frames = [rng.integers(7000, 7400, (96, 128)).astype(np.float32) for _ in range(8)]
    for k, frame in enumerate(frames):
        frame[40:54, 50 + k : 70 + k] += rng.integers(0, 900, (14, 20))
    runs = []
    for filler in (np.nan, -9999.0, np.inf, 0.0):
        tracker = any_tracker()
        if getattr(tracker.settings, "crop", "") == "integer":
            pytest.skip("takes 8 bits alone, which only a named value masks")
        if is_searching:
            tracker = RedetectingTracker(tracker)
        holed = [np.where(np.arange(128) < 42, np.float32(filler), frame) for frame in frames]
        states = [tracker.init(holed[0], FIRST)]
        if is_searching:
            tracker._search = _Search(FIRST, tracker._tiles())
        states += [tracker.update(frame) for frame in holed[1:]]
        runs.append([(*state.box.array(), state.score, state.status) for state in states])
        assert {state.reason for state in states}.isdisjoint(
            {Reason.NO_MEASUREMENT, Reason.DAMAGED_FRAME, Reason.FROZEN_FRAME}
        )
    assert runs[1:] == runs[:1] * 3
