"""Runs of the VOT experiments as their analyses see them, and the arithmetic of the analyses.

A run is a sequence of overlaps with a mark for each frame: where the tracker was started, where it
failed, and where it was not running. Sources: the analyses of the VOT toolkit, supervised (Kristan
et al., *A Novel Performance Evaluation Methodology for Single-Target Trackers*, TPAMI 2016) and
multi-start (Kristan et al., *The Eighth Visual Object Tracking VOT2020 Challenge Results*).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STARTED, FAILED, SKIPPED = "started", "failed", "skipped"
"""Statuses of a supervised run's frames: the box was given; the tracker lost it; it did not run."""


@dataclass(frozen=True)
class Fragment:
    """A stretch of frames from a start on.

    Attributes:
        overlaps: ``[T]`` overlap of each frame, the first of which is that of the start.
        failed: whether it ends because the tracker failed.
    """

    overlaps: np.ndarray
    failed: bool


def failure_rows(statuses: np.ndarray) -> np.ndarray:
    """Rows of a supervised run in which the tracker failed."""
    return np.flatnonzero(statuses == FAILED)


def accuracy(overlaps: np.ndarray, statuses: np.ndarray, *, burn_in: int) -> float:
    """Mean overlap of a supervised run without frames that follow a start closely.

    Args:
        overlaps: ``[T]`` overlaps.
        statuses: ``[T]`` marks.
        burn_in: number of frames from each start on, itself included, that do not count.
    """
    counted = counted_frames(statuses, burn_in=burn_in)
    return float(overlaps[counted].mean()) if counted.any() else 0.0


def counted_frames(statuses: np.ndarray, *, burn_in: int) -> np.ndarray:
    """``[T]`` bool: the frames of a supervised run in which it is tracking and not just started."""
    counted = ~np.isin(statuses, (STARTED, FAILED, SKIPPED))
    for row in np.flatnonzero(statuses == STARTED):
        counted[row : row + burn_in] = False
    return np.asarray(counted)


def fragments(overlaps: np.ndarray, statuses: np.ndarray) -> list[Fragment]:
    """A supervised run cut at its failures; the last piece is complete."""
    starts = np.flatnonzero(statuses == STARTED)
    ends = failure_rows(statuses)
    found = [
        Fragment(overlaps[start:end], failed=True) for start, end in zip(starts, ends, strict=False)
    ]
    if len(starts) > len(ends):
        found.append(Fragment(overlaps[starts[-1] :], failed=False))
    return found


def expected_overlap(found: Sequence[Fragment], longest: int | None = None) -> np.ndarray:
    """The expected average overlap by length of sequence, as the supervised analysis has it.

    Point ``j`` is the mean over fragments of the mean overlap of frames 1 to ``j``. A failed
    fragment goes on with 0, a complete one takes part while it lasts.

    Args:
        found: the fragments.
        longest: number of points, no less than the longest fragment has frames; as many by default.
    """
    longest = longest or max(len(one.overlaps) for one in found)
    total, count = np.zeros(longest), np.zeros(longest)
    for one in found:
        padded = np.zeros(longest)
        padded[: len(one.overlaps)] = one.overlaps
        means = padded.copy()
        means[1:] = np.cumsum(padded[1:]) / np.arange(1, longest)
        lasts = longest if one.failed else len(one.overlaps)
        total[:lasts] += means[:lasts]
        count[:lasts] += 1
    return total / count


def mean_between(curve: np.ndarray, low: int, high: int) -> float:
    """The mean of a curve's points ``low`` to ``high``, both included; NaN if it ends before."""
    return float(curve[low : high + 1].mean()) if len(curve) > high else float("nan")


def progress(overlaps: np.ndarray, has_target: np.ndarray, *, threshold: float, grace: int) -> int:
    """The frame at which a run without restarts fails, or its length.

    Args:
        overlaps: ``[T]`` overlaps; that of the first frame is 0.
        has_target: ``[T]`` whether the annotation has a box; frames without start the count anew.
        threshold: overlap up to which a frame counts as lost.
        grace: number of lost frames in a row that are a failure; it began with the first of them.
    """
    lost = 0
    for row, (overlap, target) in enumerate(zip(overlaps, has_target, strict=True)):
        lost = lost + 1 if overlap <= threshold and target else 0
        if lost == grace:
            return row + 1 - grace
    return len(overlaps)


@dataclass(frozen=True)
class OverlapByLength:
    """Expected average overlap of the runs of one sequence, by length.

    Attributes:
        means: ``[H]`` mean overlap.
        active: ``[H]`` number of runs that are known at that length.
    """

    means: np.ndarray
    active: np.ndarray


def overlap_by_length(found: Sequence[Fragment], length: int) -> OverlapByLength:
    """The curve of one sequence in the multi-start analysis; overlaps after a failure are 0.

    A failed run goes on beyond its end with its sum over ``j - 1``, not ``j``, as in the toolkit.
    """
    total, active = np.zeros(length), np.zeros(length)
    for one in found:
        for j in range(1, length):
            if j < len(one.overlaps):
                total[j] += one.overlaps[1 : j + 1].mean()
            elif one.failed:
                total[j] += one.overlaps[1:].sum() / (j - 1)
            else:
                break
            active[j] += 1
    with np.errstate(invalid="ignore"):
        means = np.where(active > 0, total / np.maximum(active, 1), 0.0)
    return OverlapByLength(means, active)


def pooled_curve(found: Sequence[OverlapByLength]) -> np.ndarray:
    """The curve over sequences, each weighted by its number of runs at that length; NaN without."""
    total = sum(one.means * one.active for one in found)
    active = sum(one.active for one in found)
    curve = np.where(active > 0, total / np.maximum(active, 1), np.nan)
    curve[0] = 0.0
    return np.asarray(curve)
