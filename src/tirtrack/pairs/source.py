"""Where unlabelled RGB-TIR pairs come from, or TIR frames alone.

A :class:`PairSource` hands out frames of both modalities and says where they came from. Where RGB
is missing, or is not to be read, its pairs have none. It has no way to return a box: labels cannot
reach distillation through it. One file per layout stands beside this one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tirtrack.crops import Frame, MappedFrame
from tirtrack.errors import PairsError
from tirtrack.source_line import counted, unused_in_words
from tirtrack.valid_pixels import valid_mask

_ASSUMED = 3  # assumptions in the line of a source


@dataclass(frozen=True)
class Pair:
    """An RGB and a TIR frame of one instant, or a TIR frame alone.

    Attributes:
        key: stable name, unique in its source, such as ``night/000012``.
        recording: name of its recording; splits keep recordings whole.
        position: place in the recording, 0-based.
        rgb: ``[H,W,3]`` uint8, RGB order; ``None`` for TIR alone.
        tir: ``[H',W']`` as stored: uint8, uint16 or float. Counts with pixels that hold no
            measurement become float, with NaN in those pixels.
        tir_stored_wh: width and height of TIR as stored, where it was resampled onto the RGB grid.
        tir_stored_dtype: type of the samples as stored, where it is not that of ``tir``.
        tir_colour: mean difference of the colour channels of TIR as stored, share of the range.
        tir_filled: ``[H',W']`` bool, 8-bit pixels without a measurement: no level can mark them,
            so they hold the level of the nearest measured pixel.
        tir_mapped: TIR on its own pixels with the map of its rig, where it was registered: patches
            for training are cut from it and boxes are followed in it, so that no network sees a
            pixel that was resampled before. ``tir`` is then a copy on the RGB grid, in which boxes
            are found and pairs are compared.
    """

    key: str
    recording: str
    position: int
    rgb: np.ndarray | None
    tir: np.ndarray
    tir_stored_wh: tuple[int, int] | None = None
    tir_stored_dtype: str | None = None
    tir_colour: float = 0.0
    tir_filled: np.ndarray | None = None
    tir_mapped: MappedFrame | None = None

    @property
    def both(self) -> tuple[np.ndarray, np.ndarray]:
        """RGB and TIR.

        Raises:
            ValueError: there is no RGB.
        """
        if self.rgb is None:
            raise ValueError(f"{self.key} must have both modalities, got TIR alone")
        return self.rgb, self.tir

    @property
    def tir_frame(self) -> Frame:
        """TIR for what cuts patches: as it is stored, with the map of its rig, if it was
        registered.
        """
        return self.tir if self.tir_mapped is None else self.tir_mapped

    @property
    def tir_valid(self) -> np.ndarray | None:
        """Which TIR pixels are measurements: ``[H',W']`` bool, or ``None`` if all of them are."""
        return valid_mask(self.tir) if self.tir_filled is None else ~self.tir_filled

    @property
    def tir_depth(self) -> str:
        """Type of the TIR samples as stored."""
        return self.tir_stored_dtype or str(self.tir.dtype)


@dataclass(frozen=True)
class Recording:
    """Consecutive pairs of one take.

    Attributes:
        name: name, unique in the source.
        indices: indices of its pairs in the source, in order of time.
        is_video: whether neighbours are neighbours in time (motion may be used) or unrelated
            stills.
        assumed: assumptions about names and time, a phrase; empty if none.
        matched: rule that matched the frames of two videos, if frame k does not simply belong to
            frame k; part of the recording's identity.
        frames_per_s: pairs per second, if known.
        warnings: reasons to doubt that the frames belong together, one sentence each.
        description: layout, RGB, TIR and rate, a phrase each, such as ``RGB 640x512 8 bit``; empty
            where nothing is known.
        read_as: options with which TIR is read, as typed; part of the recording's identity.
        has_rgb: whether its pairs have RGB.
        delay_frames: number of frames by which TIR is taken later already; ``None`` where a rig's
            drift changes it.
        rig: hash of the map by which TIR was registered; empty where it was not. Part of the
            recording's identity.
    """

    name: str
    indices: Sequence[int]
    is_video: bool
    assumed: str = ""
    matched: str = ""
    frames_per_s: float | None = None
    warnings: Sequence[str] = ()
    description: Sequence[str] = ()
    read_as: str = ""
    has_rgb: bool = True
    delay_frames: int | None = 0
    rig: str = ""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source: path as given to the source, size, SHA-256."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files and licences of a source."""

    name: str
    licence: str
    files: Sequence[SourceFile]


