"""The one live line of long work: stage, done of total, time left.

On a terminal a line that is drawn again and again, elsewhere plain lines now and then. Always on
stderr, so that data on stdout stays clean.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from tirtrack import progress as protocol

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_EVERY_S = 10.0
MIN_FOR_ESTIMATE_S = 1.0


def as_time(seconds: float) -> str:
    """Seconds in the words of a clock.

    >>> as_time(7.2), as_time(75), as_time(3700)
    ('7 s', '1 min 15 s', '1 h 01 min')
    """
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@dataclass
class ShownStage:
    """Where one stage of the work stands, and since when."""

    name: str
    began_s: float
    done: int = 0
    total: int = 0
    note: str = ""

    def time_left_s(self, now_s: float) -> float | None:
        """Seconds left at the rate so far; ``None`` while that would be a guess."""
        elapsed = now_s - self.began_s
        if self.done <= 0 or self.total <= self.done or elapsed < MIN_FOR_ESTIMATE_S:
            return None
        return elapsed / self.done * (self.total - self.done)

    def line(self, now_s: float) -> str:
        """The stage as one plain line."""
        count = f" {self.done}/{self.total}" if self.total else f" {self.done}"
        left = self.time_left_s(now_s)
        tail = "" if left is None else f", {as_time(left)} left"
        return f"{self.name}{count}{tail}{self._remark()}"

    def summary(self, now_s: float) -> str:
        """The stage when it is over."""
        count = f" {self.done}/{self.total}" if self.total else f" {self.done}"
        return f"{self.name}{count} in {as_time(now_s - self.began_s)}{self._remark()}"

    def _remark(self) -> str:
        return f" ({'; '.join(self.note.splitlines())})" if self.note else ""


class StageClock:
    """Follows the stages of one piece of work and tells a drawer what changed.

    Args:
        draw: called with the stage, the time, and whether the stage is over.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        draw: Callable[[ShownStage, float, bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._draw = draw
        self._clock = clock
        self._stage: ShownStage | None = None

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """A :class:`tirtrack.progress.Progress`."""
        now = self._clock()
        if self._stage is None or self._stage.name != stage:
            self.close()
            self._stage = ShownStage(stage, now)
        self._stage.done, self._stage.total, self._stage.note = done, total, note
        self._draw(self._stage, now, False)

    def close(self) -> None:
        """The last stage is over."""
        if self._stage is not None:
            self._draw(self._stage, self._clock(), True)
        self._stage = None


class PlainLines:
    """Draws stages as plain lines: when one ends, and every ten seconds while it runs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last_s: float | None = None

    def __call__(self, stage: ShownStage, now_s: float, over: bool) -> None:
        """Print a line if it is time for one."""
        if over:
            self._last_s = None
            print(stage.summary(now_s), file=self._stream, flush=True)
            return
        if self._last_s is None:
            self._last_s = stage.began_s
        if now_s - self._last_s >= PLAIN_EVERY_S and stage.done != stage.total:
            self._last_s = now_s
            print(stage.line(now_s), file=self._stream, flush=True)


class LiveLine:
    """Draws the stage that runs as one live line, and leaves a plain line of each that is over."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, visible=False, count="", left="", note="")

    def __call__(self, stage: ShownStage, now_s: float, over: bool) -> None:
        """Draw the line anew."""
        from rich.text import Text

        if over:
            self._bar.console.print(Text(stage.summary(now_s)))
        left = stage.time_left_s(now_s)
        self._bar.update(
            self._task,
            description=stage.name,
            completed=stage.done,
            total=stage.total or None,
            count=f"{stage.done}/{stage.total}" if stage.total else str(stage.done),
            left="" if left is None else f"{as_time(left)} left",
            note=stage.note,
            visible=not over,
        )


@contextmanager
def progress(stream: TextIO | None = None) -> Iterator[protocol.Progress]:
    """A progress callback that draws for the time of the block.

    Args:
        stream: stderr by default.
    """
    target = sys.stderr if stream is None else stream
    if not target.isatty():
        clock = StageClock(PlainLines(target))
        yield clock
        clock.close()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(file=target)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=5) as bar:
        bar_clock = StageClock(LiveLine(bar))
        yield bar_clock
        bar_clock.close()
