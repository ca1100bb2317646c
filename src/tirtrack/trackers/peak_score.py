"""The score in [0, 1] of the trackers that learn online: a logistic curve of the raw peak.

The meaning of a peak depends on the filter's training: DiMP's and SuperDiMP's maps are about 1 on
the target, PrDiMP's are densities, ATOM's labels are Gaussians of height 1.
"""

from __future__ import annotations

from tirtrack.networks.two_branch import ScoreKind
from tirtrack.trackers.calibration import logistic
from tirtrack.weights.card import PeakCalibration

_NOT_FITTED = "nothing: half at the published threshold of target not found"

# For weights whose card has none, by the kind of their scores; none: ATOM, learnt only online.
_FAMILY: dict[ScoreKind | None, PeakCalibration] = {
    ScoreKind.HINGE: PeakCalibration(peak_centre=0.25, peak_scale=0.08, fitted_on=_NOT_FITTED),
    ScoreKind.DENSITY: PeakCalibration(peak_centre=0.04, peak_scale=0.013, fitted_on=_NOT_FITTED),
    None: PeakCalibration(peak_centre=0.25, peak_scale=0.08, fitted_on=_NOT_FITTED),
}


def family_peak_calibration(kind: ScoreKind | None) -> PeakCalibration:
    """The calibration for weights whose card has none."""
    return _FAMILY[kind]


def score_of_peak(peak: float, calibration: PeakCalibration) -> float:
    """The score of a raw peak.

    >>> score_of_peak(0.25, family_peak_calibration(ScoreKind.HINGE))
    0.5
    """
    return logistic((peak - calibration.peak_centre) / calibration.peak_scale)
