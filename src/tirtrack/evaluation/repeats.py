"""A tracker run several times with different seeds: how much of a score is chance.

The first run has the tracker's name, the others ``NAME.run2`` and so on, so that each has its own
results. Differences between trackers are differences of their means over runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tirtrack.errors import RequestError

if TYPE_CHECKING:
    from tirtrack.evaluation.runner import OnlineTracker, TrackerSource
    from tirtrack.evaluation.scoring import TrackerScores


@dataclass(frozen=True)
class Repeat:
    """One of several runs of a tracker.

    Attributes:
        source: source that makes the tracker.
        number: number of the run, from 1; its seed is the given one plus ``number - 1``.
    """

    source: TrackerSource
    number: int

    @property
    def name(self) -> str:
        """Name of its results."""
        return self.source.name if self.number == 1 else f"{self.source.name}.run{self.number}"

    def load(self, seed: int) -> OnlineTracker:
        """The tracker, with the seed of this run."""
        return self.source.load(seed + self.number - 1)

    def facts(self) -> dict[str, Any]:
        """Facts of the tracker, and the number of this run."""
        return {**self.source.facts(), "run": self.number, "run_of": self.source.name}


@dataclass(frozen=True)
class Spread:
    """A tracker over its runs; ``deviations`` are sample standard deviations (n - 1)."""

    tracker: str
    runs: int
    means: Mapping[str, float]
    deviations: Mapping[str, float]


def repeated(sources: Sequence[TrackerSource], runs: int) -> list[TrackerSource]:
    """Every run of every tracker, those of one tracker together.

    Raises:
        RequestError: fewer than one run.
    """
    if runs < 1:
        raise RequestError(f"runs must be at least 1, got {runs}", "--runs")
    if runs == 1:
        return list(sources)
    return [Repeat(source, number) for source in sources for number in range(1, runs + 1)]


def runs_by_tracker(trackers: Sequence[TrackerScores]) -> dict[str, list[TrackerScores]]:
    """The runs of each tracker, in order; one each without repeats."""
    found: dict[str, list[TrackerScores]] = {}
    for one in trackers:
        found.setdefault(str(one.runs.facts.get("run_of", one.runs.name)), []).append(one)
    return found


def spreads(trackers: Sequence[TrackerScores]) -> tuple[Spread, ...]:
    """Mean and deviation of each tracker that ran more than once, over the sequences that all of
    its runs have.
    """
    found = []
    for name, runs in runs_by_tracker(trackers).items():
        if len(runs) < 2:
            continue
        rows = [{s.name: s.values for s in one.scores.sequences} for one in runs]
        shared = [name for name in rows[0] if all(name in row for row in rows)]
        if not shared:
            continue
        values = {
            score: np.array([np.mean([row[name][score] for name in shared]) for row in rows])
            for score in runs[0].scores.values
        }
        found.append(
            Spread(
                name,
                len(runs),
                {score: float(column.mean()) for score, column in values.items()},
                {score: float(column.std(ddof=1)) for score, column in values.items()},
            )
        )
    return tuple(found)


def paired_differences(
    a: Sequence[Mapping[str, float]], b: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """Tracker ``a`` minus tracker ``b`` on every sequence that all runs of both have.

    Args:
        a: scores by sequence, one mapping per run of the tracker; the mean over runs counts.
        b: the same for the other tracker.

    >>> paired_differences([{"s": 0.5, "t": 0.5}, {"s": 0.75}], [{"s": 0.5}])
    {'s': 0.125}
    """
    own, other = _means(a), _means(b)
    return {name: value - other[name] for name, value in own.items() if name in other}


def _means(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each sequence that all runs have; empty without a run."""
    if not runs:
        return {}
    return {
        name: sum(run[name] for run in runs) / len(runs)
        for name in runs[0]
        if all(name in run for run in runs)
    }
