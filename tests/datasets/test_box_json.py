"""Boxes in JSON: Anti-UAV and its results, plain lists, COCO files of videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tirtrack.datasets.box_text import read_targets
from tirtrack.errors import DatasetError

BOX = [10, 20, 30, 40]


@pytest.fixture
def write(tmp_path: Path):
    def written(content: Any) -> Path:
        path = tmp_path / "a.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return written


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"exist": [1, 0, 1], "gt_rect": [BOX, [], BOX]}, id="anti_uav"),
        pytest.param({"exist": [1, 0, 1], "gt_rect": [BOX, [5, 5, 5, 5], BOX]}, id="flag_decides"),
        pytest.param({"exist": [1, 1, 1], "gt_rect": [BOX, [0], BOX]}, id="one_zero"),
        pytest.param({"gt_rect": [BOX, [0, 0, 0, 0], BOX]}, id="zeros"),
        pytest.param({"res": [BOX, None, BOX]}, id="results_with_null"),
        pytest.param([BOX, [-1, -1, -1, -1], BOX], id="plain_list"),
        pytest.param('{"res": [[10,20,30,40], [NaN,NaN,NaN,NaN], [10,20,30,40]]}', id="nan"),
        pytest.param([BOX, ["NA", "None", "n/a", None], BOX], id="words"),
        pytest.param({"res": [BOX, "none", BOX]}, id="lone_word"),
        pytest.param([[10, 20, 40, 20, 40, 60, 10, 60], [], BOX], id="polygon_and_box"),
    ],
)
def test_absence_and_boxes_are_read(write, content: Any) -> None:
    (target,) = read_targets(write(content))
    assert target.absent.tolist() == [False, True, False]
    np.testing.assert_array_equal(target.boxes[[0, 2]], [BOX, BOX])


def coco(first: int = 0, **more: Any) -> dict[str, Any]:
    images = [{"id": 10 + f, "video_id": 1, "frame_id": f + first} for f in range(3)]
    return {
        "videos": [{"id": 1, "name": "night/one.mp4"}],
        "images": images,
        "annotations": [{"id": 1, "image_id": 11, "instance_id": 4, "bbox": BOX}],
        **more,
    }


@pytest.mark.parametrize("first", [0, 1])
def test_coco_frames_count_from_0_or_1(write, first: int) -> None:
    (target,) = read_targets(write(coco(first)))
    assert (target.video, target.target) == ("one", "4")
    assert target.absent.tolist() == [True, False, True]
    np.testing.assert_array_equal(target.boxes[1], BOX)


def test_coco_tracks_of_a_video_are_targets(write) -> None:
    tracks = [
        {"id": 5, "video_id": 1, "bboxes": [BOX, None]},
        {"id": 6, "video_id": 1, "bboxes": [None, BOX]},
    ]
    content = {"videos": [{"id": 1, "name": "a", "length": 3}], "annotations": tracks}
    targets = read_targets(write(content))
    assert [(one.target, one.absent.tolist()) for one in targets] == [
        ("5", [False, True, True]),
        ("6", [True, False, True]),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"exist": [1', "is not JSON"),
        ({"boxes_of_me": []}, "holds no list of boxes"),
        ({"exist": [1], "gt_rect": [BOX, BOX]}, "has 2 boxes and 1 flags"),
        ({"exist": ["yes"], "gt_rect": [BOX]}, "flag 1: is not 0 or 1"),
        ({"res": [BOX, [1, 2]]}, "row 2: has 2 numbers, expected 4"),
        ({"res": [["a", 2, 3, 4]]}, "row 1: a value is not a number"),
        (coco(annotations=[]), "has no annotation"),
        (coco(videos=[{"id": 1, "name": "a", "length": 10**12}]), "a video of more than 10000000"),
        (coco(annotations=[{"image_id": 99, "bbox": BOX}]), "an entry is missing"),
        (coco(annotations=[{"image_id": 11, "bbox": [1, 2]}]), "an entry is missing"),
        (
            coco(annotations=[{"id": 1, "image_id": 11, "instance_id": 1, "bbox": BOX}] * 2),
            "a second box for target 1 in frame 1",
        ),
        ('{"a":' * 20000, "is not JSON"),
    ],
)
def test_what_cannot_be_read_is_named(write, content: Any, message: str) -> None:
    path = write(content)
    with pytest.raises(DatasetError) as caught:
        read_targets(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
