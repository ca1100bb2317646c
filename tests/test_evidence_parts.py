"""Parts of the study: what is due, what is kept, how arms are trained and evaluated."""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.command import ROOT, ends
from benchmarks.evidence import __main__ as main
from benchmarks.evidence import parts
from benchmarks.evidence.__main__ import run
from benchmarks.evidence.cameras import (
    on_camera,
    place_of,
    world_of,
)
from benchmarks.evidence.parts import Workplace, recordings_of, run_part, train
from benchmarks.evidence.plan import (
    Recordings,
    arm_called,
    arms_of,
    read_plan,
    recipe_of,
)
from benchmarks.evidence.records import add_part, parts_due, read_record
from benchmarks.evidence.signal import followed, held_back_of
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
from tirtrack.pairs import open_pairs
from tirtrack.pairs.proposals import FoundIn, Proposal, proposer
from tirtrack.pairs.source import Pair
from tirtrack.pairs.tracklets import Track, Tracklet
from tirtrack.synthetic import render_plan, write_world

PLAN = read_plan()
ARMS = arms_of(PLAN)


def part(values: list[float]) -> dict[str, object]:
    """Results of one seed: a figure of each sequence, the same on both splits."""
    rows = {f"s{n}": {"success": one, "norm_precision": one} for n, one in enumerate(values)}
    return {"training": {"samples": {"usable": 7}}, "validation": rows, "test": rows}


def refuse() -> list[str]:
    raise RequestError("no arm is called so")


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


def test_the_best_of_a_kind_by_the_first_seed_get_the_others(tmp_path):
    tir = [name for name, arm in ARMS.items() if arm.levels and arm.sees == "tir"]
    for place, name in enumerate(tir):
        add_part(tmp_path, PLAN, ARMS[name], 0, {**part([place / 10]), "test": part([1.0])["test"]})
    add_part(tmp_path, PLAN, ARMS[tir[0]], 1, part([1.0]))  # of the others only the first decides
    due = parts_due(tmp_path, PLAN, [ARMS[name] for name in tir])
    assert {arm.name for arm, _ in due} == {*tir[-PLAN.finalists :]}
    assert [seed for _, seed in due] == [1, 1, 1, 2, 2, 2]


def test_seeds_that_the_first_ones_ask_for_are_run_in_the_same_call(tmp_path, monkeypatch):
    def run_due(plan, due, _at, figures, _workers):
        calls.append([(arm.name, seed) for arm, seed in due])
        for arm, seed in due:
            add_part(figures, plan, arm, seed, part([0.5]))
        return []

    calls: list[list[tuple[str, int]]] = []
    monkeypatch.setattr(main, "run_due", run_due)
    name = "true_boxes-tir-30"
    assert run(PLAN, [ARMS[name]], Workplace(tmp_path), tmp_path, 1) == []
    assert calls == [[(name, 0)], [(name, 1), (name, 2)]]


def test_a_run_ends_with_the_parts_that_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(main, "run_due", lambda *_: ["mixed, seed 0: why"])
    assert run(PLAN, [ARMS["mixed"]], Workplace(tmp_path), tmp_path, 1) == ["mixed, seed 0: why"]


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


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        pytest.param(list, 0, "", id="nothing wrong"),
        pytest.param(lambda: ["mixed, seed 0: why"], 1, "study: mixed, seed 0: why\n", id="faults"),
        pytest.param(refuse, 2, "study: no arm is called so\n", id="a wrong request"),
    ],
)
def test_a_command_ends_with_its_faults_on_stderr(command, code, said, capsys):
    assert ends("study", command) == code
    assert capsys.readouterr().err == said


def test_faults_are_told_before_a_command_that_goes_on_is_refused(capsys):
    def command() -> Iterator[str]:
        yield "mixed, seed 0: why"
        refuse()

    assert ends("study", command) == 2
    assert capsys.readouterr().err == "study: mixed, seed 0: why\nstudy: no arm is called so\n"


def test_faults_of_arms_are_told_although_the_table_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main, "run", lambda *given: ["mixed, seed 0: why"])
    monkeypatch.setattr(main, "show", lambda *given: refuse())
    options = argparse.Namespace(
        factors=False, only=["mixed"], out=tmp_path, figures=tmp_path, workers=1
    )
    assert ends("evidence", functools.partial(main.run_arms, PLAN, options)) == 2
    assert "mixed, seed 0: why" in capsys.readouterr().err


def test_jobs_that_have_not_begun_are_not_run_after_an_error(tmp_path):
    def ended(_: object) -> str:
        raise RuntimeError

    jobs = [functools.partial(Path.touch, tmp_path / str(number)) for number in range(1000)]
    with pytest.raises(RuntimeError):
        in_parallel(jobs, 1, "job", ended=ended)
    assert len([*tmp_path.iterdir()]) < len(jobs)


JOBS = """
import functools, time
from benchmarks.in_parallel import in_parallel
if __name__ == "__main__":
    jobs = [functools.partial(time.sleep, seconds) for seconds in (0.0, 600.0)]
    in_parallel(jobs, 1, "job", ended=lambda _: print("ended", flush=True) or "")
"""


def test_no_job_outlives_a_command_that_is_killed():
    running = subprocess.Popen(
        [sys.executable, "-c", JOBS], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "ended\n"
    running.kill()
    running.communicate(timeout=60)  # ends when the last process that writes there has left


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


# --- other cameras -------------------------------------------------------------------------------


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


def test_an_unknown_camera_is_refused_by_name():
    with pytest.raises(RequestError, match='did you mean "optics"'):
        world_of(PLAN, "optic")


# --- the signal without labels -------------------------------------------------------------------


def test_a_tracker_is_compared_with_a_track_where_that_is_trusted():
    boxes = tuple(Box(10.0 + 2 * t, 10, 10, 10) for t in range(4))
    first = Proposal(boxes[0], FoundIn.RGB, 1.0, "saliency")
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
