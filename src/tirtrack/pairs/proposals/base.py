"""Interface of proposers of boxes without labels: (rgb, tir) -> boxes with a quality."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from tirtrack.boxes import Box
from tirtrack.pairs.proposals.quality import quality
from tirtrack.pairs.source import Pair


class FoundIn(StrEnum):
    """The modality in which a box was found."""

    RGB = "rgb"
    TIR = "tir"
    BOTH = "both"


@dataclass(frozen=True)
class Proposal:
    """A pseudo-box, in pixels of the common frame of the pair.

    Attributes:
        box: the box; if found in both modalities, the TIR box.
        found_in: modality in which it was found.
        score: the proposer's own score, for ranking inside a pair; not comparable between
            proposers.
        way: name of the proposer: centre, random, regions, saliency, detector.
    """

    box: Box
    found_in: FoundIn
    score: float
    way: str

    @property
    def quality(self) -> float:
        """Probability that the box overlaps an object by half or more, as calibrated for its way on
        the synthetic world (:func:`tirtrack.pairs.proposals.quality.quality`).

        Raises:
            ValueError: its way was not calibrated, as one of a proposer of one's own.
        """
        return quality(self.way, self.found_in, self.score)


@dataclass(frozen=True)
class Rejection:
    """A proposed box that is not used, and why (one of a closed list of short reasons)."""

    box: Box
    reason: str


@dataclass(frozen=True)
class ProposalSet:
    """The proposals of one pair.

    Attributes:
        kept: accepted proposals, best first.
        rejected: rejected boxes with reasons.
        fault: reason why the pair could not be read; then the two others are empty.
        masked: share of the TIR pixels that hold no measurement.
    """

    kept: tuple[Proposal, ...]
    rejected: tuple[Rejection, ...]
    fault: str | None = None
    masked: float = 0.0


class Proposer(Protocol):
    """A proposer of boxes for a pair."""

    name: str

    def identity(self) -> dict[str, Any]:
        """All that its boxes depend on besides the pair and the random stream, as JSON values:
        name, version of the algorithm (raise it when boxes change), settings with their defaults,
        SHA-256 of the files it reads.
        """

    def propose(
        self, pair: Pair, neighbours: Iterable[Pair], rng: np.random.Generator
    ) -> ProposalSet:
        """Boxes of one pair, best first.

        Args:
            pair: pair with both modalities on one pixel grid.
            neighbours: a few pairs of the same recording near in time (motion), none for stills;
                each is read when it is asked for.
            rng: random generator of this pair alone; proposers that do not draw ignore it.
        """
