"""The study of docs/evidence_plan.md: its plan, what is left to do, and the table."""

from __future__ import annotations

import functools
import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.evidence import __main__ as main
from benchmarks.evidence import parts
from benchmarks.evidence.__main__ import PAGE, run, run_on_cameras, tell_waiting
from benchmarks.evidence.cameras import (
    add_camera,
    on_camera,
    place_of,
    read_camera,
    world_of,
)
from benchmarks.evidence.page import (
    BEGIN,
    END,
    PICTURE,
    Results,
    bars_of,
    made_part,
    picture,
    read_results,
    write_page,
)
from benchmarks.evidence.parts import Workplace, recordings_of, run_part, train
from benchmarks.evidence.plan import (
    Recordings,
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
from benchmarks.evidence.records import add_part, parts_due, read_record
from benchmarks.evidence.signal import followed, held_back_of
from benchmarks.evidence.table import Bests, answer, best_arms, difference, markdown, signal
from benchmarks.evidence.truth import (
    TrueFollower,
    recipe_changes,
    rows_of,
    scene_of,
    true_boxes,
    write_table,
)
from benchmarks.evidence.worlds import check_world, render, write_truth
from benchmarks.in_parallel import in_parallel
from tirtrack.boxes import Box
from tirtrack.distillation.summary import RunSummary
from tirtrack.errors import RequestError
from tirtrack.files import fingerprint
from tirtrack.pairs import open_pairs
from tirtrack.pairs.proposals import FoundIn, Proposal, proposer
from tirtrack.pairs.source import Pair
from tirtrack.pairs.tracklets import Track, Tracklet
from tirtrack.synthetic import render_plan, write_world

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


# --- results -------------------------------------------------------------------------------------


def part(values: list[float]) -> dict[str, object]:
    """Results of one seed: a figure of each sequence, the same on both splits."""
    rows = {f"s{n}": {"success": one, "norm_precision": one} for n, one in enumerate(values)}
    return {"training": {"samples": {"usable": 7}}, "validation": rows, "test": rows}


def record(*seeds: list[float]) -> dict[str, object]:
    return {"seeds": {str(n): part(values) for n, values in enumerate(seeds)}}


def test_parts_that_are_recorded_are_not_due(tmp_path):
    arms = [ARMS["baseline"], ARMS["mixed"]]
    assert [(arm.name, seed) for arm, seed in parts_due(tmp_path, PLAN, arms)] == [
        ("baseline", 0),
        ("mixed", 0),
        ("mixed", 1),
        ("mixed", 2),
    ]
    add_part(tmp_path, PLAN, ARMS["mixed"], 1, part([0.5]))
    add_part(tmp_path, PLAN, ARMS["mixed"], 0, part([0.25]))
    add_part(tmp_path, PLAN, ARMS["baseline"], 0, part([0.25]))
    assert parts_due(tmp_path, PLAN, arms) == [(ARMS["mixed"], 2)]
    kept = read_record(tmp_path, PLAN, ARMS["mixed"])["seeds"]
    assert [*kept] == ["0", "1"]
    assert kept["1"] == part([0.5])


def test_nothing_is_rendered_where_nothing_is_due(tmp_path):
    add_part(tmp_path / "figures", PLAN, ARMS["baseline"], 0, part([0.25]))
    at = Workplace(tmp_path / "out")
    assert run(PLAN, [ARMS["baseline"]], at, tmp_path / "figures", 1) == []
    assert not at.out.exists()


def test_a_part_that_fails_says_why_and_does_not_raise(tmp_path):
    ended = run_part(PLAN, ARMS["baseline"], 0, Workplace(tmp_path))
    assert ended.results is None
    assert str(tmp_path / "world" / "validation") in ended.fault


def test_a_part_that_breaks_unexpectedly_is_told_as_a_fault(tmp_path, monkeypatch):
    def broken():
        raise KeyError("revision")

    monkeypatch.setattr(parts, "revision", broken)
    ended = run_part(PLAN, ARMS["baseline"], 0, Workplace(tmp_path))
    assert ended.results is None
    assert ended.fault == "KeyError: 'revision'"


def test_jobs_that_have_not_begun_are_not_run_after_an_error(tmp_path):
    def ended(_: object) -> str:
        raise RuntimeError

    jobs = [functools.partial(Path.touch, tmp_path / str(number)) for number in range(1000)]
    with pytest.raises(RuntimeError):
        in_parallel(jobs, 1, "job", ended=ended)
    assert len([*tmp_path.iterdir()]) < len(jobs)


def test_another_world_in_the_same_folder_is_refused(world):
    world, folder = world
    check_world(world, folder)
    with pytest.raises(RequestError, match=r"another seed \(was 3, now 4\)"):
        check_world(world.model_copy(update={"seed": 4}), folder)


def test_a_world_of_another_format_is_refused(world, tmp_path):
    world, folder = world
    facts = json.loads((folder / "world.json").read_text(encoding="utf-8"))
    (tmp_path / "world.json").write_text(json.dumps({**facts, "format": 0}), encoding="utf-8")
    with pytest.raises(RequestError, match="another format"):
        check_world(world, tmp_path)


def test_results_of_another_plan_are_refused_with_what_changed(tmp_path):
    add_part(tmp_path, PLAN, ARMS["mixed"], 0, part([0.5]))
    other = PLAN.model_copy(update={"changes": {**PLAN.changes, "training.steps": 100}})
    with pytest.raises(RequestError, match=r"training\.steps was 300, now 100") as caught:
        parts_due(tmp_path, other, [ARMS["mixed"]])
    assert "mixed.json" in str(caught.value)


def test_difference_averages_seeds_in_a_sequence_first():
    found = difference(record([0.5, 0.1], [0.7, 0.3]), record([0.4, 0.2]), "success")
    assert found.mean == pytest.approx(0.1)
    assert (found.low, found.high) == (pytest.approx(0.0), pytest.approx(0.2))
    assert found.n == 2


def values_of(record) -> list[float]:
    """Success of the sequences in the first seed of a record."""
    return [one["success"] for one in record["seeds"]["0"]["test"].values()]


TOY = {
    "baseline": record([0.1, 0.2, 0.3]),
    "tir_saliency-tir-same": record([0.2, 0.3, 0.4]),
    "rgb_tracks-tir-30": record([0.3, 0.4, 0.45]),
    "true_boxes-tir-30": record([0.35, 0.45, 0.55]),
}


def test_best_arms_are_chosen_by_the_validation_sequences():
    better_on_test = {
        **record([0.1, 0.2, 0.3])["seeds"]["0"],
        "test": part([0.9, 0.9, 0.9])["test"],
    }
    found = best_arms(PLAN, {**TOY, "mixed": {"seeds": {"0": better_on_test}}})
    assert found == Bests("tir_saliency-tir-same", "rgb_tracks-tir-30", "true_boxes-tir-30")


def test_without_an_arm_of_every_kind_none_is_best():
    results = {name: one for name, one in TOY.items() if not name.startswith("true")}
    assert best_arms(PLAN, results) is None


@pytest.mark.parametrize(
    ("rgb", "said"),
    [
        pytest.param([0.28, 0.38, 0.48], "share closed: 0.53; the goal is reached", id="half"),
        pytest.param([0.26, 0.36, 0.46], "share closed: 0.40; the goal is not reached", id="less"),
        pytest.param([0.1, 0.3, 0.9], "share closed: 0.89; the goal is not reached", id="unsure"),
    ],
)
def test_the_goal_needs_half_of_the_distance_and_an_interval_above_zero(rgb, said):
    bests = Bests("tir_saliency-tir-same", "rgb_tracks-tir-30", "true_boxes-tir-30")
    every = {name: record(*[[0.1, 0.1, 0.1]] * 3) for name, arm in ARMS.items() if arm.levels}
    chosen = {**TOY, "rgb_tracks-tir-30": record(rgb)}
    repeated = {name: record(*[values_of(one)] * 3) for name, one in chosen.items()}
    assert answer(PLAN, bests, {**every, **repeated}).splitlines()[-1] == said


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        pytest.param([0.4, 0.5, 0.6], "the goal is reached so far", id="answered"),
        pytest.param([0.1, 0.3, 0.4], "no answer so far: true boxes are not above", id="open"),
    ],
)
def test_an_answer_is_provisional_while_parts_are_missing(truth, said):
    bests = Bests("tir_saliency-tir-same", "rgb_tracks-tir-30", "true_boxes-tir-30")
    toy = {**TOY, "rgb_tracks-tir-30": record([0.4, 0.5, 0.6]), bests.truth: record(truth)}
    lines = answer(PLAN, bests, toy).splitlines()
    assert lines[0] == "provisional: 72 of 75 parts are missing"
    assert said in lines[-1]


