"""An engine that passed its trial and fails later: a run begins with the reference instead, and
none changes its engine on the way.
"""

from __future__ import annotations

import itertools
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from tirtrack.boxes import Box
from tirtrack.errors import EngineError, EngineMemoryError
from tirtrack.inference import onnxruntime
from tirtrack.trackers.base import Reason
from tirtrack.trackers.loading import load, load_tracker
from tirtrack.trackers.multi import MultiTracker
from tirtrack.tracking import Ending, TrackStoppedError, track
from tirtrack.weights import engine_choice, runtimes, store
from tirtrack.weights.engine_choice import engine_facts

WEIGHTS = "nano-tir"
BOX = Box(30, 40, 16, 12)
_tests = itertools.count()


class Breaking:
    """OpenVINO as if installed, in every trial the faster one: ONNX Runtime in its place, which
    cannot open a graph or breaks at a call.
    """

    def __init__(self):
        self.opens, self.calls_left = True, 10**6
        self.fault = "Exception from src/plugin.cpp:\n[CPU] no kernel"

    def runner(self, graph, folder, threads):
        with runtimes._as_run_errors("openvino"):
            if not self.opens:
                raise RuntimeError(self.fault)
        return partial(self.run, runtimes.session(graph, threads=threads))

    def run(self, session, inputs):
        self.calls_left -= 1
        with runtimes._as_run_errors("openvino"):
            if self.calls_left < 0:
                raise RuntimeError("[CPU] primitive failed")
        return session.run(None, inputs)


@pytest.fixture
def openvino(monkeypatch):
    fake, name = Breaking(), f"processor of failure {next(_tests)}"
    times = {"onnx": [4.0, 4.0], "openvino": [2.0, 2.0]}
    monkeypatch.setattr(runtimes, "_openvino_runner", fake.runner)
    monkeypatch.setattr(engine_choice, "processor", lambda: name)
    monkeypatch.setattr(engine_choice, "has_openvino", lambda: True)
    monkeypatch.setattr(engine_choice, "openvino", lambda: None)
    monkeypatch.setattr(engine_choice, "runtime_version", lambda engine: "1.0")
    monkeypatch.setattr(
        engine_choice, "_times_ms", lambda graphs, engines: {one: times[one] for one in engines}
    )
    return fake


def scenes(count):
    """A bright thing that moves to the right before noise, ``[count,96,128]`` uint8."""
    frames = np.random.default_rng(3).integers(60, 90, (count, 96, 128), np.uint8)
    for index, frame in enumerate(frames):
        frame[40:52, 30 + index : 46 + index] = 210
    return frames


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "night").mkdir()
    for index, frame in enumerate(scenes(8)):
        Image.fromarray(frame).save(tmp_path / "night" / f"{index}.png")
    return tmp_path / "night"


def rows_of(run):
    return [(row.box, row.score, row.status) for row in run.rows]


def test_a_run_whose_engine_cannot_begin_is_one_of_the_reference(openvino, folder, caplog):
    assert track(folder, BOX, weights=WEIGHTS).summary.engine == "openvino"
    openvino.opens = False
    runs = [track(folder, BOX, weights=WEIGHTS) for _ in range(2)]
    named = track(folder, BOX, weights=WEIGHTS, engine="onnx")
    for run in runs:
        assert (run.summary.engine, run.summary.ending) == ("onnx", Ending.COMPLETE)
        assert run.summary.fingerprint == named.summary.fingerprint
        assert rows_of(run) == rows_of(named)
    said = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert said == [
        "the engine openvino is not used with these weights: openvino cannot run this graph on "
        "this processor ([CPU] no kernel)"
    ]
    facts = engine_facts(store.find(WEIGHTS))
    assert facts["track"] == "onnx"
    assert facts["trials"]["openvino"]["fault"].endswith("([CPU] no kernel)")


