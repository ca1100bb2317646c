"""Proposals of a source, kept in the cache: recipes on the same pairs share them.

A cached file is named by a hash of everything that the boxes depend on: the content of the frames,
their names and recordings, the identity of the proposer, the version of this package. A file that
cannot be read is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tirtrack.boxes import Box
from tirtrack.cache import kept_value
from tirtrack.files import fingerprint
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet, Proposer, Rejection
from tirtrack.pairs.proposals.random import Random
from tirtrack.pairs.proposals.registry import BOTH, identity_of, propose_all
from tirtrack.pairs.source import PairSource, content_identity
from tirtrack.progress import Progress, silent

FORMAT = 4


def kept_proposals(
    source: PairSource,
    proposer: Proposer,
    seed: int,
    progress: Progress = silent,
    *,
    indices: Sequence[int],
    modalities: Iterable[str] = BOTH,
    content: str | None = None,
) -> list[ProposalSet]:
    """The result of :func:`~tirtrack.pairs.proposals.registry.propose_all`, computed once.

    Args:
        source: the pairs.
        proposer: what proposes boxes.
        seed: seed of proposers that draw at random.
        progress: callback that is told of every pair for which boxes are proposed.
        indices: indices of the requested pairs.
        modalities: modalities that the proposer sees.
        content: hash of the pairs, if at hand: making one reads every file.

    Raises:
        PairsError: too many pairs are damaged.
    """
    identity = {
        "pairs": content or fingerprint(content_identity(source, source.manifest())),
        "way": identity_of(proposer, modalities),
        "fallback": Random().identity(),
        "indices": list(indices),
        "seed": seed,
    }

    def make() -> list[ProposalSet]:
        return propose_all(source, proposer, seed, progress, indices=indices, modalities=modalities)

    return kept_or_made(identity, len(indices), make)


def kept_or_made(
    identity: Mapping[str, Any], count: int, make: Callable[[], list[ProposalSet]]
) -> list[ProposalSet]:
    """The proposals of ``count`` pairs, from the cache or from ``make``.

    Args:
        identity: everything that the boxes depend on, as JSON values.
        count: required number of sets.
        make: function that proposes; called if the cache holds no match.
    """

    def load(text: str) -> list[ProposalSet]:
        found = proposals_from_json(text)
        if len(found) != count:
            raise ValueError(f"must be {count} sets of proposals, got {len(found)}")
        return found

    whole = {"format": FORMAT, **identity}
    return kept_value("proposals", whole, make, dump=proposals_to_json, load=load)


def proposals_to_json(found: Sequence[ProposalSet]) -> str:
    """Sets of proposals as JSON; :func:`proposals_from_json` gives equal ones back."""
    return json.dumps([asdict(one) for one in found])


def proposals_from_json(text: str) -> list[ProposalSet]:
    """What :func:`proposals_to_json` wrote.

    Raises:
        ValueError: the text is not of that form (also ``TypeError``, ``KeyError``).
    """
    return [
        ProposalSet(
            kept=tuple(
                Proposal(**{**one, "box": Box(**one["box"]), "found_in": FoundIn(one["found_in"])})
                for one in item["kept"]
            ),
            rejected=tuple(Rejection(Box(**one["box"]), one["reason"]) for one in item["rejected"]),
            fault=item["fault"],
            masked=float(item["masked"]),
        )
        for item in json.loads(text)
    ]
