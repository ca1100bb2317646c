"""Labelled stills: what the index says, what the images are, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.datasets.stills import open_stills
from tirtrack.errors import DatasetError


def content() -> dict:
    return {
        "images": [
            {"id": 7, "file_name": "coco/a.png", "width": 20, "height": 16, "source": "coco"},
            {"id": 3, "file_name": "voc/b.png", "width": 20, "height": 16, "source": "voc"},
        ],
        "annotations": [
            {"id": 1, "image_id": 3, "bbox": [1, 2, 5.5, 6], "iscrowd": 0},
            {"id": 2, "image_id": 3, "bbox": [0, 0, 20, 16], "iscrowd": 1},
            {"id": 3, "image_id": 3, "bbox": [-1, 2, 5, 6]},
        ],
        "categories": [],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("coco/a.png", "voc/b.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True)
        Image.fromarray(np.zeros((16, 20, 3), dtype=np.uint8)).save(path)
    write(tmp_path, content())
    return tmp_path


def write(folder: Path, stored: object) -> None:
    (folder / "instances.json").write_text(json.dumps(stored))


def test_stills_keep_the_order_of_the_index_and_drop_crowds(folder: Path) -> None:
    stills = open_stills(folder)
    assert [still.name for still in stills] == ["coco/a.png", "voc/b.png"]
    assert stills[0].boxes.shape == (0, 4)
    np.testing.assert_array_equal(stills[1].boxes, [[1, 2, 5.5, 6], [-1, 2, 5, 6]])
    assert stills[1].image().shape == (16, 20, 3)


def test_stills_are_filtered_by_source(folder: Path) -> None:
    stills = open_stills(folder)
    assert stills.sources() == {"coco": 1, "voc": 1}
    assert [still.source for still in stills.only(["voc"])] == ["voc"]
    with pytest.raises(DatasetError, match='no source "vox"; did you mean "voc"'):
        stills.only(["vox"])


def broken(change) -> dict:
    stored = content()
    change(stored)
    return stored


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"images": []}, 'has no "images" or no "annotations"'),
        ({"images": [], "annotations": []}, "lists no image"),
        (
            broken(lambda c: c["annotations"][0].update(bbox=[1, 2, 0, 4])),
            "box 1,2,0,4 of voc/b.png has no area",
        ),
        (
            broken(lambda c: c["annotations"][0].update(bbox=[20, 2, 3, 4])),
            "box 20,2,3,4 of voc/b.png lies outside the image",
        ),
        (
            broken(lambda c: c["images"][0].update(file_name="../../secret.png")),
            'image "../../secret.png" lies outside',
        ),
        (broken(lambda c: c["images"][0].update(file_name="c.png")), "the image is missing"),
        (broken(lambda c: c["annotations"][0].update(image_id=9)), "(KeyError: 9)"),
        (broken(lambda c: c["images"][0].pop("width")), "(KeyError: 'width')"),
        (broken(lambda c: c["annotations"][0].update(bbox=[1, 2, 3])), "ValueError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_index_is_named(folder: Path, stored: object, message: str) -> None:
    write(folder, stored)
    with pytest.raises(DatasetError) as caught:
        open_stills(folder)
    assert message in str(caught.value)


def test_missing_and_unreadable_index_are_told_apart(folder: Path) -> None:
    (folder / "instances.json").write_text("{")
    with pytest.raises(DatasetError, match="is not JSON"):
        open_stills(folder)
    (folder / "instances.json").unlink()
    with pytest.raises(DatasetError, match="could not be read"):
        open_stills(folder)


def test_image_of_another_size_is_refused(folder: Path) -> None:
    stills = open_stills(folder)
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(stills[0].path)
    with pytest.raises(DatasetError, match=r"is 8x8, instances\.json says 20x16"):
        stills[0].image()


def test_shared_stills_are_read_whole(shared: Path) -> None:
    stills = open_stills(shared / "data" / "rgb" / "stills")
    assert stills.sources() == {
        "coco": 353, "groceries": 275, "kangaroo": 164, "raccoon": 200, "voc": 100,
    }  # fmt: skip
    assert sum(len(still.boxes) for still in stills) == 4388
    assert len(open_stills(shared / "data" / "tir_video" / "hit_uav_stills")) == 160
