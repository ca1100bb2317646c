"""Where unlabelled RGB-TIR pairs come from.

A :class:`PairSource` hands out frames of both modalities and says where they came from. It has no
way to return a box: labels cannot reach distillation through it. One file per layout stands beside
this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class Pair:
    """An RGB and a TIR frame of one instant.

    Attributes:
        key: stable and unique in its source, such as ``night/000012``.
        recording: the recording that it belongs to; hold-out splits go by whole recordings.
        position: place in the recording, 0-based.
        rgb: ``[H,W,3]`` uint8, RGB order.
        tir: ``[H',W']`` as stored: uint8, uint16 or float. A frame of counts that has pixels
            without a measurement is one of floats, NaN in those pixels.
        tir_stored_wh: width and height of TIR as stored, where it was resampled onto the RGB grid.
        tir_stored_dtype: type of the samples as stored, where it is not that of ``tir``.
    """

    key: str
    recording: str
    position: int
    rgb: np.ndarray
    tir: np.ndarray
    tir_stored_wh: tuple[int, int] | None = None
    tir_stored_dtype: str | None = None

    @property
    def tir_depth(self) -> str:
        """Type of the TIR samples as stored."""
        return self.tir_stored_dtype or str(self.tir.dtype)


@dataclass(frozen=True)
class Recording:
    """Consecutive pairs of one take.

    Attributes:
        name: unique in the source.
        indices: of its pairs in the source, in order of time.
        is_video: whether neighbours are neighbours in time (motion may be used) or unrelated
            stills.
    """

    name: str
    indices: Sequence[int]
    is_video: bool


@dataclass(frozen=True)
class SourceFile:
    """A file that went in: path as given to the source, size, SHA-256."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Which files and licences went into a source."""

    name: str
    licence: str
    files: Sequence[SourceFile]


@runtime_checkable
class PairSource(Protocol):
    """Unlabelled pairs. Random access, cheap to open; pixels are read when asked for."""

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
        """Files, hashes, licence."""


def content_identity(source: PairSource, manifest: Manifest) -> dict[str, Any]:
    """What the pairs of a source are, wherever they lie, as JSON values: names and content of the
    files, and the recordings.
    """
    return {
        "files": [(Path(file.path).name, file.sha256) for file in manifest.files],
        "recordings": [
            (recording.name, list(recording.indices), recording.is_video)
            for recording in source.recordings().values()
        ],
    }
