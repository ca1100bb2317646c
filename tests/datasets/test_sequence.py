"""A sequence keeps what its data set stores, and says where that lies as we count."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from tirtrack.datasets.sequence import LabelledSequence, boxes_from_stored, stored_from_boxes
from tirtrack.datasets.stored_frames import NoFrames, StoredFrames


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
