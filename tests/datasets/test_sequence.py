"""A sequence keeps what its data set stores, and says where that lies as we count."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tirtrack.datasets.sequence import LabelledSequence, boxes_from_stored, stored_from_boxes
from tirtrack.datasets.stored_frames import (
    NoFrames,
    StoredFrames,
    count_images,
    frame_source,
)


@pytest.mark.parametrize(("base", "boxes"), [(0, [11, 6, 10, 12]), (1, [10, 5, 10, 12])])
def test_boxes_are_the_annotation_counted_from_0(base: int, boxes: list[float]) -> None:
    annotation = np.array([[11.0, 6.0, 10.0, 12.0], [np.nan] * 4])
    sequence = LabelledSequence("a", annotation, base, NoFrames("a"))
    np.testing.assert_array_equal(sequence.boxes, [boxes, [np.nan] * 4])
    np.testing.assert_array_equal(sequence.annotation[0], [11, 6, 10, 12])


@given(st.integers(0, 1), st.lists(st.integers(-8000, 8000), min_size=4, max_size=4))
def test_there_and_back_is_the_same_box(base: int, quarters: list[int]) -> None:
    box = np.array(quarters) / 4
    np.testing.assert_array_equal(boxes_from_stored(stored_from_boxes(box, base), base), box)


@pytest.mark.parametrize("depth", [np.uint16, np.float32])
def test_frames_that_declare_a_value_without_measurement_have_it_marked(depth, tmp_path):
    rng = np.random.default_rng(0)
    for k in range(3):
        frame = rng.integers(7000, 8000, (40, 60)).astype(depth)
        if k == 1:
            frame[10:20, 30:40] = 7300
        tag = (42113, "s", 0, "7300", True)  # GDAL's
        tifffile.imwrite(tmp_path / f"{k}.tif", frame, extratags=[tag])
    found = list(StoredFrames(tmp_path)())
    assert {frame.dtype for frame in found} == {np.dtype(np.float32)}
    assert np.isnan(found[1][10:20, 30:40]).all()
    assert [int(np.isnan(frame).sum()) > 90 for frame in found] == [False, True, False]


@pytest.mark.parametrize("suffix", ["pgm", "npy", "jp2"])
def test_images_of_every_kind_that_is_read_are_frames_of_a_sequence(suffix, tmp_path):
    folder = tmp_path / "img"
    folder.mkdir()
    for k in range(3):
        frame = np.full((40, 60), 7000 + k, np.uint16)
        if suffix == "npy":
            np.save(folder / f"{k}.npy", frame)
        elif suffix == "pgm":
            header = b"P5 60 40 65535\n"
            (folder / f"{k}.pgm").write_bytes(header + frame.astype(">u2").tobytes())
        else:
            Image.fromarray(frame).save(folder / f"{k}.jp2")
    found = frame_source(tmp_path)
    assert found == folder
    assert [frame.max() for frame in StoredFrames(found)()] == [7000, 7001, 7002]


def test_arrays_beside_pictures_are_no_frames_of_a_sequence(tmp_path):
    for k in range(3):
        Image.fromarray(np.full((40, 60), k, np.uint8)).save(tmp_path / f"{k}.png")
        np.save(tmp_path / f"{k}.npy", np.zeros((40, 60)))
    assert count_images(tmp_path) == 3
