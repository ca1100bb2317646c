"""Things timed in turn, round after round, so that what else the machine does affects all alike.

A figure is a ratio of two of them in the same round; its spread is that over the rounds. Every time
is taken twice, by the clock and of the processor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.machine import Watch
from tirtrack.errors import RequestError

LEAST_ROUNDS = 15
Clock = Callable[[], float]


@dataclass(frozen=True)
class Contender:
    """One thing that is timed.

    Attributes:
        name: name of it, which no other of the same run has.
        step: does once what is timed, given the number of the step.
        threads: threads that torch and OpenCV may use in it.
    """

    name: str
    step: Callable[[int], Any]
    threads: int = 1


@dataclass(frozen=True)
class Pace:
    """How long a run lasts.

    Attributes:
        rounds: rounds that count, at least :data:`LEAST_ROUNDS`.
        steps: steps of each contender in a round.
        warm_up: steps of each before the first round.

    Raises:
        RequestError: too few rounds.
    """

    rounds: int
    steps: int
    warm_up: int

    def __post_init__(self) -> None:
        if self.rounds < LEAST_ROUNDS:
            raise RequestError(f"rounds must be at least {LEAST_ROUNDS}, got {self.rounds}")


@dataclass(frozen=True)
class Times:
    """Milliseconds of a step of one contender, the mean of each round: both ``[rounds]``."""

    processor_ms: np.ndarray
    wall_ms: np.ndarray


@dataclass(frozen=True)
class Spread:
    """Median over rounds, and the 10th and 90th percentile."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class BothClocks:
    """A figure by processor time and by the clock."""

    processor: Spread
    wall: Spread


def in_turn(
    contenders: Sequence[Contender],
    pace: Pace,
    watch: Watch,
    clocks: tuple[Clock, Clock] = (time.process_time, time.perf_counter),
) -> dict[str, Times]:
    """The times of every contender, by name; the order is reversed from round to round.

    Args:
        contenders: things to time.
        pace: number of rounds and steps.
        watch: watch over the machine, asked after every round.
        clocks: clocks in seconds, of the processor and of the wall.

    Raises:
        BusyMachineError: other processes used too much of the machine.
    """
    for one in contenders:
        _turn(one, 0, pace.warm_up, clocks)
    taken: dict[str, list[np.ndarray]] = {one.name: [] for one in contenders}
    for number in range(pace.rounds):
        start = pace.warm_up + number * pace.steps
        for one in contenders[:: -1 if number % 2 else 1]:
            taken[one.name].append(_turn(one, start, pace.steps, clocks))
        watch.check()
    return {name: Times(*np.stack(rounds, axis=1)) for name, rounds in taken.items()}


def _turn(one: Contender, start: int, steps: int, clocks: tuple[Clock, Clock]) -> np.ndarray:
    """Mean milliseconds of a step ``[2]``, of the processor and by the clock."""
    use_threads(one.threads)
    begin = [clock() for clock in clocks]
    for number in range(start, start + steps):
        one.step(number)
    return 1e3 * np.subtract([clock() for clock in clocks], begin) / max(steps, 1)


def use_threads(threads: int) -> None:
    """Let torch and OpenCV, where they are imported, use so many threads."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(threads)


def spread(values: np.ndarray) -> Spread:
    """Median, 10th and 90th percentile of ``[rounds]``.

    >>> spread(np.arange(11.0))
    Spread(median=5.0, low=1.0, high=9.0)
    """
    low, middle, high = np.percentile(values, (10, 50, 90))
    return Spread(*(round(float(value), 4) for value in (middle, low, high)))


def milliseconds(times: Times) -> BothClocks:
    """Milliseconds of a step."""
    return BothClocks(spread(times.processor_ms), spread(times.wall_ms))


def ratio(times: Times, others: Times) -> BothClocks:
    """Time over that of others in the same round."""
    return BothClocks(
        spread(times.processor_ms / others.processor_ms), spread(times.wall_ms / others.wall_ms)
    )


def table(rows: Mapping[str, Sequence[BothClocks]], ratio_name: str) -> Iterator[str]:
    """Lines of a table of milliseconds and, where a row has one, a ratio."""
    heads = ("processor ms", "wall ms", f"{ratio_name}, processor", f"{ratio_name}, wall")
    yield f"{'':46}" + "".join(f"{head:28}" for head in heads).rstrip()
    for name, figures in rows.items():
        cells = [str(one) for both in figures for one in (both.processor, both.wall)]
        yield f"{name:46}" + "".join(f"{cell:28}" for cell in cells).rstrip()
