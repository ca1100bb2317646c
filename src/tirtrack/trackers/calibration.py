"""A score in [0, 1] that says whether the target is there, and the status that follows from it.

The published score of the Siamese family stays above 0.9 after the target has gone. What does
change is the shape of the map: its entropy rises, and the logit margin at the best cell falls.
The score is the product of two logistic curves of these two; their numbers are
fitted here and kept in the card of the weights.

How they are fitted: :func:`fit_score` on (entropy, margin) of frames where the box is good and of
patches where the target is absent, then :func:`fit_status` on whole sequences.
``benchmarks/fit_calibration.py`` gathers both and prints the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from tirtrack.errors import WeightsError, did_you_mean
from tirtrack.trackers.base import Status
from tirtrack.weights.card import Calibration

MIN_ENTROPY_SCALE = 0.15  # nats; classes that part cleanly would else be fitted by a step
MIN_MARGIN_SCALE = 0.5  # logits
MAX_FALSE_LOST = 0.02  # share of visible frames
LOST_WITHIN_FRAMES = 10  # after the target has gone


_FITTED_ON = "synthetic world (seed 77, validation), rgb/video_train"

# For weights whose card has none: benchmarks/fit_calibration.py on the published weights, 24
# synthetic and 12 RGB sequences of at most 150 frames.
_FAMILY: dict[str, Calibration] = {
    "nanotrack-v2": Calibration(
        centre=4.629,
        scale=0.15,
        margin_centre=5.035,
        margin_scale=1.099,
        uncertain_below=0.3,
        lost_below=0.1,
        lost_after_frames=3,
        fitted_on=_FITTED_ON,
    ),
    "nanotrack-v3": Calibration(
        centre=4.666,
        scale=0.15,
        margin_centre=5.571,
        margin_scale=1.15,
        uncertain_below=0.3,
        lost_below=0.2,
        lost_after_frames=7,
        fitted_on=_FITTED_ON,
    ),
}


def family_calibration(architecture: str) -> Calibration:
    """The numbers for weights whose card brings none.

    Raises:
        WeightsError: there are none for this architecture.
    """
    if architecture not in _FAMILY:
        raise WeightsError(
            f'the network "{architecture}" has no calibration',
            fix=did_you_mean(architecture, _FAMILY),
        )
    return _FAMILY[architecture]


@dataclass(frozen=True)
class Belief:
    """What the tracker believes of its target, and for how many frames it has doubted it."""

    status: Status = Status.TRACKING
    doubtful_frames: int = 0


def score_of(entropy: float, margin: float, calibration: Calibration) -> float:
    """The score of a map: near 1 for one sharp and high peak, near 0 for a flat or low map."""
    return _logistic((calibration.centre - entropy) / calibration.scale) * _logistic(
        (margin - calibration.margin_centre) / calibration.margin_scale
    )


def is_high_but_ambiguous(margin: float, calibration: Calibration) -> bool:
    """Whether the best cell looks like the target, so that a low score comes from other cells."""
    return margin >= calibration.margin_centre


def next_belief(belief: Belief, score: float, calibration: Calibration) -> Belief:
    """The belief after one more score.

    A good score is trusted at once, from any status. A bad one makes the target uncertain, several
    very bad ones in a row make it lost; lost stays lost until a good score.
    """
    if score >= calibration.uncertain_below:
        return Belief()
    doubtful = belief.doubtful_frames + 1 if score < calibration.lost_below else 0
    lost = belief.status is Status.LOST or doubtful >= calibration.lost_after_frames
    return Belief(Status.LOST if lost else Status.UNCERTAIN, doubtful)


@dataclass(frozen=True)
class ScoreCurve:
    """The four numbers of the score, as :class:`~tirtrack.weights.card.Calibration` names them."""

    centre: float
    scale: float
    margin_centre: float
    margin_scale: float

    def score(self, entropy: np.ndarray, margin: np.ndarray) -> np.ndarray:
        """Scores ``[n]`` of entropies ``[n]`` and margins ``[n]``."""
        sharp = _logistics((self.centre - np.asarray(entropy)) / self.scale)
        high = _logistics((np.asarray(margin) - self.margin_centre) / self.margin_scale)
        return np.asarray(sharp * high)


def fit_score(entropy: np.ndarray, margin: np.ndarray, present: np.ndarray) -> ScoreCurve:
    """The curve with the least logarithmic loss, the two classes weighing the same.

    The scales have a floor, so that samples that part cleanly give a slope and not a step.

    Args:
        entropy: ``[n]``, nats.
        margin: ``[n]``, logits.
        present: ``[n]`` bool: the target is at the best cell, or it is not in the patch at all.
            Boxes that are neither good nor on an absent target are left out by the caller.

    Raises:
        ValueError: one of the two classes has no sample.
    """
    from scipy.optimize import minimize  # a third of a second that no tracker should wait for

    present = np.asarray(present, dtype=bool)
    if present.all() or not present.any():
        raise ValueError(f"need samples of both classes, got {present.sum()} of {len(present)}")
    weight = np.where(present, 0.5 / present.sum(), 0.5 / (~present).sum())

    def loss(values: np.ndarray) -> float:
        score = ScoreCurve(*values).score(entropy, margin).clip(1e-9, 1 - 1e-9)
        return float(-(weight * np.where(present, np.log(score), np.log(1 - score))).sum())

    middle = (np.median(margin[present]) + np.median(margin[~present])) / 2
    start = np.array([np.median(entropy[present]) + 0.7, 0.3, middle, 1.5])
    bounds = [(None, None), (MIN_ENTROPY_SCALE, 2.0), (None, None), (MIN_MARGIN_SCALE, 10.0)]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    return ScoreCurve(*(float(value) for value in found.x))


@dataclass(frozen=True)
class StatusFit:
    """Thresholds, and what they do on the sequences that they were fitted on.

    Attributes:
        uncertain_below: score.
        lost_below: score.
        lost_after_frames: frames in a row.
        detected: share of disappearances that were called lost within 10 frames; NaN if the
            sequences have none.
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
    """Thresholds for ``lost``: the most disappearances found, at no more than 2 % false alarms.

    Every combination of a small grid is played through :func:`next_belief`. Ties go to fewer
    false alarms, then to the lower threshold and the longer wait.

    Args:
        scores: one ``[T]`` per sequence, tracked frames in order.
        visible: one bool ``[T]`` per sequence.
        on_target: one bool ``[T]`` per sequence: visible, and the best cell is at the target. A
            tracker that has drifted away from a visible target is lost, and may say so.
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
    """Frames at which the target goes and stays away for at least ten frames.

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
    """The two figures that the thresholds are fitted for.

    Attributes:
        detected: share of disappearances called lost within ten frames; NaN if there is none.
        false: share of the frames that count, of those where the target could be seen, called
            lost. The ten frames after an absence do not count.
    """

    detected: float
    false: float


