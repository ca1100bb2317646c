"""Patches: square cut-outs of a frame, resized to a network's input.

One patch is one affine map between frame pixels and patch pixels: a :class:`Crop` says where the
square lies and how many patch pixels it becomes. :func:`cut_patch` samples it at continuous places,
so boxes map exactly and a jitter of a tenth of a pixel is a jitter of a tenth of a pixel.
:func:`cut_patch_published` is the integer crop of the published Siamese code, byte for byte.
Nothing here knows trackers, networks or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from tirtrack.boxes import Box
from tirtrack.resampling import axis_taps, resampled, resampled_at, resized_published

TEMPLATE_SIDE = 127
SEARCH_SIDE = 255
NEWTON_STEPS = 8

Sides = TypeVar("Sides", float, np.ndarray)


@dataclass(frozen=True)
class Crop:
    """A square of the frame that becomes a patch; or a rectangle that is stretched to the square.

    Attributes:
        x: left side, frame pixels, continuous.
        y: top side.
        side: side in frame pixels, above 0; for a rectangle its width.
        patch_side: side ``D`` of the patch, in patch pixels.
        aspect: height over width, above 0; 1 for a square.
        is_mirrored: whether the patch shows it with left and right exchanged.
    """

    x: float
    y: float
    side: float
    patch_side: int
    aspect: float = 1.0
    is_mirrored: bool = False

    @property
    def height(self) -> float:
        """Height in frame pixels."""
        return self.side * self.aspect

    @property
    def scale(self) -> float:
        """Patch pixels in one frame pixel; for a rectangle, horizontally."""
        return self.patch_side / self.side

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Patch pixels in one frame pixel, horizontally and vertically."""
        return self.scale, self.patch_side / self.height


@dataclass(frozen=True)
class CropRule:
    """How a network wants its patches cut: a fact of the network, like its stride.

    Attributes:
        patch_side: side ``D`` of the patch, pixels.
        area_factor: side of the crop over ``sqrt(w * h)`` of the target; ``None``: the context of
            the Siamese family (:func:`siamese_crop`).
        border: fill outside the frame: its ``mean``, or its border pixels repeated. Then
            ``centred`` leaves the crop where it is, ``replicate`` first moves it into the frame
            as far as it fits, ``inside`` and ``inside_major`` shrink it before, until it fits
            along both axes or along one (:func:`training_crop`).
        max_scale_change: limit to which ``inside`` and ``inside_major`` may shrink; ``None``: none.
        stretched: whether the crop is ``area_factor`` times the target's width by ``area_factor``
            times its height (:func:`stretched_crop`), so every target is square in the patch.
    """

    patch_side: int
    area_factor: float | None = None
    border: Literal["mean", "centred", "replicate", "inside", "inside_major"] = "mean"
    max_scale_change: float | None = None
    stretched: bool = False


def context_side(width: Sides, height: Sides) -> Sides:
    """Side of the square that a template covers, for one target or for arrays of float64.

    ``sqrt((w + p)(h + p))`` with ``p = (w + h) / 2``: the target and half its size around it.

    >>> float(context_side(20.0, 20.0))
    40.0
    """
    padding = (width + height) / 2
    side: Sides = np.sqrt((width + padding) * (height + padding))
    return side


def siamese_crop(
    box: Box,
    patch_side: int,
    *,
    shift_patch_xy: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
) -> Crop:
    """The crop of the Siamese family around a box.

    A template (``patch_side`` 127) covers the context of the target, a search patch (255) covers
    255/127 of it, so both show the target at one size.

    Args:
        box: the target, frame pixels.
        patch_side: side of the patch.
        shift_patch_xy: offset of the target's centre from the patch centre, patch pixels of the
            scaled crop.
        scale: factor on the side of the crop; 2 shows the target at half its size.
    """
    side = float(context_side(box.w, box.h)) * patch_side / TEMPLATE_SIDE * scale
    cx, cy = box.center_xy
    step = side / patch_side
    left = cx - side / 2 - shift_patch_xy[0] * step
    top = cy - side / 2 - shift_patch_xy[1] * step
    return Crop(x=left, y=top, side=side, patch_side=patch_side)


