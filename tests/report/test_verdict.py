"""The sentence at the top says no more than the interval allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirtrack.evaluation.comparison import Comparison
from tirtrack.evaluation.protocols.otb_core import SUCCESS
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.report.verdict import (
    FEWEST_SEQUENCES,
    Outcome,
    Verdict,
    interval,
    only_tracker,
    outcome_of,
    tally,
    verdict,
)


def difference(low, high, n=6, **more):
    mean = (low + high) / 2
    return ScoreDifference(
        a="b", b="a", score="success", mean=mean, low=low, high=high, n=n, **more
    )


numbers = st.floats(-1, 1, allow_nan=False)


@given(numbers, numbers)
def test_an_interval_that_holds_zero_never_decides(one, other):
    low, high = sorted((one, other))
    found = outcome_of(difference(low, high), SUCCESS)
    assert (found is Outcome.OPEN) == (low <= 0 <= high)


@given(numbers, numbers)
def test_better_seen_from_the_other_side_is_worse(one, other):
    low, high = sorted((one, other))
    there = outcome_of(difference(low, high), SUCCESS)
    back = outcome_of(difference(low, high).turned(), SUCCESS)
    assert {there, back} in ({Outcome.OPEN}, {Outcome.BETTER, Outcome.WORSE})


@given(numbers, numbers)
def test_turning_twice_changes_nothing(one, other):
    low, high = sorted((one, other))
    d = difference(low, high, median=0.5, wins=3, ties=1, losses=2, n=6)
    assert d.turned().turned() == d
    assert d.turned().low <= d.turned().high


@pytest.mark.parametrize(
    ("baseline", "distilled", "outcome", "words"),
    [
        ([0.5] * 12, [0.6] * 12, Outcome.BETTER, "distilled is better than nano-rgb"),
        ([0.6] * 12, [0.5] * 12, Outcome.WORSE, "distilled is worse than nano-rgb"),
        (
            [0.5, 0.6] * 6,
            [0.6, 0.5] * 6,
            Outcome.OPEN,
            "No difference between distilled and nano-rgb that this data can show",
        ),
        ([0.5] * 12, [0.5] * 12, Outcome.OPEN, "No difference between"),
    ],
    ids=["better", "worse", "open", "equal"],
)
def test_the_sentence_follows_the_interval(made, baseline, distilled, outcome, words):
    result = Comparison.model_validate(made.result(baseline, distilled))
    found = verdict(result, "distilled", "nano-rgb")
    assert found.outcome is outcome
    assert found.sentence.startswith(words)
    assert "12 sequences" in found.sentence
    assert found.sentence.count(". ") == 0


@given(numbers, numbers, st.integers(0, FEWEST_SEQUENCES - 1))
def test_too_few_sequences_never_decide(one, other, n):
    low, high = sorted((one, other))
    assert outcome_of(difference(low, high, n=n), SUCCESS) is Outcome.TOO_FEW


def test_the_fewest_sequences_are_those_where_a_sign_test_can_fall_below_5_percent():
    assert 2 / 2**FEWEST_SEQUENCES < 0.05 < 2 / 2 ** (FEWEST_SEQUENCES - 1)


@pytest.mark.parametrize(("n", "is_decided"), [(2, False), (5, False), (6, True)])
def test_a_clear_loss_is_called_worse_from_six_sequences_on(made, n, is_decided):
    result = Comparison.model_validate(made.result([0.6] * n, [0.5] * n))
    found = verdict(result, "distilled", "nano-rgb")
    assert (found.outcome is Outcome.WORSE) == is_decided
    assert found.sentence.endswith("at least 6 are needed.") != is_decided


def test_too_few_sequences_are_said_with_the_numbers(made):
    result = Comparison.model_validate(made.result([0.6] * 2, [0.5] * 2))
    assert verdict(result, "distilled", "nano-rgb").sentence == (
        "2 sequences cannot decide between distilled and nano-rgb, whatever the numbers: -0.100 "
        "success, 95 % interval [-0.100, -0.100]; at least 6 are needed."
    )


def test_the_sentence_holds_its_numbers(made):
    result = Comparison.model_validate(made.result([0.5] * 12, [0.6] * 12))
    assert verdict(result, "distilled", "nano-rgb").sentence == (
        "distilled is better than nano-rgb on this data: +0.100 success, 95 % interval "
        "[+0.100, +0.100] over 12 sequences."
    )


def test_a_mean_that_leans_on_one_sequence_is_said(made):
    result = Comparison.model_validate(
        made.result([0.5] * 12, [0.51] * 11 + [0.9], sequences=[f"s{k}" for k in range(12)])
    )
    found = verdict(result, "distilled", "nano-rgb")
    assert (
        "The mean leans on one sequence: s11 changes by +0.400, and without it the mean is +0.010."
        in found.cautions
    )


def test_few_sequences_are_said(made):
    found = verdict(Comparison.model_validate(made.result()), "distilled", "nano-rgb")
    assert found.cautions[0].startswith("4 sequences only")


def test_scores_that_disagree_are_said(made):
    content = made.result([0.5] * 12, [0.6] * 12)
    precision = next(d for d in content["differences"] if d["score"] == "precision")
    precision.update(mean=-0.1, low=-0.2, high=-0.05)
    found = verdict(Comparison.model_validate(content), "distilled", "nano-rgb")
    assert "Not every score says so: precision -0.100 [-0.200, -0.050]." in found.cautions


def test_one_tracker_is_compared_with_nothing(made):
    content = made.result()
    content["trackers"], content["differences"] = content["trackers"][:1], []
    found = only_tracker(Comparison.model_validate(content))
    assert found.outcome is Outcome.NOTHING_TO_COMPARE
    assert found.sentence.startswith("nano-rgb: success 0.550 over 4 sequences")


def test_a_difference_that_is_not_stored_is_not_made_up(made):
    content = made.result()
    content["differences"] = []
    found = verdict(Comparison.model_validate(content), "distilled", "nano-rgb")
    assert found.outcome is Outcome.NOTHING_TO_COMPARE


def test_the_interval_prints_three_decimals_with_signs():
    assert interval(difference(-0.0104, 0.03)) == "+0.010 [-0.010, +0.030]"


def test_a_mean_of_zero_has_no_sign_and_a_bound_shows_on_which_side_it_lies():
    assert interval(difference(-0.0004, -0.0002)) == "0.000 [-0.000, -0.000]"
    assert interval(difference(0.0, 0.0)) == "0.000 [0.000, 0.000]"


def test_many_verdicts_are_counted_for_each_reference(made):
    result = Comparison.model_validate(made.result())
    pairs = [(f"t{k}", "base") for k in range(9)] + [("t0", "control")]
    outcomes = [Outcome.WORSE] * 7 + [Outcome.BETTER, Outcome.OPEN, Outcome.TOO_FEW]
    assert tally(result, pairs, [Verdict(one, "") for one in outcomes]) == (
        "9 trackers against base, by success: 1 better (t7); 7 worse; "
        "1 without a difference that this data can show (t8).",
        "1 tracker against control, by success: 1 with too few sequences to decide (t0).",
    )
