"""One box in the middle of the frame: the paper's simplest proposer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tirtrack.boxes import Box
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet
from tirtrack.pairs.proposals.rules import Limits, Screen
from tirtrack.pairs.source import Pair

# The frame on which the paper's code states its sizes.
NOMINAL_WIDTH, NOMINAL_HEIGHT = 640, 512
# x, y, w, h of the paper's code, which takes them for y, x, h, w; so the box lies below the frame.
MISREAD = (206.0, 540.0, 100.0, 200.0)


class CentreSettings(BaseModel):
    """Size of the box on a frame of 640x512, in pixels; it scales with the frame."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    width: float = Field(100.0, gt=0, le=NOMINAL_WIDTH)
    height: float = Field(200.0, gt=0, le=NOMINAL_HEIGHT)
    limits: Limits = Limits()
    as_published: bool = Field(
        default=False,
        description="use the misread box of the paper's code and ignore the size",
    )


class Centre:
    """Proposes the centre of every pair."""

    name = "centre"

    def __init__(self, settings: CentreSettings | None = None) -> None:
        self.settings = settings or CentreSettings()

    def identity(self) -> dict[str, Any]:
        """Name, version, settings; see :class:`Proposer`."""
        return {"way": self.name, "version": 1, "settings": self.settings.model_dump(mode="json")}

    def propose(
        self, pair: Pair, neighbours: Iterable[Pair], rng: np.random.Generator
    ) -> ProposalSet:
        """One box, unless the frame is constant there; a misread one in any case."""
        box = centre_box(pair.tir.shape[1], pair.tir.shape[0], self.settings)
        proposal = Proposal(box, FoundIn.BOTH, 1.0, self.name)
        if self.settings.as_published:
            return ProposalSet((proposal,), ())
        return Screen(pair, self.settings.limits).sort([proposal])


def centre_box(width: int, height: int, settings: CentreSettings) -> Box:
    """The centred box of a frame.

    >>> centre_box(640, 512, CentreSettings())
    Box(x=270.0, y=156.0, w=100.0, h=200.0)
    """
    across, down = width / NOMINAL_WIDTH, height / NOMINAL_HEIGHT
    if settings.as_published:
        x, y, w, h = MISREAD
        return Box(x * across, y * down, w * across, h * down)
    w, h = settings.width * across, settings.height * down
    return Box((width - w) / 2, (height - h) / 2, w, h)
