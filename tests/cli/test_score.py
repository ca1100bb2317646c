"""``tirtrack score``: result files in, tables or JSON out, one sentence where it cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.cli.app import run

TRUTH = np.array([[10.0 + i, 20, 30, 40] for i in range(6)])


@pytest.fixture
def world(tmp_path: Path) -> Path:
    root = tmp_path / "world"
    (root / "anno").mkdir(parents=True)
    for name in ("cat_D_001", "dog_S_001"):
        np.savetxt(root / "anno" / f"{name}.txt", TRUTH, "%d", delimiter=",")
    return root


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for tracker, shift in (("exact", 0), ("off", 5)):
        folder = tmp_path / "results" / tracker
        folder.mkdir(parents=True)
        for name in ("cat_D_001", "dog_S_001"):
            np.savetxt(
                folder / f"{name}.txt", TRUTH + np.array([shift, 0, 0, 0]), "%.2f", delimiter="\t"
            )
    return tmp_path / "results"


def test_annotation_as_result_prints_952(world: Path, results: Path, capsys) -> None:
    assert run(["score", str(results), "--dataset", str(world)]) == 0
    printed = capsys.readouterr().out
    assert "0.952" in printed
    assert "visible frames" in printed
    assert "0 frames without a valid annotation" in printed


@pytest.mark.parametrize(("n", "p"), [(5, "-"), (6, "<0.001")])
def test_fewer_than_six_sequences_have_no_p(tmp_path: Path, capsys, n: int, p: str) -> None:
    for k in range(n):
        for folder, shift in (("world/anno", 0), ("results/exact", 0), ("results/off", 5)):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            boxes = TRUTH + np.array([shift, 0, 0, 0])
            np.savetxt(tmp_path / folder / f"cat_D_{k:03d}.txt", boxes, "%d", delimiter=",")
    assert run(["score", str(tmp_path / "results"), "--dataset", str(tmp_path / "world")]) == 0
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if "success" in line and "off" in line)
    assert row.split("│")[5].strip() == p
    assert ("fewer than 6 sequences cannot decide" in printed) == (n < 6)


def test_json_is_one_document_on_stdout(world: Path, results: Path, capsys) -> None:
    assert run(["score", str(results), "--dataset", str(world), "--json"]) == 0
    stored = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in stored["trackers"]] == ["exact", "off"]
    assert stored["trackers"][0]["values"]["success"] == 20 / 21
    assert stored["trackers"][0]["fps"] is None
    assert stored["differences"][0]["losses"] == 2


def test_several_protocols_stand_side_by_side(
    world: Path, results: Path, tmp_path: Path, capsys
) -> None:
    names = ["lsotb-tir", "lsotb-tir-119", "ptb-tir"]
    options = [word for name in names for word in ("--protocol", name)]
    out = tmp_path / "scored"
    line = ["score", str(results), "--dataset", str(world), *options, "--json", "--out", str(out)]
    assert run(line) == 0
    stored = json.loads(capsys.readouterr().out)
    assert [one["protocol"] for one in stored] == names
    assert [one["sequences"] for one in stored] == [2, 1, 2]
    assert sorted(path.parent.name for path in out.rglob("result.json")) == names


def test_missing_sequence_is_an_error_unless_skipped(world: Path, results: Path, capsys) -> None:
    (results / "off" / "dog_S_001.txt").unlink()
    line = ["score", str(results), "--dataset", str(world)]
    assert run(line) == 2
    said = f"1 of 4 runs is missing: off on dog_S_001 (no result file in {results / 'off'})"
    assert said in capsys.readouterr().err
    assert run([*line, "--partial"]) == 0
    printed = capsys.readouterr()
    assert "1 run missing" in printed.out
    assert f"warning: {said}" in printed.err


def test_short_result_is_an_error_unless_padded(world: Path, results: Path, capsys) -> None:
    np.savetxt(results / "exact" / "dog_S_001.txt", TRUTH[:4], "%d", delimiter=",")
    line = ["score", str(results / "exact"), "--dataset", str(world)]
    assert run(line) == 2
    assert (
        "dog_S_001.txt, row 4: the result has 4 rows, the annotation 6" in capsys.readouterr().err
    )
    assert run([*line, "--length", "pad_last"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--protocol", "lsotb"], 'unknown protocol "lsotb"; did you mean'),
        (["--length", "ignore"], "'ignore' is not one of"),
        (["--reference", "of"], '--reference: no tracker is called "of"; did you mean "off"?'),
        (["--protocol", ""], 'unknown protocol ""; known are antiuav-2020, antiuav-challenge'),
        (["--columns", ""], 'the columns "" make no box'),
        (["--columns", "x,y,w"], 'the columns "x,y,w" make no box'),
        (["--result-columns", "a,b"], '--result-columns: the columns "a,b" make no box'),
        (["--result-columns", ""], '--result-columns: the columns "" make no box'),
        (["--annotation", "x.txt"], "--dataset and --annotation exclude each other"),
        (["--frames", "x"], "--frames needs --annotation"),
    ],
)
def test_wrong_option_is_one_sentence(
    world: Path, results: Path, options: list[str], message: str, capsys
) -> None:
    assert run(["score", str(results), "--dataset", str(world), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_trackers_of_one_name_get_their_folder_in_front(
    world: Path, results: Path, tmp_path: Path, capsys
) -> None:
    again = tmp_path / "again"
    (results / "exact").rename(tmp_path / "moved")
    again.mkdir()
    (tmp_path / "moved").rename(again / "off")
    assert run(["score", str(results), str(again), "--dataset", str(world), "--json"]) == 0
    stored = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in stored["trackers"]] == ["results/off", "again/off"]


def test_empty_names_are_refused(world: Path, results: Path, capsys) -> None:
    assert run(["score", "", "--dataset", str(world)]) == 2
    assert "an empty name of a result folder" in capsys.readouterr().err
    assert run(["score", str(results), "--dataset", ""]) == 2
    assert "the data set's name is empty" in capsys.readouterr().err
    assert run(["score", str(results)]) == 2
    assert "no labelled data; give --dataset, or --annotation FILE" in capsys.readouterr().err


def test_named_annotation_needs_no_frames_and_no_data_set(
    world: Path, results: Path, capsys
) -> None:
    files = str(world / "anno" / "{sequence}.txt")
    assert run(["score", str(results), "--annotation", files, "--base", "1"]) == 0
    printed = capsys.readouterr().out
    assert "0.952" in printed
    assert "coordinates of annotation and results count from 1\n" in printed
    assert run(["score", str(results), "--annotation", files]) == 0
    assert "count from 0; base 0 is assumed, --base 0 or 1 decides" in capsys.readouterr().out


def test_results_of_another_base_are_noticed_and_mended(world: Path, results: Path, capsys) -> None:
    for file in (results / "off").iterdir():
        np.savetxt(file, TRUTH - np.array([1, 1, 0, 0]), "%d", delimiter=",")
    line = ["score", str(results / "off"), "--dataset", str(world), "--json"]
    assert run(line) == 0
    printed = capsys.readouterr()
    assert (
        "off: the first boxes of 2 of 2 sequences are the annotated ones moved by 1 px, as if "
        "results counted from 0 and annotation from 1; if so, give --result-base 0"
    ) in " ".join(printed.err.split())
    assert json.loads(printed.out)["trackers"][0]["values"]["success"] < 20 / 21
    assert run([*line, "--result-base", "0"]) == 0
    printed = capsys.readouterr()
    assert "moved" not in printed.err
    assert json.loads(printed.out)["trackers"][0]["base"] == 0
    assert json.loads(printed.out)["trackers"][0]["values"]["success"] == 20 / 21


def test_results_in_a_linked_folder_are_scored(
    world: Path, results: Path, tmp_path: Path, capsys
) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "exact").symlink_to(results / "exact")
    assert run(["score", str(tmp_path / "links"), "--dataset", str(world)]) == 0
    assert "exact" in capsys.readouterr().out


def test_base_is_said_in_table_and_json(world: Path, results: Path, capsys) -> None:
    line = ["score", str(results), "--dataset", str(world)]
    assert run(line) == 0
    said = "coordinates of annotation and results count from 1 (layout lsotb-tir)"
    assert said in capsys.readouterr().out
    assert run([*line, "--json"]) == 0
    stored = json.loads(capsys.readouterr().out)
    assert (stored["base"], stored["layout"], stored["read_as"]) == (1, "lsotb-tir", [])


def test_folder_of_an_older_version_is_said_to_count_from_1(tmp_path: Path, capsys) -> None:
    (tmp_path / "world" / "seq").mkdir(parents=True)
    np.savetxt(tmp_path / "world" / "seq" / "groundtruth.txt", TRUTH, "%d", delimiter=",")
    folder = tmp_path / "old" / "results" / "mine"
    folder.mkdir(parents=True)
    (tmp_path / "old" / "identity.json").write_text("{}")
    np.savetxt(folder / "seq.txt", TRUTH + np.array([1, 1, 0, 0]), "%d", delimiter=",")
    assert run(["score", str(tmp_path / "old"), "--dataset", str(tmp_path / "world")]) == 0
    printed = capsys.readouterr()
    assert "0.952" in printed.out
    assert "count from 0 (layout groundtruth.txt); those of mine from 1\n" in printed.out
    assert "moved" not in printed.err


def test_boxes_at_pixel_zero_of_a_layout_from_one_propose_base_0(tmp_path, capsys):
    for file in (tmp_path / "set" / "anno" / "s1.txt", tmp_path / "results" / "T" / "s1.txt"):
        file.parent.mkdir(parents=True)
        file.write_text("5,0,20,10\n6,0,20,10\n")
    words = ["score", str(tmp_path / "results"), "--dataset", str(tmp_path / "set")]
    assert run(words) == 2
    assert "give --base 0 if it counts from 0" in capsys.readouterr().err
    assert run([*words, "--base", "0"]) == 0


def test_annotation_and_result_folders_say_what_they_hold(
    world: Path, results: Path, tmp_path: Path, capsys
) -> None:
    (results / "exact" / "cat_D_01.txt").write_text("1,2,3,4\n")
    (results / "exact" / "cat_D_001.csv").write_text(
        "frame,score,status\n" + "".join(f"{k},1,tracking\n" for k in range(6))
    )
    (results / "exact" / "cat_D_001_time.txt").write_text("0.1\n" * 6)
    out = tmp_path / "out"
    assert run(["score", str(results), "--dataset", str(world), "--out", str(out)]) == 0
    line = (
        "2 sequences, 12 annotated frames, layout lsotb-tir, coordinates count from 1; frames are "
        "not read"
    )
    assert capsys.readouterr().err.splitlines() == [
        f"tirtrack: world: {line}",
        f"tirtrack: {results}: 4 result files of 2 trackers; not used: 1 file (cat_D_01.txt)",
        f"written: {out}",
    ]
    assert json.loads((out / "result.json").read_text())["source_line"] == line


def test_frames_that_would_need_an_option_do_not_stop_score(
    world: Path, results: Path, capsys
) -> None:
    for name in ("cat_D_001", "dog_S_001"):
        for k in (1.5, 1.25, 2.0, 3.0, 4.0, 5.0):
            path = world / name / "img" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((90, 90), np.uint8)).save(path)
        np.savetxt(
            world / "anno" / f"{name}.txt", TRUTH + np.array([0, 0, 10, 0]), "%d", delimiter=","
        )
    assert run(["score", str(results), "--dataset", str(world)]) == 0
    assert run(["evaluate", "nano-tir", "--dataset", str(world)]) == 2
    assert "give --order natural or --order time" in capsys.readouterr().err


BAD_RESULTS = {
    "short": ("1,2,3,4\n" * 5, ", row 5: the result has 5 rows, the annotation 6"),
    "long": ("1,2,3,4\n" * 9, ", row 7: the result has 9 rows, the annotation 6"),
    "a_column_too_few": ("1,2,3,4\n1,2,3\n" * 3, ", row 2: has 3 columns, expected 4"),
    "a_column_too_many": ("1,2,3,4,5\n" * 6, ", row 1: has 5 columns, expected 4"),
    "no_number": ("1,2,3,4\n1,2,x,4\n" * 3, ', row 2: "x" is not a number'),
    "empty": ("", ": the result is empty; run the sequence again"),
}


@pytest.mark.parametrize("bad", BAD_RESULTS)
def test_a_bad_result_is_named_with_file_and_row_and_left_out_by_partial(
    world: Path, results: Path, bad: str, capsys
) -> None:
    text, message = BAD_RESULTS[bad]
    file = results / "off" / "dog_S_001.txt"
    file.write_text(text)
    line = ["score", str(results), "--dataset", str(world)]
    assert run(line) == 2
    assert f"{file}{message}" in capsys.readouterr().err
    assert run([*line, "--partial"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("results missing: 1 of off") == 2  # below both tables
    assert printed.err.count(f"{file}{message}") == 1
    assert run([*line, "--partial", "--json"]) == 0
    (left_out,) = json.loads(capsys.readouterr().out)["missing"]
    assert (left_out["tracker"], left_out["sequence"]) == ("off", "dog_S_001")
    assert f"{file}{message}" in left_out["reason"]


def test_several_bad_results_are_named_together(world: Path, results: Path, capsys) -> None:
    for name in ("cat_D_001", "dog_S_001"):
        (results / "off" / f"{name}.txt").write_text("1,2,3\n")
    assert run(["score", str(results), "--dataset", str(world)]) == 2
    error = capsys.readouterr().err
    assert "2 result files cannot be scored" in error
    assert "cat_D_001.txt, row 1: has 3 columns" in error
    assert "dog_S_001.txt, row 1: has 3 columns" in error


def test_rows_of_nan_are_named_and_counted(world: Path, results: Path, capsys) -> None:
    file = results / "off" / "dog_S_001.txt"
    file.write_text("10,20,30,40\n" * 2 + "nan,nan,nan,nan\n" + "10,20,30,40\n" * 3)
    assert run(["score", str(results), "--dataset", str(world)]) == 0
    printed = capsys.readouterr()
    assert f"1 result file with NaN or an infinite number in a box: {file}, row 3" in printed.err
    assert "1 result row repaired" in printed.out


@pytest.mark.parametrize("row", ["inf,20,30,40", "10,20,-inf,40", "10,1e400,30,40"])
def test_rows_with_an_infinite_number_are_named(
    world: Path, results: Path, row: str, capsys
) -> None:
    file = results / "off" / "dog_S_001.txt"
    file.write_text("10,20,30,40\n" * 3 + f"{row}\n" + "10,20,30,40\n" * 2)
    assert run(["score", str(results), "--dataset", str(world)]) == 0
    assert f"1 result file with NaN or an infinite number in a box: {file}, row 4" in (
        capsys.readouterr().err
    )


def test_rows_of_nan_are_counted_from_the_first_annotated_box(
    world: Path, results: Path, capsys
) -> None:
    nothing, box = "nan,nan,nan,nan\n", "10,20,30,40\n"
    (world / "anno" / "dog_S_001.txt").write_text(2 * nothing + 4 * box)
    (results / "off" / "dog_S_001.txt").write_text(2 * nothing + box + nothing + 2 * box)
    assert run(["score", str(results), "--dataset", str(world)]) == 0
    assert "dog_S_001.txt, row 2 from the first annotated box on" in capsys.readouterr().err


def test_a_file_of_an_unknown_sequence_is_named(world: Path, results: Path, capsys) -> None:
    (results / "off" / "zebra_D_001.txt").write_text("1,2,3,4\n")
    assert run(["score", str(results), "--dataset", str(world)]) == 0
    assert "zebra_D_001.txt" in capsys.readouterr().err


def test_two_results_of_one_tracker_and_sequence_are_refused(
    world: Path, results: Path, capsys
) -> None:
    again = results / "off" / "dog_S_001.json"
    again.write_text("[[1, 2, 3, 4]]")
    assert run(["score", str(results), "--dataset", str(world)]) == 2
    error = capsys.readouterr().err
    assert "a second result of off on dog_S_001" in error
    assert "dog_S_001.json" in error
    assert "dog_S_001.txt" in error


def test_one_folder_named_twice_is_refused(world: Path, results: Path, capsys) -> None:
    assert run(["score", str(results), str(results), "--dataset", str(world)]) == 2
    assert (
        f'{results / "exact"}: two trackers are called "results/exact"; give the folder once'
        in capsys.readouterr().err
    )


def test_two_trackers_of_one_name_are_named_with_their_folders(
    world: Path, results: Path, capsys
) -> None:
    again = results.parent / "again" / "results"
    shutil.copytree(results, again)
    assert run(["score", str(results), str(again), "--dataset", str(world)]) == 2
    assert (
        f'{results / "exact"} and {again / "exact"}: two trackers are called "results/exact"; '
        "rename one of the result folders" in capsys.readouterr().err
    )


def test_a_bad_row_of_annotation_is_named(world: Path, results: Path, capsys) -> None:
    (world / "anno" / "dog_S_001.txt").write_text("1,2,3,4\n1,2,3\n")
    assert run(["score", str(results), "--dataset", str(world)]) == 2
    assert "dog_S_001.txt, row 2: has 3 columns, expected 4" in capsys.readouterr().err


def test_unreadable_annotation_is_named(world: Path, results: Path, capsys) -> None:
    (world / "anno" / "dog_S_001.txt").write_bytes(b"\xff\xfe\x00\xd8\x00")
    assert run(["score", str(results), "--dataset", str(world)]) == 2
    assert "dog_S_001.txt: is not a text file" in capsys.readouterr().err


def test_a_sequence_whose_annotation_cannot_be_read_is_left_out_and_said_so(
    world: Path, results: Path, capsys
) -> None:
    (world / "anno" / "dog_S_001.txt").write_text("1,2,3,4\n1,2,3\n")
    line = ["score", str(results), "--dataset", str(world), "--partial"]
    assert run(line) == 0
    printed = capsys.readouterr().out
    assert ": 1 sequence, " in printed
    assert "1 sequence left out" in printed
    assert "a sequence is left out" in printed
    assert "dog_S_001.txt, row 2: has 3 columns, expected 4" in printed
    (world / "anno" / "cat_D_001.txt").write_text("x\n")
    assert run(line) == 2
    assert "cat_D_001.txt, row 1" in capsys.readouterr().err


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for tracker in range(7):
        folder = tmp_path / "many" / f"off{tracker}"
        folder.mkdir(parents=True)
        for name in ("cat_D_001", "dog_S_001"):
            np.savetxt(folder / f"{name}.txt", TRUTH + np.array([5 * tracker, 0, 0, 0]), "%d")
    return tmp_path / "many"


def test_many_trackers_have_a_row_each_the_best_first(world: Path, many: Path, capsys) -> None:
    assert run(["score", str(many), "--dataset", str(world)]) == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("│ off")]
    assert [row.split()[1] for row in rows] == [f"off{k}" for k in range(7)]
    assert "difference: of success to off0" in printed
    assert rows[1].split("│")[7].strip().startswith("-")
    assert rows[1].split("│")[9].strip() == "0/0/2"
    assert rows[0].split("│")[7].strip() == ""
    assert rows[0].split("│")[6].strip() == "0.952 to 0.952"


@pytest.mark.parametrize(("columns", "shown"), [(80, 6), (100, 8), (120, 9)])
def test_every_tracker_has_one_line_whatever_the_width_of_the_screen(
    world: Path, many: Path, capsys, monkeypatch, columns: int, shown: int
) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("NO_COLOR", "1"), ("COLUMNS", str(columns))):
        monkeypatch.setenv(name, value)
    assert run(["score", str(many), "--dataset", str(world)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [row.split()[1] for row in rows] == [f"off{k}" for k in range(7)]
    assert {row.count("│") - 1 for row in rows} == {shown}
    assert not any("…" in row for row in rows)


def test_numbers_of_few_trackers_are_not_cut_on_a_narrow_screen(
    world: Path, results: Path, capsys, monkeypatch
) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("NO_COLOR", "1"), ("COLUMNS", "80")):
        monkeypatch.setenv(name, value)
    assert run(["score", str(results), "--dataset", str(world)]) == 0
    printed = capsys.readouterr().out
    assert "wins/ties/losses" in printed
    assert "…" not in printed


def test_brackets_and_colons_in_the_name_of_a_tracker_are_printed(
    world: Path, results: Path, capsys
) -> None:
    (results / "off").rename(results / "off[red]:smile:")
    assert run(["score", str(results), "--dataset", str(world)]) == 0
    assert "off[red]:smile: - exact" in capsys.readouterr().out


def test_reference_is_whom_the_others_are_compared_with(world, many, results, capsys) -> None:
    line = ["score", "--dataset", str(world), "--reference"]
    assert run([*line, "off3", str(many)]) == 0
    assert "difference: of success to off3" in capsys.readouterr().out
    assert run([*line, "off", str(results)]) == 0
    assert "exact - off" in capsys.readouterr().out


def test_a_tracker_without_a_result_that_can_be_scored_is_no_reference(
    world: Path, results: Path, capsys
) -> None:
    for file in (results / "off").iterdir():
        file.write_text("1,2,3\n")
    line = ["score", str(results), "--dataset", str(world), "--partial"]
    assert run([*line, "--reference", "off"]) == 2
    assert "no result of off can be scored" in capsys.readouterr().err


def test_the_reasons_are_said_where_nothing_is_left_to_score(
    world: Path, results: Path, capsys
) -> None:
    for file in (results / "off").iterdir():
        file.write_text("1,2,3\n")
    assert run(["score", str(results / "off"), "--dataset", str(world), "--partial"]) == 2
    error = capsys.readouterr().err
    assert "no run to score; 2 of 2 runs are missing: off on cat_D_001" in error
    assert "cat_D_001.txt, row 1: has 3 columns" in error


def test_all_pairs_are_printed_on_request_and_stand_in_the_file(
    world: Path, many: Path, tmp_path: Path, capsys
) -> None:
    line = ["score", str(many), "--dataset", str(world), "--out", str(tmp_path / "out")]
    assert run([*line, "--pairs"]) == 0
    printed = capsys.readouterr().out
    assert sum(" - off" in row for row in printed.splitlines()) == 21 * 4
    stored = json.loads((tmp_path / "out" / "result.json").read_text())
    assert len(stored["differences"]) == 21 * 4


def test_repetitions_of_the_got10k_toolkit_are_runs_of_their_tracker(
    world: Path, results: Path, tmp_path: Path, capsys
) -> None:
    for file in results.glob("*/*_001.txt"):
        for number, off in enumerate((0.0, 1.0, 4.0), start=1):
            place = tmp_path / "repeated" / file.parent.name / file.stem
            place.mkdir(parents=True, exist_ok=True)
            boxes = np.loadtxt(file) + np.array([off, 0, 0, 0])
            np.savetxt(place / f"{file.stem}_{number:03d}.txt", boxes, "%.3f", delimiter=",")
    folder = tmp_path / "repeated"
    assert run(["score", str(folder), "--dataset", str(world), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["tracker"], one["runs"]) for one in found["runs"]] == [("exact", 3), ("off", 3)]
    successes = [one["values"]["success"] for one in found["trackers"] if one["run_of"] == "exact"]
    assert len(set(successes)) == 3
    assert found["runs"][0]["means"]["success"] == pytest.approx(np.mean(successes))
    assert {(one["a"], one["b"]) for one in found["differences"]} == {("off", "exact")}
    line = ["score", str(folder), "--dataset", str(world), "--reference", "exact.run2"]
    assert run(line) == 2
    assert 'no tracker is called "exact.run2"; did you mean "exact"?' in capsys.readouterr().err
    (folder / "off" / "cat_D_001" / "cat_D_001_003.txt").unlink()
    assert run(line[:4]) == 2
    assert "1 of 12 runs is missing: off.run3 on cat_D_001" in capsys.readouterr().err
