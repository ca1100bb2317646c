"""Verification: every layout whole, and every fault of it named with file and sequence."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.made_layouts import LEVELS_A_FRAME, MAKERS, NAMES, ROWS, SIZE_WH, make, small
from tirtrack.datasets import Verification, benchmarks, verify_dataset
from tirtrack.datasets.benchmark import ListedSequence
from tirtrack.datasets.by_name import open_benchmark
from tirtrack.errors import DatasetError, RequestError

LAYOUTS = tuple(MAKERS)
JSON = ("anti-uav", "anti-uav410")
# those of OTB choose the images by the published number, and so cannot have another one
WITH_LIST = tuple(name for name in LAYOUTS if benchmarks.get(name).frames and name != "otb")
FEW = ("lsotb-tir", "gtot", "rgbt234", "vot-tir2016", "got10k-val", "otb", "lasot")
ALL_PRESENT = tuple(name for name in LAYOUTS if not benchmarks.get(name).has_absent)


def said(found: Verification) -> list[str]:
    return [f"{one.sequence}: {one.where}: {one.what}; {one.fix}" for one in found.findings]


def only(found: Verification, pattern: str) -> None:
    """One finding, about the first made sequence, in these words."""
    assert not found.whole
    assert len(found.findings) == 1, said(found)
    assert found.findings[0].sequence == NAMES[0]
    assert re.search(pattern, said(found)[0]), said(found)


def change(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


def test_every_published_data_set_has_a_made_folder():
    assert set(MAKERS) == set(benchmarks.names())


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_made_folder_is_whole(tmp_path: Path, name: str):
    make(tmp_path, name)
    found = verify_dataset(small(name), tmp_path)
    assert said(found) == []
    assert found.whole
    assert (found.sequences, found.frames) == (2, 2 * ROWS)
    assert found.images > 0
    assert found.unlisted == ()


@pytest.mark.parametrize("name", LAYOUTS)
def test_boxes_and_frames_are_those_of_the_layout(tmp_path: Path, name: str):
    made = make(tmp_path, name)
    opened = open_benchmark(small(name), tmp_path)
    assert [one.name for one in opened.sequences] == list(NAMES)
    for one in opened.sequences:
        np.testing.assert_array_equal(one.boxes, made[one.name].boxes)
        frames = list(one.open_frames())
        assert len(frames) == ROWS
        assert frames[0].shape[:2] == SIZE_WH[::-1]


def test_frames_of_otb_are_those_that_are_annotated(tmp_path: Path):
    make(tmp_path, "otb")
    frames = open_benchmark(small("otb"), tmp_path).sequences[0].open_frames()
    levels = [round(int(one[-1, -1]) / LEVELS_A_FRAME) for one in frames]
    assert levels == [4, 5, 6]


@pytest.mark.parametrize("name", FEW)
def test_a_missing_sequence_is_named(tmp_path: Path, name: str):
    made = make(tmp_path, name)
    made[NAMES[0]].annotation.unlink()
    only(
        verify_dataset(small(name), tmp_path),
        f"annotation of this sequence is not there.*{NAMES[0]}.*get it again: ",
    )


@pytest.mark.parametrize("name", ["rgbt210", "lasher-train", "vtuav-short", "anti-uav410"])
def test_without_a_list_the_number_of_sequences_is_compared(tmp_path: Path, name: str):
    made = make(tmp_path, name)
    made[NAMES[0]].annotation.unlink()
    found = verify_dataset(small(name), tmp_path)
    assert [one.sequence for one in found.findings] == [""]
    assert re.search("has 1 sequence, .* 2; get it again", said(found)[0])
    assert found.names_from == ""


def test_the_list_of_the_data_is_compared_with_the_published_number(tmp_path: Path):
    make(tmp_path, "vot-tir2016")
    (tmp_path / "list.txt").write_text(NAMES[0] + "\n")
    found = verify_dataset(small("vot-tir2016"), tmp_path)
    assert ["list.txt has 1 sequence" in one for one in said(found)] == [True]
    assert (found.names_from, found.unlisted) == ("list.txt", (NAMES[1],))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in LAYOUTS
        if name not in ("anti-uav", "vtuav-short", "vtuav-long", "got10k-test")
    ],
)
def test_a_missing_frame_is_named(tmp_path: Path, name: str):
    made = make(tmp_path, name)
    gone = made[NAMES[0]].images[1]
    gone.unlink()
    found = verify_dataset(small(name), tmp_path)
    words = said(found)
    assert any(re.search(f"has {ROWS - 1} images, .* has {ROWS} rows", one) for one in words), words
    assert {one.sequence for one in found.findings} == {NAMES[0]}
    if gone.stem.isdecimal():
        assert f"there is no image number {int(gone.stem)};" in words[0]


def test_a_video_that_is_too_short_is_named(tmp_path: Path):
    from tests.datasets.made_layouts import video

    made = make(tmp_path, "anti-uav")
    video(made[NAMES[0]].images[0], ROWS - 1)
    only(
        verify_dataset(small("anti-uav"), tmp_path),
        r"infrared\.mp4: the video has 2 frames, its annotation 3 rows",
    )


@pytest.mark.parametrize("name", [one for one in LAYOUTS if one not in (*JSON, "got10k-test")])
@pytest.mark.parametrize("change_rows", ["shorter", "longer"])
def test_another_length_of_annotation_is_named(tmp_path: Path, name: str, change_rows: str):
    path = make(tmp_path, name)[NAMES[0]].annotation
    lines = path.read_text().splitlines(keepends=True)
    lines = lines[:-1] if change_rows == "shorter" else [*lines, lines[-1]]
    path.write_text("".join(lines))
    found = verify_dataset(small(name), tmp_path)
    assert {one.sequence for one in found.findings} == {NAMES[0]}, said(found)
    assert any(f"{len(lines)} rows" in one or f"has {len(lines)}" in one for one in said(found))


@pytest.mark.parametrize("published", [ROWS - 1, ROWS + 1], ids=["fewer", "more"])
@pytest.mark.parametrize("name", WITH_LIST)
def test_the_published_number_of_frames_is_compared(tmp_path: Path, name: str, published: int):
    make(tmp_path, name)
    known = small(name)
    other = replace(known.sequences[0], frames=published)
    found = verify_dataset(replace(known, sequences=(other, known.sequences[1])), tmp_path)
    only(found, f"has {ROWS} rows, the published annotation {published}; get it again")


def test_the_first_of_the_missing_frames_is_counted_too(tmp_path: Path):
    made = make(tmp_path, "lsotb-tir")
    made[NAMES[0]].images[0].unlink()
    only(verify_dataset(small("lsotb-tir"), tmp_path), "there is no image number 1;")


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "anti-uav"])
def test_an_unreadable_image_is_named(tmp_path: Path, name: str):
    made = make(tmp_path, name)
    path = made[NAMES[0]].images[1]
    path.write_bytes(path.read_bytes()[:60])
    only(verify_dataset(small(name), tmp_path), re.escape(str(path)))
    assert verify_dataset(small(name), tmp_path, images="first").whole
    assert verify_dataset(small(name), tmp_path, images="none").images == 0


def test_an_unreadable_video_is_named(tmp_path: Path):
    made = make(tmp_path, "anti-uav")
    path = made[NAMES[0]].images[0]
    path.write_bytes(b"no video")
    found = verify_dataset(small("anti-uav"), tmp_path)
    assert not found.whole
    assert all(str(path) in one for one in said(found))


def test_a_truncated_image_of_the_rgb_half_is_named(tmp_path: Path):
    make(tmp_path, "rgbt234")
    path = tmp_path / NAMES[0] / "visible" / "00002v.jpg"
    path.write_bytes(path.read_bytes()[:-40])
    only(verify_dataset(small("rgbt234"), tmp_path), re.escape(str(path)))


@pytest.mark.parametrize(
    ("name", "folder"),
    [("gtot", "v"), ("rgbt210", "visible"), ("vot-rgbt2019", "color"), ("vtuav-long", "rgb")],
)
def test_a_missing_rgb_frame_is_named(tmp_path: Path, name: str, folder: str):
    made = make(tmp_path, name)
    images = made[NAMES[0]].annotation.parent / folder
    next(images.iterdir()).unlink()
    count = len(made[NAMES[0]].images)
    only(
        verify_dataset(small(name), tmp_path),
        f"{folder}: has {count - 1} RGB images, {count} thermal ones",
    )


@pytest.mark.parametrize(
    ("name", "file"),
    [("gtot", "groundTruth_v.txt"), ("rgbt234", "visible.txt"), ("vtuav-short", "rgb.txt")],
)
def test_the_annotation_of_the_rgb_half_is_compared(tmp_path: Path, name: str, file: str):
    made = make(tmp_path, name)
    path = made[NAMES[0]].annotation.parent / file
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    only(verify_dataset(small(name), tmp_path), rf"{re.escape(file)}: has 1 row, .* has 3")
    path.unlink()
    only(verify_dataset(small(name), tmp_path), rf"{re.escape(file)}: could not be read")


@pytest.mark.parametrize("name", ALL_PRESENT)
def test_a_row_of_nan_is_named_where_every_frame_has_a_box(tmp_path: Path, name: str):
    path = make(tmp_path, name)[NAMES[0]].annotation
    lines = path.read_text().splitlines()
    lines[1] = re.sub(r"\d+", "nan", lines[1])
    path.write_text("\n".join(lines))
    only(
        verify_dataset(small(name), tmp_path),
        "1 row without a box, the first is row 2; the published",
    )


@pytest.mark.parametrize("name", [one for one in LAYOUTS if one not in (*JSON, "got10k-test")])
def test_a_number_that_is_nan_is_named_with_its_row(tmp_path: Path, name: str):
    path = make(tmp_path, name)[NAMES[0]].annotation
    lines = path.read_text().splitlines()
    lines[1] = re.sub(r"^[\d.]+", "nan", lines[1])
    path.write_text("\n".join(lines))
    only(verify_dataset(small(name), tmp_path), rf"{re.escape(str(path))}, row 2: .*not finite")


@pytest.mark.parametrize("name", [one for one in LAYOUTS if one not in JSON])
def test_a_wrong_separator_is_named(tmp_path: Path, name: str):
    path = make(tmp_path, name)[NAMES[0]].annotation
    path.write_text(re.sub(r"[,\t ]", "|", path.read_text()))
    only(verify_dataset(small(name), tmp_path), rf"{re.escape(str(path))}, row 1: ")


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[1, 1, 1]", "[1, 1]", "has 3 boxes and 2 flags"),
        ("[5, 4, 10, 12]", "[5, NaN, 10, 12]", "not finite"),
        ("[5, 4, 10, 12]", "[5, 4, 10]", "has 3 numbers, expected 4"),
        ("}", "", "is not JSON"),
    ],
    ids=["shorter", "nan", "numbers", "cut"],
)
def test_damaged_json_is_named(tmp_path: Path, name: str, old: str, new: str, words: str):
    path = make(tmp_path, name)[NAMES[0]].annotation
    change(path, old, new)
    only(verify_dataset(small(name), tmp_path), words)


def test_a_frame_of_another_size_is_named(tmp_path: Path):
    made = make(tmp_path, "lsotb-tir")
    path = made[NAMES[0]].images[2]
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    only(verify_dataset(small("lsotb-tir"), tmp_path), re.escape(path.name))


def test_invalid_boxes_are_known_where_published_and_a_fault_elsewhere(tmp_path: Path):
    made = make(tmp_path, "lsotb-tir")
    change(made[NAMES[0]].annotation, "6,5", "0,5")
    only(
        verify_dataset(small("lsotb-tir"), tmp_path),
        "1 boxes have a value of 0 or less, in the published annotation 0",
    )
    known = small("lsotb-tir")
    as_published = replace(known.sequences[0], invalid=1)
    found = verify_dataset(replace(known, sequences=(as_published, known.sequences[1])), tmp_path)
    assert found.whole
    assert [one.what for one in found.known if one.sequence == NAMES[0]] == [
        "1 boxes have a value of 0 or less: misses in success, hits in precision"
    ]


def test_a_known_error_stands_beside_the_sequence_that_it_explains(tmp_path: Path):
    make(tmp_path, "lsotb-tir")
    known = small("lsotb-tir")
    found = verify_dataset(
        replace(known, sequences=(*known.sequences, ListedSequence("cat_D_001", 3))), tmp_path
    )
    missing = [one for one in found.findings if one.sequence == "cat_D_001"]
    assert "car_D_001" in missing[0].fix
    assert "issue 4" in missing[0].fix


def test_sequences_on_no_list_are_said_and_are_no_fault(tmp_path: Path):
    make(tmp_path, "lsotb-tir")
    MAKERS["lsotb-tir"](tmp_path, "car_D_001")
    found = verify_dataset(small("lsotb-tir"), tmp_path)
    assert found.whole
    assert found.unlisted == ("car_D_001",)


def test_every_fault_is_listed_not_the_first_alone(tmp_path: Path):
    made = make(tmp_path, "gtot")
    made[NAMES[0]].images[0].unlink()
    made[NAMES[1]].annotation.write_text("a,b,c,d\n")
    found = verify_dataset(small("gtot"), tmp_path)
    assert {one.sequence for one in found.findings} == set(NAMES)


def test_an_empty_folder_is_not_whole(tmp_path: Path):
    for name in ("rgbt210", "folder"):
        found = verify_dataset(small(name), tmp_path)
        assert not found.whole
        assert "no sequence of" in said(found)[0]


def test_nothing_is_written_and_a_folder_that_may_not_be_written_is_read(tmp_path: Path):
    root = tmp_path / "data"
    make(root, "rgbt234")
    paths = sorted([root, *root.rglob("*")])
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = [(path, path.stat().st_mtime_ns) for path in paths]
    try:
        assert verify_dataset(small("rgbt234"), root).whole
        assert [
            (path, path.stat().st_mtime_ns) for path in sorted([root, *root.rglob("*")])
        ] == before
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_workers_find_the_same(tmp_path: Path):
    made = make(tmp_path, "lsotb-tir")
    for one in made.values():
        one.images[1].write_bytes(b"no image")
    assert verify_dataset(small("lsotb-tir"), tmp_path, workers=2) == verify_dataset(
        small("lsotb-tir"), tmp_path
    )


def test_bad_requests_are_refused_before_anything_is_read(tmp_path: Path):
    with pytest.raises(RequestError, match='unknown data set "ptb-ti"; did you mean "ptb-tir"'):
        verify_dataset("ptb-ti", tmp_path)
    with pytest.raises(DatasetError, match=r"no such folder; get PTB-TIR .* from github\.com"):
        verify_dataset("ptb-tir", tmp_path / "none")
    with pytest.raises(
        RequestError, match='no way "frist" of reading images; did you mean "first"'
    ):
        verify_dataset("ptb-tir", tmp_path, images="frist")
    with pytest.raises(RequestError, match="workers must be at least 1"):
        verify_dataset("ptb-tir", tmp_path, workers=0)


@pytest.mark.parametrize(
    ("name", "file"), [("lasot", "full_occlusion.txt"), ("got10k-train", "cover.label")]
)
def test_a_missing_file_of_flags_is_named(tmp_path: Path, name: str, file: str):
    path = make(tmp_path, name)[NAMES[0]].annotation.with_name(file)
    path.unlink()
    only(verify_dataset(small(name), tmp_path), f"{re.escape(str(path))}: no such file of flags")


def test_a_stated_size_is_compared_with_the_frames(tmp_path: Path):
    path = make(tmp_path, "got10k-val")[NAMES[0]].annotation
    (path.parent / "meta_info.ini").write_text("[METAINFO]\nresolution: (80, 60)\n")
    only(verify_dataset(small("got10k-val"), tmp_path), "frames are 40x30, .* states 80x60")
    assert verify_dataset(small("got10k-val"), tmp_path, images="none").whole


@pytest.mark.parametrize(
    ("text", "words"), [("8\n9\n0\n", '"9" is no'), ("8\nx\n0\n", '"x" is not')]
)
def test_a_share_that_is_none_is_named(tmp_path: Path, text: str, words: str):
    path = make(tmp_path, "got10k-val")[NAMES[0]].annotation
    (path.parent / "cover.label").write_text(text)
    found = verify_dataset(small("got10k-val"), tmp_path)
    only(found, rf"cover\.label.*{words}.*expected (numbers from )?0 to 8")


def test_a_folder_without_sequences_says_what_they_may_look_like(tmp_path: Path):
    (found,) = said(verify_dataset("folder", tmp_path))
    assert re.search(r"expected anno/SEQUENCE\.txt, .*SEQUENCE/groundtruth\.txt", found)
