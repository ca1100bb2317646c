"""Proposers by name, and all proposals of a source in one call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from tirtrack.errors import PairsError, RequestError, did_you_mean
from tirtrack.pairs.proposals.base import FoundIn, ProposalSet, Proposer
from tirtrack.pairs.proposals.centre import Centre, CentreSettings
from tirtrack.pairs.proposals.detector import Detector, DetectorSettings
from tirtrack.pairs.proposals.each_modality import EachModalitySettings
from tirtrack.pairs.proposals.random import Random, RandomSettings
from tirtrack.pairs.proposals.regions import Regions
from tirtrack.pairs.proposals.saliency import Saliency
from tirtrack.pairs.source import Pair, PairSource, RecentPairs, Recording, unit_of
from tirtrack.progress import Progress, silent

_log = logging.getLogger(__name__)

_WAYS: dict[str, tuple[type[BaseModel], Callable[[Any], Proposer]]] = {
    "centre": (CentreSettings, Centre),
    "detector": (DetectorSettings, Detector),
    "random": (RandomSettings, Random),
    "regions": (EachModalitySettings, Regions),
    "saliency": (EachModalitySettings, Saliency),
}
BOTH = ("rgb", "tir")
# Far enough that a walking person leaves most of its place, near enough for a panning camera.
NEIGHBOUR_STEP_FRAMES = 10
MAX_DAMAGED = 0.01  # share of the pairs that may be unreadable; a single one always may
_RECENT_PAIRS = 48


def names() -> list[str]:
    """The names of all proposers.

    >>> names()
    ['centre', 'detector', 'random', 'regions', 'saliency']
    """
    return sorted(_WAYS)


def proposer(name: str, **options: Any) -> Proposer:
    """A proposer by name.

    Args:
        name: one of :func:`names`.
        options: fields of its settings.

    Raises:
        RequestError: the name or an option is unknown, or a value does not fit.

    >>> proposer("random", count=3).name
    'random'
    """
    if name not in _WAYS:
        raise RequestError(f'no proposer is called "{name}"', fix=did_you_mean(name, _WAYS))
    model, make = _WAYS[name]
    unknown = sorted(set(options) - set(model.model_fields))
    if unknown:
        raise RequestError(
            f'"{name}" has no option "{unknown[0]}"',
            fix=did_you_mean(unknown[0], model.model_fields),
        )
    try:
        settings = model(**options)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RequestError(
            f'option "{field}" of "{name}" is {first["input"]!r}',
            fix=first["msg"][:1].lower() + first["msg"][1:],
        ) from error
    return make(settings)


@dataclass(frozen=True)
class Proposing:
    """How boxes are proposed in the pairs of a source.

    Attributes:
        source: the pairs.
        proposer: what proposes boxes.
        seed: seed of all random draws; each pair has its own stream, so neither the order of work
            nor the other requested pairs matter.
        modalities: modalities that the proposer sees.
    """

    source: PairSource
    proposer: Proposer
    seed: int
    modalities: Sequence[str] = BOTH

    def begin(self) -> Callable[[int], tuple[ProposalSet, bool]]:
        """The function that proposes boxes in a pair, by its index in the source, and says whether
        this pair and its neighbours could be read. The pairs that it read last stay in memory, as
        they are neighbours of many; one that cannot be read gets an empty set with its ``fault``.
        """
        read = RecentPairs(self.source, _RECENT_PAIRS)
        places = {
            index: (recording, position)
            for recording in self.source.recordings().values()
            for position, index in enumerate(recording.indices)
        }

        def propose(index: int) -> tuple[ProposalSet, bool]:
            try:
                pair = read(index)
            except PairsError as error:
                return ProposalSet((), (), fault=str(error)), False
            near = neighbours(read, *places[index])
            rng = np.random.default_rng([self.seed, 0, index])
            found = propose_boxes(self.proposer, pair, near, rng, self.modalities)
            return found, read.damaged.isdisjoint(neighbour_indices(*places[index]))

        return propose


def propose_all(
    source: PairSource,
    proposer: Proposer,
    seed: int,
    progress: Progress = silent,
    *,
    indices: Sequence[int] | None = None,
    modalities: Iterable[str] = BOTH,
) -> list[ProposalSet]:
    """The boxes of the requested pairs, in the order of ``indices``.

    No other pair is read, except neighbours that the proposer uses.

    A pair in which nothing usable was found gets random boxes (their ``way`` says so). A pair that
    cannot be read gets an empty set with its ``fault`` and is logged.

    Args:
        source: the pairs.
        proposer: what proposes boxes.
        seed: seed of all random draws; each pair has its own stream, so neither the order of work
            nor the other requested pairs matter.
        progress: callback that is told of every finished pair.
        indices: indices in the source; ``None``: all of its pairs.
        modalities: modalities that the proposer sees.

    Raises:
        PairsError: too many pairs are damaged.
    """
    asked = range(len(source)) if indices is None else indices
    wanted = sorted(set(asked))
    found: dict[int, ProposalSet] = {}
    propose = Proposing(source, proposer, seed, tuple(modalities)).begin()
    for done, index in enumerate(wanted, start=1):
        found[index], _ = propose(index)
        progress("proposals", done, len(wanted))
    check_readable(source, found)
    return [found[index] for index in asked]


def propose_boxes(
    proposer: Proposer,
    pair: Pair,
    near: Iterable[Pair],
    rng: np.random.Generator,
    modalities: Iterable[str] = BOTH,
) -> ProposalSet:
    """The boxes of one pair, best first: those of a proposer, or random ones where it keeps none.

    Args:
        proposer: what proposes boxes.
        pair: pair with both modalities on one pixel grid.
        near: its neighbours in time, see :func:`neighbours`.
        rng: random generator of this pair alone.
        modalities: modalities that the proposer sees; of the others RGB is missing and TIR blank in
            all pairs.
    """
    blind = _blind(modalities)
    seen = _blanked(pair, blind)
    found = proposer.propose(seen, (_blanked(one, blind) for one in near), rng)
    kept = tuple(box for box in found.kept if box.found_in not in blind)
    rejected = tuple(found.rejected)
    if not kept:
        drawn = Random().propose(replace(pair, rgb=seen.rgb), (), rng)
        kept, rejected = drawn.kept, (*rejected, *drawn.rejected)
    valid = pair.tir_valid
    return ProposalSet(kept, rejected, masked=0.0 if valid is None else 1.0 - float(valid.mean()))


def identity_of(proposer: Proposer, modalities: Iterable[str] = BOTH) -> dict[str, Any]:
    """All that the boxes of a proposer depend on, as JSON values, with what it does not see."""
    return {**proposer.identity(), "blind": [str(one) for one in _blind(modalities)]}


def _blind(modalities: Iterable[str]) -> list[FoundIn]:
    seen = set(modalities)
    return [one for one in (FoundIn.RGB, FoundIn.TIR) if one not in seen]


def _blanked(pair: Pair, blind: Sequence[FoundIn]) -> Pair:
    pair = replace(pair, rgb=None) if FoundIn.RGB in blind else pair
    return replace(pair, tir=np.zeros_like(pair.tir)) if FoundIn.TIR in blind else pair


def is_fallback(found: ProposalSet, way: str) -> bool:
    """Whether a pair's boxes come from another proposer than the requested one."""
    return bool(found.kept) and found.kept[0].way != way


