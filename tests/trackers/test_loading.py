"""From a name to a tracker: what the card says holds unless the caller says otherwise."""

from pathlib import Path

import numpy as np
import pytest

import tirtrack
from tirtrack.boxes import Box
from tirtrack.errors import RecipeError, RequestError, WeightsError
from tirtrack.networks.registry import build, names, undrawn
from tirtrack.trackers.calibration import family_calibration
from tirtrack.trackers.loading import (
    ENGINES,
    automatic_engine,
    engine_identity,
    engines_of,
    load_tracker,
)
from tirtrack.weights import engine_choice, int8, store
from tirtrack.weights.card import Card
from tirtrack.weights.int8 import Int8Graphs


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Writes random weights with a card of its own; returns the path."""
    folder = tmp_path_factory.mktemp("weights")

    def write(name, **card):
        path = folder / f"{name}.safetensors"
        facts = {"architecture": "nanotrack-v3", "modality": "tir", "licence": "none", **card}
        store.write(path, build(facts["architecture"], seed=1), Card(name=name, **facts))
        return path

    return write


@pytest.mark.parametrize("name", names())
def test_every_network_runs_on_the_engines_of_its_family(name):
    online = ("torch", "onnx", "openvino")
    known = {"atom": online, "dimp": online, "joint": ("torch",), "siamese": ENGINES}
    assert engines_of(name) == engines_of(f"{name}-tiny") == known[undrawn(name, tiny=True).family]


def test_card_gives_preset_calibration_and_normaliser(weights, plain_calibration):
    path = weights(
        "carded", preset="floor10", normaliser="fixed:0:1000", calibration=plain_calibration
    )
    tracker = load_tracker(path, engine="torch")
    assert tracker.settings.min_side == 10.0
    assert tracker.calibration == plain_calibration
    picture = np.array([[0, 1000]], np.uint16)
    np.testing.assert_array_equal(tracker._levels(picture), [[0.0, 255.0]])


def test_weights_without_calibration_take_their_familys(weights):
    tracker = load_tracker(weights("plain", architecture="nanotrack-v2"), engine="torch")
    assert tracker.calibration == family_calibration("nanotrack-v2")
    assert tracker.settings.penalty_k == 0.150


def test_the_caller_may_choose_preset_settings_and_normaliser(weights):
    tracker = load_tracker(
        weights("chosen"),
        preset="default",
        engine="torch",
        overrides={"size_rate": 0.25, "normaliser": "fixed:0:100"},
    )
    assert (tracker.settings.size_rate, tracker.settings.min_side) == (0.25, 2.0)
    np.testing.assert_array_equal(tracker._levels(np.array([[0.0, 100.0]])), [[0.0, 255.0]])


def test_both_engines_track_alike(weights):
    path = weights("engines")
    frames = np.random.default_rng(3).integers(0, 256, (6, 90, 120), dtype=np.uint8)
    tracks = []
    for engine in ("onnx", "torch"):
        tracker = load_tracker(path, engine=engine)
        tracker.init(frames[0], Box(50.0, 40.0, 20.0, 14.0))
        states = [tracker.update(frame) for frame in frames[1:]]
        tracks.append([[state.score, *state.box.array()] for state in states])
    np.testing.assert_allclose(tracks[0], tracks[1], atol=1e-3)


def test_grey_and_replicated_frames_give_equal_boxes_to_the_bit_through_the_graphs(weights):
    path = weights("grey")
    frames = np.random.default_rng(4).integers(0, 256, (6, 90, 120), dtype=np.uint8)
    tracks = []
    for stream in (frames, frames[..., None], np.repeat(frames[..., None], 3, axis=3)):
        tracker = load_tracker(path)
        tracker.init(stream[0], Box(50.0, 40.0, 20.0, 14.0))
        tracks.append([tracker.update(frame).measured_box for frame in stream[1:]])
    assert tracks[0] == tracks[1] == tracks[2]


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"engine": "onx"}, RecipeError, 'no engine is called "onx"; did you mean "onnx"'),
        ({"preset": "publishd"}, RecipeError, 'did you mean "published"'),
        ({"overrides": {"min_sides": 2.0}}, RecipeError, 'did you mean "min_side"'),
        ({"overrides": {"normaliser": "adaptiv"}}, RecipeError, 'did you mean "adaptive"'),
    ],
)
def test_what_is_unknown_is_refused_before_any_work(weights, asked, error, message):
    with pytest.raises(error, match=message):
        load_tracker(weights("asked"), **asked)


@pytest.mark.parametrize(
    ("asked", "engine"),
    [
        ({}, "openvino"),
        ({"preset": "default"}, "openvino"),
        ({"preset": "published"}, "onnx"),
        ({"device": "cuda"}, "torch"),
    ],
    ids=["nothing", "default", "published", "another device"],
)
def test_the_automatic_engine_is_the_fastest_but_for_the_published_preset(
    weights, monkeypatch, asked, engine
):
    monkeypatch.setattr(engine_choice, "fastest_engine", lambda path: "openvino")
    assert automatic_engine(weights("automatic"), **asked) == engine


def test_only_track_chooses_an_engine_by_itself():
    root = Path(tirtrack.__file__).parent
    texts = {
        file.relative_to(root).as_posix(): file.read_text("utf-8") for file in root.rglob("*.py")
    }
    asks = {name for name, text in texts.items() if "automatic_engine(" in text}
    times = {name for name, text in texts.items() if "fastest_engine(" in text}
    assert asks == {"trackers/loading.py", "tracking/run.py"}
    assert times == {"weights/engine_choice.py", "trackers/loading.py"}


def test_the_published_preset_never_runs_in_int8(weights):
    path = weights("rounded")
    for asked in ({"preset": "published"}, {"preset": "published", "overrides": {"min_side": 3.0}}):
        with pytest.raises(RequestError, match="published boxes and never runs on onnx-int8"):
            load_tracker(path, engine="onnx-int8", **asked)
    with pytest.raises(WeightsError, match="has no int8 graphs for the engine onnx-int8"):
        load_tracker(path, engine="onnx-int8")


def test_other_families_have_no_int8(weights):
    path = weights("whole", architecture="dimp18-tiny")
    with pytest.raises(RecipeError, match="the engine onnx-int8 does not run a dimp18-tiny"):
        load_tracker(path, engine="onnx-int8")


def test_what_an_engine_in_int8_gave_depends_on_its_graphs(weights, monkeypatch):
    path = weights("identity")
    assert engine_identity(path, None) == {"engine": "onnx"}
    hashes = []
    for graph in (b"calibrated by day", b"calibrated by night"):
        monkeypatch.setattr(
            int8, "kept", lambda name, graph=graph: Int8Graphs({"search": graph}, name, 50)
        )
        known = engine_identity(path, "onnx-int8")
        assert known["engine"] == "onnx-int8"
        hashes.append(known["int8"]["search"])
    assert hashes[0] != hashes[1]


def test_networks_that_torch_alone_runs_have_torch_as_automatic_engine(weights):
    path = weights("online", architecture="dimp18-tiny")
    assert automatic_engine(path) == "torch"


def test_unknown_weights_are_named():
    with pytest.raises(WeightsError, match="nano-trii"):
        load_tracker("nano-trii")


@pytest.mark.parametrize(("modality", "warnings"), [("tir", 1), ("rgb", 0)])
def test_the_cards_modality_decides_whether_colour_is_worth_a_warning(
    weights, caplog, modality, warnings
):
    tracker = load_tracker(weights(f"for-{modality}", modality=modality), engine="torch")
    frame = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    tracker.init(frame, Box(20.0, 20.0, 20.0, 20.0))
    assert sum("frames are coloured" in text for text in caplog.messages) == warnings


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("dimp18-tiny", "DimpTracker"),
        ("dimp-lite-tiny", "DimpTracker"),
        ("atom18-tiny", "AtomTracker"),
    ],
)
def test_the_architecture_decides_which_tracker_it_is(weights, architecture, kind):
    tracker = load_tracker(weights(architecture, architecture=architecture), seed=4)
    assert type(tracker).__name__ == kind
    assert tracker.settings.safe
    assert tracker.origin.seed == 4
    assert tracker.origin.settings["search_area_scale"] == 5.0


def test_overrides_of_an_online_tracker_are_named_and_checked(weights):
    path = weights("online", architecture="dimp18-tiny")
    tracker = load_tracker(path, preset="published", overrides={"displacement_scale": 0.7})
    assert (tracker.settings.displacement_scale, tracker.settings.safe) == (0.7, False)
    with pytest.raises(RecipeError, match='did you mean "displacement_scale"'):
        load_tracker(path, overrides={"dispalcement_scale": 0.7})
    with pytest.raises(RecipeError, match='"dimp18-tiny" has no preset "published_vot"'):
        load_tracker(path, preset="published_vot")


def test_a_calibration_of_another_family_is_refused(weights, plain_calibration):
    path = weights("mixed", architecture="dimp18-tiny", calibration=plain_calibration)
    with pytest.raises(WeightsError, match="needs a PeakCalibration"):
        load_tracker(path)