def test_table_has_a_row_for_each_arm_with_results():
    lines = markdown(PLAN, TOY).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {name}" for name in TOY]
    assert lines[3] == (
        "| tir_saliency-tir-same | 0.300 (0.300) | +0.100 [+0.100, +0.100] "
        "| +0.100 [+0.100, +0.100] | 7 |"
    )


# --- other cameras -------------------------------------------------------------------------------

BESTS = Bests("tir_saliency-tir-same", "rgb_tracks-tir-30", "true_boxes-tir-30")


@pytest.mark.parametrize("camera", PLAN.cameras.worlds)
def test_a_camera_films_another_world_that_can_be_rendered(camera, tmp_path):
    world = world_of(PLAN, camera)
    assert world.difficulty() != PLAN.world.difficulty()
    assert (world.size.recordings, world.size.test, world.seed) == (0, 60, PLAN.world.seed)
    small = world.model_copy(
        update={"size": world.size.model_copy(update={"test": 1, "frames": 2})}
    )
    render(small, place_of(Workplace(tmp_path), camera), 1)
    assert len([*(tmp_path / "cameras" / camera / "world" / "test").glob("*/img/*.png")]) == 2


def test_trackers_on_a_camera_are_scored_on_its_test_sequences(tmp_path):
    at, world = Workplace(tmp_path), world_of(PLAN, "polarity")
    size = world.size.model_copy(update={"test": 1, "frames": 2})
    render(world.model_copy(update={"size": size}), place_of(at, "polarity"), 1)
    camera, arms = on_camera(PLAN, "polarity", [(ARMS["baseline"], 0)], at)
    assert camera == "polarity"
    (scored,) = arms["baseline"]["seeds"]["0"]["test"].values()
    assert 0 < scored["success"] <= 1