def check_readable(source: PairSource, found: Mapping[int, ProposalSet]) -> None:
    """Log the pairs that could not be read, and refuse a source with too many of them.

    Args:
        source: source of the pairs.
        found: proposals of some of its pairs by index, in order.

    Raises:
        PairsError: more than one pair could not be read, and more than 1 % of them; or none could.
    """
    faults = {index: one.fault for index, one in found.items() if one.fault is not None}
    for index, fault in faults.items():
        _log.warning("%s %d left out: %s", unit_of(source), index, fault)
    if len(faults) > max(MAX_DAMAGED * len(found), 1) or len(faults) == len(found) > 0:
        first = next(iter(faults.values()))
        raise PairsError(
            f"{len(faults)} of {len(found)} {unit_of(source)}s cannot be used (first: {first})",
            source.name,
            "list them with tirtrack pairs inspect, then repair or remove them",
        )


def check_any_box(source: PairSource, found: Sequence[ProposalSet]) -> None:
    """Refuse pairs in none of which a box was proposed.

    Args:
        source: source of the pairs.
        found: proposals of the pairs; without pairs there is nothing to refuse.

    Raises:
        PairsError: not one box was proposed.
    """
    if found and not any(one.kept for one in found):
        raise PairsError(
            f"not one usable box in {len(found)} {unit_of(source)}s",
            source.name,
            "look at the pictures with tirtrack pairs inspect: are they black or constant?",
        )


def neighbours(read: Callable[[int], Pair], recording: Recording, position: int) -> Iterator[Pair]:
    """Pairs near a given one in time, each read when it is asked for; none for stills.

    At an end of the recording, more come from the other side. Unreadable ones are skipped: they are
    reported when their own turn comes.

    Args:
        read: function that reads a pair by its index in the source.
        recording: recording of the pair.
        position: place of the pair in the recording.
    """
    for index in neighbour_indices(recording, position):
        try:
            near = read(index)
        except PairsError:
            continue
        yield near


def neighbour_indices(recording: Recording, position: int) -> list[int]:
    """The indices of the pairs near a given one in time; none for stills."""
    if not recording.is_video:
        return []
    places = neighbour_positions(position, len(recording.indices))
    return [recording.indices[place] for place in places]


def neighbour_positions(position: int, length: int) -> list[int]:
    """Places of up to four neighbours in a recording, sorted; nearer ones if it is short.

    >>> neighbour_positions(50, 100), neighbour_positions(0, 100), neighbour_positions(3, 6)
    ([30, 40, 60, 70], [10, 20, 30, 40], [1, 2, 4, 5])
    """
    step = min(NEIGHBOUR_STEP_FRAMES, max((length - 1) // 4, 1))
    places = [position + k * step for k in range(-4, 5) if k]
    inside = [place for place in places if 0 <= place < length]
    return sorted(sorted(inside, key=lambda place: abs(place - position))[:4])
