"""The steps between map and box, each alone."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.trackers.presets import preset
from tirtrack.trackers.siamese_localisation import (
    best_cell,
    change_penalty,
    cosine_window,
    decode_boxes,
    limit_to_frame,
    localise,
    map_entropy,
    target_probability,
    windowed,
)

V3 = preset("default", "nanotrack-v3")


def maps_with_peak(row, column, *, cells=15, ltrb=(10.0, 20.0, 30.0, 40.0)):
    logits = np.zeros((2, cells, cells), dtype=np.float32)
    logits[0], logits[1] = 4.0, -4.0
    logits[:, row, column] = [-5.0, 5.0]
    sides = np.broadcast_to(np.array(ltrb, dtype=np.float32)[:, None, None], (4, cells, cells))
    return logits, sides.copy()


def test_probability_is_the_targets_share_and_survives_large_logits():
    logits = np.array([[[0.0, 500.0]], [[np.log(3.0), -500.0]]], dtype=np.float32)
    assert_allclose(target_probability(logits), [[0.75, 0.0]], rtol=1e-6)


@pytest.mark.parametrize(("cells", "first", "last"), [(15, -112, 112), (16, -128, 112)])
def test_cells_stand_where_the_specification_says(cells, first, last):
    boxes = decode_boxes(np.ones((4, cells, cells), dtype=np.float32))
    assert boxes[0, 3, 0] == first
    assert boxes[0, 3, -1] == last
    assert boxes[1, 0, 5] == first
    assert boxes[1, -1, 5] == last
    assert_array_equal(boxes[2:], 2.0)


def test_a_box_grows_from_its_cell_left_top_right_bottom():
    _, ltrb = maps_with_peak(0, 0)
    cx, cy, w, h = decode_boxes(ltrb)[:, 7, 9]  # cell centre (32, 0)
    assert (cx - w / 2, cy - h / 2) == (32 - 10, -20)
    assert (w, h) == (40, 60)


def test_penalty_is_one_for_the_same_size_and_equal_for_growing_and_shrinking():
    sizes = np.array([[40.0, 80.0, 20.0, 80.0], [30.0, 60.0, 15.0, 30.0]])
    same, grown, shrunk, stretched = change_penalty(sizes, (40.0, 30.0), 0.138)
    assert same == 1.0
    assert_allclose(grown, shrunk)
    assert_allclose(grown, np.exp(-(2 - 1) * 0.138))
    assert stretched < 1.0


def test_window_is_zero_on_the_border_one_in_the_middle_and_not_normalised():
    window = cosine_window(15)
    assert window[7, 7] == 1.0
    assert_allclose(window[[0, -1]], 0.0, atol=1e-15)
    mixed = windowed(np.full((15, 15), 0.5), np.full((15, 15), 0.8), 0.455)
    assert_allclose(mixed[7, 7], 0.4 * 0.545 + 0.455)


def test_first_of_equal_maxima_in_row_major_order_wins():
    peaks = np.zeros((5, 5))
    peaks[1, 3] = peaks[2, 0] = 1.0
    assert best_cell(peaks) == (1, 3)


def test_entropy_is_zero_for_one_peak_and_largest_for_a_flat_map():
    peak = np.zeros((15, 15), dtype=np.float32)
    peak[3, 4] = 1.0
    assert map_entropy(peak) == pytest.approx(0.0, abs=1e-6)
    for level in (0.0, 1e-30, 0.5):
        assert map_entropy(np.full((15, 15), level, np.float32)) == pytest.approx(np.log(225))


def test_localise_reads_row_as_y_and_column_as_x():
    located = localise(*maps_with_peak(6, 9), (40.0, 60.0), settings=V3)
    assert located.cell == (6, 9)
    assert located.offset_patch_xy == (32 + 10, -16 + 10)
    assert located.size_patch_wh == (40, 60)
    assert located.margin == 10.0
    assert located.penalty == 1.0
    assert 0 < located.lead < located.peak < 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", [0, 1], ids=["logits", "ltrb"])
def test_maps_that_are_not_finite_give_no_localisation(bad, which):
    maps = maps_with_peak(6, 9)
    maps[which][1, 0, 0] = bad
    assert localise(*maps, (40.0, 60.0), settings=V3) is None


def test_limits_hold_the_centre_inside_and_the_floor_wins_over_a_narrow_frame():
    center, size = limit_to_frame((-5.0, 90.0), (300.0, 1.0), frame_wh=(8, 60), min_side=10.0)
    assert center == (0.0, 60.0)
    assert size == (10.0, 10.0)
    center, size = limit_to_frame((3.0, 4.0), (7.0, 6.0), frame_wh=(80, 60), min_side=2.0)
    assert (center, size) == ((3.0, 4.0), (7.0, 6.0))
