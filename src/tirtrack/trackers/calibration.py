"""A score in [0, 1] for the presence of the target, and the status that follows from it.

The published score of the Siamese family stays above 0.9 after the target has disappeared. The
shape of the map does change: its entropy rises above the usual value for this target, and the logit
margin at the best cell falls. The score is the product of two logistic curves of these two. Their
numbers are fitted by ``calibration_fit`` and stored in the card of the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tirtrack.errors import WeightsError, did_you_mean
from tirtrack.trackers.base import Status
from tirtrack.weights.card import Calibration

USUAL_RATE = 0.03  # update rate of the usual entropy, per trusted frame

_FITTED_ON = (
    "synthetic world (validation: study, seed 0; 30 sequences with absence, seed 500), "
    "rgb/video_train"
)

# For weights whose card has no calibration: benchmarks/fit_calibration.py on the published weights,
# RGB half of both worlds and 12 videos, 66 sequences of at most 150 frames.
_FAMILY: dict[str, Calibration] = {
    "fear-xs": Calibration(
        rise_centre=0.99,
        rise_scale=0.15,
        margin_centre=5.74,
        margin_scale=0.707,
        uncertain_below=0.3,
        lost_below=0.3,
        lost_after_frames=4,
        fitted_on=_FITTED_ON,
    ),
    "nanotrack-v1": Calibration(
        rise_centre=1.173,
        rise_scale=0.258,
        margin_centre=3.999,
        margin_scale=0.922,
        uncertain_below=0.4,
        lost_below=0.2,
        lost_after_frames=5,
        fitted_on=_FITTED_ON,
    ),
    "nanotrack-v2": Calibration(
        rise_centre=0.917,
        rise_scale=0.188,
        margin_centre=3.031,
        margin_scale=0.889,
        uncertain_below=0.4,
        lost_below=0.4,
        lost_after_frames=8,
        fitted_on=_FITTED_ON,
    ),
    "nanotrack-v3": Calibration(
        rise_centre=1.024,
        rise_scale=0.208,
        margin_centre=2.678,
        margin_scale=1.586,
        uncertain_below=0.3,
        lost_below=0.3,
        lost_after_frames=3,
        fitted_on=_FITTED_ON,
    ),
}


def family_calibration(architecture: str) -> Calibration:
    """The calibration for weights whose card has none.

    Raises:
        WeightsError: there is no calibration for this architecture.
    """
    if architecture not in _FAMILY:
        raise WeightsError(
            f'the network "{architecture}" has no calibration',
            fix=did_you_mean(architecture, _FAMILY),
        )
    return _FAMILY[architecture]


@dataclass(frozen=True)
class Belief:
    """The tracker's belief about its target, and the number of doubtful frames in a row."""

    status: Status = Status.TRACKING
    doubtful_frames: int = 0


def score_of(rise: float, margin: float, calibration: Calibration) -> float:
    """The score of a map: near 1 for one high peak as sharp as usual, near 0 for a flat or low map.

    Args:
        rise: rise of the map's entropy above the usual value for this target, nats.
        margin: logit(target) - logit(background) at the best cell.
        calibration: numbers of both curves.
    """
    return logistic((calibration.rise_centre - rise) / calibration.rise_scale) * logistic(
        (margin - calibration.margin_centre) / calibration.margin_scale
    )


def is_high_but_ambiguous(margin: float, calibration: Calibration) -> bool:
    """Whether the best cell resembles the target, so that a low score comes from other cells."""
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


def logistic(value: float) -> float:
    """The logistic curve, without overflow at either end.

    >>> logistic(0.0)
    0.5
    """
    return 0.5 * (1.0 + math.tanh(value / 2.0))
