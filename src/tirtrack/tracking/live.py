"""Frames of a source that does not wait: read in a thread of its own, never piled up.

With the policy ``latest`` only the newest frame is kept, so that what is handed out is never older
than one frame of the camera and one of the tracker; how many were left out is said with each. With
``all`` every frame is handed out and the reader waits. A live source that breaks off is opened
again. This module knows nothing of trackers. Begin with :class:`SourceFrames`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Literal, Self

import numpy as np

from tirtrack.errors import FrameError, RunError
from tirtrack.media import BadFrame, Frame, Source, frames_and_faults
from tirtrack.read_options import AS_STORED, ReadOptions

Policy = Literal["latest", "all"]
POLICIES: tuple[Policy, ...] = ("latest", "all")
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0  # before a source is opened again, doubled each time
GIVE_UP_AFTER_S = 60.0  # without a frame
STOP_WITHIN_S = 0.9
ASK_EVERY_S = 0.2  # whether to stop, while no frame comes
_LATENCIES_KEPT = 4096
_TICK_S = 1e-6


@dataclass(frozen=True)
class LiveFrame:
    """One frame that was handed out.

    Attributes:
        item: the frame, or why there is none.
        captured_s: when it arrived, by the clock of the reader; strictly increasing.
        skipped: frames that were left out since the one before.
    """

    item: Frame | BadFrame
    captured_s: float
    skipped: int


@dataclass
class LiveStatistics:
    """What became of the frames so far.

    Attributes:
        delivered: frames that were handed out.
        skipped: frames that were left out.
        breaks: times that the source broke off and was opened again.
        latencies_s: the last 4096, from arrival to the answer.
    """

    delivered: int = 0
    skipped: int = 0
    breaks: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES_KEPT))

    def latency_s(self, percentile: float) -> float | None:
        """A percentile, 0 to 100, of the latencies; ``None`` before the first."""
        return float(np.percentile(self.latencies_s, percentile)) if self.latencies_s else None

    def summary(self) -> dict[str, float | int | None]:
        """Counts, and the median and 95th percentile of the latency in milliseconds."""
        found = {percentile: self.latency_s(percentile) for percentile in (50, 95)}
        return {
            "delivered": self.delivered,
            "skipped": self.skipped,
            "breaks": self.breaks,
            **{
                f"latency_p{percentile}_ms": None if value is None else round(1e3 * value, 1)
                for percentile, value in found.items()
            },
        }


class Mailbox:
    """Where the reader leaves frames and the tracker takes them; the policy is applied here.

    Args:
        policy: ``latest`` overwrites the oldest frame, ``all`` makes the reader wait.
        length: frames that can wait.
    """

    def __init__(self, policy: Policy, *, length: int = 1) -> None:
        if policy not in POLICIES or length < 1:
            raise ValueError(f"policy must be in {POLICIES}, length 1 or more: {policy}, {length}")
        self._policy = policy
        self._length = length
        self._waiting: deque[tuple[Frame | BadFrame, float]] = deque()
        self._changed = threading.Condition()
        self._skipped = 0
        self._last_s = -np.inf
        self._is_closed = False
        self._failure: FrameError | RunError | None = None

    def put(self, item: Frame | BadFrame, captured_s: float) -> bool:
        """Leave a frame; ``False`` when nobody will take it any more."""
        with self._changed:
            while self._policy == "all" and len(self._waiting) >= self._length:
                if self._is_closed:
                    return False
                self._changed.wait()
            if self._is_closed:
                return False
            if len(self._waiting) >= self._length:
                self._waiting.popleft()
                self._skipped += 1
            self._last_s = max(captured_s, self._last_s + _TICK_S)
            self._waiting.append((item, self._last_s))
            self._changed.notify_all()
            return True

    def take(self, stop: Callable[[], bool] = lambda: False) -> LiveFrame | None:
        """The next frame, as soon as there is one; ``None`` after the last.

        Args:
            stop: asked while there is none; ``True`` ends the waiting.

        Raises:
            FrameError: what the reader met at the source, after the frames before it.
            RunError: the source did not come back.
        """
        with self._changed:
            while not self._waiting:
                if self._failure is not None:
                    raise self._failure
                if self._is_closed or stop():
                    return None
                self._changed.wait(ASK_EVERY_S)
            item, captured_s = self._waiting.popleft()
            skipped, self._skipped = self._skipped, 0
            self._changed.notify_all()
            return LiveFrame(item, captured_s, skipped)

    def close(self, failure: FrameError | RunError | None = None) -> None:
        """No frame comes any more; whoever waits is told."""
        with self._changed:
            self._is_closed = True
            self._failure = self._failure or failure
            self._changed.notify_all()


class LiveFrames:
    """The frames of a source while it goes on; to be used in a ``with`` block and iterated once.

    Args:
        open_source: opens the source and yields its frames; called again after a break.
        policy: ``latest`` or ``all``.
        length: frames that can wait; with ``latest`` more than one only adds latency.
        reopen: the source is live, so its end is a break and it is opened again.
        clock: seconds that only grow.
        give_up_after_s: without a frame, of a source that broke off.
        stop: asked while no frame comes; ``True`` ends the frames.
    """

    def __init__(
        self,
        open_source: Callable[[], Iterator[Frame | BadFrame]],
        *,
        policy: Policy = "latest",
        length: int = 1,
        reopen: bool = False,
        clock: Callable[[], float] = time.monotonic,
        give_up_after_s: float = GIVE_UP_AFTER_S,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.statistics = LiveStatistics()
        self._open_source = open_source
        self._reopen = reopen
        self._clock = clock
        self._give_up_after_s = give_up_after_s
        self._is_unwanted = stop
        self._mailbox = Mailbox(policy, length=length)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="tirtrack-reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop reading, within a second: a source that blocks for longer is left to itself."""
        self._stop.set()
        self._mailbox.close()
        self._thread.join(STOP_WITHIN_S)

    def __iter__(self) -> Iterator[LiveFrame]:
        """Each frame as it comes; asking for the next one says that the last one is answered.

        Raises:
            FrameError: the source could not be opened, or broke off and is not live.
            RunError: a live source did not come back.
        """
        while (live := self._mailbox.take(self._is_unwanted)) is not None:
            self.statistics.delivered += 1
            self.statistics.skipped += live.skipped
            yield live
            self.statistics.latencies_s.append(self._clock() - live.captured_s)

    def _read(self) -> None:
        """The thread: all frames into the mailbox, until the end, a failure or the stop."""
        try:
            self._read_and_reopen()
        except Exception as error:  # noqa: BLE001 - it must not vanish with its thread
            self._mailbox.close(RunError(f"the reader failed ({error})"))
        finally:
            self._mailbox.close()

    def _read_and_reopen(self) -> None:
        wait_s, seen_s = FIRST_WAIT_S, self._clock()
        while True:
            failure: FrameError | None = None
            try:
                for item in self._open_source():
                    if self._stop.is_set() or not self._mailbox.put(item, self._clock()):
                        return None
                    wait_s, seen_s = FIRST_WAIT_S, self._clock()
            except FrameError as error:
                failure = error
            if not self._reopen:
                return self._mailbox.close(failure)
            if self._clock() - seen_s >= self._give_up_after_s:
                why = "it ended" if failure is None else str(failure)
                for_s = f"{self._give_up_after_s:g} s"
                gone = RunError(f"the stream did not come back for {for_s} ({why})")
                return self._mailbox.close(gone)
            self.statistics.breaks += 1
            if self._stop.wait(wait_s):
                return None
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)


