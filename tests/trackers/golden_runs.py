"""The rules of golden/trackers: its picture, its runs, its published names.

No test file: tests load it with the fixture ``golden_runs`` of this folder's ``conftest``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

PIECES = {"maps": "localisation_and_patches", "boxes": "memory_boxes_gncg"}

# published key -> ours, where they differ
RENAMED = {
    "dispalcement_scale": "displacement_scale",
    "box_jitter_sz": "box_jitter_size",
    "init_CG_iter": "init_cg_iter",
    "init_GN_iter": "init_gn_iter",
    "post_init_CG_iter": "post_init_cg_iter",
    "CG_iter": "cg_iter",
    "hard_negative_CG_iter": "hard_negative_cg_iter",
    "CG_forgetting_rate": "cg_forgetting_rate",
    "relativeshift": "relative_shift",
    "fliplr": "flip",
}


def pieces(shared: Path, name: str):
    """The numbers and the arrays of one of ``PIECES``."""
    path = shared / "golden/trackers/pieces" / PIECES[name]
    return _stored(path)


def _stored(path: Path):
    with np.load(path.with_suffix(".npz")) as arrays:
        return json.loads(path.with_suffix(".json").read_text()), dict(arrays)


def ours(published: dict, settings) -> dict:
    """Published parameters as fields of our settings, typed as ours are."""
    changes = {RENAMED.get(key, key): value for key, value in published.items()}
    if "augmentation" in changes:
        changes["augmentation"] = augmentation(changes["augmentation"])
    known = type(settings).model_fields
    return {key: as_tuple(value) for key, value in changes.items() if key in known}


def augmentation(published: dict):
    from tirtrack.trackers.online_settings import FirstFrameAugmentation

    values = {RENAMED.get(key, key): as_tuple(value) for key, value in published.items()}
    if "blur" in values:  # one number is for both axes
        values["blur"] = tuple(
            one if isinstance(one, tuple) else (one, one) for one in values["blur"]
        )
    return FirstFrameAugmentation(**values)


def as_tuple(value):
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value


NETWORKS = {
    "dimp": ("dimp_presets", "dimp", "DimpTracker"),
    "atom": ("atom_presets", "atom", "AtomTracker"),
}


def run(shared: Path, name: str):
    """The record of a run and its arrays."""
    path = shared / "golden/trackers/runs" / name
    return _stored(path)


class RecordedDraws:
    """The random numbers of a run, in order of use; another kind or shape is an error."""

    def __init__(self, arrays):
        self._names = sorted(name for name in arrays if name.startswith("rng_"))
        self._arrays = arrays
        self._next = 0

    def begin_frame(self, frame):
        if frame == 0:
            self._next = 0

    def uniforms(self, shape):
        return self._take("rand", shape)

    def kept(self, count, channels, share):
        return self._take("keep", (count, channels))

    def normals(self, shape):
        return self._take("normal", shape)

    def state_dict(self):
        return {"next": self._next}

    def load_state_dict(self, state):
        self._next = state["next"]

    def _take(self, kind, shape):
        import torch

        name = self._names[self._next]
        self._next += 1
        values = self._arrays[name]
        assert name.endswith(kind), f"{name} was asked for as {kind}"
        assert values.shape == tuple(shape), f"{name} was asked for as {shape}"
        return torch.from_numpy(np.array(values))


def network(name: str, *, double: bool):
    """A network with the weights of the rule of golden/networks."""
    import importlib.util

    import torch

    from tirtrack.networks import registry

    made = registry.build(name).eval().requires_grad_(False)
    path = Path(__file__).resolve().parent.parent / "golden_rules.py"
    spec = importlib.util.spec_from_file_location("golden_rules", path)
    rules = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rules)
    state = made.state_dict()
    made.load_state_dict(
        {key: torch.from_numpy(rules.weight(key, tuple(state[key].shape))) for key in state}
    )
    return made.double() if double else made


def tracker(record, arrays, engine, *, draws=True):
    """A tracker with the settings of a run, which replays its random numbers."""
    from importlib import import_module

    from tirtrack.trackers.peak_score import family_peak_calibration

    spec = record["spec"]
    presets, module, kind = NETWORKS[spec["tracker"]]
    settings = import_module(f"tirtrack.trackers.{presets}").published_set(spec["params"])
    settings = settings.model_copy(update=ours(spec.get("override", {}), settings))
    made = getattr(import_module(f"tirtrack.trackers.{module}"), kind)
    calibration = family_peak_calibration(engine.network.score_kind)
    return made(
        engine, settings, calibration, seed=1, draws=RecordedDraws(arrays) if draws else None
    )


def scene(record):
    """The scene of a run, as the fixture ``scene_frame`` wants it."""
    found = dict(record["spec"]["scene"])
    found["height"], found["width"] = found["size"]
    return found


def begun(tracker):
    """What a tracker knows after the first frame, under the names of the record."""
    place, model = tracker.place, tracker.model
    found = {
        "pos": place.center_yx,
        "target_sz": place.size_hw,
        "target_scale": place.scale,
        "base_target_sz": model.layout.base_hw,
        "img_sample_sz": model.layout.sample_hw,
        "min_scale_factor": model.layout.scale_bounds[0],
        "max_scale_factor": model.layout.scale_bounds[1],
        "filter_l2": float(model.filter.norm()),
        "filter_sum": float(model.filter.sum()),
    }
    if model.modulation and model.projection is None:
        found["modulation_sums"] = [float(vector.sum()) for vector in model.modulation]
    if model.memory is not None:
        found["num_init"] = model.memory.weights.first
        if model.projection is not None:
            found["projection_l2"] = float(model.projection.norm())
        else:
            found["target_boxes"] = model.memory.labels.double().cpu().numpy()
    return found


def watched(tracker):
    """Where a tracker leaves what its steps made of the last frame."""
    seen, steps = {}, tracker.locate

    def locate(*given):
        seen["located"] = yield from steps(*given)
        return seen["located"]

    tracker.locate = locate
    return seen


def followed(tracker, state, located, *, hides_lost):
    """What a tracker knows after a frame, under the names of the record, in the order of the
    steps: so the first difference is the cause of the others.
    """
    place, model = tracker.place, tracker.model
    said = state.diagnostics
    found = {
        "max_score": said["max_score"],
        "score_sum": located.lesson.localisation.scores.sum(),
        "peak": said["peak"],
        "scale_ind": said["scale_index"],
        "flag": None if said["flag"] == "none" else said["flag"],
        "translation": said["translation_yx"],
        "iou": said.get("energies"),
        "pos": place.center_yx,
        "target_sz": place.size_hw,
        "target_scale": place.scale,
        "pos_iounet": place.refined_yx,
        "box": [-1.0] * 4 if hides_lost and not state.measured else state.box.array(),
        "replace_ind": said["slot"],
    }
    if model.memory is not None:
        weights = model.memory.weights
        found |= {
            "num_stored": weights.stored,
            "weight_sum": weights.values.sum(),
            "weight_sum_init": weights.values[: weights.first].sum(),
            "weight_max": weights.values.max(),
        }
    return found | {
        "iterations": said["iterations"],
        "filter_l2": float(model.filter.norm()),
        "filter_sum": float(model.filter.sum()),
    }


def compare(found: dict, golden: dict, tolerance, where: str) -> None:
    """Every key of ``found`` against the record; the first that differs is named.

    Args:
        found: see :func:`begun`, :func:`followed`.
        golden: of the record.
        tolerance: key to the largest allowed difference, ``None``: equal, or not compared where
            missing.
        where: named in the message.
    """
    for key, value in found.items():
        limit, expected = tolerance(key), golden.get(key)
        if limit is None:
            same = value == expected or list(np.ravel(value)) == list(np.ravel(expected))
            assert same, f"{where}, {key}: {value} is not {expected}"
            continue
        assert (value is None) == (expected is None), f"{where}, {key}: {value} is not {expected}"
        if value is None:
            continue
        differences = np.abs(np.asarray(value, float) - np.asarray(expected, float))
        scale = max(1.0, float(np.abs(expected).max())) if key in RELATIVE else 1.0
        worst = float(differences.max()) if differences.size else 0.0
        assert worst <= limit * scale, (
            f"{where}, {key}: off by {worst:.3g} (limit {limit * scale:.3g}): "
            f"{value} is not {expected}"
        )


RELATIVE = {"score_sum", "filter_l2", "filter_sum", "projection_l2", "modulation_sums"}


def compare_dump(tracker, located, arrays, t, where):
    """The arrays that a run stores of a frame, in float32."""
    model, localisation = tracker.model, located.lesson.localisation
    found = {"filter": model.filter.numpy(), "scores": localisation.scores[None]}
    if model.memory is not None:
        found["weights"] = model.memory.weights.values
    if "proposals" in located.diagnostics:
        found["refined_boxes"] = np.array(located.diagnostics["proposals"])
    for key, value in found.items():
        golden = arrays[f"{key}_{t}"]
        if key == "scores":
            golden = golden[localisation.scale_index][None]
        limit = 1e-5 if key == "refined_boxes" else 2e-7 * float(np.abs(golden).max())
        worst = float(np.abs(value - golden).max())
        assert worst <= limit, f"{where}, stored {key}: off by {worst:.3g} (limit {limit:.3g})"
