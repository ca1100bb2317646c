"""How sure a score or a difference is: resampling over sequences, and tests on pairs.

The unit of analysis is the sequence. ``values`` are per-sequence scores ``[n]``;
``differences`` are ``a - b`` for the same sequences. Resamples are index matrices ``[B,n]`` made
once and used for every tracker and score, so intervals of one report belong together. Where sets
are resampled separately (:func:`stratified_indices`, :class:`Sets`), a sequence only replaces one
of its own set. Where sequences belong to groups that are not independent inside (one recording),
whole groups are drawn (:func:`paired_bootstrap`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tirtrack.stored import Stored

RESAMPLES = 10_000
ALPHA = 0.05  # one minus the level of every interval
EXACT_SIGN_FLIP_UP_TO = 14
_SIGN_TOLERANCE = 1e-12
_ROWS = 64  # rows of differences whose resampled means are held at once
_CHUNK = 4_000_000  # drawn numbers held at once by the sign-flip test


@dataclass(frozen=True)
class Interval:
    """A percentile interval (95 %) of a mean."""

    mean: float
    low: float
    high: float


class ScoreDifference(Stored):
    """A paired comparison ``a - b`` in one score, by a bootstrap over the sequences that both have,
    or over groups of them; where a tracker ran several times, its mean over the runs counts.

    Attributes:
        a: name of the tracker in question; this and the next two are empty where only numbers are
            compared.
        b: name of the tracker that it is compared with.
        score: id of the score.
        subset: part of the data set, or attribute, whose sequences count; empty for all.
        mean: mean of the differences; of the set means where sets are resampled separately.
        low: lower end of the percentile interval (95 %).
        high: upper end of the interval.
        p: two-sided bootstrap p of a mean difference of 0.
        median: median of the differences.
        wins: sequences where ``a`` is better.
        ties: sequences where both are exactly equal.
        losses: sequences where ``b`` is better.
        n: number of sequences.
        groups: number of groups of sequences that were drawn whole; ``None`` where sequences were.
        resamples: number of bootstrap resamples.
        seed: seed of the resamples.
    """

    a: str = ""
    b: str = ""
    score: str = ""
    subset: str = ""
    mean: float
    low: float
    high: float
    p: float | None = None
    median: float | None = None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    n: int = 0
    groups: int | None = None
    resamples: int | None = None
    seed: int | None = None

    @property
    def drawn(self) -> int:
        """The number of units that the bootstrap draws: groups, or sequences."""
        return self.n if self.groups is None else self.groups

    def turned(self) -> ScoreDifference:
        """The same difference in reverse, ``b - a``."""
        # taken from 0, since minus zero would be printed as -0.000
        return self.model_copy(
            update={
                "a": self.b,
                "b": self.a,
                "mean": 0.0 - self.mean,
                "low": 0.0 - self.high,
                "high": 0.0 - self.low,
                "median": None if self.median is None else 0.0 - self.median,
                "wins": self.losses,
                "losses": self.wins,
            }
        )


class ScoreInterval(Stored):
    """A tracker's mean of one score over sequences, with its interval; means over runs count.

    Attributes:
        tracker: name of the tracker.
        score: id of the score.
        subset: part of the data set, or attribute, whose sequences count; empty for all.
        mean: mean over the sequences.
        low: lower end of the percentile interval (95 %).
        high: upper end of the interval.
        n: number of sequences.
    """

    tracker: str
    score: str
    subset: str = ""
    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Wilcoxon:
    """The signed-rank test: the smaller rank sum, two-sided p, and the rank-biserial effect."""

    statistic: float
    p: float
    rank_biserial: float


@dataclass(frozen=True)
class RankStability:
    """How often each tracker has the largest mean over resamples, and its mean rank (1 is best)."""

    first_share: np.ndarray
    mean_rank: np.ndarray


def bootstrap_indices(
    n: int, rng: np.random.Generator, *, resamples: int = RESAMPLES
) -> np.ndarray:
    """``[B,n]`` indices of sequences, drawn with replacement.

    Raises:
        ValueError: there is no sequence.
    """
    if n < 1:
        raise ValueError(f"a resample needs at least one sequence, got n = {n}")
    return rng.integers(0, n, size=(resamples, n))


def stratified_indices(
    strata: Sequence[str], rng: np.random.Generator, *, resamples: int = RESAMPLES
) -> np.ndarray:
    """``[B,n]`` indices where position ``i`` is drawn from the sequences of its own stratum.

    Strata are drawn in the order of their names, each with its own size.
    """
    labels = np.asarray(strata)
    indices = np.empty((resamples, len(labels)), dtype=np.int64)
    for label in sorted(set(strata)):
        members = np.flatnonzero(labels == label)
        indices[:, members] = members[bootstrap_indices(len(members), rng, resamples=resamples)]
    return indices


def _interval(mean: float, statistics: np.ndarray) -> Interval:
    low, high = np.quantile(statistics, [ALPHA / 2, 1 - ALPHA / 2], method="linear")
    return Interval(mean, float(low), float(high))


def bootstrap_interval(values: np.ndarray, indices: np.ndarray) -> Interval:
    """The mean of ``values [n]`` with its interval, over resamples ``indices [B,n]``."""
    values = np.asarray(values, dtype=np.float64)
    return _interval(float(values.mean()), values[indices].mean(axis=1))


def _bootstrap_p(statistics: np.ndarray) -> float:
    tail = 1 + min(int((statistics <= 0).sum()), int((statistics >= 0).sum()))
    return min(1.0, 2 * tail / (len(statistics) + 1))


def paired_bootstrap(
    differences: np.ndarray, indices: np.ndarray, *, groups: Sequence[str] | None = None
) -> ScoreDifference:
    """Whether differences have a mean other than 0.

    Sequences of one group are not independent, so whole groups are drawn (the cluster bootstrap:
    Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8, groups with
    replacement and everything inside them kept). The mean stays that of the sequences: in a
    resample that draws the groups ``g`` it is ``sum_g S[g] / sum_g n[g]``, with the sum ``S`` and
    the number ``n`` of the differences of a group.

    Args:
        differences: ``[n]`` differences of the sequences.
        indices: ``[B,G]`` resamples of the groups, numbered as they first appear; ``[B,n]`` without
            groups.
        groups: group of each sequence; every sequence is its own by default.
    """
    differences = np.asarray(differences, dtype=np.float64)
    group_of = _numbered(groups, len(differences))
    sums, sizes = np.bincount(group_of, weights=differences), np.bincount(group_of)
    statistics = sums[indices].sum(axis=1) / sizes[indices].sum(axis=1)
    return _difference(differences, float(differences.mean()), statistics)


def draw_counts(indices: np.ndarray) -> np.ndarray:
    """``[B,G]`` how often each resample of ``indices [B,G]`` draws each unit, float64.

    >>> draw_counts(np.array([[0, 0, 2]]))
    array([[2., 0., 1.]])
    """
    units = indices.shape[1]
    return np.stack([np.bincount(row, minlength=units) for row in indices]).astype(np.float64)


def resampled_means(
    values: np.ndarray,
    counts: np.ndarray,
    *,
    groups: Sequence[str] | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """``[K,B]`` mean of each row of ``values [K,n]`` in each resample, by one matrix product.

    With weights it is a ratio of two sums over what is drawn, ``sum w v / sum w`` (the ratio
    estimator): of values that are means over frames, with the numbers of frames for weights, it is
    the mean over all frames. It is 0 where all that is drawn weighs nothing.

    Args:
        values: rows of values of the sequences.
        counts: ``[B,G]`` resamples of the groups, see :func:`draw_counts`.
        groups: group of each sequence; every sequence is its own by default.
        weights: ``[K,n]`` weights of the values; equal ones by default.
    """
    group_of = _numbered(groups, values.shape[1])
    if weights is None:
        return np.asarray(
            _group_sums(values, group_of) @ counts.T / (counts @ np.bincount(group_of))
        )
    sums, sizes = (_group_sums(one, group_of) @ counts.T for one in (values * weights, weights))
    return np.asarray(np.divide(sums, sizes, out=np.zeros_like(sums), where=sizes > 0))


def _group_sums(values: np.ndarray, group_of: np.ndarray) -> np.ndarray:
    """``[K,G]`` sums of each row of ``[K,n]`` over the sequences of each group."""
    return np.stack([np.bincount(group_of, weights=row) for row in values])


def weighted_mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The mean of ``values [n]`` by ``weights [n]``; 0 if all weigh nothing."""
    if weights is None:
        return float(values.mean())
    return float(values @ weights / weights.sum()) if weights.sum() > 0 else 0.0


