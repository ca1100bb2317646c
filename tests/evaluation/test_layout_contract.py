"""Every layout: its own annotation as a result scores best, and what we write reads back as it was.

Boxes lie at pixel 0 wherever the layout counts from 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tracked_worlds import Keeper, write_images

from tirtrack.datasets import open_dataset
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.score_files import read_runs
from tirtrack.evaluation.scoring import score_runs

BOXES = np.array([[0.0, 0, 12, 9], [1, 0, 12, 9], [2.5, 1.25, 12, 9], [4, 2, 11, 8.5]])
BEST = 20 / 21
ABSENT = 2  # row


def rows(boxes: np.ndarray, separator: str = ",") -> str:
    return "".join(separator.join(f"{value:g}" for value in row) + "\n" for row in boxes)


def corners(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def polygons(boxes: np.ndarray) -> np.ndarray:
    x1, y1, x2, y2 = corners(boxes).T
    return np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=1)


def anti_uav(boxes: np.ndarray) -> str:
    listed = [[] if index == ABSENT else row for index, row in enumerate(boxes.tolist())]
    return json.dumps({"exist": [int(bool(row)) for row in listed], "gt_rect": listed})


def coco(boxes: np.ndarray) -> str:
    frames = range(len(boxes))
    return json.dumps(
        {
            "videos": [{"id": 1, "name": "seq"}],
            "images": [{"id": f, "video_id": 1, "frame_id": f} for f in frames],
            "annotations": [
                {"image_id": f, "instance_id": 1, "bbox": boxes[f].tolist()} for f in frames
            ],
        }
    )


def mot(boxes: np.ndarray) -> str:
    return "".join(
        f"{frame},7,{x:g},{y:g},{w:g},{h:g},1,1,1\n"
        for frame, (x, y, w, h) in enumerate(boxes, start=1)
    )


@dataclass(frozen=True)
class World:
    """A layout: where annotation and frames of a sequence lie, the text, and its base."""

    name: str
    annotation: str
    frames: str
    text: Callable[[np.ndarray], str] = rows
    base: int = 0
    frames_a_row: int = 1

    def write(self, root: Path) -> Path:
        """The data set with one sequence; the annotation file."""
        file = root / self.annotation
        write_images(root / self.frames, len(BOXES) * self.frames_a_row)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.text(BOXES + np.array([self.base, self.base, 0, 0])))
        return file


WORLDS = [
    World("anno", "anno/seq.txt", "seq/img", base=1),
    World("rect", "seq/groundtruth_rect.txt", "seq/img", base=1),
    World("groundtruth", "seq/groundtruth.txt", "seq/img"),
    World("groundtruth_in_sets", "day/seq/groundtruth.txt", "day/seq/img"),
    World("groundtruth_images_beside", "seq/groundtruth.txt", "seq/"),
    World("vot_rgbt_boxes", "seq/groundtruth.txt", "seq/ir"),
    World("vot_rgbt", "seq/groundtruth.txt", "seq/ir", lambda b: rows(polygons(b))),
    World("vot_python_toolkit", "seq/groundtruth.txt", "seq/color", lambda b: rows(polygons(b))),
    World("rgbt234_lasher", "seq/infrared.txt", "seq/infrared", base=1),
    World("rgbt210", "seq/init.txt", "seq/infrared", lambda b: rows(b, "\t"), base=1),
    World("gtot", "seq/groundTruth_i.txt", "seq/i", lambda b: rows(corners(b), " "), base=1),
    World("vtuav_every_frame", "test_ST/seq/ir.txt", "test_ST/seq/ir", lambda b: rows(b, " ")),
    World("vtuav_every_tenth", "test_ST/seq/ir.txt", "test_ST/seq/ir", frames_a_row=10),
    World("anti_uav", "seq/infrared.json", "seq/infrared", anti_uav),
    World("anti_uav_410", "seq/IR_label.json", "seq/", anti_uav),
    World("coco", "labels.json", "images/seq", coco),
    World("header", "seq/groundtruth.txt", "seq/img", lambda b: "x,y,w,h\n" + rows(b)),
    World("mot", "seq/gt/gt.txt", "seq/img1", mot, base=1),
]


@pytest.fixture(params=WORLDS, ids=lambda world: world.name)
def world(request) -> World:
    return request.param


def test_annotation_as_result_scores_best(world: World, tmp_path: Path) -> None:
    file = world.write(tmp_path / "data")
    result = tmp_path / "results" / "copy" / f"seq{file.suffix}"
    result.parent.mkdir(parents=True)
    result.write_bytes(file.read_bytes())
    dataset = open_dataset(tmp_path / "data", with_frames=False)
    scored = score_runs(read_runs([tmp_path / "results"], dataset), dataset, get("lsotb-tir"))
    scores = scored.trackers[0]
    assert scores.visible_values == {
        "success": BEST, "precision": 1.0, "norm_precision": 1.0, "op50": 1.0
    }  # fmt: skip
    if world.text is not anti_uav:  # an absent frame is always a miss of success
        assert scores.values["success"] == BEST


TABLES = [one for one in WORLDS if one.text not in (anti_uav, coco, mot)]
LONE = {"lone nan": "nan", "lone None": "None", "empty": ""}
SPELLINGS = ["nan", "0", "-1", "NA", "None", "null", "N/A", *LONE]
ABSENT_ROWS = [
    *(pytest.param(one, ABSENT, id=f"{one}_inside") for one in SPELLINGS),
    *(pytest.param(one, 0, id=f"{one}_first") for one in ("nan", "0", "lone None")),
    *(pytest.param(one, len(BOXES) - 1, id=f"{one}_last") for one in ("nan", "0", "lone None")),
]


@pytest.mark.parametrize(("spelling", "row"), ABSENT_ROWS)
@pytest.mark.parametrize("table", TABLES, ids=lambda world: world.name)
def test_annotation_with_absent_rows_as_result_scores_best(
    table: World, spelling: str, row: int, tmp_path: Path
) -> None:
    file = table.write(tmp_path / "data")
    lines = file.read_text().splitlines()
    place = row + len(lines) - len(BOXES)
    lines[place] = LONE.get(spelling, re.sub(r"[^,\s]+", spelling, lines[place]))
    file.write_text("\n".join(lines) + "\n")
    result = tmp_path / "results" / "copy" / "seq.txt"
    result.parent.mkdir(parents=True)
    result.write_bytes(file.read_bytes())
    dataset = open_dataset(tmp_path / "data", with_frames=False)
    scored = score_runs(read_runs([tmp_path / "results"], dataset), dataset, get("lsotb-tir"))
    scores = scored.trackers[0].visible_values
    assert (scores["success"], scores["precision"], scores["op50"]) == (BEST, 1.0, 1.0)


def test_boxes_are_the_same_pixels_in_every_layout(world: World, tmp_path: Path) -> None:
    world.write(tmp_path)
    (sequence,) = open_dataset(tmp_path).sequences
    visible = np.isfinite(sequence.boxes[:, 0])
    np.testing.assert_array_equal(sequence.boxes[visible], BOXES[visible])
    assert visible.sum() == len(BOXES) - (world.text is anti_uav)
    assert sequence.file_base == world.base


def test_results_are_written_in_the_base_of_the_annotation(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    dataset = replace(dataset, protocol="lsotb-tir")
    comparison = evaluate([Keeper(step=0.3)], dataset, tmp_path / "out", resamples=20)
    first, *others = (tmp_path / "out/results/keeper/seq.txt").read_text().splitlines()
    x = world.base
    assert first == f"{x},{x},12,9"
    assert len(others) == len(BOXES) - 1
    assert float(others[0].split(",")[0]) == pytest.approx(x + 0.3 * world.frames_a_row)
    stored = json.loads((tmp_path / "out" / "result.json").read_text())
    assert stored["base"] == world.base
    again = score_runs(
        read_runs([tmp_path / "out"], dataset), dataset, get(dataset.protocol), resamples=20
    )
    assert again.trackers[0].values == comparison.trackers[0].values
    assert comparison.trackers[0].visible_values["precision"] == 1.0


def test_results_of_an_interrupted_run_keep_their_base(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    evaluate([Keeper()], dataset, tmp_path / "out", resamples=20)
    (tmp_path / "out" / "result.json").unlink()
    (run,) = read_runs([tmp_path / "out" / "results"], dataset)
    np.testing.assert_array_equal(run.tracks["seq"].boxes[0], dataset.sequences[0].annotation[0])


def test_old_runs_are_base_1_as_written(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    folder = tmp_path / "old" / "results" / "keeper"
    folder.mkdir(parents=True)
    (folder / "seq.txt").write_text(rows(BOXES + np.array([1, 1, 0, 0])))
    (tmp_path / "old" / "identity.json").write_text('{"seed": 0}')
    (run,) = read_runs([tmp_path / "old"], dataset)
    expected = dataset.sequences[0].annotation
    visible = np.isfinite(expected[:, 0])
    np.testing.assert_array_equal(run.tracks["seq"].boxes[visible], expected[visible])
