"""Trackers that ran several times with different seeds: how much of a score is chance.

Differences between trackers are differences of their means over runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tirtrack.evaluation.comparison import Spread, TrackerResult


def runs_by_tracker(trackers: Sequence[TrackerResult]) -> dict[str, list[TrackerResult]]:
    """The runs of each tracker, in order; one each without repeats."""
    found: dict[str, list[TrackerResult]] = {}
    for one in trackers:
        found.setdefault(one.tracker, []).append(one)
    return found


def spreads(trackers: Sequence[TrackerResult]) -> tuple[Spread, ...]:
    """Mean and deviation of each tracker that ran more than once, over the sequences that all of
    its runs have.
    """
    found = []
    for name, runs in runs_by_tracker(trackers).items():
        if len(runs) < 2:
            continue
        shared = [
            row.name for row in runs[0].sequences if all(one.sequence(row.name) for one in runs)
        ]
        if not shared:
            continue
        values = {
            score: np.array([_mean(one, score, shared) for one in runs]) for score in runs[0].values
        }
        found.append(
            Spread(
                tracker=name,
                runs=len(runs),
                means={score: float(column.mean()) for score, column in values.items()},
                deviations={score: float(column.std(ddof=1)) for score, column in values.items()},
            )
        )
    return tuple(found)


def _mean(run: TrackerResult, score: str, sequences: Sequence[str]) -> float:
    """Mean of a score over some sequences; NaN if one of them is unknown."""
    known = run.by_sequence(score)
    return float(np.mean([known.get(name, np.nan) for name in sequences]))


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
    own, other = mean_over_runs(a), mean_over_runs(b)
    return {name: value - other[name] for name, value in own.items() if name in other}


def mean_over_runs(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each sequence that all runs have; empty without a run."""
    if not runs:
        return {}
    return {
        name: sum(run[name] for run in runs) / len(runs)
        for name in runs[0]
        if all(name in run for run in runs)
    }
