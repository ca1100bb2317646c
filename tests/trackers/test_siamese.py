"""The tracker: its contract, what it believes, bad frames, kinds of frames, boxes at the border."""

import math
import resource

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.boxes import Box, iou
from tirtrack.errors import FrameError, RunError
from tirtrack.trackers.base import Reason, Status
from tirtrack.trackers.siamese import SiameseTracker

START = Box(60.0, 40.0, 20.0, 20.0)


def walk(t):
    return 60.0 + 1.5 * t, 40.0 + 0.8 * t, 20.0, 20.0


def begin(tracker, bright_frame, *, frames=6):
    """Init on frame 0 and follow the target to frame ``frames``; the last state."""
    state = tracker.init(bright_frame(walk(0)), START)
    for t in range(1, frames + 1):
        state = tracker.update(bright_frame(walk(t), t))
    return state


def colour_frames(count, *, height=96, width=128):
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def overlap(state, box):
    return float(iou(state.box.array(), np.array(box)))


# --- following ---------------------------------------------------------------------------------


def test_a_moving_target_is_followed(bright_tracker, bright_frame):
    tracker = bright_tracker()
    state = begin(tracker, bright_frame, frames=15)
    assert state.status is Status.TRACKING
    assert state.measured
    assert state.score > 0.9
    assert overlap(state, walk(15)) > 0.8


def test_nothing_is_lost_between_init_and_output(bright_tracker, bright_frame):
    box = Box(61.25, 40.5, 20.125, 21.0)
    state = bright_tracker().init(bright_frame(walk(0)), box)
    assert (state.box, state.measured, state.score) == (box, True, 1.0)


def test_published_output_of_a_target_at_rest_is_half_a_pixel_left_and_above(
    bright_tracker, bright_frame
):
    frame = np.repeat(bright_frame(walk(0))[..., None], 3, axis=2)
    tracker = bright_tracker("published")
    tracker.init(frame, START)
    target = tracker.state_dict()["place"]
    x, y = target["center_xy"]
    assert (x - 10, y - 10) == (START.x - 0.5, START.y - 0.5)


def test_moving_scene_and_box_by_whole_pixels_moves_the_answer(bright_tracker):
    def scene(dx, dy, t):
        frame = np.full((240, 320), 50, np.uint8)
        small = np.random.default_rng([1, t]).integers(40, 60, (80, 80), dtype=np.uint8)
        small[30 + t : 50 + t, 28 + 2 * t : 48 + 2 * t] += 150
        frame[80 + dy : 160 + dy, 100 + dx : 180 + dx] = small
        return frame

    def run(dx, dy):
        tracker = bright_tracker()
        tracker.init(scene(dx, dy, 0), Box(128.0 + dx, 110.0 + dy, 20.0, 20.0))
        return [tracker.update(scene(dx, dy, t)) for t in range(1, 9)]

    for still, moved in zip(run(0, 0), run(17, -23), strict=True):
        assert_allclose(moved.box.array() - [17, -23, 0, 0], still.box.array(), atol=1e-4)
        assert moved.score == pytest.approx(still.score, abs=1e-5)


def test_a_target_of_four_pixels_keeps_its_size_in_default_and_not_in_floor10(
    bright_tracker, bright_frame
):
    box = Box(60.0, 40.0, 4.0, 4.0)
    small, large = bright_tracker(), bright_tracker("floor10")
    for tracker in (small, large):
        tracker.init(bright_frame(box.array()), box)
    for t in range(1, 8):
        frame = bright_frame(box.array(), t)
        kept, grown = small.update(frame), large.update(frame)
    assert kept.box.w < 6
    assert (grown.box.w, grown.box.h) == (10.0, 10.0)


# --- belief ------------------------------------------------------------------------------------


def gone_then_back(tracker, bright_frame, *, gone=12, back=3):
    """Six frames of target, then none, then the target again where it vanished."""
    begin(tracker, bright_frame)
    away = [tracker.update(bright_frame(None, 100 + t)) for t in range(gone)]
    returned = [tracker.update(bright_frame(walk(6), 200 + t)) for t in range(back)]
    return away, returned


