"""Laws of boxes, for numpy and torch alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tirtrack.boxes import (
    SUPPRESSED_AT_ONCE,
    Box,
    check_first_box,
    clip_boxes,
    cxcywh_to_xywh,
    iou,
    iou_matrix,
    suppress_overlapping,
    xywh_to_cxcywh,
    xywh_to_xyxy,
    xyxy_to_xywh,
)
from tirtrack.errors import FrameError

coordinate = st.floats(-500, 500, allow_nan=False, width=32)
side = st.floats(0.5, 400, allow_nan=False, width=32)
boxes = st.tuples(coordinate, coordinate, side, side).map(np.array)


@given(boxes, boxes)
def test_overlap_is_symmetric_and_between_zero_and_one(a: np.ndarray, b: np.ndarray) -> None:
    assert iou(a, b) == iou(b, a)
    assert 0.0 <= iou(a, b) <= 1.0 + 1e-12


@given(boxes)
def test_overlap_with_itself_is_one(box: np.ndarray) -> None:
    assert iou(box, box) == pytest.approx(1.0, abs=1e-6)


@given(boxes, boxes)
def test_overlap_of_different_boxes_is_below_one(a: np.ndarray, b: np.ndarray) -> None:
    if np.abs(a - b).max() > 0.01:
        assert iou(a, b) < 1.0


def test_overlap_without_area_is_zero_and_never_nan() -> None:
    empty = np.array([3.0, 3.0, 0.0, 0.0])
    assert iou(empty, empty) == 0.0
    assert iou(empty, np.array([0.0, 0.0, 10.0, 10.0])) == 0.0


@given(boxes)
def test_formats_come_back(box: np.ndarray) -> None:
    np.testing.assert_allclose(xyxy_to_xywh(xywh_to_xyxy(box)), box, atol=1e-9)
    np.testing.assert_allclose(cxcywh_to_xywh(xywh_to_cxcywh(box)), box, atol=1e-9)


@given(boxes, boxes)
def test_torch_and_numpy_agree(a: np.ndarray, b: np.ndarray) -> None:
    ours = iou(torch.from_numpy(a), torch.from_numpy(b))
    assert float(ours) == pytest.approx(float(iou(a, b)), abs=1e-12)
    np.testing.assert_array_equal(
        clip_boxes(torch.from_numpy(a), 100, 80).numpy(), clip_boxes(a, 100, 80)
    )


@given(boxes)
def test_clipped_box_lies_in_the_frame(box: np.ndarray) -> None:
    x, y, w, h = clip_boxes(box, 100, 80)
    assert 0 <= x <= x + w <= 100 + 1e-9
    assert 0 <= y <= y + h <= 80 + 1e-9


def test_leading_axes_are_kept() -> None:
    many = np.arange(24.0).reshape(2, 3, 4) + 1
    assert xywh_to_xyxy(many).shape == (2, 3, 4)
    assert iou_matrix(many[0], many[1]).shape == (3, 3)
    with pytest.raises(ValueError, match=r"got \[3\]"):
        xywh_to_xyxy(np.zeros(3))


def test_suppression_keeps_the_best_of_a_heap() -> None:
    heap = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [50, 50, 5, 5]], dtype=float)
    assert suppress_overlapping(heap, np.array([0.2, 0.9, 0.1]), 0.5).tolist() == [1, 2]


@pytest.mark.parametrize("count", [0, 1, 5, 40, None])
@pytest.mark.parametrize("max_iou", [0.0, 0.4, 1.0])
def test_suppression_is_that_of_one_box_at_a_time(count: int | None, max_iou: float) -> None:
    rng = np.random.default_rng(0)
    boxes = rng.integers(0, 40, (150, 4)).astype(np.float64)
    boxes[7] = np.nan
    scores = rng.integers(0, 20, 150) / 20  # many are alike: the first of them wins
    kept: list[int] = []
    for index in sorted(range(150), key=lambda k: -scores[k]):
        if all(iou(boxes[index], boxes[other]) <= max_iou for other in kept):
            kept.append(index)
    assert len(kept) > 2 * SUPPRESSED_AT_ONCE or max_iou < 1
    assert suppress_overlapping(boxes, scores, max_iou, count=count).tolist() == kept[:count]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (Box(float("nan"), 0, 5, 5), "not finite"),
        (Box(5, 5, 0, 5), "no area"),
        (Box(5, 5, 5, -1), "no area"),
        (Box(95, 5, 20, 20), "75% outside the frame of 100x80"),
        (Box(200, 5, 20, 20), "100% outside"),
    ],
    ids=["nan", "zero width", "negative height", "mostly out", "wholly out"],
)
def test_impossible_first_box_is_refused_in_a_sentence(box: Box, message: str) -> None:
    if box.x == 95:
        box = Box(95.1, 5, 20, 20)
        message = "outside the frame of 100x80"
    with pytest.raises(FrameError, match=message):
        check_first_box(box, 100, 80)


def test_first_box_may_stand_out_to_three_quarters() -> None:
    check_first_box(Box(-15, 5, 20, 20), 100, 80)
    check_first_box(Box(0, 0, 100, 80), 100, 80)
