"""Trackers that ran several times with different seeds: how much of a score is chance.

The runs of a sequence are averaged first; trackers are compared by these averages, sequence by
sequence. What no average over sequences gives is read from all runs together (:func:`spread`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tirtrack.evaluation.comparison import Spread, TrackerResult
from tirtrack.evaluation.protocols.base import (
    EvaluationProtocol,
    ScoreDescription,
    SequenceScores,
)
from tirtrack.evaluation.score_quality import ScoredFrames, pooled_quality
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


@dataclass(frozen=True)
class ScoredRun:
    """One run of a tracker: its result, and what several runs are pooled from.

    Attributes:
        result: the result.
        scores: scores of each of its sequences, with the measures of their frames.
        frames: frames by which its own score is judged, by the name of the sequence.
    """

    result: TrackerResult
    scores: Sequence[SequenceScores]
    frames: Mapping[str, Sequence[ScoredFrames]]


def spread(runs: Sequence[ScoredRun], protocol: EvaluationProtocol) -> Spread | None:
    """Scores of a tracker over all of its runs, and their deviation from run to run, over the
    sequences that all runs have; ``None`` for a single run, or without such a sequence.

    The protocol averages the sequences of all runs as if they were those of one, so a score that is
    read from a curve or from sorted frames (expected average overlap, F) is read once, from the
    pieces or frames of all runs. The measures of the tracker's own score are of all frames too.

    Args:
        runs: runs of one tracker.
        protocol: protocol that scored them.
    """
    shared = [one.name for one in runs[0].scores if all(one.name in run.frames for run in runs)]
    if len(runs) < 2 or not shared:
        return None
    by_run = [[one for one in run.scores if one.name in shared] for run in runs]
    each = [
        run.result.values if len(scores) == len(run.scores) else protocol.average(scores).values
        for run, scores in zip(runs, by_run, strict=True)
    ]
    together = protocol.average([one for scores in by_run for one in scores])
    deviations = {
        score.id: np.array([values.get(score.id) for values in each], np.float64).std(ddof=1)
        for score in protocol.scores
    }
    return Spread(
        tracker=runs[0].result.tracker,
        runs=len(runs),
        means=together.values,
        deviations={key: float(one) for key, one in deviations.items()},
        curves={name: curve.tolist() for name, curve in together.curves.items()},
        score_quality=pooled_quality(
            [one for run in runs for name in shared for one in run.frames[name]]
        ),
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
    """Mean of each sequence that all runs have; empty without a run.

    The same values have the same mean in any order, and equal ones have themselves, so that ties
    stay ties.
    """
    if len(runs) < 2:
        return dict(runs[0]) if runs else {}
    shared = [name for name in runs[0] if all(name in run for run in runs)]
    every = np.array([[run[name] for name in shared] for run in runs])
    return dict(zip(shared, _means(every, np.ones_like(every)).tolist(), strict=True))


def _means(every: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``[n]`` means over runs of values ``[runs,n]`` by ``weights [runs,n]``."""
    order = np.argsort(every, axis=0, kind="stable")
    every, weights = (np.take_along_axis(one, order, axis=0) for one in (every, weights))
    total = weights.sum(axis=0)
    weighted = (weights * every).sum(axis=0) / np.where(total > 0, total, 1)
    means = np.where(total > 0, weighted, every.mean(axis=0))
    return np.asarray(np.where(every[0] == every[-1], every[0], means))


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
    return SequenceValues(names, _means(every, weights), weights.mean(axis=0))
