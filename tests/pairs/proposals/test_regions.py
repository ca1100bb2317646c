"""What changed or stands out is found, by a way that needs no network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tirtrack.boxes import Box, iou, iou_matrix
from tirtrack.pairs.proposals import proposer
from tirtrack.pairs.proposals.base import FoundIn
from tirtrack.pairs.proposals.change import change
from tirtrack.pairs.proposals.region_measures import MEASURES, Picture, measures
from tirtrack.pairs.proposals.regions import region_boxes
from tirtrack.pairs.source import Pair


def _ground(seed: int = 0, height: int = 200, width: int = 260) -> np.ndarray:
    return 70 + np.random.default_rng(seed).normal(0, 3, (height, width))


def _with_object(box: Box, level: float, seed: int = 0) -> np.ndarray:
    frame = _ground(seed)
    frame[int(box.y) : int(box.y + box.h), int(box.x) : int(box.x + box.w)] = level
    return np.clip(frame, 0, 255).astype(np.uint8)


def _scene(seed: int = 3) -> np.ndarray:
    """A background of many shapes, larger than a frame."""
    rng = np.random.default_rng(seed)
    shapes = rng.normal(0, 1, (420, 520))
    smooth = sum(ndimage.gaussian_filter(shapes, s) * s for s in (2, 5, 12))
    return 120 + 40 * smooth / smooth.std()


def _best(found: list[tuple[Box, float]], target: Box) -> float:
    return max((float(iou(box.array(), target.array())) for box, _ in found), default=0.0)


@settings(max_examples=20)
@given(
    st.integers(10, 180), st.integers(10, 130), st.integers(10, 60), st.integers(10, 60),
    st.sampled_from([150.0, 0.0, 255.0]),
)  # fmt: skip
def test_a_uniform_object_is_found_wherever_it_is(x, y, w, h, level):
    assume(max(w / h, h / w) <= 3.5)  # longer ones are not proposed
    target = Box(x, y, w, h)
    assert _best(region_boxes(_with_object(target, level)), target) > 0.5


def _frame(scene: np.ndarray, x: float, y: float, zoom: float, thing: tuple[float, float] | None):
    """What a camera at (x, y) sees of the scene, with noise, and an object at a place of it."""
    rows, columns = np.mgrid[0:200, 0:260].astype(float)
    at = np.stack([y + rows / zoom, x + columns / zoom])
    frame = ndimage.map_coordinates(scene, at, order=1, mode="nearest")
    if thing is not None:
        left, top = (thing[0] - x) * zoom, (thing[1] - y) * zoom
        inside = (columns >= left) & (columns < left + 24 * zoom)
        inside &= (rows >= top) & (rows < top + 32 * zoom)
        frame[inside] += 25
    noise = np.random.default_rng(round(1000 * x + y)).normal(0, 2, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


CAMERAS = {
    "stands": [(100.0, 90.0, 1.0)] * 5,
    "pans": [(100.0 + 9.3 * k, 90.0 - 3.1 * k, 1.0) for k in range(-2, 3)],
    "pans and zooms": [(100.0 + 5 * k, 90.0, 1.0 + 0.02 * k) for k in range(-2, 3)],
}


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_what_moves_otherwise_than_the_background_is_found(camera):
    scene = _scene()
    frames = [
        _frame(scene, *place, (200.0 + 30 * k, 170.0)) for k, place in enumerate(camera, start=-2)
    ]
    x, y, zoom = camera[2]
    target = Box((200 - x) * zoom, (170 - y) * zoom, 24 * zoom, 32 * zoom)
    near = [frames[k] for k in (0, 1, 3, 4)]
    with_neighbours = _best(region_boxes(frames[2], near), target)
    assert with_neighbours > 0.6
    assert with_neighbours > _best(region_boxes(frames[2]), target)


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_a_background_that_only_the_camera_moves_has_not_changed(camera):
    scene = _scene()
    planes = [[_frame(scene, *place, None).astype(np.float32)] for place in camera]
    still = change(planes[2], [planes[k] for k in (0, 1, 3, 4)])
    inner = (slice(20, -20), slice(20, -20))
    assert np.median(still.fine[inner]) < 1.5
    assert (still.fine[inner] > 8).mean() < 0.005


def test_change_counts_in_the_noise_of_the_frame():
    """The same object in twice the noise has half the change."""
    values = []
    for noise in (2.0, 4.0):
        rng = np.random.default_rng(0)
        frames = [[rng.normal(100, noise, (64, 80)).astype(np.float32)] for _ in range(5)]
        frames[2][0][20:40, 30:50] += 60
        found = change(frames[2], [frames[k] for k in (0, 1, 3, 4)])
        values.append(float(np.median(found.fine[22:38, 32:48])))
    assert values[0] / values[1] == pytest.approx(2, rel=0.15)


def test_neighbours_show_no_change_where_they_hold_no_measurement():
    frame = np.full((64, 80), 100, np.float32)
    other = frame.copy()
    other[10:30, 10:30] = 0
    known = other > 0
    assert change([frame], [[other]]).fine[20, 20] > 10
    assert change([frame], [[other]], [known]).fine.max() < 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_any_depth_gives_the_same_boxes(kind):
    target = Box(60, 50, 30, 40)
    frame = _with_object(target, 200).astype(np.float64)
    stored = frame if kind is np.uint8 else 7000 + 3 * frame
    assert _best(region_boxes(stored.astype(kind)), target) > 0.7


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((120, 160), np.uint8),
        np.full((120, 160, 3), 255, np.uint8),
        np.full((120, 160), 7000, np.uint16),
        np.full((40, 50), np.nan, np.float32),
    ],
    ids=["black", "white", "shutter", "nan"],
)
def test_a_flat_frame_has_nothing_to_show(frame):
    assert region_boxes(frame) == []
    assert region_boxes(frame, [frame + np.ones_like(frame)] * 2) == []


@settings(max_examples=15)
@given(st.integers(9, 90), st.integers(9, 120), st.integers(0, 9), st.integers(0, 5))
def test_boxes_are_inside_few_apart_and_ranked(height, width, seed, neighbours):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 255, (neighbours + 1, height, width)).astype(np.uint8)
    found = region_boxes(frames[0], list(frames[1:]), count=7, max_iou=0.3)
    assert len(found) <= 7
    boxes = np.array([box.array() for box, _ in found]).reshape(-1, 4)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= [width, height]).all()
    assert (boxes[:, 2:] > 0).all()
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    overlaps = iou_matrix(boxes, boxes) - np.eye(len(boxes))
    assert (overlaps <= 0.3 + 1e-9).all()


def test_frames_are_read_and_not_changed():
    frame, near = _with_object(Box(60, 50, 30, 40), 200), _with_object(Box(20, 50, 30, 40), 200)
    copies = frame.copy(), near.copy()
    assert region_boxes(frame, [near]) == region_boxes(frame, [near])
    assert np.array_equal(frame, copies[0])
    assert np.array_equal(near, copies[1])


def test_a_neighbour_of_another_size_is_left_out():
    frame = _with_object(Box(60, 50, 30, 40), 200)
    assert region_boxes(frame, [frame[:-2]]) == region_boxes(frame)


def test_no_box_lies_on_pixels_without_a_measurement():
    frame = _with_object(Box(60, 50, 30, 40), 200).astype(np.float32)
    frame[100:160, 100:180] = np.nan
    hole = np.array([100.0, 100, 80, 60])
    assert _best(region_boxes(frame), Box(60, 50, 30, 40)) > 0.7
    for box, _ in region_boxes(frame):
        x, y, w, h = box.array()
        across = min(x + w, hole[0] + hole[2]) - max(x, hole[0])
        down = min(y + h, hole[1] + hole[3]) - max(y, hole[1])
        assert max(across, 0) * max(down, 0) <= 0.25 * w * h


def test_a_tight_box_measures_as_tighter_than_a_loose_one():
    plane = np.full((100, 120), 80, np.float32)
    plane[30:60, 40:70] = 160
    boxes = np.array([[40.0, 30, 30, 30], [34.0, 24, 42, 42], [46.0, 36, 18, 18]])
    table = measures(Picture([plane], None, None, 1), boxes, np.ones(3))
    tightness = table[:, list(MEASURES).index("tightness")]
    assert tightness.argmax() == 0


def test_a_pair_yields_agreed_boxes_first_and_says_how_likely_each_is():
    target = Box(60, 50, 30, 40)
    tir = _with_object(target, 220)
    rgb = np.repeat(_with_object(target, 20, seed=1)[:, :, None], 3, axis=2)
    rgb[20:40, 180:220] = [200, 40, 40]
    pair = Pair("a/1", "a", 1, rgb, tir)
    found = proposer("regions").propose(pair, (), np.random.default_rng(0))
    agreed = [one for one in found.kept if one.found_in is FoundIn.BOTH]
    assert found.kept[: len(agreed)] == tuple(agreed)
    assert _best([(one.box, 1.0) for one in agreed], target) > 0.7
    assert FoundIn.RGB in {one.found_in for one in found.kept}
    assert all(0 < one.quality < 1 for one in found.kept)
    assert {one.way for one in found.kept} == {"regions"}


@pytest.mark.parametrize("shape", [(3, 3), (1, 500), (7, 40)])
def test_a_tiny_frame_of_a_video_is_no_fault(shape):
    frame = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert len(region_boxes(frame, [frame, frame])) <= 10
