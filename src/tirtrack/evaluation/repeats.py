"""A tracker run several times with other seeds: how much of a score is what was drawn.

The first run of a tracker bears its name, the others ``NAME.run2`` and so on, so that each has
results of its own. Differences between trackers are of their means over runs.
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
        source: makes the tracker.
        number: of the run, from 1; the seed is larger by it less 1.
    """

    source: TrackerSource
    number: int

    @property
    def name(self) -> str:
        """What its results are called."""
        return self.source.name if self.number == 1 else f"{self.source.name}.run{self.number}"

    def load(self, seed: int) -> OnlineTracker:
        """The tracker, with the seed of this run."""
        return self.source.load(seed + self.number - 1)

    def facts(self) -> dict[str, Any]:
        """Those of the tracker, and which of its runs this is."""
        return {**self.source.facts(), "run": self.number, "run_of": self.source.name}


@dataclass(frozen=True)
class Spread:
    """A tracker over its runs; ``deviations`` are those of a sample (n - 1)."""

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
    """The runs of each tracker, in order; without repeats one each."""
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
        a: a score by sequence, for each run of the tracker; its mean over the runs counts.
        b: the same of the other one.

    >>> paired_differences([{"s": 0.5, "t": 0.5}, {"s": 0.75}], [{"s": 0.5}])
    {'s': 0.125}
    """
    own, other = _means(a), _means(b)
    return {name: value - other[name] for name, value in own.items() if name in other}


def _means(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of the sequences that all runs have; none without a run."""
    if not runs:
        return {}
    return {
        name: sum(run[name] for run in runs) / len(runs)
        for name in runs[0]
        if all(name in run for run in runs)
    }
