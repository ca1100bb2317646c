"""Sources made of other sources: the TIR frames of one, and several as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from tirtrack.errors import PairsError
from tirtrack.pairs.likeness import Unusable
from tirtrack.pairs.rig import Rig
from tirtrack.pairs.source import FilePairs, Manifest, Pair, PairSource, Recording


class TirAlone:
    """The TIR frames of another source; RGB is left out."""

    def __init__(self, source: PairSource) -> None:
        self._source = source
        self.name = source.name

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Pair:
        """One pair without RGB."""
        return replace(self._source[index], rgb=None)

    def recordings(self) -> Mapping[str, Recording]:
        """The recordings, none of which has RGB."""
        every = self._source.recordings().items()
        return {name: replace(one, has_rgb=False, warnings=()) for name, one in every}

    def manifest(self) -> Manifest:
        """The files of the source."""
        return self._source.manifest()


class CombinedPairs:
    """Several sources as one, in the order given.

    Raises:
        PairsError: two recordings have the same name.
    """

    def __init__(self, sources: Sequence[PairSource]) -> None:
        self._sources = tuple(sources)
        shown = [source.name for source in sources[:3]]
        more = [f"{len(sources) - 3} more"] if len(sources) > 3 else []
        self.name = " + ".join([*shown, *more])
        self._starts = np.cumsum([0, *(len(source) for source in sources)])
        every = [(name, source) for source in sources for name in source.recordings()]
        self._source_of = dict(every)
        counts = Counter(name for name, _ in every)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise PairsError(
                f"two recordings are called {twice[0]}", self.name, "rename one of the folders"
            )

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Pair:
        """One pair of the source that it belongs to."""
        source, inside = self._place(index)
        return source[inside]

    def _place(self, index: int) -> tuple[PairSource, int]:
        """The source of a pair, and its index there."""
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.name}")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._sources[number], index - int(self._starts[number])

    def parts(self) -> list[tuple[PairSource, int]]:
        """The sources, each with the index of its first pair."""
        return list(zip(self._sources, map(int, self._starts), strict=False))

    def recordings(self) -> Mapping[str, Recording]:
        """All recordings, with indices that count through all sources."""
        shifted: dict[str, Recording] = {}
        for source, start in zip(self._sources, self._starts[:-1], strict=True):
            for name, recording in source.recordings().items():
                indices = [int(start) + index for index in recording.indices]
                shifted[name] = replace(recording, indices=indices)
        return shifted

    def registered(self, rigs: Mapping[str, Rig]) -> CombinedPairs:
        """The same pairs, those of some recordings registered."""
        return CombinedPairs([registered(source, rigs) for source in self._sources])

    def is_judged(self, recording: str) -> bool:
        """As in :class:`JudgedPairs`, by the source of the recording."""
        source = self._source_of[recording]
        return isinstance(source, JudgedPairs) and source.is_judged(recording)

    def judged(self, index: int) -> Unusable | None:
        """As in :class:`JudgedPairs`."""
        source, inside = self._place(index)
        if not isinstance(source, JudgedPairs):
            raise ValueError(f"pair {index} was not judged")
        return source.judged(inside)

    def manifest(self) -> Manifest:
        """The files of all sources; each licence is listed once."""
        parts = [source.manifest() for source in self._sources]
        licences = list(dict.fromkeys(part.licence for part in parts))
        files = [file for part in parts for file in part.files]
        return Manifest(self.name, "; ".join(licences), files)

    def unused(self) -> list[str]:
        """Names of unused files and folders of all sources."""
        stored = [source for source in self._sources if isinstance(source, FilePairs)]
        return [name for source in stored for name in source.unused()]


@runtime_checkable
class JudgedPairs(Protocol):
    """Pairs of which some were judged before: whether they can be used."""

    def is_judged(self, recording: str) -> bool:
        """Whether the pairs of a recording were judged as they are read now."""

    def judged(self, index: int) -> Unusable | None:
        """Why a pair of such a recording cannot be used; ``None`` if it can.

        Raises:
            PairsError: the pair could not be read.
        """


@runtime_checkable
class CanRegister(Protocol):
    """Pairs as stored in files, which can be read through a rig."""

    def registered(self, rigs: Mapping[str, Rig]) -> PairSource:
        """The same pairs, those of some recordings registered."""


def registered(source: PairSource, rigs: Mapping[str, Rig]) -> PairSource:
    """The same pairs, those of some recordings registered.

    Raises:
        PairsError: the source cannot register its pairs, or a rig would pair other frames.
    """
    every = source.recordings()
    own = {name: rig for name, rig in rigs.items() if name in every}
    for name, rig in own.items():
        rig.check_paired(name, len(every[name].indices), is_video=every[name].is_video)
    if isinstance(source, CanRegister):
        return source.registered(own)
    if own:
        raise PairsError("pairs made in memory take no rig", source.name, "register them yourself")
    return source
