"""Scores and differences with their intervals: all trackers over the same resamples of sequences.

The numbers come from :mod:`tirtrack.evaluation.statistics`; here stands which of a comparison's
numbers are resampled together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

import numpy as np

from tirtrack.evaluation.comparison import Comparison, TrackerResult
from tirtrack.evaluation.protocols.base import ScoreDescription
from tirtrack.evaluation.repeats import SequenceValue, averaged, runs_by_tracker
from tirtrack.evaluation.statistics import (
    RESAMPLES,
    ScoreDifference,
    ScoreInterval,
    bootstrap_indices,
    bootstrap_intervals,
    draw_counts,
    paired_bootstraps,
    paired_ratio_bootstraps,
)

FEWEST_IN_SUBSET = 5
"""Sequences below which the scores of a subset have no interval."""
_Key = TypeVar("_Key")
_Cell = TypeVar("_Cell")
_Difference = tuple[str, str, ScoreDescription, str]  # a and b of a - b, its score and subset


_Pair = tuple[SequenceValue, SequenceValue]  # of a and b


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
    """Every tracker's scores over all sequences, and over each subset of five or more; those alone
    that are means of the scores of their sequences.

    Args:
        trackers: results of each tracker and run.
        subsets: names of the sequences of each subset.
        scores: scores of the protocol.
        bootstrap: the resamples.
    """
    rows = {
        (tracker, score.id, subset): {name: values[name] for name in members if name in values}
        for tracker, by_score in _values(trackers, scores).items()
        for score, values in by_score.items()
        if score.is_mean
        for subset, members in {"": list(values), **subsets}.items()
    }
    rows = {key: row for key, row in rows.items() if not key[2] or len(row) >= FEWEST_IN_SUBSET}
    found: dict[tuple[str, str, str], ScoreInterval] = {}
    for (sequences, are_weighted), keys in _alike(rows, _is_weighted).items():
        values, weights = (
            np.array([[getattr(one, part) for one in rows[key].values()] for key in keys])
            for part in ("value", "weight")
        )
        intervals = bootstrap_intervals(
            values,
            bootstrap.counts(sequences),
            groups=bootstrap.units(sequences),
            weights=weights if are_weighted else None,
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
    rows: Mapping[_Difference, Mapping[str, _Pair]], bootstrap: Bootstrap
) -> tuple[ScoreDifference, ...]:
    """The pairs by sequence of each row, compared, with their intervals."""
    found: dict[_Difference, ScoreDifference] = {}
    for (sequences, are_weighted), members in _alike(rows, _are_weighted).items():
        units, counts = bootstrap.units(sequences), bootstrap.counts(sequences)
        values, weights = (
            np.array(
                [
                    [[getattr(of, part) for of in pair] for pair in rows[one].values()]
                    for one in members
                ]
            )
            for part in ("value", "weight")
        )
        own, others = values[..., 0], values[..., 1]
        if are_weighted:
            tested = paired_ratio_bootstraps(
                own,
                others,
                counts,
                groups=units,
                weights_a=weights[..., 0],
                weights_b=weights[..., 1],
            )
        else:
            tested = paired_bootstraps(own - others, counts, groups=units)
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
) -> dict[_Difference, dict[str, _Pair]]:
    """The scores of both trackers of each pair, by sequence that both have, score by score."""
    values = _values(trackers, scores)
    return {
        (a, b, score, ""): {
            name: (own, values[b][score][name])
            for name, own in values[a][score].items()
            if name in values[b][score]
        }
        for a, b in pairs
        for score in scores
    }


def _values(
    trackers: Sequence[TrackerResult], scores: Sequence[ScoreDescription]
) -> dict[str, dict[ScoreDescription, dict[str, SequenceValue]]]:
    """Every tracker's scores by sequence with their weights, averaged over its runs."""
    return {
        name: {score: averaged(runs, score) for score in scores}
        for name, runs in runs_by_tracker(trackers).items()
    }


def _is_weighted(row: Mapping[str, SequenceValue]) -> bool:
    return any(one.weight != 1 for one in row.values())


def _are_weighted(row: Mapping[str, _Pair]) -> bool:
    return any(a.weight != 1 or b.weight != 1 for a, b in row.values())


def _alike(
    rows: Mapping[_Key, Mapping[str, _Cell]], is_weighted: Callable[[Mapping[str, _Cell]], bool]
) -> dict[tuple[tuple[str, ...], bool], list[_Key]]:
    """The keys of rows of the same sequences, by these and by whether any has a weight; none of
    empty rows.
    """
    found: dict[tuple[tuple[str, ...], bool], list[_Key]] = {}
    for key, by_sequence in rows.items():
        if by_sequence:
            found.setdefault((tuple(by_sequence), is_weighted(by_sequence)), []).append(key)
    return found
