"""The study of docs/evidence_plan.md: its plan, what is left to do, and the table."""

from __future__ import annotations

import functools
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.evidence import parts
from benchmarks.evidence.__main__ import check_world, run, tell_waiting
from benchmarks.evidence.parts import Workplace, run_part
from benchmarks.evidence.plan import (
    arm_called,
    arms_of,
    chosen_arms,
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
from benchmarks.in_parallel import in_parallel
from tirtrack.boxes import Box
from tirtrack.errors import RequestError
from tirtrack.pairs import open_pairs
from tirtrack.pairs.proposals import FoundIn, Proposal, proposer
from tirtrack.pairs.source import Pair
from tirtrack.pairs.tracklets import Track, Tracklet
from tirtrack.synthetic import render_plan, write_world

PLAN = read_plan()
ARMS = arms_of(PLAN)
TRAINABLE = {name: arm for name, arm in ARMS.items() if arm.levels and waits_for(PLAN, arm) is None}


def test_every_combination_of_the_crossed_factors_is_an_arm():
    crossed = [name for name in ARMS if name.count("-") == 2]
    assert len(crossed) == 5 * 2 * 2
    assert {*ARMS} - {*crossed} == {"baseline", "mixed"}


def test_arms_that_are_run_side_by_side_have_different_boxes():
    kinds = [arm.name.split("-")[0] for arm in chosen_arms(PLAN, [])]
    assert all(one != other for one, other in pairwise(kinds))


def test_the_plan_costs_at_most_ten_hours_of_two_cores():
    assert sum(PLAN.core_hours.values()) <= 20


def test_single_changes_have_one_seed_and_crossed_arms_three():
    assert ARMS["true_boxes-tir-30"].seeds(PLAN) == [0, 1, 2]
    assert arm_called(PLAN, "true_boxes-tir-30+steps_100").seeds(PLAN) == [0]


def test_what_cannot_run_yet_is_an_arm_or_a_factor():
    assert {*PLAN.not_yet} <= {*ARMS, *PLAN.factors}


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_arm_that_can_run_is_a_recipe_with_the_shared_training(name):
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
        "tir_tracks-tir-same",
        "tir_saliency-tir-30",
        "tir_tracks-tir-30",
    ]
    for arm in (one for one in blind if one.name in TRAINABLE):
        recipe = recipe_of(PLAN, arm)
        assert recipe.proposals.modalities == ["tir"]
        assert recipe.teacher.modality == "tir"
        assert [*recipe.directions] == ["tir_to_tir"]


@pytest.mark.parametrize("name", TRAINABLE)
def test_the_teacher_refuses_boxes_of_single_frames_only(name):
    recipe = recipe_of(PLAN, ARMS[name])
    assert recipe.teacher.require is not bool(recipe.tracks.modalities)


def test_levels_set_directions_and_gap():
    recipe = recipe_of(PLAN, ARMS["true_boxes-mixed-30"])
    assert recipe.directions == {"tir_to_tir": 0.5, "rgb_to_tir": 0.25, "tir_to_rgb": 0.25}
    assert recipe.max_gap == 30


@pytest.mark.parametrize(
    ("names", "said"),
    [
        pytest.param(["tir_salency-tir-same"], "no arm is called", id="unknown arm"),
        pytest.param(["mixed+step_100"], 'did you mean "steps_100"', id="unknown factor"),
        pytest.param(["mixed", "tir_saliency-tir-30"], "tir_saliency-tir-30 cannot run", id="arm"),
        pytest.param(["mixed+night"], "a choice of recordings by the hour", id="factor"),
        pytest.param(
            ["tir_saliency-tir-30", "tir_saliency-mixed-30"],
            "(and so do tir_saliency-mixed-30)",
            id="two arms",
        ),
    ],
)
def test_an_arm_that_cannot_run_is_refused_by_name(names, said):
    with pytest.raises(RequestError) as caught:
        chosen_arms(PLAN, names)
    assert said in str(caught.value)


def test_without_names_all_arms_run_that_can_and_the_others_are_named(capsys):
    assert {arm.name for arm in chosen_arms(PLAN, [])} == {"baseline", *TRAINABLE}
    tell_waiting(PLAN)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("evidence: tir_saliency-mixed-30 is left out, it waits for boxes")
    assert len(lines) == len(ARMS) - 1 - len(TRAINABLE)


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
    assert lines[0] == "provisional: 60 of 63 parts are missing"
    assert said in lines[-1]


def test_table_has_a_row_for_each_arm_with_results():
    lines = markdown(PLAN, TOY).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {name}" for name in TOY]
    assert lines[3] == (
        "| tir_saliency-tir-same | 0.300 (0.300) | +0.100 [+0.100, +0.100] "
        "| +0.100 [+0.100, +0.100] | 7 |"
    )


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
