"""A proposer limited to some modalities, for experiments with one modality."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tirtrack.pairs.proposals.base import FoundIn, ProposalSet, Proposer
from tirtrack.pairs.source import Pair


class SingleModality:
    """Wraps a proposer and blanks the other modalities, in the pair and in its neighbours.

    Args:
        inner: the proposer.
        modalities: modalities that it gets: ``rgb``, ``tir`` or both.
    """

    def __init__(self, inner: Proposer, modalities: Iterable[str]) -> None:
        self.name = inner.name
        self._inner = inner
        seen = set(modalities)
        self._blind = [one for one in (FoundIn.RGB, FoundIn.TIR) if one not in seen]

    def identity(self) -> dict[str, Any]:
        """The identity of the inner proposer, and the blanked modalities; see :class:`Proposer`."""
        return {**self._inner.identity(), "blind": [str(one) for one in self._blind]}

    def propose(
        self, pair: Pair, neighbours: Sequence[Pair], rng: np.random.Generator
    ) -> ProposalSet:
        """The boxes of the modalities that are not blanked; see :class:`Proposer`."""
        if not self._blind:
            return self._inner.propose(pair, neighbours, rng)
        seen = [self._blinded(neighbour) for neighbour in neighbours]
        found = self._inner.propose(self._blinded(pair), seen, rng)
        kept = tuple(box for box in found.kept if box.found_in not in self._blind)
        return ProposalSet(kept, found.rejected, found.fault)

    def _blinded(self, pair: Pair) -> Pair:
        rgb = np.zeros_like(pair.rgb) if FoundIn.RGB in self._blind else pair.rgb
        tir = np.zeros_like(pair.tir) if FoundIn.TIR in self._blind else pair.tir
        return replace(pair, rgb=rgb, tir=tir)