@pytest.mark.parametrize("when_lost", ["stay", "follow"])
def test_an_absent_target_is_uncertain_then_lost_then_found_again(
    bright_tracker, bright_frame, when_lost, plain_calibration
):
    tracker = bright_tracker(when_lost=when_lost)
    away, returned = gone_then_back(tracker, bright_frame)
    wait = plain_calibration.lost_after_frames
    said = [state.status for state in away]
    assert said[: wait - 1] == [Status.UNCERTAIN] * (wait - 1)
    assert said[wait - 1 :] == [Status.LOST] * (len(away) - wait + 1)
    assert all(state.score < 0.3 for state in away)
    assert all(state.reason is Reason.LOW_SCORE for state in away)
    assert [state.measured for state in away] == [True] * (wait - 1) + [False] * (13 - wait)
    if when_lost == "stay":
        first = returned[0]
        assert (first.status, first.reason) == (Status.TRACKING, Reason.RE_DETECTED)
        assert overlap(first, walk(6)) > 0.7
        assert returned[1].reason is Reason.NONE


def test_what_is_believed_changes_no_measured_box(bright_tracker, bright_frame):
    """Evaluation scores measured boxes, so that a calibration cannot change the ranking."""
    runs, said = [], []
    for margin_centre in (-50.0, 50.0):  # all is trusted, nothing is
        tracker = bright_tracker()
        tracker.calibration = tracker.calibration.model_copy(
            update={"margin_centre": margin_centre, "rise_centre": -margin_centre}
        )
        begin(tracker, bright_frame, frames=12)
        # far enough to leave what is searched around the first box
        states = [tracker.update(bright_frame(walk(13 + t), 50 + t)) for t in range(40)]
        runs.append([state.measured_box for state in states])
        said.append(states[-1].status)
    assert said == [Status.TRACKING, Status.LOST]
    assert runs[0] == runs[1]


def test_a_sharp_map_is_judged_by_what_is_usual_for_its_target(bright_tracker, bright_frame):
    tracker = bright_tracker()
    begin(tracker, bright_frame)
    usual = tracker.state_dict()["belief"]["usual_entropy"]
    seen = tracker.update(bright_frame(walk(7), 7)).diagnostics
    gone = tracker.update(bright_frame(None, 8)).diagnostics
    assert seen["entropy_rise"] == pytest.approx(seen["entropy"] - usual)
    assert gone["entropy_rise"] > seen["entropy_rise"] + 0.1
    kept = tracker.state_dict()["belief"]["usual_entropy"]
    assert kept != usual  # a trusted frame counts, the absent one does not
    tracker.update(bright_frame(None, 9))
    assert tracker.state_dict()["belief"]["usual_entropy"] == kept


def test_a_lost_target_keeps_the_last_trusted_box_and_size(bright_tracker, bright_frame):
    tracker = bright_tracker()
    trusted = begin(tracker, bright_frame).box
    lost = [tracker.update(bright_frame(None, 100 + t)) for t in range(30)][4:]
    assert {state.box for state in lost} == {trusted}


def test_leaving_over_the_border_is_out_of_view(bright_tracker, bright_frame):
    tracker = bright_tracker()
    tracker.init(bright_frame((130, 40, 20, 20)), Box(130.0, 40.0, 20.0, 20.0))
    for t in range(1, 12):
        state = tracker.update(bright_frame((130 + t, 40, 20, 20), t))
    assert state.status is Status.TRACKING
    states = [tracker.update(bright_frame(None, 100 + t)) for t in range(6)]
    assert states[-1].status is Status.LOST
    assert states[-1].reason is Reason.OUT_OF_VIEW


class BrokenEngine:
    """Gives one number that is not finite when told to."""

    def __init__(self, engine):
        self._engine, self.broken = engine, False

    def template(self, patch):
        return self._engine.template(patch)

    def search(self, template, patch):
        maps = self._engine.search(template, patch)
        if self.broken:
            maps.ltrb[2, 7, 7] = np.inf
        return maps


def test_maps_that_are_not_finite_go_back_to_the_last_good_state(bright_tracker, bright_frame):
    tracker = bright_tracker()
    engine = tracker.engine = BrokenEngine(tracker.engine)
    good = begin(tracker, bright_frame)
    engine.broken = True
    for t in range(20):
        state = tracker.update(bright_frame(walk(6), 50 + t))
        assert (state.status, state.reason) == (Status.LOST, Reason.NOT_FINITE)
        assert (state.box, state.measured, state.score) == (good.box, False, 0.0)
    engine.broken = False
    state = tracker.update(bright_frame(walk(7), 90))
    assert (state.status, state.reason) == (Status.TRACKING, Reason.RE_DETECTED)
    assert overlap(state, walk(7)) > 0.7


