"""Score and status: monotone, bounded, and fitted numbers that do what they are fitted for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirtrack.boxes import Box
from tirtrack.errors import WeightsError
from tirtrack.trackers.base import Status
from tirtrack.trackers.belief import Belief
from tirtrack.trackers.calibration import (
    family_calibration,
    flag_of,
    is_high_but_ambiguous,
    loss_rule,
    score_of,
)
from tirtrack.trackers.calibration_fit import (
    MIN_MARGIN_SCALE,
    MIN_RISE_SCALE,
    LostShares,
    ScoreCurve,
    disappearances,
    fit_score,
    fit_status,
    lost_shares,
)

numbers = st.floats(-1e6, 1e6)


@given(numbers, numbers, st.floats(0, 1e6))
def test_score_is_in_range_falls_with_a_rise_and_rises_with_margin(
    plain_calibration, rise, margin, more
):
    score = score_of(rise, margin, plain_calibration)
    assert 0.0 <= score <= 1.0
    assert score_of(rise + more, margin, plain_calibration) <= score
    assert score_of(rise, margin + more, plain_calibration) >= score


def test_score_is_the_product_of_two_logistics(plain_calibration):
    assert score_of(1.0, 2.0, plain_calibration) == pytest.approx(0.25)
    expected = 1 / (1 + np.exp(-2)) / (1 + np.exp(1))
    assert score_of(0.5, 1.0, plain_calibration) == pytest.approx(expected)
    assert is_high_but_ambiguous(2.0, plain_calibration)
    assert not is_high_but_ambiguous(1.9, plain_calibration)


def beliefs(scores, calibration):
    belief, said = Belief(Box(0.0, 0.0, 1.0, 1.0)), []
    for score in scores:
        belief = loss_rule(calibration).after(belief, flag_of(score, calibration))
        said.append(str(belief.status)[0])
    return "".join(said)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.9, 0.5, 0.49, 0.31, 0.6], "ttuut"),
        ([0.1] * 6 + [0.9], "uuulllt"),
        ([0.1, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1, 0.1], "uuuuuuul"),
        ([0.1] * 5 + [0.4, 0.1], "uuullll"),
    ],
    ids=["thresholds", "four in a row", "in a row", "lost until good"],
)
def test_status_follows_the_scores(plain_calibration, scores, expected):
    assert beliefs(scores, plain_calibration) == expected


def samples(rng, *, n=400):
    rise = np.concatenate([rng.normal(0.0, 0.3, n), rng.normal(1.8, 0.3, n)])
    margin = np.concatenate([rng.normal(9, 1.5, n), rng.normal(2, 1.5, n)])
    return rise, margin, np.arange(2 * n) < n


def test_fitted_curve_parts_the_classes_and_scores_mean_shares():
    rng = np.random.default_rng(0)
    rise, margin, present = samples(rng)
    curve = fit_score(rise, margin, present)
    score = curve.score(rise, margin)
    assert score[present].mean() > 0.97
    assert score[~present].mean() < 0.03
    assert 0.0 < curve.rise_centre < 2.1
    assert curve.rise_scale >= MIN_RISE_SCALE
    assert curve.margin_scale >= MIN_MARGIN_SCALE


def test_fit_does_not_depend_on_the_order_or_the_balance_of_samples():
    rng = np.random.default_rng(1)
    rise, margin, present = samples(rng)
    margin[:40], rise[:40] = 3.0, 1.5  # some overlap, so that the fit is not a step
    order = rng.permutation(len(present))
    one = fit_score(rise, margin, present)
    other = fit_score(rise[order], margin[order], present[order])
    few = np.flatnonzero(~present)
    tripled = np.concatenate([np.arange(len(present)), few, few])
    heavy = fit_score(rise[tripled], margin[tripled], present[tripled])
    grid = np.linspace(-0.5, 2.5, 20), np.linspace(0, 10, 20)
    np.testing.assert_allclose(other.score(*grid), one.score(*grid), atol=0.01)
    np.testing.assert_allclose(heavy.score(*grid), one.score(*grid), atol=0.01)


def test_fit_needs_both_classes():
    with pytest.raises(ValueError, match="both classes, got 5 of 5"):
        fit_score(np.ones(5), np.ones(5), np.ones(5, bool))


def test_fitted_thresholds_find_absences_without_false_alarms():
    rng = np.random.default_rng(2)
    visible = [np.r_[np.ones(40, bool), np.zeros(20, bool), np.ones(40, bool)] for _ in range(20)]
    scores = []
    for seen in visible:
        score = np.where(seen, rng.uniform(0.6, 1.0, 100), rng.uniform(0.0, 0.25, 100))
        score[rng.integers(5, 35, 3)] = 0.05  # single bad frames must not become a loss
        scores.append(score)
    fit = fit_status(scores, visible, visible)
    assert fit.detected == 1.0
    assert fit.false_lost <= 0.02
    assert fit.lost_below <= fit.uncertain_below


def test_shares_count_detections_within_ten_frames_and_false_alarms_on_visible_ones():
    seen = np.r_[np.ones(10, bool), np.zeros(15, bool), np.ones(20, bool)]
    assert disappearances(seen) == [10]
    lost = np.zeros(45, bool)
    lost[19] = True
    lost[25:30] = True  # shortly after the return: not yet an alarm
    assert lost_shares([lost], [seen], [seen]) == LostShares(1.0, 0.0)
    lost[19], lost[20] = False, True
    lost[40] = True
    assert lost_shares([lost], [seen], [seen]) == LostShares(0.0, 1 / 20)
    on_target = seen & (np.arange(45) < 40)  # drifted from frame 40 on: rightly called lost
    assert lost_shares([lost], [seen], [on_target]) == LostShares(0.0, 0.0)
    assert np.isnan(lost_shares([lost], [seen | True], [seen]).detected)


def test_every_version_has_numbers_and_others_are_named():
    for architecture in ("nanotrack-v2", "nanotrack-v3"):
        calibration = family_calibration(architecture)
        assert score_of(0.0, 12.0, calibration) > 0.9
        assert score_of(1.5, 1.5, calibration) < 0.1
    with pytest.raises(WeightsError, match='"dimp50" has no calibration'):
        family_calibration("dimp50")


def test_curve_and_card_give_the_same_score(plain_calibration):
    curve = ScoreCurve(1.0, 0.25, 2.0, 1.0)
    assert float(curve.score(np.array(0.7), np.array(2.2))) == score_of(0.7, 2.2, plain_calibration)
    assert Status("lost") is Status.LOST
