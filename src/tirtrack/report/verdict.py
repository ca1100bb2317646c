"""One honest sentence from a paired interval.

The sentence says "better" or "worse" only when the interval excludes zero and there are enough
sequences (groups of them, where the bootstrap draws those); otherwise it says that this data can
show no difference, which is not the same as "no difference", or that so few cannot decide. Reasons
for caution (few sequences, one sequence that makes the mean, intervals that treat sequences as
independent) are in :attr:`Verdict.cautions`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tirtrack.evaluation.comparison import Comparison
from tirtrack.evaluation.protocols.base import ScoreDescription
from tirtrack.evaluation.repeats import (
    SequenceValues,
    averaged,
    paired_differences,
)
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.source_line import counted

# With five paired values an exact two-sided sign test cannot go below 2 / 2**5 = 0.06; with six it
# reaches 0.03. With fewer, a bootstrap interval that excludes zero shows nothing.
FEWEST_SEQUENCES = 6
FEW_SEQUENCES = 10
RESTS_ON_ONE = 0.5
MOST_SENTENCES = 6  # verdicts that a page shows one by one


class Outcome(StrEnum):
    """The statement that interval and number of sequences support."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "open"
    TOO_FEW = "too few"
    NOTHING_TO_COMPARE = "nothing to compare"


_TALLY = {
    Outcome.BETTER: "better",
    Outcome.WORSE: "worse",
    Outcome.OPEN: "without a difference that this data can show",
    Outcome.TOO_FEW: "with too few sequences to decide",
    Outcome.NOTHING_TO_COMPARE: "without a paired difference",
}


@dataclass(frozen=True)
class Verdict:
    """The sentence, the outcome that it states, and reasons for caution.

    Attributes:
        outcome: outcome of the tracker in question against the reference.
        sentence: one sentence for the top of the page.
        cautions: short sentences, each with its number.
    """

    outcome: Outcome
    sentence: str
    cautions: tuple[str, ...] = ()


def verdict(result: Comparison, tracker: str, reference: str) -> Verdict:
    """What the evaluation says of ``tracker`` against ``reference``, by the primary score."""
    score = result.primary
    found = result.difference(tracker, reference, score.id)
    if found is None:
        return Verdict(
            Outcome.NOTHING_TO_COMPARE,
            f"The result holds no paired difference between {tracker} and {reference}, so nothing "
            "is said of which is better.",
        )
    outcome = outcome_of(found, score)
    return Verdict(outcome, _sentence(result, found, outcome), _cautions(result, found, outcome))


def tally(
    result: Comparison, pairs: Sequence[tuple[str, str]], verdicts: Sequence[Verdict]
) -> tuple[str, ...]:
    """The verdicts of many pairs in a sentence for each reference, with names where they are few.

    Args:
        result: the evaluation.
        pairs: tracker and reference of each verdict.
        verdicts: the verdicts, in the same order.
    """
    sentences = []
    for base in dict.fromkeys(reference for _, reference in pairs):
        by_outcome: dict[Outcome, list[str]] = {outcome: [] for outcome in _TALLY}
        for (name, reference), one in zip(pairs, verdicts, strict=True):
            if reference == base:
                by_outcome[one.outcome].append(name)
        total = sum(map(len, by_outcome.values()))
        said = [
            f"{len(names)} {_TALLY[outcome]}"
            + (f" ({', '.join(names)})" if len(names) <= MOST_SENTENCES else "")
            for outcome, names in by_outcome.items()
            if names
        ]
        sentences.append(
            f"{counted(total, 'tracker')} against {base}, by {result.primary.title}: "
            f"{'; '.join(said)}."
        )
    return tuple(sentences)


def only_tracker(result: Comparison) -> Verdict:
    """The sentence for an evaluation of one tracker: its numbers, and no comparison."""
    one = result.first_runs[0]
    value = one.values.get(result.primary.id)
    number = "not measured" if value is None else f"{value:.3f}"
    return Verdict(
        Outcome.NOTHING_TO_COMPARE,
        f"{one.name}: {named(result.primary, number)} over "
        f"{counted(len(one.sequences), 'sequence')}; with one tracker there is nothing to compare.",
    )


def outcome_of(difference: ScoreDifference, score: ScoreDescription) -> Outcome:
    """Better or worse only when the interval excludes zero, over enough sequences or groups.

    A bound that is exactly zero belongs to the interval.
    """
    if difference.drawn < FEWEST_SEQUENCES:
        return Outcome.TOO_FEW
    if difference.low <= 0 <= difference.high:
        return Outcome.OPEN
    return Outcome.BETTER if score.gain(difference.low) > 0 else Outcome.WORSE