def paired_bootstraps(
    differences: np.ndarray, counts: np.ndarray, *, groups: Sequence[str] | None = None
) -> list[ScoreDifference]:
    """:func:`paired_bootstrap` of each row of ``differences [K,n]``, equal up to rounding.

    Args:
        differences: rows of differences of the same sequences.
        counts: ``[B,G]`` resamples of the groups, see :func:`draw_counts`.
        groups: group of each sequence; every sequence is its own by default.
    """
    return [
        _difference(row, float(row.mean()), statistics)
        for first in range(0, len(differences), _ROWS)
        for block in [differences[first : first + _ROWS]]
        for row, statistics in zip(
            block, resampled_means(block, counts, groups=groups), strict=True
        )
    ]


def paired_ratio_bootstraps(
    a: np.ndarray,
    b: np.ndarray,
    counts: np.ndarray,
    *,
    weights_a: np.ndarray,
    weights_b: np.ndarray,
    groups: Sequence[str] | None = None,
) -> list[ScoreDifference]:
    """Whether two ratios (see :func:`resampled_means`) differ, for each row of ``a`` and ``b``.

    The mean is the difference of the ratios; median, wins, ties and losses are those of the
    differences by sequence.

    Args:
        a: ``[K,n]`` values of the sequences.
        b: ``[K,n]`` values that are subtracted.
        counts: ``[B,G]`` resamples of the groups, see :func:`draw_counts`.
        weights_a: ``[K,n]`` weights of ``a``.
        weights_b: ``[K,n]`` weights of ``b``.
        groups: group of each sequence; every sequence is its own by default.
    """
    return [
        _difference(
            a[row] - b[row],
            weighted_mean(a[row], weights_a[row]) - weighted_mean(b[row], weights_b[row]),
            statistics,
        )
        for first in range(0, len(a), _ROWS)
        for rows in [np.arange(first, min(first + _ROWS, len(a)))]
        for row, statistics in zip(
            rows,
            resampled_means(a[rows], counts, groups=groups, weights=weights_a[rows])
            - resampled_means(b[rows], counts, groups=groups, weights=weights_b[rows]),
            strict=True,
        )
    ]


