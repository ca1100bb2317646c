"""Whether a tracker's ``score`` tells when its box is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CORRECT_OVERLAP = 0.5
BINS = 10


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
    """

    roc_auc: float | None
    calibration_error: float | None
    frames: int
    correct: int


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
    index = np.minimum((scores * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(index, weights=scores - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(scores))


def score_quality(scores: np.ndarray, overlaps: np.ndarray) -> ScoreQuality:
    """Both measures of ``scores [T]`` against ``overlaps [T]``; frames without score do not count.

    A NaN overlap (target absent) is a wrong box.
    """
    known = np.isfinite(scores)
    scores = np.clip(scores[known], 0.0, 1.0)
    with np.errstate(invalid="ignore"):
        correct = overlaps[known] > CORRECT_OVERLAP
    return ScoreQuality(
        roc_auc(scores, correct),
        expected_calibration_error(scores, correct),
        len(scores),
        int(correct.sum()),
    )
