"""Questions 4 to 6 of docs/evidence_plan.md: what is chosen, confirmed once, and never opened."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from benchmarks.evidence import camel, confirmation, lite, parts, v3
from benchmarks.evidence.cached_parts import cached_part
from benchmarks.evidence.choice import choice_parts, choice_text, chosen_of
from benchmarks.evidence.confirmation import (
    choice_to_confirm,
    conclusions,
    confirmation_text,
    harm,
    trained_without,
)
from benchmarks.evidence.gentle import TRAININGS, Real
from benchmarks.evidence.lite import gain_of, row_called, row_gains, slug
from benchmarks.evidence.parts import ROOT, Workplace
from benchmarks.evidence.plan import BASELINE, read_plan
from benchmarks.evidence.real_plan import PLAIN, gentle_identity, gentle_recipe, read_real_plan
from benchmarks.evidence.score_rows import COVERED, group_of, over_recordings, over_sets
from benchmarks.evidence.table import Bests
from benchmarks.evidence.v3 import attributes_of, by_attribute, facts_of
from benchmarks.experiments import data
from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.distillation.recipe import recipe_of_kind
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.errors import RequestError
from tirtrack.evaluation.results import Track
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.synthetic import WorldSize, write_world

PLAN = read_plan()
REAL_PLAN = read_real_plan()
GENTLE = REAL_PLAN.gentle
V3_FIGURES = ROOT / "docs" / "figures" / "evidence" / "v3"


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


def test_rows_of_dimp_lite_are_known_and_keep_batch_norm_frozen():
    for name in REAL_PLAN.lite.trained():
        assert row_called(name).changes["training.batch_norm"] == "frozen"
    controls = [name for inside in REAL_PLAN.lite.rows.values() for name in inside]
    assert all(row_called(name).is_control for name in controls)


def test_the_row_from_tir_alone_never_reads_rgb():
    row = row_called("tir alone, batch norm frozen")
    assert not recipe_of_kind(CrossModalRecipe, str(row.recipe), row.changes).reads_rgb


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


def test_kept_results_about_v3_are_of_the_weights_and_the_world_as_they_are(tmp_path):
    trackers = {"nano-rgb": "nano-rgb", "nano-tir": "nano-tir"}
    for name, place in product(trackers, v3.STARTS):
        found = json.loads((V3_FIGURES / f"{name}-{place}.json").read_text(encoding="utf-8"))
        assert found["identity"] == v3.identity_on(PLAN, tmp_path, name, place)


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


def test_the_table_of_the_choice_has_both_trainings_of_each_variant():
    world = {"plain": 0.04, "short": 0.01}
    text = choice_text(*choice_among(world, {"plain": (-0.1, 0.0), "short": (0.0, 0.0)}))
    assert "of those that keep enough of the gain of `plain` in the world (`plain`) " in text
    assert text.splitlines()[-2:] == [
        "| `plain` | +0.040 [+0.040, +0.040] | -0.050 [-0.100, +0.000] | +0.040 [+0.040, +0.040] "
        "| -0.050 [-0.100, +0.000] | -0.050 [-0.100, +0.000] | the arm as it is |",
        "| `short` | +0.010 [+0.010, +0.010] | 0 | +0.010 [+0.010, +0.010] | 0 | 0 "
        "| a quarter of the steps |",
    ]


# --- the confirmation ----------------------------------------------------------------------------


def test_nothing_is_confirmed_before_the_choice(tmp_path):
    with pytest.raises(RequestError, match="there is no choice to confirm"):
        choice_to_confirm(at(tmp_path))


def test_the_confirmation_runs_once(tmp_path):
    (tmp_path / "choice.json").write_text('{"chosen": "short"}', encoding="utf-8")
    assert choice_to_confirm(at(tmp_path)) == "short"
    (tmp_path / "confirmed.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RequestError, match="the confirmation was run, and runs once"):
        choice_to_confirm(at(tmp_path))


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
    study = {"missing_parts_of_the_study": [5, 75], "note": confirmation.SECOND_LOOK}
    return {"chosen": "short", **study, "rows": {**own, **rows}}


def test_what_was_confirmed_is_said_to_be_a_second_look():
    assert "The primary figure is a second look" in confirmation_text(confirmed())


def test_a_confirmation_before_the_study_ended_is_said_to_be():
    assert "when 5 of 75 trainings of the study were missing" in confirmation_text(confirmed())


def test_what_the_chosen_training_says_of_harm_is_counted():
    gain = {"mean": 0.03, "low": 0.01, "high": 0.05, "harm": "excluded"}
    loss = {"mean": -0.03, "low": -0.05, "high": -0.01, "harm": "shown"}
    text = confirmation_text(
        confirmed(**{"short-real": {"primary": gain, "camel": loss}, "v3": {"camel": loss}})
    )
    assert text.splitlines()[0] == (
        "On real video the gentle training that was chosen (`short`) shows harm in 1, excludes it "
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


# --- dimp-lite -----------------------------------------------------------------------------------


def test_a_row_of_dimp_lite_is_judged_against_the_best_of_its_own_controls():
    plan = REAL_PLAN.lite
    published, alone, rgb = plan.trained()
    success = {BASELINE: 0.2, published: 0.5, alone: 0.4, rgb: 0.3}
    parts = {
        f"{slug(name)}-{seed}": {"camel": rows({"a": [value], "b": [value]})}
        for name, value in success.items()
        for seed in plan.seeds
    }
    found = row_gains(plan, parts)
    assert found["success"] == pytest.approx(success)
    assert {name: row["best_control"] for name, row in found["rows"].items()} == {
        published: alone,
        alone: rgb,
    }
    over = found["rows"][published]["over_controls"]
    assert {name: one["mean"] for name, one in over.items()} == pytest.approx(
        {rgb: 0.2, alone: 0.1}
    )
    assert found["rows"][published]["over_baseline"]["mean"] == pytest.approx(0.3)
    text = lite.lite_text(plan, found)
    assert f"| {published} | 0.500 | +0.300 [+0.300, +0.300] | " in text
    assert f"| confirmed, over `{alone}` |" in text
    assert "refuted where that interval ends below +0.02" in text


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        pytest.param(0.01, 0.1, "confirmed", id="above zero"),
        pytest.param(-0.05, 0.01, "refuted", id="too little"),
        pytest.param(-0.01, 0.1, "open", id="wide"),
    ],
)
def test_the_gain_of_dimp_lite_is_confirmed_refuted_or_open(low, high, said):
    difference = ScoreDifference(mean=0.0, low=low, high=high)
    assert gain_of(difference, REAL_PLAN.lite.refuted_below) == said


def test_baselines_of_several_seeds_have_files_of_their_own(tmp_path):
    place = lite.LiteFolders(tmp_path, tmp_path, tmp_path)
    names = [place.baseline(REAL_PLAN.lite, seed).name for seed in REAL_PLAN.lite.seeds]
    assert names == [
        "dimp-lite-rgb.safetensors",
        "dimp-lite-rgb-1.safetensors",
        "dimp-lite-rgb-2.safetensors",
    ]


@pytest.fixture
def lite_place(tmp_path):
    """Question 5 with kept results of all its parts, and neither weights nor pseudo-boxes."""
    place = lite.LiteFolders(tmp_path / "shared", tmp_path / "out", tmp_path)
    published = place.shared / data.V3
    published.parent.mkdir(parents=True)
    published.write_bytes(b"published")
    made = {"weights_sha256": "a1", "camel": rows({"a": [0.5], "b": [0.5]})}
    for seed in REAL_PLAN.lite.seeds:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lite, "train_baseline", lambda *given: made)
            patch.setattr(lite, "train_row", lambda *given: tmp_path)
            patch.setattr(lite, "rows_on_camel", lambda *given: made)
            lite.part_of_baseline(PLAN, REAL_PLAN.lite, seed, place)
            for name in REAL_PLAN.lite.trained():
                lite.part_of_row(PLAN, REAL_PLAN.lite, name, seed, place, baseline_sha256="a1")
    return place


def test_nothing_is_trained_where_all_parts_of_dimp_lite_are_kept(lite_place):
    assert lite.run(PLAN, REAL_PLAN.lite, lite_place, 1) == []
    assert (lite_place.figures / "answer.json").is_file()
    assert not lite_place.out.exists()


def test_a_baseline_that_kept_results_of_dimp_lite_are_not_of_is_refused(lite_place):
    lite.part_file(lite_place, "published, batch norm frozen", 1).unlink()
    lite_place.out.mkdir()
    lite_place.baseline(REAL_PLAN.lite, 1).write_bytes(b"another")
    (fault,) = lite.run(PLAN, REAL_PLAN.lite, lite_place, 1)
    assert "the kept results are of a1" in fault


def test_a_baseline_of_dimp_lite_that_is_gone_needs_pseudo_boxes(lite_place):
    lite.part_file(lite_place, "published, batch norm frozen", 1).unlink()
    (fault,) = lite.run(PLAN, REAL_PLAN.lite, lite_place, 1)
    assert "there are no pseudo-boxes" in fault


def test_results_of_dimp_lite_from_another_baseline_are_refused(lite_place):
    name = "published, batch norm frozen"
    with pytest.raises(RequestError, match=r"baseline \(sha256 was a1, now b2"):
        lite.part_of_row(PLAN, REAL_PLAN.lite, name, 1, lite_place, baseline_sha256="b2")


# --- why V3 --------------------------------------------------------------------------------------


def test_causes_are_counted_on_the_target_alone():
    truth = np.array([[10.0, 10, 20, 20]] * 5)
    boxes = truth.copy()
    boxes[3, 2:] = 10  # half of the side, same corner
    boxes[4, :2] = 200
    start = LabelledSequence("s", truth, 1, lambda: iter(()))
    track = Track(boxes, np.ones(5), np.full(5, "tracking"), np.zeros(5))
    found = facts_of(track, start, PLAN.protocol)
    assert found["lost"] == pytest.approx(1 / 4)
    assert found["overlap_on_target"] == pytest.approx((1 + 1 + 0.25) / 3)
    assert found["size_ratio"] == 1.0


def test_attributes_are_medians_of_side_and_step():
    truth = np.array([[1.0, 1, 16, 4], [5.0, 1, 16, 4], [9.0, 1, 16, 4]])
    one = LabelledSequence("s", truth, 1, lambda: iter(()))
    assert attributes_of(one) == {"side_px": 8.0, "step_sides": 0.5}


def test_tables_of_v3_hold_every_tracker_and_its_difference_from_the_reference():
    def made(success: float) -> dict[str, object]:
        keys = (*v3.FACTS, *v3.ATTRIBUTES)
        rows = {f"s{n}": {"group": "a", **dict.fromkeys(keys, success + n)} for n in range(2)}
        return {"rows": rows, "score": dict.fromkeys(v3.SCORE_FACTS, 0.25)}

    success = {"nano-rgb": 0.5, "v3": 0.6, "nano-tir": 0.7}
    parts = {f"{name}-{place}": made(success[name]) for name, place in v3.PARTS}
    facts, differences = v3.v3_text(
        {place: v3.compared(parts, place) for place in v3.STARTS}
    ).split("\n\n")
    assert len(facts.splitlines()) == 2 + 9
    assert "| world, TIR | V3 as published | 1.100 |" in facts
    assert facts.splitlines()[-1].endswith("| 0.250 | 0.250 |")
    assert differences.splitlines()[3] == (
        "| RGB video, held back | `nano-tir`" + " | +0.200 [+0.200, +0.200]" * 3 + " |"
    )


def test_a_difference_is_split_at_the_median_of_an_attribute():
    def made(values: list[float]) -> dict[str, dict[str, float]]:
        return {f"s{n}": {"side_px": n, "success": one} for n, one in enumerate(values)}

    found = by_attribute(made([0.5, 0.6, 0.7, 0.8]), made([0.5] * 4), "side_px")
    assert found["lower_half"] == pytest.approx(0.05)
    assert found["upper_half"] == pytest.approx(0.25)
    assert found["rank_correlation"] == 1.0
