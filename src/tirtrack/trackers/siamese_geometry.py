"""Where a Siamese tracker cuts its patches, and how a measured box moves the target.

This is the only online difference of the families: NanoTrack cuts a square with context, FEAR a
rectangle with the target's shape, stretched to a square. The tracker keeps a centre and a size; a
geometry turns them into patches, and a localisation back into them. Pure functions of arrays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from tirtrack.boxes import Box
from tirtrack.crops import (
    SEARCH_SIDE,
    TEMPLATE_SIDE,
    Crop,
    context_side,
    cut_patch,
    cut_patch_published,
    cut_stretched_published,
    siamese_crop,
    stretched_crop,
)
from tirtrack.trackers.base import XY
from tirtrack.trackers.frame_gate import Region
from tirtrack.trackers.presets import SiameseSettings
from tirtrack.trackers.siamese_localisation import BestCell, limit_to_frame

FEAR_TEMPLATE_SIDE, FEAR_SEARCH_SIDE = 128, 256
FEAR_TEMPLATE_MARGIN, FEAR_SEARCH_MARGIN = 0.2, 2.0  # on every side, over the target's sides


@dataclass(frozen=True)
class SearchPatch:
    """The patch of a frame that the network sees, and how its numbers become frame pixels.

    Attributes:
        patch: grey levels ``[D,D,3]`` in RGB order or ``[D,D]``.
        side: side of the crop, frame pixels; for a rectangle, its width.
        origin_xy: point in the frame from which measured offsets count, frame pixels.
        scale_xy: patch pixels per frame pixel, horizontal and vertical.
        size_patch_wh: last size of the target, patch pixels.
    """

    patch: np.ndarray
    side: float
    origin_xy: XY
    scale_xy: XY
    size_patch_wh: XY


class Geometry(ABC):
    """The patches of one family, under the settings of a tracker. ``center_xy`` and ``size_wh`` of
    a target come from the geometry itself, in frame pixels.
    """

    def __init__(self, settings: SiameseSettings) -> None:
        self.settings = settings

    @abstractmethod
    def begin(self, box: Box, frame_wh: tuple[int, int]) -> tuple[XY, XY]:
        """Centre and size for a first box."""

    @abstractmethod
    def template(
        self, levels: np.ndarray, center_xy: XY, size_wh: XY, fill: np.ndarray
    ) -> np.ndarray:
        """The template patch ``[D,D,3]`` or ``[D,D]`` of grey levels ``[H,W,3]`` or ``[H,W]``."""

    @abstractmethod
    def search(
        self, levels: np.ndarray, center_xy: XY, size_wh: XY, fill: np.ndarray
    ) -> SearchPatch:
        """The search patch around a place."""

    @abstractmethod
    def crop_around(self, center_xy: XY, size_wh: XY) -> Crop:
        """The crop of a search patch, up to rounding."""

    def measured(self, best: BestCell, search_patch: SearchPatch) -> tuple[XY, XY]:
        """Centre and size at the best cell, frame pixels, neither smoothed nor limited."""
        (dx, dy), (w, h) = best.offset_patch_xy, best.size_patch_wh
        (x, y), (across, down) = search_patch.origin_xy, search_patch.scale_xy
        return (x + dx / across, y + dy / down), (w / across, h / down)

    def moved(
        self, best: BestCell, search_patch: SearchPatch, size_wh: XY, frame_wh: tuple[int, int]
    ) -> tuple[XY, XY]:
        """The next centre and size: the full displacement, and part of the change of size."""
        center_xy, measured_wh = self.measured(best, search_patch)
        size = blended(size_wh, measured_wh, self.size_rate(best))
        return limit_to_frame(center_xy, size, frame_wh=frame_wh, min_side=self.settings.min_side)

    def size_rate(self, best: BestCell) -> float:
        """How far the size follows the measured one, in [0, 1]; less for a doubtful cell."""
        return best.penalty * best.probability * self.settings.size_rate

    def region(self, center_xy: XY, size_wh: XY, frame_wh: tuple[int, int]) -> Region:
        """Rows and columns of the frame that a search patch shows."""
        crop = self.crop_around(center_xy, size_wh)
        columns, rows = (
            slice(max(int(start), 0), min(int(start + length) + 2, end))
            for start, length, end in zip(
                (crop.x, crop.y), (crop.side, crop.height), frame_wh, strict=True
            )
        )
        return rows, columns

    def _in_rgb(self, patch: np.ndarray) -> np.ndarray:
        is_bgr = patch.ndim == 3 and self.settings.colour_order == "bgr"
        return patch[..., ::-1] if is_bgr else patch


class ContextGeometry(Geometry):
    """NanoTrack: a square of the target with half its size around it, and one of twice the side."""

    def begin(self, box: Box, frame_wh: tuple[int, int]) -> tuple[XY, XY]:
        """See :class:`Geometry`; a published centre is in pixel indices."""
        if self.settings.centre == "continuous":
            return box.center_xy, (box.w, box.h)
        # A centre in pixel indices is half a pixel less than ours.
        return (box.x + (box.w - 1) / 2, box.y + (box.h - 1) / 2), (box.w, box.h)

    def template(
        self, levels: np.ndarray, center_xy: XY, size_wh: XY, fill: np.ndarray
    ) -> np.ndarray:
        """See :class:`Geometry`; 127 px."""
        return self._cut(levels, center_xy, size_wh, fill, side=TEMPLATE_SIDE)[0]

    def search(
        self, levels: np.ndarray, center_xy: XY, size_wh: XY, fill: np.ndarray
    ) -> SearchPatch:
        """See :class:`Geometry`; 255 px. Offsets count from the requested centre, not from that of
        the rounded crop, as published.
        """
        patch, side = self._cut(levels, center_xy, size_wh, fill, side=SEARCH_SIDE)
        scale = TEMPLATE_SIDE / float(context_side(*size_wh))
        size_patch_wh = size_wh[0] * scale, size_wh[1] * scale
        return SearchPatch(patch, side, center_xy, (scale, scale), size_patch_wh)

    def crop_around(self, center_xy: XY, size_wh: XY) -> Crop:
        """See :class:`Geometry`."""
        return siamese_crop(box_at(center_xy, size_wh), SEARCH_SIDE)

    def _cut(
        self,
        levels: np.ndarray,
        center_xy: XY,
        size_wh: XY,
        fill: np.ndarray,
        *,
        side: int,
    ) -> tuple[np.ndarray, float]:
        if self.settings.crop == "integer":
            context = float(context_side(*size_wh))
            whole = round(context if side == TEMPLATE_SIDE else context * (side / TEMPLATE_SIDE))
            patch = cut_patch_published(levels, center_xy, whole, patch_side=side, fill=fill)
            return self._in_rgb(patch), float(whole)
        crop = siamese_crop(box_at(center_xy, size_wh), side)
        return self._in_rgb(cut_patch(levels, crop, fill)), crop.side


class StretchedGeometry(Geometry):
    """FEAR: 1.4 and 5 times the target's own width and height, each stretched to a square.

    With ``crop = "integer"``, rectangles and boxes have whole pixels, as published.
    """

    def begin(self, box: Box, frame_wh: tuple[int, int]) -> tuple[XY, XY]:
        """See :class:`Geometry`; the published loop clips the box to the frame and to integers."""
        if self.settings.crop == "integer":
            box = whole_box(box, frame_wh, self.settings.min_side)
        return box.center_xy, (box.w, box.h)

    def template(
        self, levels: np.ndarray, center_xy: XY, size_wh: XY, fill: np.ndarray
    ) -> np.ndarray:
        """See :class:`Geometry`; 128 px."""
        crop = self._crop(center_xy, size_wh, FEAR_TEMPLATE_SIDE, margin=FEAR_TEMPLATE_MARGIN)
        return self._cut(levels, crop, fill)

    def search(
        self, levels: np.ndarray, center_xy: XY, size_wh: XY, fill: np.ndarray
    ) -> SearchPatch:
        """See :class:`Geometry`; 256 px."""
        crop = self.crop_around(center_xy, size_wh)
        patch = self._cut(levels, crop, fill)
        middle = crop.x + crop.side / 2, crop.y + crop.height / 2
        across, down = crop.scale_xy
        size_patch_wh = size_wh[0] * across, size_wh[1] * down
        return SearchPatch(patch, crop.side, middle, crop.scale_xy, size_patch_wh)

    def crop_around(self, center_xy: XY, size_wh: XY) -> Crop:
        """See :class:`Geometry`."""
        return self._crop(center_xy, size_wh, FEAR_SEARCH_SIDE, margin=FEAR_SEARCH_MARGIN)

    def moved(
        self, best: BestCell, search_patch: SearchPatch, size_wh: XY, frame_wh: tuple[int, int]
    ) -> tuple[XY, XY]:
        """See :class:`Geometry`; published: the corner of the measured box with the smoothed size,
        rounded to integers.
        """
        if self.settings.crop != "integer":
            return super().moved(best, search_patch, size_wh, frame_wh)
        center_xy, measured_wh = self.measured(best, search_patch)
        corner = box_at(center_xy, measured_wh)
        width, height = blended(size_wh, measured_wh, self.size_rate(best))
        floor = self.settings.min_side
        box = Box(
            round(corner.x), round(corner.y), max(floor, round(width)), max(floor, round(height))
        )
        box = whole_box(box, frame_wh, floor)
        return box.center_xy, (box.w, box.h)

    def size_rate(self, best: BestCell) -> float:
        """See :class:`Geometry`; squared as in the published code."""
        return super().size_rate(best) ** 2

    def _crop(self, center_xy: XY, size_wh: XY, patch_side: int, *, margin: float) -> Crop:
        """The crop, in whole pixels (truncated toward zero) if the settings say so."""
        box = box_at(center_xy, size_wh)
        if self.settings.crop != "integer":
            return stretched_crop(box, patch_side, area_factor=1.0 + margin + margin)
        x, y = int(box.x - box.w * margin), int(box.y - box.h * margin)
        w, h = (max(int(side * (1.0 + margin + margin)), 1) for side in size_wh)
        return Crop(x, y, w, patch_side, h / w)

    def _cut(self, levels: np.ndarray, crop: Crop, fill: np.ndarray) -> np.ndarray:
        if self.settings.crop != "integer":
            return self._in_rgb(cut_patch(levels, crop, fill))
        whole = int(crop.x), int(crop.y), int(crop.side), round(crop.height)
        patch = cut_stretched_published(levels, whole, patch_side=crop.patch_side, fill=fill)
        return self._in_rgb(patch)


def geometry_of(settings: SiameseSettings) -> Geometry:
    """The geometry that the settings name."""
    return {"context": ContextGeometry, "stretched": StretchedGeometry}[settings.patches](settings)


def whole_box(box: Box, frame_wh: tuple[int, int], min_side: float) -> Box:
    """A box whose corner is moved into the frame, its other end clipped, and its numbers truncated
    toward zero; with sides of at least ``min_side``, moved back inside if they stick out.

    >>> whole_box(Box(-3.0, 7.6, 10.9, 50.0), (100, 40), 3.0)
    Box(x=0.0, y=7.0, w=10.0, h=32.0)
    """
    places, sides = [], []
    for start, length, limit in zip((box.x, box.y), (box.w, box.h), frame_wh, strict=True):
        low = min(max(0.0, start), limit)
        high = min(max(0.0, low + length), limit)
        place, side = float(int(low)), float(int(high - low))
        if side < min_side:
            side = min_side
            place = max(place - max(0.0, place + side - limit), 0.0)
        places.append(place)
        sides.append(side)
    return Box(*places, *sides)


def blended(size_wh: XY, measured_wh: XY, rate: float) -> XY:
    """The last size moved toward the measured one, by ``rate`` in [0, 1] of the way."""
    width, height = (
        old * (1 - rate) + new * rate for old, new in zip(size_wh, measured_wh, strict=True)
    )
    return width, height


def box_at(center_xy: XY, size_wh: XY) -> Box:
    """The box of a centre and a size."""
    return Box(center_xy[0] - size_wh[0] / 2, center_xy[1] - size_wh[1] / 2, *size_wh)