def on_toy_cameras(figures: Path, *cameras: str) -> None:
    """Results of the best arms on cameras."""
    arms = {name: TOY[name] for name in ("baseline", BESTS.tir, BESTS.rgb)}
    for camera in cameras:
        add_camera(figures, PLAN, camera, BESTS, arms)


def test_a_camera_with_results_is_left_as_it_is(tmp_path):
    kept_toy(tmp_path, *TOY)
    on_toy_cameras(tmp_path, "optics")
    run_on_cameras(PLAN, ["optics"], Workplace(tmp_path / "out"), tmp_path, 1)
    assert not (tmp_path / "out").exists()


def test_a_fresh_clone_renders_what_the_best_arms_are_trained_on_before_a_camera(
    tmp_path, monkeypatch
):
    kept_toy(tmp_path, *TOY)
    rendered, ran = [], []
    monkeypatch.setattr(main, "render", lambda world, at, workers: rendered.append(at))
    monkeypatch.setattr(main, "run_cameras", lambda plan, due, *others: ran.extend(due))
    at = Workplace(tmp_path / "out")
    run_on_cameras(PLAN, ["optics"], at, tmp_path, 1)
    assert rendered == [at, place_of(at, "optics")]
    assert ran == ["optics"]


def test_results_from_other_start_weights_on_a_camera_are_refused(tmp_path):
    on_toy_cameras(tmp_path, "optics")
    other = PLAN.model_copy(update={"baseline": "nano-tir"})
    with pytest.raises(RequestError, match=r"another baseline \(was nano-rgb"):
        read_camera(tmp_path, other, "optics", BESTS)


def test_results_of_other_best_arms_on_a_camera_are_refused(tmp_path):
    on_toy_cameras(tmp_path, "optics")
    others = Bests("tir_tracks-tir-30", BESTS.rgb, BESTS.truth)
    with pytest.raises(RequestError, match="tir_saliency-tir-same"):
        read_camera(tmp_path, PLAN, "optics", others)


def test_an_unknown_camera_is_refused_by_name():
    with pytest.raises(RequestError, match='did you mean "optics"'):
        world_of(PLAN, "optic")


# --- the page ------------------------------------------------------------------------------------

COMMITTED = DOCS / "figures" / "evidence"


