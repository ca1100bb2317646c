"""``tirtrack weights quantise``: boxes decide whether int8 is used, and the result is kept."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tirtrack.boxes import Box
from tirtrack.errors import RequestError, RunError, WeightsError
from tirtrack.evaluation import engine_check, quantising
from tirtrack.evaluation.quantising import quantise_weights
from tirtrack.networks import registry
from tirtrack.trackers.frame_gate import warned_of_colour
from tirtrack.trackers.loading import load_tracker
from tirtrack.weights import graphs, int8, store
from tirtrack.weights.card import Card
from tirtrack.weights.engine_choice import engine_facts


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")

    def weights(architecture="nanotrack-v3"):
        path = folder / f"{architecture}.safetensors"
        card = Card(name="small", architecture=architecture, modality="rgb", licence="none")
        store.write(path, registry.build(architecture, seed=12).eval(), card)
        return path

    return weights


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(4)
    for t in range(30):
        Image.fromarray(rng.integers(0, 256, (64, 80), dtype=np.uint8)).save(folder / f"{t:02}.png")
    return folder


@pytest.fixture
def boxes(monkeypatch):
    """Boxes of the rendered frames as an engine gives them: ``px`` off in int8."""

    def make(px, success=0.001):
        compared = []

        def boxes_on_clips(tracker, modality):
            is_int8 = len(compared) % 2  # each engine in turn with the reference before it
            compared.append(tracker)
            return np.zeros((200, 4)) + np.array([0, 0, 0, px]) * is_int8

        def success_by(weights, engines, progress):
            load_tracker(weights, engine=engines[1])  # may be named once its boxes passed
            return {one: 0.6 + success * ("int8" in one) for one in engines}

        monkeypatch.setattr(quantising, "boxes_on_clips", boxes_on_clips)
        monkeypatch.setattr(quantising, "success_by", success_by)
        monkeypatch.setattr(quantising, "has_openvino", lambda: False)

    return make


def test_int8_that_is_near_enough_may_be_named_and_chosen(write, frames, boxes):
    boxes(px=0.5)
    path = write()
    made = quantise_weights(path, [frames])
    assert made.patches == 27  # 30 frames, of which every tenth begins anew
    assert made.checks["onnx-int8"].passes
    assert int8.kept(graphs.hash_of_file(path)) == made
    assert load_tracker(path, engine="onnx-int8")


@pytest.fixture
def unrounded(monkeypatch):
    """Graphs that are not rounded, which takes a while: what is decided depends on boxes alone."""

    def quantised(found, searches):
        by_name = {name: found.by_name[name] for name in int8.QUANTISED}
        return int8.Int8Graphs(by_name, found.weights_hash, len(searches))

    monkeypatch.setattr(int8, "quantised", quantised)


@pytest.mark.usefixtures("unrounded")
def test_boxes_that_are_further_off_end_with_a_sentence_and_are_never_used(write, frames, boxes):
    boxes(px=0.51)
    path = write()
    with pytest.raises(
        RunError,
        match=r"int8 is not used with these weights \(onnx-int8: its boxes are up to 0\.51",
    ):
        quantise_weights(path, [frames])
    with pytest.raises(WeightsError, match="the engine onnx-int8 failed its check"):
        load_tracker(path, engine="onnx-int8")
    assert "0.51 px" in engine_facts(path)["int8"]["onnx-int8"]


@pytest.mark.usefixtures("unrounded")
def test_boxes_that_are_no_numbers_do_not_pass(write, frames, boxes):
    boxes(px=np.nan)
    with pytest.raises(RunError, match="its boxes were not compared"):
        quantise_weights(write(), [frames])


@pytest.mark.usefixtures("unrounded")
def test_success_that_is_further_off_is_never_chosen(write, frames, boxes):
    boxes(px=0.1, success=-0.006)
    made = quantise_weights(write(), [frames])
    assert made.checks["onnx-int8"].boxes_pass
    assert not made.checks["onnx-int8"].passes


@pytest.mark.parametrize("count", [0, 22])
def test_too_few_frames_are_refused(write, tmp_path, frames, count):
    path = write()
    if count == 0:
        with pytest.raises(RequestError, match="no frames were given"):
            quantise_weights(path, [])
        return
    for one in sorted(frames.iterdir())[:count]:
        (tmp_path / one.name).write_bytes(one.read_bytes())
    with pytest.raises(RequestError, match="--frames gave 19 search patches, 20 are needed"):
        quantise_weights(path, [tmp_path])


@pytest.mark.usefixtures("unrounded")
def test_a_closed_shutter_costs_its_frames_alone(write, frames, tmp_path, boxes):
    boxes(px=0.1)
    for one in sorted(frames.iterdir()):
        black = one.stem in ("00", "10", "11")
        levels = np.zeros((64, 80), np.uint8) if black else np.asarray(Image.open(one))
        Image.fromarray(levels).save(tmp_path / one.name)
    assert quantise_weights(write(), [tmp_path]).patches == 24


def test_frames_that_show_nothing_are_too_few(write, tmp_path):
    for t in range(30):
        Image.fromarray(np.zeros((64, 80), np.uint8)).save(tmp_path / f"{t:02}.png")
    with pytest.raises(RequestError, match=r"gave 0 search patches, 20 are needed.*show a scene"):
        quantise_weights(write(), [tmp_path])


def test_networks_without_search_graphs_are_refused(write, frames):
    with pytest.raises(WeightsError, match="holds a dimp18-tiny, of which no int8 graphs are made"):
        quantise_weights(write("dimp18-tiny"), [frames])


def test_the_clips_are_200_frames_both_grey_and_in_colour():
    clips = engine_check._clips(tinted=True)
    shapes = [frame.ndim for frames, _ in clips for frame in frames]
    assert len(shapes) == 200
    assert (shapes.count(2), shapes.count(3)) == (120, 80)


@pytest.mark.parametrize("modality", ["tir", "rgb"])
def test_no_clip_warns_of_colour_and_each_shows_both_kinds_of_frame(caplog, modality):
    kinds = []

    class Tracker:
        def init(self, frame, box):
            return self.update(frame)

        def update(self, frame):
            kinds.append(frame.ndim)
            if modality == "tir":
                warned_of_colour(frame)
            return SimpleNamespace(measured_box=Box(0, 0, 1, 1))

    assert engine_check.boxes_on_clips(Tracker(), modality).shape == (200, 4)
    assert set(kinds) == {2, 3}
    assert caplog.messages == []
