"""Whether a tracker's ``score`` tells when its box is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CORRECT_OVERLAP = 0.5
BINS = 10


@dataclass(frozen=True)
class PresenceF:
    """The largest F over thresholds of a score below which no box is reported (OxUvA, VOT-LT).

    Attributes:
        f: harmonic mean of precision and recall.
        precision: mean overlap of the reported frames; an absent target counts 0.
        recall: sum of their overlaps over the number of frames with a target.
        threshold: lowest score that is reported.
    """

    f: float
    precision: float
    recall: float
    threshold: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Frames whose scores fall into one of ten bins of equal width.

    Attributes:
        frames: number of frames.
        score: their mean score.
        correct: share of them whose box was right.
    """

    frames: int
    score: float
    correct: float


@dataclass(frozen=True)
class ScoredFrames:
    """Frames by which a tracker's score is judged.

    Attributes:
        scores: ``[T]`` score of each frame; NaN where there is none.
        overlaps: ``[T]`` overlap of its box with the annotated one.
        present: ``[T]`` bool, whether the frame has a target.
    """

    scores: np.ndarray
    overlaps: np.ndarray
    present: np.ndarray


@dataclass(frozen=True)
class ScoreQuality:
    """How a score in [0, 1] agrees with whether the box was right (IoU above 0.5).

    Attributes:
        roc_auc: chance that a right frame scores above a wrong one (ties count half); ``None``
            when all frames are of one kind.
        calibration_error: expected calibration error over ten bins of equal width; ``None``
            without a frame.
        frames: frames counted.
        correct: counted frames whose box was right.
        lost_auc: chance that a frame whose box overlaps the target scores above one whose box does
            not, or where the target is absent; ``None`` when all frames are of one kind.
        presence: largest F over thresholds of the score below which no box is reported; ``None``
            where no frame has a target.
        reliability: bins of the reliability curve, by rising score; none without a frame.
    """

    roc_auc: float | None
    calibration_error: float | None
    frames: int
    correct: int
    lost_auc: float | None = None
    presence: PresenceF | None = None
    reliability: tuple[ReliabilityBin, ...] = ()


def roc_auc(scores: np.ndarray, correct: np.ndarray) -> float | None:
    """Area under the ROC curve of ``scores [T]`` for ``correct [T]`` bool; ``None`` for one kind.

    >>> roc_auc(np.array([0.9, 0.8, 0.1]), np.array([True, True, False]))
    1.0
    """
    from scipy.stats import rankdata

    positives = int(correct.sum())
    negatives = len(correct) - positives
    if positives == 0 or negatives == 0:
        return None
    above = rankdata(scores)[correct].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def expected_calibration_error(
    scores: np.ndarray, correct: np.ndarray, *, bins: int = BINS
) -> float | None:
    """Mean gap between score and share of right frames, by bins of equal width, weighted by frames.

    >>> expected_calibration_error(np.array([1.0, 1.0]), np.array([True, False]))
    0.5
    """
    if len(scores) == 0:
        return None
    gaps = np.bincount(_bins(scores, bins), weights=scores - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(scores))


def _bins(scores: np.ndarray, bins: int) -> np.ndarray:
    """``[T]`` bin of each score of ``scores [T]``, of equal width."""
    return np.minimum((scores * bins).astype(np.int64), bins - 1)


def reliability(
    scores: np.ndarray, correct: np.ndarray, *, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """The reliability curve of ``scores [T]`` for ``correct [T]`` bool; empty bins are left out."""
    frames, score, right = (
        np.bincount(_bins(scores, bins), weights=weights, minlength=bins)
        for weights in (np.ones(len(scores)), scores, correct)
    )
    return tuple(
        ReliabilityBin(int(n), float(total / n), float(hits / n))
        for n, total, hits in zip(frames, score, right, strict=True)
        if n
    )


def presence_f(scores: np.ndarray, overlaps: np.ndarray, present: np.ndarray) -> PresenceF | None:
    """The largest F of ``scores [T]``; ``None`` where no frame has a target.

    Args:
        scores: score of each frame.
        overlaps: ``[T]`` overlap of its box; of no meaning where the target is absent.
        present: ``[T]`` bool, whether the frame has a target.
    """
    if not present.any():
        return None
    order = np.argsort(-scores, kind="stable")
    gained = np.cumsum(np.where(present, np.nan_to_num(overlaps), 0.0)[order])
    recall, precision = gained / present.sum(), gained / np.arange(1, len(scores) + 1)
    both = recall + precision
    f = np.divide(2 * recall * precision, both, out=np.zeros_like(both), where=both > 0)
    best = int(f.argmax())
    return PresenceF(*(float(one[best]) for one in (f, precision, recall, scores[order])))


def score_quality(
    scores: np.ndarray, overlaps: np.ndarray, present: np.ndarray | None = None
) -> ScoreQuality:
    """All measures of ``scores [T]`` against ``overlaps [T]``; frames without score do not count.

    A NaN overlap (target absent) is a wrong box. Scores of others may lie outside [0, 1]: they rank
    frames as they are, and count as 0 or 1 where they are compared with shares.

    Args:
        scores: score of each frame.
        overlaps: overlap of its box with the annotated one.
        present: ``[T]`` bool, whether the frame has a target; by default where an overlap is known.
    """
    known = np.isfinite(scores)
    present = (np.isfinite(overlaps) if present is None else present)[known]
    scores, overlaps = scores[known], overlaps[known]
    shares = np.clip(scores, 0.0, 1.0)
    with np.errstate(invalid="ignore"):
        correct, touching = overlaps > CORRECT_OVERLAP, present & (overlaps > 0)
    return ScoreQuality(
        roc_auc=roc_auc(scores, correct),
        calibration_error=expected_calibration_error(shares, correct),
        frames=len(scores),
        correct=int(correct.sum()),
        lost_auc=roc_auc(scores, touching),
        presence=presence_f(scores, overlaps, present),
        reliability=reliability(shares, correct),
    )


def pooled_quality(parts: Sequence[ScoredFrames]) -> ScoreQuality | None:
    """All measures over the frames of several sequences or runs; ``None`` if none has a score."""
    if not any(np.isfinite(one.scores).any() for one in parts):
        return None
    return score_quality(
        np.concatenate([one.scores for one in parts]),
        np.concatenate([one.overlaps for one in parts]),
        np.concatenate([one.present for one in parts]),
    )
