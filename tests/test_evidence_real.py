"""Question 4 of docs/evidence_plan.md: what is chosen, confirmed once, and never opened."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.evidence import camel, confirmation, parts
from benchmarks.evidence.cached_parts import cached_part
from benchmarks.evidence.choice import (
    choice_parts,
    choice_text,
    chosen_of,
    identity_of_part,
    made_choice,
    minus_baseline,
    part_file,
)
from benchmarks.evidence.confirmation import (
    bests_to_confirm,
    choice_to_confirm,
    conclusions,
    confirmation_text,
    harm,
    trained_without,
)
from benchmarks.evidence.gentle import TRAININGS, Real
from benchmarks.evidence.parts import Workplace
from benchmarks.evidence.plan import BASELINE, arms_of, read_plan
from benchmarks.evidence.real_plan import PLAIN, gentle_identity, gentle_recipe, read_real_plan
from benchmarks.evidence.records import add_part, kept_records
from benchmarks.evidence.score_rows import COVERED, group_of, over_recordings, over_sets
from benchmarks.evidence.table import Bests, best_arms
from benchmarks.experiments import data
from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.errors import RequestError
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.synthetic import WorldSize, write_world

PLAN = read_plan()
REAL_PLAN = read_real_plan()
GENTLE = REAL_PLAN.gentle


def rows(
    values: dict[str, list[float]], group: str = "", covered: tuple[str, ...] = ()
) -> dict[str, dict[str, object]]:
    """Rows whose scores are all the same, by group."""
    return {
        f"{group}{name}/{number}": {
            "group": name,
            COVERED: name in covered,
            "success": one,
            "norm_precision": one,
        }
        for name, inside in values.items()
        for number, one in enumerate(inside)
    }


def at(tmp_path: Path, **changes) -> Real:
    """Question 4 in an empty folder."""
    return replace(
        Real(PLAN, GENTLE, tmp_path / "shared", Workplace(tmp_path / "study"), tmp_path, tmp_path),
        **changes,
    )


# --- the plan ------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", GENTLE.variants)
def test_a_variant_is_the_arm_with_its_changes_alone(variant):
    plain = gentle_recipe(PLAN, GENTLE, PLAIN).model_dump()
    recipe = gentle_recipe(PLAN, GENTLE, variant).model_dump()
    changed = {key.split(".")[0] for key in GENTLE.variants[variant].changes}
    assert {key for key in plain if plain[key] != recipe[key]} == changed


@pytest.mark.parametrize("variant", GENTLE.variants)
def test_no_variant_reads_rgb(variant):
    assert not gentle_recipe(PLAN, GENTLE, variant).reads_rgb


def test_at_most_six_variants_are_compared_with_plain():
    assert next(iter(GENTLE.variants)) == PLAIN
    assert len(GENTLE.variants) - 1 <= 6


# --- parts that are kept -------------------------------------------------------------------------


def test_a_part_is_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"value": 0.5}

    for _ in range(2):
        assert cached_part(tmp_path / "a.json", {"seed": 0}, make) == {"value": 0.5}
    assert made == [1]


def test_a_part_of_another_plan_is_refused(tmp_path):
    cached_part(tmp_path / "a.json", {"seed": 0}, dict)
    with pytest.raises(RequestError, match=r"another seed \(was 0, now 1\)"):
        cached_part(tmp_path / "a.json", {"seed": 1}, dict)


def test_what_is_known_of_a_tracker_is_lost_with_its_start_weights(tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other weights")
    changed = PLAN.model_copy(update={"baseline": str(other)})
    found = [gentle_identity(one, GENTLE) for one in (PLAN, changed)]
    assert found[0]["baseline_sha256"] != found[1]["baseline_sha256"]


def test_candidates_of_the_study_are_known_by_their_whole_training(tmp_path):
    shared = tmp_path / "shared" / data.V3
    shared.parent.mkdir(parents=True)
    shared.write_bytes(b"published")
    bests = Bests("tir_tracks-tir-same", "rgb_tracks-tir-30", "true_boxes-tir-30")
    before = confirmation.trackers_to_confirm(at(tmp_path), PLAIN, bests)
    other = PLAN.model_copy(update={"recipe": "published"})
    after = confirmation.trackers_to_confirm(at(tmp_path, plan=other), PLAIN, bests)
    assert [name for name in before if before[name].training != after[name].training] == [
        f"{one}-{seed}" for one in (bests.tir, bests.rgb) for seed in PLAN.seeds
    ]
    assert len({json.dumps(dict(one.training)) for one in before.values()}) == len(before)


def test_sets_weigh_the_same_and_runs_are_averaged_first():
    before = rows({"drone": [0.5, 0.5, 0.5, 0.5], "cptv": [0.5]})
    runs = [rows({"drone": [0.5] * 4, "cptv": [0.7]}), rows({"drone": [0.5] * 4, "cptv": [0.9]})]
    assert over_sets(runs, [before], "success").mean == pytest.approx(0.15)


def test_recordings_are_drawn_whole():
    before = rows({"a": [0.5] * 9, "b": [0.5]})
    after = rows({"a": [0.6] * 9, "b": [0.4]})
    found = over_recordings([after], [before], "success")
    assert found.mean == pytest.approx(0.08)
    assert (found.low, found.high) == (pytest.approx(-0.1), pytest.approx(0.1))


@pytest.mark.parametrize(
    ("subset", "notes", "group"),
    [
        pytest.param("ptb_tir", {}, "ltir+ptb", id="a set of the primary figure"),
        pytest.param("", {"recording": "camel_s01"}, "camel_s01", id="a recording"),
        pytest.param("", {}, "", id="neither"),
    ],
)
def test_a_sequence_counts_in_its_recording_or_set(subset, notes, group):
    one = LabelledSequence("s", np.ones((1, 4)), 1, lambda: iter(()), subset=subset, notes=notes)
    assert group_of(one) == group


# --- the choice ----------------------------------------------------------------------------------


def choice_among(world: dict[str, float], tir_video: dict[str, tuple[float, float]]) -> tuple:
    """Variants that gain so much in the world, and the parts of their choice with two values on
    real video.
    """
    gentle = GENTLE.model_copy(update={"variants": {name: GENTLE.variants[name] for name in world}})
    still = {"world": rows({"": [0.5, 0.5]}), "tir_video": rows({"drone": [0.5, 0.5]})}
    parts = {name: still for name in choice_parts(gentle)}
    for name in world:
        for where in TRAININGS:
            parts[f"{name}-{where}"] = {
                "world": rows({"": [0.5 + world[name]] * 2}),
                "tir_video": rows({"drone": [0.5 + one for one in tir_video[name]]}),
            }
    return gentle, parts


@pytest.mark.parametrize(
    ("world", "tir_video", "chosen"),
    [
        pytest.param(
            {"plain": 0.04, "short": 0.03, "slow": 0.03},
            {"plain": (-0.1, 0.0), "short": (-0.02, 0.0), "slow": (-0.01, 0.0)},
            "slow",
            id="the highest lower end",
        ),
        pytest.param(
            {"plain": 0.04, "short": 0.03, "slow": 0.01},
            {"plain": (-0.1, 0.0), "short": (-0.02, 0.0), "slow": (-0.01, 0.0)},
            "short",
            id="one that keeps too little of the gain is out",
        ),
        pytest.param(
            {"plain": 0.04, "short": 0.03},
            {"plain": (0.01, 0.02), "short": (0.0, 0.02)},
            "plain",
            id="plain, if no gentle one does better",
        ),
        pytest.param(
            {"plain": -0.02, "short": -0.01},
            {"plain": (0.0, 0.0), "short": (0.0, 0.01)},
            "plain",
            id="the first of equals where none gains",
        ),
    ],
)
def test_the_choice_follows_the_rule(world, tir_video, chosen):
    gentle, parts = choice_among(world, tir_video)
    assert chosen_of(gentle, parts)["chosen"] == chosen
    assert f"The rule chooses `{chosen}`: " in choice_text(gentle, parts)


@pytest.mark.parametrize(
    ("place", "mean"),
    [
        pytest.param("world", 0.03, id="sequences of the world, however its cameras move"),
        pytest.param("tir_video", 0.06, id="sets of real video"),
    ],
)
def test_what_weighs_the_same_in_the_choice(place, mean):
    before, after = rows({"V": [0.5] * 3, "S": [0.5]}), rows({"V": [0.5] * 3, "S": [0.62]})
    parts = {BASELINE: {place: before}, "plain-world": {place: after}}
    assert minus_baseline(parts, "plain", place, ["world"]).mean == pytest.approx(mean)


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        pytest.param((0.04, 0.03), "of those that keep enough of the gain of `plain`", id="gain"),
        pytest.param(
            (-0.01, 0.0),
            "of those that lose nothing in the world, where `plain` gains nothing (`short`)",
            id="plain gains nothing",
        ),
        pytest.param((-0.02, -0.01), "of all variants, as each loses in the world", id="all lose"),
    ],
)
def test_the_variants_that_are_compared_are_said(gains, said):
    world = dict(zip(("plain", "short"), gains, strict=True))
    gentle, parts = choice_among(world, {"plain": (0.0, 0.0), "short": (0.0, 0.01)})
    assert said in choice_text(gentle, parts)


def test_what_was_chosen_is_said_and_not_what_the_rule_would_choose_now(tmp_path):
    gentle, parts = choice_among(
        {"plain": 0.04, "short": 0.03}, {"plain": (-0.1, 0.0), "short": (-0.02, 0.0)}
    )
    made = chosen_of(gentle, parts)
    written = tmp_path / "choice.json"
    assert made_choice(gentle, parts, written) is None
    written.write_text(json.dumps(made), encoding="utf-8")
    assert made_choice(gentle, parts, written) == made
    del parts["short-real"]
    said = choice_text(gentle, parts, made_choice(gentle, parts, written))
    assert said.startswith("The rule chooses `short`: ")
    assert "Not checked: 1 of 5 of its parts are missing." in said


def test_a_choice_that_the_rule_would_not_make_is_refused(tmp_path):
    gentle, parts = choice_among(
        {"plain": 0.04, "short": 0.03}, {"plain": (-0.1, 0.0), "short": (-0.02, 0.0)}
    )
    written = tmp_path / "choice.json"
    other = {**chosen_of(gentle, parts), "chosen": "plain"}
    written.write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(RequestError, match=r"another chosen \(was plain, now short\)"):
        made_choice(gentle, parts, written)


def test_the_table_of_the_choice_has_both_trainings_of_each_variant():
    world = {"plain": 0.04, "short": 0.01}
    gentle, parts = choice_among(world, {"plain": (-0.1, 0.0), "short": (0.0, 0.0)})
    parts["short-real"] = {**parts["short-real"], "tir_video": rows({"drone": [0.6, 0.6]})}
    text = choice_text(gentle, parts)
    assert "of those that keep enough of the gain of `plain` in the world (`plain`) " in text
    assert text.splitlines()[-2:] == [
        "| `plain` | +0.040 [+0.040, +0.040] | -0.050 [-0.100, +0.000] | +0.040 [+0.040, +0.040] "
        "| -0.050 [-0.100, +0.000] | -0.050 [-0.100, +0.000] | the arm as it is |",
        "| `short` | +0.010 [+0.010, +0.010] | 0 | +0.010 [+0.010, +0.010] "
        "| +0.100 [+0.100, +0.100] | +0.050 [+0.050, +0.050] | a quarter of the steps |",
    ]


# --- the confirmation ----------------------------------------------------------------------------


def test_nothing_is_confirmed_before_the_choice(tmp_path):
    with pytest.raises(RequestError, match="there is no choice to confirm"):
        choice_to_confirm(at(tmp_path))


def kept_choice_of_short(tmp_path: Path) -> Real:
    """Question 4 with the choice of ``short`` from parts that lie beside it."""
    gentle, parts = choice_among(
        {"plain": 0.04, "short": 0.03}, {"plain": (-0.1, 0.0), "short": (-0.02, 0.0)}
    )
    for name, results in parts.items():
        identity = identity_of_part(PLAN, gentle, name)
        cached_part(part_file(tmp_path, name), identity, lambda results=results: results)
    written = json.dumps(chosen_of(gentle, parts))
    (tmp_path / "choice.json").write_text(written, encoding="utf-8")
    return at(tmp_path, gentle=gentle)


def test_the_confirmation_runs_once(tmp_path):
    real = kept_choice_of_short(tmp_path)
    assert choice_to_confirm(real) == "short"
    (tmp_path / "confirmed.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RequestError, match="the confirmation was run, and runs once"):
        choice_to_confirm(real)


def test_a_choice_whose_parts_are_missing_is_not_confirmed(tmp_path):
    real = kept_choice_of_short(tmp_path)
    part_file(tmp_path, "short-real").unlink()
    with pytest.raises(RequestError, match="1 of 5 of its parts are missing, the first is short-r"):
        choice_to_confirm(real)


def kept_study(figures: Path) -> None:
    """Results of all trainings of the study."""
    values = {"s0": {"success": 0.5}}
    for arm in arms_of(PLAN).values():
        for seed in arm.seeds(PLAN):
            add_part(figures, PLAN, arm, seed, {"validation": values, "test": values})


def test_nothing_is_confirmed_while_a_training_of_the_study_is_missing(tmp_path):
    real = at(tmp_path, figures=tmp_path / "real")
    kept_study(tmp_path)
    assert bests_to_confirm(real) == best_arms(PLAN, kept_records(tmp_path, PLAN))
    file = tmp_path / "mixed.json"
    record = json.loads(file.read_text("utf-8"))
    del record["seeds"]["2"]
    file.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(RequestError, match="not final: 1 of 45 trainings of the study are missing"):
        bests_to_confirm(real)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        pytest.param(-0.05, -0.01, "shown", id="below zero"),
        pytest.param(-0.01, 0.03, "excluded", id="hardly below"),
        pytest.param(-0.03, 0.03, "open", id="wide"),
    ],
)
def test_harm_is_shown_excluded_or_open(low, high, said):
    difference = ScoreDifference(mean=0.0, low=low, high=high)
    assert harm(difference, PLAN.thresholds.harm) == said


def test_conclusions_put_folds_together_and_compare_m3svd_on_its_own_sequences(tmp_path):
    camels = rows({"camel_a": [0.4, 0.4], "camel_b": [0.4]}, covered=("camel_b",))
    mixed = rows({"camel_a": [0.4, 0.4], "camel_b": [0.1]}, covered=("camel_b",))
    before = {"tir_video": rows({"m3svd": [0.5], "drone": [0.5]}), "camel": camels}
    better = {"tir_video": rows({"m3svd": [0.7], "drone": [0.5]}), "camel": mixed}
    parts = {
        BASELINE: before,
        "short-world-0": better,
        "plain-without-camel_a": {"camel": rows({"camel_a": [0.3, 0.3]})},
        "plain-without-camel_b": {"camel": rows({"camel_b": [0.3]})},
        "short-without-camel_a": {"camel": rows({"camel_a": [0.5, 0.5]})},
        "short-without-camel_b": {"camel": rows({"camel_b": [0.5]})},
        "m3svd": {"m3svd": rows({"m3svd": [0.75]})},
    }
    trackers = {BASELINE: BASELINE, "short-world-0": "short-world"}
    found = conclusions(at(tmp_path), parts, trackers, "short")
    means = {row: {name: one["mean"] for name, one in of.items()} for row, of in found.items()}
    assert means == {
        "short-world": {
            "primary": pytest.approx(0.1),
            "camel": pytest.approx(-0.1),
            "primary, drone": 0.0,
            "primary, m3svd": pytest.approx(0.2),
            "camel, passes_full_cover": pytest.approx(-0.3),
            "camel, others": 0.0,
        },
        "plain, adapted on camel": {"camel": pytest.approx(-0.1)},
        "short, adapted on camel": {"camel": pytest.approx(0.1)},
        "m3svd, smoke test": {"m3svd": pytest.approx(0.25)},
    }
    judged = [name for name, one in found["short-world"].items() if "harm" in one]
    assert judged == ["primary", "camel"]


def confirmed(**rows: dict[str, object]) -> dict[str, object]:
    """A confirmation of ``short``, with harm left open by the chosen training, and further rows."""
    wide = {"mean": 0.0, "low": -0.05, "high": 0.05, "harm": "open"}
    own = {f"short-{where}": {"primary": wide, "camel": wide} for where in TRAININGS}
    own["short, adapted on camel"] = {"camel": wide}
    return {"chosen": "short", "note": confirmation.SECOND_LOOK, "rows": {**own, **rows}}


def test_what_was_confirmed_is_said_to_be_a_second_look():
    assert "The primary figure is a second look" in confirmation_text(confirmed())


def test_what_the_chosen_training_says_of_harm_is_counted():
    gain = {"mean": 0.03, "low": 0.01, "high": 0.05, "harm": "excluded"}
    loss = {"mean": -0.03, "low": -0.05, "high": -0.01, "harm": "shown"}
    text = confirmation_text(
        confirmed(**{"short-real": {"primary": gain, "camel": loss}, "v3": {"camel": loss}})
    )
    assert text.splitlines()[0] == (
        "On real video the training that was chosen (`short`) shows harm in 1, excludes it "
        "in 1 and leaves it open in 3 of 5 comparisons with the baseline; it shows a gain in 1."
    )


def test_figures_that_judge_stand_apart_from_those_beside_them():
    gain = {"mean": 0.03, "low": 0.01, "high": 0.05}
    text = confirmation_text(
        confirmed(v3={"camel": {**gain, "harm": "excluded"}, "primary, drone": gain})
    )
    judged, exploratory = text.split("Exploratory:")
    assert "| `v3` |  | +0.030 [+0.010, +0.050], no harm |" in judged
    assert "| `v3` | +0.030 [+0.010, +0.050] |" in exploratory
    assert "`short" not in exploratory


def test_weights_of_the_study_that_are_gone_are_trained_again(tmp_path, monkeypatch):
    trained = []

    def train(plan, arm, seed, at):
        trained.append((arm.name, seed))
        return at.weights(arm, seed)

    monkeypatch.setattr(parts, "train", train)
    spec = confirmation.weights_of_study(at(tmp_path), "rgb_tracks-tir-30", 1)
    assert trained == [("rgb_tracks-tir-30", 1)]
    assert Path(spec.weights).name == "rgb_tracks-tir-30-1.safetensors"


# --- camel without labels ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    """Three sequences of two recordings, in the layout of ``camel``."""
    root = tmp_path_factory.mktemp("shared")
    size = WorldSize(recordings=0, pairs_each=1, spacing_frames=1, validation=0, test=3, frames=6)
    write_world(root / "world", size=size, seed=3, settings=PLAN.world.difficulty())
    for number, sequence in enumerate(open_dataset(root / "world" / "test").sequences):
        folder = root / "data" / "tir_hard" / "camel" / f"s{number}"
        (folder / "img").mkdir(parents=True)
        for index, frame in enumerate(sequence.open_frames()):
            save(folder / "img" / f"{index + 1:06d}.png", frame)
        lines = [",".join(f"{side:.2f}" for side in box) for box in sequence.boxes]
        (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        facts = {"recording": f"camel_{number // 2}", "object": "person", "frames": len(lines)}
        (folder / "attributes.json").write_text(json.dumps(facts), encoding="utf-8")
    return root


def save(path: Path, frame: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(frame).save(path)


def test_the_training_on_camel_opens_frames_of_other_recordings_and_no_label(hard, tmp_path):
    opened: list[str] = []

    def watch(event, arguments):
        if event == "open" and "camel" in str(arguments[0]):
            opened.append(str(Path(str(arguments[0])).resolve()))

    sys.addaudithook(watch)
    small = {"training.steps": 1, "pool": 8, "held_back.samples": 4, "teacher.require": False}
    gentle = GENTLE.model_copy(
        update={"variants": {PLAIN: GENTLE.variants[PLAIN].model_copy(update={"changes": small})}}
    )
    spec = trained_without(at(tmp_path, shared=hard, gentle=gentle), PLAIN, "camel_1", 0)
    assert Path(spec.weights).is_file()
    folders = {Path(path).parent for path in opened}
    assert {one.parent.name for one in folders if one.name == "img"} == {"s0", "s1"}
    assert not any(path.endswith("groundtruth.txt") for path in opened)


def test_folders_that_are_trained_on_hold_frames_alone(hard, tmp_path):
    found = camel.frames_alone(hard / "data" / "tir_hard" / "camel", tmp_path)
    assert {name: [one.name for one in inside] for name, inside in found.items()} == {
        "camel_0": ["s0", "s1"],
        "camel_1": ["s2"],
    }
    assert {path.name for one in tmp_path.iterdir() for path in one.iterdir()} == {"img"}
    assert camel.all_but(found, "camel_0") == [tmp_path / "s2"]


def test_a_fold_is_tested_on_its_own_recording(hard):
    dataset = open_dataset(hard / "data" / "tir_hard" / "camel")
    assert [one.name for one in camel.only(dataset, "camel_1").sequences] == ["s2"]
