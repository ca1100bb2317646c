"""The shipped weights say ``lost`` when the target has gone, and not while it is followed.

Twenty rendered clips: smooth noise, a bright textured blob on a smooth path, sensor noise. In half
of them it walks over the border, in the other half it is covered at once; it comes back. Limits of
the pain "no confidence": ``lost`` within 10 frames of at least 90 % of the disappearances, on at
most 2 % of the visible frames, ROC area of the score at least 0.9. Without re-detection false
alarms are counted up to the disappearance: afterwards a tracker may rightly be lost beside a target
that has come back (two or three clips of twenty). With it all visible frames count. Clips, figures
and limits are those of ``python -m benchmarks.lost_and_found``.
"""

from dataclasses import asdict

import pytest

from benchmarks.lost_and_found import ABSENCE_LIMITS, WITH, WITHOUT, absences, beyond
from tirtrack.trackers.loading import load_tracker
from tirtrack.trackers.redetection import RedetectingTracker


@pytest.mark.parametrize(
    ("weights", "calibrated_as"),
    [("nano-tir", "nano-tir"), ("nano-rgb", "nano-rgb"), ("nano-tir", "nano-rgb")],
    ids=["nano-tir", "nano-rgb", "a student with its baseline's calibration"],
)
def test_lost_is_said_when_the_target_has_gone_and_not_before(weights, calibrated_as):
    tracker = load_tracker(weights)
    tracker.calibration = load_tracker(calibrated_as).calibration
    figures = asdict(absences(tracker))
    assert beyond(figures, ABSENCE_LIMITS[WITHOUT]) == {}, figures


@pytest.mark.parametrize(
    "weights", ["nano-tir", pytest.param("nano-rgb", marks=pytest.mark.release)]
)
def test_with_re_detection_the_limits_hold_over_all_visible_frames(weights):
    figures = asdict(absences(RedetectingTracker(load_tracker(weights))))
    assert beyond(figures, ABSENCE_LIMITS[WITH]) == {}, figures
