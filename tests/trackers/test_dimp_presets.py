"""Presets of the DiMP family: every live published value, differences, closed settings."""

import json
import re

import pytest

from tirtrack.errors import RecipeError
from tirtrack.trackers.dimp_presets import (
    DimpTrackerSettings,
    preset,
    preset_names,
    published_set,
    published_sets,
)

# What no published tracker reads, or what the evaluation reads, or what ``TrackState`` says.
DEAD = {"feature_size_odd", "iounet_use_log_scale", "vot_anno_conversion_type", "weights_file"}
NOT_OURS = {"use_gt_box"}
OPTIONAL = {  # our field -> its value where a published set leaves it out
    "border_mode": "replicate",
    "box_refinement_space": "default",
    "score_preprocess": "none",
    "patch_max_scale_change": None,
    "perform_hn_without_windowing": False,
}


@pytest.fixture(scope="module")
def published(shared):
    return json.loads((shared / "golden/trackers/params.json").read_text())


@pytest.mark.parametrize("name", published_sets())
def test_every_live_value_is_the_published_one(published, golden_runs, name):
    family = "dimp_simple" if name.endswith("simple") else "dimp"
    theirs, settings = published[f"{family}/{name}"], published_set(name)
    live = golden_runs.ours(theirs, settings)
    unread = {key for key in theirs if golden_runs.RENAMED.get(key, key) not in live}
    assert unread <= DEAD | NOT_OURS
    for key, value in {**OPTIONAL, **live}.items():
        assert getattr(settings, key) == value, key


def test_every_published_set_is_there(published):
    theirs = {key.split("/")[1] for key in published if key.startswith("dimp")}
    assert theirs == set(published_sets())


@pytest.mark.parametrize(
    ("architecture", "name", "same"),
    [
        ("dimp18", "published", "dimp18"),
        ("dimp50", "published_vot19", "dimp50_vot19"),
        ("prdimp50", "published_vot18", "prdimp50_vot18"),
        ("superdimp50", "published", "super_dimp"),
    ],
)
def test_a_preset_is_the_set_of_its_network(architecture, name, same):
    assert preset(name, architecture) == published_set(same)


def test_default_is_the_published_set_made_safe():
    changed = dict(preset("default", "prdimp18"))
    for key, value in dict(published_set("prdimp18")).items():
        if key in ("safe", "frame_gate", "draws", "min_side", "lost_after_frames"):
            assert changed.pop(key) != value
        else:
            assert changed.pop(key) == value, key
    assert not changed


@pytest.mark.parametrize("architecture", ["dimp-lite", "dimp-lite-mobilenet"])
def test_the_small_network_goes_as_far_in_half_the_steps(architecture):
    ours, published = preset("default", architecture), published_set("super_dimp")
    assert ours.image_sample_size == 256
    assert ours.box_refinement_space == published.box_refinement_space == "relative"
    assert 2 * ours.box_refinement_iter == published.box_refinement_iter
    assert ours.box_refinement_step_length == 2 * published.box_refinement_step_length


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: preset("defualt", "dimp18"), 'did you mean "default"'),
        (lambda: preset("published_vot19", "dimp18"), '"dimp18" has no preset "published_vot19"'),
        (lambda: preset_names("dimp19"), 'no preset is made for the network "dimp19"'),
    ],
)
def test_what_is_unknown_is_named(call, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        call()


def test_settings_are_closed_typed_and_frozen():
    values = dict(published_set("dimp18"))
    with pytest.raises(ValueError, match="dispalcement_scale"):
        DimpTrackerSettings(**values, dispalcement_scale=0.8)
    with pytest.raises(ValueError, match="iounet_k"):
        DimpTrackerSettings(**{**values, "iounet_k": 3.5})
    with pytest.raises(ValueError, match="frozen"):
        published_set("dimp18").iounet_k = 4