def test_the_page_and_its_picture_are_made_from_the_kept_results():
    results = read_results(PLAN, COMMITTED)
    made = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    assert made == made_part(results), "run python -m benchmarks.evidence --page"
    if bars := bars_of(results):
        assert (DOCS / PICTURE).read_text("utf-8") == picture(results, bars)


def kept_toy(figures: Path, *names: str) -> Results:
    """Results of toy arms, with a signal that ranks them as their gain does."""
    for name in names:
        toy = TOY[name.partition("+")[0]]["seeds"]["0"]
        seed = {**toy, "signal": {"r/0": float(np.mean(values_of(TOY[name.partition("+")[0]])))}}
        add_part(figures, PLAN, arm_called(PLAN, name), 0, seed)
    return read_results(PLAN, figures)


def test_without_results_the_page_says_what_is_missing(tmp_path):
    text = made_part(kept_toy(tmp_path))
    assert text.splitlines()[1].startswith("What RGB adds is not known yet: 75 of 75 trainings")
    assert "Answers are provisional while an arm lacks a seed:" in text
    assert "* Seed 0 of `baseline`.\n* Seed 0, 1, 2 of `tir_saliency-tir-same`, " in text
    assert "* Cameras: `optics`, `gain_control`, " in text
    assert "evidence.svg" not in text


def test_the_page_begins_with_three_sentences_then_figure_and_table(tmp_path):
    on_toy_cameras(tmp_path, "optics", "polarity")
    results = kept_toy(tmp_path, *TOY, "rgb_tracks-tir-30+steps_100")
    blocks = made_part(results).split("\n\n")
    assert blocks[0].splitlines()[1:] == [
        "The best training with RGB (`rgb_tracks-tir-30`) gains +0.083 [+0.050, +0.100] in success "
        "over the best with TIR alone (`tir_saliency-tir-same`), 0.56 of what true boxes gain: the "
        "goal is reached so far.",
        "Of 2 other cameras the adapted tracker is above the baseline on 2 (optics, polarity) with "
        "`rgb_tracks-tir-30` and on 2 (optics, polarity) with `tir_saliency-tir-same`.",
        "The signal without labels ranks trainings as their gains do with a correlation of 1.00 "
        "[1.00, 1.00]: it is the verdict of `distill` so far.",
    ]
    assert blocks[1] == "![every arm minus the baseline](pictures/evidence.svg)"
    assert blocks[2].splitlines()[1].startswith("| arm | **success** (of each seed) |")
    assert "| steps_100 | rgb_tracks-tir-30 | 0 | a third of the steps |" in blocks[-5]


def test_the_figure_has_a_row_for_each_arm_with_its_interval(tmp_path):
    results = kept_toy(tmp_path, *TOY)
    bars = bars_of(results)
    assert [(bar.name, bar.sees) for bar in bars] == [
        ("tir_saliency-tir-same", "tir"),
        ("rgb_tracks-tir-30", "rgb"),
        ("true_boxes-tir-30", "truth"),
    ]
    tree = ElementTree.fromstring(picture(results, bars))
    points = [one for one in tree.iter("{http://www.w3.org/2000/svg}circle") if one.get("r") == "4"]
    places = [float(one.get("cx")) for one in points[3:]]
    assert places == sorted(places)


def test_a_page_is_written_between_its_marks(tmp_path):
    page = tmp_path / "evidence.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n", encoding="utf-8")
    results = kept_toy(tmp_path / "figures", *TOY)
    write_page(results, page)
    assert page.read_text("utf-8") == f"before\n{BEGIN}{made_part(results)}{END}after\n"
    assert (tmp_path / PICTURE).is_file()


def test_kept_results_stand_in_the_order_of_the_plan(tmp_path):
    names = ["rgb_tracks-tir-30", "baseline", "rgb_tracks-tir-30+steps_100"]
    assert [*kept_toy(tmp_path, *names).records] == [names[1], names[0], names[2]]


# --- the signal without labels -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        pytest.param(
            [0.5, 0.6, 0.7], "1.00 [1.00, 1.00]; it is to be the verdict so far", id="as the gain"
        ),
        pytest.param([0.7, 0.6, 0.5], "-1.00 [-1.00, -1.00]; it is not to be", id="reversed"),
    ],
)
def test_the_signal_is_ranked_against_the_true_gain(signals, said):
    records = {
        name: {"seeds": {"0": {**one["seeds"]["0"], "signal": {"r/0": value}}}}
        for (name, one), value in zip(TOY.items(), [0.4, *signals], strict=True)
    }
    text = signal(PLAN, records)
    assert "over 3 runs of 3 arms" in text
    assert said in text


