"""What the next flag means to the user, by what was said before."""

from dataclasses import asdict, replace

import pytest

from tirtrack.boxes import Box
from tirtrack.trackers.base import Reason, Status
from tirtrack.trackers.belief import Belief, Flag, LossRule

BOX = Box(3.0, 4.0, 5.0, 6.0)
FOLLOWED = Belief(BOX)
LOST = Belief(BOX, Status.LOST, 0.1, 3)


BY_FLAG = LossRule(
    3,
    uncertain_below=1.0,
    doubt_is_absence=False,
    counts_bad_frames=False,
    safe=True,
)
BY_SCORE = replace(
    BY_FLAG,
    uncertain_below=0.5,
    doubt_is_absence=True,
    counts_bad_frames=True,
)


def judged(known, flag, *, has_second=False, at_border=False, rule=BY_FLAG):
    doubt = Reason.AMBIGUOUS if has_second else Reason.LOW_SCORE
    reason = rule.reason(known, flag, doubt, at_border=at_border)
    return rule.after(known, flag).status, reason


@pytest.mark.parametrize(
    ("known", "flag", "has_second", "status", "reason"),
    [
        pytest.param(FOLLOWED, Flag.NORMAL, False, Status.TRACKING, Reason.NONE, id="normal"),
        pytest.param(FOLLOWED, Flag.NONE, False, Status.TRACKING, Reason.NONE, id="one peak"),
        pytest.param(
            FOLLOWED, Flag.HARD_NEGATIVE, True, Status.TRACKING, Reason.DISTRACTOR, id="distractor"
        ),
        pytest.param(
            FOLLOWED, Flag.UNCERTAIN, True, Status.UNCERTAIN, Reason.AMBIGUOUS, id="two alike"
        ),
        pytest.param(
            FOLLOWED, Flag.UNCERTAIN, False, Status.UNCERTAIN, Reason.LOW_SCORE, id="a low peak"
        ),
        pytest.param(
            FOLLOWED, Flag.NOT_FOUND, False, Status.UNCERTAIN, Reason.LOW_SCORE, id="missing once"
        ),
        pytest.param(LOST, Flag.NOT_FOUND, False, Status.LOST, Reason.LOW_SCORE, id="still lost"),
        pytest.param(LOST, Flag.NORMAL, False, Status.TRACKING, Reason.RE_DETECTED, id="back"),
        pytest.param(
            LOST, Flag.HARD_NEGATIVE, True, Status.TRACKING, Reason.DISTRACTOR, id="back, and more"
        ),
        pytest.param(
            LOST, Flag.UNCERTAIN, False, Status.UNCERTAIN, Reason.LOW_SCORE, id="perhaps back"
        ),
    ],
)
def test_a_flag_becomes_status_and_reason(known, flag, has_second, status, reason):
    assert judged(known, flag, has_second=has_second) == (status, reason)


@pytest.mark.parametrize(
    ("missing", "status"), [(0, Status.UNCERTAIN), (1, Status.UNCERTAIN), (2, Status.LOST)]
)
def test_a_target_is_lost_in_the_third_frame_in_a_row_without_it(missing, status):
    assert judged(Belief(BOX, missing=missing), Flag.NOT_FOUND)[0] is status


def test_a_lost_target_stays_lost_however_few_frames_it_was_missing():
    assert judged(Belief(BOX, Status.LOST), Flag.NOT_FOUND)[0] is Status.LOST


def test_as_published_a_target_is_lost_at_once():
    assert (
        judged(FOLLOWED, Flag.NOT_FOUND, rule=replace(BY_FLAG, lost_after_frames=1))[0]
        is Status.LOST
    )


def test_a_target_that_goes_missing_at_the_border_is_out_of_view():
    assert judged(FOLLOWED, Flag.NOT_FOUND, at_border=True)[1] is Reason.OUT_OF_VIEW


@pytest.mark.parametrize(
    ("rule", "status", "reason"),
    [
        pytest.param(BY_FLAG, Status.UNCERTAIN, Reason.LOW_SCORE, id="a target that was seen"),
        pytest.param(BY_SCORE, Status.LOST, Reason.OUT_OF_VIEW, id="perhaps an absent target"),
    ],
)
def test_what_doubt_says_of_a_lost_target_at_the_border_hangs_on_the_rule(rule, status, reason):
    assert judged(LOST, Flag.UNCERTAIN, at_border=True, rule=rule) == (status, reason)


@pytest.mark.parametrize(
    ("rule", "status", "score"),
    [
        pytest.param(BY_FLAG, Status.UNCERTAIN, 0.8, id="by flag"),
        pytest.param(BY_SCORE, Status.LOST, 0.5, id="by score"),
    ],
)
def test_frames_with_nothing_to_show_make_a_target_lost_where_they_count(rule, status, score):
    belief = Belief(BOX, score=0.8)
    for _ in range(3):
        belief = rule.waited(belief, is_frozen=True)
    assert (belief.status, belief.score) == (status, score)
    assert rule.waited(belief, is_frozen=False).score == 0.0


def test_the_usual_entropy_follows_trusted_maps_alone_after_the_first():
    first = replace(FOLLOWED, status=Status.UNCERTAIN).with_entropy(2.0)
    assert first.usual_entropy == 2.0
    assert first.with_entropy(3.0) == first
    assert replace(first, status=Status.TRACKING).with_entropy(3.0).usual_entropy == 2.03
    assert first.with_entropy(None) is first


def test_what_was_said_goes_through_a_saved_state():
    assert Belief.of(asdict(LOST)) == LOST
