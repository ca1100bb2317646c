"""The arithmetic of the VOT experiments where the stored runs have no case of it."""

from __future__ import annotations

import numpy as np
import pytest

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.vot_runs import (
    FAILED,
    SKIPPED,
    STARTED,
    Fragment,
    accuracy,
    expected_overlap,
    fragments,
    progress,
)

EVERYWHERE = np.ones(30, dtype=bool)


def test_an_overlap_of_exactly_the_threshold_counts_as_lost() -> None:
    overlaps = np.full(30, 0.9)
    overlaps[12:22] = 0.1
    assert progress(overlaps, EVERYWHERE, threshold=0.1, grace=10) == 12
    overlaps[15] = 0.11
    assert progress(overlaps, EVERYWHERE, threshold=0.1, grace=10) == 30


def test_a_frame_without_target_starts_the_count_anew() -> None:
    overlaps, target = np.full(30, 0.9), EVERYWHERE.copy()
    overlaps[5:25] = 0.0
    target[14] = False
    assert progress(overlaps, target, threshold=0.1, grace=10) == 15


def test_a_run_that_never_leaves_the_first_frames_has_no_accuracy() -> None:
    marks = np.array([STARTED, *["tracking"] * 9])
    assert accuracy(np.ones(10), marks, burn_in=10) == 0.0
    marks = np.array([STARTED, *["tracking"] * 10])
    assert accuracy(np.full(11, 0.5), marks, burn_in=10) == 0.5


def test_a_run_that_ends_with_a_failure_has_no_complete_piece() -> None:
    marks = np.array([STARTED, "tracking", FAILED, SKIPPED, STARTED, "tracking", FAILED])
    found = fragments(np.arange(7.0), marks)
    assert [(one.overlaps.tolist(), one.failed) for one in found] == [
        ([0.0, 1.0], True),
        ([4.0, 5.0], True),
    ]


def test_failed_pieces_go_on_with_zero_and_complete_ones_end() -> None:
    curve = expected_overlap(
        [Fragment(np.array([0.0, 0.8]), failed=True), Fragment(np.array([0.0, 0.4, 0.4]), False)]
    )
    np.testing.assert_allclose(curve, [0, 0.6, (0.4 + 0.4) / 2])
    curve = expected_overlap(
        [Fragment(np.array([0.0, 0.8]), failed=False), Fragment(np.array([0.0, 0.4, 0.4]), False)]
    )
    np.testing.assert_allclose(curve, [0, 0.6, 0.4])


@pytest.mark.parametrize(("lost", "robustness"), [(9, 1.0), (10, 0.5)])
def test_ten_lost_frames_in_a_row_are_a_failure_of_multistart(lost: int, robustness: float) -> None:
    truth = np.full((40, 4), 5.0)
    boxes = truth.copy()
    boxes[20 : 20 + lost] += 15
    facts = FrameFacts(size_wh=(40, 40))
    scored = get("vot-multistart").score_sequence("s", boxes, truth, facts=facts)
    assert scored.values["vot_robustness"] == robustness


def test_first_frame_of_a_long_term_run_has_no_overlap() -> None:
    truth = np.full((4, 4), 5.0)
    facts = FrameFacts(size_wh=(40, 40), scores=np.ones(4))
    scored = get("vot-lt").score_sequence("s", truth, truth, facts=facts)
    assert scored.measures["overlap"].tolist() == [0, 1, 1, 1]
    assert scored.values["lt_recall"] == 0.75