def test_a_tracker_is_compared_with_a_track_where_that_is_trusted():
    boxes = tuple(Box(10.0 + 2 * t, 10, 10, 10) for t in range(4))
    first = Proposal(boxes[0], FoundIn.RGB, 0.5, 1.0, "saliency")
    track = Track(first, "rgb", (5, 6, 7, 8), Tracklet(boxes, (True, True, False, True)))
    frames = {n: Pair(str(n), "r", n, None, np.full((4, 4), n, np.uint8)) for n in (5, 6, 7, 8)}

    class Still:
        """Says where it began."""

        def init(self, frame, box):
            assert frame[0, 0] == 5
            self.measured_box = box

        def update(self, frame):
            return self

    assert followed(Still(), frames, track) == pytest.approx((80 / 120 + 40 / 160) / 2)


def test_recordings_of_the_signal_are_those_that_no_arm_is_trained_on(tmp_path):
    size = PLAN.world.size.model_copy(
        update={"recordings": 6, "pairs_each": 2, "validation": 0, "test": 0}
    )
    write_world(tmp_path / "world", size=size, seed=3, settings=PLAN.world.difficulty())
    recordings = Workplace(tmp_path).recordings()
    held = held_back_of(PLAN, recordings)
    assert 0 < len(held) < 3
    assert {*held} < {*recordings}


# --- trainings -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def four_recordings(tmp_path_factory):
    """A plan with a world of four short recordings and no sequence, and where it is rendered."""
    size = {"recordings": 4, "pairs_each": 2, "validation": 0, "test": 0}
    world = PLAN.world.model_copy(
        update={"seed": 3, "size": PLAN.world.size.model_copy(update=size)}
    )
    at = Workplace(tmp_path_factory.mktemp("trained"))
    for place in (at, at.beside("unregistered")):
        chosen = world if place is at else world.recordings_at("unregistered")
        render(chosen, place, 1)
    return PLAN.model_copy(update={"world": world}), at


def frames_of(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.rglob("*.png"))]


def test_recordings_at_another_difficulty_show_the_same_scenes_on_another_rig(four_recordings):
    plan, at = four_recordings
    scenes = [scene_of(one, 0) for one in (plan.world, plan.world.recordings_at("unregistered"))]
    assert (scenes[0].light, scenes[0].climate) == (scenes[1].light, scenes[1].climate)
    assert [one.kind for one in scenes[0].actors] == [one.kind for one in scenes[1].actors]
    assert scenes[0].rig != scenes[1].rig
    folders = [place.recordings()[0] for place in (at, at.beside("unregistered"))]
    assert frames_of(folders[0] / "tir") != frames_of(folders[1] / "tir")
    assert scenes[1].settings.sixteen_bit_share == 0


def test_recordings_are_chosen_by_number_hour_and_difficulty(four_recordings):
    plan, at = four_recordings
    hours = [scene_of(plan.world, index).light.daylight for index in range(4)]
    names = [folder.name for folder in at.recordings()]
    assert len({*hours}) > 1

    def chosen(**given):
        return [one.name for one in recordings_of(plan, Recordings(**given), at)]

    assert chosen() == names
    assert chosen(first=2) == names[:2]
    assert chosen(hours=[hours[0]]) == [
        name for name, hour in zip(names, hours, strict=True) if hour == hours[0]
    ]
    others = recordings_of(plan, Recordings(difficulty="unregistered"), at)
    assert {one.parent for one in others} == {at.out / "unregistered" / "world" / "pairs"}


def told_to_distil(plan, at, name, monkeypatch):
    """What the package is asked for to train an arm, training by training; nothing is trained."""
    asked = []

    def distil(pairs, baseline, out, **given):
        asked.append(SimpleNamespace(pairs=pairs, baseline=baseline, out=out, **given))
        return SimpleNamespace(summary=RunSummary(recipe="mixed"), folder=out)

    monkeypatch.setattr(parts.tirtrack, "distill", distil)
    results = train(plan, arm_called(plan, name), 0, at)
    assert results["recordings"] == len(asked[-1].pairs)
    return asked


