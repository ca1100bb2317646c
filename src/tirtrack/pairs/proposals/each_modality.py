"""A way that finds boxes in each modality by itself, from a frame and its neighbours in time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tirtrack.boxes import Box
from tirtrack.pairs.proposals.base import ProposalSet
from tirtrack.pairs.proposals.merge import ScoredBox, merge
from tirtrack.pairs.proposals.rules import FOUND_LIMITS, Limits, Screen
from tirtrack.pairs.source import Pair


class EachModalitySettings(BaseModel):
    """How many boxes, and what they must satisfy.

    Attributes:
        count: number of boxes per modality, before merging.
        max_iou: largest overlap of two boxes of one modality.
        motion: whether to use the neighbours in time, if there are any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    count: int = Field(5, ge=1, le=100)
    max_iou: float = Field(0.4, ge=0, lt=1)
    motion: bool = True
    limits: Limits = FOUND_LIMITS


class EachModality(ABC):
    """Proposes what is found in each modality, merged; a way says how it finds boxes."""

    name: str

    def __init__(self, settings: EachModalitySettings | None = None) -> None:
        self.settings = settings or EachModalitySettings()

    def identity(self) -> dict[str, Any]:
        """Name, version, settings; see :class:`Proposer`."""
        return {"way": self.name, "version": 1, "settings": self.settings.model_dump(mode="json")}

    def propose(
        self, pair: Pair, neighbours: Iterable[Pair], rng: np.random.Generator
    ) -> ProposalSet:
        """The boxes of both modalities first, then those of one alone."""
        near = list(neighbours) if self.settings.motion else []
        near_rgb = [other.rgb for other in near if other.rgb is not None]
        rgb = [] if pair.rgb is None else self._scored(pair.rgb, near_rgb)
        tir = self._scored(pair.tir, [other.tir for other in near])
        merged = merge(rgb, tir, self.name)
        return Screen(pair, self.settings.limits).sort(merged.proposals, merged.rejected)

    @abstractmethod
    def find(self, image: np.ndarray, neighbours: Sequence[np.ndarray]) -> list[tuple[Box, float]]:
        """Boxes with their scores, the best first."""

    def _scored(self, image: np.ndarray, neighbours: Sequence[np.ndarray]) -> list[ScoredBox]:
        return [ScoredBox(box, score) for box, score in self.find(image, neighbours)]
