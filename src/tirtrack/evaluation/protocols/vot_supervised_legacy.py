"""VOT, supervised, as pysot's port of the older toolkit counts it.

Read from that code, not compared with its numbers. Against ``vot-supervised``: pieces begin where
the tracker is started again and end in that frame, lengths count from 1 and go to that of the
longest run, the expected average overlap is the mean over those lengths of its interval that are
reached, and the frames of all sequences are pooled for accuracy, those of several runs too (pysot
averages a frame over its runs first).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tirtrack.evaluation.protocols.base import ScoreDescription, SequenceScores
from tirtrack.evaluation.protocols.vot import ACCURACY, EAO, PerFrameFromStarts
from tirtrack.evaluation.protocols.vot_supervised import (
    BURN_IN,
    HIGH,
    LOW,
    RESTART_AFTER,
    one_supervised_run,
    supervised_measures,
)
from tirtrack.evaluation.vot_runs import (
    Fragment,
    counted_frames,
    expected_overlap,
    failure_rows,
)

ROBUSTNESS = ScoreDescription(
    id="legacy_robustness", title="failures per 100 frames", short="R", higher_is_better=False
)
LOST = ScoreDescription(
    id="lost_number", title="failures", short="lost", higher_is_better=False, is_mean=False
)


def pieces(overlaps: np.ndarray, marks: np.ndarray) -> list[Fragment]:
    """Pieces from a start to the next one, both included; frames without a box count 0.

    A start that would follow the last frame still ends a piece; one after that does not.
    """
    known = np.where(np.isin(marks, ("failed", "skipped")), 0.0, overlaps)
    points = [0, *(row + RESTART_AFTER for row in failure_rows(marks))]
    points = [point for point in points if point <= len(known)]
    found = [Fragment(known[start : end + 1], failed=True) for start, end in pairwise(points)]
    last = known[points[-1] :]
    return [*found, *([Fragment(last, failed=False)] if len(last) else [])]


def weights(one: SequenceScores) -> dict[str, float]:
    """A sequence counts by its frames, in accuracy by those that are not burnt in."""
    counted = counted_frames(one.measures["mark"], burn_in=BURN_IN)
    return {ACCURACY.id: float(counted.sum()), ROBUSTNESS.id: one.frames}


def summary(sequences: Sequence[SequenceScores]) -> dict[str, float]:
    """The scores over the runs of all sequences; failures are those of one run, on average."""
    found = [
        piece
        for one in sequences
        for piece in pieces(one.measures["overlap"], one.measures["mark"])
    ]
    curve = expected_overlap(found, max(one.frames for one in sequences))
    within = curve[LOW - 1 : HIGH]  # lengths count from 1: point j is length j + 1
    counted = [
        one.measures["overlap"][counted_frames(one.measures["mark"], burn_in=BURN_IN)]
        for one in sequences
    ]
    frames = sum(one.frames for one in sequences)
    failed = [len(failure_rows(one.measures["mark"])) for one in sequences]
    runs = Counter(one.name for one in sequences)
    pooled = np.concatenate(counted)
    return {
        EAO.id: float(within.mean()) if len(within) else float("nan"),
        ACCURACY.id: float(pooled.mean()) if len(pooled) else 0.0,
        ROBUSTNESS.id: 100.0 * sum(failed) / frames,
        LOST.id: sum(n / runs[one.name] for n, one in zip(failed, sequences, strict=True)),
    }


PROTOCOL = PerFrameFromStarts(
    "vot-supervised-legacy",
    own_scores=(EAO, ACCURACY, ROBUSTNESS, LOST),
    measure=supervised_measures,
    summary=summary,
    absent_rule="as a failure",
    needs=("size_wh", "statuses"),
    weigh=weights,
    starting=one_supervised_run,
)
