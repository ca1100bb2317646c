"""The frames of a source for one run, whether it is a file or live.

This module does not depend on trackers. Begin with :class:`SourceFrames`.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import dropwhile
from pathlib import Path
from types import TracebackType
from typing import Self

from tirtrack.addresses import without_secrets
from tirtrack.errors import RequestError
from tirtrack.inputs import is_on_network
from tirtrack.live import LiveFrames, LiveStatistics, Policy, waited_for
from tirtrack.media import (
    BadFrame,
    Frame,
    Source,
    SourceInfo,
    frames_and_faults,
    probe,
    stream_of,
)
from tirtrack.read_options import AS_STORED, ReadOptions

_INTERRUPTED = "interrupted before the first frame"
_COMPARED = 5  # frames to compare, to recognise a clip that is sent again
_logger = logging.getLogger(__name__)


class SourceFrames:
    """The frames of a source for one run: read on demand, or by a live reader.

    A stream is opened only once, since it may not be sent again.

    Args:
        source: source of frames, as for :func:`tirtrack.media.frames`.
        policy: ``latest`` or ``all``; ``None``: ``latest`` for a live stream, ``all`` otherwise.
        start: index of the first frame.
        end: index after the last one.
        options: properties that the source does not state itself.
        stop: callback, called while a live source has no frame; ``True`` ends the frames.

    Attributes:
        skipped: number of frames skipped before the last returned one.

    Raises:
        FrameError: the source is a stream that cannot be read with these arguments.
    """

    def __init__(
        self,
        source: Source,
        policy: Policy | None = None,
        *,
        start: int = 0,
        end: int | None = None,
        options: ReadOptions = AS_STORED,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.skipped = 0
        self._source = source
        self._policy = policy
        self._start, self._end = start, end
        self._skip = start  # frames to skip in the reader that is opened next
        self._beginning: list[int] = []
        self._is_over = False
        self._is_stopped = stop
        self._options = options
        self._is_remote = is_on_network(source)
        self._open = partial(frames_and_faults, source, start=start, end=end, options=options)
        self._stream = stream = stream_of(source, options)
        self._live: LiveFrames[Frame | BadFrame] | None = None
        if stream is not None:
            self._live = LiveFrames(
                self._read_stream, name=stream.location, policy=policy,
                is_live=lambda: stream.is_live and not self._is_over, stop=stop,
            )  # fmt: skip
        elif policy == "latest" or self._is_remote:
            self._live = LiveFrames(self._open, name=str(source), policy=policy or "all", stop=stop)
        self._found: Iterator[Frame | BadFrame] = iter(())

    @property
    def statistics(self) -> LiveStatistics | None:
        """Statistics of the live reader, if frames were or could have been skipped; a source that
        has an end and is read to it is not live.
        """
        is_live = self._stream is not None and self._stream.is_live
        return (
            self._live.statistics if self._live and (is_live or self._policy == "latest") else None
        )

    def __enter__(self) -> Self:
        if self._live is None:
            self._found = self._open()
        else:
            self._found = self._noted(self._live.__enter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def info(self) -> SourceInfo:
        """Properties of the source; waits for the first frame of a stream, which is not consumed.

        Raises:
            FrameError: it cannot be opened or sends nothing, or its first frame is damaged.
            KeyboardInterrupt: stopped while waiting.
        """
        if self._stream is not None and self._live is not None:
            self._checked(self._live.peek())
            return self._stream.info()
        if not self._is_remote:
            return probe(self._source, self._options)
        read = partial(probe, self._source, self._options)
        info = waited_for(read, str(self._source), self._is_stopped)
        if info is None:
            raise KeyboardInterrupt(_INTERRUPTED)
        return info

    def first(self) -> Frame:
        """The next frame, in which the run begins.

        Raises:
            RequestError: there is no frame.
            FrameError: the frame is damaged.
            KeyboardInterrupt: stopped before the frame came.
        """
        return self._checked(next(self._found, None))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame | BadFrame:
        return next(self._found)

    def _checked(self, item: Frame | BadFrame | None) -> Frame:
        if isinstance(item, BadFrame):
            raise item.error
        if item is not None:
            return item
        if self._is_stopped():
            raise KeyboardInterrupt(_INTERRUPTED)
        raise RequestError(
            f"there is no frame {self._start}",
            without_secrets(str(self._source)) if isinstance(self._source, str | Path) else None,
            "frames are counted from 0; give a smaller --start",
        )

    def _read_stream(self) -> Iterator[Frame | BadFrame]:
        """Frames from the first whole one on, since a live stream may be joined in mid-frame."""
        stream, skip = self._stream, self._skip
        if stream is None:
            return
        self._skip = 0
        found = dropwhile(
            lambda item: stream.is_live and isinstance(item, BadFrame), stream.read(skip, None)
        )
        if len(set(self._beginning)) > 1:
            yield from self._unless_again(found)
        elif skip == 0:
            yield from self._with_beginning(found)
        else:
            yield from found

    def _with_beginning(self, found: Iterator[Frame | BadFrame]) -> Iterator[Frame | BadFrame]:
        """The frames; hashes of the first ones are kept."""
        self._beginning = []
        for item in found:
            if len(self._beginning) < _COMPARED:
                self._beginning.append(_picture_hash(item))
            yield item

    def _unless_again(self, found: Iterator[Frame | BadFrame]) -> Iterator[Frame | BadFrame]:
        """The frames; none if they begin like the source did at first, which then is a clip."""
        same: list[Frame | BadFrame] = []
        for item in found:
            same.append(item)
            if _picture_hash(item) != self._beginning[len(same) - 1]:
                break
            if len(same) == len(self._beginning):
                self._is_over = True
                self._say_what_a_clip_lost()
                return
        yield from same
        yield from found

    def _say_what_a_clip_lost(self) -> None:
        """Warn that a clip was taken for live: its first frames were left out without a count."""
        if self._policy != "all" and self._stream is not None:
            _logger.warning(
                "%s begins again with the frames that it began with, so it is a clip, of which "
                "only the newest frames were taken; --policy all takes every one",
                self._stream.location,
            )

    def _noted(self, live: LiveFrames[Frame | BadFrame]) -> Iterator[Frame | BadFrame]:
        """The frames up to the end; numbering continues after a break."""
        last, first = -1, 0
        for one in live:
            if first + one.item.index <= last:
                first = last + 1
            last = first + one.item.index
            if self._end is not None and last >= self._end:
                return
            self.skipped = one.skipped
            yield replace(one.item, index=last)


def _picture_hash(item: Frame | BadFrame) -> int:
    return zlib.crc32(item.image.tobytes()) if isinstance(item, Frame) else 0
