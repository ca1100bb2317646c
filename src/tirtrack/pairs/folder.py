"""Pairs from folders: images or videos of two cameras, or of TIR alone; one recording, many, or a
list.

``layouts`` says how recordings may lie on disk; ``one_grid`` makes a pair of two images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from operator import truediv
from pathlib import Path
from typing import TypeVar

import numpy as np

from tirtrack.errors import PairsError, names_option
from tirtrack.files import sha256
from tirtrack.formats.radiometric import camera_named
from tirtrack.images import IMAGE_KINDS
from tirtrack.media import declared_no_data
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.layouts.cameras import CAMERAS, is_tir_half, no_takes
from tirtrack.pairs.layouts.listing import refused_recording
from tirtrack.pairs.layouts.registry import LAYOUTS, Place, find_places, find_split
from tirtrack.pairs.layouts.tir_alone import find_tir
from tirtrack.pairs.mixed_files import VIDEO_KINDS
from tirtrack.pairs.one_grid import fitted
from tirtrack.pairs.recordings import Take
from tirtrack.pairs.rig import Rig
from tirtrack.pairs.shard_pairs import ShardPairs
from tirtrack.pairs.shards import is_shards
from tirtrack.pairs.source import (
    Manifest,
    Pair,
    PairSource,
    Recording,
    SourceFile,
    is_tir_alone,
)
from tirtrack.pairs.source_views import CombinedPairs, TirAlone, registered
from tirtrack.read_options import as_typed
from tirtrack.remote import AnyPath, RemotePath, any_path, fetched
from tirtrack.source_line import bits, unused_names

_Given = TypeVar("_Given")
_Opened = TypeVar("_Opened")


class FolderPairs:
    """A :class:`~tirtrack.pairs.source.PairSource` over recordings in folders.

    The first readable pair of a recording sets its bit depth; it is read here. One recording is
    open at a time: a thousand videos need no more memory or open files than one.

    Args:
        name: name of the source.
        takes: recordings of the source, with unique names.
        licence: licence under which the user holds the files; goes into the manifest.
        rejected: list that collects errors, as for :func:`open_pairs`.
        folder: folder that holds all recordings, to find unused files in it.
        rigs: map from RGB to TIR pixels of each recording that is registered, by its name.
        any_aspect: whether TIR of another aspect ratio is stretched onto the RGB grid.
        copy: copy on the disk of what lies at an address, if that is what is read.

    Attributes:
        takes: recordings that can be used.
        tir_depths: type of the TIR samples, by recording.
        no_data: value of TIR pixels without a measurement, by recording.

    Raises:
        PairsError: no pair of a recording can be read, or the modalities of the first readable one
            do not fit each other; with ``rejected`` such a recording is left out.
    """

    def __init__(
        self,
        name: str,
        takes: Sequence[Take],
        *,
        licence: str = "not stated",
        rejected: list[PairsError] | None = None,
        folder: Path | None = None,
        rigs: Mapping[str, Rig] | None = None,
        any_aspect: bool = False,
        copy: Copy | None = None,
    ) -> None:
        self.name = name
        self._folder, self._copy = folder, copy
        self.licence = licence
        self._rigs, self._any_aspect = dict(rigs or {}), any_aspect
        self.no_data: dict[str, float | None] = {}
        opened = _each(self._opened, takes, rejected)
        self.takes = tuple(take for take, _ in opened)
        self.no_data = {take.name: _no_data(take) for take in self.takes}
        self._starts = np.cumsum([0, *(len(take) for take in self.takes)])
        self.tir_depths = {take.name: first.tir_depth for take, first in opened}
        self._descriptions = {take.name: _description(take, first) for take, first in opened}
        self._open = 0

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Pair:
        """One pair, both modalities on the RGB grid.

        Raises:
            PairsError: a file is damaged, the modalities do not fit each other, or the bit depth
                changes inside the recording.
            IndexError: out of range.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.name}")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        if number != self._open:
            self.takes[self._open].close()
            self._open = number
        take, position = self.takes[number], index - int(self._starts[number])
        with naming_origin(self._copy):
            return self._read(take, position)

    def _read(self, take: Take, position: int) -> Pair:
        pair = self._fitted(take, position, *take.read(position))
        if pair.tir_depth != self.tir_depths[take.name]:
            raise PairsError(
                f"TIR is {pair.tir_depth}, the first of its recording {self.tir_depths[take.name]}",
                take.where(position),
                "keep one bit depth in a recording: split the folder, or convert the odd files",
            )
        return pair

    def _fitted(self, take: Take, position: int, rgb: np.ndarray | None, tir: np.ndarray) -> Pair:
        return fitted(
            take,
            position,
            rgb,
            tir,
            self.no_data.get(take.name),
            rig=self._rigs.get(take.name),
            any_aspect=self._any_aspect,
        )

    def _opened(self, take: Take) -> tuple[Take, Pair]:
        with naming_origin(self._copy):
            return take, self._first_readable(take)

    def _first_readable(self, take: Take) -> Pair:
        first: PairsError | None = None
        for position in range(len(take)):
            try:
                images = take.read(position)
            except PairsError as error:
                if names_option(error):
                    raise
                first = first or error
            else:
                take.close()
                return self._fitted(take, position, *images)
        reason = "" if first is None else f" ({first.where}: {first.what})"
        raise PairsError(
            f"not one of its {len(take)} pairs can be read{reason}",
            take.name,
            "copy or export the recording again, or remove it",
        ) from first

    def registered(self, rigs: Mapping[str, Rig]) -> FolderPairs:
        """The same pairs, those of some recordings registered.

        Raises:
            PairsError: a rig is of pictures of other sizes.
        """
        return FolderPairs(
            self.name,
            self.takes,
            licence=self.licence,
            folder=self._folder,
            rigs={**self._rigs, **rigs},
            any_aspect=self._any_aspect,
            copy=self._copy,
        )

    def recordings(self) -> Mapping[str, Recording]:
        """The recordings by name, in the order of their paths."""
        return {
            take.name: Recording(
                take.name,
                range(int(start), int(start) + len(take)),
                take.is_video,
                take.assumed,
                take.matched,
                take.frames_per_s,
                take.warnings,
                self._descriptions[take.name],
                as_typed(take.tir_options),
                take.has_rgb,
                take.delay_frames,
                self._rigs[take.name].identity if take.name in self._rigs else "",
            )
            for take, start in zip(self.takes, self._starts[:-1], strict=True)
        }

    def manifest(self) -> Manifest:
        """Every file with size and SHA-256 (reads all of them once), and the licence as given. A
        file that was copied from an address is named by it.
        """
        place_of = str if self._copy is None else self._copy.address_of
        files = [
            SourceFile(place_of(path), path.stat().st_size, sha256(path))
            for take in self.takes
            for path in take.files()
        ]
        return Manifest(self.name, self.licence, files)

    def unused(self) -> list[str]:
        """Names of unused files and folders beside the frames."""
        used = [path for take in self.takes for path in take.files()]
        return [] if self._folder is None else unused_names(self._folder, used)