def stretched_crop(
    box: Box,
    patch_side: int,
    *,
    area_factor: float,
    shift_patch_xy: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
) -> Crop:
    """The crop around a box whose sides are ``area_factor`` times those of the box.

    Whatever the shape of the target, it is a square of ``patch_side / area_factor`` patch pixels.

    Args:
        box: the target, frame pixels.
        patch_side: side of the patch.
        area_factor: sides of the crop over those of the box; 1.4 adds a fifth on every side.
        shift_patch_xy: offset of the target's centre from the patch centre, patch pixels of the
            scaled crop.
        scale: factor on both sides of the crop.

    >>> stretched_crop(Box(50.0, 40.0, 10.0, 20.0), 256, area_factor=5.0)
    Crop(x=30.0, y=0.0, side=50.0, patch_side=256, aspect=2.0, is_mirrored=False)
    """
    width, height = (side * area_factor * scale for side in (box.w, box.h))
    cx, cy = box.center_xy
    left = cx - width * (0.5 + shift_patch_xy[0] / patch_side)
    top = cy - height * (0.5 + shift_patch_xy[1] / patch_side)
    return Crop(x=left, y=top, side=width, patch_side=patch_side, aspect=height / width)


def training_crop(box: Box, rule: CropRule, frame_hw: tuple[int, int]) -> Crop:
    """The crop around a jittered box, as the DiMP family and ATOM cut their training patches.

    The side is whole, ``ceil(sqrt(w h) * area_factor)``. ``centred`` (ATOM) puts the box half a
    patch pixel left of and above the patch's middle. All others put the crop at whole pixels and
    move it into the frame as far as it fits - by ``replicate`` too, as the published code does.
    Two things differ from that code, neither by more than a pixel at the border: a centred crop is
    not rounded (there boxes ignored the rounding), and no row is cut off when the border is
    touched.

    Args:
        box: the jittered target, frame pixels.
        rule: crop rule with an area factor.
        frame_hw: height and width of the frame.

    Raises:
        ValueError: the rule is that of the Siamese family.

    >>> rule = CropRule(352, 6.0, "inside_major", 1.5)
    >>> training_crop(Box(600.0, 460.0, 60.0, 40.0), rule, (480, 640))
    Crop(x=346.0, y=186.0, side=294.0, patch_side=352, aspect=1.0, is_mirrored=False)
    """
    if rule.area_factor is None or rule.border == "mean":
        raise ValueError(f"a training crop needs a rule with an area factor, got {rule}")
    side = max(math.ceil(math.sqrt(box.w * box.h) * rule.area_factor), 1)
    cx, cy = box.center_xy
    if rule.border == "centred":
        middle = (rule.patch_side - 1) / 2 * (side / rule.patch_side)
        return Crop(cx - middle, cy - middle, float(side), rule.patch_side)
    height, width = frame_hw
    side = _shrunk(side, rule, frame_hw)
    left, top = (
        _moved_inside(round(centre - side / 2), side, length)
        for centre, length in ((cx, width), (cy, height))
    )
    return Crop(float(left), float(top), float(side), rule.patch_side)


def _shrunk(side: int, rule: CropRule, frame_hw: tuple[int, int]) -> int:
    """The side, so that it fits along both axes (``inside``) or one (``inside_major``)."""
    if rule.border == "replicate":
        return side
    ratios = [side / length for length in frame_hw]
    excess = max(1.0, max(ratios) if rule.border == "inside" else min(ratios))
    if rule.max_scale_change is not None:
        excess = min(excess, rule.max_scale_change)
    return math.floor(side / excess)


