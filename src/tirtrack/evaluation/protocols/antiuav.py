"""What the protocols of Anti-UAV share: overlap of frames with a target, no box on those without.

A row of NaN is a result without a box.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.evaluation.overlap import continuous_overlap
from tirtrack.evaluation.protocols.base import ScoreDescription, SequenceScores

STATE_ACCURACY = ScoreDescription(id="state_accuracy", title="state accuracy", short="SA")


def no_box(boxes: np.ndarray) -> np.ndarray:
    """Rows ``[T]`` without a box."""
    return np.asarray(np.isnan(boxes).any(axis=1))


def without_target(annotation: np.ndarray, facts: FrameFacts) -> np.ndarray:
    """Frames ``[T]`` whose target does not exist: by the flags, or else those without a box."""
    return no_box(annotation) if facts.absent is None else facts.absent


def hits(boxes: np.ndarray, annotation: np.ndarray) -> np.ndarray:
    """``[T]`` overlap; 0 where boxes do not overlap, or where there is none."""
    found = continuous_overlap(boxes, annotation)
    return np.where(np.isfinite(found), found, 0.0)


def state_accuracy(
    boxes: np.ndarray, annotation: np.ndarray, facts: FrameFacts
) -> dict[str, np.ndarray]:
    """The state accuracy of each frame that counts.

    A frame with a target counts with its overlap, one without with 1 if the result has no box. A
    frame that should have a target and has no annotated box does not count.
    """
    absent = without_target(annotation, facts)
    found = np.where(absent, no_box(boxes), hits(boxes, annotation))
    unknown = np.isnan(annotation).any(axis=1) | (annotation.sum(axis=1) == 0)
    return {"state accuracy": found[absent | ~unknown].astype(np.float64)}


def mean_state_accuracy(sequences: Sequence[SequenceScores]) -> dict[str, float]:
    """The mean over sequences of the means over frames."""
    means = [one.measures["state accuracy"].mean() for one in sequences]
    return {STATE_ACCURACY.id: float(np.mean(means))}
