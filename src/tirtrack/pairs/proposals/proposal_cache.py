"""Proposals of many pairs: made once, in several processes, and kept in the cache pair by pair.

A cached file is named by a hash of everything that the boxes of a pair depend on: the content of
the frames, their names and recordings, the identity of the proposer, the seed, the index of the
pair, the version of this package. So recipes on the same pairs share them, and a run that is killed
loses the pairs at work and no others. A file that cannot be read is replaced. Boxes are not kept
where the pair or one of its neighbours could not be read: once it can, they may be others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ConfigDict, TypeAdapter

from tirtrack.cache import kept_values
from tirtrack.files import fingerprint
from tirtrack.pairs.proposals.base import ProposalSet
from tirtrack.pairs.proposals.random import Random
from tirtrack.pairs.proposals.registry import Proposing, check_readable, identity_of
from tirtrack.pairs.source import content_identity
from tirtrack.progress import Progress, silent
from tirtrack.workers import results_of

FORMAT = 5  # raise it when proposals change
# a rejected box may be NaN, and only what holds a set can say how that is written
_STORED = TypeAdapter(tuple[ProposalSet], config=ConfigDict(ser_json_inf_nan="constants"))


def kept_proposals(
    proposing: Proposing,
    indices: Sequence[int],
    *,
    content: str | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> list[ProposalSet]:
    """The result of :func:`~tirtrack.pairs.proposals.registry.propose_all`, computed once.

    Args:
        proposing: pairs, proposer and seed.
        indices: indices of the requested pairs.
        content: hash of the pairs, if at hand: making one reads every file.
        workers: number of processes, one thread each; 1 proposes in this process, and so does a
            proposer or a source that cannot be sent to another one.
        progress: callback that is told of every finished pair.

    Raises:
        PairsError: too many pairs are damaged.
        RunError: a worker process died.
    """
    source, wanted = proposing.source, sorted(set(indices))
    identity = {
        "format": FORMAT,
        "pairs": content or fingerprint(content_identity(source, source.manifest())),
        "way": identity_of(proposing.proposer, proposing.modalities),
        "fallback": Random().identity(),
        "seed": proposing.seed,
    }

    def made(due: Sequence[int]) -> Iterator[tuple[int, tuple[ProposalSet, bool]]]:
        pairs = [wanted[number] for number in due]
        return results_of(proposing.begin, pairs, workers, task="proposes boxes", where=source.name)

    made_or_kept = kept_values(
        "proposals",
        [{**identity, "index": index} for index in wanted],
        made,
        dump=_text_of,
        load=lambda text: (_STORED.validate_json(text)[0], True),
        notify=lambda done: progress("proposals", done, len(wanted)),
    )
    found = {index: one for index, (one, _) in zip(wanted, made_or_kept, strict=True)}
    check_readable(source, found)
    return [found[index] for index in indices]


def _text_of(made: tuple[ProposalSet, bool]) -> str | None:
    """The boxes of a pair as JSON; ``None`` if not all that they depend on could be read."""
    found, is_whole = made
    return _STORED.dump_json((found,)).decode() if is_whole else None
