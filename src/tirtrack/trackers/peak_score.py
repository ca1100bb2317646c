"""The score in [0, 1] of the trackers that learn online: a logistic curve of the raw peak.

The meaning of a peak depends on the filter's training: DiMP's and SuperDiMP's maps are about 1 on
the target, PrDiMP's are densities, ATOM's labels are Gaussians of height 1.
"""

from __future__ import annotations

from tirtrack.networks.score_kinds import ScoreKind
from tirtrack.trackers.calibration import logistic
from tirtrack.weights.card import PeakCalibration

_NOT_FITTED = "nothing: half at the published threshold of target not found"


def family_peak_calibration(kind: ScoreKind | None) -> PeakCalibration:
    """The calibration for weights whose card has none, by the kind of their scores; ``None``: ATOM,
    whose classifier is learnt online alone, for peaks of about 1.
    """
    usual = ScoreKind if kind is None else kind
    return PeakCalibration(
        peak_centre=usual.peak_centre, peak_scale=usual.peak_scale, fitted_on=_NOT_FITTED
    )


def score_of_peak(peak: float, calibration: PeakCalibration) -> float:
    """The score of a raw peak.

    >>> score_of_peak(0.25, family_peak_calibration(None))
    0.5
    """
    return logistic((peak - calibration.peak_centre) / calibration.peak_scale)
