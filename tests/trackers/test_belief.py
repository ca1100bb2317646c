"""What the next flag means to the user, by what was said before."""

import numpy as np
import pytest

from tirtrack.boxes import Box
from tirtrack.trackers.base import Reason, Status
from tirtrack.trackers.belief import Belief
from tirtrack.trackers.localisation import Flag, Localisation

BOX = Box(3.0, 4.0, 5.0, 6.0)
FOLLOWED = Belief(BOX)
LOST = Belief(BOX, Status.LOST, 0.1, 3)


def judged(known, flag, *, has_second=False, at_border=False, lost_after_frames=3):
    located = Localisation(np.zeros(2), 0, flag, np.zeros((3, 3)), has_second)
    return known.judged(located, at_border=at_border, lost_after_frames=lost_after_frames)


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
    assert judged(FOLLOWED, Flag.NOT_FOUND, lost_after_frames=1)[0] is Status.LOST


def test_a_target_that_goes_missing_at_the_border_is_out_of_view():
    assert judged(FOLLOWED, Flag.NOT_FOUND, at_border=True)[1] is Reason.OUT_OF_VIEW


def test_what_was_said_goes_through_a_saved_state():
    assert Belief.of(LOST.state_dict()) == LOST
