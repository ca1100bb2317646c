"""VOT, supervised: a tracker that fails is started again 5 frames later (VOT2013-2019, VOT-TIR).

The numbers are those of the Python toolkit. Accuracy leaves out 10 frames from each start on and
weights sequences by their length, like the number of failures; the expected average overlap is the
mean of its curve over lengths 100 to 356 (VOT2017 and later), and unknown if all runs are shorter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.datasets.start import Start
from tirtrack.errors import DatasetError
from tirtrack.evaluation.overlap import first_valid_row
from tirtrack.evaluation.protocols.base import ScoreDescription, SequenceScores
from tirtrack.evaluation.protocols.vot import (
    ACCURACY,
    EAO,
    PerFrameFromStarts,
    overlaps_and_marks,
)
from tirtrack.evaluation.vot_runs import (
    STARTED,
    accuracy,
    expected_overlap,
    failure_rows,
    fragments,
    mean_between,
)

RESTART_AFTER = 5
BURN_IN = 10
LOW, HIGH = 100, 356
SENSITIVITY = 30.0
FAILURES = ScoreDescription(
    id="failures", title="failures a sequence", short="failures", higher_is_better=False
)
RELIABILITY = ScoreDescription(
    id="vot_reliability", title="chance of 30 frames without failure", short="R", is_mean=False
)


def one_supervised_run(
    annotation: np.ndarray, size_wh: tuple[int, int] | None
) -> tuple[Start, ...]:
    """From the first box on, and again after each failure."""
    return (Start(row=first_valid_row(annotation) or 0, restart_after=RESTART_AFTER),)


def supervised_measures(
    boxes: np.ndarray, annotation: np.ndarray, facts: FrameFacts
) -> dict[str, np.ndarray]:
    """Overlaps and marks of a supervised run.

    Raises:
        DatasetError: the result has no marks of starts, so it is that of another experiment.
    """
    found = overlaps_and_marks(boxes, annotation, facts)
    if len(boxes) and found["mark"][0] != STARTED:
        raise DatasetError(
            "the result does not say where the tracker was started and where it failed",
            fix="run it with --protocol vot-supervised, or choose a protocol of one pass",
        )
    return found


def expected_average_overlap(
    sequences: Sequence[SequenceScores], *, low: int = LOW, high: int = HIGH
) -> float:
    """The mean of the curve over lengths ``low`` to ``high``; NaN if it is shorter."""
    return mean_between(overlap_curve(sequences), low, high)


def overlap_curve(sequences: Sequence[SequenceScores]) -> np.ndarray:
    """Expected average overlap by length, over all pieces of all runs."""
    pieces = [
        piece
        for one in sequences
        for piece in fragments(one.measures["overlap"], one.measures["mark"])
    ]
    return expected_overlap(pieces)


def summary(sequences: Sequence[SequenceScores]) -> dict[str, float]:
    """The scores over sequences, or over repetitions of them."""
    frames = np.array([one.frames for one in sequences], dtype=np.float64)
    accuracies = [
        accuracy(one.measures["overlap"], one.measures["mark"], burn_in=BURN_IN)
        for one in sequences
    ]
    failures = [len(failure_rows(one.measures["mark"])) for one in sequences]
    mean_failures = float(np.average(failures, weights=frames))
    return {
        EAO.id: expected_average_overlap(sequences),
        ACCURACY.id: float(np.average(accuracies, weights=frames)),
        FAILURES.id: mean_failures,
        RELIABILITY.id: float(np.exp(-SENSITIVITY * mean_failures / frames.mean())),
    }


PROTOCOL = PerFrameFromStarts(
    "vot-supervised",
    own_scores=(EAO, ACCURACY, FAILURES, RELIABILITY),
    measure=supervised_measures,
    summary=summary,
    absent_rule="as a failure",
    needs=("size_wh", "statuses"),
    weigh=lambda one: {ACCURACY.id: one.frames, FAILURES.id: one.frames},
    starting=one_supervised_run,
)