def _moved_inside(start: int, side: int, length: int) -> int:
    """The start of a crop on one axis, moved into the frame; a crop that is longer than the frame
    is centred on it.
    """
    start += max(0, -start) + min(0, length - (start + side))
    out = (max(0, -start) + max(0, start + side - length)) // 2
    return -out if out > 0 else start


def boxes_to_patch(boxes: np.ndarray, crop: Crop) -> np.ndarray:
    """Boxes of the frame in patch pixels.

    A crop scales and shifts but never rotates, so a box stays a box. Nothing is clipped: a box may
    lie partly or wholly outside the patch.

    Args:
        boxes: ``[...,4]`` xywh, frame pixels.
        crop: crop of the patch.

    Returns:
        ``[...,4]`` float64, xywh, patch pixels.

    Raises:
        ValueError: the last axis is not 4.

    >>> crop = Crop(x=100.0, y=50.0, side=144.0, patch_side=288)
    >>> boxes_to_patch(np.array([110.0, 60.0, 20.0, 30.0]), crop)
    array([20., 20., 40., 60.])
    """
    inside = (_as_boxes(boxes) - [crop.x, crop.y, 0.0, 0.0]) * (crop.scale_xy * 2)
    return _mirrored(inside, crop) if crop.is_mirrored else inside


def boxes_to_frame(boxes_patch: np.ndarray, crop: Crop) -> np.ndarray:
    """Boxes of the patch, ``[...,4]`` xywh patch pixels, in frame pixels; undoes
    :func:`boxes_to_patch`.

    Raises:
        ValueError: the last axis is not 4.
    """
    inside = _as_boxes(boxes_patch)
    if crop.is_mirrored:
        inside = _mirrored(inside, crop)
    return inside / (crop.scale_xy * 2) + [crop.x, crop.y, 0.0, 0.0]


def _mirrored(boxes_patch: np.ndarray, crop: Crop) -> np.ndarray:
    x, y, w, h = np.moveaxis(boxes_patch, -1, 0)
    return np.stack([crop.patch_side - (x + w), y, w, h], axis=-1)