def signed(value: float | None) -> str:
    """Three decimals with a sign; none where they are all zero.

    >>> signed(0.01), signed(-0.0001), signed(0.0), signed(None)
    ('+0.010', '0.000', '0.000', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text


def named(score: ScoreDescription, number: str) -> str:
    """A number with the name of its score and its unit.

    >>> named(ScoreDescription(id="e", title="centre error", unit="px"), "3.200")
    'centre error 3.200 px'
    """
    return f"{score.title} {number} {score.unit}".rstrip()


def bounds(difference: ScoreDifference) -> str:
    """Both ends of an interval; one that rounds to zero keeps its sign: it leaves zero out."""
    ends = (difference.low, difference.high)
    return f"[{', '.join('0.000' if end == 0 else f'{end:+.3f}' for end in ends)}]"


def interval(difference: ScoreDifference) -> str:
    """Mean and interval with signs, as the page prints them.

    >>> interval(ScoreDifference(a="a", b="b", score="x", mean=0.0123, low=-0.01, high=0.03))
    '+0.012 [-0.010, +0.030]'
    """
    return f"{signed(difference.mean)} {bounds(difference)}"


def _sentence(result: Comparison, d: ScoreDifference, outcome: Outcome) -> str:
    score, drawn = result.primary, counted(d.drawn, result.unit)
    unit = f" {score.unit}" if score.unit else ""
    numbers = f"{signed(d.mean)}{unit} {score.title}, 95 % interval {bounds(d)}"
    over = f"over {drawn}" if d.groups is None else f"over {drawn} ({counted(d.n, 'sequence')})"
    if outcome is Outcome.TOO_FEW:
        return (
            f"{drawn} cannot decide between {d.a} and {d.b}, whatever the numbers: "
            f"{numbers}; at least {FEWEST_SEQUENCES} are needed."
        )
    if outcome is Outcome.BETTER:
        return f"{d.a} is better than {d.b} on this data: {numbers} {over}."
    if outcome is Outcome.WORSE:
        return f"{d.a} is worse than {d.b} on this data: {numbers} {over}."
    return (
        f"No difference between {d.a} and {d.b} that this data can show: {numbers} {over}; "
        "the interval holds zero."
    )


def no_means(result: Comparison) -> str:
    """Which scores are no means over sequences, and what that means; empty if all are."""
    apart = _titles_of_no_means(result)
    return (
        f"No means over sequences: {apart}; they have no interval, and their differences are means "
        "of the differences by sequence."
        if apart
        else ""
    )


def pooled_over_runs(result: Comparison) -> str:
    """Which scores of trackers with several runs are no means over these; empty if all are."""
    apart = _titles_of_no_means(result)
    return f"Read from all runs together, not averaged: {apart}." if result.runs and apart else ""


def _titles_of_no_means(result: Comparison) -> str:
    return ", ".join(one.title for one in result.scores if not one.is_mean)


def sequence_differences(result: Comparison, a: str, b: str, score: str) -> dict[str, float]:
    """``a - b`` of every sequence that both have, in all their runs; means over runs."""
    own, other = ([one.by_sequence(score) for one in result.runs_of(name)] for name in (a, b))
    return paired_differences(own, other)


def _cautions(result: Comparison, d: ScoreDifference, outcome: Outcome) -> tuple[str, ...]:
    cautions = []
    if d.drawn < FEW_SEQUENCES:
        cautions.append(
            f"{counted(d.drawn, result.unit)} only: a percentile interval over so few is too "
            "narrow, and a small effect cannot be seen."
        )
    own, other = (averaged(result.runs_of(name), result.score(d.score)) for name in (d.a, d.b))
    a, b = own.among(other.names), other.among(own.names)
    if len(a.names) > 1:
        cautions += _leaning(a, b.among(a.names), d.mean)
    if outcome in (Outcome.BETTER, Outcome.WORSE):
        cautions += _other_side(result, d, outcome)
    return tuple(cautions)


def _leaning(a: SequenceValues, b: SequenceValues, mean: float) -> list[str]:
    """Whether one sequence makes the mean."""
    differences = a.values - b.values
    place = int(np.argmax(np.abs(differences) * a.weights))
    name, leaning = a.names[place], float(differences[place])
    others = [key for key in a.names if key != name]
    rest = a.among(others).mean - b.among(others).mean
    if abs(mean) < 5e-4 or abs(mean - rest) < RESTS_ON_ONE * abs(mean):
        return []
    return [
        f"The mean leans on one sequence: {name} changes by {signed(leaning)}, and without it "
        f"the mean is {signed(rest)}."
    ]


def _other_side(result: Comparison, d: ScoreDifference, outcome: Outcome) -> list[str]:
    """Scores that do not agree with the outcome."""
    apart = [
        named(score, interval(other))
        for score in result.scores[1:]
        if not score.point_of
        and (other := result.difference(d.a, d.b, score.id)) is not None
        and outcome_of(other, score) is not outcome
    ]
    return [f"Not every score says so: {', '.join(apart)}."] if apart else []
