"""Boxes: formats, overlap, clipping. The same functions take numpy arrays and torch tensors.

A box is ``xywh``: top left corner and size, 0-based, continuous (the pixel of column ``j`` covers
``[j, j+1)``). Any other format says so in its name. Evaluation protocols have their own geometry
(``evaluation.overlap``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tirtrack.errors import FrameError

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")

MIN_INIT_SIDE = 1.0
MIN_INIT_INSIDE = 0.25
SUPPRESSED_AT_ONCE = 16  # boxes whose overlaps are computed in one go


@dataclass(frozen=True)
class Box:
    """One box: ``x``, ``y`` of the top left corner, width and height, in pixels of the frame."""

    x: float
    y: float
    w: float
    h: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Box:
        """A box from four numbers xywh.

        >>> Box.of([1, 2, 3, 4])
        Box(x=1.0, y=2.0, w=3.0, h=4.0)
        """
        x, y, w, h = (float(value) for value in values)
        return cls(x, y, w, h)

    def array(self) -> np.ndarray:
        """``[4]`` float64 xywh."""
        return np.array([self.x, self.y, self.w, self.h], dtype=np.float64)

    @property
    def center_xy(self) -> tuple[float, float]:
        """Centre, continuous coordinates."""
        return self.x + self.w / 2, self.y + self.h / 2

    def is_finite(self) -> bool:
        """Whether all four numbers are finite."""
        return all(math.isfinite(value) for value in (self.x, self.y, self.w, self.h))


def check_first_box(box: Box, width: int, height: int) -> None:
    """Refuse a first box that no tracker can begin with.

    Raises:
        FrameError: a number is not finite, a side is under 1 px, or less than a quarter of the box
            lies in the frame.
    """
    check_sides(box)
    inside_w = min(box.x + box.w, width) - max(box.x, 0.0)
    inside_h = min(box.y + box.h, height) - max(box.y, 0.0)
    inside = max(inside_w, 0.0) * max(inside_h, 0.0) / (box.w * box.h)
    if inside < MIN_INIT_INSIDE:
        raise FrameError(
            f"{_as_text(box)} lies {1 - inside:.0%} outside the frame of {width}x{height}",
            fix=f"at least {MIN_INIT_INSIDE:.0%} of it must be inside",
        )


def check_sides(box: Box) -> None:
    """The rules of a first box that need no frame.

    Raises:
        FrameError: a number is not finite, or a side is under 1 px.
    """
    if not box.is_finite():
        raise FrameError(
            f"{_as_text(box)} has a number that is not finite",
            fix="give the box as x,y,width,height in pixels",
        )
    if box.w < MIN_INIT_SIDE or box.h < MIN_INIT_SIDE:
        raise FrameError(
            f"{_as_text(box)} has no area",
            fix=f"width and height must be at least {MIN_INIT_SIDE:g} px",
        )


def _as_text(box: Box) -> str:
    return f"box {box.x:g},{box.y:g},{box.w:g},{box.h:g}"


def touches_border(box: Box, width: int, height: int) -> bool:
    """Whether a side of the box is within a pixel of the frame's border, or beyond.

    >>> touches_border(Box(0.5, 20.0, 10.0, 10.0), 100, 80)
    True
    """
    return box.x <= 1 or box.y <= 1 or box.x + box.w >= width - 1 or box.y + box.h >= height - 1


def with_centre_inside(box: Box, width: int, height: int) -> Box:
    """The box, moved if its centre is outside the frame, which only a first box's can be."""
    cx, cy = box.center_xy
    dx, dy = (
        min(max(center, 0.0), length) - center
        for center, length in ((cx, float(width)), (cy, float(height)))
    )
    return box if dx == dy == 0 else Box(box.x + dx, box.y + dy, box.w, box.h)


def _stack(parts: list[Any]) -> Any:
    if isinstance(parts[0], np.ndarray | np.generic):
        return np.stack(parts, axis=-1)
    import torch

    return torch.stack(parts, dim=-1)


def _minimum(a: Any, b: Any) -> Any:
    return np.minimum(a, b) if isinstance(a, np.ndarray | np.generic) else a.minimum(b)


def _maximum(a: Any, b: Any) -> Any:
    return np.maximum(a, b) if isinstance(a, np.ndarray | np.generic) else a.maximum(b)