@dataclass(frozen=True)
class Copy:
    """What was copied to the disk from an address: a folder, or a file."""

    here: Path
    origin: RemotePath

    def address_of(self, path: Path) -> str:
        """The address from which a file of the copy comes."""
        return str(reduce(truediv, path.relative_to(self.here).parts, self.origin))

    def named(self, text: str | None) -> str | None:
        """A text that names files of the copy, with their addresses."""
        return None if text is None else text.replace(str(self.here), str(self.origin))


@contextmanager
def naming_origin(copy: Copy | None) -> Iterator[None]:
    """Errors name the address that was given, not the copy of what lies there."""
    try:
        yield
    except PairsError as error:
        if copy is None:
            raise
        what, where, fix = map(copy.named, (error.what, error.where, error.fix))
        raise PairsError(what or "", where, fix) from error


def _no_data(take: Take) -> float | None:
    """The value of TIR pixels without a measurement: as the user named it, else as declared."""
    given = take.tir_options.no_data
    return given if isinstance(given, float) else declared_no_data(take.files()[-1])


def _description(take: Take, first: Pair) -> tuple[str, ...]:
    """Layout, RGB, TIR with its camera, and rate, one phrase each."""
    tir_wh = first.tir_stored_wh or first.tir.shape[::-1]
    rate = f"{take.frames_per_s:.4g} pairs/s" if take.frames_per_s else ""
    return (
        take.layout,
        "" if first.rgb is None else f"RGB {_grid(first.rgb.shape[1::-1])} 8 bit",
        f"TIR {_grid(tir_wh)} {bits(np.dtype(first.tir_depth))}{_camera(take.files()[-1])}",
        rate,
    )


def _camera(file: Path) -> str:
    """Maker and model of a camera, where its file names them."""
    named = camera_named(file) if IMAGE_KINDS.get(file.suffix.lower()) == "JPEG" else ""
    return f" (camera {named})" if named else ""


def _grid(size_wh: Sequence[int]) -> str:
    return f"{size_wh[0]}x{size_wh[1]}"


