"""VOT long-term: precision, recall and F over thresholds of the score, averaged over sequences.

Overlap counts pixels. A frame without a target stays in the denominator of precision with an
overlap of 0, unless the result has no box there either: then it is 1, a hit of precision and of
recall.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.evaluation.protocols.base import ScoreDescription, SequenceScores
from tirtrack.evaluation.protocols.per_frame import PerFrame
from tirtrack.evaluation.raster import raster_overlap

RESOLUTION = 100
F_SCORE = ScoreDescription(id="lt_f", title="long-term F", short="F", is_mean=False)
PRECISION = ScoreDescription(
    id="lt_precision", title="long-term precision", short="Pr", is_mean=False
)
RECALL = ScoreDescription(id="lt_recall", title="long-term recall", short="Re", is_mean=False)


def overlaps_and_scores(
    boxes: np.ndarray, annotation: np.ndarray, facts: FrameFacts
) -> dict[str, np.ndarray]:
    """Overlap of each frame, 0 for the first; whether it has a target; and the result's score."""
    truth = annotation.copy()
    if facts.absent is not None:
        truth[facts.absent] = np.nan
    found = raster_overlap(boxes, truth, facts.size_wh)
    found[:1] = 0.0
    scores = np.full(len(boxes), np.nan) if facts.scores is None else facts.scores.copy()
    scores[:1] = 0.0
    return {
        "overlap": found,
        "target": ~np.isnan(truth).any(axis=1),
        "score": scores[: len(boxes)],
    }


def thresholds(scores: np.ndarray) -> np.ndarray:
    """Thresholds, falling: infinite, 98 of the scores ``[N]`` of all frames, minus infinite."""
    known = np.sort(scores[~np.isnan(scores)])[::-1]
    between = RESOLUTION - 2
    if len(known) > between:
        margin = len(known) // between
        places = np.round(np.linspace(margin, len(known) - margin, between)).astype(int)
        known = known[places]
    return np.concatenate([[np.inf], known, [-np.inf]])


def precision_and_recall(sequences: Sequence[SequenceScores]) -> np.ndarray:
    """``[thresholds, 2]`` precision and recall, averaged over sequences of equal weight."""
    limits = thresholds(np.concatenate([one.measures["score"] for one in sequences]))
    curves = []
    for one in sequences:
        overlaps, scores = one.measures["overlap"], one.measures["score"]
        taken = scores[None, :] >= limits[:, None]
        count, total = taken.sum(axis=1), (taken * overlaps).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(count > 0, total / count, 1.0)
            recall = np.where(count > 0, total / one.measures["target"].sum(), 0.0)
        curves.append(np.stack([precision, recall], axis=1))
    return np.asarray(np.mean(curves, axis=0))


def best_f(sequences: Sequence[SequenceScores]) -> dict[str, float]:
    """The largest F of the averaged curves, and precision and recall there."""
    curve = precision_and_recall(sequences)
    with np.errstate(invalid="ignore"):
        f_score = np.nan_to_num(2 * curve.prod(axis=1) / curve.sum(axis=1))
    best = int(f_score.argmax())
    return {
        F_SCORE.id: float(f_score[best]),
        PRECISION.id: float(curve[best, 0]),
        RECALL.id: float(curve[best, 1]),
    }


PROTOCOL = PerFrame(
    "vot-lt",
    own_scores=(F_SCORE, PRECISION, RECALL),
    measure=overlaps_and_scores,
    summary=best_f,
    absent_rule="with an overlap of 0, or of 1 where the result has no box either",
    needs=("size_wh", "scores"),
)
