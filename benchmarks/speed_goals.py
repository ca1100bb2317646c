"""The goals of speed, and whether a run reached them; each is a ratio, or seconds of a start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.interleaved import BothClocks
from benchmarks.start_up import StartUp

GOAL_ENGINE = "openvino"
GOAL_NETWORK = "nano-rgb"
FIRST_S, LATER_S = 5.0, 0.5
SEVERAL = 4


@dataclass(frozen=True)
class Case:
    """What a row of the table is about.

    Attributes:
        network: name of the weights.
        engine: engine that runs them.
        threads: threads of a call.
        frames: ``colour`` or ``grey``.
        targets: targets that are followed at once.
    """

    network: str
    engine: str
    threads: int
    frames: str
    targets: int = 1

    def __str__(self) -> str:
        words = [self.network, self.engine, f"{self.threads} threads", self.frames]
        return ", ".join(words + [f"{self.targets} targets"] * (self.targets > 1))


@dataclass(frozen=True)
class Row:
    """Times of one tracker.

    Attributes:
        case: tracker and frames.
        ms: milliseconds of a frame, all targets together.
        ahead: how many times as fast as OpenCV's ``TrackerNano`` V2 on one thread; ``None`` without
            it, and for several targets.
        times_one: time of several targets over that of one on one thread; ``None`` for one target.
    """

    case: Case
    ms: BothClocks
    ahead: BothClocks | None = None
    times_one: BothClocks | None = None


@dataclass(frozen=True)
class Goal:
    """A goal and what was found: ``None`` where it was not measured."""

    name: str
    limit: float
    found: float | None
    at_least: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether the figure is on the right side of its limit."""
        if self.found is None:
            return False
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def __str__(self) -> str:
        if self.found is None:
            return f"not measured: {self.name}"
        verdict = "reached" if self.is_reached else "missed"
        side = "at least" if self.at_least else "at most"
        return f"{verdict}: {self.name}: {self.found:.2f}, {side} {self.limit:g}"


def goals(rows: Sequence[Row], starts: Sequence[StartUp]) -> list[Goal]:
    """All goals. A ratio to OpenCV is the lower one of processor and wall time, several targets
    count by the clock, since they use two cores.

    Args:
        rows: times of all trackers.
        starts: starts of all trackers.
    """
    found = [_ahead(rows, frames, limit) for frames, limit in (("colour", 1.5), ("grey", 2.0))]
    found.append(_several(rows))
    for one in starts:
        name = f"{one.network} with {one.engine}, seconds at the"
        found.append(Goal(f"{name} first use", FIRST_S, one.first_s))
        found.append(Goal(f"{name} later use", LATER_S, one.later_s))
    return found


def _ahead(rows: Sequence[Row], frames: str, limit: float) -> Goal:
    name = f"{GOAL_NETWORK} with {GOAL_ENGINE}, one thread, {frames}, times OpenCV's TrackerNano V2"
    wanted = Case(GOAL_NETWORK, GOAL_ENGINE, 1, frames)
    both = next((row.ahead for row in rows if row.case == wanted), None)
    found = None if both is None else min(both.processor.median, both.wall.median)
    return Goal(name, limit, found, at_least=True)


def _several(rows: Sequence[Row]) -> Goal:
    name = f"four targets of {GOAL_NETWORK} with {GOAL_ENGINE} on two cores, times one on one"
    wanted = Case(GOAL_NETWORK, GOAL_ENGINE, 2, "colour", SEVERAL)
    both = next((row.times_one for row in rows if row.case == wanted), None)
    return Goal(name, 2.4, None if both is None else both.wall.median)
