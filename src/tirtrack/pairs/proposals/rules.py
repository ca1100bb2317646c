"""Rules that reject unusable boxes, whichever proposer they come from.

The rules use the box and the pixels of both modalities. They reject when the list is made,
never during training, and every rejection has one of the reasons below, so that rates can be
reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tirtrack.boxes import Box
from tirtrack.pairs.proposals.base import Proposal, ProposalSet, Rejection
from tirtrack.pairs.source import Pair
from tirtrack.valid_pixels import extended

RAW_SPAN_COUNTS = 64.0
MAX_MASKED = 0.5  # share of a box without a measurement in TIR


class RejectionReason(StrEnum):
    """Why a box was not used."""

    NOT_FINITE = "not finite"
    TOO_SMALL = "too small"
    CENTRE_OUTSIDE = "centre outside the frame"
    MOSTLY_OUTSIDE = "mostly outside the frame"
    CONSTANT = "constant in both modalities"
    NO_MEASUREMENT = "no measurement in TIR"
    LOW_SCORE = "low score"
    DUPLICATE = "duplicate"
    OVER_QUOTA = "more than the quota"


class Limits(BaseModel):
    """What a box must satisfy.

    Attributes:
        min_side: smallest width and height, pixels of the frame.
        min_visible: smallest share of its area inside the frame.
        min_std: smallest standard deviation of the grey levels inside it, as a fraction of the full
            range; a box below this in *both* modalities shows nothing that could be localised. For
            boxes without detection (``centre``, ``random``): a detected object may well be uniform
            and differ from its surroundings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    min_side: float = Field(4.0, ge=0)
    min_visible: float = Field(0.5, ge=0, le=1)
    min_std: float = Field(2 / 255, ge=0)


FOUND_LIMITS = Limits(min_std=0.0)


def grey_levels(image: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """A frame ``[H,W]`` or ``[H,W,3]`` as float32 grey levels, 0 to 255, whatever its depth.

    8 bits stay as they are. Raw counts are stretched between their 1st and 99th percentile, but
    never finer than 64 counts (about 2.5 K) over the whole range, so that sensor noise on a uniform
    scene stays small.

    Args:
        image: the frame.
        valid: ``[H,W]``, the pixels that are measurements; the others get the levels of the nearest
            ones. ``None``: all that are finite.
    """
    counts = image.astype(np.float32)
    if valid is not None:
        counts = extended(counts, valid)
    if image.dtype == np.uint8:
        return counts
    known = image[::4, ::4].astype(np.float32)
    known = known[np.isfinite(known) if valid is None else valid[::4, ::4]]
    low, high = np.percentile(known, [1, 99]) if known.size else (0.0, 1.0)
    whole = np.issubdtype(image.dtype, np.integer) or high - low > RAW_SPAN_COUNTS
    whole = whole or (valid is not None and bool((known == np.rint(known)).all()))
    span = max(float(high - low), RAW_SPAN_COUNTS if whole else 1e-6)
    return np.clip((np.nan_to_num(counts) - low) * (255.0 / span), 0.0, 255.0)


def region_std(levels: np.ndarray, box: Box) -> float:
    """Standard deviation of ``[H,W]`` or ``[H,W,3]`` inside the box (the largest of the channels);
    0 where no whole pixel lies in it.
    """
    inside = _region(levels, box)
    return float(inside.std(axis=(0, 1)).max()) if inside.size else 0.0


def masked_share(valid: np.ndarray, box: Box) -> float:
    """Share of the whole pixels in the box that are no measurement; 0 where none lies in it."""
    inside = _region(valid, box)
    return 1.0 - float(inside.mean()) if inside.size else 0.0


def _region(plane: np.ndarray, box: Box) -> np.ndarray:
    """The whole pixels of ``[H,W,...]`` that lie in the box, rounded and cut at the border."""
    height, width = plane.shape[:2]
    x1, y1 = max(round(box.x), 0), max(round(box.y), 0)
    x2, y2 = min(round(box.x + box.w), width), min(round(box.y + box.h), height)
    return plane[y1 : max(y2, y1), x1 : max(x2, x1)]


def geometry_fault(box: Box, width: int, height: int, limits: Limits) -> RejectionReason | None:
    """What is wrong with the place and size of a box in a frame, if anything."""
    if not box.is_finite():
        return RejectionReason.NOT_FINITE
    if min(box.w, box.h) < limits.min_side:
        return RejectionReason.TOO_SMALL
    x, y = box.center_xy
    if not (0 <= x <= width and 0 <= y <= height):
        return RejectionReason.CENTRE_OUTSIDE
    inside_w = min(box.x + box.w, width) - max(box.x, 0.0)
    inside_h = min(box.y + box.h, height) - max(box.y, 0.0)
    if inside_w * inside_h < limits.min_visible * box.w * box.h:
        return RejectionReason.MOSTLY_OUTSIDE
    return None


class Screen:
    """The rules applied to the boxes of one pair; pixels are converted once."""

    def __init__(self, pair: Pair, limits: Limits) -> None:
        self._limits = limits
        self._valid = pair.tir_valid
        self._levels = [grey_levels(pair.tir, self._valid)]
        if pair.rgb is not None:
            self._levels.append(grey_levels(pair.rgb))
        self._height, self._width = pair.tir.shape

    def fault(self, box: Box) -> RejectionReason | None:
        """Why the box cannot be used, or ``None``."""
        wrong = geometry_fault(box, self._width, self._height, self._limits)
        if wrong is not None:
            return wrong
        if self._valid is not None and masked_share(self._valid, box) > MAX_MASKED:
            return RejectionReason.NO_MEASUREMENT
        least = 255 * self._limits.min_std
        if least and max(region_std(levels, box) for levels in self._levels) < least:
            return RejectionReason.CONSTANT
        return None

    def sort(
        self, proposals: Iterable[Proposal], rejected: Iterable[Rejection] = ()
    ) -> ProposalSet:
        """The boxes that pass, in their order, and all rejections, earlier ones first."""
        kept: list[Proposal] = []
        refused = list(rejected)
        for proposal in proposals:
            reason = self.fault(proposal.box)
            if reason is None:
                kept.append(proposal)
            else:
                refused.append(Rejection(proposal.box, reason))
        return ProposalSet(tuple(kept), tuple(refused))
