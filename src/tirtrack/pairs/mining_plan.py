"""What is mined, and into which shard each pair goes: known before a pair is read.

One recording is open at a time; no more than its facts are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tirtrack.errors import PairsError
from tirtrack.pairs.camera_names import Match, Pairing
from tirtrack.pairs.folder import (
    FolderPairs,
    RecordingPlace,
    named_folders,
    no_recording,
    recording_places,
    rigs_of,
)
from tirtrack.pairs.layouts.split import SplitTake
from tirtrack.pairs.recordings import ImageTake, Take, VideoTake
from tirtrack.pairs.shard_models import (
    Role,
    StoredPairing,
    StoredRecording,
    StoredSplit,
    plain_name,
)
from tirtrack.pairs.shards import is_shards
from tirtrack.pairs.source import Recording
from tirtrack.progress import Progress
from tirtrack.remote import AnyPath

MAX_SHARD_SAMPLES = 10_000  # so that the index of one shard stays small


@dataclass(frozen=True)
class Part:
    """Consecutive pairs of a recording in one shard; of videos, all of them."""

    place: int
    recording: str
    start: int
    stop: int
    first_sample: int


@dataclass(frozen=True)
class ShardPlan:
    """What goes into one shard."""

    number: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Plan:
    """What is mined: the places of the recordings, their facts, and the shards.

    Attributes:
        files: hash of the names and sizes of all files.
        unusable: recordings that are left out, and why.
    """

    name: str
    places: tuple[RecordingPlace, ...]
    recordings: tuple[StoredRecording, ...]
    shards: tuple[ShardPlan, ...]
    files: str
    unusable: tuple[str, ...]


def plan_mining(
    pairs: str | AnyPath | Sequence[str | AnyPath],
    pairing: Pairing,
    shard_bytes: int,
    max_bad: float,
    progress: Progress,
) -> Plan:
    """What is mined from some folders.

    Args:
        pairs: folder or folders of recordings.
        pairing: names of the two cameras and how frames are matched.
        shard_bytes: size at which a shard is full.
        max_bad: share of the recordings that may be unusable.
        progress: callback that is told of every place that was looked at.

    Raises:
        PairsError: there is no such folder, or too many recordings cannot be used.
    """
    named = named_folders(pairs)
    places = []
    for name, folder in named:
        if is_shards(folder):
            raise PairsError("holds shards, which were mined already", folder, "give its source")
        places += recording_places(folder, name, pairing)
    packing, unusable = _Packing(shard_bytes), list[PairsError]()
    for number, place in enumerate(places):
        rejected: list[PairsError] = []
        source = opened_place(place, rejected)
        recordings = source.recordings()
        for take in source.takes:
            _check_name(take.name, place.path)
            facts = _stored(take, place, recordings[take.name], source, packing.samples)
            packing.add(number, take, facts)
        unusable += rejected
        progress("looking for pairs", number + 1, len(places))
    _check_recordings(packing.recordings, unusable, max_bad, [folder for _, folder in named])
    return Plan(
        " + ".join(name for name, _ in named),
        tuple(places),
        tuple(packing.recordings),
        packing.shards(),
        packing.files.hexdigest(),
        tuple(str(error) for error in unusable),
    )


def opened_place(place: RecordingPlace, rejected: list[PairsError]) -> FolderPairs:
    """The recordings at a place, those left out that cannot be used."""
    try:
        takes = place.takes()
    except PairsError as error:
        rejected.append(error)
        takes = []
    return FolderPairs(
        place.name,
        takes,
        rejected=rejected,
        rigs=rigs_of(takes, place.pairing),
        copy=place.copy,
    )


def _check_recordings(
    recordings: Sequence[StoredRecording],
    unusable: Sequence[PairsError],
    max_bad: float,
    folders: Sequence[AnyPath],
) -> None:
    where = ", ".join(map(str, folders))
    total = len(recordings) + len(unusable)
    if not recordings:
        raise no_recording(unusable, folders)
    if len(unusable) > max_bad * total:
        raise PairsError(
            f"{len(unusable)} of {total} recordings cannot be used, first {unusable[0]}",
            where,
            "repair or remove them, or allow more with a larger --max-bad",
        )
    names = [one.name for one in recordings]
    if len(set(names)) < len(names):
        twice = min(name for name in names if names.count(name) > 1)
        raise PairsError(f"two recordings are called {twice}", where, "rename one of the folders")


def _check_name(name: str, where: Path) -> None:
    """Refuse a name that shards cannot give back."""
    try:
        plain_name(name.replace("/", "_"))
    except ValueError as error:
        raise PairsError(f"its name cannot go into shards: {error}", where, "rename it") from error


class _Packing:
    """Puts recordings into shards, one after the other."""

    def __init__(self, shard_bytes: int) -> None:
        self.recordings: list[StoredRecording] = []
        self.files = hashlib.sha256()
        self._shard_bytes = shard_bytes
        self._done: list[ShardPlan] = []
        self._parts: list[Part] = []
        self._bytes = self._inside = 0
        self.samples = 0

    def add(self, place: int, take: Take, facts: StoredRecording) -> None:
        """Put all pairs of a recording into the shard at hand; when it is full, into the next."""
        self.recordings.append(facts)
        step = facts.pairs if facts.holds_videos else 1
        for start in range(0, facts.pairs, step):
            part = Part(place, facts.name, start, start + step, self.samples)
            self._add_sample(part, sample_files(take, start).values())

    def _add_sample(self, part: Part, files: Iterable[Path]) -> None:
        size = 0
        for path in files:
            _check_name(path.name, path)
            one = path.stat().st_size if path.is_file() else 0
            self.files.update(f"{part.recording}/{path.name}\0{one}\0".encode())
            size += one
        is_full = self._bytes + size > self._shard_bytes or self._inside == MAX_SHARD_SAMPLES
        if is_full and self._inside:
            self._close()
        last = self._parts[-1] if self._parts else None
        if last and (last.place, last.recording) == (part.place, part.recording):
            self._parts[-1] = replace(last, stop=part.stop)
        else:
            self._parts.append(part)
        self._bytes += size
        self._inside += 1
        self.samples += 1

    def _close(self) -> None:
        self._done.append(ShardPlan(len(self._done), tuple(self._parts)))
        self._parts, self._bytes, self._inside = [], 0, 0

    def shards(self) -> tuple[ShardPlan, ...]:
        """All of them; nothing can be added afterwards."""
        self._close()
        return tuple(self._done)


def _stored(
    take: Take, place: RecordingPlace, recording: Recording, source: FolderPairs, first_sample: int
) -> StoredRecording:
    moved = isinstance(take, SplitTake) and any(rgb != tir for rgb, tir in take.places)
    if moved and not holds_videos(take):
        raise PairsError(
            "images that hold both cameras cannot go into shards with a delay or time offset",
            take.name,
            "leave --delay and --rig out, or cut the images into rgb/ and tir/ first",
        )
    options = {name: one for name, one in asdict(take.tir_options).items() if one is not None}
    return StoredRecording(
        name=take.name,
        pairs=len(take),
        first_sample=first_sample,
        holds_videos=holds_videos(take),
        is_video=recording.is_video,
        assumed=recording.assumed,
        matched=recording.matched,
        frames_per_s=recording.frames_per_s,
        warnings=tuple(recording.warnings),
        description=tuple(recording.description),
        has_rgb=recording.has_rgb,
        pairing=StoredPairing(
            match=None if place.pairing.match is None else Match(place.pairing.match),
            max_gap_s=place.pairing.max_gap_s,
            delay_frames=place.pairing.delay_frames or 0,
            tir_options=options,
        ),
        tir_depth=source.tir_depths[take.name],
        no_data=source.no_data[take.name],
        rig=place.pairing.used_rig if take.has_rgb else None,
        split=StoredSplit(layout=take.split.name, rgb_half=take.rgb_half)
        if isinstance(take, SplitTake)
        else None,
    )


def holds_videos(take: Take) -> bool:
    """Whether the files of a recording are whole videos."""
    return take.holds_video if isinstance(take, SplitTake) else isinstance(take, VideoTake)


def sample_files(take: Take, position: int) -> dict[Role, Path]:
    """The files of a pair, or of the videos that hold all pairs of a recording."""
    if isinstance(take, SplitTake):
        return {"both": take.files()[0 if take.holds_video else position]}
    if isinstance(take, ImageTake):
        rgb, tir = take.files_rgb[position : position + 1], take.files_tir[position]
    else:
        *rgb, tir = take.files()
    files: dict[Role, Path] = {"tir": tir}
    return {"rgb": rgb[0], **files} if rgb else files