def test_maps_that_are_not_finite_end_a_published_run(bright_tracker, bright_frame):
    tracker = bright_tracker("published")
    engine = tracker.engine = BrokenEngine(tracker.engine)
    frame = np.repeat(bright_frame(walk(0))[..., None], 3, axis=2)
    tracker.init(frame, START)
    engine.broken = True
    with pytest.raises(RunError, match="not finite; check the weights"):
        tracker.update(frame)


# --- bad frames --------------------------------------------------------------------------------

BAD_FRAMES = {
    "black": (500, lambda frame: np.zeros_like(frame), Reason.BLACK_FRAME),
    "saturated": (500, lambda frame: np.full_like(frame, 255), Reason.CONSTANT_FRAME),
    "not a number": (500, lambda frame: np.full(frame.shape, np.nan), Reason.DAMAGED_FRAME),
    "no picture": (50, lambda frame: frame[0], Reason.DAMAGED_FRAME),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_frames_repeat_the_box_and_tracking_goes_on_after(bright_tracker, bright_frame, name):
    count, spoil, reason = BAD_FRAMES[name]
    tracker = bright_tracker()
    good = begin(tracker, bright_frame)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for t in range(count):
        state = tracker.update(spoil(bright_frame(walk(6), 50)))
        assert state.box == good.box
        assert (state.measured, state.reason) == (False, reason)
        assert state.status is (Status.UNCERTAIN if t < 3 else Status.LOST)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 20_000  # kB
    states = [tracker.update(bright_frame(walk(6 + t), 60 + t)) for t in range(1, 4)]
    assert states[0].reason is Reason.RE_DETECTED
    assert states[-1].status is Status.TRACKING
    assert overlap(states[-1], walk(9)) > 0.7


@pytest.mark.parametrize(
    "spoil", [lambda frame: frame[:-1], lambda frame: np.stack([frame] * 3, axis=2)]
)
def test_one_frame_of_another_kind_is_bad_and_two_are_an_error(bright_tracker, bright_frame, spoil):
    tracker = bright_tracker()
    good = begin(tracker, bright_frame)
    state = tracker.update(spoil(bright_frame(walk(6), 50)))
    assert (state.box, state.measured, state.reason) == (good.box, False, Reason.DAMAGED_FRAME)
    with pytest.raises(FrameError, match="begin anew with init where they change, or convert them"):
        tracker.update(spoil(bright_frame(walk(7), 51)))
    after = tracker.update(bright_frame(walk(7), 52))
    assert after.status is Status.TRACKING
    assert overlap(after, walk(7)) > 0.7


def test_a_hundred_copies_of_a_frame_change_nothing(bright_tracker, bright_frame):
    tracker, plain = bright_tracker(), bright_tracker()
    good = begin(tracker, bright_frame)
    begin(plain, bright_frame)
    for _ in range(100):
        state = tracker.update(bright_frame(walk(6), 6))
        assert (state.box, state.measured) == (good.box, False)
        assert state.reason is Reason.FROZEN_FRAME
        assert state.status is not Status.TRACKING
    after, expected = (one.update(bright_frame(walk(7), 7)) for one in (tracker, plain))
    assert after.box == expected.box
    assert after.status is Status.TRACKING


def test_one_repeated_frame_in_a_recording_costs_one_doubt(bright_tracker, bright_frame):
    tracker = bright_tracker()
    good = begin(tracker, bright_frame)
    state = tracker.update(bright_frame(walk(6), 6))
    assert (state.status, state.box) == (Status.UNCERTAIN, good.box)
    assert 0 < state.score <= 0.5
    assert tracker.update(bright_frame(walk(7), 7)).reason is Reason.NONE


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((60, 80), np.uint8), "first frame is a bad frame: black; begin at a later"),
        (np.full((60, 80), 90, np.uint8), "first frame is a bad frame: constant"),
        (np.full((60, 80), np.nan), "bad frame: no measurement .100 % of its pixels"),
        (np.zeros((60, 80), np.int16), "a frame of int16 cannot be used"),
    ],
)
def test_no_tracking_begins_on_a_bad_frame(bright_tracker, frame, message):
    with pytest.raises(FrameError, match=message):
        bright_tracker().init(frame, Box(20.0, 20.0, 20.0, 20.0))


