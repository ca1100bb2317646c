"""Tracks of many starts: made once, in several processes, and kept in the cache start by start.

A cached file is named by a hash of everything that the tracks of a start depend on: the content of
the pairs, the boxes, the origin of the follower, the settings. So a run that is killed loses the
starts at work and no other, however long a recording is. Starts do not depend on each other: the
tracks are the same from any number of processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from multiprocessing.reduction import ForkingPickler
from typing import Any

from pydantic import TypeAdapter

from tirtrack.cache import find_value, keep_value
from tirtrack.errors import RunError
from tirtrack.files import fingerprint
from tirtrack.pairs.fitted_boxes import WindowForeground, fitted_tracks_from
from tirtrack.pairs.source import PairSource
from tirtrack.pairs.tracklets import Follower, Start, Track, TrackSettings, tracks_from
from tirtrack.progress import Progress, silent
from tirtrack.workers import use_one_thread, working

FORMAT = 3  # raise it when tracks change
_STORED = TypeAdapter(list[Track])
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Following:
    """How boxes are followed through the pairs of a source.

    Attributes:
        source: the pairs.
        make_follower: function that makes the tracker.
        settings: which tracks are trusted.
        content: hash of all pairs of the source.
    """

    source: PairSource
    make_follower: Callable[[], Follower]
    settings: TrackSettings
    content: str

    def tracks_by_start(self, follower: Follower) -> Callable[[Start], list[Track]]:
        """The function that makes the tracks of a start; the pairs that it read last stay in
        memory, so that starts in order of time read each once.
        """
        read = lru_cache(self.settings.frames)(self.source.__getitem__)
        if not self.settings.fit:
            return partial(tracks_from, read=read, follower=follower, settings=self.settings)
        shown = lru_cache(1)(partial(WindowForeground, read=read, modalities=self.settings.fit))
        return partial(
            fitted_tracks_from, read=read, shown=shown, follower=follower, settings=self.settings
        )

    def identity(self, start: Start, origin: Any) -> dict[str, Any]:
        """Everything that the tracks of a start depend on, as JSON values."""
        first = start.indices[0]
        return {
            "format": FORMAT,
            "pairs": self.content,
            "indices": list(start.indices),
            "background": list(start.background),
            "proposals": [(first, asdict(one)) for one in start.proposals],
            "follower": fingerprint(origin),
            "settings": self.settings.model_dump(),
        }


def kept_tracks(
    following: Following,
    starts: Sequence[Start],
    *,
    workers: int = 1,
    progress: Progress = silent,
) -> list[list[Track]]:
    """The tracks of each start, made once for a follower of known origin.

    Args:
        following: pairs, tracker and settings.
        starts: starts, best in order of time.
        workers: number of processes, one thread each; 1 follows in this process, and so does a
            tracker or a source that cannot be sent to another one.
        progress: callback that is told of every finished start.

    Raises:
        RunError: a worker process died.
    """
    follower = following.make_follower()
    is_kept = follower.origin is not None
    identities = [following.identity(start, follower.origin) for start in starts if is_kept]
    tracks: dict[int, list[Track]] = {}
    for number, identity in enumerate(identities):
        if (found := find_value("tracks", identity, _STORED.validate_json)) is not None:
            tracks[number] = found
    due = [number for number in range(len(starts)) if number not in tracks]

    def ended(number: int, made: list[Track]) -> None:
        tracks[number] = made
        if is_kept:
            keep_value("tracks", identities[number], _STORED.dump_json(made).decode())
        progress("tracks", len(tracks), len(starts))

    progress("tracks", len(tracks), len(starts))
    jobs = [(number, starts[number]) for number in due]
    workers = min(workers, len(jobs))
    if workers > 1 and _can_be_sent(following):
        _make_in_workers(following, jobs, workers, ended)
    else:
        make = following.tracks_by_start(follower)
        for number, start in jobs:
            ended(number, make(start))
    return [tracks[number] for number in range(len(starts))]


def _can_be_sent(following: Following) -> bool:
    """Whether another process can be given the pairs and the tracker; logged if not."""
    try:
        ForkingPickler.dumps(following)
    except Exception as error:  # noqa: BLE001 - each object that cannot be sent says so differently
        _log.info("boxes are followed in one process: %s", error)
        return False
    return True


def _make_in_workers(
    following: Following,
    jobs: Iterable[tuple[int, Start]],
    workers: int,
    ended: Callable[[int, list[Track]], None],
) -> None:
    numbers, starts = zip(*jobs, strict=True)
    begin = partial(_begin_worker, following)
    with working(_make_in_worker, starts, workers, begin=begin) as futures:
        number_of = dict(zip(futures, numbers, strict=True))
        try:
            for future in as_completed(futures):
                ended(number_of[future], future.result())
        except BrokenProcessPool as error:
            raise RunError(
                "a worker process that follows boxes died",
                following.source.name,
                "memory may have run out: use fewer --workers",
            ) from error


# in a worker process: what makes the tracks of a start
_make_here: list[Callable[[Start], list[Track]]] = []


def _begin_worker(following: Following) -> None:
    use_one_thread()
    _make_here[:] = [following.tracks_by_start(following.make_follower())]


def _make_in_worker(start: Start) -> list[Track]:
    return _make_here[0](start)
