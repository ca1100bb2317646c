"""The plan of the study: its arms, what their results depend on, what each arm may see."""

from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.evidence.__main__ import PAGE, tell_waiting
from benchmarks.evidence.plan import (
    arm_called,
    arms_of,
    changed_arms,
    chosen_arms,
    controls_of,
    identity_of,
    read_plan,
    recipe_of,
    waits_for,
)
from tirtrack.errors import RequestError
from tirtrack.files import fingerprint

DOCS = PAGE.parent
PLAN = read_plan()
ARMS = arms_of(PLAN)
TRAINABLE = {name: arm for name, arm in ARMS.items() if arm.levels and waits_for(PLAN, arm) is None}
IDENTITIES = {
    "baseline": "160985f26a5c4549",
    "mixed": "f424db955d1bb6d3",
    "tir_saliency-tir-same": "262896d5b0041b6a",
    "tir_saliency-tir-30": "759e9f763ed2a63c",
    "tir_saliency-mixed-same": "e7b2f2a27173a6f2",
    "tir_saliency-mixed-30": "5c6e6cff44a2a13b",
    "rgb_tracks-tir-same": "e77f84a1357ae382",
    "rgb_tracks-tir-30": "e0d6630a382e1a72",
    "rgb_tracks-mixed-same": "154a5f62892883a7",
    "rgb_tracks-mixed-30": "037a98ef78494bc3",
    "tir_tracks-tir-same": "df18d22d0369f400",
    "tir_tracks-tir-30": "545e27915e230370",
    "tir_tracks-mixed-same": "24bd62d75be743ac",
    "tir_tracks-mixed-30": "82c97baba02932f3",
    "tir_fitted_tracks-tir-same": "7253b7561f1c9d14",
    "tir_fitted_tracks-tir-30": "8b86e64a59d3881d",
    "tir_fitted_tracks-mixed-same": "a8f5f07df3eb3886",
    "tir_fitted_tracks-mixed-30": "177c91e61e128516",
    "best_boxes-tir-same": "d469fe2d54bce88d",
    "best_boxes-tir-30": "2cb71e0c1e4f6b54",
    "best_boxes-mixed-same": "af0b9f82e2402f92",
    "best_boxes-mixed-30": "a164cdf5d29b7ed7",
    "true_boxes-tir-same": "9f9863453bb03bd9",
    "true_boxes-tir-30": "99592e1800ae5d1f",
    "true_boxes-mixed-same": "7275c86067d29330",
    "true_boxes-mixed-30": "2aec3ec2973eccd1",
    "rgb_tracks-tir-30+steps_100": "5f8024c835e86318",
    "rgb_tracks-tir-30+steps_1000": "507ad88c3896693b",
    "rgb_tracks-tir-30+recordings_60": "8f378e0a28a9c4aa",
    "rgb_tracks-tir-30+recordings_120": "7ff2e7be526cbdba",
    "rgb_tracks-tir-30+backbone": "4ecd065633ac33d6",
}
"""Fingerprints of what the results of these arms depend on: changed, their results are lost."""


WAITING = PLAN.model_copy(
    update={
        "not_yet": {
            "rgb_tracks-tir-30": "a follower",
            "tir_tracks-tir-30": "a follower",
            "night": "dusk",
        }
    }
)
"""A plan of which some arms and a factor cannot run yet."""


def test_every_combination_of_the_crossed_factors_is_an_arm():
    crossed = [name for name in ARMS if name.count("-") == 2]
    assert len(crossed) == 6 * 2 * 2
    assert {*ARMS} - {*crossed} == {"baseline", "mixed"}


def test_arms_that_are_run_side_by_side_have_different_boxes():
    kinds = [arm.name.split("-")[0] for arm in chosen_arms(PLAN, [])]
    assert all(one != other for one, other in pairwise(kinds))


def test_the_plan_costs_at_most_ten_hours_of_two_cores():
    assert sum(PLAN.core_hours.values()) <= 20


def test_the_page_of_the_plan_tells_the_hours_of_the_plan():
    page = (DOCS / "evidence_plan.md").read_text("utf-8").partition("| part | core-hours |")[2]
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    assert [float(row[1]) for row in rows] == [*PLAN.core_hours.values()]


@pytest.mark.parametrize("branches", ["tir-same", "tir-30", "mixed-same", "mixed-30"])
def test_best_boxes_differ_from_a_control_in_tir_by_fitting_in_rgb_alone(branches):
    best, control = (ARMS[f"{one}-{branches}"] for one in ("best_boxes", "tir_fitted_tracks"))
    changes = {**best.changes(PLAN), "tracks.fit": ["tir"]}
    assert control.changes(PLAN) == changes
    assert control.name in controls_of(best.name)


def test_single_changes_have_one_seed_and_crossed_arms_three():
    assert ARMS["true_boxes-tir-30"].seeds(PLAN) == [0, 1, 2]
    assert arm_called(PLAN, "true_boxes-tir-30+steps_100").seeds(PLAN) == [0]


