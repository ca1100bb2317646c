"""Tracks of many starts: made once, in several processes, and kept in the cache start by start.

A cached file is named by a hash of everything that the tracks of a start depend on: the content of
the pairs, the boxes, the origin of the follower, the settings. So a run that is killed loses the
starts at work and no other, however long a recording is. Starts do not depend on each other: the
tracks are the same from any number of processes. Tracks are not kept where one of their pairs could
not be read: once it can, they may be others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any

from pydantic import TypeAdapter

from tirtrack.cache import kept_values
from tirtrack.files import fingerprint
from tirtrack.pairs.fitted_boxes import WindowForeground, fitted_tracks_from
from tirtrack.pairs.proposals.base import FoundIn, Proposal
from tirtrack.pairs.proposals.centre import Centre
from tirtrack.pairs.proposals.random import Random
from tirtrack.pairs.source import Pair, PairSource, RecentPairs
from tirtrack.pairs.tracklets import Follower, Start, Track, TrackSettings, tracks_from
from tirtrack.progress import Progress, silent
from tirtrack.workers import results_of

FORMAT = 4  # raise it when tracks change
_STORED = TypeAdapter(list[Track])


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

    def begin(self) -> Callable[[Start], tuple[list[Track], bool]]:
        """The function that makes the tracks of a start, and says whether its pairs could be read;
        those that it read last stay in memory, so that starts in order of time read each once.
        """
        read = RecentPairs(self.source, self.settings.frames)
        make = self._maker(read)

        def follow(start: Start) -> tuple[list[Track], bool]:
            tracks = make(start)
            return tracks, read.damaged.isdisjoint((*start.indices, *start.background))

        return follow

    def _maker(self, read: Callable[[int], Pair]) -> Callable[[Start], list[Track]]:
        follower = self.make_follower()
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
            "proposals": [(first, _identity_of(one)) for one in start.proposals],
            "follower": fingerprint(origin),
            "settings": self.settings.model_dump(),
        }


def _identity_of(proposal: Proposal) -> dict[str, Any]:
    """A box in the names of kept tracks, which hold whether both modalities agree as a number too:
    1 if they do, else 0.5.
    """
    agrees = proposal.found_in is FoundIn.BOTH and proposal.way not in (Centre.name, Random.name)
    return {**asdict(proposal), "quality": 1.0 if agrees else 0.5}


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
    origin = following.make_follower().origin

    def made(due: Sequence[int]) -> Iterator[tuple[int, tuple[list[Track], bool]]]:
        begun = [starts[number] for number in due]
        where = following.source.name
        return results_of(following.begin, begun, workers, task="follows boxes", where=where)

    def text_of(made: tuple[list[Track], bool]) -> str | None:
        tracks, is_whole = made
        return _STORED.dump_json(tracks).decode() if is_whole and origin is not None else None

    made_or_kept = kept_values(
        "tracks",
        [following.identity(start, origin) for start in starts],
        made,
        dump=text_of,
        load=lambda text: (_STORED.validate_json(text), True),
        notify=lambda done: progress("tracks", done, len(starts)),
    )
    return [tracks for tracks, _ in made_or_kept]
