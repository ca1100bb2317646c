"""A score in [0, 1] for the presence of the target, of the Siamese family.

The published score of the Siamese family stays above 0.9 after the target has disappeared. The
shape of the map does change: its entropy rises above the usual value for this target, and the logit
margin at the best cell falls. The score is the product of two logistic curves of these two. Their
numbers are fitted by ``calibration_fit`` and stored in the card of the weights.
"""

from __future__ import annotations

import math

from tirtrack.errors import WeightsError, did_you_mean
from tirtrack.trackers.belief import Flag, LossRule
from tirtrack.weights.card import Calibration

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


def flag_of(score: float, calibration: Calibration) -> Flag:
    """What a score says of its map."""
    if score >= calibration.uncertain_below:
        return Flag.NORMAL
    return Flag.NOT_FOUND if score < calibration.lost_below else Flag.UNCERTAIN


def loss_rule(calibration: Calibration, *, safe: bool = True) -> LossRule:
    """The rule of the Siamese family: a target is lost when its score stays low.

    A good score is trusted at once, from any status. A bad one makes the target uncertain, several
    very bad ones in a row make it lost; lost stays lost until a good score.
    """
    return LossRule(
        calibration.lost_after_frames,
        uncertain_below=calibration.uncertain_below,
        doubt_is_absence=True,
        counts_bad_frames=True,
        safe=safe,
    )


def is_high_but_ambiguous(margin: float, calibration: Calibration) -> bool:
    """Whether the best cell resembles the target, so that a low score comes from other cells."""
    return margin >= calibration.margin_centre


def logistic(value: float) -> float:
    """The logistic curve, without overflow at either end.

    >>> logistic(0.0)
    0.5
    """
    return 0.5 * (1.0 + math.tanh(value / 2.0))
