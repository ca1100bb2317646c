"""Layouts by folder: absence files, corners taken for sizes, several targets, sparse rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.datasets import AnnotationOptions, open_dataset
from tirtrack.errors import DatasetError
from tirtrack.media import VideoWriter

ROW = "4,5,10,6\n"
SIZE_WH = (40, 30)


def images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = np.full(SIZE_WH[::-1], index, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:06d}.png")


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """A sequence of four frames with a folder of frames."""
    images(tmp_path / "seq" / "img", 4)
    (tmp_path / "seq" / "groundtruth.txt").write_text(ROW * 4)
    return tmp_path / "seq"


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("absence.label", "0\n1\n0\n1\n"),
        ("cover.label", "8\n0\n3\n0\n"),
        ("out_of_view.txt", "0,1,0,1"),
        ("full_occlusion.txt", "0,1,0,1\n"),
        ("absent.txt", "0 1 0 1"),
        ("exist.txt", "1\n0\n1\n0\n"),
        ("exist.json", "[1, 0, 1, 0]"),
        ("exist.json", '{"exist": [1, 0, 1, 0]}'),
        ("absent.json", "[false, true, false, true]\n"),
        ("absence.csv", "absence\n0\n1\n0\n1\n"),
        ("absent.txt", "False\nTrue\nfalse\ntrue\n"),
        ("out_of_view.tag", "0\n1\n0\n1\n"),
    ],
)
def test_flags_beside_the_boxes_say_absent(sequence: Path, name: str, flags: str) -> None:
    (sequence / name).write_text(flags)
    annotation = open_dataset(sequence).sequences[0].annotation
    assert np.isnan(annotation).all(axis=1).tolist() == [False, True, False, True]


def test_either_of_two_files_of_flags_counts(sequence: Path) -> None:
    (sequence / "out_of_view.txt").write_text("0,1,0,0")
    (sequence / "full_occlusion.txt").write_text("0,0,0,1")
    annotation = open_dataset(sequence).sequences[0].annotation
    assert np.isnan(annotation[:, 0]).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("0,1,0", r"absence\.label: has 3 flags, the annotation has 4 rows"),
        ("0,1,0,no", r'absence\.label: "no" is not a number'),
        ("0,1,0,NA", r'absence\.label: "NA" is not a flag'),
    ],
)
def test_flags_that_do_not_fit_are_named(sequence: Path, flags: str, message: str) -> None:
    (sequence / "absence.label").write_text(flags)
    with pytest.raises(DatasetError, match=message):
        open_dataset(sequence)


def test_flags_of_anno_layouts_lie_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "anno" / "absent").mkdir(parents=True)
    (tmp_path / "anno" / "dog_S_001.txt").write_text(ROW * 2)
    (tmp_path / "anno" / "absent" / "dog_S_001.txt").write_text("0\n1\n")
    (sequence,) = open_dataset(tmp_path, with_frames=False).sequences
    assert np.isnan(sequence.annotation[:, 0]).tolist() == [False, True]


def test_empty_rows_at_the_end_are_frames_without_the_target(sequence: Path) -> None:
    (sequence / "groundtruth.txt").write_text(ROW * 2 + "\n\n")
    assert np.isnan(open_dataset(sequence).sequences[0].annotation[:, 0]).tolist() == [
        *(False, False, True, True)
    ]


CORNER_ROWS = "30,20,38,28\n29,20,37,28\n28,19,36,27\n27,19,35,27\n"


def test_corners_taken_for_sizes_are_noticed(sequence: Path) -> None:
    (sequence / "groundtruth.txt").write_text(CORNER_ROWS)
    with pytest.raises(DatasetError) as caught:
        open_dataset(sequence)
    assert str(caught.value) == (
        f"{sequence / 'groundtruth.txt'}: 4 of 4 boxes leave the 40x30 frame as x,y,w,h, 0 as "
        "x1,y1,x2,y2; say which they are with --columns x1,y1,x2,y2 or --columns x,y,w,h, or name "
        "the columns in a first line of the file"
    )


@pytest.mark.parametrize(
    ("columns", "header", "size"),
    [
        (("x1", "y1", "x2", "y2"), "", [8, 8]),
        (("x1", "y1", "w", "h"), "", [38, 28]),
        (None, "x1,y1,x2,y2\n", [8, 8]),
        (None, "x,y,w,h\n", [38, 28]),
    ],
)
def test_named_columns_decide_what_four_numbers_are(
    sequence: Path, columns: tuple[str, ...] | None, header: str, size: list[int]
) -> None:
    (sequence / "groundtruth.txt").write_text(header + CORNER_ROWS)
    dataset = open_dataset(sequence, options=AnnotationOptions(columns=columns))
    assert dataset.sequences[0].annotation[0, 2:].tolist() == size
    said = "corners x1,y1,x2,y2 read as boxes (1 of 1 sequences)"
    assert dataset.remarks == ((said,) if size == [8, 8] else ())


@pytest.mark.parametrize("columns", [None, ("x1", "y1", "x2", "y2")])
def test_corners_in_json_are_noticed_and_read_by_name(
    tmp_path: Path, columns: tuple[str, ...] | None
) -> None:
    images(tmp_path / "seq" / "infrared", 2)
    content = {"exist": [1, 1], "gt_rect": [[30, 20, 38, 28], [29, 20, 37, 28]]}
    (tmp_path / "seq" / "infrared.json").write_text(json.dumps(content))
    if columns is None:
        with pytest.raises(DatasetError, match="2 of 2 boxes leave the 40x30 frame"):
            open_dataset(tmp_path)
        return
    dataset = open_dataset(tmp_path, options=AnnotationOptions(columns=columns))
    assert dataset.sequences[0].boxes[0].tolist() == [30, 20, 8, 8]


def test_large_boxes_near_the_corner_are_no_corners(sequence: Path) -> None:
    (sequence / "groundtruth.txt").write_text("2,2,30,20\n" * 4)
    assert open_dataset(sequence).sequences[0].annotation[0].tolist() == [3, 3, 30, 20]


@pytest.mark.parametrize(("base", "x"), [(None, 5), (0, 5), (1, 4)])
def test_given_base_overrules_the_layout(sequence: Path, base: int | None, x: int) -> None:
    (found,) = open_dataset(sequence, options=AnnotationOptions(base=base)).sequences
    assert (found.annotation[0, 0], found.file_base) == (x, base or 0)


@pytest.mark.parametrize(
    ("rows", "base", "said"),
    [
        pytest.param("0,3,9,9\n4,5,9,9\n", None, True, id="cut_at_0"),
        pytest.param("4,3,9,9\n4,0,9,9\n", None, True, id="on_the_other_axis"),
        pytest.param("0,3,9,9\n4,5,9,9\n", 0, False, id="base_is_given"),
        pytest.param("0,3,9,9\n-4,5,9,9\n", None, False, id="leaves_the_frame"),
        pytest.param("1,3,9,9\n0,0,0,0\n", None, False, id="absent"),
    ],
)
def test_boxes_at_pixel_0_of_a_layout_that_counts_from_1_are_said(
    tmp_path: Path, rows: str, base: int | None, said: bool
) -> None:
    images(tmp_path / "seq" / "infrared", 2)
    (tmp_path / "seq" / "infrared.txt").write_text(rows)
    remarks = open_dataset(tmp_path, options=AnnotationOptions(base=base)).remarks
    assert any("--base 0 if the file counts from 0" in one for one in remarks) == said


def test_every_target_of_a_file_is_a_sequence(sequence: Path) -> None:
    rows = ["1,1,4,5,10,6,1", "2,1,4,5,10,6,1", "2,8,4,5,9,6,1", "4,8,4,5,9,6,1", "1,2,3,4,5,6,0"]
    (sequence / "groundtruth.txt").write_text("\n".join(rows))
    dataset = open_dataset(sequence)
    assert [one.name for one in dataset.sequences] == ["seq.1", "seq.8"]
    gone = [np.isnan(one.annotation[:, 0]).tolist() for one in dataset.sequences]
    assert gone == [[False, False, True, True], [True, False, True, False]]
    assert dataset.remarks == (
        "rows of frame,id,x,y,w,h (MOT), those marked 0 left out (2 of 2 sequences)",
        "one of several targets of its file (2 of 2 sequences)",
    )


def test_sparse_rows_belong_to_every_tenth_frame(tmp_path: Path) -> None:
    images(tmp_path / "seq" / "ir", 14)
    (tmp_path / "seq" / "ir.txt").write_text(ROW * 2)
    dataset = open_dataset(tmp_path)
    (found,) = dataset.sequences
    assert found.every == 10
    assert [int(frame[0, 0]) for frame in found.open_frames()] == [0, 10]
    assert found.open_all is not None
    assert len(list(found.open_all())) == 14
    assert dataset.remarks == (
        "base 0 is assumed, --base 0 or 1 decides",
        "one annotated frame in 10 (1 of 1 sequences)",
    )


def video(path: Path, count: int, level: int = 60) -> None:
    with VideoWriter(path, 25.0) as writer:
        for _ in range(count):
            writer.write(np.full((32, 48), level, dtype=np.uint8))


def test_layouts_whose_numbers_mean_the_same_may_be_mixed(sequence: Path, tmp_path: Path) -> None:
    images(tmp_path / "vot" / "ir", 1)
    images(tmp_path / "vot" / "color", 1)
    (tmp_path / "vot" / "groundtruth.txt").write_text("1,2,4,2,4,6,1,6\n")
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "groundtruth.txt and VOT-RGBT"
    assert dataset.remarks == ("corner polygons read as their extent (1 of 2 sequences)",)


def test_thermal_video_of_a_pair_is_read(tmp_path: Path) -> None:
    (tmp_path / "seq").mkdir()
    for name, level in (("visible", 200), ("infrared", 60)):
        video(tmp_path / "seq" / f"{name}.mp4", 3, level)
        content = {"exist": [1, 0, 1], "gt_rect": [[level / 10, 2, 3, 4], [], [1, 2, 3, 4]]}
        (tmp_path / "seq" / f"{name}.json").write_text(json.dumps(content))
    (found,) = open_dataset(tmp_path).sequences
    assert found.boxes[0].tolist() == [6, 2, 3, 4]
    assert [int(frame.mean().round(-1)) for frame in found.open_frames()] == [60, 60, 60]


def test_frames_of_a_video_after_the_last_numbered_row_are_absent(tmp_path: Path) -> None:
    (tmp_path / "seq").mkdir()
    video(tmp_path / "seq" / "night.mp4", 5)
    (tmp_path / "seq" / "groundtruth.txt").write_text("1,7,4,5,10,6\n3,7,4,5,10,6\n")
    (found,) = open_dataset(tmp_path).sequences
    gone = np.isnan(found.annotation[:, 0]).tolist()
    assert gone == [False, True, False, True, True]


def test_visible_video_is_never_taken_for_the_thermal_one(tmp_path: Path) -> None:
    (tmp_path / "seq").mkdir()
    (tmp_path / "seq" / "visible.mp4").touch()
    content = {"exist": [1], "gt_rect": [[1, 2, 3, 4]]}
    (tmp_path / "seq" / "infrared.json").write_text(json.dumps(content))
    message = (
        r"no frames of seq; expected .* called infrared, ir, tir, thermal, lwir "
        r"\(there are visible\.mp4\); rename it, or name the files with --annotation and --frames"
    )
    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path)


@pytest.mark.parametrize("annotation", ["IR_label.json", "infrared.json", "infrared.txt", "ir.txt"])
@pytest.mark.parametrize("place", ["thermal", "TIR", "Infrared", "IR", "ir.avi", "Thermal.MP4"])
def test_thermal_frames_lie_under_any_usual_name(
    tmp_path: Path, annotation: str, place: str
) -> None:
    rows = [[4, 5, 10, 6]] * 3
    text = "\n".join(",".join(map(str, row)) for row in rows)
    content = json.dumps({"exist": [1, 1, 1], "gt_rect": rows})
    for name, level in (("visible", 200), (place, 60)):
        if "." in place:
            (tmp_path / "seq").mkdir(exist_ok=True)
            video(tmp_path / "seq" / (name if "." in name else f"{name}.mp4"), 3, level)
        else:
            images(tmp_path / "seq" / name, 3)
    (tmp_path / "seq" / annotation).write_text(content if ".json" in annotation else text)
    (found,) = open_dataset(tmp_path).sequences
    assert sum(1 for _ in found.open_frames()) == 3
    assert f"{place}'" in repr(found.open_frames)


def test_two_layouts_in_one_folder_are_refused(sequence: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "infrared.txt").write_text(ROW)
    with pytest.raises(DatasetError, match=r"layouts \(RGBT234 or LasHeR, groundtruth\.txt\)"):
        open_dataset(tmp_path)


def test_scoring_passes_over_frames_that_it_cannot_tell_apart(tmp_path: Path) -> None:
    for layout, file in (("a", "groundtruth.txt"), ("b", "groundtruth_rect.txt")):
        folder = tmp_path / layout / "seq"
        folder.mkdir(parents=True)
        (folder / file).write_text(ROW)
        for name in ("one.mp4", "two.mp4"):
            (folder / name).touch()
        assert len(open_dataset(tmp_path / layout, with_frames=False).sequences) == 1
        with pytest.raises(DatasetError, match="has 2 videos"):
            open_dataset(tmp_path / layout)


def test_linked_sequence_keeps_the_name_of_its_link(sequence: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").symlink_to(sequence)
    assert [one.name for one in open_dataset(tmp_path / "set").sequences] == ["mine"]


def test_file_in_place_of_a_folder_is_named(sequence: Path) -> None:
    with pytest.raises(DatasetError, match="is a file, not a folder; give the folder of the data"):
        open_dataset(sequence / "groundtruth.txt")


def test_empty_name_is_refused() -> None:
    with pytest.raises(DatasetError, match="the data set's name is empty; give a folder"):
        open_dataset("")