def test_a_run_whose_engine_breaks_on_the_way_stops_and_the_next_begins_with_the_reference(
    openvino, folder, tmp_path, caplog
):
    assert track(folder, BOX, weights=WEIGHTS).summary.engine == "openvino"
    openvino.calls_left = 4  # the template and three frames
    with pytest.raises(
        TrackStoppedError, match=r"primitive failed\); choose the engine onnx"
    ) as was:
        track(folder, BOX, weights=WEIGHTS, out=tmp_path / "out")
    assert len(was.value.run.rows) == 4
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["engine"], summary["ending"]) == ("openvino", "failed")
    assert "the engine openvino is not used with these weights" in caplog.text
    assert track(folder, BOX, weights=WEIGHTS).summary.engine == "onnx"


@pytest.mark.parametrize("is_tried", [True, False], ids=["after its trial", "in its trial"])
@pytest.mark.parametrize("fault", ["std::bad_alloc", "[CPU]\nCannot allocate memory"])
def test_an_engine_that_ran_out_of_memory_is_tried_again_by_the_next_run(
    openvino, folder, caplog, fault, is_tried
):
    if is_tried:
        assert track(folder, BOX, weights=WEIGHTS).summary.engine == "openvino"
    openvino.opens, openvino.fault = False, fault
    assert track(folder, BOX, weights=WEIGHTS).summary.engine == "onnx"
    said = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert said == [
        "the engine openvino is not used with these weights: openvino ran out of memory"
    ]
    openvino.opens = True
    assert track(folder, BOX, weights=WEIGHTS).summary.engine == "openvino"
    assert engine_facts(store.find(WEIGHTS))["trials"]["openvino"]["fault"] is None


class Failing:
    """A session of ONNX Runtime that fails in calls."""

    def run(self, names, inputs):
        raise onnxruntime().capi.onnxruntime_pybind11_state.RuntimeException(
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for 9 bytes."
        )


@pytest.mark.parametrize("engine", [None, "onnx"])
def test_the_reference_that_fails_ends_the_run_with_one_sentence_and_is_never_left_out(
    openvino, folder, monkeypatch, caplog, engine
):
    openvino.opens = False
    assert track(folder, BOX, weights=WEIGHTS).summary.engine == "onnx"
    caplog.clear()
    with monkeypatch.context() as broken:
        broken.setattr(runtimes, "session", lambda graph, threads: Failing())
        with pytest.raises(EngineMemoryError, match=r"^onnxruntime ran out of memory; let other"):
            track(folder, BOX, weights=WEIGHTS, engine=engine)
    assert "is not used" not in caplog.text
    assert engine_facts(store.find(WEIGHTS))["trials"]["onnx"]["fault"] is None
    assert track(folder, BOX, weights=WEIGHTS).summary.engine == "onnx"


def test_a_graph_that_onnx_runtime_cannot_open_is_one_sentence(tmp_path):
    with pytest.raises(EngineError, match=r"onnxruntime cannot run this graph.*choose the engine"):
        runtimes.open_graph("onnx", b"no graph", folder=tmp_path)


def test_a_named_engine_that_fails_is_an_error_and_nothing_else_runs(openvino, folder):
    track(folder, BOX, weights=WEIGHTS)
    openvino.opens = False
    with pytest.raises(EngineError, match=r"no kernel\); choose the engine onnx"):
        track(folder, BOX, weights=WEIGHTS, engine="openvino")
    assert engine_facts(store.find(WEIGHTS))["track"] == "openvino"


@pytest.mark.parametrize("make", [load, load_tracker], ids=["with re-detection", "without"])
def test_a_broken_engine_is_no_lost_target(openvino, make):
    frames = scenes(4)
    tracker = make(WEIGHTS, engine="openvino")
    tracker.init(frames[0], BOX)
    assert tracker.update(frames[1]).reason is not Reason.NOT_FINITE
    openvino.calls_left = 0
    for frame in frames[2:]:
        with pytest.raises(EngineError, match="primitive failed"):
            tracker.update(frame)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_broken_engine_is_an_error_of_all_targets(openvino, threads):
    frames = scenes(3)
    tracker = MultiTracker(load_tracker(WEIGHTS, engine="openvino"), threads=threads)
    for name in ("a", "b", "c"):
        tracker.add(name, BOX, frames[0])
    openvino.calls_left = 1
    with pytest.raises(EngineError, match="primitive failed"):
        tracker.update(frames[1])
    openvino.calls_left = 10**6
    assert [one.reason for one in tracker.update(frames[2]).values()].count(Reason.FAILED) == 0
