"""Random boxes: the paper's second proposer, and the fallback if a detector finds nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tirtrack.boxes import Box
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet, Rejection
from tirtrack.pairs.proposals.centre import NOMINAL_HEIGHT, NOMINAL_WIDTH
from tirtrack.pairs.proposals.rules import Limits, Screen
from tirtrack.pairs.source import Pair

# If this many draws per box fail, the frame shows nothing anywhere.
MAX_DRAWS = 20


class RandomSettings(BaseModel):
    """How boxes are drawn; lengths in pixels on a frame of 640x512, they scale with the frame.

    Attributes:
        count: number of boxes per pair.
        side: width and height of the boxes.
        log_uniform: whether to draw sizes: side log-uniform in [32, 160], aspect in [1/3, 3].
        min_dx: least distance between the left edges of any two boxes. The paper's code has 100;
            that biases the places, so 0 is our default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    count: int = Field(5, ge=1, le=100)
    side: float = Field(100.0, gt=0, le=NOMINAL_HEIGHT)
    log_uniform: bool = False
    min_side: float = Field(32.0, gt=0)
    max_side: float = Field(160.0, gt=0, le=NOMINAL_HEIGHT / 3**0.5)
    max_aspect: float = Field(3.0, ge=1, le=3)
    min_dx: float = Field(0.0, ge=0, le=NOMINAL_WIDTH)
    limits: Limits = Limits()


class Random:
    """Proposes boxes drawn uniformly, wholly inside the frame."""

    name = "random"

    def __init__(self, settings: RandomSettings | None = None) -> None:
        self.settings = settings or RandomSettings()

    def identity(self) -> dict[str, Any]:
        """Name, version, settings; see :class:`Proposer`."""
        return {"way": self.name, "version": 1, "settings": self.settings.model_dump(mode="json")}

    def propose(
        self, pair: Pair, neighbours: Iterable[Pair], rng: np.random.Generator
    ) -> ProposalSet:
        """Up to ``count`` boxes; fewer if twenty draws per box do not give a usable one.

        Draws that are too near another box (``min_dx``) are drawn again and not counted as
        rejected: nothing is wrong with them.
        """
        height, width = pair.tir.shape
        screen = Screen(pair, self.settings.limits)
        gap = self.settings.min_dx * width / NOMINAL_WIDTH
        kept: list[Proposal] = []
        rejected: list[Rejection] = []
        for _ in range(MAX_DRAWS * self.settings.count):
            box = draw_box(width, height, self.settings, rng)
            if any(abs(box.x - other.box.x) < gap for other in kept):
                continue
            reason = screen.fault(box)
            if reason is not None:
                rejected.append(Rejection(box, reason))
                continue
            kept.append(Proposal(box, FoundIn.BOTH, 1.0, self.name))
            if len(kept) == self.settings.count:
                break
        return ProposalSet(tuple(kept), tuple(rejected))


def draw_box(width: int, height: int, settings: RandomSettings, rng: np.random.Generator) -> Box:
    """One box wholly inside a frame; always draws four numbers, whatever the settings."""
    place_x, place_y, log_size, log_aspect = rng.random(4)
    w = h = settings.side
    if settings.log_uniform:
        side = settings.min_side * (settings.max_side / settings.min_side) ** log_size
        aspect = settings.max_aspect ** (2 * log_aspect - 1)
        w, h = side * aspect**0.5, side / aspect**0.5
    w, h = w * width / NOMINAL_WIDTH, h * height / NOMINAL_HEIGHT
    return Box(place_x * (width - w), place_y * (height - h), w, h)
