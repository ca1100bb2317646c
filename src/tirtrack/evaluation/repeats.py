"""Trackers that ran several times with different seeds: how much of a score is chance.

Differences between trackers are differences of their means over runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tirtrack.evaluation.comparison import Spread, TrackerResult
from tirtrack.evaluation.protocols.base import ScoreDescription
from tirtrack.evaluation.statistics import weighted_mean


@dataclass(frozen=True)
class SequenceValues:
    """A tracker's score of several sequences, and what each weighs in the mean.

    Attributes:
        names: names of the sequences.
        values: ``[n]`` scores.
        weights: ``[n]`` weights.
    """

    names: tuple[str, ...]
    values: np.ndarray
    weights: np.ndarray

    def among(self, names: Sequence[str]) -> SequenceValues:
        """Those of the named sequences that are there, in the order of ``names``."""
        if tuple(names) == self.names:
            return self
        places = {name: place for place, name in enumerate(self.names)}
        kept = [places[name] for name in names if name in places]
        shown = tuple(self.names[place] for place in kept)
        return SequenceValues(shown, self.values[kept], self.weights[kept])

    @property
    def mean(self) -> float:
        """The mean by the weights."""
        return weighted_mean(self.values, self.weights)


def runs_by_tracker(trackers: Sequence[TrackerResult]) -> dict[str, list[TrackerResult]]:
    """The runs of each tracker, in order; one each without repeats."""
    found: dict[str, list[TrackerResult]] = {}
    for one in trackers:
        found.setdefault(one.tracker, []).append(one)
    return found


def spreads(trackers: Sequence[TrackerResult]) -> tuple[Spread, ...]:
    """Mean and deviation of the scores of each tracker that ran more than once, over the sequences
    that all of its runs have.
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
        whole = all(len(one.sequences) == len(shared) for one in runs)
        values = {
            score: np.array(
                [one.values[score] if whole else _mean(one, score, shared) for one in runs],
                dtype=np.float64,
            )
            for score in runs[0].values
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
    """Mean of a score over some sequences by their weights; NaN if one of them is unknown."""
    known, weights = run.by_sequence(score), run.weights_of(score)
    return weighted_mean(
        np.array([known.get(name, np.nan) for name in sequences]),
        np.array([weights[name] for name in sequences]),
    )


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
    if len(runs) < 2:
        return dict(runs[0]) if runs else {}
    return {
        name: sum(run[name] for run in runs) / len(runs)
        for name in runs[0]
        if all(name in run for run in runs)
    }


def averaged(runs: Sequence[TrackerResult], score: ScoreDescription) -> SequenceValues:
    """A tracker's score of every sequence that all of its runs have, averaged over them.

    Where runs weigh a sequence differently, as by the frames that they tracked, a run counts in its
    average by that weight: sums and numbers of frames are averaged, each by itself. Sequences weigh
    the same where the score of a data set is no mean of theirs.
    """
    values = [one.by_sequence(score.id) for one in runs]
    if not score.is_mean:
        means = mean_over_runs(values)
        return SequenceValues(tuple(means), np.array([*means.values()]), np.ones(len(means)))
    by_run = [one.weights_of(score.id) for one in runs]
    names = tuple(mean_over_runs(values))
    weights = np.array([[one[name] for name in names] for one in by_run]).reshape(len(runs), -1)
    every = np.array([[one[name] for name in names] for one in values]).reshape(len(runs), -1)
    total = weights.sum(axis=0)
    weighted = (weights * every).sum(axis=0) / np.where(total > 0, total, 1)
    means_by_weight = np.where(total > 0, weighted, every.mean(axis=0))
    return SequenceValues(names, means_by_weight, weights.mean(axis=0))
