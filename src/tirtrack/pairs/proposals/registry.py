"""Proposers by name, and all proposals of a source in one call."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np
from pydantic import BaseModel, ValidationError

from tirtrack.errors import PairsError, RequestError, did_you_mean
from tirtrack.pairs.proposals.base import ProposalSet, Proposer
from tirtrack.pairs.proposals.centre import Centre, CentreSettings
from tirtrack.pairs.proposals.detector import Detector, DetectorSettings
from tirtrack.pairs.proposals.random import Random, RandomSettings
from tirtrack.pairs.proposals.saliency import Saliency, SaliencySettings
from tirtrack.pairs.source import Pair, PairSource, Recording
from tirtrack.progress import Progress, silent

_log = logging.getLogger(__name__)

_WAYS: dict[str, tuple[type[BaseModel], Callable[[Any], Proposer]]] = {
    "centre": (CentreSettings, Centre),
    "detector": (DetectorSettings, Detector),
    "random": (RandomSettings, Random),
    "saliency": (SaliencySettings, Saliency),
}
# Far enough that a walking person leaves most of its place, near enough for a panning camera.
NEIGHBOUR_STEP_FRAMES = 10
MAX_DAMAGED = 0.01  # share of the pairs that may be unreadable; a single one always may
_RECENT_PAIRS = 48


def names() -> list[str]:
    """The names of all proposers.

    >>> names()
    ['centre', 'detector', 'random', 'saliency']
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


def propose_all(
    source: PairSource,
    way: Proposer,
    seed: int,
    progress: Progress = silent,
    *,
    indices: Sequence[int] | None = None,
) -> list[ProposalSet]:
    """The boxes of the requested pairs, in the order of ``indices``.

    No other pair is read, except neighbours that the proposer uses.

    A pair in which nothing usable was found gets random boxes (their ``way`` says so). A pair that
    cannot be read gets an empty set with its ``fault`` and is logged.

    Args:
        source: the pairs.
        way: proposer of boxes.
        seed: seed of all random draws; each pair has its own stream, so neither the order of work
            nor the other requested pairs matter.
        progress: callback that is told of every finished pair.
        indices: indices in the source; ``None``: all of its pairs.

    Raises:
        PairsError: too many pairs are damaged, or not one box was found in any.
    """
    reader = _Reader(source)
    asked = range(len(source)) if indices is None else indices
    wanted = set(asked)
    found: dict[int, ProposalSet] = {}
    for recording in source.recordings().values():
        for position, index in enumerate(recording.indices):
            if index in wanted:
                found[index] = _propose_one(reader, recording, position, way, seed)
                progress("proposals", len(found), len(wanted))
    _check_harvest(source.name, list(found.values()))
    return [found[index] for index in asked]


def _propose_one(
    reader: _Reader, recording: Recording, position: int, way: Proposer, seed: int
) -> ProposalSet:
    index = recording.indices[position]
    try:
        pair = reader[index]
    except PairsError as error:
        _log.warning("pair %d left out: %s", index, error)
        return ProposalSet((), (), fault=str(error))
    rng = np.random.default_rng([seed, 0, index])
    found = way.propose(pair, Neighbours(reader, recording, position), rng)
    valid = pair.tir_valid
    masked = 0.0 if valid is None else 1.0 - float(valid.mean())
    return replace(with_fallback(pair, found, Random(), rng), masked=masked)


def with_fallback(
    pair: Pair, found: ProposalSet, fallback: Proposer, rng: np.random.Generator
) -> ProposalSet:
    """``found``, with the fallback's boxes where it keeps none; rejections of both are kept."""
    if found.kept:
        return found
    drawn = fallback.propose(pair, (), rng)
    return ProposalSet(drawn.kept, (*found.rejected, *drawn.rejected))


def is_fallback(found: ProposalSet, way: str) -> bool:
    """Whether a pair's boxes come from another proposer than the requested one."""
    return bool(found.kept) and found.kept[0].way != way


def _check_harvest(name: str, found: Sequence[ProposalSet]) -> None:
    faults = [one.fault for one in found if one.fault is not None]
    if len(faults) > max(MAX_DAMAGED * len(found), 1) or len(faults) == len(found):
        raise PairsError(
            f"{len(faults)} of {len(found)} pairs cannot be used (first: {faults[0]})",
            name,
            "list them with tirtrack pairs inspect, then repair or remove them",
        )
    if not any(one.kept for one in found):
        raise PairsError(
            f"not one usable box in {len(found)} pairs",
            name,
            "look at the pictures with tirtrack pairs inspect: are they black or constant?",
        )


class _Reader:
    """The pairs of a source, the most recent ones cached."""

    def __init__(self, source: PairSource) -> None:
        self._source = source
        self._recent: OrderedDict[int, Pair] = OrderedDict()

    def __getitem__(self, index: int) -> Pair:
        if index not in self._recent:
            self._recent[index] = self._source[index]
            while len(self._recent) > _RECENT_PAIRS:
                self._recent.popitem(last=False)
        self._recent.move_to_end(index)
        return self._recent[index]


class Neighbours(Sequence[Pair]):
    """Pairs near a given one in time, read on access; none for stills.

    At an end of the recording, more come from the other side. Unreadable ones are skipped: they are
    reported when their own turn comes.
    """

    def __init__(self, source: Any, recording: Recording, position: int) -> None:
        self._source = source
        self._pairs: list[Pair] | None = None
        self._indices: list[int] = []
        if recording.is_video:
            places = neighbour_positions(position, len(recording.indices))
            self._indices = [recording.indices[place] for place in places]

    def _read(self) -> list[Pair]:
        if self._pairs is None:
            self._pairs = []
            for index in self._indices:
                try:
                    self._pairs.append(self._source[index])
                except PairsError:
                    continue
        return self._pairs

    def __len__(self) -> int:
        return len(self._read())

    @overload
    def __getitem__(self, index: int) -> Pair: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Pair]: ...

    def __getitem__(self, index: int | slice) -> Pair | Sequence[Pair]:
        return self._read()[index]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._read())


def neighbour_positions(position: int, length: int) -> list[int]:
    """Places of up to four neighbours in a recording, sorted; nearer ones if it is short.

    >>> neighbour_positions(50, 100), neighbour_positions(0, 100), neighbour_positions(3, 6)
    ([30, 40, 60, 70], [10, 20, 30, 40], [1, 2, 4, 5])
    """
    step = min(NEIGHBOUR_STEP_FRAMES, max((length - 1) // 4, 1))
    places = [position + k * step for k in range(-4, 5) if k]
    inside = [place for place in places if 0 <= place < length]
    return sorted(sorted(inside, key=lambda place: abs(place - position))[:4])