def lost_shares(
    lost: Sequence[np.ndarray], visible: Sequence[np.ndarray], counted: Sequence[np.ndarray]
) -> LostShares:
    """How often ``lost`` was right, and how often it was wrong.

    Args:
        lost: one bool ``[T]`` per sequence: status is lost.
        visible: one bool ``[T]`` per sequence.
        counted: one bool ``[T]`` per sequence: frames in which ``lost`` would be wrong; ``visible``
            itself, or those of them where the tracker is on its target.
    """
    found: list[bool] = []
    false, total = 0, 0
    for called, seen, counts in zip(lost, visible, counted, strict=True):
        found += [bool(called[at : at + LOST_WITHIN_FRAMES].any()) for at in disappearances(seen)]
        settled = counts & ~_shortly_after_absence(seen)
        false += int((called & settled).sum())
        total += int(settled.sum())
    return LostShares(float(np.mean(found)) if found else float("nan"), false / max(total, 1))


def area_under_roc(score: np.ndarray, present: np.ndarray) -> float:
    """Probability that a present sample scores above an absent one, ties counting half."""
    present = np.asarray(present, dtype=bool)
    above = score[present][:, None] - score[~present][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def _try_status(
    scores: Sequence[np.ndarray],
    visible: Sequence[np.ndarray],
    on_target: Sequence[np.ndarray],
    *,
    numbers: tuple[float, float, int],
) -> StatusFit:
    uncertain, lost_below, after = numbers
    calibration = Calibration(
        centre=0.0,
        scale=1.0,
        margin_centre=0.0,
        margin_scale=1.0,
        uncertain_below=uncertain,
        lost_below=lost_below,
        lost_after_frames=after,
        fitted_on="",
    )
    lost = []
    for sequence in scores:
        belief, called = Belief(), []
        for score in sequence:
            belief = next_belief(belief, float(score), calibration)
            called.append(belief.status is Status.LOST)
        lost.append(np.array(called, dtype=bool))
    shares = lost_shares(lost, visible, on_target)
    return StatusFit(*numbers, detected=shares.detected, false_lost=shares.false)


def _shortly_after_absence(visible: np.ndarray) -> np.ndarray:
    recent = np.zeros(len(visible), dtype=bool)
    for index in np.flatnonzero(~visible):
        recent[index + 1 : index + 1 + LOST_WITHIN_FRAMES] = True
    return recent


def _logistic(value: float) -> float:
    return float(_logistics(np.array(value)))


def _logistics(values: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1.0 + np.tanh(values / 2.0)))  # no overflow at either end
