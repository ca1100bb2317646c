"""Boxes of two modalities become one list; detectors are balanced."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirtrack.boxes import Box, iou_matrix
from tirtrack.pairs.proposals.base import FoundIn
from tirtrack.pairs.proposals.merge import (
    AGREED_IOU,
    DUPLICATE_IOU,
    Merged,
    ScoredBox,
    balance,
    boxes_of,
    match,
    merge,
)
from tirtrack.pairs.proposals.rules import RejectionReason

BOX = st.builds(Box, st.integers(0, 60), st.integers(0, 60), st.integers(4, 40), st.integers(4, 40))
CANDIDATES = st.lists(st.builds(ScoredBox, BOX, st.floats(0, 1)), max_size=8)


def test_agreed_boxes_take_the_tir_box_and_the_better_score():
    rgb = [ScoredBox(Box(10, 10, 20, 20), 0.9, "person"), ScoredBox(Box(70, 70, 9, 9), 0.3)]
    tir = [ScoredBox(Box(12, 10, 20, 20), 0.4, "class 3"), ScoredBox(Box(40, 60, 9, 9), 0.8)]
    merged = merge(rgb, tir, "detector")
    both, first, second = merged.proposals
    assert (both.box, both.found_in) == (tir[0].box, FoundIn.BOTH)
    assert (both.score, merged.labels[0]) == (0.9, "person")
    assert [(one.found_in, one.score) for one in (first, second)] == [
        (FoundIn.TIR, 0.8),
        (FoundIn.RGB, 0.3),
    ]
    assert {one.way for one in merged.proposals} == {"detector"}


@pytest.mark.parametrize(("shift", "agreed"), [(6.6, True), (6.7, False)])
def test_agreement_begins_at_half_overlap(shift, agreed):
    """Two squares of side 20, one moved by 20/3: IoU is exactly a half."""
    merged = merge(
        [ScoredBox(Box(0, 0, 20, 20), 0.5)], [ScoredBox(Box(shift, 0, 20, 20), 0.5)], "x"
    )
    assert (merged.proposals[0].found_in is FoundIn.BOTH) is agreed


def test_each_box_agrees_with_one_other_and_the_best_overlap_wins():
    rgb = [ScoredBox(Box(3, 0, 20, 20), 0.9), ScoredBox(Box(1, 0, 20, 20), 0.1)]
    merged = merge(rgb, [ScoredBox(Box(0, 0, 20, 20), 0.5)], "x")
    both = [one for one in merged.proposals if one.found_in is FoundIn.BOTH]
    assert len(both) == 1
    assert both[0].score == 0.5
    assert len(merged.proposals) + len(merged.rejected) == 2


def test_repeats_of_one_modality_are_duplicates():
    rgb = [ScoredBox(Box(0, 0, 20, 20), 0.9), ScoredBox(Box(1, 0, 20, 20), 0.8)]
    merged = merge(rgb, [], "x")
    assert [one.box for one in merged.proposals] == [rgb[0].box]
    assert [(one.box, one.reason) for one in merged.rejected] == [
        (rgb[1].box, RejectionReason.DUPLICATE)
    ]


def test_what_repeats_only_a_duplicate_is_kept():
    """Squares of side 100, each moved by 10: the second repeats the first, the third the second."""
    tir = [ScoredBox(Box(10 * k, 0, 100, 100), 0.9 - 0.1 * k) for k in range(3)]
    merged = merge([], tir, "x")
    assert [one.box for one in merged.proposals] == [tir[0].box, tir[2].box]
    assert [one.box for one in merged.rejected] == [tir[1].box]


@given(CANDIDATES, CANDIDATES)
def test_every_box_is_kept_agreed_or_a_duplicate(rgb, tir):
    merged = merge(rgb, tir, "x")
    both = sum(one.found_in is FoundIn.BOTH for one in merged.proposals)
    agreed = len(match(boxes_of(rgb), boxes_of(tir), AGREED_IOU))
    assert both <= agreed
    assert len(merged.proposals) + len(merged.rejected) + agreed == len(rgb) + len(tir)
    overlaps = iou_matrix(boxes_of(merged.proposals), boxes_of(merged.proposals))
    assert (overlaps - np.eye(len(overlaps)) <= DUPLICATE_IOU + 1e-9).all()
    agreed_first = [one.found_in is FoundIn.BOTH for one in merged.proposals]
    assert agreed_first == sorted(agreed_first, reverse=True)


@given(CANDIDATES, CANDIDATES)
def test_swapping_the_modalities_swaps_what_was_found_alone(rgb, tir):
    def overlap_matrix(a, b):
        return iou_matrix(boxes_of(a), boxes_of(b))

    values = overlap_matrix(rgb, tir)
    values = values[values >= AGREED_IOU]
    if len(np.unique(values)) < len(values):
        return  # equal overlaps leave the choice to the order of the lists
    there = match(boxes_of(rgb), boxes_of(tir), AGREED_IOU)
    back = match(boxes_of(tir), boxes_of(rgb), AGREED_IOU)
    assert sorted(there) == sorted((a, b) for b, a in back)


def _detected(labels: str) -> Merged:
    """``p`` a person, ``o`` another; scores fall along the string."""
    names = {"p": "person", "o": "car"}
    rgb = [
        ScoredBox(Box(30.0 * k, 0, 20, 20), 0.9 - 0.05 * k, names[one])
        for k, one in enumerate(labels)
    ]
    return merge(rgb, [], "detector")


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ("pppppp", "ppppp"),
        ("oooooo", "ooooo"),
        ("ooopppp", "ooppp"),
        ("ppppppo", "ppppo"),
        ("ooop", "ooop"),
        ("oooopp", "ooopp"),
        ("p", "p"),
        ("", ""),
    ],
)
def test_classes_are_balanced_to_five(found, kept):
    chosen = balance(_detected(found))
    assert "".join("p" if label == "person" else "o" for label in chosen.labels) == kept
    assert len(chosen.rejected) == len(found) - len(kept)
    assert all(one.reason == RejectionReason.OVER_QUOTA for one in chosen.rejected)


def test_the_quota_holds_for_a_count_below_that_of_the_others():
    assert len(balance(_detected("oop"), count=1).proposals) == 1
