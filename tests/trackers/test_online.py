"""What every tracker that learns online promises, on tiny networks of all kinds."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.boxes import Box
from tirtrack.errors import FrameError, RecipeError, RunError
from tirtrack.networks import registry
from tirtrack.trackers import atom_presets, dimp_presets
from tirtrack.trackers.atom import AtomTracker
from tirtrack.trackers.base import Candidate, Reason, Status
from tirtrack.trackers.belief import Flag
from tirtrack.trackers.dimp import DimpTracker
from tirtrack.trackers.localisation import Localisation
from tirtrack.trackers.online import Lesson, located_at
from tirtrack.trackers.online_engine import OnlineEngine
from tirtrack.trackers.peak_score import family_peak_calibration

NETWORKS = ("dimp18", "prdimp18", "superdimp50", "superdimp_simple", "atom18")
FIRST = Box(60.0, 40.0, 30.0, 24.0)


@pytest.fixture(scope="module")
def engines():
    kept = {}

    def make(name):
        if name not in kept:
            network = registry.build(name, tiny=True, seed=3).eval()
            kept[name] = OnlineEngine(network.requires_grad_(requires_grad=False))
        return kept[name]

    return make


@pytest.fixture
def make(engines):
    """Makes a tracker on a tiny network; keywords change settings."""

    def made(name="dimp18", preset="default", *, seed=0, target="", engine=None, **changes):
        engine = engine or engines(name)
        presets, kind = (
            (atom_presets, AtomTracker) if name == "atom18" else (dimp_presets, DimpTracker)
        )
        settings = presets.preset(preset, f"{name}-tiny")
        if name == "atom18":
            changes = {"init_cg_iter": 6, "init_gn_iter": 2, "sample_memory_size": 40, **changes}
        settings = settings.model_copy(update=changes)
        calibration = family_peak_calibration(engine.network.score_kind)
        return kind(engine, settings, calibration, seed=seed, target=target)

    return made


@pytest.fixture(scope="module")
def frames(bright_frame):
    """Frames with a bright square that moves."""
    return [bright_frame((60 + 2 * t, 40 + t, 30, 24), t) for t in range(6)]


def track(tracker, frames, box=FIRST):
    return [tracker.init(frames[0], box), *(tracker.update(frame) for frame in frames[1:])]


def boxes(states):
    return np.array([state.box.array() for state in states])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_state_is_valid_and_the_frames_stay_as_they_are(make, frames, name):
    given = [frame.copy() for frame in frames]
    states = track(make(name), given)
    assert_array_equal(np.stack(given), np.stack(frames))
    for state in states:
        assert np.isfinite(state.box.array()).all()
        assert 0 <= state.score <= 1
        is_found = state.diagnostics.get("flag") != "not_found"
        assert state.measured == is_found
        assert not is_found or state.status is not Status.LOST


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("preset", ["default", "published"])
def test_the_same_seed_gives_the_same_boxes_and_another_one_others(make, frames, name, preset):
    loose = {"target_not_found_threshold": -1e9}
    first, again, other = (
        boxes(track(make(name, preset, seed=seed, **loose), frames)) for seed in (1, 1, 2)
    )
    assert_array_equal(first, again)
    assert (first != other).any()


def test_what_a_target_draws_hangs_on_its_name_and_the_frame_alone(make):
    def drawn(target, path):
        tracker = make("dimp18", target=target)
        for frame in path:
            tracker._draws.begin_frame(frame)
            values = tracker._draws.uniforms((3,))
        return values.tolist()

    assert drawn("a", [0, 1, 5]) == drawn("a", [5])
    assert drawn("a", [5]) != drawn("b", [5])
    assert drawn("a", [5]) != drawn("a", [6])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("preset", ["default", "published"])
def test_a_saved_state_goes_on_to_the_bit(make, frames, name, preset):
    changes = {"target_not_found_threshold": -1e9, "train_skipping": 2}
    if name == "atom18":
        changes["cg_forgetting_rate"] = 5.0
    whole, half = make(name, preset, **changes), make(name, preset, **changes)
    expected = boxes(track(whole, frames))[4:]
    track(half, frames[:4])
    other = make(name, preset, **changes)
    other.load_state_dict(half.state_dict())
    assert_array_equal(boxes([other.update(frame) for frame in frames[4:]]), expected)
    with pytest.raises(ValueError, match="format 4, got 7"):
        other.load_state_dict({"format": 7})


@pytest.mark.parametrize("name", ["prdimp18", "atom18"])
def test_targets_looked_up_together_are_where_they_are_alone(make, frames, name):
    loose = {"target_not_found_threshold": -1e9}
    alone = make(name, **loose), make(name, **loose)
    both = make(name, **loose).twin("a"), make(name, **loose).twin("b")
    places = FIRST, Box(20.0, 60.0, 20.0, 30.0)
    for group in (alone, both):
        for tracker, place in zip(group, places, strict=True):
            tracker.init(frames[0], place)
    engine = both[0].engine
    for frame in frames[1:3]:
        patches = [tracker.request(frame) for tracker in both]
        features = engine.features(np.concatenate(patches))
        found = [one.answer(features[k : k + 1]) for k, one in enumerate(both)]
        assert len(features) == 2
        assert all(np.isfinite(state.box.array()).all() for state in found)
    twin = make(name, target="a", **loose)
    expected = boxes(track(twin, frames[:3], places[0]))[-1]
    assert_allclose(found[0].box.array(), expected, atol=0.05)


@pytest.mark.parametrize("name", ["dimp18", "atom18"])
def test_grey_and_replicated_and_16_bit_frames_give_the_same_boxes(make, frames, name):
    streams = (
        frames,
        [frame[..., None] for frame in frames],
        [np.repeat(frame[..., None], 3, axis=2) for frame in frames],
    )
    tracks = [boxes(track(make(name), stream)) for stream in streams]
    assert_array_equal(tracks[0], tracks[1])
    assert_allclose(tracks[0], tracks[2], atol=1e-9)
    counts = [frame.astype(np.uint16) * 40 + 3000 for frame in frames]
    assert np.isfinite(boxes(track(make(name), counts))).all()


@pytest.mark.parametrize("name", ["dimp18", "atom18"])
def test_nothing_between_frames_hangs_on_a_graph_and_memory_stays_in_place(make, frames, name):
    tracker = make(name, target_not_found_threshold=-1e9, sample_memory_size=31, train_skipping=1)
    track(tracker, frames[:2])
    where = tracker.model.memory.samples.data_ptr()
    for t in range(40):
        tracker.update(frames[2 + t % 4])
    model = tracker.model
    tensors = [tensor for tensor in vars(model).values() if isinstance(tensor, torch.Tensor)]
    tensors += [*model.modulation, model.memory.samples]
    assert all(tensor.grad_fn is None and not tensor.requires_grad for tensor in tensors)
    assert model.memory.samples.data_ptr() == where
    assert len(model.memory.samples) == 31


class BrokenEngine(OnlineEngine):
    """Gives features that are not finite while ``broken``."""

    broken = False

    def features(self, patches):
        features = super().features(patches)
        if self.broken:
            features.classification[..., 0, 0] = torch.nan
        return features


@pytest.mark.parametrize("name", ["dimp18", "prdimp18", "atom18"])
def test_numbers_that_are_not_finite_are_an_error_as_published_and_survived_when_safe(
    make, engines, frames, name
):
    engine = BrokenEngine(engines(name).network)
    safe, published = make(name, engine=engine), make(name, "published", engine=engine)
    for tracker in (safe, published):
        track(tracker, frames[:2])
    place, learnt = safe._place, safe.model.filter
    engine.broken = True
    state = safe.update(frames[2])
    assert (state.status, state.reason) == (Status.LOST, Reason.NOT_FINITE)
    assert (state.measured, state.score) == (False, 0.0)
    assert safe._place is place
    assert safe.model.filter is learnt
    with pytest.raises(RunError, match="not finite"):
        published.update(frames[2])
    engine.broken = False
    assert np.isfinite(safe.update(frames[3]).box.array()).all()


def said(tracker, flag):
    """What the tracker says when its steps come to a flag."""
    found = Localisation(np.zeros(2), 0, flag, np.full((3, 3), 0.3))
    lesson = Lesson(torch.zeros(1), torch.zeros(4), found)
    located = located_at(tracker.place, lesson, 0.3, tracker.calibration, {})
    return tracker._report(located, located.diagnostics)


@pytest.mark.parametrize("flag", list(Flag))
def test_the_flag_is_said_and_only_a_target_that_was_found_is_measured(make, frames, flag):
    tracker = make()
    tracker.init(frames[0], FIRST)
    state = said(tracker, flag)
    assert state.measured == (flag is not Flag.NOT_FOUND)
    assert state.diagnostics["flag"] == str(flag)


def test_a_target_is_lost_when_it_was_not_found_three_times_in_a_row(make, frames):
    tracker = make()
    tracker.init(frames[0], FIRST)
    missing, found = Flag.NOT_FOUND, Flag.NORMAL
    statuses = [said(tracker, flag).status for flag in (missing, missing, found, missing, missing)]
    assert Status.LOST not in statuses
    assert said(tracker, missing).status is Status.LOST
    assert said(tracker, missing).status is Status.LOST
    assert said(tracker, found).status is Status.TRACKING
    assert said(tracker, missing).status is Status.UNCERTAIN


def test_a_lost_target_keeps_its_last_trusted_box_and_is_re_detected(make, frames):
    tracker = make()
    tracker.init(frames[0], FIRST)
    tracker._place = tracker._place.__class__(np.array([50.0, 70.0]), np.array([20.0, 20.0]), 0.5)
    assert said(tracker, Flag.UNCERTAIN).box != FIRST  # where it seems to be, not trusted
    for _ in range(3):
        assert said(tracker, Flag.NOT_FOUND).box == FIRST
    assert said(tracker, Flag.NORMAL).reason is Reason.RE_DETECTED


def test_a_first_box_whose_centre_is_outside_is_said_with_its_centre_inside(make, frames):
    tracker = make(target_not_found_threshold=1e9)
    tracker.init(frames[0], Box(-20.0, 40.0, 30.0, 24.0))
    state = tracker.update(frames[1])
    assert not state.measured
    assert state.box == Box(-15.0, 40.0, 30.0, 24.0)


def test_a_target_lost_at_the_border_is_out_of_view(make, frames):
    tracker = make()
    tracker.init(frames[0], Box(0.0, 40.0, 30.0, 24.0))
    assert said(tracker, Flag.NOT_FOUND).reason is Reason.OUT_OF_VIEW


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (np.zeros((120, 160), np.uint8), Reason.BLACK_FRAME),
        (np.full((120, 160), 90, np.uint8), Reason.CONSTANT_FRAME),
        (np.zeros((90, 160), np.uint8), Reason.DAMAGED_FRAME),
        (np.zeros((3,), np.uint8), Reason.DAMAGED_FRAME),
    ],
)
def test_a_bad_frame_repeats_the_box_and_changes_no_model(make, frames, bad, reason):
    tracker = make()
    track(tracker, frames[:2])
    place, filter_ = tracker._place, tracker.model.filter
    assert tracker.request(bad) is None
    state = tracker.answer(None)
    assert (state.measured, state.reason) == (False, reason)
    assert tracker._place is place
    assert tracker.model.filter is filter_


def test_published_presets_refuse_a_frame_of_another_size(make, frames):
    tracker = make(preset="published")
    tracker.init(frames[0], FIRST)
    with pytest.raises(FrameError, match=r"\[90, 160\] follows frames of \[120, 160\]"):
        tracker.update(frames[1][:90])


@pytest.mark.parametrize("box", [Box(0, 0, 0, 5), Box(0, 0, np.nan, 5), Box(900, 900, 9, 9)])
def test_a_first_box_that_cannot_be_tracked_is_refused_before_any_work(make, frames, box):
    with pytest.raises(FrameError, match="box"):
        make().init(frames[0], box)


def test_the_order_of_calls_is_kept(make, frames):
    tracker = make()
    for call in (lambda: tracker.update(frames[0]), lambda: tracker.skip(1), tracker.state_dict):
        with pytest.raises(RuntimeError, match="call init"):
            call()
    tracker.init(frames[0], FIRST)
    with pytest.raises(RuntimeError, match="call request"):
        tracker.answer(None)


def raw_peak(score, calibration):
    return calibration.peak_centre + calibration.peak_scale * np.log(score / (1 - score))


@pytest.fixture(scope="module")
def moved(frames):
    """A frame in which all is elsewhere."""
    return np.roll(frames[1], (40, 60), axis=(0, 1))


@pytest.fixture
def gap(make, frames, moved, monkeypatch):
    """A tracker before a frame that follows a gap. Its wider look leads to a place where its target
    model sees more than at the usual one; the threshold lies between.
    """

    def begin(name, *, seen=None, share=0.5):
        tracker = make(name, target_not_found_threshold=-1e9)
        tracker.init(frames[0], FIRST)
        levels = tracker._levels(moved)
        size = FIRST.w, FIRST.h
        places = [FIRST.center_xy, *[(x, y) for x in (30.0, 80.0, 130.0) for y in (25.0, 95.0)]]
        scores = [tracker.probe(levels, place, size).score for place in places]
        best = int(np.argmax(scores))
        assert best, "another texture is needed"
        low, high = (raw_peak(score, tracker.calibration) for score in (scores[0], scores[best]))
        between = {"target_not_found_threshold": low + share * (high - low)}
        tracker.settings = tracker.settings.model_copy(update=between)
        there = Box(places[best][0] - 5, places[best][1] - 5, 10.0, 10.0)
        sight, wide = tracker.probe, []

        def led(levels, center_xy, size_wh):
            wide.append(size_wh)
            return Candidate(there, 0.1) if seen is None else seen(sight, there)

        monkeypatch.setattr(tracker, "probe", led)
        return tracker, there, wide

    return begin


@pytest.mark.parametrize("name", ["dimp18", "atom18"])
def test_a_target_that_a_gap_moved_away_is_measured_where_a_wider_region_shows_it(
    gap, frames, moved, name
):
    tracker, there, wide = gap(name)
    before = tracker.twin("same")
    before.load_state_dict(tracker.state_dict())
    assert not before.update(moved).measured, "no frame was left out"
    tracker.skip(4)
    state = tracker.update(moved)
    assert state.measured
    assert np.abs(np.array(state.box.center_xy) - there.center_xy).max() < 40
    assert_allclose(wide, [(1.6 * FIRST.w, 1.6 * FIRST.h)])
    filters = [one.state_dict()["model"]["filter"] for one in (tracker, before)]
    if name == "dimp18":
        assert_array_equal(*filters)  # such a frame is not learnt from
    tracker.update(frames[2])
    assert len(wide) == 1, "the gap is over"


def test_a_target_that_no_region_shows_after_a_gap_is_sought_where_it_was(gap, frames):
    for seen in (lambda sight, there: None, lambda sight, there: Candidate(FIRST, 0.1)):
        tracker, _, wide = gap("dimp18", seen=seen, share=10.0)
        state = tracker.state_dict()
        state["motion"]["velocity_xy"] = (10.0, 0.0)
        tracker.load_state_dict(state)
        tracker.skip(4)
        assert not tracker.update(frames[1]).measured
        assert len(wide) == 1
        assert tracker.place.center_xy == pytest.approx(FIRST.center_xy)


@pytest.mark.parametrize("name", ["dimp18", "atom18"])
def test_a_memory_too_small_for_the_first_samples_is_refused(make, frames, name):
    with pytest.raises(RecipeError, match="sample_memory_size: at least"):
        make(name, sample_memory_size=10).init(frames[0], FIRST)


@pytest.mark.parametrize("name", ["dimp18", "superdimp50", "atom18"])
def test_frames_smaller_than_a_patch_and_targets_larger_than_the_frame_are_tracked(make, name):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (4, 9, 8), dtype=np.uint8)
    for box in (Box(2.0, 2.0, 3.0, 3.0), Box(-3.0, -3.0, 12.0, 14.0)):
        for state in track(make(name, target_not_found_threshold=-1e9), frames, box)[1:]:
            cx, cy = state.box.center_xy
            assert 0 <= cx <= 8
            assert 0 <= cy <= 9
            assert 2 <= state.box.w <= 8
            assert 2 <= state.box.h <= 9
