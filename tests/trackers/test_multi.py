"""Several targets: each as if it were alone, whatever happens to the others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.boxes import Box, iou
from tirtrack.errors import FrameError, RequestError, StreamChangedError
from tirtrack.trackers import siamese
from tirtrack.trackers.base import Reason, Status
from tirtrack.trackers.box_refinement import Climb
from tirtrack.trackers.dimp import Improvement
from tirtrack.trackers.frame_gate import FrameGate
from tirtrack.trackers.loading import load_tracker
from tirtrack.trackers.multi import MultiTracker
from tirtrack.trackers.siamese_localisation import localise
from tirtrack.trackers.state_file import load_state, save_state

WIDTH, HEIGHT, FRAMES = 320, 256, 51


def place(k, t):
    """Box of target ``k`` in frame ``t``: four things that go round in their own corners."""
    x = 60 + 160 * (k % 2) + 18 * np.sin(t / (7 + k))
    y = 50 + 120 * (k // 2) + 14 * np.cos(t / (9 + k))
    return Box(float(round(x)), float(round(y)), 22.0 + 4 * k, 30.0 - 3 * k)


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(11)
    floor = rng.integers(40, 90, (HEIGHT // 8, WIDTH // 8)).repeat(8, 0).repeat(8, 1)
    skins = [rng.integers(130, 250, (int(b.h), int(b.w))) for b in (place(k, 0) for k in range(4))]
    made = []
    for t in range(FRAMES):
        frame = floor + rng.integers(0, 8, floor.shape)
        for k, skin in enumerate(skins):
            x, y = int(place(k, t).x), int(place(k, t).y)
            frame[y : y + skin.shape[0], x : x + skin.shape[1]] = skin
        made.append(frame.astype(np.uint8))
    return made


@pytest.fixture(scope="module")
def prototype():
    return load_tracker("nano-tir")


@pytest.fixture(scope="module")
def alone(prototype, frames):
    """States of four trackers of their own, ``alone[k][t]``."""
    runs = []
    for k in range(4):
        tracker = prototype.twin("alone")
        tracker.init(frames[0], place(k, 0))
        runs.append([tracker.update(frame) for frame in frames[1:]])
    return runs


class Counting:
    """An engine, and how often it was asked for a pass of the backbone."""

    def __init__(self, engine):
        self._engine, self.cells, self.passes = engine, engine.cells, []

    def template(self, patch):
        return self._engine.template(patch)

    def compare(self, template, features):
        return self._engine.compare(template, features)

    def search(self, template, patch):
        self.passes.append(1)
        return self._engine.search(template, patch)

    def features(self, patches):
        self.passes.append(len(patches))
        return self._engine.features(patches)


def of_four(prototype, frames, **options):
    tracker = MultiTracker(prototype, **options)
    for k in range(4):
        tracker.add(k, place(k, 0), frames[0])
    return tracker


def boxes(states):
    return np.array([state.box.array() for state in states])


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
@pytest.mark.parametrize("threads", [1, 3])
def test_targets_in_threads_are_as_trackers_alone_to_the_bit(engine, threads, frames):
    prototype = load_tracker("nano-tir", engine=engine)
    alone = [prototype.twin("alone") for _ in range(4)]
    for k, tracker in enumerate(alone):
        tracker.init(frames[0], place(k, 0))
    together = of_four(prototype, frames, threads=threads)
    for frame in frames[1:20]:
        assert list(together.update(frame).values()) == [one.update(frame) for one in alone]


@pytest.fixture
def in_threads(frames, monkeypatch):
    """Makes targets in two threads, and their engine; ``beside(template)`` is called by each thread
    that is about to run the network for one of them.
    """

    def make(beside):
        prototype = load_tracker("nano-tir")
        run = prototype.engine._search_grey

        def runner(inputs):
            beside(inputs["template"][0])
            return run(inputs)

        monkeypatch.setitem(vars(prototype.engine), "_search_grey", runner)
        return of_four(prototype, frames, threads=2), prototype.engine

    return make


def test_networks_of_targets_run_at_the_same_time_in_the_callers_thread_too(in_threads, frames):
    both_are_here, here = threading.Barrier(2, timeout=60), set()

    def beside(template):
        here.add(threading.current_thread())
        both_are_here.wait()

    tracker, _ = in_threads(beside)
    states = tracker.update(frames[1])
    assert {state.status for state in states.values()} == {Status.TRACKING}
    assert len(here) == 2
    assert threading.current_thread() in here


def test_targets_take_turns_with_all_but_the_network(in_threads, frames, monkeypatch):
    holds = []

    def holds_turn():
        held = engine.turn.leave()
        return held and bool(engine.turn.__enter__())

    def localised(*given, **more):
        holds.append(holds_turn())
        return localise(*given, **more)

    monkeypatch.setattr(siamese, "localise", localised)
    tracker, engine = in_threads(lambda template: holds.append(not holds_turn()))
    tracker.update(frames[1])
    assert holds == [True] * 8


def test_a_slow_target_holds_up_no_other(in_threads, frames):
    slow, others = [], threading.Semaphore(0)

    def beside(template):
        if not np.array_equal(template, slow[0]):
            others.release()
            return
        for _ in range(3):
            assert others.acquire(timeout=60)

    tracker, _ = in_threads(beside)
    slow.append(tracker.state_dict()["targets"][0]["tracker"]["model"]["template"])
    states = tracker.update(frames[1])
    assert {state.status for state in states.values()} == {Status.TRACKING}


def test_what_goes_wrong_in_a_thread_stays_with_its_target(in_threads, frames, alone):
    broken = []

    def beside(template):
        if np.array_equal(template, broken[0]):
            raise ZeroDivisionError("this one alone")

    tracker, engine = in_threads(beside)
    broken.append(tracker.state_dict()["targets"][1]["tracker"]["model"]["template"])
    for t in range(1, 4):
        states = tracker.update(frames[t])
        assert states[1].diagnostics == {"failure": "this one alone"}
        assert [states[k] for k in (0, 2, 3)] == [alone[k][t - 1] for k in (0, 2, 3)]
    assert engine.turn.leave() is False
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(engine.turn.__enter__).result(60)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_target_in_threads_meets_the_frame_that_changes_the_stream(
    prototype, frames, threads, monkeypatch
):
    tracker = of_four(prototype, frames, threads=threads)
    tracker.update(frames[1][:-2])
    met, check = [], FrameGate.check
    monkeypatch.setattr(
        FrameGate,
        "check",
        lambda gate, *given, **more: met.append(gate) or check(gate, *given, **more),
    )
    with pytest.raises(StreamChangedError):
        tracker.update(frames[2][:-2])
    assert len({id(gate) for gate in met}) == 4


def test_no_threads_are_refused(prototype):
    with pytest.raises(RequestError, match="threads must be at least 1, not 0"):
        MultiTracker(prototype, threads=0)


def test_unbatched_targets_are_as_trackers_alone_to_the_bit(prototype, frames, alone):
    own = prototype.twin("own")
    own.engine = Counting(prototype.engine)
    tracker = of_four(own, frames, batched=False)
    found = [tracker.update(frame) for frame in frames[1:]]
    assert own.engine.passes == [1] * 200
    for k in range(4):
        assert [states[k] for states in found] == alone[k]
    assert iou(alone[3][-1].box.array(), place(3, FRAMES - 1).array()) > 0.5


def test_batched_targets_share_one_pass_and_stay_within_a_twentieth_of_a_pixel(
    prototype, frames, alone
):
    counting = prototype.twin("counting")
    counting.engine = Counting(prototype.engine)
    tracker = of_four(counting, frames, batched=True)
    found = [tracker.update(frame) for frame in frames[1:]]
    assert counting.engine.passes == [4] * 50
    for k in range(4):
        assert_allclose(boxes(states[k] for states in found), boxes(alone[k]), atol=0.05)


def test_in_every_family_a_batched_step_is_the_step_of_trackers_alone(one_family, frames):
    name, family = one_family
    as_seen = [np.repeat(frame[..., None], 3, axis=2) for frame in frames[:9]]
    together, apart = (of_four(family, as_seen, batched=batched) for batched in (True, False))
    for frame in as_seen[1:]:  # untrained networks: one step from the same state
        apart.load_state_dict(together.state_dict())
        found, expected = together.update(frame), apart.update(frame)
        assert_allclose(boxes(found.values()), boxes(expected.values()), atol=0.05, err_msg=name)
        assert [state.status for state in found.values()] == [
            state.status for state in expected.values()
        ]


@given(data=st.data())
@settings(max_examples=12)
def test_coming_and_going_of_others_changes_no_box(bright_tracker, bright_frame, data):
    batched = data.draw(st.booleans())
    pictures = [bright_frame((40 + t, 30 + t / 2, 20, 20), t) for t in range(12)]
    single = bright_tracker()
    single.init(pictures[0], Box(40, 30, 20, 20))
    tracker = MultiTracker(bright_tracker(), batched=batched)
    others = st.sampled_from(["a", "b", "c"])
    for name in data.draw(st.permutations(["mine", "a"])):
        tracker.add(name, Box(40, 30, 20, 20) if name == "mine" else Box(90, 60, 15, 25))
    tracker.update(pictures[0])
    for t in range(1, 12):
        change, name = data.draw(st.sampled_from(["add", "remove", "reset", ""])), data.draw(others)
        box = Box(data.draw(st.floats(0, 120)), data.draw(st.floats(0, 90)), 30.0, 22.0)
        if change == "add" and name not in tracker.targets:
            tracker.add(name, box, data.draw(st.sampled_from([None, pictures[t - 1]])))
        elif change and change != "add" and name in tracker.targets:
            tracker.remove(name) if change == "remove" else tracker.reset(name, box)
        assert tracker.update(pictures[t])["mine"] == single.update(pictures[t])


def test_the_order_of_adding_does_not_matter(prototype, frames):
    runs = []
    for order in ([0, 1, 2], [2, 0, 1]):
        tracker = MultiTracker(prototype, batched=False)
        for k in order:
            tracker.add(k, place(k, 0))
        found = [tracker.update(frame) for frame in frames[:8]]
        assert list(found[-1]) == order
        runs.append([[states[k] for k in range(3)] for states in found])
    assert runs[0] == runs[1]


class Breaking(Counting):
    """Fails for the patches of a target that is told by its template."""

    broken = None

    def compare(self, template, features):
        self._check(template)
        return super().compare(template, features)

    def search(self, template, patch):
        self._check(template)
        return super().search(template, patch)

    def _check(self, template):
        if self.broken is not None and np.array_equal(template, self.broken):
            raise ZeroDivisionError("this one alone")


@pytest.mark.parametrize("batched", [True, False])
def test_what_goes_wrong_in_one_stays_there(prototype, frames, alone, batched, caplog):
    own = prototype.twin("own")
    own.engine = Breaking(prototype.engine)
    tracker = of_four(own, frames, batched=batched)
    own.init(frames[0], place(1, 0))
    own.engine.broken = own.state_dict()["model"]["template"]
    for t in range(1, 4):
        states = tracker.update(frames[t])
        assert (states[1].status, states[1].reason) == (Status.LOST, Reason.FAILED)
        assert states[1].diagnostics == {"failure": "this one alone"}
        assert (states[1].box, states[1].measured) == (place(1, 0), False)
        assert_allclose(states[2].box.array(), alone[2][t - 1].box.array(), atol=0.05)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    own.engine.broken = None
    tracker.reset(1, place(1, 3))
    assert tracker.update(frames[3])[1].score == 1.0
    assert tracker.update(frames[4])[1].status is Status.TRACKING


def test_a_failed_pass_of_all_is_repeated_one_by_one(prototype, frames, alone, caplog):
    class Small(Counting):
        def features(self, patches):
            if len(patches) > 1:
                raise MemoryError("too many at once")
            return super().features(patches)

    own = prototype.twin("own")
    own.engine = Small(prototype.engine)
    states = of_four(own, frames, batched=True).update(frames[1])
    assert own.engine.passes == [1] * 4
    assert_allclose(boxes(states.values()), boxes(run[0] for run in alone), atol=0.05)
    assert "4 targets failed" in caplog.text


@pytest.mark.parametrize("batched", [True, False])
def test_a_changed_stream_is_an_error_of_all_and_fails_no_target(prototype, frames, batched):
    tracker = of_four(prototype, frames, batched=batched)
    states = tracker.update(frames[1][:-2])
    assert {state.reason for state in states.values()} == {Reason.DAMAGED_FRAME}
    for _ in range(2):
        with pytest.raises(StreamChangedError, match="begin anew with init where they change"):
            tracker.update(frames[2][:-2])
    states = tracker.update(frames[2])
    assert {state.status for state in states.values()} == {Status.TRACKING}


def test_a_first_box_outside_the_frame_fails_alone_or_at_once(prototype, frames):
    tracker = MultiTracker(prototype)
    tracker.add("good", place(0, 0))
    tracker.add("bad", Box(900.0, 40.0, 20.0, 20.0))
    states = tracker.update(frames[0])
    assert states["good"].status is Status.TRACKING
    assert states["bad"].reason is Reason.FAILED
    assert "lies 100% outside the frame" in states["bad"].diagnostics["failure"]
    with pytest.raises(FrameError, match="outside the frame"):
        tracker.add("worse", Box(900.0, 40.0, 20.0, 20.0), frames[0])
    with pytest.raises(FrameError, match="not finite"):
        tracker.add("worst", Box(float("nan"), 40.0, 20.0, 20.0))
    assert tracker.targets == ("good", "bad")


def test_reset_keeps_the_template_if_asked(prototype, frames):
    tracker = of_four(prototype, frames, batched=True)
    states = tracker.reset(0, place(1, 0), keep_template=True)
    assert (states.box, states.reason) == (place(1, 0), Reason.RE_DETECTED)
    kept = tracker.state_dict()["targets"]
    assert_array_equal(kept[0]["tracker"]["model"]["template"], of_template(prototype, frames, 0))
    tracker.reset(0, place(1, 0), frames[0])
    begun = tracker.state_dict()["targets"]
    assert_array_equal(begun[0]["tracker"]["model"]["template"], of_template(prototype, frames, 1))


def of_template(prototype, frames, k):
    tracker = prototype.twin("template")
    tracker.init(frames[0], place(k, 0))
    return tracker.state_dict()["model"]["template"]


def test_names_must_be_new_or_known(prototype):
    tracker = MultiTracker(prototype)
    with pytest.raises(RequestError, match='no target "left"'):
        tracker.remove("left")
    tracker.add("left", place(0, 0))
    with pytest.raises(RequestError, match='a target "left" already; remove or reset'):
        tracker.add("left", place(1, 0))
    with pytest.raises(RequestError, match='no target "lefd"; did you mean "left"'):
        tracker.reset("lefd", place(1, 0))
    tracker.remove("left")
    assert tracker.targets == ()
    assert tracker.update(np.full((96, 96), 7, np.uint8)) == {}


def test_all_targets_go_on_from_a_file_to_the_bit(prototype, frames, tmp_path):
    whole = of_four(prototype, frames, batched=False)
    for frame in frames[1:10]:
        whole.update(frame)
    whole.add("late", place(2, 10))
    save_state(whole, tmp_path / "all.safetensors")
    second = MultiTracker(load_tracker("nano-tir"), batched=False)
    load_state(second, tmp_path / "all.safetensors")
    for frame in frames[10:20]:
        assert second.update(frame) == whole.update(frame)
    with pytest.raises(RequestError, match="format 1, got 8"):
        broken_version(second, tmp_path)


def broken_version(tracker, folder):
    state = tracker.state_dict()
    tracker.state_dict = lambda: {**state, "format": 8}
    save_state(tracker, folder / "new.safetensors")
    load_state(tracker, folder / "new.safetensors")


def test_skipped_frames_are_told_to_all_that_have_begun(prototype, frames):
    tracker = of_four(prototype, frames, batched=True)
    tracker.add("waits", place(0, 5))
    tracker.skip(4)
    saved = tracker.state_dict()["targets"]
    assert [one["tracker"]["motion"]["skipped"] for one in saved[:4]] == [4] * 4
    assert len(tracker.update(frames[5])) == 5


@pytest.fixture
def on_schedule(families):
    """Makes several targets of a family that learn every second frame and at no other time."""

    def make(family, **options):
        prototype = families[family].twin("any")
        alone = {"advanced_localization": False, "train_skipping": 2}
        prototype.settings = prototype.settings.model_copy(update=alone)
        return MultiTracker(prototype, **options)

    return make


def learners(tracker, frames):
    """How many targets learn in each frame."""
    return [
        sum(bool(one.diagnostics.get("iterations")) for one in tracker.update(frame).values())
        for frame in frames
    ]


@pytest.mark.parametrize("family", ["dimp18", "atom18"])
@pytest.mark.parametrize("staggered", [False, True])
def test_staggered_targets_take_turns_to_learn(on_schedule, frames, family, staggered):
    tracker = on_schedule(family, staggered=staggered)
    for k in range(2):
        tracker.add(k, place(k, 0), frames[0])
    learnt = learners(tracker, frames[1:6])
    assert sum(learnt) >= 4
    assert max(learnt) == (1 if staggered else 2), learnt


def test_turns_hold_when_targets_begin_anew(on_schedule, frames):
    tracker = on_schedule("atom18", staggered=True)
    for k in range(2):
        tracker.add(k, place(k, 0), frames[0])
    tracker.update(frames[1])
    tracker.reset(1, place(1, 1), frames[1])
    tracker.update(frames[2])
    tracker.remove(0)
    tracker.add("new", place(0, 2), frames[2])
    learnt = learners(tracker, frames[3:7])
    assert max(learnt) == min(learnt) == 1, learnt


def test_turns_hold_for_targets_that_come_later_and_after_a_load(on_schedule, frames):
    first = on_schedule("atom18", staggered=True)
    first.add("a", place(0, 0), frames[0])
    first.update(frames[1])
    first.add("b", place(1, 2))  # begins in the next frame
    tracker = on_schedule("atom18", staggered=True)
    tracker.load_state_dict(first.state_dict())
    learnt = learners(tracker, frames[2:8])
    assert learnt == learners(first, frames[2:8])
    assert max(learnt[1:]) == min(learnt[1:]) == 1, learnt


def boxes_of_two(tracker, frames):
    for k in range(2):
        tracker.add(k, place(k, 0), frames[0])
    states = [tracker.update(frame) for frame in frames[1:4]]
    return [[state.box.array() for state in one.values()] for one in states]


@pytest.mark.parametrize("family", ["dimp18", "prdimp18", "dimp-lite", "atom18"])
def test_boxes_climb_and_filters_improve_together(on_schedule, frames, family, monkeypatch):
    alone = boxes_of_two(on_schedule(family, batched=False), frames)
    counts = {kind: [] for kind in (Climb, Improvement)}
    for kind, noted in counts.items():
        done = kind.done
        monkeypatch.setattr(
            kind,
            "done",
            lambda works, done=done, noted=noted: noted.append(len(works)) or done(works),
        )
    shared = boxes_of_two(on_schedule(family), frames)
    assert_allclose(shared[0], alone[0], atol=0.05)  # the first step, from the same state
    assert 2 in counts[Climb]
    assert 1 not in counts[Climb]
    if family != "atom18":  # whose filter is learnt by a loop of its own
        assert set(counts[Improvement]) == {2}


def test_work_that_fails_together_fails_only_where_it_is_at_fault(on_schedule, frames, monkeypatch):
    tracker = on_schedule("dimp18")
    for k in range(2):
        tracker.add(k, place(k, 0), frames[0])
    done, odd = Climb.done, tracker._targets[1].tracker.model.modulation[0]

    def fails(works):
        if any(work.modulation[0] is odd for work in works):
            raise ValueError("at fault")
        return done(works)

    monkeypatch.setattr(Climb, "done", fails)
    states = tracker.update(frames[1])
    assert states[0].measured
    assert states[1].diagnostics["failure"] == "at fault"
