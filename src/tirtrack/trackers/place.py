"""The place of an online tracker's target, and how it may move: pure geometry, without images.

Vectors are row first (``yx``, ``hw``) and centres are in pixel indices, ``y + (h-1)/2``, half a
pixel less than the centre of a :class:`~tirtrack.boxes.Box`: converted only here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tirtrack.boxes import Box
from tirtrack.trackers.base import XY

INSIDE_RATIO = 0.2  # share of the target that must stay in the frame, counted from its centre


@dataclass(frozen=True)
class Layout:
    """Values that the first frame fixes for the whole run.

    Attributes:
        frame_hw: sides of the first frame, ``[2]``, pixels.
        sample_hw: sides of a sample, ``[2]``, sample pixels.
        base_hw: sides of the target in the first sample, ``[2]``, sample pixels.
        scale_bounds: bounds of the scale of a place if no box estimator sets the size of the box.
    """

    frame_hw: np.ndarray
    sample_hw: np.ndarray
    base_hw: np.ndarray
    scale_bounds: tuple[float, float]

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """The layout from its fields."""
        frame_hw, sample_hw, base_hw = (
            np.array(state[key]) for key in ("frame_hw", "sample_hw", "base_hw")
        )
        low, high = state["scale_bounds"]
        return cls(frame_hw, sample_hw, base_hw, (float(low), float(high)))


@dataclass(frozen=True)
class OnlinePlace:
    """Position, size and scale of the target, which change from frame to frame.

    Attributes:
        center_yx: centre of the target, ``[2]``, pixel indices.
        size_hw: size of the target, ``[2]``, frame pixels.
        scale: frame pixels per sample pixel.
        refined_yx: last centre from the box estimator, ``[2]``; ``None`` before the first.
    """

    center_yx: np.ndarray
    size_hw: np.ndarray
    scale: float
    refined_yx: np.ndarray | None = None

    @property
    def box(self) -> Box:
        """The box of the place.

        >>> OnlinePlace(np.array([21.0, 12.0]), np.array([3.0, 5.0]), 1.0).box
        Box(x=10.0, y=20.0, w=5.0, h=3.0)
        """
        y, x = self.center_yx - (self.size_hw - 1) / 2
        height, width = self.size_hw
        return Box(float(x), float(y), float(width), float(height))

    @property
    def center_xy(self) -> XY:
        """Centre of the box, frame pixels."""
        return self.box.center_xy

    @property
    def size_wh(self) -> XY:
        """Size of the box, frame pixels."""
        return self.box.w, self.box.h

    def at(self, center_xy: XY) -> Self:
        """The place moved to another centre, including the last refined centre."""
        offset_yx = (np.array(center_xy) - self.center_xy)[::-1]
        refined = None if self.refined_yx is None else self.refined_yx + offset_yx
        return replace(self, center_yx=self.center_yx + offset_yx, refined_yx=refined)

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """The place from its fields."""
        refined = state["refined_yx"]
        return cls(
            np.array(state["center_yx"]),
            np.array(state["size_hw"]),
            float(state["scale"]),
            None if refined is None else np.array(refined),
        )


def layout_of(place: OnlinePlace, frame_hw: np.ndarray, sample_hw: np.ndarray) -> Layout:
    """The layout that the first place fixes."""
    base_hw = place.size_hw / place.scale
    bounds = float((10 / base_hw).max()), float((frame_hw / base_hw).min())
    return Layout(frame_hw, sample_hw, base_hw, bounds)


def center_and_size(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Centre and size of a box, row first.

    >>> center_and_size(Box(10.0, 20.0, 5.0, 3.0))
    (array([21., 12.]), array([3., 5.]))
    """
    size = np.array([box.h, box.w])
    return np.array([box.y, box.x]) + (size - 1) / 2, size


def moved(
    place: OnlinePlace,
    center_yx: np.ndarray,
    layout: Layout,
    *,
    scale: float | None = None,
) -> OnlinePlace:
    """The target at a new centre, kept in the frame or close to it, and at a new scale if one is
    given; the published ``update_state``.
    """
    if scale is not None:
        scale = float(np.clip(scale, *layout.scale_bounds))
        place = replace(place, scale=scale, size_hw=layout.base_hw * scale)
    margin = (INSIDE_RATIO - 0.5) * place.size_hw
    center = np.maximum(np.minimum(center_yx, layout.frame_hw - margin), margin)
    return replace(place, center_yx=center)


def at_refined(place: OnlinePlace) -> OnlinePlace:
    """The target at its last refined centre, if there was one."""
    return place if place.refined_yx is None else replace(place, center_yx=place.refined_yx)


def kept_in_frame(place: OnlinePlace, layout: Layout, min_side: float) -> OnlinePlace:
    """Moves the centre into the frame; limits sides to the frame's and to at least ``min_side``,
    which takes precedence.

    The published trackers do not bound the box estimator's result.
    """
    size = np.maximum(np.minimum(place.size_hw, layout.frame_hw), min_side)
    center = np.clip(place.center_yx, -0.5, layout.frame_hw - 0.5)
    if np.array_equal(size, place.size_hw) and np.array_equal(center, place.center_yx):
        return place
    scale = place.scale
    if not np.array_equal(size, place.size_hw):
        scale = scale_of(size, layout)
    refined = None if place.refined_yx is None else center
    return OnlinePlace(center, size, scale, refined)


def scale_of(size_hw: np.ndarray, layout: Layout) -> float:
    """Frame pixels per sample pixel, for a target of this size."""
    return float(np.sqrt(np.prod(size_hw) / np.prod(layout.base_hw)))
