"""The offset between the modalities: sign, size, and when not to trust it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tirtrack.pairs import open_pairs
from tirtrack.pairs.registration import Offset, measure_offset, summarise


def _scene(seed: int, height: int = 140, width: int = 180) -> np.ndarray:
    noise = np.random.default_rng(seed).random((height, width))
    return np.clip(ndimage.gaussian_filter(noise, 3) * 1500 - 600, 0, 255)


@settings(max_examples=20)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 5))
def test_a_known_shift_is_found_with_its_sign(dx, dy, seed):
    scene = _scene(seed)
    rgb = np.repeat(scene[20:-20, 20:-20, None], 3, axis=2).astype(np.uint8)
    tir = 255 - scene[20 + dy : 120 + dy, 20 + dx : 160 + dx].astype(np.uint8)
    offset = measure_offset(rgb, tir)
    assert (offset.dx, offset.dy) == pytest.approx((dx, dy), abs=0.6)
    assert offset.usable


def test_swapping_the_modalities_turns_the_offset_round():
    scene = _scene(1)
    a, b = scene[10:-10, 10:-10], scene[13:-7, 5:-15]
    there, back = measure_offset(a, b), measure_offset(b, a)
    assert (there.dx, there.dy) == pytest.approx((-back.dx, -back.dy), abs=0.5)


def test_offsets_are_counted_in_pixels_of_the_frame():
    scene = ndimage.zoom(_scene(2, 220, 260), 4, order=1)
    offset = measure_offset(scene[40:-40, 40:-40], scene[40:-40, 60:-20])
    assert offset.dx == pytest.approx(20, abs=2)


def test_unrelated_and_flat_pictures_are_not_usable():
    assert not measure_offset(_scene(0), np.random.default_rng(1).random((140, 180)) * 255).usable
    flat = measure_offset(np.full((90, 120), 7, np.uint8), np.full((90, 120), 9, np.uint8))
    assert not flat.usable
    assert np.isfinite([flat.dx, flat.dy, flat.peak]).all()


def test_sizes_must_be_equal():
    with pytest.raises(ValueError, match=r"\[10, 12\]"):
        measure_offset(np.zeros((10, 12)), np.zeros((10, 11)))


def test_tiny_pictures_have_no_offset():
    assert measure_offset(np.zeros((8, 8)), np.zeros((8, 8))) == Offset(0.0, 0.0, 0.0)


def test_the_summary_is_over_usable_pairs_only():
    summary = summarise([Offset(5, 0, 0.4), Offset(5, 1, 0.3), Offset(-90, 90, 0.05)])
    assert (summary.tested, summary.usable, summary.dx, summary.dy) == (3, 2, 5.0, 0.5)
    assert summary.too_large
    assert summarise([]).usable == 0
    assert not summarise([Offset(4.0, 0, 0.4)]).too_large


@pytest.mark.parametrize(
    ("name", "usable", "low", "high"),
    [("vifb", 16, 1.0, 2.4), ("llvip", 12, 0.0, 1.2), ("vtuav", 11, 2.3, 3.4)],
)
def test_real_pairs_agree_with_the_published_measurement(shared, name, usable, low, high):
    """Data sheet of the pairs: vifb 16 of 21 usable and 1.7 px, llvip all and 0.5, vtuav 2.8."""
    source = open_pairs(shared / "data" / "pairs" / name)
    indices = range(0, len(source), 10 if name == "vtuav" else 1)
    summary = summarise([measure_offset(source[k].rgb, source[k].tir) for k in indices])
    assert abs(summary.usable - usable) <= 1
    assert low <= summary.median_length <= high
    if name == "vtuav":
        assert (summary.dx, summary.dy) == pytest.approx((2, 2), abs=0.8)


@pytest.mark.parametrize("dx", [-6, 0, 5])
@pytest.mark.parametrize("degrees", [7.0, 25.0])
def test_the_outline_of_pixels_without_measurement_does_not_hold_the_offset(dx, degrees):
    scene = ndimage.gaussian_filter(np.random.default_rng(4).random((260, 320)), 3) * 9000
    rgb = np.repeat(scene[30:-30, 30:-30, None] / 20, 3, axis=2).clip(0, 255).astype(np.uint8)
    ones = ndimage.rotate(np.ones(rgb.shape[:2]), degrees, reshape=False, order=0, cval=0) > 0
    tir = np.where(ones, scene[30:-30, 30 + dx : dx - 30] / 8 + 7000, 0).astype(np.uint16)
    rgb[~ones] = 0  # both were warped alike, so the outlines lie on each other
    offset = measure_offset(rgb, tir)
    assert (offset.dx, offset.dy) == pytest.approx((dx, 0), abs=0.6)
    assert offset.usable


def test_what_is_not_measured_at_all_has_no_offset():
    assert not measure_offset(_scene(1), np.full((140, 180), np.nan)).usable


@pytest.mark.parametrize("filler", [0, 65535, 55537])
def test_the_value_of_the_pixels_without_measurement_does_not_matter(filler):
    tir = (7000 + _scene(2)).astype(np.uint16)
    tir[:, :30] = filler
    holed = tir.astype(np.float32)
    holed[:, :30] = np.nan
    assert measure_offset(_scene(2), tir) == measure_offset(_scene(2), holed)
