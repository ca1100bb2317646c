"""GTOT: the better of two annotations, all frames pooled, less than 5 px, area by trapezoids.

Centres are ``x + w/2``; the two annotations are left, top, right, bottom without inclusive pixels.
"""

from __future__ import annotations

import numpy as np

from tirtrack.evaluation.overlap import geometric_center_error, overlap
from tirtrack.evaluation.protocols.base import CurveAxes
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, Plot, every_row
from tirtrack.evaluation.protocols.otb_core import SUCCESS_THRESHOLDS
from tirtrack.evaluation.protocols.rgbt234 import MPR, MSR

_AT_5_PX = 10
_MPR = MPR.model_copy(
    update={
        "curve": CurveAxes(
            x_label="centre error threshold (px)",
            y_label="share of frames below it",
            x_end=25.0,
            reading="below 5 px",
        )
    }
)


def plots(overlaps: Measure, errors: Measure) -> tuple[Plot, ...]:
    """Its two plots of given measures."""
    return (
        Plot(MSR, overlaps, SUCCESS_THRESHOLDS, np.greater, "trapezoid"),
        Plot(_MPR, errors, np.arange(51) * 0.5, np.less, _AT_5_PX),
    )


PROTOCOL = OnePass(
    "gtot",
    plots=plots(
        Measure(overlap, every_row, best_of_two=np.fmax),
        Measure(geometric_center_error, every_row, best_of_two=np.fmin),
    ),
    first_row_given=False,
    rounds=True,
    as_stored=True,
    pools_frames=True,
    needs=("second",),
)
