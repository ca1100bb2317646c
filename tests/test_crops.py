"""Patches: the affine map, what is sampled, and the published crop byte for byte."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.boxes import Box
from tirtrack.crops import (
    SEARCH_SIDE,
    TEMPLATE_SIDE,
    Crop,
    CropRule,
    MappedFrame,
    boxes_to_frame,
    boxes_to_patch,
    context_side,
    cut_patch,
    cut_patch_published,
    cut_stretched_published,
    frame_hw,
    mean_fill,
    published_origin,
    siamese_crop,
    stretched_crop,
    training_crop,
)

coordinates = st.floats(-3000, 3000, allow_nan=False)
sides = st.floats(0.5, 3000)
boxes_xywh = st.tuples(coordinates, coordinates, sides, sides).map(np.array)
crops = st.builds(
    Crop, x=coordinates, y=coordinates, side=sides, patch_side=st.sampled_from([8, 127, 255])
)
small_crops = st.builds(
    Crop,
    x=st.floats(-60, 60),
    y=st.floats(-60, 60),
    side=st.floats(0.3, 300),
    patch_side=st.sampled_from([1, 7, 33, 40]),
)


def noise_frame(height, width, *, channels=None, seed=0):
    shape = (height, width) if channels is None else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def slow_patch(frame, crop, fill):
    """The definition of the continuous crop, one patch pixel after the other, in float64."""
    size = crop.patch_side
    patch = np.empty((size, size))

    def pixel(row, column):
        inside = 0 <= row < frame.shape[0] and 0 <= column < frame.shape[1]
        return float(frame[row, column]) if inside else fill

    for p in range(size):
        for q in range(size):
            y = crop.y + (p + 0.5) * crop.side / size - 0.5
            x = crop.x + (q + 0.5) * crop.side / size - 0.5
            i, j = int(np.floor(y)), int(np.floor(x))
            b, a = y - i, x - j
            upper = pixel(i, j) * (1 - a) + pixel(i, j + 1) * a
            lower = pixel(i + 1, j) * (1 - a) + pixel(i + 1, j + 1) * a
            patch[p, q] = upper * (1 - b) + lower * b
    return patch


# --- the map ---------------------------------------------------------------------------------


@given(boxes_xywh, crops)
def test_frame_to_patch_to_frame_is_the_identity(box, crop):
    assert_allclose(boxes_to_frame(boxes_to_patch(box, crop), crop), box, rtol=1e-9, atol=1e-6)


@given(boxes_xywh, crops, st.integers(-300, 300), st.integers(-300, 300))
def test_moving_box_and_crop_together_changes_nothing(box, crop, dx, dy):
    moved = replace(crop, x=crop.x + dx, y=crop.y + dy)
    after = boxes_to_patch(box + np.array([dx, dy, 0, 0]), moved)
    assert_allclose(after, boxes_to_patch(box, crop), rtol=1e-9, atol=1e-6 * crop.scale)


def test_boxes_keep_their_leading_axes_and_are_not_clipped():
    boxes = np.tile([-50.0, 400.0, 10.0, 20.0], (2, 3, 1))
    patch = boxes_to_patch(boxes, Crop(0.0, 0.0, 50.0, 100))
    assert patch.shape == (2, 3, 4)
    assert_array_equal(patch[1, 2], [-100.0, 800.0, 20.0, 40.0])


def test_boxes_of_another_width_are_refused_with_their_shape():
    with pytest.raises(ValueError, match=r"\[\.\.\.,4\] xywh, got \[12, 5\]"):
        boxes_to_patch(np.zeros((12, 5)), Crop(0.0, 0.0, 1.0, 8))


def test_context_of_a_square_is_twice_its_side_and_swaps_with_width_and_height():
    assert context_side(20.0, 20.0) == 40.0
    assert_allclose(context_side(np.array([10.0, 40.0]), np.array([40.0, 10.0])), np.sqrt(35 * 65))


@given(
    st.builds(Box, x=coordinates, y=coordinates, w=st.floats(1, 500), h=st.floats(1, 500)),
    st.sampled_from([TEMPLATE_SIDE, SEARCH_SIDE]),
    st.floats(-64, 64),
    st.floats(-64, 64),
    st.floats(0.7, 1.4),
)
def test_target_stands_at_the_shift_from_the_patch_centre(box, side, dx, dy, scale):
    crop = siamese_crop(box, side, shift_patch_xy=(dx, dy), scale=scale)
    x, y, w, h = boxes_to_patch(box.array(), crop)
    assert_allclose([x + w / 2, y + h / 2], [side / 2 + dx, side / 2 + dy], atol=1e-6)
    context = context_side(box.w, box.h)
    assert_allclose([w, h], np.array([box.w, box.h]) * TEMPLATE_SIDE / context / scale)


# --- sampling --------------------------------------------------------------------------------


@given(small_crops)
@settings(max_examples=60)
def test_a_patch_is_the_bilinear_definition_with_fill_outside(crop):
    frame = noise_frame(17, 23)
    expected = slow_patch(frame, crop, 99.5)
    assert_allclose(cut_patch(frame, crop, 99.5), expected, atol=2e-3)


def test_rows_are_y_and_columns_are_x():
    frame = np.add.outer(1000.0 * np.arange(30), np.arange(40.0))
    patch = cut_patch(frame, Crop(x=12.0, y=5.0, side=4.0, patch_side=4), 0.0)
    assert_array_equal(patch, frame[5:9, 12:16].astype(np.float32))


def test_a_crop_wholly_outside_is_exactly_the_fill():
    frame, fill = noise_frame(20, 30, channels=3), np.array([1.25, 2.5, 3.75])
    for x, y in [(-500.0, 5.0), (1e12, 5.0), (5.0, -1e15), (31.0, 21.0), (-9.0, -9.0)]:
        patch = cut_patch(frame, Crop(x, y, 8.0, 33), fill)
        assert_array_equal(patch, np.broadcast_to(fill, patch.shape))


def test_a_constant_frame_filled_with_its_value_gives_a_constant_patch():
    frame = np.full((20, 30), 77, dtype=np.uint8)
    patch = cut_patch(frame, Crop(-7.3, 11.1, 29.9, 64), mean_fill(frame))
    assert_allclose(patch, 77.0, atol=1e-4)


@pytest.mark.parametrize("side", [9.7, 80.0, 700.0], ids=["inside", "over", "gathered"])
def test_grey_and_its_copy_in_three_channels_are_equal_to_the_bit(side):
    grey = noise_frame(50, 600)
    colour = np.repeat(grey[..., None], 3, axis=2)
    crop = Crop(10.3, 20.7, side, 127)
    fill, fills = mean_fill(grey), mean_fill(colour)
    assert_array_equal(fills, np.repeat(fill, 3))
    patch = cut_patch(colour, crop, fills)
    assert_array_equal(patch, np.repeat(cut_patch(grey, crop, fill)[..., None], 3, axis=2))


def test_channels_keep_their_order_and_strided_frames_are_read_rightly():
    frame = noise_frame(40, 50, channels=3)
    crop = Crop(3.2, 4.1, 60.5, 70)
    fill = np.array([10.0, 20.0, 30.0])
    patch = cut_patch(frame, crop, fill)
    for channel in range(3):
        assert_array_equal(patch[..., channel], cut_patch(frame[..., channel], crop, fill[channel]))
    assert_array_equal(cut_patch(frame[..., ::-1], crop, fill[::-1]), patch[..., ::-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_every_number_type_keeps_its_levels(dtype):
    frame = noise_frame(20, 20).astype(dtype)
    patch = cut_patch(frame, Crop(2.0, 3.0, 10.0, 10), 0.0)
    assert patch.dtype == np.float32
    assert_array_equal(patch, frame[3:13, 2:12].astype(np.float32))


def test_a_crop_of_a_million_pixels_costs_no_more_memory_than_a_small_one():
    import tracemalloc

    frame = noise_frame(480, 640, channels=3)
    tracemalloc.start()
    cut_patch(frame, Crop(-5e5, -5e5, 1e6, 255), mean_fill(frame))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


def test_cutting_never_changes_the_frame():
    frame = noise_frame(30, 30, channels=3)
    before = frame.copy()
    frame.setflags(write=False)
    cut_patch(frame, Crop(-3.0, -3.0, 40.0, 32), 0.0)
    cut_patch_published(frame, (15.0, 15.0), 40, patch_side=32, fill=np.zeros(3))
    assert_array_equal(frame, before)


def test_frames_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\[H,W\] or \[H,W,C\], got \[5\]"):
        cut_patch(np.zeros(5), Crop(0.0, 0.0, 1.0, 8), 0.0)
    with pytest.raises(ValueError, match=r"uint8, got float32 \[5, 5, 3\]"):
        cut_patch_published(
            np.zeros((5, 5, 3), np.float32), (2.0, 2.0), 4, patch_side=4, fill=np.zeros(3)
        )


# --- the published crop (its golden bytes: trackers/test_golden_nanotrack.py) -----------------


def test_published_crop_at_its_own_size_is_a_copy_of_the_frame():
    frame = noise_frame(50, 60, channels=3)
    patch = cut_patch_published(frame, (20.0, 30.0), 21, patch_side=21, fill=np.zeros(3))
    left, top = published_origin((20.0, 30.0), 21)
    assert_array_equal(patch, frame[top : top + 21, left : left + 21])


@given(st.integers(10, 260), st.sampled_from([127, 255]), st.integers(0, 255))
@settings(max_examples=40)
def test_published_resize_keeps_a_constant_to_one_level(side, patch_side, level):
    frame = np.full((300, 300, 3), level, dtype=np.uint8)
    patch = cut_patch_published(frame, (150.0, 150.0), side, patch_side=patch_side, fill=np.ones(3))
    assert np.abs(patch.astype(int) - level).max() <= 1


# --- training crops ------------------------------------------------------------------------------

FRAME_HW = (480, 640)
INSIDE_MAJOR = CropRule(352, 6.0, "inside_major", 1.5)


def place_of(crop):
    return (crop.x, crop.y, crop.side)


def test_a_crop_that_is_not_moved_agrees_with_the_published_numbers():
    crop = training_crop(Box(110, 50, 60, 40), CropRule(288, 5.0, "centred"), FRAME_HW)
    assert crop.side == 245.0
    assert crop.scale == pytest.approx(1.1755102)
    target = boxes_to_patch(np.array([100.0, 60.0, 40.0, 30.0]), crop)
    assert_allclose(target, [96.479584, 131.744904, 47.020408, 35.265305], atol=1e-5)


@pytest.mark.parametrize("border", ["replicate", "inside", "inside_major"])
def test_a_crop_is_moved_into_the_frame_whatever_the_border(border):
    crop = training_crop(Box(10, 20, 40, 30), CropRule(352, 6.0, border), FRAME_HW)
    assert place_of(crop) == (0.0, 0.0, 208.0)


def test_a_crop_that_fits_nowhere_is_shrunk_and_shows_the_frame_in_its_middle():
    box = Box(100, 100, 200, 150)
    free = CropRule(352, 6.0, "inside_major")
    assert place_of(training_crop(box, free, FRAME_HW)) == (0.0, -80.0, 640.0)
    assert place_of(training_crop(box, INSIDE_MAJOR, FRAME_HW)) == (-26.0, -106.0, 693.0)
    assert place_of(training_crop(box, CropRule(352, 6.0, "inside"), FRAME_HW))[2] == 480.0
    assert place_of(training_crop(box, CropRule(352, 6.0, "replicate"), FRAME_HW))[2] == 1040.0


def test_a_moved_crop_agrees_with_the_published_numbers():
    crop = training_crop(Box(600, 460, 60, 40), INSIDE_MAJOR, FRAME_HW)
    assert place_of(crop) == (346.0, 186.0, 294.0)
    target = boxes_to_patch(np.array([590.0, 455.0, 60.0, 40.0]), crop)
    assert_allclose(target, [292.136047, 322.068024, 71.836731, 47.891155], atol=1e-4)


def test_a_siamese_rule_makes_no_training_crop():
    with pytest.raises(ValueError, match="needs a rule with an area factor"):
        training_crop(Box(0, 0, 9, 9), CropRule(127), FRAME_HW)


@given(small_crops)
@settings(max_examples=40)
def test_repeated_borders_are_those_of_a_padded_frame(crop):
    frame = noise_frame(30, 40)
    pad = 400
    padded = np.pad(frame, pad, mode="edge")
    moved = replace(crop, x=crop.x + pad, y=crop.y + pad)
    assert_allclose(cut_patch(frame, crop, None), cut_patch(padded, moved, 0.0), atol=2e-2)


def test_a_mirrored_crop_is_the_patch_turned_over_and_boxes_follow():
    frame = noise_frame(60, 80, channels=3)
    crop = Crop(5.0, 4.0, 40.0, 33)
    other = replace(crop, is_mirrored=True)
    assert_array_equal(cut_patch(frame, other, 0.0), cut_patch(frame, crop, 0.0)[:, ::-1])
    box = np.array([10.0, 6.0, 12.0, 9.0])
    x, y, w, h = boxes_to_patch(box, crop)
    assert_allclose(boxes_to_patch(box, other), [33 - x - w, y, w, h])
    assert_allclose(boxes_to_frame(boxes_to_patch(box, other), other), box)


def test_every_target_is_the_same_square_in_a_stretched_crop():
    for box in (Box(3.0, 4.0, 10.0, 10.0), Box(-5.0, 7.5, 40.0, 8.0)):
        crop = stretched_crop(box, 256, area_factor=5.0)
        x, y, w, h = boxes_to_patch(box.array(), crop)
        assert (x, y, w, h) == pytest.approx((102.4, 102.4, 51.2, 51.2))
        assert (crop.side, crop.height) == (5 * box.w, 5 * box.h)
    moved = stretched_crop(box, 256, area_factor=5.0, shift_patch_xy=(10.0, -20.0), scale=2.0)
    x, y, w, h = boxes_to_patch(box.array(), moved)
    assert (x + w / 2, y + h / 2, w) == pytest.approx((138.0, 108.0, 25.6))


@given(boxes_xywh, st.floats(0.2, 5.0))
def test_a_stretched_crop_there_and_back_is_the_identity(box, aspect):
    crop = Crop(3.0, -8.0, 60.0, 128, aspect)
    assert_allclose(boxes_to_frame(boxes_to_patch(box, crop), crop), box, atol=1e-6)


def test_a_stretched_patch_is_sampled_by_each_axis_for_itself():
    frame = np.random.default_rng(4).integers(0, 256, (20, 30), dtype=np.uint8)
    tall = cut_patch(frame, Crop(4.0, 2.0, 16.0, 16, 0.5), 0.0)
    assert_array_equal(tall[0], 0.75 * frame[2, 4:20] + 0.25 * frame[1, 4:20])
    assert_array_equal(tall[1], 0.75 * frame[2, 4:20] + 0.25 * frame[3, 4:20])


def test_published_rectangle_at_its_own_size_is_a_copy_with_the_rounded_mean_outside():
    frame = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    fill = np.array([1.5, 2.4, 2.6])
    patch = cut_stretched_published(frame, (-2, 30, 16, 16), patch_side=16, fill=fill)
    assert_array_equal(patch[:10, 2:], frame[30:, :14])
    assert (patch[:, :2] == [2, 2, 3]).all()
    assert (patch[10:] == [2, 2, 3]).all()


def test_published_rectangles_are_resized_as_opencv_does():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(6)
    for w, h in ((7, 90), (300, 61), (256, 200), (256, 256), (512, 256), (1, 3)):
        frame = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        patch = cut_stretched_published(frame, (0, 0, w, h), patch_side=128, fill=np.zeros(3))
        assert_array_equal(patch, cv2.resize(frame, (128, 128)), err_msg=f"{w}x{h}")


# --- mapped frames --------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [None, 40.0])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_mapped_frame_is_cut_as_if_it_lay_on_the_grid(fill, is_mirrored):
    """A grid of twice the pixels, moved: the same patch as that of the crop on the frame itself."""
    pixels = noise_frame(40, 50)
    mapped = MappedFrame(pixels, lambda points: points / 2 + [3.0, -1.0], (80, 100))
    crop = Crop(20.0, 14.0, 30.0, 33, is_mirrored=is_mirrored)
    same = Crop(13.0, 6.0, 15.0, 33, is_mirrored=is_mirrored)
    assert_allclose(cut_patch(mapped, crop, fill), cut_patch(pixels, same, fill), atol=1e-3)


def test_beyond_the_grid_is_beyond_the_frame():
    """Though the frame shows more: RGB, on whose grid it lies, does not."""
    mapped = MappedFrame(noise_frame(60, 60), lambda points: points + 20.0, (20, 20))
    patch = cut_patch(mapped, Crop(-10.0, 0.0, 20.0, 20), 7.0)
    assert (patch[:, :10] == 7.0).all()
    assert_allclose(patch[:, 10:], mapped.pixels[20:40, 20:30], atol=1e-3)
    repeated = cut_patch(mapped, Crop(-10.0, 0.0, 20.0, 20), None)
    assert_allclose(repeated[:, :10], np.repeat(mapped.pixels[20:40, 20:21], 10, 1), atol=1e-3)


def test_a_mapped_frame_has_the_size_of_the_grid_and_the_mean_of_its_pixels():
    mapped = MappedFrame(noise_frame(10, 12), lambda points: points / 2, (20, 24))
    assert frame_hw(mapped) == (20, 24)
    assert mean_fill(mapped) == mean_fill(mapped.pixels)
    assert mapped.on_grid().shape == (20, 24)


def test_a_box_is_carried_by_scale_and_shift_exactly():
    mapped = MappedFrame(noise_frame(40, 50), lambda points: points / 2 + [3.0, -1.0], (80, 100))
    assert mapped.box_in_frame(Box(10.0, 20.0, 30.0, 8.0)) == Box(8.0, 9.0, 15.0, 4.0)
    back = mapped.box_on_grid(Box(8.0, 9.0, 15.0, 4.0)).array()
    assert_allclose(back, [10.0, 20.0, 30.0, 8.0], atol=1e-9)


@pytest.mark.parametrize(
    "places",
    [
        lambda p: p @ np.array([[0.7, 0.06], [-0.06, 0.7]]) + [31.0, -7.0],
        lambda p: (p * 0.4 + [5.0, 9.0]) / (1 + p @ np.array([[2e-4], [-1e-4]])),
        lambda p: p * 0.5 * (1 + 2e-6 * ((p - 100) ** 2).sum(axis=-1, keepdims=True)),
    ],
    ids=["turned", "homography", "radial"],
)
@pytest.mark.parametrize("box", [Box(12.0, 20.0, 60.0, 31.0), Box(150.0, 90.0, 9.0, 14.0)])
def test_a_box_of_the_frame_comes_back_from_the_grid(places, box):
    mapped = MappedFrame(noise_frame(90, 120), places, (180, 240))
    carried = mapped.box_in_frame(box)
    assert abs(np.array(carried.center_xy) - places(np.array(box.center_xy))).max() < 1e-9
    assert_allclose(mapped.box_on_grid(carried).array(), box.array(), atol=1e-6)


def test_a_box_that_no_place_of_the_grid_reaches_is_not_finite():
    mapped = MappedFrame(noise_frame(40, 50), lambda points: points * 0.0 + 3.0, (80, 100))
    assert not mapped.box_on_grid(Box(8.0, 9.0, 15.0, 4.0)).is_finite()
