"""Mine pairs: every pair is read once, and its files go into shards.

A plan first says which recordings, which pairs, which shard; then each shard is made by itself, in
this process or in several. What a shard holds depends on the plan alone, so any number of
processes writes the same bytes, and a run that was stopped goes on at the shards that are
missing. One recording is open at a time, in the plan as in the work: memory grows with the longest
recording and with the number of recordings and shards, not with the number of pairs.

Only what a pair is made of is opened, as by :func:`~tirtrack.pairs.folder.open_pairs`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from tirtrack.errors import PairsError, RequestError, RunError
from tirtrack.files import fingerprint, new_folder, remove_partials, write_json
from tirtrack.identity import IDENTITY_NAME, check_same_identity
from tirtrack.pairs.camera_names import Match, Pairing
from tirtrack.pairs.folder import FolderPairs, RecordingPlace, named_folders, recording_places
from tirtrack.pairs.recordings import ImageTake, Take, VideoTake
from tirtrack.pairs.shards import (
    INDEX_NAME,
    Fault,
    Modality,
    Sample,
    SampleFiles,
    ShardEntry,
    ShardIndex,
    StoredPairing,
    StoredRecording,
    check_shards,
    finished_shard,
    is_shards,
    read_index,
    shard_faults,
    write_shard,
)
from tirtrack.pairs.source import Recording
from tirtrack.progress import Progress, silent
from tirtrack.stored import write_stored
from tirtrack.workers import check_workers, results_of

MB = 10**6
SHARD_MB = 256
MAX_SHARD_SAMPLES = 10_000  # so that the index of one shard stays small
MAX_BAD = 0.001


def mine_pairs(
    pairs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    pairing: Pairing = Pairing(),  # noqa: B008 - frozen
    licence: str = "not stated",
    shard_mb: int = SHARD_MB,
    max_bad: float = MAX_BAD,
    workers: int = 1,
    resume: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> ShardIndex:
    """Read every pair of some folders, and store their files in shards.

    Args:
        pairs: folder or folders of recordings.
        out: new folder for the shards.
        pairing: names of the two cameras and how frames are matched.
        licence: licence under which the files are held.
        shard_mb: size of a shard, megabytes; only a longer video makes a larger one.
        max_bad: share of the pairs, and of the recordings, that may be unusable.
        workers: number of processes that read pairs; the shards do not depend on it.
        resume: go on with a run that was stopped; a finished one is checked, byte by byte.
        force: replace what is at ``out``.
        progress: callback that is told of every finished shard, in pairs.

    Returns:
        The index of the shards, as in ``index.json``.

    Raises:
        PairsError: there is no such folder, or too many recordings cannot be used; nothing was
            written.
        RequestError: ``out`` exists, or was begun with other pairs or settings.
        RunError: too many pairs cannot be used, or a worker process died; finished shards stay,
            for ``resume``. Or shards that were finished are damaged.
        StorageError: a file could not be written.
    """
    check_workers(workers)
    if shard_mb < 1 or not 0 <= max_bad < 1:
        raise RequestError(
            f"a shard has 1 MB or more and the share of bad pairs is 0 or more and below 1, got "
            f"{shard_mb} and {max_bad:g}"
        )
    plan = _plan(pairs, pairing, shard_mb * MB, max_bad, progress)
    folder = Path(out)
    if not _begin(folder, plan, licence, force=force, resume=resume):
        return _checked(folder)
    entries: dict[int, ShardEntry] = {}
    faults: dict[int, Sequence[Fault]] = {}
    done, total = 0, sum(one.pairs for one in plan.recordings)
    make = partial(_begin_mining, folder, plan.places, licence)
    works = results_of(make, plan.shards, workers, task="mines pairs", where=str(folder))
    progress("mining pairs", 0, total)
    for number, (entry, found) in works:
        entries[number], faults[number] = entry, found
        done += sum(one.stop - one.start for one in plan.shards[number].parts)
        progress("mining pairs", done, total)
        _check_bad([one for some in faults.values() for one in some], total, max_bad, folder)
    index = ShardIndex(
        name=plan.name,
        licence=licence,
        recordings=plan.recordings,
        shards=tuple(entries[number] for number in range(len(plan.shards))),
        faults=tuple(one for number in range(len(plan.shards)) for one in faults[number]),
        unusable_recordings=plan.unusable,
    )
    write_stored(folder / INDEX_NAME, index)
    return index


def _checked(folder: Path) -> ShardIndex:
    """The index of finished shards, after a look at every byte of them."""
    damaged = check_shards(folder)
    if damaged:
        raise RunError(
            f"{len(damaged)} of the finished shards are damaged, first {damaged[0]}",
            folder,
            "begin anew with --force",
        )
    return read_index(folder)


def _check_bad(faults: Sequence[Fault], total: int, max_bad: float, folder: Path) -> None:
    if len(faults) > max_bad * total:
        raise RunError(
            f"{len(faults)} of {total} pairs cannot be used so far, more than {max_bad:.3g} of "
            f"them: {faults[0].pair}: {faults[0].why}",
            folder,
            "repair or remove them and begin anew with --force, or go on with --resume and a "
            "larger --max-bad",
        )


# --- the plan -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """Consecutive pairs of a recording in one shard; of videos, all of them."""

    place: int
    recording: str
    start: int
    stop: int
    first_sample: int


@dataclass(frozen=True)
class _Shard:
    """What goes into one shard."""

    number: int
    parts: tuple[_Part, ...]


@dataclass(frozen=True)
class _Plan:
    """What is mined: the places of the recordings, their facts, and the shards.

    Attributes:
        files: hash of the names and sizes of all files.
        unusable: recordings that are left out, and why.
    """

    name: str
    places: tuple[RecordingPlace, ...]
    recordings: tuple[StoredRecording, ...]
    shards: tuple[_Shard, ...]
    files: str
    unusable: tuple[str, ...]


def _plan(
    pairs: str | Path | Sequence[str | Path],
    pairing: Pairing,
    shard_bytes: int,
    max_bad: float,
    progress: Progress,
) -> _Plan:
    named = named_folders(pairs)
    places = []
    for name, folder in named:
        if is_shards(folder):
            raise PairsError("holds shards, which were mined already", folder, "give its source")
        places += recording_places(folder, name, pairing)
    packing, unusable = _Packing(shard_bytes), []
    for number, place in enumerate(places):
        rejected: list[PairsError] = []
        source = _opened(place, rejected)
        recordings = source.recordings()
        for take in source.takes:
            facts = _stored(take, place, recordings[take.name], source, packing.samples)
            packing.add(number, take, facts)
        unusable += [str(error) for error in rejected]
        progress("looking for pairs", number + 1, len(places))
    _check_recordings(packing.recordings, unusable, max_bad, [folder for _, folder in named])
    return _Plan(
        " + ".join(name for name, _ in named),
        tuple(places),
        tuple(packing.recordings),
        packing.shards(),
        packing.files.hexdigest(),
        tuple(unusable),
    )


def _opened(place: RecordingPlace, rejected: list[PairsError]) -> FolderPairs:
    """The recordings at a place, those left out that cannot be used."""
    try:
        takes = place.takes()
    except PairsError as error:
        rejected.append(error)
        takes = []
    return FolderPairs(place.name, takes, rejected=rejected)


def _check_recordings(
    recordings: Sequence[StoredRecording],
    unusable: Sequence[str],
    max_bad: float,
    folders: Sequence[Path],
) -> None:
    where = ", ".join(map(str, folders))
    total = len(recordings) + len(unusable)
    if not recordings or len(unusable) > max_bad * total:
        raise PairsError(
            f"{len(unusable)} of {total} recordings cannot be used, first {unusable[0]}",
            where,
            "repair or remove them, or allow more with a larger --max-bad",
        )
    names = [one.name for one in recordings]
    if len(set(names)) < len(names):
        twice = min(name for name in names if names.count(name) > 1)
        raise PairsError(f"two recordings are called {twice}", where, "rename one of the folders")


class _Packing:
    """Puts recordings into shards, one after the other."""

    def __init__(self, shard_bytes: int) -> None:
        self.recordings: list[StoredRecording] = []
        self.files = hashlib.sha256()
        self._shard_bytes = shard_bytes
        self._done: list[_Shard] = []
        self._parts: list[_Part] = []
        self._bytes = self._inside = 0
        self.samples = 0

    def add(self, place: int, take: Take, facts: StoredRecording) -> None:
        """Put all pairs of a recording into the shard at hand; when it is full, into the next."""
        self.recordings.append(facts)
        step = facts.pairs if facts.holds_videos else 1
        for start in range(0, facts.pairs, step):
            part = _Part(place, facts.name, start, start + step, self.samples)
            self._add_sample(part, _files(take, start).values())

    def _add_sample(self, part: _Part, files: Iterable[Path]) -> None:
        size = 0
        for path in files:
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
        self._done.append(_Shard(len(self._done), tuple(self._parts)))
        self._parts, self._bytes, self._inside = [], 0, 0

    def shards(self) -> tuple[_Shard, ...]:
        """All of them; nothing can be added afterwards."""
        self._close()
        return tuple(self._done)


def _stored(
    take: Take, place: RecordingPlace, recording: Recording, source: FolderPairs, first_sample: int
) -> StoredRecording:
    if not isinstance(take, ImageTake | VideoTake):
        raise PairsError("a recording of this kind cannot go into shards", take.name)
    options = {name: one for name, one in asdict(take.tir_options).items() if one is not None}
    return StoredRecording(
        name=take.name,
        pairs=len(take),
        first_sample=first_sample,
        holds_videos=isinstance(take, VideoTake),
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
            delay_frames=take.delay_frames,
            tir_options=options,
        ),
        tir_depth=source.tir_depths[take.name],
        no_data=source.no_data[take.name],
    )


def _files(take: Take, position: int) -> dict[Modality, Path]:
    """The files of a pair of images, or of two videos."""
    if isinstance(take, ImageTake):
        rgb, tir = take.files_rgb[position : position + 1], take.files_tir[position]
    else:
        *rgb, tir = take.files()
    files: dict[Modality, Path] = {"tir": tir}
    return {"rgb": rgb[0], **files} if rgb else files


# --- the work -------------------------------------------------------------------------------------


def _begin(folder: Path, plan: _Plan, licence: str, *, force: bool, resume: bool) -> bool:
    """Make the folder, or go on in it; false if nothing is left to do.

    Raises:
        RequestError: it exists, or was begun with other pairs or settings; nothing was changed.
    """
    identity = {
        "format": ShardIndex.model_fields["format"].default,
        "pairs": plan.files,
        "recordings": [one.model_dump(mode="json") for one in plan.recordings],
        "shards": [[asdict(part) for part in one.parts] for one in plan.shards],
        "licence": licence,
    }
    hashed = {name: fingerprint(one) for name, one in identity.items()}
    path = folder / IDENTITY_NAME
    if resume and path.is_file():
        check_same_identity(path, hashed)
        if (folder / INDEX_NAME).is_file():
            return False
        remove_partials(folder)
        return True
    new_folder(folder, force=force)
    write_json(path, hashed)
    return True


def _begin_mining(
    folder: Path, places: Sequence[RecordingPlace], licence: str
) -> Callable[[_Shard], tuple[ShardEntry, Sequence[Fault]]]:
    """The function that makes a shard, unless it is there; the last recordings stay open."""
    opened = lru_cache(1)(lambda place: _opened(places[place], []))

    def mined(shard: _Shard) -> tuple[ShardEntry, Sequence[Fault]]:
        entry = finished_shard(folder, shard.number)
        if entry is None:
            entry = write_shard(folder, shard.number, _samples(shard, opened, licence))
        return entry, shard_faults(folder, entry)

    return mined


def _samples(
    shard: _Shard, opened: Callable[[int], FolderPairs], licence: str
) -> Iterator[SampleFiles]:
    """The samples of a shard, whose pairs were read: those that cannot be used say why."""
    for part in shard.parts:
        source = opened(part.place)
        takes = {take.name: take for take in source.takes}
        if part.recording not in takes:
            raise RunError("has changed while it was mined", part.recording, "mine it again")
        take, recording = takes[part.recording], source.recordings()[part.recording]
        step = part.stop - part.start if isinstance(take, VideoTake) else 1
        facts = {
            "licence": licence,
            "is_video": recording.is_video,
            "paired": take.layout,
            "assumed": recording.assumed,
            "frames_per_s": recording.frames_per_s,
            "read_as": recording.read_as,
        }
        for number, start in enumerate(range(part.start, part.stop, step), part.first_sample):
            positions = range(start, start + step)
            sample = Sample(
                recording=take.name,
                position=start,
                keys=[take.stem(position) for position in positions],
                places=take.places if isinstance(take, VideoTake) else (),
                faults=_faults(source, [recording.indices[position] for position in positions]),
            )
            yield SampleFiles(number, sample, _files(take, start), facts)


def _faults(source: FolderPairs, indices: Sequence[int]) -> dict[int, str]:
    """Why pairs cannot be used, by their place among those given."""
    found = {}
    for place, index in enumerate(indices):
        try:
            source[index]
        except PairsError as error:
            found[place] = error.what
    return found