@runtime_checkable
class PairSource(Protocol):
    """Unlabelled pairs. Random access, cheap to open; pixels are read on access."""

    name: str

    def __len__(self) -> int:
        """The number of pairs."""

    def __getitem__(self, index: int) -> Pair:
        """One pair.

        Raises:
            PairsError: a file is damaged or missing; names it.
            IndexError: out of range.
        """

    def recordings(self) -> Mapping[str, Recording]:
        """The recordings by name, in a stable order."""

    def manifest(self) -> Manifest:
        """All files that decide the pixels, with hashes, and the licence; no files if the pairs are
        made in memory.
        """


@runtime_checkable
class FilePairs(Protocol):
    """Pairs in folders that may also hold other files."""

    def unused(self) -> Sequence[str]:
        """Names of unused files and folders beside the frames."""


class RecentPairs:
    """The pairs of a source as a function of their index; those read last stay in memory.

    Attributes:
        damaged: indices of the pairs that could not be read so far.
    """

    def __init__(self, source: PairSource, most: int) -> None:
        self.damaged: set[int] = set()
        self._read = lru_cache(most)(source.__getitem__)

    def __call__(self, index: int) -> Pair:
        """One pair; raises as its source does."""
        try:
            return self._read(index)
        except PairsError:
            self.damaged.add(index)
            raise


class _Assumed(Protocol):
    """A recording, in a source or as it is stored: what was assumed of it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def assumed(self) -> str:
        """What was assumed about names and time, a phrase; empty if nothing."""


def assumptions(recordings: Iterable[_Assumed]) -> list[str]:
    """Assumptions about names and time, one sentence each, with their recordings."""
    by_way: dict[str, list[str]] = {}
    for recording in recordings:
        if recording.assumed:
            by_way.setdefault(recording.assumed, []).append(recording.name)
    return [f"{named(names)}: {way}" for way, names in by_way.items()]


def is_tir_alone(source: PairSource) -> bool:
    """Whether no recording of a source has RGB."""
    return not any(one.has_rgb for one in source.recordings().values())


def unit_of(source: PairSource) -> str:
    """What a source holds, for messages."""
    return "TIR frame" if is_tir_alone(source) else "pair"


def pairs_line(source: PairSource) -> str:
    """A source in one line: number of pairs, the first recording and how others differ from it,
    assumptions, and unused files.
    """
    recordings = list(source.recordings().values())
    parts = [f"{counted(len(source), unit_of(source))} in {counted(len(recordings), 'recording')}"]
    for phrases in zip(*(one.description for one in recordings), strict=False):
        others = "" if len(set(phrases)) == 1 else " (others differ)"
        parts += [f"{phrases[0]}{others}"] if phrases[0] else []
    read_as = sorted({one.read_as for one in recordings if one.read_as})
    parts += [f"TIR read with {one}" for one in read_as]
    assumed = [f"assumed: {one}" for one in assumptions(recordings)]
    more = len(assumed) - _ASSUMED
    if more > 0:
        assumed[_ASSUMED:] = [
            f"and {counted(more, 'more assumption')} (in the JSON that is written)"
        ]
    unused = source.unused() if isinstance(source, FilePairs) else ()
    left = [f"not used: {unused_in_words(unused)}"] if unused else []
    return "; ".join([", ".join(parts), *assumed, *left])


def named(names: Sequence[str], most: int = 3) -> str:
    """Some names, and how many more there are.

    >>> named(["a", "b"]), named(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def content_identity(source: PairSource, manifest: Manifest) -> dict[str, Any]:
    """The identity of a source's pairs, wherever they lie, as JSON values: names and content of
    the files, or the pixels if there are no files, and the recordings.
    """
    files = [(Path(file.path).name, file.sha256) for file in manifest.files]
    return {
        "files": files or [_pixel_hash(source, index) for index in range(len(source))],
        "recordings": [
            (recording.name, list(recording.indices), recording.is_video)
            + ((recording.matched,) if recording.matched else ())
            + (({"read as": recording.read_as},) if recording.read_as else ())
            # another word once what is made of registered pairs changes
            + (({"registered": recording.rig},) if recording.rig else ())
            + (() if recording.has_rgb else ({"has RGB": False},))
            for recording in source.recordings().values()
        ],
    }


def _pixel_hash(source: PairSource, index: int) -> str:
    """SHA-256 of a pair's key, frames and mask; empty if the pair cannot be read."""
    try:
        pair = source[index]
    except PairsError:
        return ""
    digest = hashlib.sha256(pair.key.encode())
    for array in (pair.rgb, pair.tir, pair.tir_filled):
        if array is not None:
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()
