"""Proposals of a source, kept in the cache: recipes on the same pairs share them.

A cached file is named by a hash of everything that the boxes depend on: the content of the frames,
their names and recordings, the identity of the proposer, the version of this package. A file that
cannot be read is replaced.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from tirtrack.boxes import Box
from tirtrack.cache import cache_folder
from tirtrack.errors import StorageError
from tirtrack.files import fingerprint, write_text
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet, Proposer, Rejection
from tirtrack.pairs.proposals.random import Random
from tirtrack.pairs.proposals.registry import propose_all
from tirtrack.pairs.source import Manifest, PairSource, content_identity
from tirtrack.progress import Progress, silent

FORMAT = 4
_log = logging.getLogger(__name__)


def kept_proposals(
    source: PairSource,
    way: Proposer,
    seed: int,
    progress: Progress = silent,
    *,
    indices: Sequence[int],
    manifest: Manifest | None = None,
) -> list[ProposalSet]:
    """The result of :func:`~tirtrack.pairs.proposals.registry.propose_all`, computed once.

    Args:
        source: the pairs.
        way: proposer of boxes.
        seed: seed of proposers that draw at random.
        progress: callback that is told of every pair for which boxes are proposed.
        indices: indices of the requested pairs.
        manifest: manifest of the source, if at hand: making it reads every file.

    Raises:
        PairsError: too many pairs are damaged, or not one box was found in any.
    """
    identity = {
        **content_identity(source, manifest or source.manifest()),
        "way": way.identity(),
        "fallback": Random().identity(),
        "indices": list(indices),
        "seed": seed,
    }
    return kept_or_made(
        identity, len(indices), lambda: propose_all(source, way, seed, progress, indices=indices)
    )


def kept_or_made(
    identity: Mapping[str, Any], count: int, make: Callable[[], list[ProposalSet]]
) -> list[ProposalSet]:
    """The proposals of ``count`` pairs, from the cache or from ``make``.

    Args:
        identity: everything that the boxes depend on, as JSON values.
        count: required number of sets.
        make: function that proposes; called if the cache holds no match.
    """
    version = metadata.version("tirtrack")
    name = fingerprint({"format": FORMAT, "tirtrack": version, **identity})
    path = cache_folder("proposals") / f"{name}.json"
    try:
        found = proposals_from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        found = []
    if len(found) == count:
        return found
    found = make()
    try:
        write_text(path, proposals_to_json(found))
    except StorageError as error:
        _log.warning("proposals are not kept: %s", error)
    return found


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