@pytest.mark.parametrize(
    "name", ["tir_tracks-tir-same", "tir_fitted_tracks-mixed-30", "best_boxes-tir-30"]
)
def test_a_second_round_changes_nothing_but_who_follows(name):
    arm = arm_called(PLAN, f"{name}+second_round")
    assert recipe_of(PLAN, arm) == recipe_of(PLAN, ARMS[name])
    assert arm.first_round == ARMS[name]


def test_a_second_round_begins_with_the_baseline_and_its_student_follows(
    four_recordings, tmp_path, monkeypatch
):
    plan, at = four_recordings
    first, second = told_to_distil(plan, at, "tir_tracks-tir-30+second_round", monkeypatch)
    assert first.out == at.weights(ARMS["tir_tracks-tir-30"], 0)
    assert second.out.name == "tir_tracks-tir-30+second_round-0.safetensors"
    assert (first.baseline, second.baseline) == ("nano-rgb", "nano-rgb")
    assert first.recipe == second.recipe
    assert not hasattr(first, "follower")
    assert second.follower.args == (first.out,)


def test_held_back_recordings_stay_so_at_another_difficulty(four_recordings, monkeypatch):
    plan, at = four_recordings
    names = [
        told_to_distil(plan, at, name, monkeypatch)[0].hold_back
        for name in ("true_boxes-tir-30", "true_boxes-tir-30+unregistered")
    ]
    assert names[0] == names[1] != []


def test_true_boxes_of_another_difficulty_are_those_of_its_world(four_recordings, monkeypatch):
    plan, at = four_recordings
    (asked,) = told_to_distil(plan, at, "true_boxes-tir-30+unregistered", monkeypatch)
    table = at.out / "unregistered" / "true_boxes.csv"
    assert asked.recipe.proposals.options["boxes"] == str(table)
    assert asked.follower.args[1] == table


def test_a_table_of_true_boxes_is_written_once(four_recordings, tmp_path):
    plan, _ = four_recordings
    at = Workplace(tmp_path)
    at.table.write_text("kept", encoding="utf-8")
    write_truth(plan.world, at, 1)
    assert at.table.read_text("utf-8") == "kept"


# --- the truth -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world of one recording, and its true boxes."""
    size = PLAN.world.size.model_copy(
        update={"recordings": 1, "pairs_each": 3, "validation": 0, "test": 0}
    )
    world = PLAN.world.model_copy(update={"seed": 3, "size": size})
    folder = tmp_path_factory.mktemp("evidence") / "world"
    write_world(folder, size=size, seed=world.seed, settings=world.difficulty())
    return world, folder


def test_truth_is_of_the_recording_that_was_rendered(world):
    world, folder = world
    drawn = render_plan(scene_of(world, 0), rgb=False)
    source = open_pairs([folder / "pairs" / "recording_001"])
    for frame in range(3):
        assert np.array_equal(source[frame].tir, drawn.tir[frame])
    boxes = true_boxes(world, 0)
    assert boxes.shape == (len(drawn.plan.actors), 3, 4)
    visible = drawn.facts.occluded_tir <= 0.5
    assert np.array_equal(boxes[0][visible], drawn.facts.boxes_tir[visible])


def test_a_table_of_true_boxes_is_proposed_and_followed(world, tmp_path):
    _, folder = world
    pairs = [folder / "pairs" / "recording_001"]
    boxes = np.full((2, 3, 4), np.nan)
    boxes[0] = [[10, 20, 5, 6], [12, 20, 5, 6], [14, 20, 5, 6]]
    boxes[1, :2] = [[100, 50, 30, 40], [101, 50, 30, 40]]
    table = tmp_path / "true_boxes.csv"
    write_table(table, rows_of("recording_001", boxes))
    recipe = recipe_of(PLAN, ARMS["true_boxes-tir-30"], recipe_changes(table))
    way = proposer(recipe.proposals.way, **recipe.proposals.options)
    source = open_pairs(pairs)
    found = [way.propose(source[n], (), np.random.default_rng(0)).kept for n in range(3)]
    assert [len(one) for one in found] == [2, 2, 1]
    assert {one.found_in for frame in found for one in frame} == {"both"}
    follower = TrueFollower(pairs, table)
    assert follower.init(source[0].rgb, Box(101, 51, 30, 40)).box == Box(100, 50, 30, 40)
    assert follower.update(source[1].tir).box == Box(101, 50, 30, 40)
    assert follower.update(source[2].rgb).measured is False
