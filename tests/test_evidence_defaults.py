"""The rules of the defaults: what kept results decide."""

from __future__ import annotations

import pytest

from benchmarks.evidence.defaults import (
    is_new_recipe,
    nano_tir_stays,
    recipe_sentence,
    weights_sentence,
)
from benchmarks.evidence.plan import BASELINE, read_plan
from benchmarks.evidence.table import Bests

PLAN = read_plan()
BESTS = Bests("tir_tracks-tir-same", "rgb_tracks-tir-30", "true_boxes-tir-30")


def record(*values: float) -> dict[str, object]:
    """Results of one seed, the same on both splits."""
    rows = {f"s{n}": {"success": one, "norm_precision": one} for n, one in enumerate(values)}
    return {"seeds": {"0": {"training": {}, "validation": rows, "test": rows}}}


def records(rgb: tuple[float, float]) -> dict[str, dict[str, object]]:
    """Results in which the best arm with RGB has two values."""
    return {
        BASELINE: record(0.3, 0.4),
        BESTS.tir: record(0.4, 0.4),
        BESTS.rgb: record(*rgb),
        BESTS.truth: record(0.8, 0.8),
    }


@pytest.mark.parametrize(
    ("rgb", "becomes"),
    [
        pytest.param((0.5, 0.6), True, id="above both"),
        pytest.param((0.4, 0.5), False, id="not above its best control"),
        pytest.param((0.6, 0.4), False, id="not above the baseline"),
    ],
)
def test_a_recipe_becomes_the_default_above_baseline_and_best_control(rgb, becomes):
    assert is_new_recipe(PLAN, BESTS, records(rgb)) is becomes
    said = "`rgb_tracks-tir-30` becomes" if becomes else "`mixed` stays"
    assert recipe_sentence(PLAN, records(rgb)).startswith(said)


def test_the_shipped_recipe_stays_the_default_where_it_is_the_best():
    names = {BESTS.rgb: "mixed"}
    found = {names.get(name, name): one for name, one in records((0.5, 0.6)).items()}
    assert recipe_sentence(PLAN, found).startswith("`mixed` stays the default recipe for video so")


def confirmed(**changes: tuple[float, float]) -> dict[str, object]:
    """Mean and lower end of the figures of ``nano-tir``."""
    figures = {
        "primary": (0.03, 0.01),
        "camel": (-0.01, -0.03),
        "primary, drone": (-0.02, -0.2),
        "primary, m3svd": (0.01, -0.1),
        "camel, passes_full_cover": (-0.3, -0.4),
        **changes,
    }
    rows = {name: {"mean": mean, "low": low} for name, (mean, low) in figures.items()}
    return {"rows": {"nano-tir": rows}}


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        pytest.param({}, True, id="above on the primary figure"),
        pytest.param({"primary": (0.03, 0.0)}, False, id="above on neither"),
        pytest.param({"primary": (0.0, 0.0), "camel": (0.1, 0.01)}, True, id="above on camel"),
        pytest.param({"primary, m3svd": (-0.021, -0.1)}, False, id="below on one set"),
        pytest.param({"camel": (-0.03, -0.1)}, False, id="below on camel"),
    ],
)
def test_nano_tir_stays_where_it_helps_somewhere_and_harms_nowhere(changes, stays):
    found = confirmed(**changes)
    assert nano_tir_stays(PLAN, found) is stays
    said = weights_sentence(PLAN, found)
    assert said.startswith("`nano-tir` stays" if stays else "`nano-rgb` becomes")
    assert "they are no test of it" in said


def test_nothing_is_decided_without_results():
    assert recipe_sentence(PLAN, {}) == "The default recipe for video is not decided yet."
    assert weights_sentence(PLAN, None) == "The default weights of `track` are not decided yet."