def open_pairs(
    source: str | AnyPath | Sequence[str | AnyPath] | PairSource,
    *,
    licence: str = "not stated",
    pairing: Pairing = Pairing(),  # noqa: B008 - frozen
    rejected: list[PairsError] | None = None,
) -> PairSource:
    """The pairs in a folder, or in several.

    Args:
        source: a recording (``SEQ/{rgb,tir}``, ``SEQ/rgb.*`` and ``SEQ/tir.*``, or both cameras in
            ``SEQ``), a folder of recordings, or a list of either; an opened source is returned as
            it is. Where nothing pairs, a video or a folder of frames is TIR alone. What lies at an
            address (``s3://bucket/night``) is copied to the disk, of shards what is read.
        licence: licence under which the files are held; goes into the manifest.
        pairing: names of the two cameras and rule of matching, where the files do not tell.
        rejected: list that collects the errors of recordings that cannot be used and are left out;
            without it the first such recording raises.

    Raises:
        PairsError: a folder is missing or holds no pairs, or a recording cannot be used (stems or
            lengths do not match, no pair can be read, or the modalities of the first readable one
            do not fit each other); with ``rejected`` only if none can be used.
    """
    if isinstance(source, PairSource):
        if pairing.tir_alone:
            return TirAlone(source)
        return source if pairing.rig is None else registered(source, _one_rig(source, pairing.rig))
    named = named_folders(source)
    opened = [
        _open_folder(folder, licence, name, pairing=pairing, rejected=rejected)
        for name, folder in named
    ]
    if rejected and not any(len(one) for one in opened):
        raise no_recording(rejected, [folder for _, folder in named])
    return opened[0] if len(opened) == 1 else CombinedPairs(opened)


def _one_rig(source: PairSource, rig: Rig) -> dict[str, Rig]:
    return {name: rig for name, one in source.recordings().items() if one.has_rgb}


def lacks_rgb(
    source: str | AnyPath | Sequence[str | AnyPath] | PairSource,
    pairing: Pairing = Pairing(),  # noqa: B008 - frozen
) -> bool:
    """Whether all recordings are of TIR alone; of folders the names of files are read, and a few
    pictures only where one may hold both cameras.
    """
    if isinstance(source, PairSource):
        return is_tir_alone(source)
    return all(_is_tir_alone(folder, pairing) for folder in _folders(source))


def named_folders(source: str | AnyPath | Sequence[str | AnyPath]) -> list[tuple[str, AnyPath]]:
    """The folders that were given, each with the name of its source.

    Raises:
        PairsError: none was given.
    """
    folders = _folders(source)
    return list(zip(_distinct_names(folders), folders, strict=True))


def _folders(source: str | AnyPath | Sequence[str | AnyPath]) -> list[AnyPath]:
    given = [source] if isinstance(source, str | AnyPath) else list(source)
    if not given or "" in given:
        raise PairsError("no folder of pairs was given", fix='name one ("." is the current one)')
    return [any_path(one) for one in given]


def _is_tir_alone(folder: AnyPath, pairing: Pairing) -> bool:
    if is_shards(folder):
        return is_tir_alone(_open_shards(folder, pairing))
    folder = _on_disk(folder)
    pairs, alone = _places(folder, pairing) if folder.exists() else ([], [])
    return not pairs and bool(alone)


def _on_disk(folder: AnyPath) -> Path:
    """The folder, or a copy of it where it lies at an address."""
    return fetched(folder) if isinstance(folder, RemotePath) else folder


def _places(folder: Path, pairing: Pairing) -> tuple[list[Place], list[Place]]:
    """Where recordings of pairs lie, and, only if there are none, those of TIR alone."""
    found = find_places(folder, pairing)
    if all(one.layout is CAMERAS and is_tir_half(one.folder, pairing) for one in found):
        alone = [] if found else find_tir(folder, pairing)
        if split := find_split(alone):
            return split, []
        return [], found or [Place(path, CAMERAS) for path in alone]
    return found, []


def _each(
    use: Callable[[_Given], _Opened], given: Iterable[_Given], rejected: list[PairsError] | None
) -> list[_Opened]:
    """The result of ``use`` for each; its errors go to ``rejected``, if that is given."""
    made = []
    for one in given:
        try:
            made.append(use(one))
        except PairsError as error:
            if rejected is None:
                raise
            rejected.append(error)
    return made


def no_recording(rejected: Sequence[PairsError], folders: Sequence[AnyPath]) -> PairsError:
    """The error where no recording of some folders can be used: why not, if there is one alone."""
    if len(rejected) == 1:
        return rejected[0]
    return PairsError(
        f"not one of {len(rejected)} recordings can be used, first {rejected[0]}",
        ", ".join(str(folder) for folder in folders),
    )


