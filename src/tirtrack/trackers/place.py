"""The place of an online tracker's target, and how it may move: pure geometry, without images.

Vectors are row first (``yx``, ``hw``) and centres are in pixel indices, ``y + (h-1)/2``, half a
pixel less than the centre of a :class:`~tirtrack.boxes.Box`: converted only here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tirtrack.boxes import Box

INSIDE_RATIO = 0.2  # share of the target that must stay in the frame, counted from its centre


@dataclass(frozen=True)
class Layout:
    """Values that the first frame fixes for the whole run.

    Attributes:
        frame_hw: sides of the first frame, ``[2]``, pixels.
        sample_hw: sides of a sample, ``[2]``, sample pixels.
        base_hw: sides of the target in the first sample, ``[2]``, sample pixels.
        scale_bounds: bounds of ``Place.scale`` if no box estimator sets the size of the box.
    """

    frame_hw: np.ndarray
    sample_hw: np.ndarray
    base_hw: np.ndarray
    scale_bounds: tuple[float, float]


@dataclass(frozen=True)
class Place:
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


def layout_of(place: Place, frame_hw: np.ndarray, sample_hw: np.ndarray) -> Layout:
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


def box_at(place: Place) -> Box:
    """The box of a place.

    >>> box_at(Place(np.array([21.0, 12.0]), np.array([3.0, 5.0]), 1.0))
    Box(x=10.0, y=20.0, w=5.0, h=3.0)
    """
    y, x = place.center_yx - (place.size_hw - 1) / 2
    height, width = place.size_hw
    return Box(float(x), float(y), float(width), float(height))


def moved(
    place: Place,
    center_yx: np.ndarray,
    layout: Layout,
    *,
    scale: float | None = None,
) -> Place:
    """The target at a new centre, kept in the frame or close to it, and at a new scale if one is
    given; the published ``update_state``.
    """
    if scale is not None:
        scale = float(np.clip(scale, *layout.scale_bounds))
        place = replace(place, scale=scale, size_hw=layout.base_hw * scale)
    margin = (INSIDE_RATIO - 0.5) * place.size_hw
    center = np.maximum(np.minimum(center_yx, layout.frame_hw - margin), margin)
    return replace(place, center_yx=center)


def shifted_by(place: Place, offset_yx: np.ndarray) -> Place:
    """The place moved by an offset, including the last refined centre."""
    refined = None if place.refined_yx is None else place.refined_yx + offset_yx
    return replace(place, center_yx=place.center_yx + offset_yx, refined_yx=refined)


def at_refined(place: Place) -> Place:
    """The target at its last refined centre, if there was one."""
    return place if place.refined_yx is None else replace(place, center_yx=place.refined_yx)


def kept_in_frame(place: Place, layout: Layout, min_side: float) -> Place:
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
    return Place(center, size, scale, refined)


def scale_of(size_hw: np.ndarray, layout: Layout) -> float:
    """Frame pixels per sample pixel, for a target of this size."""
    return float(np.sqrt(np.prod(size_hw) / np.prod(layout.base_hw)))