class SourceFrames:
    """The frames of a source for one run: read where they are asked for, or by a live reader.

    Args:
        source: as for :func:`tirtrack.media.frames`.
        policy: ``None``: ``latest`` for a stream address, and for anything else ``all`` without a
            thread.
        start: index of the first frame.
        end: index after the last one.
        options: what the source does not say of itself.
        stop: asked while a live source has no frame; ``True`` ends the frames.

    Attributes:
        skipped: frames that were left out before the one that was handed out last.
    """

    def __init__(
        self,
        source: Source,
        policy: Policy | None,
        *,
        start: int = 0,
        end: int | None = None,
        options: ReadOptions = AS_STORED,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        is_stream = isinstance(source, str) and "://" in source
        self.skipped = 0
        self._open = partial(frames_and_faults, source, start=start, end=end, options=options)
        self._live: LiveFrames | None = None
        if is_stream or policy == "latest":
            self._live = LiveFrames(
                self._open, policy=policy or "latest", reopen=is_stream, stop=stop
            )
        self._found: Iterator[Frame | BadFrame] = iter(())

    @property
    def statistics(self) -> LiveStatistics | None:
        """Of the live reader, if there is one."""
        return None if self._live is None else self._live.statistics

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

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame | BadFrame:
        return next(self._found)

    def _noted(self, live: LiveFrames) -> Iterator[Frame | BadFrame]:
        """The frames; those after a break are numbered on."""
        last, first = -1, 0
        for one in live:
            if first + one.item.index <= last:
                first = last + 1
            last = first + one.item.index
            self.skipped = one.skipped
            yield replace(one.item, index=last)
