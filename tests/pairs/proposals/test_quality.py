"""The quality of a proposal: a probability that rises with the score, for every way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.proposal_quality import fitted, inside
from tirtrack.boxes import Box
from tirtrack.pairs.proposals import names
from tirtrack.pairs.proposals.base import FoundIn, Proposal
from tirtrack.pairs.proposals.quality import CALIBRATION, logit, quality

SCORES = st.floats(0, 1)


def test_every_way_is_calibrated_in_every_modality():
    assert sorted(CALIBRATION) == names()
    assert all(set(kinds) == set(FoundIn) for kinds in CALIBRATION.values())


@given(st.sampled_from(sorted(CALIBRATION)), st.sampled_from(list(FoundIn)), SCORES, SCORES)
def test_quality_is_a_probability_that_never_falls_with_the_score(way, found_in, one, other):
    low, high = sorted((one, other))
    assert 0 < quality(way, found_in, low) <= quality(way, found_in, high) < 1


@pytest.mark.parametrize("way", ["saliency", "regions"])
def test_a_box_that_both_modalities_show_is_the_likeliest(way):
    for score in (0.3, 0.6, 0.8):
        alone = max(quality(way, kind, score) for kind in (FoundIn.TIR, FoundIn.RGB))
        assert quality(way, FoundIn.BOTH, score) > alone


def test_a_proposal_has_the_quality_of_its_way_modality_and_score():
    one = Proposal(Box(0, 0, 9, 9), FoundIn.RGB, 0.8, "detector")
    assert one.quality == quality("detector", "rgb", 0.8) != quality("detector", "tir", 0.8)


def test_a_proposer_of_ones_own_needs_no_calibration_until_its_quality_is_asked_for():
    one = Proposal(Box(0, 0, 9, 9), FoundIn.TIR, 0.5, "magic")
    with pytest.raises(ValueError, match='"magic" has no calibration, only centre, '):
        _ = one.quality


def test_slope_and_offset_are_those_that_made_the_data():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.01, 0.99, 20000)
    odds = np.exp(0.7 * np.log(scores / (1 - scores)) - 1.5)
    is_object = rng.random(len(scores)) < odds / (1 + odds)
    assert fitted(scores, is_object) == pytest.approx((0.7, -1.5), abs=0.08)


def test_scores_that_mislead_give_one_quality_for_all():
    scores = np.linspace(0.01, 0.99, 400)
    slope, offset = fitted(scores, scores < 0.25)
    assert slope == 0
    assert offset == pytest.approx(logit(0.25), abs=0.05)


def test_objects_that_hardly_show_do_not_count():
    boxes = np.array([[10.0, 10, 20, 20], [-15, 10, 20, 20], [-5, 10, 20, 20], [40, 40, 3, 9]])
    assert inside(boxes, (60, 80)).tolist() == [[10, 10, 20, 20], [0, 10, 15, 20]]
