"""Scores and differences with their intervals: all trackers over the same resamples of sequences.

The numbers come from :mod:`tirtrack.evaluation.statistics`; here stands which of a comparison's
numbers are resampled together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

import numpy as np

from tirtrack.evaluation.comparison import Comparison, TrackerResult
from tirtrack.evaluation.protocols.base import ScoreDescription
from tirtrack.evaluation.repeats import SequenceValues, averaged, runs_by_tracker
from tirtrack.evaluation.statistics import (
    RESAMPLES,
    ScoreDifference,
    ScoreInterval,
    bootstrap_indices,
    bootstrap_intervals,
    draw_counts,
    paired_bootstraps,
    paired_ratio_bootstraps,
    stratified_indices,
)

FEWEST_IN_SUBSET = 5
"""Sequences below which the scores of a subset have no interval."""
_Key = TypeVar("_Key")
_Difference = tuple[str, str, str, str]  # a and b of a - b, the id of the score, the subset
_Pair = tuple[SequenceValues, SequenceValues]  # of a and b, of the same sequences


class Bootstrap:
    """Resamples of sequences, of their groups, or of sequences within their part: one matrix for
    each number of them, or for each mix of parts.

    Args:
        groups: group of each sequence, drawn whole; empty where sequences are drawn.
        seed: seed of the resamples.
        resamples: number of resamples.
        parts: part of each sequence, which only another one of that part replaces; empty where
            any sequence does.
    """

    def __init__(
        self,
        groups: Mapping[str, str],
        seed: int,
        resamples: int,
        *,
        parts: Mapping[str, str] | None = None,
    ) -> None:
        self.groups, self.seed, self.resamples = groups, seed, resamples
        self.parts = parts or {}
        self._counts: dict[tuple[str, ...] | int, np.ndarray] = {}

    def units(self, sequences: Sequence[str]) -> list[str]:
        """The group of each sequence; itself where there are no groups."""
        return [self.groups.get(name, name) for name in sequences]

    def counts(self, sequences: Sequence[str]) -> np.ndarray:
        """``[B,G]`` how often each resample draws each group of the sequences."""
        units = len(set(self.units(sequences)))
        parts = tuple(self.parts[name] for name in sequences) if self.parts else ()
        if (key := parts or units) not in self._counts:
            rng = np.random.default_rng(self.seed)
            drawn = (
                stratified_indices(parts, rng, resamples=self.resamples)
                if parts
                else bootstrap_indices(units, rng, resamples=self.resamples)
            )
            self._counts[key] = draw_counts(drawn)
        return self._counts[key]


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
        (tracker, score, subset): values.among(members)
        for tracker, by_score in _values(trackers, [one for one in scores if one.is_mean]).items()
        for score, values in by_score.items()
        for subset, members in {"": values.names, **subsets}.items()
    }
    rows = {
        key: row for key, row in rows.items() if not key[2] or len(row.names) >= FEWEST_IN_SUBSET
    }
    found: dict[tuple[str, str, str], ScoreInterval] = {}
    for (sequences, are_weighted), keys in _alike({key: (row,) for key, row in rows.items()}):
        intervals = bootstrap_intervals(
            np.stack([rows[key].values for key in keys]),
            bootstrap.counts(sequences),
            groups=bootstrap.units(sequences),
            weights=np.stack([rows[key].weights for key in keys]) if are_weighted else None,
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
    return _tested(_paired(trackers, pairs, scores), scores, bootstrap)


def subset_differences(
    result: Comparison, pairs: Sequence[tuple[str, str]]
) -> tuple[ScoreDifference, ...]:
    """Differences ``a - b`` over each subset of five or more sequences that both trackers have.

    The resamples are those of the comparison: as many, by the same seed, of the same groups. There
    are none where the comparison has no differences, or drew groups and does not say which (files
    of older versions).
    """
    every = [row for one in result.first_runs for row in one.sequences]
    groups = {row.name: row.group for row in every if row.group}
    if not result.differences or (result.group and not groups):
        return ()
    rows = {
        (a, b, score, subset): (own.among(members), other.among(members))
        for (a, b, score, _), (own, other) in _paired(result.trackers, pairs, result.scores).items()
        for subset, members in result.subset_members().items()
    }
    enough = {key: row for key, row in rows.items() if len(row[0].names) >= FEWEST_IN_SUBSET}
    return _tested(enough, result.scores, Bootstrap(groups, *_drawn_as(result)))


def differences_within_parts(
    result: Comparison, pairs: Sequence[tuple[str, str]]
) -> tuple[ScoreDifference, ...]:
    """Differences ``a - b`` over all sequences, each drawn from its own part of the data set.

    The stratified bootstrap: every resample has as many sequences of a part as there are. None
    where there is one part only, where groups are drawn, or where the comparison has no
    differences.
    """
    parts = {row.name: row.subset for one in result.first_runs for row in one.sequences}
    if not result.differences or result.group or len(set(parts.values())) < 2:
        return ()
    bootstrap = Bootstrap({}, *_drawn_as(result), parts=parts)
    return _tested(_paired(result.trackers, pairs, result.scores), result.scores, bootstrap)


def _drawn_as(result: Comparison) -> tuple[int, int]:
    """Seed and number of the resamples of a comparison with differences."""
    known = result.differences[0]
    return known.seed or 0, RESAMPLES if known.resamples is None else known.resamples


def _tested(
    rows: Mapping[_Difference, _Pair], scores: Sequence[ScoreDescription], bootstrap: Bootstrap
) -> tuple[ScoreDifference, ...]:
    """The pairs of each row compared, with their intervals."""
    more_is_better = {one.id: one.higher_is_better for one in scores}
    found: dict[_Difference, ScoreDifference] = {}
    for (sequences, are_weighted), keys in _alike(rows):
        units, counts = bootstrap.units(sequences), bootstrap.counts(sequences)
        a, b = (np.stack([rows[key][side].values for key in keys]) for side in (0, 1))
        if are_weighted:
            own, other = (np.stack([rows[key][side].weights for key in keys]) for side in (0, 1))
            tested = paired_ratio_bootstraps(
                a, b, counts, groups=units, weights_a=own, weights_b=other
            )
        else:
            tested = paired_bootstraps(a - b, counts, groups=units)
        drawn = {"seed": bootstrap.seed, "groups": len(set(units)) if bootstrap.groups else None}
        for key, one in zip(keys, tested, strict=True):
            named = dict(zip(("a", "b", "score", "subset"), key, strict=True))
            turned = {} if more_is_better[key[2]] else {"wins": one.losses, "losses": one.wins}
            found[key] = one.model_copy(update={**named, **drawn, **turned})
    return tuple(found[key] for key in rows if key in found)


def _paired(
    trackers: Sequence[TrackerResult],
    pairs: Sequence[tuple[str, str]],
    scores: Sequence[ScoreDescription],
) -> dict[_Difference, _Pair]:
    """The scores of both trackers of each pair, of the sequences that both have, score by score."""
    values = _values(trackers, scores)
    found = {}
    for a, b in pairs:
        for score, own in values[a].items():
            other = values[b][score].among(own.names)
            found[a, b, score, ""] = (own.among(other.names), other)
    return found


def _values(
    trackers: Sequence[TrackerResult], scores: Sequence[ScoreDescription]
) -> dict[str, dict[str, SequenceValues]]:
    """Every tracker's scores by sequence, averaged over its runs, by the ids of the scores."""
    return {
        name: {score.id: averaged(runs, score) for score in scores}
        for name, runs in runs_by_tracker(trackers).items()
    }


def _alike(
    rows: Mapping[_Key, tuple[SequenceValues, ...]],
) -> Iterator[tuple[tuple[tuple[str, ...], bool], list[_Key]]]:
    """The keys of rows of the same sequences, by these and by whether any has a weight; none of
    empty rows.
    """
    found: dict[tuple[tuple[str, ...], bool], list[_Key]] = {}
    for key, row in rows.items():
        if row[0].names:
            are_weighted = any((one.weights != 1).any() for one in row)
            found.setdefault((row[0].names, are_weighted), []).append(key)
    yield from found.items()
