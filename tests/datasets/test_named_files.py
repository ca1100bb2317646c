"""Sequences whose files the user names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.datasets import AnnotationOptions, open_dataset
from tirtrack.datasets.named_files import open_named_files
from tirtrack.errors import DatasetError, RequestError

ROW = "4,5,10,6\n"


def images(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(np.full((30, 40), index, np.uint8)).save(folder / f"{index}.png")
    return folder


def test_one_file_and_one_folder_are_a_sequence(tmp_path: Path) -> None:
    (tmp_path / "dog.txt").write_text(ROW * 3)
    dataset = open_named_files(str(tmp_path / "dog.txt"), str(images(tmp_path / "frames", 3)))
    (found,) = dataset.sequences
    assert (dataset.name, found.name, found.file_base) == ("dog", "dog", 0)
    assert found.boxes[0].tolist() == [4, 5, 10, 6]
    assert len(list(found.open_frames())) == 3
    assert dataset.remarks == ("base 0 is assumed, --base 0 or 1 decides",)


def test_names_stand_in_both_paths(tmp_path: Path) -> None:
    for name in ("a", "b"):
        images(tmp_path / "cam" / name / "thermal", 2)
        (tmp_path / f"{name}_boxes.csv").write_text(ROW * 2)
    (tmp_path / "boxes.csv").write_text("other")
    dataset = open_named_files(
        str(tmp_path / "{sequence}_boxes.csv"),
        str(tmp_path / "cam" / "{sequence}" / "thermal"),
        options=AnnotationOptions(base=1),
    )
    assert [one.name for one in dataset.sequences] == ["a", "b"]
    assert dataset.sequences[0].boxes[0].tolist() == [3, 4, 10, 6]
    assert (dataset.name, dataset.remarks) == ("boxes", ())


def test_name_may_stand_twice(tmp_path: Path) -> None:
    for folder, file in (("a", "a"), ("b", "x")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{file}.txt").write_text(ROW)
    dataset = open_named_files(str(tmp_path / "{sequence}" / "{sequence}.txt"))
    assert [one.name for one in dataset.sequences] == ["a"]


def test_flags_count_for_the_only_annotation_of_their_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gt.txt").write_text(ROW * 2)
    (tmp_path / "a" / "absence.label").write_text("0\n1\n")
    dataset = open_named_files(str(tmp_path / "{sequence}" / "gt.txt"))
    gone = [np.isnan(one.boxes[:, 0]).tolist() for one in dataset.sequences]
    assert gone == [[False, True], [False, False]]


def test_videos_of_a_coco_file_are_sequences(tmp_path: Path) -> None:
    videos = [{"id": 1, "name": "one.mp4"}, {"id": 2, "name": "two"}]
    shots = [{"id": v * 10 + f, "video_id": v, "frame_id": f} for v in (1, 2) for f in (0, 1)]
    marks = [{"image_id": v * 10, "instance_id": 3, "bbox": [v, 2, 3, 4]} for v in (1, 2)]
    content = {"videos": videos, "images": shots, "annotations": marks}
    (tmp_path / "all.json").write_text(json.dumps(content))
    for name in ("one", "two"):
        images(tmp_path / name, 2)
    dataset = open_named_files(str(tmp_path / "all.json"), str(tmp_path / "{sequence}"))
    with pytest.raises(RequestError, match="2 videos are annotated"):
        open_named_files(str(tmp_path / "all.json"), str(tmp_path / "one"))
    assert [(one.name, len(one)) for one in dataset.sequences] == [("one", 2), ("two", 2)]
    assert [one.boxes[0, 0] for one in dataset.sequences] == [1, 2]


@pytest.mark.parametrize("beside", ["", "annotations"])
@pytest.mark.parametrize("place", ["", "images"])
def test_folder_with_a_coco_file_is_a_data_set(tmp_path: Path, place: str, beside: str) -> None:
    content = {
        "videos": [{"id": 1, "name": "one"}],
        "images": [{"id": f, "video_id": 1, "frame_id": f} for f in (0, 1, 2)],
        "annotations": [{"image_id": f, "instance_id": 3, "bbox": [0, 2, 3, 4]} for f in (0, 2)],
    }
    (tmp_path / beside).mkdir(exist_ok=True)
    (tmp_path / beside / "labels.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="no frames of one; expected one/"):
        open_dataset(tmp_path)
    images(tmp_path / place / "one", 3)
    dataset = open_dataset(tmp_path)
    (found,) = dataset.sequences
    assert (dataset.layout, dataset.remarks, found.file_base) == ("COCO videos", (), 0)
    assert np.isnan(found.boxes[:, 0]).tolist() == [False, True, False]
    (tmp_path / "again.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"has 2 COCO files \(again\.json, labels\.json\)"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("annotation", "frames", "kind", "message"),
    [
        ("", None, RequestError, "--annotation: an empty path"),
        ("a.txt", "", RequestError, "--frames: an empty path"),
        ("none.txt", None, DatasetError, r"none\.txt: no such file"),
        ("{sequence}.json", None, DatasetError, "no file fits"),
        ("{sequence}.txt", "f", RequestError, "--frames: 2 videos are annotated, and one"),
        ("a.txt", "f", DatasetError, "f: no frames of a; expected a folder of images or a video"),
    ],
)
def test_what_is_not_there_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    annotation: str,
    frames: str | None,
    kind: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(ROW)
    with pytest.raises(kind, match=message):
        open_named_files(annotation, frames)
