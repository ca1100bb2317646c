"""Resampling to the last bit: features of patches are cached, and published runs repeat exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack import resampling
from tirtrack.crops import Crop, cut_patch
from tirtrack.resampling import AxisTaps, axis_taps, resampled, resampled_at

HEIGHT, WIDTH, FILL = 17, 23, np.array([99.5, 1.25, 7.0])
axes = st.tuples(st.floats(-60, 60), st.floats(0.3, 400))


def noise_frame(dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(dtype)


def defined_patch(frame: np.ndarray, rows: AxisTaps, columns: AxisTaps) -> np.ndarray:
    """The definition in float32, all rows at once: two rows, then two columns, then the fill."""
    levels, fill = frame.astype(np.float32), FILL.astype(np.float32)

    def down(values):
        return values[:, None, None]

    def across(values):
        return values[None, :, None]

    mixed = levels[rows.low] * down(rows.low_weight) + levels[rows.high] * down(rows.high_weight)
    patch = mixed[:, columns.low] * across(columns.low_weight)
    patch += mixed[:, columns.high] * across(columns.high_weight)
    patch += down(1 - rows.outside) * (across(columns.outside) * fill)
    return patch + down(rows.outside) * fill


@given(axes, axes, st.sampled_from([1, 7, 40]), st.sampled_from([np.uint8, np.uint16, np.float64]))
@settings(max_examples=60)
def test_a_patch_is_mixed_from_two_rows_then_two_columns_in_float32(vertical, horizontal, d, dtype):
    frame = noise_frame(dtype)
    rows = axis_taps(*vertical, d, length=HEIGHT)
    columns = axis_taps(*horizontal, d, length=WIDTH)
    patch = resampled(frame, rows, columns, FILL)
    assert_array_equal(patch.reshape(d, d, 3), defined_patch(frame, rows, columns))


@pytest.mark.parametrize("numbers", [1, 500, 1 << 20], ids=["a row", "some rows", "all rows"])
def test_how_many_rows_are_mixed_at_once_changes_nothing(numbers, monkeypatch):
    rows, columns = axis_taps(-3.3, 25.0, 40, length=HEIGHT), axis_taps(2.2, 19.0, 40, length=WIDTH)
    monkeypatch.setattr(resampling, "_NUMBERS_AT_ONCE", numbers)
    patch = resampled(noise_frame(), rows, columns, FILL)
    assert_array_equal(patch.reshape(40, 40, 3), defined_patch(noise_frame(), rows, columns))


# --- any places -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [None, 7.0])
def test_places_on_a_grid_give_the_patch_of_the_two_axes(fill):
    frame, crop = noise_frame(), Crop(-4.3, 2.7, 24.0, 31)
    steps = (np.arange(31) + 0.5) * 24 / 31
    x, y = np.meshgrid(crop.x + steps, crop.y + steps)
    found = resampled_at(frame, np.stack([x, y], axis=-1), fill)
    assert_allclose(found, cut_patch(frame, crop, fill), atol=1e-3)


def test_the_centre_of_a_pixel_is_the_pixel_and_far_away_is_the_fill():
    frame = noise_frame()[..., 0]
    places = np.array([[3.5, 2.5], [-1e9, 4.5], [1e9, -1e9]])
    assert resampled_at(frame, places, 5.0).tolist() == [frame[2, 3], 5.0, 5.0]
    assert resampled_at(frame, places, None).tolist() == [frame[2, 3], *frame[[4, 0], [0, -1]]]
