"""The tracker of a joint encoder: where it cuts, which cell it takes, and when it gives up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tirtrack.boxes import Box
from tirtrack.crops import cut_patch, training_crop
from tirtrack.errors import RecipeError
from tirtrack.networks.registry import build
from tirtrack.trackers import joint_presets
from tirtrack.trackers.base import Reason, Status
from tirtrack.trackers.joint_encoder import JointEngine, JointTracker, best_cell
from tirtrack.trackers.loading import load_tracker
from tirtrack.weights import store
from tirtrack.weights.card import Card

FIRST = Box(50.0, 40.0, 20.0, 14.0)


@pytest.fixture
def network():
    return build("joint-lite", tiny=True, seed=3)


@pytest.fixture
def frames():
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(8)]


def tracker_of(network):
    settings = joint_presets.preset("default", "joint-lite")
    return JointTracker(JointEngine(network), settings, joint_presets.PROBABILITY)


@torch.no_grad()
def made_to_say(network, *, logit=0.0, offset=(0.5, 0.5), size=(0.25, 0.25)):
    """The network with one answer in every cell."""
    towers = {
        network.centre_tower: torch.tensor([logit]),
        network.offset_tower: torch.tensor(offset).logit(),
        network.size_tower: torch.tensor(size).logit(),
    }
    for tower, values in towers.items():
        tower[-1].weight.zero_()
        tower[-1].bias.copy_(values)
    return network


def test_patches_are_cut_as_in_training(network, frames):
    tracker = tracker_of(network)
    tracker.init(frames[0], FIRST)
    template = cut_patch(frames[0], training_crop(FIRST, network.reference_crop, (96, 128)), None)
    (cells,) = tracker.engine.features(template[None])
    np.testing.assert_array_equal(tracker.state_dict()["model"]["template"], cells)
    search = cut_patch(frames[1], training_crop(FIRST, network.test_crop, (96, 128)), None)
    np.testing.assert_array_equal(tracker.request(frames[1])[0], search)


@torch.no_grad()
def test_the_engine_gives_what_the_network_gives(network, frames):
    tracker = tracker_of(network)
    tracker.init(frames[0], FIRST)
    patch, template = tracker.request(frames[1]), tracker.state_dict()["model"]["template"]
    logits, boxes = tracker.engine.respond(template, tracker.engine.features(patch)[0])
    reference = cut_patch(frames[0], training_crop(FIRST, network.reference_crop, (96, 128)), None)
    template_patch, search_patch = (
        torch.from_numpy(levels).permute(2, 0, 1)[None, None] / 255
        for levels in (reference, patch[0])
    )
    target = network.reference(template_patch, torch.zeros(1, 1, 4))
    given = network.respond(target, search_patch)
    np.testing.assert_allclose(logits, given.scores[0][0, 0], atol=1e-5)
    np.testing.assert_allclose(boxes, given.boxes[0, 0], atol=1e-3)


def test_the_box_of_the_best_cell_is_reported_in_frame_pixels(network, frames):
    tracker = tracker_of(made_to_say(network, logit=3.0))
    tracker.init(frames[0], FIRST)
    state = tracker.update(frames[1])
    side = state.diagnostics["side"]
    assert state.diagnostics["cell"] == (3, 3)  # of four in the middle the first
    x, y = FIRST.center_xy
    step = side / 128  # frame pixels per patch pixel
    middle = 63.5 - 56  # the patch's centre of the target, and the cell's
    assert state.box.center_xy == pytest.approx((x - middle * step, y - middle * step))
    assert (state.box.w, state.box.h) == pytest.approx((side / 4, side / 4))
    assert state.score == pytest.approx(1 / (1 + np.exp(-3.0)))
    assert (state.status, state.measured) == (Status.TRACKING, True)


def test_of_equal_peaks_the_nearest_to_the_middle_is_taken():
    logits = np.full((8, 8), -5.0)
    logits[1, 1] = logits[5, 4] = 2.0
    assert best_cell(logits, is_windowed=True) == (5, 4)
    assert best_cell(logits, is_windowed=False) == (1, 1)


def test_a_peak_at_the_border_is_found_through_the_window():
    logits = np.full((8, 8), -9.0)
    logits[0, 7] = 4.0
    assert best_cell(logits, is_windowed=True) == (0, 7)


def test_a_target_that_is_not_found_for_four_frames_is_lost_and_sought_where_it_was(
    network, frames
):
    tracker = tracker_of(made_to_say(network, logit=-3.0, size=(0.9, 0.9)))
    tracker.init(frames[0], FIRST)
    states = [tracker.update(frame) for frame in frames[1:5]]
    assert [state.status for state in states] == [Status.UNCERTAIN] * 3 + [Status.LOST]
    assert states[-1].reason is Reason.LOW_SCORE
    assert (states[-1].box, states[-1].measured) == (FIRST, False)
    around = cut_patch(frames[5], training_crop(FIRST, network.test_crop, (96, 128)), None)
    np.testing.assert_array_equal(tracker.request(frames[5])[0], around)


def test_a_good_score_finds_it_again(network, frames):
    tracker = tracker_of(made_to_say(network, logit=-3.0))
    tracker.init(frames[0], FIRST)
    for frame in frames[1:5]:
        tracker.update(frame)
    made_to_say(network, logit=2.0)
    state = tracker.update(frames[5])
    assert (state.status, state.reason) == (Status.TRACKING, Reason.RE_DETECTED)


def test_numbers_that_are_not_finite_lose_the_target(network, frames):
    tracker = tracker_of(made_to_say(network, logit=float("nan")))
    tracker.init(frames[0], FIRST)
    state = tracker.update(frames[1])
    assert (state.status, state.reason, state.box) == (Status.LOST, Reason.NOT_FINITE, FIRST)
    levels = frames[2].astype(np.float32)
    assert tracker.probe(levels, FIRST.center_xy, (20.0, 14.0)) is None


def test_a_probe_prefers_no_place(network, frames):
    tracker = tracker_of(made_to_say(network, logit=2.0))
    tracker.init(frames[0], FIRST)
    found = tracker.probe(frames[1].astype(np.float32), FIRST.center_xy, (20.0, 14.0))
    assert found.box.center_xy[0] < FIRST.x  # the first cell of all
    assert found.score == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_an_unknown_preset_is_named():
    with pytest.raises(RecipeError, match='no preset of joint-lite is called "published"'):
        joint_presets.preset("published", "joint-lite")


def test_a_weights_file_makes_a_tracker_on_torch(network, frames, tmp_path):
    path = tmp_path / "joint.safetensors"
    facts = {"architecture": "joint-lite-tiny", "modality": "tir", "licence": "none"}
    store.write(path, network, Card(name="joint", **facts))
    tracker = load_tracker(path, overrides={"min_side": 5.0})
    assert isinstance(tracker, JointTracker)
    assert tracker.settings.min_side == 5.0
    assert tracker.calibration == joint_presets.PROBABILITY
    tracker.init(frames[0], FIRST)
    assert tracker.update(frames[1]).box.is_finite()
    with pytest.raises(RecipeError, match="onnx does not run a joint-lite-tiny"):
        load_tracker(path, engine="onnx")
