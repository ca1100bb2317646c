"""What tests of trackers share: the golden scenes, and an engine that finds bright things."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tirtrack.networks.registry import build
from tirtrack.trackers import atom_presets, dimp_presets, joint_presets
from tirtrack.trackers.atom import AtomTracker
from tirtrack.trackers.calibration import family_calibration
from tirtrack.trackers.dimp import DimpTracker
from tirtrack.trackers.engines import TorchEngine
from tirtrack.trackers.joint_encoder import JointEngine, JointTracker
from tirtrack.trackers.online_engine import OnlineEngine
from tirtrack.trackers.peak_score import family_peak_calibration
from tirtrack.trackers.presets import preset
from tirtrack.trackers.siamese import SiameseTracker
from tirtrack.weights.card import Calibration

LOW_32 = np.uint64(0xFFFFFFFF)

PLAIN = Calibration(
    rise_centre=1.0,
    rise_scale=0.25,
    margin_centre=2.0,
    margin_scale=1.0,
    uncertain_below=0.5,
    lost_below=0.3,
    lost_after_frames=4,
    fitted_on="nothing: numbers of the tests",
)


class BrightThingEngine:
    """Stands in for a network: the brighter a cell's surroundings than the template's border, the
    more they are target; the box is a square of the template's context.

    It needs no weights, its answers can be foretold, and like a network it sees grey patches and
    equal channels alike. It keeps the last patch that it was shown.
    """

    cells = 15

    def template(self, patch):
        self.seen = patch
        grey = _grey(patch)
        return np.array([grey[44:83, 44:83].mean(), grey.mean()], dtype=np.float32).reshape(2, 1, 1)

    def features(self, patches):
        return patches

    def compare(self, template, features):
        return self.search(template, features)

    def search(self, template, patch):
        self.seen = patch
        grey = _grey(patch)
        inside, around = float(template[0, 0, 0]), float(template[1, 0, 0])
        steps = np.arange(-112, 113, 16) + 127
        sums = np.pad(grey.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))
        low, high = (steps - 15).clip(0, 255), (steps + 16).clip(0, 255)
        area = np.outer(high - low, high - low)
        total = (
            sums[np.ix_(high, high)]
            - sums[np.ix_(low, high)]
            - sums[np.ix_(high, low)]
            + sums[np.ix_(low, low)]
        )
        likeness = (total / area - around) / (inside - around)  # 1 on the target, 0 off it
        margin = (14 * likeness - 7).clip(-9, 9)
        logits = np.stack([-margin / 2, margin / 2]).astype(np.float32)
        # the centre of what is bright, as a network's box finds it between the cells
        weight = (grey.astype(np.float64) - around).clip(0, None)
        places = np.arange(255) - 127
        mass = max(weight.sum(), 1e-9)
        x, y = (weight.sum(0) * places).sum() / mass, (weight.sum(1) * places).sum() / mass
        gx, gy = np.meshgrid(steps - 127.0, steps - 127.0)
        near = (abs(gx - x) < 24) & (abs(gy - y) < 24)
        dx, dy = np.where(near, x - gx, 0.0), np.where(near, y - gy, 0.0)
        half = 31.75
        ltrb = np.stack([half - dx, half - dy, half + dx, half + dy]).astype(np.float32)
        return SimpleNamespace(logits=logits, ltrb=ltrb)


def _grey(patch):
    patch = np.asarray(patch, dtype=np.float32)
    return patch if patch.ndim == 2 else patch[..., 1]


def h32(x, y, s):
    x = x.astype(np.int64).astype(np.uint64) & LOW_32
    y = y.astype(np.int64).astype(np.uint64) & LOW_32
    v = x * np.uint64(374761393) + y * np.uint64(668265263) + np.uint64(s) * np.uint64(2246822519)
    v = v & LOW_32
    v = ((v ^ (v >> np.uint64(13))) * np.uint64(1274126177)) & LOW_32
    v = v ^ (v >> np.uint64(16))
    return (v & np.uint64(255)).astype(np.int64)


def noise(px, py, s):
    ix, iy, fx, fy = px >> 8, py >> 8, px & 255, py & 255
    t = h32(ix, iy, s) * (256 - fx) + h32(ix + 1, iy, s) * fx
    u = h32(ix, iy + 1, s) * (256 - fx) + h32(ix + 1, iy + 1, s) * fx
    return (t * (256 - fy) + u * fy) >> 16


def golden_frame(scene, t):
    """Frame ``t`` of a scene, ``[H,W,3]`` uint8: golden/trackers/README.md, section 1."""
    y, x = np.mgrid[: scene["height"], : scene["width"]]
    seed = scene["seed"]
    planes = []
    for c in range(3 if scene["colour"] else 1):
        coarse = noise(256 * x // 24, 256 * y // 24, seed + 1000 * c)
        fine = noise(256 * x // 7, 256 * y // 7, seed + 1000 * c + 1)
        v = 30 + ((3 * coarse + fine) >> 3)
        for thing in scene["objects"]:
            if thing["boxes"][t] is None:
                continue
            bx, by, bw, bh = thing["boxes"][t]
            inside = (x >= bx) & (x < bx + bw) & (y >= by) & (y < by + bh)
            px = 256 * thing["cells"] * (2 * (x - bx) + 1) // (2 * bw)
            py = 256 * thing["cells"] * (2 * (y - by) + 1) // (2 * bh)
            shade = thing["lo"] + (noise(px, py, thing["seed"] + 1000 * c) * thing["amp"] >> 8)
            v = np.where(inside, shade, v)
        v = v + (h32(x, y, seed + 5000 + t + 1000000 * c) & 7) - 3
        planes.append(v.clip(0, 255).astype(np.uint8))
    return np.stack(planes if scene["colour"] else planes * 3, axis=-1)


@pytest.fixture(scope="session")
def scene_frame():
    return golden_frame


@pytest.fixture(scope="session")
def golden_clips(kept_goldens):
    return json.loads((kept_goldens / "nanotrack/clips.json").read_text())


@pytest.fixture(scope="session")
def plain_calibration():
    return PLAIN


@pytest.fixture(scope="session")
def bright_tracker():
    """Makes a tracker of bright things; keywords change the preset's settings."""

    def make(name="default", **overrides):
        settings = preset(name, "nanotrack-v3").model_copy(update=overrides)
        return SiameseTracker(BrightThingEngine(), settings, PLAIN)

    return make


