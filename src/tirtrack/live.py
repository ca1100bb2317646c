"""Frames of a source that may block or does not wait: read in a thread of its own, which is
abandoned if it blocks for good.

With the policy ``latest`` only the newest frame is kept, so that what is handed out is never older
than one frame of the camera and one of the tracker; each frame has the number of frames skipped
before it. With ``all`` every frame is handed out and the reader waits. A live source that breaks
off is opened again; a silent one is reported, then given up. This module opens nothing and knows
nothing of trackers. Begin with :class:`LiveFrames`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Literal, Self, TypeVar

import numpy as np

from tirtrack.errors import FrameError, RequestError, RunError, did_you_mean
from tirtrack.stored import Stored

Item = TypeVar("Item")
Policy = Literal["latest", "all"]
POLICIES: tuple[Policy, ...] = ("latest", "all")


def check_policy(policy: str | None) -> None:
    """Refuse an unknown policy.

    Raises:
        RequestError: no policy has this name.
    """
    if policy is not None and policy not in POLICIES:
        raise RequestError(f'no policy is called "{policy}"', fix=did_you_mean(policy, POLICIES))


FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0  # before a source is opened again, doubled each time
GIVE_UP_AFTER_S = 60.0  # without a frame
TELL_AFTER_S, TELL_EVERY_S = 1.0, 10.0  # of waiting
STOP_WITHIN_S = 0.2
ASK_EVERY_S = 0.1  # whether to stop, while no frame comes
_LATENCIES_KEPT = 4096
_TICK_S = 1e-6
_SILENT = "it sends nothing"
_READER = "tirtrack-reader"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveFrame(Generic[Item]):
    """One frame that was handed out.

    Attributes:
        item: the frame, or why there is none.
        captured_s: arrival time in seconds by the reader's clock; strictly increasing.
        skipped: number of frames that were skipped since the one before.
    """

    item: Item
    captured_s: float
    skipped: int


class LiveSummary(Stored):
    """Counts of frames, and the median and 95th percentile of the latency in milliseconds."""

    delivered: int
    skipped: int
    breaks: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None


@dataclass
class LiveStatistics:
    """Counts and latencies of the frames so far.

    Attributes:
        delivered: number of frames that were handed out.
        skipped: number of frames that were skipped.
        breaks: number of times that the source broke off and was opened again.
        latencies_s: last 4096 latencies, from arrival to answer, in seconds.
    """

    delivered: int = 0
    skipped: int = 0
    breaks: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES_KEPT))

    def latency_s(self, percentile: float) -> float | None:
        """A percentile, 0 to 100, of the latencies; ``None`` before the first."""
        return float(np.percentile(self.latencies_s, percentile)) if self.latencies_s else None

    def summary(self) -> LiveSummary:
        """Counts and latencies so far."""
        p50_s, p95_s = self.latency_s(50), self.latency_s(95)
        return LiveSummary(
            delivered=self.delivered,
            skipped=self.skipped,
            breaks=self.breaks,
            latency_p50_ms=None if p50_s is None else round(1e3 * p50_s, 1),
            latency_p95_ms=None if p95_s is None else round(1e3 * p95_s, 1),
        )


class Mailbox(Generic[Item]):
    """Where the reader leaves frames and the tracker takes them; the policy is applied here.

    Args:
        policy: ``latest`` overwrites the oldest frame, ``all`` makes the reader wait.
        length: number of frames that can wait.
    """

    def __init__(self, policy: Policy, *, length: int = 1) -> None:
        if policy not in POLICIES or length < 1:
            raise ValueError(f"policy must be in {POLICIES}, length 1 or more: {policy}, {length}")
        self._policy = policy
        self._length = length
        self._waiting: deque[tuple[Item, float]] = deque()
        self._changed = threading.Condition()
        self._skipped = 0
        self._last_s = -np.inf
        self._is_closed = False
        self._failure: FrameError | RunError | None = None

    def put(self, item: Item, captured_s: float) -> bool:
        """Leave a frame; ``False`` if nobody will take it any more."""
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

    def follow(self, policy: Policy) -> None:
        """Switch to another policy."""
        with self._changed:
            self._policy = policy
            self._changed.notify_all()

    def take(self, stop: Callable[[], bool] = lambda: False) -> LiveFrame[Item] | None:
        """The next frame, as soon as there is one; ``None`` after the last.

        Args:
            stop: callback, asked while there is none; ``True`` ends the wait.

        Raises:
            FrameError: the error of the reader, raised after the frames before it.
            RunError: the source did not come back.
        """
        with self._changed:
            self._wait(stop)
            if not self._waiting:
                return None
            item, captured_s = self._waiting.popleft()
            skipped, self._skipped = self._skipped, 0
            self._changed.notify_all()
            return LiveFrame(item, captured_s, skipped)

    def peek(self, stop: Callable[[], bool] = lambda: False) -> Item | None:
        """As :meth:`take`, but the frame stays in the mailbox."""
        with self._changed:
            self._wait(stop)
            return self._waiting[0][0] if self._waiting else None

    def _wait(self, stop: Callable[[], bool]) -> None:
        """Wait for a frame, or for the end of the frames."""
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            if self._is_closed or stop():
                return
            self._changed.wait(ASK_EVERY_S)

    def close(self, failure: FrameError | RunError | None = None) -> None:
        """End the frames and wake whatever waits for one."""
        with self._changed:
            self._is_closed = True
            self._failure = self._failure or failure
            self._changed.notify_all()


class LiveFrames(Generic[Item]):
    """The frames of a running source; to be used in a ``with`` block and iterated once.

    The first frame is kept until it is taken, unless the source is live.

    Args:
        open_source: function that opens the source and yields its frames; called again after a
            break.
        name: name of the source, in messages.
        policy: ``latest`` or ``all``; ``None``: ``latest`` if the source is live.
        length: number of frames that can wait; with ``latest`` more than one only adds latency.
        is_live: function that says whether the end of the source is a break, to be opened again.
        clock: function that gives seconds that never decrease.
        give_up_after_s: seconds without a frame before giving up; ``None``: a minute.
        stop: callback, asked while no frame comes; ``True`` ends the frames.
    """

    def __init__(
        self,
        open_source: Callable[[], Iterator[Item]],
        *,
        name: str = "the source",
        policy: Policy | None = "latest",
        length: int = 1,
        is_live: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        give_up_after_s: float | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.statistics = LiveStatistics()
        self._open_source = open_source
        self._name = name
        self._policy = policy
        self._is_live = is_live
        self._clock = clock
        self._give_up_after_s = GIVE_UP_AFTER_S if give_up_after_s is None else give_up_after_s
        self._is_unwanted = stop
        self._has_begun = False
        self._why_nothing = _SILENT
        self._mailbox: Mailbox[Item] = Mailbox("all", length=length)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name=_READER, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop reading, within a second; a source that blocks for longer is abandoned."""
        self._stop.set()
        self._mailbox.close()
        self._thread.join(STOP_WITHIN_S)

    def peek(self) -> Item | None:
        """Wait for the next frame without taking it; ``None`` if none comes.

        Raises:
            FrameError: as for the frames themselves.
            RunError: as for the frames themselves.
        """
        return self._mailbox.peek(self._patience())

    def __iter__(self) -> Iterator[LiveFrame[Item]]:
        """Each frame as it comes; asking for the next one marks the last one as answered.

        Raises:
            FrameError: the source could not be opened, sent nothing, or broke off and is not live.
            RunError: a live source did not come back.
        """
        while (live := self._mailbox.take(self._patience())) is not None:
            captured_s = live.captured_s
            if self.statistics.delivered:
                self.statistics.skipped += live.skipped
            else:  # it waited for the caller, not for the answer to another frame
                captured_s = self._clock()
                self._mailbox.follow(self._policy_now())
            self.statistics.delivered += 1
            yield live
            self.statistics.latencies_s.append(self._clock() - captured_s)

    def _policy_now(self) -> Policy:
        return self._policy or ("latest" if self._is_live() else "all")

    def _patience(self) -> Callable[[], bool]:
        """A callback for the wait: reports the silence, and ends the wait at the limit."""
        began_s = self._clock()
        tell_after_s = TELL_AFTER_S

        def is_over() -> bool:
            nonlocal tell_after_s
            waited_s = self._clock() - began_s
            if waited_s >= self._give_up_after_s:
                raise self._gone()
            if waited_s >= tell_after_s:
                for_s = f"({waited_s:.0f} s of {self._give_up_after_s:g} s)"
                _logger.info("waiting for %s ... %s", self._name, for_s)
                tell_after_s = waited_s + TELL_EVERY_S
            return self._is_unwanted()

        return is_over

    def _gone(self) -> FrameError | RunError:
        """The error for a source that stopped sending, or never sent anything."""
        for_s = f"{self._give_up_after_s:g} s"
        if self._has_begun or self._why_nothing != _SILENT:
            return RunError(f"the stream did not come back for {for_s} ({self._why_nothing})")
        return FrameError(
            f"nothing came for {for_s}", self._name, "check that it is on and sends pictures"
        )

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
                    if self.statistics.breaks and not self._is_live():
                        return None  # a reopened source with an end: the same frames again
                    if self._stop.is_set() or not self._mailbox.put(item, self._clock()):
                        return None
                    wait_s, seen_s = FIRST_WAIT_S, self._clock()
                    self._begin()
            except FrameError as error:
                failure = error
            if not self._is_live():
                return self._mailbox.close(failure)
            self._why_nothing = "it ended" if failure is None else str(failure)
            if self._clock() - seen_s >= self._give_up_after_s:
                return self._mailbox.close(self._gone())
            self.statistics.breaks += 1
            if self._stop.wait(wait_s):
                return None
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _begin(self) -> None:
        """Note that a frame came; after the first one of a live source its policy applies."""
        self._why_nothing = _SILENT
        if not self._has_begun:
            self._has_begun = True
            if self._is_live():
                self._mailbox.follow(self._policy_now())


def waited_for(
    call: Callable[[], Item], name: str, stop: Callable[[], bool] = lambda: False
) -> Item | None:
    """The result of a call that may block; ``None`` if the wait for it was stopped.

    Args:
        call: function to call, in a thread of its own.
        name: name of the awaited source, in messages.
        stop: callback, asked meanwhile; ``True`` ends the wait.

    Raises:
        FrameError: the call raised it, or did not return.
    """
    with LiveFrames(lambda: iter([call()]), name=name, stop=stop) as live:
        return live.peek()


def is_reading() -> bool:
    """Whether a thread still reads: at the end of the process, one that was abandoned."""
    return any(thread.name == _READER for thread in threading.enumerate())
