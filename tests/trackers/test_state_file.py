"""A saved state goes on to the bit in another process, and only where it fits."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors import safe_open
from safetensors.numpy import save_file

import tirtrack
from tirtrack.boxes import Box
from tirtrack.errors import RequestError, WeightsError
from tirtrack.networks import registry
from tirtrack.trackers.loading import load_tracker
from tirtrack.trackers.state_file import load_state, save_state
from tirtrack.weights import store
from tirtrack.weights.card import Card

FRAMES, SAVED_AT = 60, 25
FIRST = Box(60.0, 40.0, 20.0, 20.0)

# Frames are made anew from the seed in the other process: nothing but the file goes there.
SCENE = """
import sys, numpy as np

def frame(t):
    rng = np.random.default_rng([7, t])
    image = rng.integers(900, 1100, (120, 160), dtype=np.uint16)
    x, y = round(60 + 20 * np.sin(t / 9)), round(40 + 12 * np.sin(t / 7))
    image[y : y + 20, x : x + 20] += 1500
    return np.zeros_like(image) if t in (24, 25) else image

def rows(tracker, first, last):
    states = [tracker.update(frame(t)) for t in range(first, last)]
    return np.array([[*s.box.array(), s.score, s.measured] for s in states])
"""
GO_ON = """
from tirtrack.networks import registry
from tirtrack.trackers.loading import load_tracker
from tirtrack.trackers.state_file import load_state
tracker = load_tracker("nano-tir")
load_state(tracker, sys.argv[1])
np.save(sys.argv[2], rows(tracker, int(sys.argv[3]), int(sys.argv[4])))
"""


@pytest.fixture(scope="module")
def scene():
    names = {}
    exec(SCENE, names)
    return names


@pytest.fixture(scope="module")
def whole(scene, tmp_path_factory):
    """A file saved in mid-run, and what the same tracker said afterwards."""
    path = tmp_path_factory.mktemp("state") / "night.safetensors"
    tracker = load_tracker("nano-tir")
    tracker.init(scene["frame"](0), FIRST)
    scene["rows"](tracker, 1, SAVED_AT + 1)
    save_state(tracker, path)
    return path, scene["rows"](tracker, SAVED_AT + 1, FRAMES)


def test_a_new_process_goes_on_to_the_bit(whole, tmp_path):
    path, expected = whole
    out = tmp_path / "rows.npy"
    subprocess.run(
        [sys.executable, "-c", SCENE + GO_ON, path, out, str(SAVED_AT + 1), str(FRAMES)], check=True
    )
    assert_array_equal(np.load(out), expected)
    assert expected[0, 5] == 1.0


def test_the_file_is_small_and_says_what_it_is(whole):
    path, _ = whole
    assert path.stat().st_size < 1_000_000
    with safe_open(path, framework="numpy") as opened:
        document = json.loads(opened.metadata()["tirtrack_state"])
    assert document["format_version"] == 2
    assert document["weights"] == "nano-tir"
    assert document["state"]["frame"] == SAVED_AT


def altered(whole, tmp_path, **changes):
    path, _ = whole
    with safe_open(path, framework="numpy") as opened:
        document = json.loads(opened.metadata()["tirtrack_state"])
        arrays = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    other = tmp_path / "other.safetensors"
    save_file(arrays, other, metadata={"tirtrack_state": json.dumps({**document, **changes})})
    return other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 1}, "is a state of format 1, this is format 2; use the version"),
        ({"tracker": "MultiTracker"}, "is a state of a MultiTracker, this is a SiameseTracker"),
        ({"seed": 5}, "was saved with seed 5, the tracker has 0"),
        ({"settings": {"min_side": 10.0}}, "saved with min_side 10.0, the tracker has 2.0"),
        ({"state": {"format": 3}}, "holds no state of this tracker .*format 4, got 3"),
        ({"state": {"format": 4}}, "holds no state of this tracker"),
    ],
    ids=["version", "kind", "seed", "settings", "inner version", "missing parts"],
)
def test_what_does_not_fit_is_refused_with_both_values(whole, tmp_path, changes, message):
    with pytest.raises(RequestError, match=message):
        load_state(load_tracker("nano-tir"), altered(whole, tmp_path, **changes))


def test_other_weights_are_refused_with_both_hashes(whole):
    path, _ = whole
    other = load_tracker("nano-rgb")
    right = load_tracker("nano-tir").origin.weights_sha256
    with pytest.raises(WeightsError, match=r"nano-tir .*nano-rgb") as refusal:
        load_state(other, path)
    assert right in str(refusal.value)
    assert other.origin.weights_sha256 in str(refusal.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(whole, tmp_path, share):
    content = whole[0].read_bytes()
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RequestError, match=r"is no whole state .*; the file is damaged"):
        load_state(load_tracker("nano-tir"), torn)


def test_a_missing_file_and_another_kind_of_file_are_refused(tmp_path):
    tracker = load_tracker("nano-tir")
    with pytest.raises(RequestError, match="no such file"):
        load_state(tracker, tmp_path / "none.safetensors")
    save_file({"a": np.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(RequestError, match="is no state of a tracker"):
        load_state(tracker, tmp_path / "weights.safetensors")


def test_only_a_tracker_that_has_begun_and_has_an_origin_can_be_saved(scene, tmp_path):
    tracker = load_tracker("nano-tir")
    with pytest.raises(RuntimeError, match="call init"):
        save_state(tracker, tmp_path / "state.safetensors")
    tracker.init(scene["frame"](0), FIRST)
    tracker.origin = None
    with pytest.raises(ValueError, match="has no origin"):
        save_state(tracker, tmp_path / "state.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_is_not_plain_is_a_mistake_of_its_tracker(scene, tmp_path):
    tracker = load_tracker("nano-tir")
    tracker.origin = replace(tracker.origin)
    tracker.state_dict = lambda: {"target": {"box": {1, 2}}}
    with pytest.raises(TypeError, match="got set at /target/box"):
        save_state(tracker, tmp_path / "state.safetensors")


def test_half_precision_halves_the_sample_memory_and_nothing_else(tmp_path):
    weights = tmp_path / "w.safetensors"
    card = Card(name="w", architecture="dimp18-tiny", modality="tir", licence="none")
    store.write(weights, registry.build("dimp18-tiny", seed=1).eval(), card)
    tracker = tirtrack.load(weights)
    rng = np.random.default_rng(4)
    frames = [rng.integers(0, 255, (120, 160, 3), dtype=np.uint8) for _ in range(3)]
    tracker.init(frames[0], FIRST)
    tracker.update(frames[1])
    arrays, states = {}, {}
    for half in (False, True):
        path = tmp_path / f"{half}.safetensors"
        save_state(tracker, path, half=half)
        with safe_open(path, framework="numpy") as opened:
            arrays[half] = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        later = tirtrack.load(weights)
        load_state(later, path)
        states[half] = later.update(frames[2])
    name = next(key for key in arrays[True] if key.endswith("/memory/samples"))
    assert (arrays[False][name].dtype, arrays[True][name].dtype) == (np.float32, np.float16)
    assert_allclose(arrays[True].pop(name), arrays[False].pop(name), rtol=1e-3, atol=1e-6)
    for key, array in arrays[False].items():
        assert_array_equal(array, arrays[True][key])
    assert_allclose(states[True].box.array(), states[False].box.array(), atol=0.05)
