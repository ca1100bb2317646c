"""RGBT234: precision and success against the better of two annotations, frame by frame (MPR, MSR).

Result boxes are rounded to whole pixels, halves to even, as the common Python tool does it.
"""

from __future__ import annotations

import numpy as np

from tirtrack.evaluation.overlap import center_error, overlap
from tirtrack.evaluation.protocols.base import CurveAxes, ScoreDescription
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, Plot, every_row
from tirtrack.evaluation.protocols.otb_core import (
    AT_20,
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
)

MSR = ScoreDescription(
    id="msr",
    title="maximum success rate",
    short="MSR",
    curve=CurveAxes(
        x_label="overlap threshold", y_label="share of frames above it", x_end=1.0, reading="area"
    ),
)
MPR = ScoreDescription(
    id="mpr",
    title="maximum precision rate",
    short="MPR",
    curve=CurveAxes(
        x_label="centre error threshold (px)",
        y_label="share of frames within it",
        x_end=50.0,
        reading="at 20 px",
    ),
)

PROTOCOL = OnePass(
    "rgbt234",
    plots=(
        Plot(
            MSR,
            Measure(overlap, every_row, best_of_two=np.fmax),
            SUCCESS_THRESHOLDS,
            np.greater,
            "mean",
        ),
        Plot(
            MPR,
            Measure(center_error, every_row, best_of_two=np.fmin),
            PRECISION_THRESHOLDS,
            np.less_equal,
            AT_20,
        ),
    ),
    first_row_given=False,
    rounds=True,
    as_stored=True,
    needs=("second",),
)
