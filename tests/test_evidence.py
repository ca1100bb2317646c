"""The study of docs/evidence_plan.md: its plan, what is left to do, and the table."""

from __future__ import annotations

import pytest

from benchmarks.evidence.plan import (
    arm_called,
    arms_of,
    chosen_arms,
    identity_of,
    read_plan,
    recipe_of,
    waits_for,
)
from tirtrack.errors import RequestError

PLAN = read_plan()
ARMS = arms_of(PLAN)


def test_every_combination_of_the_crossed_factors_is_an_arm():
    crossed = [name for name in ARMS if name.count("-") == 2]
    assert len(crossed) == 5 * 2 * 2
    assert {*ARMS} - {*crossed} == {"baseline", "mixed"}


def test_the_plan_costs_at_most_ten_hours_of_two_cores():
    assert sum(PLAN.core_hours.values()) <= 20


def test_single_changes_have_one_seed_and_crossed_arms_three():
    assert ARMS["true_boxes-tir-30"].seeds(PLAN) == [0, 1, 2]
    assert arm_called(PLAN, "true_boxes-tir-30+steps_100").seeds(PLAN) == [0]


def test_what_cannot_run_yet_is_an_arm_or_a_factor():
    assert {*PLAN.not_yet} <= {*ARMS, *PLAN.factors}


@pytest.mark.parametrize("name", [name for name, arm in ARMS.items() if arm.levels])
def test_every_arm_is_a_recipe_with_the_shared_training(name):
    recipe = recipe_of(PLAN, ARMS[name])
    assert (recipe.pool, recipe.training.steps, recipe.training.batch) == (2048, 300, 16)
    assert recipe.trains_backbone is False


@pytest.mark.parametrize("factor", PLAN.factors)
def test_a_factor_is_a_recipe_or_waits_for_something(factor):
    arm = arm_called(PLAN, f"tir_saliency-tir-same+{factor}")
    changed = identity_of(PLAN, arm) != identity_of(PLAN, ARMS["tir_saliency-tir-same"])
    assert changed or waits_for(PLAN, arm)
    recipe_of(PLAN, arm)


def test_arms_that_see_tir_alone_never_read_rgb():
    blind = [arm for arm in ARMS.values() if arm.levels and arm.sees == "tir"]
    assert [arm.name for arm in blind] == [
        "tir_saliency-tir-same",
        "tir_saliency-tir-30",
        "tir_tracks-tir-same",
        "tir_tracks-tir-30",
    ]
    for arm in blind:
        recipe = recipe_of(PLAN, arm)
        assert recipe.proposals.modalities == ["tir"]
        assert recipe.teacher.modality == "tir"
        assert [*recipe.directions] == ["tir_to_tir"]


def test_levels_set_directions_and_gap():
    recipe = recipe_of(PLAN, ARMS["true_boxes-mixed-30"])
    assert recipe.directions == {"tir_to_tir": 0.5, "rgb_to_tir": 0.25, "tir_to_rgb": 0.25}
    assert recipe.max_gap == 30


@pytest.mark.parametrize(
    ("names", "said"),
    [
        pytest.param(["tir_salency-tir-same"], "no arm is called", id="unknown arm"),
        pytest.param(["mixed+step_100"], 'did you mean "steps_100"', id="unknown factor"),
        pytest.param(["mixed", "rgb_tracks-tir-30"], "rgb_tracks-tir-30 cannot run", id="arm"),
        pytest.param(["mixed+night"], "a choice of recordings by the hour", id="factor"),
        pytest.param([], "(and so do tir_saliency-mixed-30, rgb_tracks", id="all arms"),
    ],
)
def test_an_arm_that_cannot_run_is_refused_by_name(names, said):
    with pytest.raises(RequestError) as caught:
        chosen_arms(PLAN, names)
    assert said in str(caught.value)