def test_published_refuses_what_its_integer_crop_cannot_take(bright_tracker, bright_frame):
    tracker, grey = bright_tracker("published"), bright_frame(walk(0))
    colour = np.repeat(grey[..., None], 3, axis=2)
    for frame in (grey.astype(np.uint16), colour.astype(np.uint16), colour.astype(np.float32)):
        with pytest.raises(FrameError, match=r"takes uint8, not .*; use the preset"):
            tracker.init(frame, START)
    tracker.init(colour, START)
    with pytest.raises(FrameError, match="follows frames of"):
        tracker.update(colour[:-2])


def test_published_reads_grey_frames_as_three_equal_channels(bright_tracker, bright_frame):
    grey = [bright_frame(walk(t), t) for t in range(6)]
    forms = [
        grey,
        [frame[..., None] for frame in grey],
        [np.repeat(frame[..., None], 3, axis=2) for frame in grey],
    ]
    runs = []
    for frames in forms:
        tracker = bright_tracker("published")
        tracker.init(frames[0], START)
        assert tracker.engine.seen.shape == (127, 127, 3)
        runs.append([tracker.update(frame) for frame in frames[1:]])
    assert len({state.box for state in runs[0]}) > 1
    for run in runs[1:]:
        assert [(s.box, s.score) for s in run] == [(s.box, s.score) for s in runs[0]]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_coloured_frames_for_thermal_weights_are_worth_one_warning(
    bright_tracker, bright_frame, caplog, kind
):
    grey = bright_frame(walk(0)).astype(kind)
    equal = np.repeat(grey[..., None], 3, axis=2)
    noisy = equal + np.array([0, 1, 2], dtype=kind)  # what lossy compression does
    painted = np.stack([grey, grey[:, ::-1], 255 - grey], axis=2)

    def warned(modality, *frames):
        caplog.clear()
        model = bright_tracker()
        tracker = SiameseTracker(model.engine, model.settings, model.calibration, modality=modality)
        for frame in frames:
            tracker.init(frame, START)
            tracker.update(frame)
        return [text for text in caplog.messages if "switch off the camera's palette" in text]

    assert len(warned("tir", painted, painted)) == 1
    assert warned("rgb", painted) == warned("tir", grey, equal, noisy) == []


def test_published_tracks_on_through_black_frames_as_published(bright_tracker, bright_frame):
    frame = np.repeat(bright_frame(walk(0))[..., None], 3, axis=2)
    tracker = bright_tracker("published")
    tracker.init(frame, START)
    state = tracker.update(np.zeros_like(frame))
    assert (state.measured, state.status) == (True, Status.TRACKING)


# --- kinds of frames ---------------------------------------------------------------------------


def track_as(tracker, bright_frame, convert):
    tracker.init(convert(bright_frame(walk(0))), START)
    states = [tracker.update(convert(bright_frame(walk(t), t))) for t in range(1, 8)]
    return np.array([[*state.box.array(), state.score] for state in states])


def test_grey_one_channel_replicated_and_alpha_give_equal_boxes_to_the_bit(
    bright_tracker, bright_frame
):
    grey = track_as(bright_tracker(), bright_frame, lambda frame: frame)
    for channels in (1, 3, 4):
        other = track_as(
            bright_tracker(),
            bright_frame,
            lambda frame, n=channels: np.repeat(frame[..., None], n, axis=2),
        )
        assert_array_equal(other, grey, err_msg=f"{channels} channels")


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_counts_are_followed_and_replicated_counts_are_equal_to_the_bit(
    bright_tracker, bright_frame, dtype
):
    def counts(frame):
        return (frame.astype(np.float64) * 7 + 7000).astype(dtype)

    grey = track_as(bright_tracker(), bright_frame, counts)
    assert float(iou(grey[-1, :4], np.array(walk(7)))) > 0.7
    colour = track_as(
        bright_tracker(), bright_frame, lambda frame: np.repeat(counts(frame)[..., None], 3, axis=2)
    )
    assert_array_equal(colour, grey)


