"""Pictures for people: what is drawn lies where the numbers say, and hides nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import ImageColor

from tirtrack.boxes import Box
from tirtrack.overlay import (
    PALETTE,
    draw_boxes,
    draw_caption,
    enlarge,
    grid_step,
    number_boxes,
    with_grid,
    zoom_for,
)

GROUNDS = [0, 128, 255]


def ground(level: int, width: int = 120, height: int = 90) -> np.ndarray:
    return np.full((height, width, 3), level, dtype=np.uint8)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


@pytest.mark.parametrize("level", GROUNDS)
@pytest.mark.parametrize("zoom", [1, 3])
def test_line_hugs_the_box_from_outside_and_leaves_its_pixels_alone(level, zoom):
    frame = enlarge(ground(level), zoom)
    drawn = draw_boxes(frame, [(Box(40, 30, 20, 10), "#35c8ff", "")], zoom=zoom)
    touched = changed(frame, drawn)
    inside = np.s_[30 * zoom : 40 * zoom, 40 * zoom : 60 * zoom]
    assert not touched[inside].any()
    rows, columns = np.nonzero(touched)
    assert (columns.min(), columns.max()) == (40 * zoom - 3, 60 * zoom + 2)
    assert (rows.min(), rows.max()) == (30 * zoom - 3, 40 * zoom + 2)
    colour = ImageColor.getrgb("#35c8ff")
    for at in ((30 * zoom, 40 * zoom - 1), (40 * zoom, 50 * zoom), (35 * zoom, 60 * zoom)):
        assert tuple(drawn[at]) == colour


@pytest.mark.parametrize("level", GROUNDS)
def test_every_colour_is_far_from_its_dark_edge_and_from_the_ground(level):
    for colour in PALETTE:
        line = np.array(ImageColor.getrgb(colour), dtype=float)
        edge = np.array(ImageColor.getrgb("#101418"), dtype=float)
        assert np.linalg.norm(line - edge) > 150
        assert max(np.linalg.norm(line - level), np.linalg.norm(edge - level)) > 150


def test_fraction_of_a_pixel_rounds_and_a_tiny_box_is_still_seen():
    frame = ground(0)
    near = draw_boxes(frame, [(Box(40.4, 30.4, 20, 10), "#ffffff", "")])
    assert_array_equal(near, draw_boxes(frame, [(Box(40, 30, 20, 10), "#ffffff", "")]))
    tiny = draw_boxes(frame, [(Box(40, 30, 0.1, 0.1), "#ffffff", "")])
    assert changed(frame, tiny).any()


@given(
    x=st.floats(-1e9, 1e9),
    y=st.floats(-1e9, 1e9),
    w=st.floats(0, 1e9),
    h=st.floats(0, 1e9),
    label=st.text(max_size=12),
)
def test_any_finite_box_and_label_can_be_drawn(x, y, w, h, label):
    frame = ground(90, 40, 30)
    kept = frame.copy()
    drawn = draw_boxes(frame, [(Box(x, y, w, h), "#ffb000", label)])
    assert drawn.shape == frame.shape
    assert_array_equal(frame, kept)


def test_box_outside_or_not_finite_leaves_no_mark():
    frame = ground(90)
    boxes = [Box(500, 500, 20, 20), Box(-80, 3, 20, 20), Box(float("nan"), 0, 5, 5)]
    assert_array_equal(draw_boxes(frame, [(box, "#ffb000", "7") for box in boxes]), frame)


def test_label_stays_in_the_picture_at_every_border():
    for box in (Box(0, 0, 10, 10), Box(110, 80, 10, 10), Box(0, 80, 120, 10)):
        frame = ground(0)
        marked = draw_boxes(frame, [(box, "#ffb000", "tracking")])
        plain = draw_boxes(frame, [(box, "#ffb000", "")])
        rows, columns = np.nonzero(changed(marked, plain))
        assert np.ptp(columns) > 40
        assert np.ptp(rows) > 12


def test_numbers_differ_from_box_to_box():
    frame = ground(0)
    one = number_boxes(frame, [Box(30, 40, 10, 10)])
    two = number_boxes(frame, [Box(90, 70, 10, 10), Box(30, 40, 10, 10)])
    assert changed(one[:55, :60], two[:55, :60]).any()


@pytest.mark.parametrize("zoom", [1, 4])
def test_grid_lines_stand_at_their_coordinates(zoom):
    frame = enlarge(ground(0), zoom)
    grid = with_grid(frame, 20, zoom=zoom)
    top, left = grid.shape[0] - frame.shape[0], grid.shape[1] - frame.shape[1]
    picture = grid[top:, left:]
    columns = np.flatnonzero(picture[5].any(axis=1))
    rows = np.flatnonzero(picture[:, 5].any(axis=1))
    assert columns.tolist() == [k * zoom for k in range(0, 120, 20)]
    assert rows.tolist() == [k * zoom for k in range(0, 90, 20)]
    assert 50 < picture[5, 0].mean() < 100


def test_coordinates_on_the_margin_are_those_of_the_frame_at_any_zoom():
    near, far = with_grid(ground(0), 20), with_grid(enlarge(ground(0), 4), 20, zoom=4)
    top, left = near.shape[0] - 90, near.shape[1] - 120
    assert far.shape == (top + 360, left + 480, 3)
    for k in (1, 2, 3, 4):
        one, two = near[:top, left + 20 * k - 9 :], far[:top, left + 80 * k - 9 :]
        assert_array_equal(one[:, :18], two[:, :18])
        one, two = near[top + 20 * k - 7 :, :left], far[top + 80 * k - 7 :, :left]
        assert_array_equal(one[:14], two[:14])
        assert one[:14].min() < 150 < one[:14].max()


def test_boxes_lie_over_the_grid():
    boxes = [Box(15, 15, 30, 30)]
    grid = with_grid(ground(0), 20, boxes=boxes)
    plain = with_grid(ground(0), 20)
    left, top = grid.shape[1] - 120, grid.shape[0] - 90
    assert tuple(grid[top + 14, left + 20]) == ImageColor.getrgb(PALETTE[0])
    assert_array_equal(
        grid[top + 15 : top + 45, left + 15 : left + 45],
        plain[top + 15 : top + 45, left + 15 : left + 45],
    )


def test_grid_has_about_ten_lines_and_small_frames_are_enlarged_by_whole_numbers():
    for side in (16, 80, 160, 320, 640, 1280, 3840):
        assert 5 <= side / grid_step(side, side // 2) <= 16
    assert [zoom_for(w, h) for w, h in ((160, 120), (320, 256), (640, 480), (1920, 1080))] == [
        4,
        2,
        1,
        1,
    ]
    frame = np.random.default_rng(0).integers(0, 255, (3, 4, 3), dtype=np.uint8)
    assert_array_equal(enlarge(frame, 3)[1::3, 1::3], frame)


def test_caption_is_read_on_any_ground():
    for level in GROUNDS:
        drawn = draw_caption(ground(level), "frame 3  lost", "#ff5a5f")
        block = drawn[:18, :60].reshape(-1, 3).astype(int)
        assert np.ptp(block.sum(axis=1)) > 200


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4, 4), np.uint8)],
)
def test_other_pictures_are_refused_with_shape_and_type(image):
    with pytest.raises(ValueError, match=f"{image.dtype}"):
        draw_boxes(image, [])
    with pytest.raises(ValueError, match="uint8"):
        with_grid(image, 10)
    with pytest.raises(ValueError, match="step must be at least 1, got 0"):
        with_grid(ground(0), 0)
