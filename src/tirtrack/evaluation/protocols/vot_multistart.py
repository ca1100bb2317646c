"""VOT, multi-start: runs from anchors, forward or backward, without restarts (VOT2020-2022).

A run has failed where 10 frames in a row overlap by no more than 0.1; what follows does not count.
Expected average overlap is the mean of its curve over lengths 115 to 754.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tirtrack.datasets.start import Start
from tirtrack.evaluation.overlap import valid_rows
from tirtrack.evaluation.protocols.base import ScoreDescription, SequenceScores
from tirtrack.evaluation.protocols.vot import (
    ACCURACY,
    EAO,
    PerFrameFromStarts,
    overlaps_and_marks,
)
from tirtrack.evaluation.vot_runs import Fragment, overlap_by_length, pooled_curve, progress

THRESHOLD = 0.1
GRACE = 10
LOW, LENGTH = 115, 755
ANCHOR_EVERY = 50
ROBUSTNESS = ScoreDescription(id="vot_robustness", title="robustness", short="R")


def anchors(annotation: np.ndarray, size_wh: tuple[int, int] | None) -> tuple[Start, ...]:
    """Anchors every 50 frames and at the last one, each at the nearest later row with a valid box.

    A run goes the way on which more frames follow, forward if both are alike.
    """
    valid = np.flatnonzero(valid_rows(annotation))
    last = len(annotation) - 1
    wanted = [*range(0, last, ANCHOR_EVERY), last]
    rows = sorted(
        {int(valid[np.searchsorted(valid, row).clip(max=len(valid) - 1)]) for row in wanted}
    )
    return tuple(Start(row=row, backward=row > last - row) for row in rows)


def runs_of(sequence: SequenceScores) -> list[tuple[np.ndarray, int]]:
    """Overlaps of each run of a sequence, and the frame at which it fails."""
    measures = sequence.measures
    found = []
    for run in range(int(measures["run"].max()) + 1):
        rows = measures["run"] == run
        overlaps = measures["overlap"][rows].copy()
        overlaps[:1] = 0.0  # the box was given
        end = progress(overlaps, measures["target"][rows], threshold=THRESHOLD, grace=GRACE)
        found.append((overlaps, end))
    return found


def overlap_curve(sequences: Sequence[SequenceScores], *, length: int = LENGTH) -> np.ndarray:
    """Expected average overlap by length, ``[length]``."""
    found = []
    for one in sequences:
        pieces = []
        for overlaps, end in runs_of(one):
            failed = end < len(overlaps)
            overlaps[end:] = 0.0
            pieces.append(Fragment(overlaps, failed))
        found.append(overlap_by_length(pieces, length))
    return pooled_curve(found)


def weights(one: SequenceScores) -> dict[str, float]:
    """A sequence counts in accuracy by the frames tracked, in robustness by its length."""
    return {ACCURACY.id: float(sum(end for _, end in runs_of(one))), ROBUSTNESS.id: one.frames}


def summary(sequences: Sequence[SequenceScores]) -> dict[str, float]:
    """The scores over sequences: accuracy by frames tracked, robustness by length."""
    tracked, total, overlap = (np.zeros(len(sequences)) for _ in range(3))
    for place, one in enumerate(sequences):
        for overlaps, end in runs_of(one):
            tracked[place] += end
            total[place] += len(overlaps)
            overlap[place] += overlaps[:end].sum()
    frames = np.array([one.frames for one in sequences], dtype=np.float64)
    return {
        EAO.id: float(overlap_curve(sequences)[LOW:].mean()),
        ACCURACY.id: float(overlap.sum() / tracked.sum()) if tracked.sum() else 0.0,
        ROBUSTNESS.id: float(np.average(tracked / total, weights=frames)),
    }


PROTOCOL = PerFrameFromStarts(
    "vot-multistart",
    own_scores=(EAO, ACCURACY, ROBUSTNESS),
    measure=overlaps_and_marks,
    summary=summary,
    absent_rule="as neither lost nor found",
    needs=("size_wh",),
    weigh=weights,
    starting=anchors,
)