@pytest.mark.parametrize("name", IDENTITIES)
def test_what_the_results_of_an_arm_depend_on_stays(name):
    assert fingerprint(identity_of(PLAN, arm_called(PLAN, name))) == IDENTITIES[name]


def test_single_changes_are_of_the_best_arms_and_their_controls_change_by_change():
    arms = [arm.name for arm in changed_arms(PLAN, ["mixed", "rgb_tracks-tir-30"])]
    bases = ["mixed", "true_boxes-mixed-same", "tir_tracks-mixed-same"]
    bases += ["rgb_tracks-tir-30", "true_boxes-tir-30", "tir_tracks-tir-30"]
    assert arms[: len(bases) + 1] == [*(f"{one}+steps_100" for one in bases), "mixed+steps_1000"]
    assert [name for name in arms if name.endswith("second_round")] == [
        "tir_tracks-mixed-same+second_round",
        "tir_tracks-tir-30+second_round",
    ]


def test_what_cannot_run_yet_is_an_arm_or_a_factor():
    assert {*PLAN.not_yet} <= {*ARMS, *PLAN.factors}


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_arm_that_can_run_is_a_recipe_with_the_shared_training(name):
    recipe = recipe_of(PLAN, ARMS[name])
    assert (recipe.pool, recipe.training.steps, recipe.training.batch) == (2048, 300, 16)
    assert recipe.trains_backbone is False


@pytest.mark.parametrize("factor", PLAN.factors)
def test_a_factor_is_a_recipe_or_waits_for_something(factor):
    arm = arm_called(PLAN, f"tir_tracks-tir-30+{factor}")
    changed = identity_of(PLAN, arm) != identity_of(PLAN, ARMS["tir_tracks-tir-30"])
    assert changed or waits_for(PLAN, arm)
    recipe_of(PLAN, arm)


def test_arms_that_see_tir_alone_never_read_rgb():
    blind = [arm for arm in ARMS.values() if arm.levels and arm.sees == "tir"]
    assert [arm.name for arm in blind] == [
        "tir_saliency-tir-same",
        "tir_tracks-tir-same",
        "tir_fitted_tracks-tir-same",
        "tir_saliency-tir-30",
        "tir_tracks-tir-30",
        "tir_fitted_tracks-tir-30",
    ]
    for arm in (one for one in blind if one.name in TRAINABLE):
        recipe = recipe_of(PLAN, arm)
        assert recipe.proposals.modalities == ["tir"]
        assert recipe.teacher.modality == "tir"
        assert not recipe.reads_rgb
        assert [*recipe.directions] == ["tir_to_tir"]


@pytest.mark.parametrize("name", TRAINABLE)
def test_the_teacher_refuses_boxes_of_single_frames_only(name):
    recipe = recipe_of(PLAN, ARMS[name])
    is_tracked = bool(recipe.tracks.modalities) and recipe.boxes.join_iou is None
    assert recipe.teacher.require is not is_tracked


def test_salient_boxes_of_two_frames_are_proposals_that_a_tir_track_joins():
    recipe = recipe_of(PLAN, ARMS["tir_saliency-tir-30"])
    assert (recipe.boxes.join_iou, recipe.tracks.modalities) == (0.5, ["tir"])
    assert recipe.tracks == recipe_of(PLAN, ARMS["tir_tracks-tir-30"]).tracks


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
        pytest.param(["mixed+night"], "mixed+night cannot run yet, it waits for dusk", id="factor"),
        pytest.param(["true_boxes-tir-30+second_round"], "are not those of TIR tracks", id="truth"),
        pytest.param(["rgb_tracks-tir-30+second_round"], "are not those of TIR tracks", id="rgb"),
        pytest.param(["tir_saliency-tir-30+second_round"], "so it has no second", id="joined"),
        pytest.param(
            ["tir_tracks-tir-30", "rgb_tracks-tir-30"],
            "(and so do rgb_tracks-tir-30)",
            id="two arms",
        ),
    ],
)
def test_an_arm_that_cannot_run_is_refused_by_name(names, said):
    with pytest.raises(RequestError) as caught:
        chosen_arms(WAITING, names)
    assert said in str(caught.value)


def test_without_names_all_arms_run_that_can_and_the_others_are_named(capsys):
    assert {arm.name for arm in chosen_arms(PLAN, [])} == {"baseline", *TRAINABLE}
    left_out = ["rgb_tracks-tir-30", "tir_tracks-tir-30"]
    run = [arm.name for arm in chosen_arms(WAITING, [])]
    assert sorted([*run, *left_out]) == sorted(ARMS)
    tell_waiting(WAITING)
    assert capsys.readouterr().err.splitlines() == [
        f"evidence: {name} is left out, it waits for a follower" for name in left_out
    ]