@pytest.fixture(scope="session")
def bright_frame():
    """Makes ``[H,W]`` uint8 frames: a bright square on a noisy floor, nothing when ``box`` is
    ``None``; every ``t`` has its own noise."""

    def make(box, t=0, *, height=120, width=160):
        rng = np.random.default_rng([7, t])
        frame = rng.integers(40, 60, (height, width), dtype=np.uint8)
        if box is not None:
            x, y, w, h = (round(value) for value in box)
            frame[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] += 150
        return frame

    return make


@pytest.fixture(scope="session")
def golden_runs():
    """The rules of golden/trackers, as a module."""
    path = Path(__file__).with_name("golden_runs.py")
    spec = importlib.util.spec_from_file_location("golden_runs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def piece_picture():
    """Makes the picture ``[H,W,3]`` of golden/trackers/pieces."""

    def make(height, width):
        y, x = np.mgrid[:height, :width]
        planes = [noise(256 * x // 9, 256 * y // 9, 900 + c) for c in range(3)]
        return np.stack(planes, axis=-1).astype(np.float64)

    return make


# --- the families, as trackers of tiny networks with random weights ---


def siamese(architecture, preset_name):
    engine = TorchEngine(build(architecture, tiny=True, seed=3))
    settings = preset(preset_name, architecture)
    return SiameseTracker(engine, settings, family_calibration(architecture))


def online(network, preset_name="default"):
    presets, kind = (dimp_presets, DimpTracker)
    if network == "atom18":
        presets, kind = (atom_presets, AtomTracker)
    made = build(network, tiny=True, seed=3).eval()
    engine = OnlineEngine(made.requires_grad_(requires_grad=False))
    settings = presets.preset(preset_name, f"{network}-tiny")
    calibration = family_peak_calibration(engine.network.score_kind)
    return kind(engine, settings, calibration)


def joint(network):
    engine = JointEngine(build(network, tiny=True, seed=3))
    settings = joint_presets.preset("default", network)
    return JointTracker(engine, settings, joint_presets.PROBABILITY)


# One line a family: its name, and what makes a tracker of it.
FAMILIES = {
    "fear-xs": lambda: siamese("fear-xs", "default"),
    "fear-xs published": lambda: siamese("fear-xs", "published"),
    "nanotrack-v1": lambda: siamese("nanotrack-v1", "default"),
    "nanotrack-v2": lambda: siamese("nanotrack-v2", "default"),
    "nanotrack-v2 published": lambda: siamese("nanotrack-v2", "published"),
    "nanotrack-v3": lambda: siamese("nanotrack-v3", "default"),
    "nanotrack-v3 published": lambda: siamese("nanotrack-v3", "published"),
    "nanotrack-v3 floor10": lambda: siamese("nanotrack-v3", "floor10"),
    "dimp18": lambda: online("dimp18"),
    "prdimp18": lambda: online("prdimp18"),
    "superdimp50": lambda: online("superdimp50"),
    "dimp-lite": lambda: online("dimp-lite"),
    "atom18": lambda: online("atom18"),
    "joint-lite": lambda: joint("joint-lite"),
}


@pytest.fixture(scope="session")
def families():
    """Names, and for each a tracker that has not begun."""
    return {name: make() for name, make in FAMILIES.items()}


@pytest.fixture(scope="session", params=FAMILIES)
def one_family(request, families):
    """Name and tracker of each family in turn."""
    return request.param, families[request.param]


@pytest.fixture(params=FAMILIES)
def any_tracker(request, families):
    """Makes trackers of one family, on one engine."""
    return lambda: families[request.param].twin("any")