def _check(boxes: Any) -> None:
    if boxes.shape[-1] != 4:
        raise ValueError(f"boxes must be [...,4], got {list(boxes.shape)}")


def xywh_to_xyxy(boxes: Array) -> Array:
    """``[...,4]`` xywh as corners.

    >>> xywh_to_xyxy(np.array([1.0, 2.0, 3.0, 4.0]))
    array([1., 2., 4., 6.])
    """
    _check(boxes)
    x, y, w, h = (boxes[..., k] for k in range(4))
    return _stack([x, y, x + w, y + h])  # type: ignore[no-any-return]


def xyxy_to_xywh(boxes_xyxy: Array) -> Array:
    """``[...,4]`` corners as xywh."""
    _check(boxes_xyxy)
    x1, y1, x2, y2 = (boxes_xyxy[..., k] for k in range(4))
    return _stack([x1, y1, x2 - x1, y2 - y1])  # type: ignore[no-any-return]


def xywh_to_cxcywh(boxes: Array) -> Array:
    """``[...,4]`` xywh as centre and size."""
    _check(boxes)
    x, y, w, h = (boxes[..., k] for k in range(4))
    return _stack([x + w / 2, y + h / 2, w, h])  # type: ignore[no-any-return]


def cxcywh_to_xywh(boxes_cxcywh: Array) -> Array:
    """``[...,4]`` centre and size as xywh."""
    _check(boxes_cxcywh)
    cx, cy, w, h = (boxes_cxcywh[..., k] for k in range(4))
    return _stack([cx - w / 2, cy - h / 2, w, h])  # type: ignore[no-any-return]


def iou(a: Array, b: Array) -> Array:
    """Overlap of boxes, pair by pair: ``[...,4]`` and ``[...,4]`` (broadcast) to ``[...]`` in [0,
    1].

    Boxes without area overlap with nothing: 0, never NaN.

    >>> iou(np.array([0.0, 0, 2, 2]), np.array([1.0, 0, 2, 2])).round(4)
    np.float64(0.3333)
    """
    _check(a)
    _check(b)
    width = _minimum(a[..., 0] + a[..., 2], b[..., 0] + b[..., 2]) - _maximum(a[..., 0], b[..., 0])
    height = _minimum(a[..., 1] + a[..., 3], b[..., 1] + b[..., 3]) - _maximum(a[..., 1], b[..., 1])
    inter = width.clip(0.0) * height.clip(0.0)
    union = (
        a[..., 2].clip(0.0) * a[..., 3].clip(0.0)
        + b[..., 2].clip(0.0) * b[..., 3].clip(0.0)
        - inter
    )
    return inter / union.clip(1e-12)  # type: ignore[no-any-return]


def iou_matrix(a: Array, b: Array) -> Array:
    """Overlap of every box of ``a [n,4]`` with every box of ``b [m,4]``: ``[n,m]``."""
    return iou(a[:, None], b[None, :])


def clip_boxes(boxes: Array, width: float, height: float) -> Array:
    """``[...,4]`` boxes cut to ``[0, width] x [0, height]``; one wholly outside gets no area."""
    corners = xywh_to_xyxy(boxes)
    x1, x2 = corners[..., 0].clip(0, width), corners[..., 2].clip(0, width)
    y1, y2 = corners[..., 1].clip(0, height), corners[..., 3].clip(0, height)
    return _stack([x1, y1, x2 - x1, y2 - y1])  # type: ignore[no-any-return]


def suppress_overlapping(
    boxes: np.ndarray, scores: np.ndarray, max_iou: float, *, count: int | None = None
) -> np.ndarray:
    """Greedy non-maximum suppression: indices of the boxes ``[n,4]`` that stay, best score first,
    at most ``count`` of them.

    Ties keep the order of the input, so the result does not depend on the machine.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    kept: list[int] = []
    while len(order) and (count is None or len(kept) < count):
        head = order[:SUPPRESSED_AT_ONCE]
        is_apart = iou_matrix(boxes[head], boxes[order]) <= max_iou
        stays = np.ones(len(order), bool)
        for place, best in enumerate(head):
            if stays[place]:
                kept.append(int(best))
                stays &= is_apart[place]
        stays[: len(head)] = False
        order = order[stays]
    return np.array(kept[:count], dtype=np.int64)
