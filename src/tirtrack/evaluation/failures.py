"""When a tracker leaves its target, and how many sequences it gets through until then.

A failure is a stretch of at least ten frames with a valid annotation whose overlap with it is at
most 0.1. Sequences that end before a failure are censored: they count among those that got through
for as long as they last (Kaplan and Meier, *Nonparametric Estimation from Incomplete Observations*,
Journal of the American Statistical Association, 1958).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LOST_OVERLAP = 0.1
FEWEST_FRAMES = 10
SURVIVAL_AT = (50, 100, 200, 500)
"""Frames at which survival is told; the mean time is restricted to the last of them."""


def failures(overlaps: np.ndarray, valid: np.ndarray) -> tuple[tuple[int, int], ...]:
    """The stretches of frames in which a tracker is off its target, as rows ``(first, end)``.

    Row 0, whose box was given, is none of them. Frames without a valid annotation neither break nor
    extend a stretch.

    Args:
        overlaps: ``[T]`` overlap of each box with the annotated one; NaN where there is no box.
        valid: ``[T]`` bool, whether the annotation is valid.

    >>> failures(np.array([1.0] + [0.1] * 10 + [0.2]), np.ones(12, bool))
    ((1, 11),)
    """
    rows = np.flatnonzero(valid)
    rows = rows[rows > 0]
    with np.errstate(invalid="ignore"):
        lost = ~(overlaps[rows] > LOST_OVERLAP)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]])))
    return tuple(
        (int(rows[first]), int(rows[end - 1]) + 1)
        for first, end in edges.reshape(-1, 2)
        if end - first >= FEWEST_FRAMES
    )


def survival(
    times: Sequence[int], failed: Sequence[bool], at: Sequence[int] = SURVIVAL_AT
) -> list[float | None]:
    """The estimated share of sequences without a failure after each number of frames.

    Args:
        times: row of each sequence's first failure, or its number of frames.
        failed: whether it failed then.
        at: numbers of frames.

    Returns:
        One share for each number; ``None`` where no sequence is long enough to tell.

    >>> survival([30, 60, 80], [True, False, True], [50, 70, 100])
    [0.6666666666666667, 0.6666666666666667, 0.0]
    """
    steps = _steps(times, failed)
    known = max(times, default=0)
    return [
        None
        if frames > known and steps[-1][1] > 0
        else next(share for first, share in reversed(steps) if first <= frames)
        for frames in at
    ]


def restricted_mean(
    times: Sequence[int], failed: Sequence[bool], limit: int = SURVIVAL_AT[-1]
) -> float | None:
    """Mean number of frames without a failure, of which at most ``limit`` count; ``None`` where no
    sequence is long enough to tell.

    >>> restricted_mean([100, 600], [True, False])
    300.0
    """
    steps = _steps(times, failed)
    if limit > max(times, default=0) and steps[-1][1] > 0:
        return None
    firsts = [min(first, limit) for first, _ in steps] + [limit]
    return float(sum(share * (firsts[k + 1] - firsts[k]) for k, (_, share) in enumerate(steps)))


def _steps(times: Sequence[int], failed: Sequence[bool]) -> list[tuple[int, float]]:
    """Where the estimated share changes, and what it is from there on."""
    steps = [(0, 1.0)]
    for time in sorted({one for one, is_failure in zip(times, failed, strict=True) if is_failure}):
        at_risk = sum(one >= time for one in times)
        ended = sum(
            one == time and is_failure for one, is_failure in zip(times, failed, strict=True)
        )
        steps.append((time, steps[-1][1] * (1 - ended / at_risk)))
    return steps
