"""Tables of boxes: forms, headers, comments, numbered frames, absence in every spelling."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirtrack.datasets import box_table, row_text
from tirtrack.datasets.box_table import BoxTable, targets_of
from tirtrack.datasets.box_text import read_boxes, read_targets
from tirtrack.datasets.row_text import plain_table
from tirtrack.datasets.target_boxes import TargetBoxes
from tirtrack.errors import DatasetError

BOXES = [[10, 20, 30, 40], [11, 21, 30, 40]]


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str) -> Path:
        path = tmp_path / "a.txt"
        path.write_text(text, encoding="utf-8")
        return path

    return written


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x,y,w,h\n10,20,30,40\n11,21,30,40\n", id="header"),
        pytest.param('"x","y","width","height"\n10,20,30,40\n11,21,30,40\n', id="quoted_header"),
        pytest.param("a b c d\n10 20 30 40\n11 21 30 40\n", id="header_of_unknown_names"),
        pytest.param(",x,y,w,h\n0,10,20,30,40\n1,11,21,30,40\n", id="pandas_index"),
        pytest.param('"10","20","30","40"\n"11","21","30","40"\n', id="quoted"),
        pytest.param("10,20,30,40,\n11,21,30,40,\n", id="separator_at_the_end"),
        pytest.param("# made by hand\n10,20,30,40\n% x\n11,21,30,40 // far\n", id="comments"),
        pytest.param("# x1,y1,x2,y2\n10,20,40,60\n11,21,41,61\n", id="savetxt_header"),
        pytest.param("left,top,right,bottom\n10,20,40,60\n11,21,41,61\n", id="corners_by_name"),
        pytest.param("xmin ymin xmax ymax\n40 60 10 20\n41 61 11 21\n", id="corners_swapped"),
        pytest.param("cx,cy,w,h\n25,40,30,40\n26,41,30,40\n", id="centres"),
        pytest.param("10,20,40,20,40,60,10,60\n11,21,41,21,41,61,11,61\n", id="polygon"),
        pytest.param("25,20,40,40,25,60,10,40\n26,21,41,41,26,61,11,41\n", id="rotated"),
        pytest.param("10,20,40,25,38,60,12,50\n11,21,41,25,38,61,12,50\n", id="uneven_polygon"),
        pytest.param("10,20,40,20,40,60,10,60\n11,21,30,40\n", id="polygon_and_box"),
        pytest.param("10;20;30;40\n11;21;30;40\n", id="semicolon"),
        pytest.param("10,0;20,0;30,0;40,0\n11;21;30;40\n", id="decimal_comma"),
        pytest.param("[10, 20, 30, 40]\n[11, 21, 30, 40]\n", id="brackets"),
        pytest.param("1,10,20,30,40\n2,11,21,30,40\n", id="numbered"),
        pytest.param("0 10 20 30 40\n1 11 21 30 40\n", id="numbered_from_0"),
        pytest.param("1,5,10,20,30,40\n2,5,11,21,30,40\n", id="mot_6"),
        pytest.param("2,5,11,21,30,40,1,-1,-1,-1\n1,5,10,20,30,40,1,-1,-1,-1\n", id="mot_10"),
        pytest.param("1,5,10,20,30,40,1,3\n2,5,11,21,30,40,1,3\n", id="mot_8"),
        pytest.param("1,5,10,20,30,40,1\n2,5,11,21,30,40,1\n1,6,0,0,9,9,0\n", id="mot_ignored"),
        pytest.param(
            "frame,time_s,x,y,w,h,status\n0,0.1,10,20,30,40,tracking\n1,0.2,11,21,30,40,lost\n",
            id="boxes_csv",
        ),
    ],
)
def test_every_form_gives_the_same_boxes(write, text: str) -> None:
    np.testing.assert_array_equal(read_boxes(write(text)), BOXES)


@pytest.mark.parametrize(
    "row",
    [
        *("0,0,0,0", "-1,-1,-1,-1", "nan,nan,nan,nan", "NaN NaN NaN NaN", "0", "nan", "[]", ""),
        *("0,0,-1,-1", "  ", "NA,NA,NA,NA", "na na na na", "None,None,None,None", "none", "NULL"),
        *(
            "null;null;null;null",
            "N/A,N/A,N/A,N/A",
            "n/a",
            "#N/A,#N/A,#N/A,#N/A",
            "<NA>,<NA>,<NA>,<NA>",
        ),
        *(",,,", ", , ,", ";;;", "(None, None, None, None)", '"NA","NA","NA","NA"', "nil"),
        *("-nan,-nan,-nan,-nan", "-nan(ind) -nan(ind) -nan(ind) -nan(ind)", "NA,nan,,None"),
        "-1.#IND,-1.#IND,1.#QNAN,1.#QNAN000",
    ],
)
def test_every_spelling_of_absence_is_seen(write, row: str) -> None:
    (target,) = read_targets(write(f"10,20,30,40\n{row}\n11,21,30,40\n"))
    assert target.absent.tolist() == [False, True, False]


def test_rows_without_values_are_no_header(write) -> None:
    (target,) = read_targets(write("NA,NA,NA,NA\n10,20,30,40\n,,,\n"))
    assert target.absent.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        pytest.param("0,0,0,0,0,0,0,0\n10,20,40,20,40,60,10,60\n", [True, False], id="polygon"),
        pytest.param("x,y,w,h,exist\n10,20,30,40,1\n10,20,30,40,0\n", [False, True], id="exist"),
        pytest.param("x,y,w,h,absent\n10,20,30,40,1\n10,20,30,40,0\n", [True, False], id="absent"),
        pytest.param(
            "x,y,w,h,visible\n10,20,30,40,True\n1,2,3,4,false\n", [False, True], id="bool"
        ),
        pytest.param("frame,x,y,w,h\n1,10,20,30,40\n2,,,,\n", [False, True], id="pandas"),
        pytest.param("1,7,10,20,30,40\n2,7,NA,NA,NA,NA\n", [False, True], id="mot_na"),
        pytest.param("1,7,10,20,30,40\n4,7,10,20,30,40\n", [False, True, True, False], id="gap"),
    ],
)
def test_absence_is_seen_in_every_form(write, text: str, absent: list[bool]) -> None:
    assert read_targets(write(text))[0].absent.tolist() == absent


def test_empty_rows_at_the_end_are_absent_only_where_there_are_frames(write) -> None:
    (target,) = read_targets(write("10,20,30,40\n\n11,21,30,40\n\n\n"))
    assert len(target) == 3
    assert target.fitted(5).absent.tolist() == [False, True, False, True, True]
    assert len(target.fitted(6)) == 3, "more frames than the file has lines"


def test_empty_rows_between_all_others_are_none_where_frames_say_so(write) -> None:
    (target,) = read_targets(write("10,20,30,40\n\n11,21,30,40\n"))
    np.testing.assert_array_equal(target.fitted(2).boxes, BOXES)


def test_numbered_rows_leave_the_end_open(write) -> None:
    (target,) = read_targets(write("1,7,10,20,30,40\n"))
    assert target.fitted(3).absent.tolist() == [False, True, True]


def test_every_id_is_a_target_over_the_same_frames(write) -> None:
    columns = ("frame", "id", "x1", "y1", "w", "h")
    targets = read_targets(write("1,a,1,2,3,4\n1,b,5,6,7,8\n3,b,5,6,7,8\n"), columns)
    assert [(one.target, len(one), one.absent.tolist()) for one in targets] == [
        ("a", 3, [False, True, True]),
        ("b", 3, [False, True, False]),
    ]
    with pytest.raises(DatasetError, match=r"holds 2 targets \(1, 2\), expected one"):
        read_boxes(write("1,1,1,2,3,4\n1,2,5,6,7,8\n"))


def test_given_columns_overrule_the_number_of_columns(write) -> None:
    path = write("10,20,40,60,car\n11,21,41,61,car\n")
    np.testing.assert_array_equal(read_boxes(path, ("x1", "y1", "x2", "y2", "-")), BOXES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "1.5,2,3,4,5\n", "row 1: has 5 columns, expected 4 (x,y,w,h) or 8 (corner polygons); "
            "name the columns, such as x,y,w,h,-, in a first line or with --columns", id="five",
        ),
        pytest.param(
            "1,-1,5,6,7,8,0.9,-1,-1,-1\n1,-1,5,6,7,8,0.9,-1,-1,-1\n",
            "row 1: has 10 columns, expected 4", id="detections_twice_in_a_frame",
        ),
        pytest.param(
            "10,20,30,40,10,20,30,40\n11,20,30,40,11,21,30,40\n",
            "row 1: eight numbers that are not corners but two boxes", id="two_boxes_side_by_side",
        ),
        pytest.param(
            "10,20,30,40,1,1\n11,20,30,40,1,1\n", "row 1: has 6 columns, expected 4",
            id="box_and_two_flags",
        ),
        pytest.param("x,y,w,h\n1,2,3,4\n1,2,3\n", "row 3: has 3 columns, expected 4", id="short"),
        pytest.param("1,2,3,4\n5\n", "row 2: has 1 column, expected 4", id="lone_number"),
        pytest.param("1,2,3,4\nabc\n", 'row 2: "abc" is not a number', id="lone_word"),
        pytest.param("1,2,3,4\nm0,1,2,3\n", 'row 2: "m0" is not a number', id="mask"),
        pytest.param(
            "frame,x,y,w,h\n1e12,1,2,3,4\n", "row 2: frame 1e+12 is not a whole number from 0 to",
            id="frame_number",
        ),
        pytest.param(
            "frame,x,y,w,h\n1,1,2,3,4\n1,1,2,3,4\n", "row 3: a second box for target (without id)",
            id="frame_twice",
        ),
        pytest.param(
            "1,2,3,4\n1,,3,4\n", "row 2: an empty value is not a number", id="one_value_left_out"
        ),
        pytest.param(
            "frame,x,y,w,h\n1,1,2,3,4\n2,1,,,4\n", "row 3: an empty value is not a number",
            id="two_values_left_out",
        ),
        pytest.param(
            "1.png,1,2,3,4\n2.png,1,2,3,4\n", 'row 1: "1.png" is not a number; expected 5 numbers; '
            "or name the columns, such as x,y,w,h,-", id="file_names",
        ),
        pytest.param(
            "x,y,w,h\n1,2,wide,4\n", 'row 2: "wide" is not a number; expected a number as w in '
            "column 3", id="word_in_a_named_column",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(DatasetError) as caught:
        read_boxes(path)
    assert str(caught.value).startswith(f"{path}, {message}")


def test_wide_text_of_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("10,20,30,40\r\n11,21,30,40\r\n".encode("utf-16"))
    np.testing.assert_array_equal(read_boxes(path), BOXES)


plain_words = st.one_of(
    st.integers(-5, 2000).map(str),
    st.floats(-1e3, 1e3).map(repr),
    st.sampled_from(["1.", ".5", "+3", "1e2", "0", "-1"]),
)
other_words = st.sampled_from(["NaN", "", "1e", "x", "1_0", "inf"])


@st.composite
def tables(draw: st.DrawFn) -> str:
    """Text of a few rows, most of them plain numbers, with any separator and any line end."""
    words = draw(st.sampled_from([plain_words, plain_words | other_words]))
    width = draw(st.sampled_from([4, 4, 8, 8, 3, 5, 6]))
    rows = draw(st.lists(st.lists(words, min_size=width, max_size=width), min_size=1, max_size=4))
    separator = draw(st.sampled_from([",", "\t", " ", ", ", ",\t", "  ", ";"]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\n\n", ",\n", " \n"]))
    last = draw(st.sampled_from(["", "", "\n", "\n\n", "\n1\n", "\n# x\n", "\n1,2,3,4\n"]))
    return end.join(separator.join(row) for row in rows) + last


@given(tables())
def test_rows_read_at_once_are_those_that_are_read_word_by_word(text):
    path = Path("boxes.txt")
    try:
        expected = BoxTable(path, text).targets(None)
    except DatasetError as error:
        with pytest.raises(DatasetError, match=f"^{re.escape(str(error))}$"):
            targets_of(text, path)
        return
    for found, wanted in zip(targets_of(text, path), expected, strict=True):
        for one in fields(TargetBoxes):
            np.testing.assert_equal(getattr(found, one.name), getattr(wanted, one.name))


@pytest.mark.parametrize("width", [4, 8])
def test_a_plain_table_is_not_looked_at_word_by_word(width, monkeypatch):
    monkeypatch.setattr(box_table, "BoxTable", None)
    box = [1, 2, 4, 2, 4, 5, 1, 5] if width == 8 else [1, 2, 3, 3]
    (found,) = targets_of("\n".join([",".join(map(str, box))] * 3), Path("boxes.txt"))
    np.testing.assert_equal(found.boxes, [[1, 2, 3, 3]] * 3)


@st.composite
def fixed_point(draw):
    """Rows of numbers with as many decimals, as ``savetxt`` writes them, and the same as words."""
    decimals, width = draw(st.integers(0, 6)), draw(st.integers(1, 8))
    numbers = st.integers(-(10**9), 10**9).map(lambda n: f"{n / 10**decimals:.{decimals}f}")
    row = st.lists(numbers, min_size=width, max_size=width)
    rows = draw(st.lists(row, min_size=1, max_size=5))
    separator, end = draw(st.sampled_from([",", "\t", " "])), draw(st.sampled_from(["\n", "\r\n"]))
    return end.join(separator.join(one) for one in rows) + draw(st.sampled_from(["", end])), rows


@given(fixed_point())
def test_numbers_with_as_many_decimals_are_read_bit_for_bit_at_once(case):
    text, rows = case
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(np, "loadtxt", None)
        found = plain_table(text)
    assert found.tolist() == [[float(word) for word in row] for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3,4", "1,2.3.4", "1.23,4.5", "12,3.4", "1,-,2", "-,1", "1-2,3", "1,2-", "--1,2", ".,1",
        "1.234.5,678", "-.5,-.5", "1.,2.", ".5,.6", "1,,2", ",1,2", "1,2,", "1, 2", "1\t2,3\t4",
        "1 2\n3,4", "1,2\n3", "1\n2,3", "1,2,3\n4", "1,2\n\n3,4", "\n1,2", "1,2\r3,4",
        "1,2\r\r\n3,4",
        "+1,+2", "1e2,3", "1E2,3E1", "1234567890123456,1", "99999999999999999999,1",
        "0.1234567890123456,1.", "9007199254740993.0,1.0", "1 2 \n3 4 ", "  1 2", "1,2\n\n",
        "-0.00,1.00",
        "007,08",
    ],
)  # fmt: skip
def test_numbers_written_otherwise_are_those_of_the_slow_way(text, monkeypatch):
    found = plain_table(text)
    monkeypatch.setattr(row_text, "_fixed_point", lambda text: None)
    wanted = plain_table(text)
    assert (found is None) == (wanted is None)
    if wanted is not None:
        np.testing.assert_array_equal(found, wanted, strict=True)
