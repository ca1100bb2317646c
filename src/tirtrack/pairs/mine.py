"""Mine pairs: every pair is read once, and its files go into shards.

A plan first says which recordings, which pairs, which shard; then each shard is made by itself, in
this process, in several, or on a cluster. What a shard holds depends on the plan alone, so any
number of processes writes the same bytes, and a run that was stopped goes on at the shards that are
missing. One recording is open at a time, in the plan as in the work: memory grows with the longest
recording and with the number of recordings and shards, not with the number of pairs.

Only what a pair is made of is opened, as by :func:`~tirtrack.pairs.folder.open_pairs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from tirtrack.cluster import LOCAL, cluster_results, connected
from tirtrack.errors import PairsError, RequestError, RunError
from tirtrack.files import (
    MARKER,
    fingerprint,
    new_folder,
    remove_partials,
    sole_writer,
    write_json,
)
from tirtrack.identity import IDENTITY_NAME, check_same_identity
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.doubts import counts_left_out
from tirtrack.pairs.folder import FolderPairs, RecordingPlace, named_folders
from tirtrack.pairs.layouts.split import SplitTake
from tirtrack.pairs.likeness import Unusable, unusable
from tirtrack.pairs.mining_plan import (
    Plan,
    ShardPlan,
    holds_videos,
    opened_place,
    plan_mining,
    sample_files,
)
from tirtrack.pairs.recordings import Take, VideoTake
from tirtrack.pairs.shard_models import Fault, Sample, ShardEntry, ShardIndex
from tirtrack.pairs.shard_writing import (
    SampleFiles,
    ShardFindings,
    finished_shard,
    shard_findings,
    write_shard,
)
from tirtrack.pairs.shards import INDEX_NAME, check_shards, read_index
from tirtrack.progress import Progress, silent
from tirtrack.remote import AnyPath, RemotePath, any_path, new_remote_folder, on_disk
from tirtrack.stored import write_stored
from tirtrack.workers import check_workers, results_of

MB = 10**6
SHARD_MB = 256
MAX_BAD = 0.001


def mine_pairs(
    pairs: str | AnyPath | Sequence[str | AnyPath],
    out: str | AnyPath,
    *,
    pairing: Pairing = Pairing(),  # noqa: B008 - frozen
    licence: str = "not stated",
    shard_mb: int = SHARD_MB,
    max_bad: float = MAX_BAD,
    judge: bool = False,
    workers: int = 1,
    cluster: str | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> ShardIndex:
    """Read every pair of some folders, and store their files in shards.

    Args:
        pairs: folder or folders of recordings; those at an address (``s3://bucket/night``) are
            copied to the disk first.
        out: new folder for the shards, on the disk or at an address.
        pairing: names of the two cameras and how frames are matched.
        licence: licence under which the files are held.
        shard_mb: size of a shard, megabytes; only a longer video makes a larger one.
        max_bad: share of the pairs, and of the recordings, that may be unusable.
        judge: judge what readable pairs show (blank, shutter frames, different scenes, ...), once
            for all distillations that leave such pairs out. All are stored, and none counts as bad.
        workers: number of processes that read pairs; the shards do not depend on it.
        cluster: address of a Ray cluster whose processes read pairs, ``local`` for one that is
            started for this; every machine of it needs the folders under the same paths.
        resume: go on with a run that was stopped; a finished one is checked, byte by byte.
        force: replace what is at ``out``.
        progress: callback that is told of every finished shard, in pairs.

    Returns:
        The index of the shards, as in ``index.json``.

    Raises:
        PairsError: there is no such folder, or too many recordings cannot be used; nothing was
            written.
        RequestError: ``out`` exists, or was begun with other pairs or settings, or another process
            writes there. Or no cluster answers.
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
    folder, read = any_path(out), [one for _, one in named_folders(pairs)]
    if cluster not in (None, LOCAL):
        _check_seen(read)
    plan = plan_mining(pairs, pairing, shard_mb * MB, max_bad, progress)
    facts = _Facts(licence, judge)
    with ExitStack() as stack:
        if cluster is not None:
            plan, folder = _absolute(plan), folder.absolute()
            stack.enter_context(connected(cluster, workers))
        with sole_writer(folder):
            begun = _begin(folder, plan, facts, read, force=force, resume=resume)
        stack.enter_context(sole_writer(folder))
        if not begun:
            return _checked(folder)
        return _mined(
            folder, plan, facts, max_bad, workers, progress, on_cluster=cluster is not None
        )


@dataclass(frozen=True)
class _Facts:
    """What is kept of every pair besides its files."""

    licence: str
    judge: bool


def _mined(
    folder: AnyPath,
    plan: Plan,
    facts: _Facts,
    max_bad: float,
    workers: int,
    progress: Progress,
    *,
    on_cluster: bool,
) -> ShardIndex:
    """Make the shards of a plan that are missing, and the index of all."""
    entries: dict[int, ShardEntry] = {}
    faults: dict[int, Sequence[Fault]] = {}
    readable: Counter[str] = Counter()
    wrong: dict[str, Counter[Unusable]] = {}
    done, total = 0, sum(one.pairs for one in plan.recordings)
    make = partial(_begin_mining, folder, plan.places, facts)
    results = cluster_results if on_cluster else results_of
    works = results(make, plan.shards, workers, task="mines pairs", where=str(folder))
    progress("mining pairs", 0, total)
    for number, (entry, found) in works:
        entries[number], faults[number] = entry, found.faults
        readable.update(found.readable)
        for name, counts in found.unusable.items():
            wrong.setdefault(name, Counter()).update(counts)
        done += sum(one.stop - one.start for one in plan.shards[number].parts)
        progress("mining pairs", done, total)
        _check_bad([one for some in faults.values() for one in some], total, max_bad, folder)
    index = ShardIndex(
        name=plan.name,
        licence=facts.licence,
        recordings=plan.recordings,
        shards=tuple(entries[number] for number in range(len(plan.shards))),
        faults=tuple(one for number in range(len(plan.shards)) for one in faults[number]),
        judged=facts.judge,
        unusable={
            one.name: counts
            for one in plan.recordings
            if (counts := counts_left_out(wrong.get(one.name, {}), readable[one.name]))
        },
        unusable_recordings=plan.unusable,
    )
    if on_cluster and isinstance(folder, Path):
        remove_partials(folder)  # of tasks that were lost and done again
    write_stored(folder / INDEX_NAME, index)
    return index


def _absolute(plan: Plan) -> Plan:
    """The plan for processes that work in other folders."""
    places = [replace(one, path=one.path.absolute()) for one in plan.places]
    return replace(plan, places=tuple(places))


def _check_seen(read: Sequence[AnyPath]) -> None:
    """Refuse recordings that are copied to this machine where others shall read them."""
    remote = [one for one in read if isinstance(one, RemotePath)]
    if remote:
        raise RequestError(
            "recordings at an address are copied to this machine, where the others of a cluster do "
            "not see them",
            remote[0],
            "copy them to a folder that all machines share",
        )


def _checked(folder: AnyPath) -> ShardIndex:
    """The index of finished shards, after a look at every byte of them."""
    damaged = check_shards(folder)
    if damaged:
        raise RunError(
            f"{len(damaged)} of the finished shards are damaged, first {damaged[0]}",
            folder,
            "begin anew with --force",
        )
    return read_index(folder)


def _check_bad(faults: Sequence[Fault], total: int, max_bad: float, folder: AnyPath) -> None:
    if len(faults) > max_bad * total:
        raise RunError(
            f"{len(faults)} of {total} pairs cannot be used so far, more than {max_bad:.3g} of "
            f"them: {faults[0].pair}: {faults[0].why}",
            folder,
            "repair or remove them and begin anew with --force, or go on with --resume and a "
            "larger --max-bad",
        )


def _begin(
    folder: AnyPath,
    plan: Plan,
    facts: _Facts,
    read: Sequence[AnyPath],
    *,
    force: bool,
    resume: bool,
) -> bool:
    """Make the folder, or go on in it; false if nothing is left to do.

    Raises:
        RequestError: it exists, or was begun with other pairs or settings; nothing was changed.
    """
    identity = {
        "format": ShardIndex.model_fields["format"].default,
        "pairs": plan.files,
        "recordings": [one.model_dump(mode="json") for one in plan.recordings],
        "shards": [[asdict(part) for part in one.parts] for one in plan.shards],
        "licence": facts.licence,
        **({"judged": True} if facts.judge else {}),
    }
    hashed = {name: fingerprint(one) for name, one in identity.items()}
    path = folder / IDENTITY_NAME
    with _reachable(folder):
        resumes = resume and path.is_file()
        if resumes:
            check_same_identity(path, hashed)
        if resumes and (folder / INDEX_NAME).is_file():
            return False
    if resumes:
        if isinstance(folder, Path):
            remove_partials(folder)
        return True
    if isinstance(folder, RemotePath):
        new_remote_folder(folder, MARKER, force=force, inputs=read)
    else:
        given = [here for one in read if (here := on_disk(one)) is not None]
        new_folder(folder, force=force, inputs=[*given, *(place.path for place in plan.places)])
    write_json(path, hashed)
    return True


@contextmanager
def _reachable(folder: AnyPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"could not be read ({error.strerror})", folder, "go on with --resume once it can be"
        ) from error


def _begin_mining(
    folder: AnyPath, places: Sequence[RecordingPlace], facts: _Facts
) -> Callable[[ShardPlan], tuple[ShardEntry, ShardFindings]]:
    """The function that makes a shard, unless it is there; the last recordings stay open."""
    opened = lru_cache(1)(lambda place: opened_place(places[place], []))

    def mined(shard: ShardPlan) -> tuple[ShardEntry, ShardFindings]:
        with _reachable(folder):
            entry = finished_shard(folder, shard.number)
        if entry is None:
            entry = write_shard(folder, shard.number, _samples(shard, opened, facts))
        return entry, shard_findings(folder, entry)

    return mined


def _samples(
    shard: ShardPlan, opened: Callable[[int], FolderPairs], facts: _Facts
) -> Iterator[SampleFiles]:
    """The samples of a shard, whose pairs were read: those that cannot be used say why."""
    for part in shard.parts:
        source = opened(part.place)
        takes = {take.name: take for take in source.takes}
        if part.recording not in takes:
            raise RunError("has changed while it was mined", part.recording, "mine it again")
        take, recording = takes[part.recording], source.recordings()[part.recording]
        step = part.stop - part.start if holds_videos(take) else 1
        said = {
            "licence": facts.licence,
            "is_video": recording.is_video,
            "paired": take.layout,
            "assumed": recording.assumed,
            "frames_per_s": recording.frames_per_s,
            "read_as": recording.read_as,
            **_split_in_words(take),
        }
        for number, start in enumerate(range(part.start, part.stop, step), part.first_sample):
            positions = range(start, start + step)
            indices = [recording.indices[position] for position in positions]
            faults, wrong = _looked_at(source, indices, judge=facts.judge)
            sample = Sample(
                recording=take.name,
                position=start,
                keys=[take.stem(position) for position in positions],
                places=take.places
                if isinstance(take, VideoTake | SplitTake) and holds_videos(take)
                else (),
                faults=faults,
                unusable=wrong,
            )
            yield SampleFiles(number, sample, sample_files(take, start), said)


def _split_in_words(take: Take) -> dict[str, Any]:
    """The layout of pictures that hold both cameras, and which half is which camera's."""
    if not isinstance(take, SplitTake):
        return {}
    halves = take.split.halves
    rgb, tir = halves[take.rgb_half], halves[1 - take.rgb_half]
    return {"split": {"layout": take.split.name, "rgb": rgb, "tir": tir}}


def _looked_at(
    source: FolderPairs, indices: Sequence[int], *, judge: bool
) -> tuple[dict[int, str], dict[int, Unusable]]:
    """Why pairs cannot be read, and what is wrong with what others show, by their place among those
    given.
    """
    faults: dict[int, str] = {}
    found: dict[int, Unusable] = {}
    for place, index in enumerate(indices):
        try:
            pair = source[index]
        except PairsError as error:
            faults[place] = error.what
            continue
        if judge and (kind := unusable(pair)) is not None:
            found[place] = kind
    return faults, found
