"""Fits the numbers of ``calibration`` and measures how well they detect an absent target.

:func:`fit_score` uses (rise of the entropy, margin) of frames with a good box and of patches
without the target; :func:`fit_status` then uses whole sequences.
``benchmarks/fit_calibration.py`` collects both and prints the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from tirtrack.boxes import Box
from tirtrack.trackers.base import Status
from tirtrack.trackers.belief import Belief
from tirtrack.trackers.calibration import flag_of, loss_rule
from tirtrack.weights.card import Calibration

MIN_RISE_SCALE = 0.15  # nats; without it, separable classes would be fitted by a step
MIN_MARGIN_SCALE = 0.5  # logits
MAX_FALSE_LOST = 0.02  # share of visible frames
LOST_WITHIN_FRAMES = 10  # frames after the target disappeared
_ANY_BOX = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class ScoreCurve:
    """The four numbers of the score, as :class:`~tirtrack.weights.card.Calibration` names them."""

    rise_centre: float
    rise_scale: float
    margin_centre: float
    margin_scale: float

    def score(self, rise: np.ndarray, margin: np.ndarray) -> np.ndarray:
        """Scores ``[n]`` of rises of the entropy ``[n]`` and margins ``[n]``."""
        sharp = _logistics((self.rise_centre - np.asarray(rise)) / self.rise_scale)
        high = _logistics((np.asarray(margin) - self.margin_centre) / self.margin_scale)
        return np.asarray(sharp * high)


def fit_score(rise: np.ndarray, margin: np.ndarray, present: np.ndarray) -> ScoreCurve:
    """The curve with the least logarithmic loss; both classes have the same total weight.

    The scales have a lower bound, so that separable samples give a slope and not a step.

    Args:
        rise: ``[n]`` rises of the entropy above its usual value, nats.
        margin: ``[n]`` margins, logits.
        present: ``[n]`` bool: true: the target is at the best cell; false: it is not in the patch.
            The caller leaves out frames that are neither.

    Raises:
        ValueError: one of the two classes has no sample.
    """
    from scipy.optimize import minimize  # here: the import takes 0.3 s, and trackers don't need it

    present = np.asarray(present, dtype=bool)
    if present.all() or not present.any():
        raise ValueError(f"need samples of both classes, got {present.sum()} of {len(present)}")
    weight = np.where(present, 0.5 / present.sum(), 0.5 / (~present).sum())

    def loss(values: np.ndarray) -> float:
        score = ScoreCurve(*values).score(rise, margin).clip(1e-9, 1 - 1e-9)
        return float(-(weight * np.where(present, np.log(score), np.log(1 - score))).sum())

    middle = (np.median(margin[present]) + np.median(margin[~present])) / 2
    start = np.array([np.median(rise[present]) + 0.7, 0.3, middle, 1.5])
    bounds = [(None, None), (MIN_RISE_SCALE, 2.0), (None, None), (MIN_MARGIN_SCALE, 10.0)]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    return ScoreCurve(*(float(value) for value in found.x))


@dataclass(frozen=True)
class StatusFit:
    """Thresholds, and their error rates on the sequences that they were fitted on.

    Attributes:
        uncertain_below: score below which the status is uncertain.
        lost_below: score below which a frame counts towards lost.
        lost_after_frames: number of such frames in a row after which the status is lost.
        detected: share of disappearances that were called lost within ten frames; NaN if there are
            none.
        false_lost: share of frames with the box on the target that were called lost.
    """

    uncertain_below: float
    lost_below: float
    lost_after_frames: int
    detected: float
    false_lost: float


def fit_status(
    scores: Sequence[np.ndarray],
    visible: Sequence[np.ndarray],
    on_target: Sequence[np.ndarray],
) -> StatusFit:
    """Thresholds for ``lost``: most disappearances detected, with at most 2 % false alarms.

    Every combination of a small grid is run through :func:`loss_rule`. Ties go to fewer
    false alarms, then to the lower threshold and the longer wait.

    Args:
        scores: one ``[T]`` per sequence: scores of the tracked frames, in order.
        visible: one bool ``[T]`` per sequence: the target is visible.
        on_target: one bool ``[T]`` per sequence: visible, and the best cell is at the target. A
            tracker that has drifted away from a visible target is rightly called lost.
    """
    grid = product((0.3, 0.4, 0.5), (0.1, 0.2, 0.3, 0.4, 0.5), range(3, 9))
    tried = [
        _try_status(scores, visible, on_target, numbers=numbers)
        for numbers in grid
        if numbers[1] <= numbers[0]
    ]

    def rank(fit: StatusFit) -> tuple[bool, float, float, float, int]:
        found = 0.0 if np.isnan(fit.detected) else fit.detected
        few = fit.false_lost <= MAX_FALSE_LOST
        return few, found, -fit.false_lost, -fit.lost_below, fit.lost_after_frames

    return max(tried, key=rank)


def disappearances(visible: np.ndarray) -> list[int]:
    """Frames at which the target disappears for at least ten frames.

    >>> disappearances(np.array([True] * 3 + [False] * 12 + [True]))
    [3]
    """
    visible = np.asarray(visible, dtype=bool)
    return [
        start
        for start in range(1, len(visible) - LOST_WITHIN_FRAMES + 1)
        if visible[start - 1] and not visible[start : start + LOST_WITHIN_FRAMES].any()
    ]


@dataclass(frozen=True)
class LostShares:
    """The two figures that the fit of the thresholds optimises.

    Attributes:
        detected: share of disappearances called lost within ten frames; NaN if there are none.
        false: share of the counted frames, in all of which the target is visible, that were called
            lost. The ten frames after an absence do not count.
    """

    detected: float
    false: float


def lost_shares(
    lost: Sequence[np.ndarray], visible: Sequence[np.ndarray], counted: Sequence[np.ndarray]
) -> LostShares:
    """How often ``lost`` was right, and how often it was wrong.

    Args:
        lost: one bool ``[T]`` per sequence: the status is lost.
        visible: one bool ``[T]`` per sequence: the target is visible.
        counted: one bool ``[T]`` per sequence: frames in which ``lost`` would be wrong; ``visible``
            itself, or only its frames where the tracker is on its target.
    """
    found: list[bool] = []
    false, total = 0, 0
    for called, seen, counts in zip(lost, visible, counted, strict=True):
        found += [bool(called[at : at + LOST_WITHIN_FRAMES].any()) for at in disappearances(seen)]
        settled = counts & ~_shortly_after_absence(seen)
        false += int((called & settled).sum())
        total += int(settled.sum())
    return LostShares(float(np.mean(found)) if found else float("nan"), false / max(total, 1))


def _try_status(
    scores: Sequence[np.ndarray],
    visible: Sequence[np.ndarray],
    on_target: Sequence[np.ndarray],
    *,
    numbers: tuple[float, float, int],
) -> StatusFit:
    uncertain, lost_below, after = numbers
    calibration = Calibration(
        rise_centre=0.0,
        rise_scale=1.0,
        margin_centre=0.0,
        margin_scale=1.0,
        uncertain_below=uncertain,
        lost_below=lost_below,
        lost_after_frames=after,
        fitted_on="",
    )
    rule, lost = loss_rule(calibration), []
    for sequence in scores:
        belief, called = Belief(_ANY_BOX), []
        for score in sequence:
            belief = rule.after(belief, flag_of(float(score), calibration))
            called.append(belief.status is Status.LOST)
        lost.append(np.array(called, dtype=bool))
    shares = lost_shares(lost, visible, on_target)
    return StatusFit(*numbers, detected=shares.detected, false_lost=shares.false)


def _shortly_after_absence(visible: np.ndarray) -> np.ndarray:
    recent = np.zeros(len(visible), dtype=bool)
    for index in np.flatnonzero(~visible):
        recent[index + 1 : index + 1 + LOST_WITHIN_FRAMES] = True
    return recent


def _logistics(values: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1.0 + np.tanh(values / 2.0)))  # no overflow at either end
