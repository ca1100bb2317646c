"""Result files: what is written reads back equal; what others write is read; damage is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import savemat

from tirtrack.datasets.box_text import boxes_text, read_boxes
from tirtrack.errors import DatasetError
from tirtrack.evaluation.results import SequenceRun, find_results, read_track, write_track

BOXES = np.array([[1.0, 2, 30, 40], [1.5, 2.25, 30, 40]])


def track(boxes: np.ndarray = BOXES) -> SequenceRun:
    n = len(boxes)
    return SequenceRun(
        boxes, np.linspace(1, 0.1, n), np.array(["tracking"] * n), np.full(n, 0.015625)
    )


def test_written_run_reads_back_equal(tmp_path: Path) -> None:
    write_track(tmp_path / "mine", "dog_S_001", track())
    found = read_track(tmp_path / "mine" / "dog_S_001.txt")
    np.testing.assert_array_equal(found.boxes, BOXES)
    np.testing.assert_array_equal(found.scores, track().scores)
    assert found.statuses.tolist() == ["tracking", "tracking"]
    np.testing.assert_array_equal(found.seconds, track().seconds)
    names = sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert names == ["dog_S_001.csv", "dog_S_001.txt", "dog_S_001_time.txt"]


@given(arrays(np.float64, (3, 4), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_every_float_survives_the_text(tmp_path_factory, boxes: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_text(boxes_text(boxes))
    np.testing.assert_array_equal(read_boxes(path), boxes)


@pytest.mark.parametrize(
    "text",
    [
        "1,2,30,40\n1.5,2.25,30,40\n",
        "1\t2\t30\t40\r\n1.5\t2.25\t30\t40\r\n",
        "1 2 30 40\n1.5 2.25 30 40",
        " 1, 2,30 ,\t40,\n1.5 , 2.25 30\t40 ,  \n\n",
        "\ufeff1,2,30,40\n+1.5,225e-2,3.e1,40.0\n",
    ],
    ids=["comma", "tab_crlf", "blank_no_last_newline", "mixture_trailing", "bom_exponent"],
)
def test_separators_of_all_tools_are_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    np.testing.assert_array_equal(read_boxes(path), BOXES)


def test_nan_of_any_case_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1,2,3,4\nNaN,nan,NAN,nan\n")
    assert np.isnan(read_boxes(path)[1]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,4\n1,2,3\n", "row 2: has 3 columns, expected 4"),
        ("1,2,3,4\n1,,3,4\n", "row 2: an empty value is not a number"),
        ("1,2,3,four\n", 'row 1: "four" is not a number'),
        ("1_0,2,3,4\n", 'row 1: "1_0" is not a number'),
        ("1,2,3,4i\n", 'row 1: "4i" is not a number'),
        ("1.5,2,3,4,5,6,7\n", "row 1: has 7 columns, expected 4"),
    ],
)
def test_bad_row_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(DatasetError) as caught:
        read_boxes(path)
    assert str(caught.value).startswith(f"{path}, {message}")


def test_binary_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="is not a text file"):
        read_boxes(path)


def test_scores_of_another_length_are_refused(tmp_path: Path) -> None:
    write_track(tmp_path, "a", track())
    (tmp_path / "a.txt").write_text("1,2,3,4\n")
    with pytest.raises(DatasetError, match="1 boxes, but 2 scores beside them"):
        read_track(tmp_path / "a.txt")


def test_a_table_of_another_tool_is_passed_over(tmp_path: Path) -> None:
    write_track(tmp_path, "a", track())
    (tmp_path / "a.csv").write_bytes("Güte;Zeit\n1;2\n".encode("latin-1"))
    assert np.isnan(read_track(tmp_path / "a.txt").scores).all()


def test_a_score_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    write_track(tmp_path, "a", track())
    (tmp_path / "a.csv").write_bytes(b"frame,score,status\n0,1,\xff\n")
    with pytest.raises(DatasetError, match=r"a\.csv: is not a text file"):
        read_track(tmp_path / "a.txt")


def test_damaged_score_file_is_named(tmp_path: Path) -> None:
    write_track(tmp_path, "a", track())
    (tmp_path / "a.csv").write_text("frame,score,status\n0,high,tracking\n")
    with pytest.raises(DatasetError, match=r"a\.csv: a row is not frame,score,status"):
        read_track(tmp_path / "a.txt")


def run_struct(boxes: np.ndarray, kind: str = "rect") -> dict[str, object]:
    return {"type": kind, "res": boxes, "len": len(boxes), "fps": 20.0, "annoBegin": 1}


def cell(*runs: dict[str, object]) -> np.ndarray:
    made = np.empty((1, len(runs)), dtype=object)
    for index, one in enumerate(runs):
        made[0, index] = one
    return made


def test_mat_file_of_the_toolkits_is_read(tmp_path: Path) -> None:
    savemat(tmp_path / "dog_S_001_ECO_TIR.mat", {"results": cell(run_struct(BOXES))})
    found = find_results(tmp_path, ["dog_S_001", "dog"])
    path = found["ECO_TIR"]["dog_S_001"]
    np.testing.assert_array_equal(read_track(path).boxes, BOXES)
    assert np.isnan(read_track(path).scores).all()


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (cell(run_struct(BOXES), run_struct(BOXES)), "holds 2 runs"),
        (cell(run_struct(BOXES, "affine")), 'result type "affine"'),
        (cell(run_struct(np.ones((2, 3)))), "res is"),
        (np.ones((1, 3)), "is no cell of structs"),
    ],
    ids=["tre", "affine", "three_columns", "no_struct"],
)
def test_mat_file_of_another_kind_is_refused(
    tmp_path: Path, results: np.ndarray, message: str
) -> None:
    path = tmp_path / "a_x.mat"
    savemat(path, {"results": results})
    with pytest.raises(DatasetError, match=message):
        read_track(path)


@pytest.mark.parametrize("kept", [0, 30, 130, 200, 300])
@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_mat_file_is_named(tmp_path: Path, kept: int, compressed: bool) -> None:
    path = tmp_path / "a_x.mat"
    savemat(path, {"results": cell(run_struct(BOXES))}, do_compression=compressed)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DatasetError, match=r"a_x\.mat"):
        read_track(path)


def test_empty_mat_result_has_no_row(tmp_path: Path) -> None:
    savemat(tmp_path / "a_x.mat", {"results": cell(run_struct(np.zeros((0, 0))))})
    assert read_track(tmp_path / "a_x.mat").boxes.shape == (0, 4)


def test_trackers_are_found_at_any_depth(tmp_path: Path) -> None:
    for folder in ("dimp/default_000", "eco"):
        write_track(tmp_path / folder, "a", track())
    found = find_results(tmp_path, ["a", "b"])
    assert {name: list(files) for name, files in found.items()} == {
        "dimp/default_000": ["a"],
        "eco": ["a"],
    }
    assert list(find_results(tmp_path / "eco", ["a"])) == ["eco"]


def test_folder_without_results_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected files such as a\.txt"):
        find_results(tmp_path, ["b", "a"])
    with pytest.raises(DatasetError, match="no such folder"):
        find_results(tmp_path / "none", ["a"])