@dataclass(frozen=True)
class MappedFrame:
    """A frame on its own pixels, to be cut as if it lay on another grid, without a step between.

    Attributes:
        pixels: ``[H',W']`` or ``[H',W',C]``, the frame.
        places: maps points ``[...,2]`` (x, y) of the grid to points of the frame.
        shape_hw: height and width of the grid.
    """

    pixels: np.ndarray
    places: Callable[[np.ndarray], np.ndarray]
    shape_hw: tuple[int, int]

    def on_grid(self) -> np.ndarray:
        """The frame on the grid: ``[H,W]`` or ``[H,W,C]`` float32, its border repeated."""
        height, width = self.shape_hw
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        return resampled_at(self.pixels, self.places(np.stack([x, y], axis=-1)), None)

    def box_in_frame(self, box: Box) -> Box:
        """A box of the grid in pixels of the frame: its centre is mapped, and its sides get the
        lengths of its middle lines as mapped.
        """
        x, y, w, h = _centred(box)
        points = np.array([(x, y), (x - w / 2, y), (x + w / 2, y), (x, y - h / 2), (x, y + h / 2)])
        centre, left, right, top, bottom = self.places(points)
        size = np.array([np.linalg.norm(right - left), np.linalg.norm(bottom - top)])
        return Box.of(np.concatenate([centre - size / 2, size]))

    def box_on_grid(self, box: Box) -> Box:
        """A box of the frame in pixels of the grid; undoes :meth:`box_in_frame` by Newton's method,
        as ``places`` is known one way only. Not finite where no place of the grid maps there.
        """
        wanted = _centred(box)
        stretch = np.array(self.shape_hw[::-1]) / self.pixels.shape[1::-1]
        here = wanted * np.tile(stretch, 2)
        for _ in range(NEWTON_STEPS):
            x, y, w, h = here
            around = here[:2] + np.array([(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])
            right, left, down, up = self.places(around)
            slope = np.stack([right - left, down - up], axis=1)
            if not abs(np.linalg.det(slope)) > 0:
                return Box.of((np.nan,) * 4)
            reached = _centred(self.box_in_frame(Box(x - w / 2, y - h / 2, w, h)))
            centre = here[:2] + np.linalg.solve(slope, wanted[:2] - reached[:2])
            here = np.concatenate([centre, here[2:] * wanted[2:] / reached[2:]])
        x, y, w, h = here
        return Box.of((x - w / 2, y - h / 2, w, h))


Frame = np.ndarray | MappedFrame
"""A frame that patches are cut from."""


def frame_hw(frame: Frame) -> tuple[int, int]:
    """Height and width of the grid on which a frame is cut."""
    if isinstance(frame, MappedFrame):
        return frame.shape_hw
    return frame.shape[0], frame.shape[1]


def mean_fill(frame: Frame) -> np.ndarray:
    """Mean of a frame, with which patches are filled outside it.

    Each channel is summed by itself, so a grey frame and its copy in three channels have the same
    mean to the last bit.

    Args:
        frame: ``[H,W]`` or ``[H,W,C]``; of a mapped frame all its pixels count.

    Returns:
        float64, ``[]`` for a grey frame, else ``[C]``.
    """
    if isinstance(frame, MappedFrame):
        return mean_fill(frame.pixels)
    if frame.ndim == 2:
        return np.asarray(_mean(frame))
    return np.array([_mean(frame[..., channel]) for channel in range(frame.shape[2])])


def cut_patch(frame: Frame, crop: Crop, fill: np.ndarray | float | None) -> np.ndarray:
    """The patch of a crop, sampled bilinearly at continuous places.

    Patch pixel ``p`` samples frame position ``crop.x + (p + 0.5) * side / D``; each of the four
    neighbours that lies outside the frame is ``fill``, or the nearest border pixel. Time and memory
    are bounded by ``D`` and the width of the frame, however large the crop is.

    Args:
        frame: ``[H,W]`` or ``[H,W,C]``, any number type; only read. Of a mapped frame the crop is
            one of its grid, and each patch pixel is read at its place in the frame.
        crop: crop to cut; it may lie partly or wholly outside the frame.
        fill: one number, or one per channel; ``None`` repeats the border pixels.

    Returns:
        ``[D,D]`` or ``[D,D,C]`` float32, in the frame's own grey levels, not rounded.

    Raises:
        ValueError: the frame is neither ``[H,W]`` nor ``[H,W,C]``.
    """
    if isinstance(frame, MappedFrame):
        return _cut_mapped(frame, crop, fill)
    if frame.ndim not in (2, 3):
        raise ValueError(f"a frame must be [H,W] or [H,W,C], got {list(frame.shape)}")
    height, width = frame.shape[:2]
    rows = axis_taps(crop.y, crop.height, crop.patch_side, length=height)
    columns = axis_taps(crop.x, crop.side, crop.patch_side, length=width)
    side = crop.patch_side
    channels = 1 if frame.ndim == 2 else frame.shape[2]
    if fill is None:
        rows, columns, fill = rows.repeating(), columns.repeating(), 0.0
    patch = resampled(frame, rows, columns, np.broadcast_to(fill, (channels,)))  # [D,D*C]
    patch = patch if frame.ndim == 2 else patch.reshape(side, side, channels)
    return np.ascontiguousarray(patch[:, ::-1]) if crop.is_mirrored else patch


def _cut_mapped(frame: MappedFrame, crop: Crop, fill: np.ndarray | float | None) -> np.ndarray:
    """The patch of a crop of the grid; beyond the grid as beyond the frame."""
    steps = (np.arange(crop.patch_side) + 0.5) / crop.patch_side
    x, y = np.meshgrid(crop.x + steps * crop.side, crop.y + steps * crop.height)
    points = np.stack([x, y], axis=-1)
    size = np.array(frame.shape_hw[::-1], np.float64)
    nearest = points.clip(0.5, size - 0.5)
    patch = resampled_at(frame.pixels, frame.places(nearest), fill)
    if fill is not None:
        beyond = ((points < 0) | (points > size)).any(axis=-1)
        patch[beyond] = fill
    return np.ascontiguousarray(patch[:, ::-1]) if crop.is_mirrored else patch


def cut_patch_published(
    frame: np.ndarray,
    center_xy_index: tuple[float, float],
    side: int,
    *,
    patch_side: int,
    fill: np.ndarray,
) -> np.ndarray:
    """The patch of the published Siamese code: integer crop, then its 8-bit resize.

    Args:
        frame: ``[H,W,3]`` uint8.
        center_xy_index: centre counted in pixel indices, half a pixel less than ours.
        side: side of the crop, whole frame pixels.
        patch_side: side of the patch.
        fill: ``[3]`` mean of the first frame, cut toward zero here.

    Returns:
        ``[D,D,3]`` uint8, channels in the order of the frame.

    Raises:
        ValueError: the frame is not ``[H,W,3]`` uint8.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3:
        raise ValueError(f"frame must be [H,W,3] uint8, got {frame.dtype} {list(frame.shape)}")
    levels = np.asarray(fill, dtype=np.float64).astype(np.uint8)
    origin = published_origin(center_xy_index, side)
    square = _whole_pixels(frame, (*origin, side, side), levels)
    return square if side == patch_side else resized_published(square, patch_side)


def cut_stretched_published(
    frame: np.ndarray, xywh: tuple[int, int, int, int], *, patch_side: int, fill: np.ndarray
) -> np.ndarray:
    """The patch of the published FEAR code: a rectangle of whole pixels, then the 8-bit resize.

    Args:
        frame: ``[H,W,3]`` uint8.
        xywh: the rectangle, frame pixels; it may lie partly or wholly outside the frame.
        patch_side: side of the patch.
        fill: ``[3]`` mean of the first frame, rounded here.

    Returns:
        ``[D,D,3]`` uint8, channels in the order of the frame.
    """
    return resized_published(_whole_pixels(frame, xywh, np.rint(fill).astype(np.uint8)), patch_side)


def published_origin(center_xy_index: tuple[float, float], side: int) -> tuple[int, int]:
    """First column and row of the published integer crop."""
    left, top = (int(np.floor(centre - (side + 1) / 2 + 0.5)) for centre in center_xy_index)
    return left, top


def _whole_pixels(
    frame: np.ndarray, xywh: tuple[int, int, int, int], fill: np.ndarray
) -> np.ndarray:
    """A rectangle of the frame ``[h,w,3]``, ``fill`` where it lies outside."""
    left, top, wide, high = xywh
    height, width = frame.shape[:2]
    rectangle = np.empty((high, wide, frame.shape[2]), dtype=np.uint8)
    rectangle[:] = fill
    x1, x2 = max(left, 0), min(left + wide, width)
    y1, y2 = max(top, 0), min(top + high, height)
    if x1 < x2 and y1 < y2:
        rectangle[y1 - top : y2 - top, x1 - left : x2 - left] = frame[y1:y2, x1:x2]
    return rectangle


def _centred(box: Box) -> np.ndarray:
    """``[4]``: centre and size of a box."""
    return np.array([*box.center_xy, box.w, box.h])


def _as_boxes(boxes: np.ndarray) -> np.ndarray:
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.shape[-1] != 4:
        raise ValueError(f"boxes must be [...,4] xywh, got {list(boxes.shape)}")
    return boxes


def _mean(channel: np.ndarray) -> np.float64:
    return np.float64(np.ascontiguousarray(channel).mean(dtype=np.float64))
