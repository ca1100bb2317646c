"""Precision, recall and F of presence by pytracking, over the frames of all sequences together.

Frames sorted by falling score: recall is the sum of overlaps over the number of frames with a
target, precision the same sum over the number of frames, and the best F is reported. Only the first
frame of the first sequence is replaced by the annotation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.evaluation.overlap import overlap, valid_rows
from tirtrack.evaluation.protocols.base import ScoreDescription, SequenceScores
from tirtrack.evaluation.protocols.per_frame import PerFrame

F_SCORE = ScoreDescription(id="prf_f", title="presence F", short="F", is_mean=False)
PRECISION = ScoreDescription(
    id="prf_precision", title="presence precision", short="Pr", is_mean=False
)
RECALL = ScoreDescription(id="prf_recall", title="presence recall", short="Re", is_mean=False)


def overlaps_and_scores(
    boxes: np.ndarray, annotation: np.ndarray, facts: FrameFacts
) -> dict[str, np.ndarray]:
    """Overlap, 0 without a visible target; whether there is one; and the result's score."""
    visible = valid_rows(annotation)
    if facts.absent is not None:
        visible &= ~facts.absent
    scores = np.full(len(boxes), np.nan) if facts.scores is None else facts.scores[: len(boxes)]
    return {
        "overlap": np.where(visible, overlap(boxes, annotation), 0.0),
        "visible": visible,
        "score": scores,
    }


def best_f(sequences: Sequence[SequenceScores]) -> dict[str, float]:
    """The best F over all thresholds of the score, and precision and recall there."""
    overlaps, visible, scores = (
        np.concatenate([one.measures[key] for one in sequences])
        for key in ("overlap", "visible", "score")
    )
    if len(overlaps) and visible[0]:
        overlaps[0] = 1.0  # the first frame is that of the annotation
    total = np.cumsum(overlaps[np.argsort(-scores, kind="stable")])
    recall = np.concatenate([[0.0], total / max(1, visible.sum())])
    precision = np.concatenate([[1.0], total / np.arange(1, len(total) + 1)])
    with np.errstate(invalid="ignore"):
        f_score = np.nan_to_num(2 * precision * recall / (precision + recall))
    best = int(f_score.argmax())
    return {
        F_SCORE.id: float(f_score[best]),
        PRECISION.id: float(precision[best]),
        RECALL.id: float(recall[best]),
    }


PROTOCOL = PerFrame(
    "pytracking-prf",
    own_scores=(F_SCORE, PRECISION, RECALL),
    measure=overlaps_and_scores,
    summary=best_f,
    absent_rule="with an overlap of 0",
    needs=("scores",),
)
