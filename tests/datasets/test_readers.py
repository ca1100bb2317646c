"""Readers of labelled sequences: layouts, bases, counts, and what they say of damaged data."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.datasets import open_dataset
from tirtrack.datasets.benchmarks.lsotb_tir import LSOTB_TIR
from tirtrack.datasets.benchmarks.ptb_tir import PTB_TIR
from tirtrack.errors import DatasetError

ROWS = ["0,3,10,12", "1.5,3,10,12", "nan,nan,nan,nan"]


def images(folder: Path, count: int = 3, form: str = "{:04d}.png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = np.full((16, 20), index, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / form.format(index + 1))


def sequence(folder: Path, rows: list[str] = ROWS, count: int = 3) -> Path:
    images(folder / "img", count)
    (folder / "groundtruth.txt").write_text("\n".join(rows))
    return folder


def lsotb(root: Path, names: tuple[str, ...] = ("dog_S_001", "cat_D_001")) -> Path:
    for name in names:
        (root / "anno").mkdir(parents=True, exist_ok=True)
        (root / "anno" / f"{name}.txt").write_text("0,3,10,12\n4,3,10,12\n0,0,0,0\n")
        images(root / name / "img")
    return root


def attributes(root: Path, values: int) -> None:
    (root / "anno" / "att").mkdir()
    for path in (root / "anno").glob("*.txt"):
        ones = ",".join(str(index % 2) for index in range(values))
        (root / "anno" / "att" / path.name).write_text(ones + "\n")


def test_tir_video_boxes_are_moved_to_base_1(tmp_path: Path) -> None:
    sequence(tmp_path / "set" / "a")
    found = open_dataset(tmp_path).sequences[0]
    np.testing.assert_array_equal(
        found.annotation, [[1, 4, 10, 12], [2.5, 4, 10, 12], [np.nan] * 4]
    )
    assert (found.base, found.subset, found.name) == (1, "set", "a")


def test_lsotb_boxes_are_kept_as_stored(tmp_path: Path) -> None:
    found = open_dataset(lsotb(tmp_path))
    assert [s.name for s in found.sequences] == ["cat_D_001", "dog_S_001"]
    assert [s.subset for s in found.sequences] == ["D", "S"]
    assert (found.protocol, found.sequences[0].base) == ("lsotb-tir", 1)
    np.testing.assert_array_equal(
        found.sequences[0].annotation, [[0, 3, 10, 12], [4, 3, 10, 12], [0, 0, 0, 0]]
    )


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    root = lsotb(tmp_path, ("a_V_001",))
    for path in (root / "a_V_001" / "img").iterdir():
        path.unlink()
    images(root / "a_V_001" / "img", 12, "{}.png")
    (root / "anno" / "a_V_001.txt").write_text("1,1,5,5\n" * 12)
    frames = list(open_dataset(root).sequences[0].open_frames())
    assert [int(frame[0, 0]) for frame in frames] == list(range(12))


def test_sequence_survives_the_way_to_a_worker(tmp_path: Path) -> None:
    found = open_dataset(lsotb(tmp_path)).sequences[0]
    again = pickle.loads(pickle.dumps(found))
    assert len(list(again.open_frames())) == 3


@pytest.mark.parametrize(
    "place", ["TIR/data/dog_S_001/img", "deep/dog_S_001", "dog_S_001"], ids=str
)
def test_frames_are_found_anywhere_below_the_root(tmp_path: Path, place: str) -> None:
    (tmp_path / "anno").mkdir()
    (tmp_path / "anno" / "dog_S_001.txt").write_text("1,3,10,12\n" * 3)
    images(tmp_path / place)
    assert len(list(open_dataset(tmp_path).sequences[0].open_frames())) == 3


def test_two_folders_of_one_sequence_are_refused(tmp_path: Path) -> None:
    (tmp_path / "anno").mkdir()
    (tmp_path / "anno" / "dog.txt").write_text("1,3,10,12\n" * 3)
    images(tmp_path / "x" / "dog")
    images(tmp_path / "y" / "dog")
    with pytest.raises(DatasetError, match="2 folders have frames of dog"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("values", "protocol", "names"),
    [(16, "lsotb-tir", LSOTB_TIR.attribute_names), (10, "ptb-tir", PTB_TIR.attribute_names)],
)
def test_number_of_attributes_tells_the_benchmark(
    tmp_path: Path, values: int, protocol: str, names: tuple[str, ...]
) -> None:
    attributes(lsotb(tmp_path), values)
    found = open_dataset(tmp_path)
    assert found.protocol == protocol
    assert tuple(found.sequences[0].attributes) == names
    assert found.sequences[0].attributes["occlusion"] == 1


def test_attribute_names_are_those_of_the_official_lists(shared: Path) -> None:
    for benchmark, name in ((LSOTB_TIR, "lsotb_tir"), (PTB_TIR, "ptb_tir")):
        path = shared / "golden" / "metrics" / "sequences" / f"{name}.json"
        official = json.loads(path.read_text())["attribute_order"]
        assert list(benchmark.attribute_names) == official


def test_scenario_of_every_official_sequence_is_known(shared: Path) -> None:
    path = shared / "golden" / "metrics" / "sequences" / "lsotb_tir.json"
    names = [entry["name"] for entry in json.loads(path.read_text())["sequences"]]
    assert LSOTB_TIR.subset is not None
    assert all(LSOTB_TIR.subset.search(name) for name in names)


def test_other_number_of_attributes_is_named(tmp_path: Path) -> None:
    attributes(lsotb(tmp_path), 7)
    with pytest.raises(DatasetError, match=r"cat_D_001\.txt: has 7 attributes, the benchmark 16"):
        open_dataset(tmp_path)


def test_groundtruth_rect_is_read_beside_its_frames(tmp_path: Path) -> None:
    root = tmp_path / "PTB-TIR"
    images(root / "street1" / "img")
    (root / "street1" / "groundtruth_rect.txt").write_text("1\t3\t10\t12\r\n" * 3)
    found = open_dataset(root)
    assert (found.protocol, found.sequences[0].name) == ("ptb-tir", "street1")
    assert open_dataset(root / "street1").sequences[0].name == "street1"


def test_one_sequence_is_a_data_set(tmp_path: Path) -> None:
    found = open_dataset(sequence(tmp_path / "walk"))
    assert (found.name, [s.name for s in found.sequences]) == ("walk", ["walk"])


def test_names_shared_by_two_sets_get_their_set_in_front(tmp_path: Path) -> None:
    for place in ("day/a", "night/a", "night/b"):
        sequence(tmp_path / place)
    names = [s.name for s in open_dataset(tmp_path).sequences]
    assert names == ["day.a", "night.a", "b"]


def test_annotation_alone_needs_no_frames(tmp_path: Path) -> None:
    (tmp_path / "anno").mkdir()
    (tmp_path / "anno" / "dog_S_001.txt").write_text("1,3,10,12\n")
    found = open_dataset(tmp_path, with_frames=False).sequences[0]
    with pytest.raises(DatasetError, match="dog_S_001: only the annotation was opened"):
        found.open_frames()


@pytest.mark.parametrize(
    ("rows", "count", "message"),
    [
        (ROWS, 4, "img: has 4 images, its annotation groundtruth.txt has 3 rows; one row a frame"),
        ([*ROWS[:2], "3,4,0,5"], 3, "groundtruth.txt, row 3: the box 3,4,0,5 has no area"),
        ([*ROWS[:2], "3,nan,4,5"], 3, "groundtruth.txt, row 3: the box has a number that is not"),
        ([*ROWS[:2], "3,4,inf,5"], 3, "groundtruth.txt, row 3: the box has a number that is not"),
        ([*ROWS[:2], "3,4,5"], 3, "groundtruth.txt, row 3: has 3 columns, expected 4"),
        ([*ROWS[:2], "a,4,5,6"], 3, 'groundtruth.txt, row 3: "a" is not a number'),
        ([], 3, "groundtruth.txt: has no row"),
        (ROWS, 0, "a: no frames of a; expected a folder of images or a video called img, infr"),
    ],
)
def test_damaged_sequence_is_named(
    tmp_path: Path, rows: list[str], count: int, message: str
) -> None:
    folder = sequence(tmp_path / "a", rows, count)
    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path)
    assert str(caught.value).startswith(str(folder))
    assert message in str(caught.value)


def test_lsotb_row_without_area_is_named_but_zeros_mean_absent(tmp_path: Path) -> None:
    root = lsotb(tmp_path, ("dog_S_001",))
    (root / "anno" / "dog_S_001.txt").write_text("1,1,5,5\n0,0,0,0\n5,5,-2,5\n")
    with pytest.raises(DatasetError, match=r"dog_S_001\.txt, row 3: the box 5,5,-2,5 has no area"):
        open_dataset(root)


def test_frames_packed_under_another_name_are_missed(tmp_path: Path) -> None:
    root = lsotb(tmp_path, ("cat_D_001",))
    (root / "cat_D_001").rename(root / "car_D_001")
    with pytest.raises(DatasetError, match="no frames of cat_D_001"):
        open_dataset(root)


@pytest.mark.parametrize(("make", "message"), [(False, "no such folder"), (True, "no labelled")])
def test_missing_and_empty_folders_are_told_apart(tmp_path: Path, make: bool, message: str) -> None:
    folder = tmp_path / "none"
    if make:
        folder.mkdir()
    with pytest.raises(DatasetError, match=message):
        open_dataset(folder)


def test_notes_that_contradict_the_annotation_are_refused(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "a")
    (folder / "attributes.json").write_text('{"frames": 5, "label": "manual"}')
    with pytest.raises(DatasetError, match=r"says 5 frames, groundtruth\.txt has 3 rows"):
        open_dataset(tmp_path)
    (folder / "attributes.json").write_text("{")
    with pytest.raises(DatasetError, match=r"attributes\.json: is not JSON"):
        open_dataset(tmp_path)


def test_several_videos_in_a_sequence_are_refused(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "a", count=0)
    for name in ("one.mp4", "two.mp4"):
        (folder / name).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"has 2 videos \(one\.mp4, two\.mp4\)"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("part", "sequences", "rows"),
    [("tir_video", 50, 10925), ("rgb/video_train", 12, 2055), ("rgb/video_test", 31, 5064)],
)
def test_shared_data_are_read_whole(shared: Path, part: str, sequences: int, rows: int) -> None:
    found = open_dataset(shared / "data" / part)
    assert len(found.sequences) == sequences
    assert sum(map(len, found.sequences)) == rows
    assert all(s.notes["label"] for s in found.sequences)


def test_ptb_airplane_equals_the_official_annotation(shared: Path) -> None:
    ours = open_dataset(shared / "data" / "tir_video" / "ptb_tir").sequences[0].annotation
    stored = np.load(shared / "golden" / "metrics" / "ptb" / "annotations.npz")
    at = list(stored["names"]).index("airplane")
    first = int(stored["lengths"][:at].sum())
    np.testing.assert_array_equal(ours[:20], stored["boxes"][first : first + 20])


def test_16_bit_and_video_frames_fit_their_rows(shared: Path) -> None:
    sets = {s.name: s for s in open_dataset(shared / "data" / "tir_video").sequences}
    raw = list(sets["hedgehog_v1"].open_frames())
    assert raw[0].dtype == np.uint16
    assert 2600 < raw[0].min() < raw[0].max() < 3200
    assert len(raw) == len(sets["hedgehog_v1"])
    video = sum(1 for _ in sets["IR_DRONE_025"].open_frames())
    assert video == len(sets["IR_DRONE_025"])
