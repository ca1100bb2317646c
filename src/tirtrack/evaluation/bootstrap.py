"""Scores and differences with their intervals: all trackers over the same resamples of sequences.

The numbers come from :mod:`tirtrack.evaluation.statistics`; here stands which of a comparison's
numbers are resampled together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

import numpy as np

from tirtrack.evaluation.comparison import Comparison, TrackerResult
from tirtrack.evaluation.protocols.base import ScoreDescription
from tirtrack.evaluation.repeats import mean_over_runs, paired_differences, runs_by_tracker
from tirtrack.evaluation.statistics import (
    RESAMPLES,
    ScoreDifference,
    ScoreInterval,
    bootstrap_indices,
    bootstrap_intervals,
    draw_counts,
    paired_bootstraps,
)

FEWEST_IN_SUBSET = 5
"""Sequences below which the scores of a subset have no interval."""
_Key = TypeVar("_Key")
_Difference = tuple[str, str, ScoreDescription, str]  # a and b of a - b, its score and subset


class Bootstrap:
    """Resamples of sequences, or of their groups: one matrix for each number of them."""

    def __init__(self, groups: Mapping[str, str], seed: int, resamples: int) -> None:
        self.groups, self.seed, self.resamples = groups, seed, resamples
        self._counts: dict[int, np.ndarray] = {}

    def units(self, sequences: Sequence[str]) -> list[str]:
        """The group of each sequence; itself where there are no groups."""
        return [self.groups.get(name, name) for name in sequences]

    def counts(self, sequences: Sequence[str]) -> np.ndarray:
        """``[B,G]`` how often each resample draws each group of the sequences."""
        units = len(set(self.units(sequences)))
        if units not in self._counts:
            rng = np.random.default_rng(self.seed)
            drawn = bootstrap_indices(units, rng, resamples=self.resamples)
            self._counts[units] = draw_counts(drawn)
        return self._counts[units]


def score_intervals(
    trackers: Sequence[TrackerResult],
    subsets: Mapping[str, Sequence[str]],
    scores: Sequence[ScoreDescription],
    bootstrap: Bootstrap,
) -> tuple[ScoreInterval, ...]:
    """Every tracker's scores over all sequences, and over each subset of five or more.

    Args:
        trackers: results of each tracker and run.
        subsets: names of the sequences of each subset.
        scores: scores of the protocol.
        bootstrap: the resamples.
    """
    rows = {
        (tracker, score.id, subset): {name: means[name] for name in members if name in means}
        for tracker, by_score in _means(trackers, scores).items()
        for score, means in by_score.items()
        for subset, members in {"": list(means), **subsets}.items()
    }
    rows = {key: row for key, row in rows.items() if not key[2] or len(row) >= FEWEST_IN_SUBSET}
    found: dict[tuple[str, str, str], ScoreInterval] = {}
    for sequences, keys in _by_sequences(rows).items():
        values = np.array([list(rows[key].values()) for key in keys])
        intervals = bootstrap_intervals(
            values, bootstrap.counts(sequences), groups=bootstrap.units(sequences)
        )
        for (tracker, score, subset), one in zip(keys, intervals, strict=True):
            found[tracker, score, subset] = ScoreInterval(
                tracker=tracker, score=score, subset=subset, n=len(sequences), **asdict(one)
            )
    return tuple(found[key] for key in rows if key in found)


def score_differences(
    trackers: Sequence[TrackerResult], scores: Sequence[ScoreDescription], bootstrap: Bootstrap
) -> tuple[ScoreDifference, ...]:
    """Each tracker minus each one before it; whole groups are drawn if there are any."""
    names = list(runs_by_tracker(trackers))
    pairs = [(a, b) for later, a in enumerate(names) for b in names[:later]]
    return _tested(_paired(trackers, pairs, scores), bootstrap)


def subset_differences(
    result: Comparison, pairs: Sequence[tuple[str, str]]
) -> tuple[ScoreDifference, ...]:
    """Differences ``a - b`` over each subset of five or more sequences that both trackers have.

    The resamples are those of the comparison: as many, by the same seed, of the same groups. There
    are none where the comparison has no differences, or drew groups and does not say which (files
    of older versions).
    """
    if not result.differences:
        return ()
    every = [row for one in result.first_runs for row in one.sequences]
    groups = {row.name: row.group for row in every if row.group}
    if result.group and not groups:
        return ()
    known = result.differences[0]
    resamples = RESAMPLES if known.resamples is None else known.resamples
    rows = {
        (a, b, score, subset): {name: row[name] for name in members if name in row}
        for (a, b, score, _), row in _paired(result.trackers, pairs, result.scores).items()
        for subset, members in result.subset_members().items()
    }
    enough = {key: row for key, row in rows.items() if len(row) >= FEWEST_IN_SUBSET}
    return _tested(enough, Bootstrap(groups, known.seed or 0, resamples))


def _tested(
    rows: Mapping[_Difference, Mapping[str, float]], bootstrap: Bootstrap
) -> tuple[ScoreDifference, ...]:
    """The differences by sequence of each row with their intervals."""
    found: dict[_Difference, ScoreDifference] = {}
    for sequences, members in _by_sequences(rows).items():
        units = bootstrap.units(sequences)
        values = np.array([list(rows[one].values()) for one in members])
        tested = paired_bootstraps(values, bootstrap.counts(sequences), groups=units)
        drawn = {"seed": bootstrap.seed, "groups": len(set(units)) if bootstrap.groups else None}
        for (a, b, score, subset), one in zip(members, tested, strict=True):
            turned = {} if score.higher_is_better else {"wins": one.losses, "losses": one.wins}
            named = {"a": a, "b": b, "score": score.id, "subset": subset, **drawn, **turned}
            found[a, b, score, subset] = one.model_copy(update=named)
    return tuple(found[one] for one in rows if one in found)


def _paired(
    trackers: Sequence[TrackerResult],
    pairs: Sequence[tuple[str, str]],
    scores: Sequence[ScoreDescription],
) -> dict[_Difference, dict[str, float]]:
    """Differences ``a - b`` by sequence of each pair of trackers, score by score."""
    means = _means(trackers, scores)
    return {
        (a, b, score, ""): paired_differences([means[a][score]], [means[b][score]])
        for a, b in pairs
        for score in scores
    }


def _means(
    trackers: Sequence[TrackerResult], scores: Sequence[ScoreDescription]
) -> dict[str, dict[ScoreDescription, dict[str, float]]]:
    """Every tracker's scores by sequence, averaged over its runs."""
    return {
        name: {
            score: mean_over_runs([one.by_sequence(score.id) for one in runs]) for score in scores
        }
        for name, runs in runs_by_tracker(trackers).items()
    }


def _by_sequences(
    rows: Mapping[_Key, Mapping[str, float]],
) -> dict[tuple[str, ...], list[_Key]]:
    """The keys of rows of the same sequences, by these; none of empty rows."""
    found: dict[tuple[str, ...], list[_Key]] = {}
    for key, by_sequence in rows.items():
        if by_sequence:
            found.setdefault(tuple(by_sequence), []).append(key)
    return found
