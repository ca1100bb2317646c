"""Patches of both generations against golden/trackers/pieces, and the laws that they obey."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tirtrack.trackers.box_refinement import from_sample
from tirtrack.trackers.patch_extraction import (
    SampleFrame,
    box_in_sample,
    sample_frame,
    sample_patch,
)

CASES = 99


@pytest.fixture(scope="module")
def golden(shared, golden_runs):
    return golden_runs.pieces(shared, "maps")


@pytest.mark.parametrize("generation", ["real", "floor"])
@pytest.mark.parametrize("case", range(CASES))
def test_patch_and_window_equal_the_golden_ones(golden, piece_picture, case, generation):
    numbers, arrays = golden
    one = numbers["sample_patch"]["cases"][case]
    sample = sample_patch(
        piece_picture(50, 70),
        np.array(one["pos"]),
        np.array(one["sample_sz"]),
        patch_hw=None if one["output_sz"] is None else np.array(one["output_sz"]),
        dtype=torch.float64,
        border_mode=one["mode"],
        max_scale_change=one["max_scale_change"],
        generation=generation,
        is_mask=one["is_mask"],
    )
    assert_allclose(sample.window_tlbr, one[generation]["coord"], atol=1e-9)
    assert list(sample.patch.shape[1:]) == one[generation]["shape"]
    assert float(sample.patch.sum()) == pytest.approx(one[generation]["sum"], rel=1e-9)
    stored = arrays[f"patch_{case:03d}_{generation}"]
    assert_allclose(sample.patch, stored, atol=2e-7 * 255)


def test_no_case_of_the_golden_is_left_out(golden):
    assert len(golden[0]["sample_patch"]["cases"]) == CASES


@pytest.mark.parametrize("case", range(12))
def test_box_in_sample_and_sample_frame_equal_the_golden_ones(shared, golden_runs, case):
    one = golden_runs.pieces(shared, "boxes")[0]["geometry"][case]
    side = np.array(one["img_sample_sz"])
    sample = SampleFrame(np.array(one["sample_pos"]), one["sample_scale"], side)
    box = box_in_sample(np.array(one["pos"]), np.array(one["target_sz"]), sample)
    assert_allclose(box, one["iounet_box"], atol=1e-9)
    for window, center, scale in zip(one["sample_coord"], *one["location"], strict=True):
        seen = sample_frame(np.array(window), side)
        assert_allclose(seen.center_yx, center, atol=1e-9)
        assert seen.scale == pytest.approx(scale, abs=1e-9)


@given(
    st.tuples(st.floats(10, 40), st.floats(10, 60)),
    st.integers(2, 12),
    st.integers(-9, 9),
    st.integers(-9, 9),
)
def test_moving_picture_and_centre_together_changes_no_pixel(center, half, down, right):
    rng = np.random.default_rng(5)
    picture = rng.integers(0, 256, (200, 220), dtype=np.uint8)
    moved = np.roll(picture, (down, right), axis=(0, 1))
    place = np.array(center) + 60
    sides = np.array([2.0 * half, 2.0 * half + 1])
    patches = [
        sample_patch(seen, there, sides, patch_hw=None, dtype=torch.float32).patch
        for seen, there in ((picture, place), (moved, place + np.array([down, right])))
    ]
    assert torch.equal(*patches)


def test_an_even_window_differs_between_the_generations_and_an_odd_one_in_its_end_alone():
    picture = np.arange(2500.0).reshape(50, 50)
    for side, pixels in ((8.0, (9, 8)), (9.0, (9, 9))):
        shapes = [
            sample_patch(
                picture,
                np.array([25.0, 25.0]),
                np.array([side, side]),
                patch_hw=None,
                dtype=torch.float32,
                generation=generation,
            ).patch.shape[-1]
            for generation in ("real", "floor")
        ]
        assert tuple(shapes) == pixels


def test_colour_and_grey_pictures_give_the_same_levels(piece_picture):
    colour = piece_picture(50, 70)[..., 0]
    arguments = (np.array([20.0, 30.0]), np.array([33.0, 33.0]))
    grey = sample_patch(colour, *arguments, patch_hw=np.array([16, 16]), dtype=torch.float64)
    three = sample_patch(
        np.repeat(colour[..., None], 3, axis=2),
        *arguments,
        patch_hw=np.array([16, 16]),
        dtype=torch.float64,
    )
    assert grey.patch.shape == (1, 16, 16)
    assert torch.equal(grey.patch.expand(3, -1, -1), three.patch)


def test_a_box_that_stays_moves_by_half_a_sample_pixel_as_published():
    sample = SampleFrame(np.array([100.0, 120.0]), 0.8, np.array([288.0, 288.0]))
    center, size = np.array([104.0, 117.0]), np.array([40.0, 60.0])
    there = torch.from_numpy(box_in_sample(center, size, sample).copy())
    back, size_back = from_sample(there, sample)
    assert_allclose(back - center, [0.4, 0.4])
    assert_allclose(size_back, size)