def _distinct_names(folders: Sequence[AnyPath]) -> list[str]:
    """The last part of each path, with its parent's where two would be equal."""
    paths = [folder.resolve() for folder in folders]
    last = [path.name for path in paths]
    return [
        name if last.count(name) == 1 else f"{path.parent.name}/{name}"
        for path, name in zip(paths, last, strict=True)
    ]


def _open_folder(
    folder: AnyPath, licence: str, name: str, *, pairing: Pairing, rejected: list[PairsError] | None
) -> PairSource:
    if is_shards(folder):
        return _open_shards(folder, pairing)
    places = recording_places(folder, name, pairing)
    copy = places[0].copy
    takes = [take for several in _each(RecordingPlace.takes, places, rejected) for take in several]
    here = _on_disk(folder)
    inside = here if here.is_dir() else None
    return FolderPairs(
        name,
        takes,
        licence=licence,
        rejected=rejected,
        folder=inside,
        rigs=rigs_of(takes, pairing),
        any_aspect=pairing.any_aspect,
        copy=copy,
    )


def rigs_of(takes: Sequence[Take], pairing: Pairing) -> dict[str, Rig]:
    """The rig of each recording with RGB, if the user gave one."""
    rig = pairing.used_rig
    return {} if rig is None else {take.name: rig for take in takes if take.has_rgb}


def _open_shards(folder: AnyPath, pairing: Pairing) -> ShardPairs:
    if replace(pairing, tir_alone=False, rig=None, any_aspect=False) != Pairing():
        raise PairsError(
            "shards are pairs already, read as they were when they were mined",
            folder,
            "leave out --layout, --rgb, --tir, --match, --max-gap, --delay and how to read TIR, or "
            "mine the pairs again with them",
        )
    return ShardPairs(
        folder, tir_alone=pairing.tir_alone, rig=pairing.rig, any_aspect=pairing.any_aspect
    )


@dataclass(frozen=True)
class RecordingPlace:
    """A folder or video that holds a recording, or several.

    Attributes:
        path: the folder or video.
        name: name of its recording.
        layout: name of the layout in which its files lie.
        pairing: how its cameras are named and paired.
        copy: copy on the disk in which it lies, of what lies at an address.
    """

    path: Path
    name: str
    layout: str
    pairing: Pairing
    copy: Copy | None = None

    def takes(self) -> list[Take]:
        """Its recordings.

        Raises:
            PairsError: they cannot be used.
        """
        with naming_origin(self.copy):
            return LAYOUTS[self.layout].takes(self.path, self.name, self.pairing)


def recording_places(folder: AnyPath, name: str, pairing: Pairing) -> list[RecordingPlace]:
    """Where the recordings of a folder lie, in natural order; no frame is read.

    Args:
        folder: folder of recordings, a recording, or a video of TIR; one at an address is copied to
            the disk.
        name: name of the source.
        pairing: what the user says about the cameras.

    Raises:
        PairsError: the folder is missing, or no recording is in it.
    """
    here = _on_disk(folder)
    if not here.exists():
        raise PairsError("there is no such folder", here, "check the path")
    copy = Copy(here, folder) if isinstance(folder, RemotePath) else None
    with naming_origin(copy):
        return _recording_places(here, name, pairing, copy)


def _recording_places(
    folder: Path, name: str, pairing: Pairing, copy: Copy | None
) -> list[RecordingPlace]:
    pairs, alone = _places(folder, pairing)
    if alone or pairing.tir_alone:  # nothing to match by time, or to take later
        pairing = replace(
            pairing, match=None, max_gap_s=None, delay_frames=None, tir_alone=True, rig=None
        )
    places = pairs or alone
    if not places and folder.is_file():
        raise _no_tir_video(folder)
    if not places:
        raise no_takes(folder)
    return [
        RecordingPlace(
            one.folder, _name_of(one.folder, folder, name), one.layout.name, pairing, copy
        )
        for one in places
    ]


def _no_tir_video(file: Path) -> PairsError:
    if refused := refused_recording(file):
        return refused
    if file.suffix.lower() not in VIDEO_KINDS:
        return PairsError("is a file and no video", file, "give a folder, or a video of TIR")
    return PairsError(
        "is not taken for TIR alone: it is named like an RGB camera, or --rgb was given",
        file,
        "give the folder that holds both cameras, or rename the file",
    )


def _name_of(place: Path, folder: Path, name: str) -> str:
    inside = place.relative_to(folder).as_posix()
    return name if inside == "." else f"{name}/{inside}"
