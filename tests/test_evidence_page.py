"""The tables and the page of the study, from kept results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.evidence import __main__ as main
from benchmarks.evidence.__main__ import PAGE, README, run_on_cameras
from benchmarks.evidence.cameras import (
    add_camera,
    place_of,
    read_camera,
)
from benchmarks.evidence.choice import identity_of_part, part_file
from benchmarks.evidence.page import (
    BEGIN,
    END,
    PICTURE,
    Results,
    bars_of,
    comparisons,
    made_part,
    picture,
    read_results,
    readme_part,
    rgb_sentence,
    write_page,
)
from benchmarks.evidence.parts import Workplace
from benchmarks.evidence.plan import (
    arm_called,
    arms_of,
    read_plan,
)
from benchmarks.evidence.real_plan import read_real_plan
from benchmarks.evidence.records import add_part
from benchmarks.evidence.table import Bests, answer, best_arms, difference, markdown, signal
from tirtrack.errors import RequestError

DOCS = PAGE.parent
COMMITTED = DOCS / "figures" / "evidence"
PLAN = read_plan()
ARMS = arms_of(PLAN)
REAL = read_real_plan()
V3_ANSWER = DOCS / "figures" / "v3_question.json"
BESTS = Bests("tir_saliency-tir-same", "rgb_tracks-tir-30", "true_boxes-tir-30")


def part(values: list[float]) -> dict[str, object]:
    """Results of one seed: a figure of each sequence, the same on both splits."""
    rows = {f"s{n}": {"success": one, "norm_precision": one} for n, one in enumerate(values)}
    return {"training": {"samples": {"usable": 7}}, "validation": rows, "test": rows}


def record(*seeds: list[float]) -> dict[str, object]:
    return {"seeds": {str(n): part(values) for n, values in enumerate(seeds)}}


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
    assert lines[0] == "provisional: 42 of 45 trainings are missing"
    assert said in lines[-1]


def test_table_has_a_row_for_each_arm_with_results():
    lines = markdown(PLAN, TOY).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {name}" for name in TOY]
    assert lines[3] == (
        "| tir_saliency-tir-same | 0.300 (0.300) | +0.100 [+0.100, +0.100] "
        "| +0.100 [+0.100, +0.100] | 7 |"
    )


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        pytest.param(
            [0.5, 0.6, 0.7],
            "+1.00 [+1.00, +1.00]; it is to be the verdict of `distill` so far",
            id="as the gain",
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


# --- other cameras -------------------------------------------------------------------------------


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


# --- the page ------------------------------------------------------------------------------------


def test_the_page_and_its_picture_are_made_from_the_kept_results():
    results = read_results(PLAN, COMMITTED)
    for page, part in ((PAGE, made_part(results)), (README, readme_part(results))):
        made = page.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
        assert made == part, "run python -m benchmarks.evidence --page"
    if bars := bars_of(results):
        assert (DOCS / PICTURE).read_text("utf-8") == picture(results, bars)


def kept_toy(figures: Path, *names: str) -> Results:
    """Results of toy arms, with a signal that ranks them as their gain does; other arms have those
    of the baseline.
    """
    for name in names:
        toy = TOY.get(name.partition("+")[0], TOY["baseline"])
        signal = {"r/0": float(np.mean(values_of(toy)))}
        add_part(figures, PLAN, arm_called(PLAN, name), 0, {**toy["seeds"]["0"], "signal": signal})
    return read_results(PLAN, figures)


def test_without_results_the_page_says_what_is_missing(tmp_path):
    text = made_part(kept_toy(tmp_path))
    assert text.splitlines()[1:4] == [
        "* **Provisional**, with 0 of 45 trainings done: in a synthetic world what RGB adds "
        "is not known yet.",
        "* Whether adapting harms a tracker on real video is not known yet.",
        "* How far an adapted tracker carries is not known yet: no other camera is done.",
    ]
    assert "no arm has results of the kind TIR alone or with RGB or true boxes." in text
    assert "Not done yet: `optics`, `gain_control`, " in text
    assert "Nothing is chosen yet: 15 of 15 parts are missing." in text
    assert (
        "Not known yet: 12 of 12 parts are missing (`python -m benchmarks.evidence.lite`)" in text
    )
    assert "Not known yet: 9 of 9 parts are missing (`python -m benchmarks.evidence.v3`)" in text
    assert "Answers are provisional while an arm lacks a seed:" in text
    assert "* Seed 0 of `baseline`, `tir_saliency-tir-same`, " in text
    assert "* Seed 0, 1, 2 of `mixed`." in text
    assert "This page shows 0 comparisons:" in text
    assert "|---|" not in text
    assert "evidence.svg" not in text


def test_the_baseline_alone_has_a_row_and_no_figure(tmp_path):
    blocks = made_part(kept_toy(tmp_path, "baseline")).split("\n\n")
    assert blocks[1].splitlines()[-1] == "| `baseline` | before training | 0.200 | 0 | 1 of 1 |"
    assert blocks[2].startswith("## Question 1")


def test_the_first_table_holds_the_best_arm_of_each_kind_that_has_results(tmp_path):
    results = kept_toy(tmp_path, "baseline", "tir_saliency-tir-same", "mixed")
    rows = made_part(results).split("\n\n")[1].splitlines()[3:]
    assert [row.split(" | ")[:2] for row in rows] == [
        ["| `baseline`", "before training"],
        ["| `mixed`", "the shipped recipe; best by validation, with RGB"],
        ["| `tir_saliency-tir-same`", "best by validation, TIR alone"],
    ]
    assert {row.split(" | ")[-1] for row in rows[1:]} == {"1 of 3 |"}


def test_the_page_begins_with_three_sentences_then_table_and_figure(tmp_path):
    on_toy_cameras(tmp_path, "optics", "polarity")
    results = kept_toy(tmp_path, *TOY, "rgb_tracks-tir-30+steps_100")
    blocks = made_part(results).split("\n\n")
    assert blocks[0].splitlines()[1:] == [
        "* **Provisional**, with 3 of 45 trainings done: in a synthetic world the best training "
        "with RGB (`rgb_tracks-tir-30`) minus the best with TIR alone (`tir_saliency-tir-same`) is "
        "+0.083 [+0.050, +0.100] in success, 0.56 of what true boxes add, where the goal is 0.5: "
        "it is reached so far.",
        "* Whether adapting harms a tracker on real video is not known yet.",
        "* Of 2 other cameras of the synthetic world (5 are planned) the adapted tracker is above "
        "the baseline on 2 (optics, polarity) with `rgb_tracks-tir-30` and on 2 (optics, polarity) "
        "with `tir_saliency-tir-same`.",
    ]
    assert blocks[1].splitlines()[1].startswith("| arm | what it is | **success** |")
    assert blocks[2] == "![every arm minus the baseline](pictures/evidence.svg)"
    assert "are of 200 test sequences of the synthetic world, in TIR." in blocks[3]
    text = made_part(results)
    assert "\n| arm | **success** (of each seed) |" in text.partition("## All arms")[2]
    assert "| steps_100 | rgb_tracks-tir-30 | 0 | a third of the steps |" in text


@pytest.mark.parametrize(
    ("rgb", "truth", "said"),
    [
        pytest.param(
            [0.26, 0.36, 0.46],
            [0.35, 0.45, 0.55],
            "0.40 of what true boxes add, where the goal is 0.5: it is not reached so far.",
            id="less than half",
        ),
        pytest.param(
            [0.1, 0.3, 0.9],
            [0.35, 0.45, 0.55],
            "success: no gain from RGB is shown, so the goal (0.5 of what true boxes add to TIR "
            "alone) is not reached so far.",
            id="half, and not above zero",
        ),
        pytest.param(
            [0.1, 0.2, 0.3],
            [0.35, 0.45, 0.55],
            "success: no gain from RGB is shown, so the goal (0.5 of what true boxes add to TIR "
            "alone) is not reached so far.",
            id="below TIR alone",
        ),
        pytest.param(
            [0.3, 0.4, 0.5],
            [0.1, 0.2, 0.3],
            "true boxes are not above TIR alone, so there is no answer so far.",
            id="no distance",
        ),
    ],
)
def test_the_first_sentence_says_what_rgb_adds(rgb, truth, said, tmp_path):
    changed = {"rgb_tracks-tir-30": record(rgb), "true_boxes-tir-30": record(truth)}
    for name, toy in {**TOY, **changed}.items():
        add_part(tmp_path, PLAN, ARMS[name], 0, {**toy["seeds"]["0"], "signal": {"r/0": 0.0}})
    assert rgb_sentence(read_results(PLAN, tmp_path)).endswith(said)


def test_a_study_with_all_of_its_seeds_is_not_provisional(tmp_path):
    for arm in ARMS.values():
        for seed in arm.seeds(PLAN):
            toy = TOY.get(arm.name, TOY["baseline"])["seeds"]["0"]
            add_part(tmp_path, PLAN, arm, seed, {**toy, "signal": {"r/0": float(seed)}})
    text = made_part(read_results(PLAN, tmp_path))
    assert text.splitlines()[1].startswith(
        "* In a synthetic world the best training with RGB (`rgb_tracks-tir-30`) minus"
    )
    assert "rovisional" not in text
    assert "Nothing of the arms: every one has all of its seeds." in text


def written(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def section(text: str, question: int) -> str:
    return text.partition(f"## Question {question}")[2].partition("\n## ")[0]


def test_answers_about_real_video_have_a_section_each(tmp_path):
    figures = tmp_path / "figures" / "evidence"
    gain = {"mean": 0.03, "low": 0.01, "high": 0.05}
    judged = {"primary": {**gain, "harm": "excluded"}, "camel": {**gain, "harm": "excluded"}}
    rows = {name: judged for name in ("nano-tir", "short-world", "short-real")}
    rows["short, adapted on camel"] = {"camel": {**gain, "harm": "excluded"}}
    confirmed = {"chosen": "short", "note": "a second look"}
    written(figures / "real" / "confirmed.json", {**confirmed, "rows": rows})
    name, control = REAL.lite.trained()[:2]
    row = {"gain": "open", "best_control": control, "over_baseline": gain}
    row["over_controls"] = {control: {"mean": 0.02, "low": -0.01, "high": 0.05}}
    written(figures / "lite" / "answer.json", {"success": {name: 0.4}, "rows": {name: row}})
    written(tmp_path / "figures" / "v3_question.json", json.loads(V3_ANSWER.read_text("utf-8")))
    text = made_part(read_results(PLAN, figures))
    assert text.splitlines()[2].endswith(
        "of 5 comparisons with the baseline; it shows a gain in 5."
    )
    on_real_sets, of_lite, of_v3 = 7, 2, 3 * 2 * 3
    assert f"This page shows {on_real_sets + of_lite + of_v3} comparisons:" in text
    assert "| `short-real` | +0.030 [+0.010, +0.050], no harm |" in section(text, 4)
    assert "+0.020 [-0.010, +0.050] |" in section(text, 5)
    assert "| world, RGB | V3 as published | 0.591 |" in section(text, 6)
    assert "`nano-tir` stays the default of `track`" in text


def test_what_the_choice_has_so_far_is_on_the_page(tmp_path):
    gentle = REAL.gentle
    for name in ("baseline", "plain-world", "plain-real", "short-world"):
        scored = {"s": {"group": "drone", "success": 0.5, "norm_precision": 0.5}}
        results = {"world": scored, "tir_video": scored}
        identity = identity_of_part(PLAN, gentle, name)
        content = {"identity": identity, "results": results}
        written(part_file(tmp_path / "real", name), content)
    text = made_part(read_results(PLAN, tmp_path))
    assert "This page shows 5 comparisons:" in text
    said = section(text, 4)
    assert "Nothing is chosen yet: 11 of 15 parts are missing." in said
    assert "| `plain` | 0 | 0 | 0 | 0 | 0 | the arm as it is |" in said
    assert "`short`" not in said
    other = PLAN.model_copy(update={"preset": "published"})
    with pytest.raises(RequestError, match="another preset"):
        read_results(other, tmp_path)


def test_the_choice_that_was_made_is_on_the_page(tmp_path):
    made = {"chosen": "short", "keeps_enough": ["short"], "world_success": {"plain": {"mean": 0.1}}}
    written(tmp_path / "real" / "choice.json", made)
    said = section(made_part(read_results(PLAN, tmp_path)), 4)
    assert "The rule chooses `short`: of those that keep enough" in said


def test_every_comparison_of_the_page_is_counted_once(tmp_path):
    on_toy_cameras(tmp_path, "optics", "polarity")
    results = kept_toy(tmp_path, *TOY, "rgb_tracks-tir-30+steps_100", *AMOUNTS)
    arms, changes, bests, cameras, signal_of_runs = 3 * 2, 1 + len(AMOUNTS), 2, 2 * 2, 1
    amounts = len(AMOUNTS) + 2
    assert sum(comparisons(results)) == arms + changes + bests + cameras + signal_of_runs + amounts
    details = made_part(results).partition("## Question 1")[2]
    rows = [line for line in details.splitlines() if not line.startswith("| baseline ")]
    shown = re.findall(r"[+-]\d\.\d+ \[[+-]\d|(?<=\| )0(?= \|)", "\n".join(rows))
    assert sum(comparisons(results)) == len(shown)


AMOUNTS = [f"{arm}+recordings_{count}" for count in (60, 120) for arm in (BESTS.tir, BESTS.rgb)]


def test_how_much_video_it_takes_is_told_with_the_fewest_recordings_that_gain(tmp_path):
    kept_toy(tmp_path, *TOY, *AMOUNTS)
    for name, values in ((AMOUNTS[0], [0.05, 0.2, 0.38]), (AMOUNTS[1], [0.15, 0.25, 0.35])):
        results = {**part(values), "signal": {"r/0": 0.1}}
        add_part(tmp_path, PLAN, arm_called(PLAN, name), 0, results)
    told = section(made_part(read_results(PLAN, tmp_path)), 2)
    rows = [line for line in told.splitlines() if re.match(r"\| \d", line)]
    assert rows == [
        "| 60 | +0.010 [-0.050, +0.080] | +0.050 [+0.050, +0.050] |",
        "| 120 | +0.100 [+0.100, +0.100] | +0.183 [+0.150, +0.200] |",
        "| 240 | +0.100 [+0.100, +0.100] | +0.183 [+0.150, +0.200] |",
    ]
    assert f"interval above zero: 120 with `{BESTS.tir}`, 60 with `{BESTS.rgb}`." in told
    assert "--only" not in told


def test_numbers_of_recordings_that_are_not_trained_on_are_named_with_their_command(tmp_path):
    told = section(made_part(kept_toy(tmp_path, *TOY)), 2)
    assert f"is not known yet (`python -m benchmarks.evidence --only {' '.join(AMOUNTS)}`)." in told
    assert "| recordings |" not in told
    told = section(made_part(kept_toy(tmp_path, *TOY, AMOUNTS[0])), 2)
    assert f"in full (`python -m benchmarks.evidence --only {' '.join(AMOUNTS[1:])}`)." in told
    assert "| 60 | +0.100 [+0.100, +0.100] |  |" in told


def test_amounts_are_compared_with_one_seed_of_the_whole_number(tmp_path):
    kept_toy(tmp_path, *TOY, AMOUNTS[0])
    results = {**part([0.9, 0.9, 0.9]), "signal": {"r/0": 0.1}}
    add_part(tmp_path, PLAN, arm_called(PLAN, BESTS.tir), 1, results)
    told = section(made_part(read_results(PLAN, tmp_path)), 2)
    assert "| 240 | +0.100 [+0.100, +0.100] | +0.183" in told


def test_single_changes_that_were_left_out_are_counted_by_change(tmp_path):
    text = made_part(kept_toy(tmp_path, *TOY, f"{BESTS.rgb}+steps_100"))
    told = text.partition("## What is missing")[2]
    assert "controls 61 of 62 were left out" in told
    assert "5 of `steps_100`, 6 of `steps_1000`, " in told
    assert "2 of `second_round`." in told


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


def test_pages_are_written_between_their_marks(tmp_path):
    page, readme = tmp_path / "evidence.md", tmp_path / "README.md"
    for file in (page, readme):
        file.write_text(f"before\n{BEGIN}old\n{END}after\n", encoding="utf-8")
    results = kept_toy(tmp_path / "figures", *TOY)
    write_page(results, page, readme)
    assert page.read_text("utf-8") == f"before\n{BEGIN}{made_part(results)}{END}after\n"
    assert readme.read_text("utf-8") == f"before\n{BEGIN}{readme_part(results)}{END}after\n"
    assert made_part(results).startswith(readme_part(results))
    assert "## Question" not in readme_part(results)
    assert (tmp_path / PICTURE).is_file()


def test_a_page_without_marks_is_left_as_it_is(tmp_path):
    page = tmp_path / "evidence.md"
    page.write_text("all by hand\n", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold the marks"):
        write_page(kept_toy(tmp_path / "figures"), page, page)
    assert page.read_text("utf-8") == "all by hand\n"


def test_kept_results_stand_in_the_order_of_the_plan(tmp_path):
    names = ["rgb_tracks-tir-30", "baseline", "rgb_tracks-tir-30+steps_100"]
    assert [*kept_toy(tmp_path, *names).records] == [names[1], names[0], names[2]]
