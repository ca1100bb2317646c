"""Tables as values: what they hold, and how CSV, LaTeX and the page say it."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest

from tirtrack.evaluation.comparison import read_result
from tirtrack.evaluation.statistics import (
    bootstrap_indices,
    paired_bootstrap,
    stratified_indices,
)
from tirtrack.report import build_report
from tirtrack.report.build import evaluation_section
from tirtrack.report.published import published_rows, published_sequences
from tirtrack.report.table import Cell, Column, Table, as_csv, as_latex
from tirtrack.report.verdict import sequence_differences


def section_of(made, folder, **given):
    return evaluation_section(made.scored(folder, **given))


def table_of(section, name):
    (found,) = (one for one in section.tables if one.name == name)
    return found


def rows_of(table):
    """The rows of its CSV, by heading."""
    return list(csv.DictReader(io.StringIO(as_csv(table))))


@pytest.fixture(scope="module")
def section(made, tmp_path_factory):
    return section_of(made, tmp_path_factory.mktemp("made") / "e")


def test_every_kind_of_table_is_there_once(section):
    names = [one.name for one in section.tables]
    assert len(names) == len(set(names))
    kinds = list(dict.fromkeys(re.sub("(subsets|differences)_.*", r"\1", one) for one in names))
    assert kinds == [
        "scores", "differences", "subsets", "subset_differences", "sequences", "off_target",
        "score_quality", "speed",
    ]  # fmt: skip
    for one in section.tables:
        assert all(len(row) == len(one.columns) for row in one.rows)


def test_csv_has_numbers_in_full_and_latex_rounded_with_intervals(section):
    found = section.result.interval("distilled", "success")
    (row,) = (one for one in rows_of(table_of(section, "scores"))
              if one["tracker"] == "distilled" and one["frames"] == "all")  # fmt: skip
    assert [float(row[f"success{part}"]) for part in ("", " low", " high")] == [
        section.result.trackers[1].values["success"], found.low, found.high,
    ]  # fmt: skip
    said = f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
    assert f"distilled & all & {said} &" in as_latex(table_of(section, "scores"))


def test_latex_has_minus_signs_and_no_row_that_begins_an_argument():
    columns = (Column("tracker", is_text=True), Column("difference"))
    cell = Cell("-0.100", (-0.1, -0.2, 0.3), "[-0.200, +0.300]")
    names = ("[A-1] | B", "*", "A")
    lines = as_latex(Table("x", "c", columns, tuple((Cell(name), cell) for name in names)))
    number = r" & $-$0.100 [$-$0.200, +0.300] \\"
    assert lines.splitlines()[6:9] == [
        rf"{{}}[A-1] \textbar{{}} B{number}", f"{{}}*{number}", f"A{number}",
    ]  # fmt: skip


def test_rows_of_visible_frames_are_left_out_where_every_frame_is_visible(made, tmp_path):
    for absent, rows in ((0, 2), (7, 4)):
        folder = made.write(tmp_path / str(absent), made.result(absent=absent))
        assert len(table_of(evaluation_section(folder), "scores").rows) == rows


def test_latex_prints_hard_names_as_they_are_and_groups_columns():
    table = Table(
        "x",
        "a caption\nof two lines",
        (Column("a_b", is_text=True), Column("x", "of 5 %"), Column("y", "of 5 %")),
        ((Cell(r"50% & #1 $x^2$ {\a}~"), Cell("1", (1.0,)), Cell("–", (None,))),),
        missing="results missing: 1 of a",
    )
    text = as_latex(table)
    assert text.splitlines() == [
        "% a caption of two lines",
        "% results missing: 1 of a",
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{of 5 \%} \\",
        r"\cmidrule(lr){2-3}",
        r"a\_b & x & y \\",
        r"\midrule",
        r"50\% \& \#1 \$x\textasciicircum{}2\$ \{\textbackslash{}a\}\textasciitilde{} & 1 & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert as_csv(table).splitlines()[0] == "a_b,of 5 % x,of 5 % y"
    assert as_csv(table).splitlines()[1].endswith(",1.0,")


def test_differences_by_subset_are_those_of_its_sequences_with_their_own_interval(section):
    result = section.result
    row = {(one["subset"], one["tracker"], one["minus"]): one
           for one in rows_of(table_of(section, "subset_differences_success"))}  # fmt: skip
    by_sequence = sequence_differences(result, "distilled", "nano-rgb", "success")
    even = np.array([by_sequence[f"person_{k:02d}"] for k in range(0, 12, 2)])
    wanted = paired_bootstrap(
        even, bootstrap_indices(6, np.random.default_rng(0), resamples=made_resamples(result))
    )
    found = row["occlusion", "distilled", "nano-rgb"]
    assert found["sequences"] == "6"
    numbers = [float(found[f"mean [95 % interval]{part}"]) for part in ("", " low", " high")]
    assert numbers == pytest.approx([wanted.mean, wanted.low, wanted.high], abs=1e-12)
    few = row["blur", "distilled", "nano-rgb"]  # three sequences
    assert few["mean [95 % interval]"] != ""
    assert few["mean [95 % interval] low"] == few["mean [95 % interval] high"] == ""
    assert not any(subset == "never" for subset, _, _ in row)


def made_resamples(result):
    return result.differences[0].resamples


def test_differences_by_subset_draw_whole_groups(made, tmp_path):
    section = section_of(made, tmp_path / "e", group="recording")
    (found,) = (
        one for one in section.subset_differences
        if (one.a, one.b, one.score, one.subset)
        == ("distilled", "nano-rgb", "success", "small_target")
    )  # fmt: skip
    assert (found.n, found.groups) == (11, 6)
    values = sequence_differences(section.result, "distilled", "nano-rgb", "success")
    kept = {name: value for name, value in values.items() if name != "person_05"}
    wanted = paired_bootstrap(
        np.array(list(kept.values())),
        bootstrap_indices(6, np.random.default_rng(0), resamples=found.resamples),
        groups=[f"r{int(name[-2:]) // 2}" for name in kept],
    )
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_groups_that_an_older_file_does_not_name_give_no_interval(made, tmp_path):
    folder = made.scored(tmp_path / "e", group="recording")
    stored = json.loads((folder / "result.json").read_text())
    for tracker in stored["trackers"]:
        for row in tracker["sequences"]:
            row.pop("group")
    (folder / "result.json").write_text(json.dumps(stored))
    assert evaluation_section(folder).subset_differences == ()


def test_differences_within_parts_draw_each_sequence_from_its_own(made, tmp_path):
    """Every third sequence is where one tracker fails, so a part of every third is all alike."""
    section = section_of(made, tmp_path / "e", parts=("S", "D", "H"))
    (row,) = (one for one in rows_of(table_of(section, "part_differences"))
              if (one["tracker"], one["minus"], one["score"])
              == ("distilled", "nano-rgb", "success"))  # fmt: skip
    values = np.array(list(
        sequence_differences(section.result, "distilled", "nano-rgb", "success").values()
    ))  # fmt: skip
    indices = stratified_indices(
        ["S", "D", "H"] * 4, np.random.default_rng(0), resamples=made_resamples(section.result)
    )
    wanted = paired_bootstrap(values, indices)
    numbers = [float(row[f"mean [95 % interval]{part}"]) for part in ("", " low", " high")]
    assert numbers == pytest.approx([wanted.mean, wanted.low, wanted.high], abs=1e-12)
    assert float(row["p"]) == wanted.p
    over_all = section.result.difference("distilled", "nano-rgb", "success")
    assert over_all.mean == pytest.approx(wanted.mean, abs=1e-12)
    assert wanted.high - wanted.low < 0.5 * (over_all.high - over_all.low)
    caption = table_of(section, "part_differences").caption
    assert "(D 4, H 4, S 4)" in caption
    page = build_report([tmp_path / "e"], tmp_path / "page.html")
    assert caption in page.read_text("utf-8")
    stored = json.loads((tmp_path / "result.json").read_text("utf-8"))["part_differences"]
    assert len(stored) == len(section.compared) * len(section.result.scores)


@pytest.mark.parametrize("given", [{}, {"parts": ("S", "D"), "group": "recording"}])
def test_differences_within_parts_need_parts_and_no_groups(made, tmp_path, given):
    assert section_of(made, tmp_path / "e", **given).table("part_differences") == ()


def test_sequence_table_has_attributes_and_the_difference_of_every_tracker(section):
    rows = {one["sequence"]: one for one in rows_of(table_of(section, "sequences"))}
    assert rows["person_00"]["attributes"] == "occlusion, blur, small_target"
    for name in ("distilled", "tir_only"):
        known = sequence_differences(section.result, name, "nano-rgb", "success")
        assert float(rows["person_07"][f"success {name} minus nano-rgb"]) == known["person_07"]
    assert rows["person_00"]["absent"] == "1"


def test_failures_are_counted_and_survival_is_told(section):
    rows = {one["tracker"]: one for one in rows_of(table_of(section, "off_target"))}
    assert {one["with a failure"] for one in rows.values()} == {"4"}
    assert {one["sequences"] for one in rows.values()} == {"12"}
    assert rows["distilled"]["after 50"] == ""  # no sequence is that long
    assert section.result.trackers[1].sequence("person_01").failures == ((21, 40),)


def test_failures_are_not_told_where_the_protocol_tracks_several_times(made, tmp_path):
    folder = made.scored(tmp_path / "e")
    stored = json.loads((folder / "result.json").read_text())
    for tracker in stored["trackers"]:
        for row in tracker["sequences"]:
            row["failures"] = None
    (folder / "result.json").write_text(json.dumps(stored))
    section = evaluation_section(folder)
    assert section.table("off_target") == ()
    assert section.failure_plots == ()


def test_own_scores_and_speed_have_their_tables(section):
    quality = section.result.trackers[0].score_quality
    row = rows_of(table_of(section, "score_quality"))[0]
    assert float(row["AUC right"]) == quality.roc_auc
    assert float(row["AUC not lost"]) == quality.lost_auc
    assert float(row["presence F"]) == quality.presence.f
    speed = rows_of(table_of(section, "speed"))[0]
    assert float(speed["frames/s"]) == pytest.approx(100)
    assert float(speed["by frame"]) == pytest.approx(100)


def test_every_table_says_which_results_are_missing(made, tmp_path):
    folder = made.scored(tmp_path / "e", without=[("distilled", "person_03")])
    section = evaluation_section(folder)
    page = build_report([folder], tmp_path / "page.html").read_text(encoding="utf-8")
    tables = [one for one in section.tables if one.name != "missing"]
    for one in tables:
        assert one.missing == "results missing: 1 of distilled", one.name
        assert "% results missing: 1 of distilled" in as_latex(one)
    captions = re.findall(r"<caption>(.*)</caption>", page)
    assert len(captions) == len(tables)
    assert all("(results missing: 1 of distilled)" in one for one in captions)
    assert rows_of(table_of(section, "missing")) == [
        {"tracker": "distilled", "sequence": "person_03", "reason": "no result file"}
    ]


PTB_TIR = sorted(published_sequences("ptb-tir"))


def test_every_table_and_the_page_say_which_sequences_were_left_out(made, tmp_path):
    folder = made.scored(tmp_path / "e")
    file, said = folder / "result.json", "a sequence is left out: anno/x.txt, row 3: no number"
    content = {**json.loads(file.read_text()), "left_out": 1, "read_as": [said]}
    file.write_text(json.dumps(content))
    page = build_report([folder], tmp_path / "page.html").read_text(encoding="utf-8")
    captions = re.findall(r"<caption>(.*)</caption>", page)
    assert captions
    assert all("(1 sequence left out)" in one for one in captions)
    assert f"How the annotation was read: {said}." in page


def test_published_scores_stand_beside_ours_only_under_the_same_protocol(made, tmp_path):
    section = section_of(made, tmp_path / "e", protocol="ptb-tir", sequences=PTB_TIR)
    table = table_of(section, "published")
    rows = rows_of(table)
    ours = [one for one in rows if one["from"] == "this evaluation"]
    assert [one["tracker"] for one in ours] == sorted(
        ("nano-rgb", "distilled", "tir_only"), key=lambda name: -float(
            next(one["success"] for one in ours if one["tracker"] == name)))  # fmt: skip
    others = [one for one in rows if one not in ours]
    assert len(others) == len(published_rows("ptb-tir")) == 29
    assert all(one["from"].startswith("published: ") for one in others)
    assert "not measured here" in table.caption
    successes = [float(one["success"]) for one in rows]
    assert successes == sorted(successes, reverse=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"protocol": "ptb-tir", "sequences": 12},
            "Published scores under ptb-tir are left out: they are of 60 sequences, this "
            "evaluation has 12.",
        ),
        (
            {"protocol": "ptb-tir", "sequences": 60},
            "Published scores under ptb-tir are left out: they are of 60 sequences of other names.",
        ),
        (
            {
                "protocol": "ptb-tir",
                "sequences": PTB_TIR,
                "without": [("distilled", PTB_TIR[3])],
            },
            "Published scores under ptb-tir are left out: here results are missing.",
        ),
        ({"protocol": "otb", "sequences": PTB_TIR}, ""),
    ],
    ids=["other-number", "other-set", "missing", "none-known"],
)
def test_published_scores_are_left_out_where_they_are_of_something_else(
    made, tmp_path, given, said
):
    folder = made.scored(tmp_path / "e", **given)
    section = evaluation_section(folder)
    assert section.table("published") == ()
    assert section.no_published_rows == said
    assert said in build_report([folder], tmp_path / "page.html").read_text(encoding="utf-8")


def test_published_scores_are_of_all_sequences_of_their_data_set():
    for name in ("lsotb-tir", "lsotb-tir-119", "ptb-tir"):
        numbers = {one.sequences for one in published_rows(name)} - {None}
        assert numbers == {len(published_sequences(name))}


def test_published_scores_are_those_of_their_sources(shared):
    file = shared / "golden" / "metrics" / "published.json"
    wanted = json.loads(file.read_text(encoding="utf-8"))["rows"]
    known = [
        one for name in ("lsotb-tir", "lsotb-tir-119", "ptb-tir") for one in published_rows(name)
    ]
    assert len(known) == len(wanted) == 81
    scores = ("success", "precision", "norm_precision")
    assert {
        (one["tracker"], one["benchmark"], one["source"], *(one.get(key) for key in scores))
        for one in wanted
    } == {
        (one.tracker, one.protocol, one.source, *(one.values.get(key) for key in scores))
        for one in known
    }
    sets = {(one["tracker"], one["benchmark"], one["source"]): one["set"] for one in wanted}
    for one in known:
        said = sets[one.tracker, one.protocol, one.source]
        assert said.startswith("as cited" if one.sequences is None else f"{one.sequences} ")


def test_numbers_of_the_subset_differences_stand_in_the_json_of_the_page(made, tmp_path):
    build_report([made.scored(tmp_path / "e")], tmp_path / "page.html")
    stored = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    found = [one for one in stored["subset_differences"] if one["subset"] == "occlusion"]
    assert {one["n"] for one in found} == {6}
    assert {one["dataset"] for one in found} == {"made-up"}


def test_what_a_result_says_of_its_sequences_is_read_back(made, tmp_path):
    result = read_result(made.scored(tmp_path / "e", group="recording"))
    row = result.trackers[0].sequence("person_02")
    assert (row.attributes, row.group) == (("occlusion", "blur", "small_target"), "r1")
    assert result.subset_members()["blur"] == ["person_00", "person_01", "person_02"]