def bootstrap_intervals(
    values: np.ndarray,
    counts: np.ndarray,
    *,
    groups: Sequence[str] | None = None,
    weights: np.ndarray | None = None,
) -> list[Interval]:
    """The mean of each row of ``values [K,n]`` with its interval.

    Args:
        values: rows of values of the same sequences.
        counts: ``[B,G]`` resamples of the groups, see :func:`draw_counts`.
        groups: group of each sequence; every sequence is its own by default.
        weights: ``[K,n]`` weights of the values; equal ones by default.
    """
    resampled = resampled_means(values, counts, groups=groups, weights=weights)
    return [
        _interval(
            weighted_mean(row, None if weights is None else weights[number]), resampled[number]
        )
        for number, row in enumerate(values)
    ]


def _numbered(groups: Sequence[str] | None, sequences: int) -> np.ndarray:
    """``[n]`` number of each sequence's group, in the order in which groups first appear."""
    if groups is None:
        return np.arange(sequences)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[name] for name in groups])


def _difference(differences: np.ndarray, mean: float, statistics: np.ndarray) -> ScoreDifference:
    interval = _interval(mean, statistics)
    return ScoreDifference(
        mean=mean,
        low=interval.low,
        high=interval.high,
        p=_bootstrap_p(statistics),
        median=float(np.median(differences)),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        n=len(differences),
        resamples=len(statistics),
    )


