"""The folders of a supervised training say what they are, and what of them is not learnt from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.datasets.labelled_clips import collect, open_labelled
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.datasets.stills import LabelledStill
from tirtrack.errors import DatasetError, FrameError
from tirtrack.read_options import ReadOptions

COLOUR = np.random.default_rng(2).integers(90, 120, (30, 40, 3), dtype=np.uint8)
ROWS = np.array([[5.0, 5, 10, 10], [5, 5, 3, 10], [np.nan] * 4])
MOVING = np.random.default_rng(2).integers(0, 255, (30, 40, 4), dtype=np.uint8)


def stills(folder: Path, image: np.ndarray = COLOUR, side: float = 10.0) -> Path:
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for k in range(3):
        Image.fromarray(image).save(folder / "images" / f"{k}.png")
        source = "kangaroo" if k else "coco"
        images.append(
            {"id": k, "file_name": f"{k}.png", "width": 40, "height": 30, "source": source}
        )
        annotations.append({"image_id": k, "bbox": [5, 5, 10, 10 if k else side]})
    content = {"images": images, "annotations": annotations}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def sequence(folder: Path, image: np.ndarray = COLOUR, side: int = 10) -> Path:
    (folder / "img").mkdir(parents=True)
    for k in range(3):
        Image.fromarray(image).save(folder / "img" / f"{k}.png")
    (folder / "groundtruth.txt").write_text(f"20,12,10,{side}\n" * 3)
    return folder


def test_stills_and_sequences_have_a_line_each(tmp_path):
    sequence(tmp_path / "films" / "a")
    _, lines = open_labelled([stills(tmp_path / "stills"), tmp_path / "films"])
    assert lines == [
        "stills: 3 stills with 3 boxes; PNG files of 40x30 by instances.json, the first 8 bit, "
        "3 channels",
        "films: 1 sequence, 3 annotated frames, layout groundtruth.txt, coordinates count from 0; "
        "PNG files of 40x30, 8 bit, 3 channels; files in the order of the numbers in their names",
    ]


def test_stills_that_are_left_out_are_counted(tmp_path):
    folder = stills(tmp_path / "stills", side=3.0)
    Image.fromarray(COLOUR).save(folder / "images" / "9.png")
    (folder / "readme.txt").write_text("")
    lines = [open_labelled(folder, *more)[1][0] for more in ((), (["kangaroo"],))]
    assert [line.split("not used: ")[1] for line in lines] == [
        "1 without a box of at least 4 px, 2 files (9.png, readme.txt)",
        "1 of other sources, 2 files (9.png, readme.txt)",
    ]


def test_sequence_without_usable_box_is_counted(tmp_path):
    sequence(tmp_path / "a")
    sequence(tmp_path / "b", side=3)
    _, (line,) = open_labelled(tmp_path)
    assert line.endswith("; not used: 1 sequence without a box of at least 4 px")


@pytest.mark.parametrize("make", [stills, sequence])
def test_pictures_that_need_an_option_are_refused_until_it_is_given(tmp_path, make):
    make(tmp_path / "a", MOVING)
    with pytest.raises(FrameError, match="give --channel 3 for it"):
        open_labelled(tmp_path / "a")
    clips, lines = open_labelled(tmp_path / "a", None, ReadOptions(channel=1))
    assert "; read with --channel 1" in lines[0]
    _, picture, _ = next(clips[0].frames({0}))
    np.testing.assert_array_equal(picture[..., 0], MOVING[..., 1])


@pytest.mark.parametrize("make", [stills, sequence])
def test_stamp_tells_how_frames_are_read_and_when_a_file_was_changed(tmp_path, make):
    make(tmp_path / "a", MOVING)

    def stamps(channel):
        return [one.stamp() for one in open_labelled(tmp_path / "a", None, channel)[0]]

    first, second = ReadOptions(channel=1), ReadOptions(channel=2)
    before = stamps(first)
    assert stamps(first) == before
    assert stamps(second)[0] != before[0]
    for picture in (tmp_path / "a").rglob("0.png"):
        Image.fromarray(255 - MOVING).save(picture)
    assert stamps(first)[0] != before[0]
    assert stamps(first)[1:] == before[1:]


@pytest.mark.parametrize("make", [stills, sequence])
def test_deep_frames_are_refused_before_the_training(tmp_path, make):
    make(tmp_path / "a", COLOUR[..., 0].astype(np.uint16) + 3000)
    with pytest.raises(DatasetError, match=r"labelled RGB must have 8 bits .*, got uint16"):
        open_labelled(tmp_path / "a")


def test_damaged_still_is_left_to_the_training(tmp_path):
    (stills(tmp_path / "a") / "images" / "0.png").write_bytes(b"no picture")
    clips, _ = open_labelled(tmp_path / "a")
    assert len(clips) == 3


def test_boxes_that_are_absent_or_too_small_are_nan(tmp_path):
    (clip,) = collect([], [LabelledSequence("a", ROWS, 0, lambda: iter([]))])
    assert np.isfinite(clip.boxes[0]).all(axis=1).tolist() == [True, False, False]
    still = LabelledStill("b.png", tmp_path / "b.png", (40, 30), ROWS[[0, 1, 0]], "coco")
    (clip,) = collect([still], [])
    assert clip.boxes.tolist() == [[[5, 5, 10, 10]], [[5, 5, 10, 10]]]
    assert (clip.is_video, clip.source) == (False, "coco")


def test_without_a_usable_box_nothing_can_be_trained_on():
    tiny_box = LabelledSequence("a", ROWS[1:], 0, lambda: iter([]))
    with pytest.raises(DatasetError, match="no usable box in 0 pictures and 1 sequences"):
        collect([], [tiny_box])
