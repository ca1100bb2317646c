"""Boxes of a detector: from files that one wrote, or from an ONNX network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tirtrack.boxes import Box, clip_boxes
from tirtrack.errors import RequestError
from tirtrack.pairs.proposals.base import ProposalSet, Rejection
from tirtrack.pairs.proposals.box_files import BoxFiles, Format, FoundBoxes
from tirtrack.pairs.proposals.merge import Merged, ScoredBox, balance, merge
from tirtrack.pairs.proposals.output_layouts import Layout
from tirtrack.pairs.proposals.rules import (
    Limits,
    RejectionReason,
    Screen,
    geometry_fault,
    grey_levels,
)
from tirtrack.pairs.source import Pair
from tirtrack.valid_pixels import valid_mask

if TYPE_CHECKING:
    from tirtrack.pairs.proposals.onnx_detector import OnnxDetector


class DetectorSettings(BaseModel):
    """Where boxes come from, and which are used.

    Attributes:
        boxes: a ``.csv`` table or a folder of text files.
        format: format of the text files; found from their layout if not given.
        model: ONNX file of a detector; give this or ``boxes``.
        layout: layout of its outputs; found from them if not given.
        pixels: order and range of the levels that it takes, see
            :class:`~tirtrack.pairs.proposals.onnx_detector.OnnxDetector`; found if not given.
        min_score: lowest score of a box that is used.
        balance: whether to keep at most five boxes per pair, at most two of them not persons.
        limits: what a box must satisfy.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    boxes: Path | None = Field(None, strict=False)
    format: Format | None = None
    model: Path | None = Field(None, strict=False)
    layout: Layout | None = Field(None, strict=False)
    pixels: Literal["bgr_255", "rgb_255", "rgb_1", "rgb_imagenet"] | None = None
    min_score: float = Field(0.25, ge=0, le=1)
    balance: bool = True
    limits: Limits = Field(Limits(min_side=8.0, min_std=0.0), strict=False)


class Detector:
    """Proposes what a detector found in each modality, merged.

    Raises:
        RequestError: neither or both of ``boxes`` and ``model`` are given.
        PairsError: the boxes cannot be read.
        WeightsError: the network cannot be read.
    """

    name = "detector"

    def __init__(self, settings: DetectorSettings) -> None:
        self.settings = settings
        if (settings.boxes is None) == (settings.model is None):
            raise RequestError(
                "the detector needs a file of boxes or a network, and one of them only",
                fix="give boxes=FILE_OR_FOLDER, or model=FILE.onnx",
            )
        self._finder = self._opened()

    def _opened(self) -> BoxFiles | OnnxDetector:
        settings = self.settings
        if settings.boxes is not None:
            return BoxFiles(settings.boxes, format=settings.format)
        from tirtrack.pairs.proposals.onnx_detector import OnnxDetector

        return OnnxDetector(
            Path(settings.model or ""),
            min_score=settings.min_score,
            layout=settings.layout,
            pixels=settings.pixels,
        )

    def identity(self) -> dict[str, Any]:
        """Name, version, settings, and the content of the files read, wherever they lie; see
        :class:`Proposer`.
        """
        places = {"boxes", "model", "format"}
        settings = self.settings.model_dump(mode="json", exclude=places, exclude_none=True)
        reads = self._finder.identity()
        return {"way": self.name, "version": 2, "settings": settings, "reads": reads}

    def _find(self, pair: Pair) -> FoundBoxes:
        """The boxes of both modalities; of a file none in RGB that is missing or TIR that is blank,
        as what the proposer must not see is.
        """
        if isinstance(self._finder, BoxFiles):
            found = self._finder(pair.key)
            rgb = () if pair.rgb is None else found.rgb
            return FoundBoxes(rgb, found.tir if pair.tir.any() else ())
        levels = grey_levels(pair.tir, valid_mask(pair.tir)).astype(np.uint8)
        rgb = () if pair.rgb is None else tuple(self._finder(pair.rgb))
        return FoundBoxes(rgb, tuple(self._finder(levels)))

    def propose(
        self, pair: Pair, neighbours: Iterable[Pair], rng: np.random.Generator
    ) -> ProposalSet:
        """The boxes of both modalities; those of one are clipped and screened before merging, so
        that a box without area never meets another.
        """
        found = self._find(pair)
        height, width = pair.tir.shape
        rgb, refused_rgb = self._usable(found.rgb, width, height)
        tir, refused_tir = self._usable(found.tir, width, height)
        merged = merge(rgb, tir, self.name)
        chosen: Merged = balance(merged) if self.settings.balance else merged
        refused = [*refused_rgb, *refused_tir, *chosen.rejected]
        return Screen(pair, self.settings.limits).sort(chosen.proposals, refused)

    def _usable(
        self, found: Sequence[ScoredBox], width: int, height: int
    ) -> tuple[list[ScoredBox], list[Rejection]]:
        usable: list[ScoredBox] = []
        refused: list[Rejection] = []
        for candidate in found:
            reason: RejectionReason | None = RejectionReason.LOW_SCORE
            if candidate.score >= self.settings.min_score:
                reason = geometry_fault(candidate.box, width, height, self.settings.limits)
            if reason is not None:
                refused.append(Rejection(candidate.box, reason))
                continue
            clipped = Box.of(clip_boxes(candidate.box.array(), width, height))
            usable.append(ScoredBox(clipped, candidate.score, candidate.label))
        return usable, refused
