"""Parts above thresholds are those that labelling pixel by pixel finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tirtrack.pairs.proposals.connected_parts import parts_above


def _labelled(plane: np.ndarray, ladder: np.ndarray) -> list[tuple[float, ...]]:
    """``x, y, w, h, fill, area`` of every part, by ``ndimage``."""
    found = []
    for threshold in ladder:
        labels, _ = ndimage.label(plane > threshold)
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            w, h = columns.stop - columns.start, rows.stop - rows.start
            area = int((labels == number).sum())
            found.append((columns.start, rows.start, w, h, area / (w * h), area))
    return found


def _rows(*maps: tuple[np.ndarray, np.ndarray]) -> list[tuple[float, ...]]:
    rows, area = parts_above(maps)
    return [tuple(row) for row in np.column_stack([rows, area])]


@settings(max_examples=100)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(0, 99), st.sampled_from([0.0, 0.6, 1.5]),
)  # fmt: skip
def test_parts_are_those_of_labelled_pixels_in_their_order(height, width, seed, smooth):
    rng = np.random.default_rng(seed)
    first, second = (
        ndimage.gaussian_filter(rng.normal(0, 1, (height, width)), smooth).astype(np.float32)
        for _ in range(2)
    )
    low, high = np.array([-0.1, 0.3, 9.0]), np.array([0.0])
    assert _rows((first, low), (second, high)) == _labelled(first, low) + _labelled(second, high)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (4, 5)])
def test_a_plane_all_above_is_one_part_and_one_below_none(shape):
    plane = np.ones(shape, np.float32)
    height, width = shape
    assert _rows((plane, np.array([0.5]))) == [(0, 0, width, height, 1, height * width)]
    assert _rows((plane, np.array([1.0]))) == []


def test_parts_do_not_reach_over_the_border_or_across_a_corner():
    plane = np.array([[0, 0, 1], [1, 1, 0], [0, 0, 1]], np.float32)
    assert [row[:4] for row in _rows((plane, np.array([0.5])))] == [
        (2, 0, 1, 1), (0, 1, 2, 1), (2, 2, 1, 1),
    ]  # fmt: skip


def test_a_threshold_between_two_numbers_of_the_plane_parts_them():
    """The nearest level of the plane's type to this threshold lies above it."""
    level = np.float32(0.1)
    threshold = np.nextafter(np.float64(level), 0)
    plane = np.array([[np.nextafter(level, np.float32(0)), 0, level]], np.float32)
    assert [row[:4] for row in _rows((plane, np.array([threshold])))] == [(2, 0, 1, 1)]
