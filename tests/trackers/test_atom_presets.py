"""Presets of ATOM: every live published value."""

import json

import pytest

from tirtrack.errors import RecipeError
from tirtrack.trackers.atom_presets import preset, preset_names, published_set, published_sets

DEAD = {"feature_window", "standard_alpha", "vot_anno_conversion_type", "weights_file"}
CONSTANT = {"layer": "layer3", "normalize_power": 2, "use_augmentation": True}


@pytest.fixture(scope="module")
def published(shared):
    sets = json.loads((shared / "golden/trackers/params.json").read_text())
    return {key.split("/")[1]: value for key, value in sets.items() if key.startswith("atom/")}


@pytest.mark.parametrize("name", published_sets())
def test_every_live_value_is_the_published_one(published, golden_runs, name):
    theirs, settings = dict(published[name]), published_set(name)
    parts = {**theirs.pop("feature"), **theirs.pop("deep")}
    for key, value in CONSTANT.items():
        assert parts.pop(key) == value
    live = golden_runs.ours({**theirs, **parts}, settings)
    unread = {k for k in {**theirs, **parts} if golden_runs.RENAMED.get(k, k) not in live}
    assert unread <= DEAD
    optional = {"use_iou_net": True, "init_samples_minimum_weight": None}
    for key, value in {**optional, **live}.items():
        assert getattr(settings, key) == (
            pytest.approx(value, rel=1e-8) if key == "scale_factors" else value
        ), key


def test_every_published_set_is_there_and_has_a_preset(published):
    assert set(published) == set(published_sets())
    presets = [preset(name) for name in preset_names() if name != "default"]
    assert presets == [published_set(name) for name in published_sets()]


def test_default_is_safe():
    assert preset("default") == preset("published").model_copy(
        update={
            "safe": True,
            "min_side": 2.0,
            "lost_after_frames": 3,
            "frame_gate": True,
            "draws": "keyed",
        }
    )


def test_an_unknown_preset_is_named():
    with pytest.raises(RecipeError, match='did you mean "published_vot"'):
        preset("publishd_vot")
