"""The same tracker on every device: from one state, one frame gives one box.

A free run may part at a rounding tie or where another peak wins, so each of the 200 steps begins
from the same state. ATOM's optimiser amplifies rounding (online_tracker.md, 16) and is compared in
float64.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tirtrack.boxes import Box
from tirtrack.networks.registry import build
from tirtrack.synthetic.clips import BlobScene
from tirtrack.trackers import atom_presets, dimp_presets
from tirtrack.trackers.atom import AtomTracker
from tirtrack.trackers.calibration import family_calibration
from tirtrack.trackers.dimp import DimpTracker
from tirtrack.trackers.engines import TorchEngine
from tirtrack.trackers.online_engine import OnlineEngine
from tirtrack.trackers.peak_score import family_peak_calibration
from tirtrack.trackers.presets import preset
from tirtrack.trackers.siamese import SiameseTracker

STEPS = 200
FURTHEST = 0.05  # pixels, in one step from the same state
SIAMESE = ["nanotrack-v1", "nanotrack-v2", "nanotrack-v3", "fear-xs"]
NETWORKS = [
    *SIAMESE,
    *("dimp18", "dimp50", "prdimp18", "prdimp50", "superdimp50", "dimp-lite", "atom18"),
]
NEEDS_CUDA = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device here: run it where there is one"
)


def tracker(name, device):
    network = build(name, tiny=True, seed=3).eval().requires_grad_(requires_grad=False)
    network = network.to(device, torch.float64 if name == "atom18" else torch.float32)
    if name in SIAMESE:
        return SiameseTracker(
            TorchEngine(network), preset("default", name), family_calibration(name)
        )
    calibration = family_peak_calibration(network.score_kind)
    if name == "atom18":
        settings = atom_presets.preset("default", "atom18-tiny")
        return AtomTracker(OnlineEngine(network), settings, calibration)
    settings = dimp_presets.preset("default", f"{name}-tiny")
    return DimpTracker(OnlineEngine(network), settings, calibration)


@pytest.fixture(scope="module")
def clip():
    """A textured target on a circle over a textured ground, and its first box."""
    rng = np.random.default_rng(11)
    scene = BlobScene(rng, 120, 160)
    angles = np.linspace(0, 4 * np.pi, STEPS + 1)
    centers = np.stack([80 + 35 * np.cos(angles), 60 + 22 * np.sin(angles)], axis=1)
    frames = [scene.frame(center, rng) for center in centers]
    (x, y), w, h = centers[0], scene.w, scene.h
    return frames, Box(x - w / 2, y - h / 2, w, h)


def furthest_step(ours, other, clip):
    """The largest difference of a number of a box, each step begun from the state of ``ours``."""
    frames, first = clip
    ours.init(frames[0], first)
    other.init(frames[0], first)
    furthest = 0.0
    for frame in frames[1:]:
        other.load_state_dict(ours.state_dict())
        box, again = ours.update(frame).box.array(), other.update(frame).box.array()
        furthest = max(furthest, float(np.abs(box - again).max()))
    return furthest


@NEEDS_CUDA
@pytest.mark.parametrize("name", NETWORKS)
def test_cpu_and_cuda_give_one_box_in_each_step(name, clip):
    assert furthest_step(tracker(name, "cpu"), tracker(name, "cuda"), clip) <= FURTHEST


def test_the_comparison_itself_sees_a_tracker_that_is_no_twin(clip):
    frames = clip[0][:20], clip[1]
    assert furthest_step(tracker("dimp18", "cpu"), tracker("dimp18", "cpu"), frames) == 0.0
    other = tracker("dimp18", "cpu")
    other.engine.network.bb_regressor.iou_predictor.weight.mul_(1.5)
    assert furthest_step(tracker("dimp18", "cpu"), other, frames) > FURTHEST
