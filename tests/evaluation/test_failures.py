"""When a tracker has failed, and how many sequences it gets through."""

from __future__ import annotations

import numpy as np
import pytest

from tirtrack.evaluation.failures import failures, restricted_mean, survival


def overlaps(*parts: tuple[float, int]) -> np.ndarray:
    """Stretches of one overlap each, after a first row that was given."""
    return np.array([1.0, *(value for value, count in parts for _ in range(count))])


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (overlaps((0.8, 5), (0.1, 10), (0.8, 2)), ((6, 16),)),
        (overlaps((0.8, 5), (0.1, 9), (0.8, 2)), ()),
        (overlaps((0.8, 5), (0.1001, 30)), ()),
        (overlaps((np.nan, 12)), ((1, 13),)),
        (overlaps((0.0, 11), (0.5, 1), (0.0, 9), (0.5, 1), (0.0, 10)), ((1, 12), (23, 33))),
        (np.zeros(10), ()),
        (np.zeros(11), ((1, 11),)),
        (np.zeros(0), ()),
    ],
    ids=["ten", "nine", "above", "no-box", "two", "first-row", "to-the-end", "empty"],
)
def test_failure_is_ten_frames_in_a_row_with_an_overlap_of_at_most_a_tenth(seen, expected):
    assert failures(seen, np.ones(len(seen), bool)) == expected


def test_frames_without_a_valid_annotation_neither_break_nor_extend_a_failure():
    seen = overlaps((0.8, 1), (0.0, 20))
    valid = np.ones(len(seen), bool)
    valid[5:15] = False  # ten of the twenty
    assert failures(seen, valid) == ((2, 22),)
    valid[15] = False  # nine are left
    assert failures(seen, valid) == ()
    seen[7] = 0.9  # where nothing is annotated it does not count either
    valid[15] = True
    assert failures(seen, valid) == ((2, 22),)


def test_survival_is_that_of_kaplan_and_meier():
    times, failed = [30, 60, 80, 80, 120], [True, False, True, False, True]
    assert survival(times, failed, [29, 30, 79, 80, 119, 120, 500]) == pytest.approx(
        [1.0, 4 / 5, 4 / 5, 4 / 5 * 2 / 3, 4 / 5 * 2 / 3, 0.0, 0.0]
    )
    assert restricted_mean(times, failed, 100) == pytest.approx(
        30 + 50 * 4 / 5 + 20 * 4 / 5 * 2 / 3
    )


def test_beyond_the_longest_sequence_nothing_is_known():
    assert survival([30, 60], [True, False], [60, 61]) == [0.5, None]
    assert restricted_mean([30, 60], [True, False], 60) == 45.0
    assert restricted_mean([30, 60], [True, False], 61) is None
    assert survival([], [], [1]) == [None]
