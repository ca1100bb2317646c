"""Which base boxes are compared in, and which facts and rows of a sequence a protocol gets."""

from __future__ import annotations

import numpy as np
import pytest

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.results import SequenceRun
from tirtrack.evaluation.scoring import Runs, score_runs

TRUTH = np.array([[10.0, 20, 5, 5]] * 6)  # as in a file that counts from 0
MOVE = np.array([1.0, 1, 0, 0])


def values_of(protocol: str, boxes: np.ndarray, facts: FrameFacts) -> dict[str, float | None]:
    """The scores of a sequence whose file counts from 0, as the comparison has them."""
    sequence = LabelledSequence("s", TRUTH + MOVE, 1, lambda: iter(()), shift=1, facts=facts)
    dataset = LabelledDataset("d", (sequence,), protocol)
    run = SequenceRun.of_boxes(boxes + MOVE)
    found = score_runs([Runs("t", {"s": run})], dataset, get(protocol), resamples=10)
    return dict(found.trackers[0].values)


@pytest.mark.parametrize("protocol", ["rgbt210", "lasher", "got10k-otb"])
def test_boxes_are_compared_as_their_files_store_them(protocol: str) -> None:
    boxes = TRUTH + np.array([0.5, 0.5, 0, 0])  # halves are rounded to even: 10.5 and 11.5 differ
    expected = get(protocol).score_sequence("s", boxes, TRUTH).values
    assert values_of(protocol, boxes, FrameFacts()) == expected
    moved = get(protocol).score_sequence("s", boxes + MOVE, TRUTH + MOVE).values
    assert (moved != expected) == (protocol != "got10k-otb"), "the test tells the two apart"


def test_facts_begin_at_the_row_where_the_run_does() -> None:
    annotation = TRUTH.copy()
    annotation[:2] = np.nan
    absent = np.array([1, 1, 0, 0, 1, 1], dtype=bool)
    sequence = LabelledSequence(
        "s", annotation, 0, lambda: iter(()), facts=FrameFacts(absent=absent)
    )
    run = SequenceRun.of_boxes(annotation[2:])
    dataset = LabelledDataset("d", (sequence,), "lasot")
    found = score_runs([Runs("t", {"s": run})], dataset, get("lasot"), resamples=10)
    row = found.trackers[0].sequence("s")
    assert row is not None
    assert (row.frames, row.visible_frames) == (4, 2)
    assert row.values["precision"] == 0.5, "absent frames are misses"


def test_facts_go_backward_with_their_frames() -> None:
    facts = FrameFacts(absent=np.arange(4) == 3, cover=np.arange(4), second=np.ones((4, 4)))
    back = facts.backward_from(2)
    assert back.absent is not None
    assert back.cover is not None
    assert back.second is not None
    assert (back.absent.tolist(), back.cover.tolist()) == ([False] * 3, [2, 1, 0])
    assert len(back.second) == 3
