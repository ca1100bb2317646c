"""Engines are those that are installed; a row says what its ratio is to."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import track_speed
from benchmarks.interleaved import Spread, Times
from benchmarks.speed_goals import Case
from benchmarks.start_up import StartUp
from benchmarks.track_speed import OPENCV, Network, network_of, row_of, table_lines, usable_engines
from tirtrack.errors import RequestError, WeightsError

NANO = Network("nano-rgb", "nano-rgb", is_random=False)


def only(*installed: str):
    """A loader of trackers for which only these engines are installed."""

    def load(weights, *, engine, threads, overrides):
        if engine not in installed:
            raise RequestError(f"the engine {engine} is not installed")

    return load


def test_engines_are_those_that_load(monkeypatch):
    monkeypatch.setattr(track_speed, "ENGINES", ("onnx", "openvino", "torch"))
    monkeypatch.setattr(track_speed, "load_tracker", only("onnx", "torch"))
    usable, left_out = usable_engines(NANO)
    assert usable == ["onnx", "torch"]
    assert left_out == {"nano-rgb, openvino": "the engine openvino is not installed"}


def test_a_network_that_no_engine_runs_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(track_speed, "ENGINES", ("onnx",))
    monkeypatch.setattr(track_speed, "load_tracker", only())
    with pytest.raises(RequestError, match="nano-rgb: no engine runs it: the engine onnx is not"):
        usable_engines(NANO)


def test_an_architecture_gets_random_weights_and_always_finds_its_target(tmp_path):
    network = network_of("dimp-lite", tmp_path)
    assert {"onnx", "torch"} <= set(usable_engines(network)[0])
    tracker = network.tracker("torch", 1)
    assert tracker.settings.target_not_found_threshold == -1e9
    assert network_of("nano-rgb", tmp_path) == Network(
        "nano-rgb", str(track_speed.store.find("nano-rgb")), is_random=False
    )
    with pytest.raises(WeightsError):
        network_of("no-such", tmp_path)


def times(processor: float, wall: float) -> Times:
    return Times(np.full(15, processor), np.full(15, wall))


ONE, FOUR = Case("nano-rgb", "onnx", 1, "colour"), Case("nano-rgb", "onnx", 2, "colour", 4)
TIMES = {str(OPENCV): times(6.0, 8.0), str(ONE): times(4.0, 4.0), str(FOUR): times(12.0, 6.0)}


def test_one_target_is_compared_with_opencv_and_more_is_faster():
    row = row_of(ONE, TIMES)
    assert (row.ahead.processor.median, row.ahead.wall.median) == (1.5, 2.0)
    assert row.times_one is None


def test_four_targets_are_compared_with_one_on_one_thread_and_more_is_slower():
    row = row_of(FOUR, TIMES)
    assert (row.times_one.processor.median, row.times_one.wall.median) == (3.0, 1.5)
    assert row.ahead is None


def test_without_opencv_there_are_times_and_no_ratio():
    alone = {name: one for name, one in TIMES.items() if name != str(OPENCV)}
    row = row_of(ONE, alone)
    assert row.ms.processor == Spread(4.0, 4.0, 4.0)
    assert row.ahead is None
    *_, line = table_lines([row], [])
    assert line.split("  ")[0] == "nano-rgb, onnx, 1 threads, colour"
    assert line.count("(") == 2


def test_the_table_ends_with_starts_and_memory():
    *_, line = table_lines([], [StartUp("nano-rgb", "onnx", 3.21, 0.42, 187.0)])
    assert line == "nano-rgb, onnx: first use 3.21 s, later 0.42 s, 187 MB"


def test_opencv_that_lacks_its_weights_says_which(tmp_path):
    pytest.importorskip("cv2")
    frames = track_speed.moving_target()
    with pytest.raises(RequestError, match=r"nanotrack_v2_backbone\.onnx: no such file"):
        track_speed.opencv_contender(frames, tmp_path)