def test_counts_times_gain_plus_offset_give_the_same_boxes(bright_tracker, bright_frame):
    plain = track_as(bright_tracker(), bright_frame, lambda frame: frame.astype(np.float64) + 7000)
    gained = track_as(
        bright_tracker(), bright_frame, lambda frame: 3.5 * (frame.astype(np.float64) + 7000) - 900
    )
    assert_allclose(gained, plain, atol=0.02)


@pytest.mark.parametrize("name", ["default", "published"])
def test_bgr_frames_with_the_order_said_equal_rgb_frames(name, bright_tracker):
    frames = colour_frames(5)

    class LastPatch:
        cells = 15

        def __init__(self, engine):
            self._engine = engine

        def template(self, patch):
            return self._engine.template(patch)

        def search(self, template, patch):
            self.patch = np.array(patch)
            return self._engine.search(template, patch)

    seen = []
    for order, turn in (("rgb", 1), ("bgr", -1)):
        tracker = bright_tracker(name, colour_order=order)
        engine = tracker.engine = LastPatch(tracker.engine)
        tracker.init(frames[0][..., ::turn], Box(50.0, 40.0, 20.0, 14.0))
        boxes = [tracker.update(frame[..., ::turn]).box.array() for frame in frames[1:]]
        seen.append((boxes, engine.patch))
    assert_array_equal(seen[0][0], seen[1][0])
    assert_array_equal(seen[0][1], seen[1][1])
    assert (seen[0][1] != seen[0][1][..., ::-1]).any()


def test_init_forgets_the_range_of_earlier_counts(bright_tracker, bright_frame):
    def counts(frame):
        return frame.astype(np.uint16) * 7 + 7000

    used, fresh = bright_tracker(), bright_tracker()
    track_as(used, bright_frame, lambda frame: frame.astype(np.uint16) * 9 + 6900)
    again = track_as(used, bright_frame, counts)
    assert_array_equal(again, track_as(fresh, bright_frame, counts))


def test_stretch_undoes_a_loss_of_contrast(bright_tracker, bright_frame):
    def faint(frame):
        return (frame // 4 + 100).astype(np.uint8)

    full = track_as(bright_tracker(stretch=True), bright_frame, lambda frame: frame)
    low = track_as(bright_tracker(stretch=True), bright_frame, faint)
    assert_allclose(low[:, :4], full[:, :4], atol=0.5)


# --- boxes at the border ----------------------------------------------------

W, H = 64, 48
P7_FRAMES = [
    np.random.default_rng([9, t]).integers(0, 256, (H, W), dtype=np.uint8) for t in range(4)
]
places = st.floats(-2 * W, 3 * W)
lengths = st.one_of(st.just(1.0), st.floats(0, 5 * W), st.sampled_from([float(W), float(H)]))


@given(places, places, lengths, lengths)
@settings(max_examples=80)
def test_any_box_gives_the_documented_error_or_finite_boxes(bright_tracker, x, y, w, h):
    tracker = bright_tracker()
    try:
        state = tracker.init(P7_FRAMES[0], Box(x, y, w, h))
    except FrameError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert f"box {x:g},{y:g},{w:g},{h:g}" in refusal
        return
    assert state.box == Box(x, y, w, h)
    for frame in P7_FRAMES[1:]:
        state = tracker.update(frame)
        assert state.box.is_finite()
        cx, cy = state.box.center_xy
        assert -1e-9 <= cx <= W + 1e-9
        assert -1e-9 <= cy <= H + 1e-9
        assert 0 < state.box.w * state.box.h <= 4 * W * H * (1 + 1e-9)
        assert math.isfinite(state.score)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (Box(math.nan, 0, 5, 5), "not finite"),
        (Box(0, 0, 0.5, 5), "has no area"),
        (Box(-9, 0, 10, 10), "90% outside the frame of 64x48"),
    ],
)
def test_a_first_box_that_cannot_be_is_refused_by_its_rule(bright_tracker, box, message):
    for name in ("default", "published"):
        frame = np.repeat(P7_FRAMES[0][..., None], 3, axis=2)
        with pytest.raises(FrameError, match=message):
            bright_tracker(name).init(frame, box)


def test_a_tiny_first_box_is_said_once(bright_tracker, caplog):
    bright_tracker().init(P7_FRAMES[0], Box(20.0, 20.0, 3.0, 9.0))
    assert [record.getMessage() for record in caplog.records] == ["the first box is only 3x9 px"]