@dataclass(frozen=True)
class Sets:
    """A figure over several sets: the mean of the set means, sequences drawn within their set.

    Every set weighs the same however many sequences it has. The resamples are drawn once, set by
    set in the order of names, so two trackers and all scores share them.

    Attributes:
        sizes: number of sequences of each set, by name.
        indices: ``[B,size]`` resamples of each set, by name.
    """

    sizes: Mapping[str, int]
    indices: Mapping[str, np.ndarray]

    @classmethod
    def draw(
        cls, sizes: Mapping[str, int], rng: np.random.Generator, *, resamples: int = RESAMPLES
    ) -> Sets:
        """Resamples for sets of these sizes."""
        return cls(
            dict(sizes),
            {
                name: bootstrap_indices(sizes[name], rng, resamples=resamples)
                for name in sorted(sizes)
            },
        )

    def interval(self, values: Mapping[str, np.ndarray]) -> Interval:
        """The figure with its interval; ``values`` per set ``[n]`` or ``[seeds,n]``."""
        by_set = self._averaged(values)
        return _interval(_mean_of_means(by_set), self._resampled(by_set))

    def difference(
        self, a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]
    ) -> ScoreDifference:
        """The figure of ``a - b``; seeds are averaged in a sequence before anything else.

        Args:
            a: scores of each set, ``[n]`` or ``[seeds,n]``.
            b: scores of the same sets and sequences; the number of seeds may differ.
        """
        averaged_a, averaged_b = self._averaged(a), self._averaged(b)
        by_set = {name: averaged_a[name] - averaged_b[name] for name in averaged_a}
        pooled = np.concatenate([by_set[name] for name in sorted(by_set)])
        return _difference(pooled, _mean_of_means(by_set), self._resampled(by_set))

    def _averaged(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if set(values) != set(self.sizes):
            raise ValueError(f"expected the sets {sorted(self.sizes)}, got {sorted(values)}")
        by_set = {name: average_seeds(values[name]) for name in sorted(values)}
        for name, averaged in by_set.items():
            if len(averaged) != self.sizes[name]:
                raise ValueError(
                    f"set {name} has {self.sizes[name]} sequences, got {len(averaged)} values"
                )
        return by_set

    def _resampled(self, by_set: Mapping[str, np.ndarray]) -> np.ndarray:
        means = [by_set[name][self.indices[name]].mean(axis=1) for name in sorted(by_set)]
        return np.asarray(np.mean(means, axis=0))


def _mean_of_means(by_set: Mapping[str, np.ndarray]) -> float:
    return float(np.mean([by_set[name].mean() for name in sorted(by_set)]))


def average_seeds(values: np.ndarray) -> np.ndarray:
    """``[n]`` per-sequence scores from ``[n]``, or from ``[seeds,n]`` by the mean over seeds."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(f"values must be [n] or [seeds,n], got {list(values.shape)}")
    return values if values.ndim == 1 else np.asarray(values.mean(axis=0))


def sign_flip_p(
    differences: np.ndarray, rng: np.random.Generator, *, resamples: int = RESAMPLES
) -> float:
    """Two-sided p of the sign-flip test on ``differences [n]``; exact for 14 sequences or fewer."""
    differences = np.asarray(differences, dtype=np.float64)
    n = len(differences)
    if n <= EXACT_SIGN_FLIP_UP_TO:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return sign_flip_p_of(differences, bits * 2 - 1, exact=True)
    extreme, drawn = 0, 0
    while drawn < resamples:
        rows = min(resamples - drawn, max(1, _CHUNK // n))
        extreme += _extreme(differences, rng.integers(0, 2, size=(rows, n)) * 2 - 1)
        drawn += rows
    return (1 + extreme) / (resamples + 1)


def sign_flip_p_of(differences: np.ndarray, signs: np.ndarray, *, exact: bool = False) -> float:
    """The same for given ``signs [B,n]`` of -1 and 1; ``exact`` when they are all possible ones."""
    extreme = _extreme(np.asarray(differences, dtype=np.float64), signs)
    return extreme / len(signs) if exact else (1 + extreme) / (len(signs) + 1)


def _extreme(differences: np.ndarray, signs: np.ndarray) -> int:
    observed = abs(differences.mean()) - _SIGN_TOLERANCE
    flipped = np.abs((signs * differences).mean(axis=1))
    return int((flipped >= observed).sum())


def wilcoxon(differences: np.ndarray) -> Wilcoxon:
    """The signed-rank test on ``differences [n]``.

    Zeros are dropped, ties get average ranks, the normal approximation has the tie correction and
    no continuity correction. Without any difference: statistic 0, p 1, effect 0.
    """
    from scipy.stats import norm, rankdata

    differences = np.asarray(differences, dtype=np.float64)
    differences = differences[differences != 0]
    n = len(differences)
    if n == 0:
        return Wilcoxon(0.0, 1.0, 0.0)
    ranks = rankdata(np.abs(differences))
    positive, negative = ranks[differences > 0].sum(), ranks[differences < 0].sum()
    ties = np.unique(ranks, return_counts=True)[1]
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((ties**3 - ties).sum()) / 48
    statistic = min(positive, negative)
    z = (statistic - n * (n + 1) / 4) / np.sqrt(variance)
    return Wilcoxon(
        float(statistic),
        min(1.0, float(2 * norm.sf(abs(z)))),
        float((positive - negative) / (positive + negative)),
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values adjusted for their number, under the same names.

    >>> holm({"a": 0.01, "b": 0.04})
    {'a': 0.02, 'b': 0.04}
    """
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    largest = 0.0
    for position, name in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - position) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def rank_stability(values: np.ndarray, indices: np.ndarray) -> RankStability:
    """How stable a ranking is.

    Args:
        values: ``[trackers,n]`` per-sequence scores.
        indices: ``[B,n]`` resamples.

    Returns:
        Shares and mean ranks, ``[trackers]`` each; ties get average ranks, and the first place goes
        to the first of those that share it.
    """
    from scipy.stats import rankdata

    means = np.stack([row[indices].mean(axis=1) for row in np.asarray(values, np.float64)])
    first = np.bincount(means.argmax(axis=0), minlength=len(means)) / means.shape[1]
    return RankStability(first, rankdata(-means, axis=0).mean(axis=1))
