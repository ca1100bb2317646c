"""Geometry of the online loop: golden/trackers/pieces, and what the limits promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tirtrack.boxes import Box
from tirtrack.trackers.place import (
    Layout,
    OnlinePlace,
    center_and_size,
    kept_in_frame,
    layout_of,
    moved,
)

numbers = st.floats(-1e4, 1e4)
sides = st.floats(1.0, 1e4)


@pytest.mark.parametrize("case", range(12))
def test_a_move_equals_the_golden_one(shared, golden_runs, case):
    one = golden_runs.pieces(shared, "boxes")[0]["geometry"][case]
    size, frame = np.array(one["target_sz"]), np.array(one["image_sz"], dtype=np.float64)
    place = OnlinePlace(np.array(one["pos"]), size, one["sample_scale"])
    base = size / one["sample_scale"]
    layout = Layout(frame, np.array(one["img_sample_sz"]), base, tuple(one["scale_bounds"]))
    new = np.array(one["new_pos"])
    assert_allclose(moved(place, new, layout).center_yx, one["state_pos"], atol=1e-9)
    rescaled, golden = moved(place, new, layout, scale=one["new_scale"]), one["state_scale"]
    assert_allclose(rescaled.center_yx, golden["pos"], atol=1e-9)
    assert_allclose(rescaled.size_hw, golden["target_sz"], atol=1e-9)
    assert rescaled.scale == pytest.approx(golden["target_scale"], abs=1e-9)


@given(numbers, numbers, sides, sides)
def test_a_box_comes_back_from_its_centre_and_size(x, y, w, h):
    center, size = center_and_size(Box(x, y, w, h))
    assert_allclose(OnlinePlace(center, size, 1.0).box.array(), [x, y, w, h], atol=1e-8)


@given(numbers, numbers, sides, sides, st.floats(0.1, 10))
def test_what_is_kept_in_the_frame_has_its_centre_there_and_sides_in_bounds(y, x, h, w, scale):
    first = OnlinePlace(np.array([40.0, 50.0]), np.array([20.0, 30.0]), 0.5)
    layout = layout_of(first, np.array([90.0, 120.0]), np.array([288.0, 288.0]))
    place = OnlinePlace(np.array([y, x]), np.array([h, w]), scale, np.array([y, x]))
    box = kept_in_frame(place, layout, 2.0).box
    assert 0 <= box.center_xy[0] <= 120
    assert 0 <= box.center_xy[1] <= 90
    assert 2 <= box.w <= 120
    assert 2 <= box.h <= 90


def test_what_is_in_the_frame_already_is_not_touched():
    first = OnlinePlace(np.array([40.0, 50.0]), np.array([20.0, 30.0]), 0.5)
    layout = layout_of(first, np.array([90.0, 120.0]), np.array([288.0, 288.0]))
    assert kept_in_frame(first, layout, 2.0) is first
