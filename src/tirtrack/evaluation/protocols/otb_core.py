"""The rules that OTB, LSOTB-TIR and PTB-TIR share: success and precision plots of one pass.

Reproduces the official toolkits with their quirks to the last bit. The
worst quirk is Q1: a frame whose annotation is not valid (absent, or touching 0) is always
a miss of the success plot and always a hit of the precision plots, whatever the tracker says.
``visible_values``, beside the official numbers, are the same scores counted over valid frames only
and divided by their number.
"""

from __future__ import annotations

import numpy as np

from tirtrack.evaluation.overlap import center_error, norm_center_error, overlap
from tirtrack.evaluation.protocols.base import CurveAxes, ScoreDescription
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, Plot, no_size_or_all_nan

SUCCESS_THRESHOLDS = np.arange(21) * 0.05
PRECISION_THRESHOLDS = np.arange(51.0)
NORM_PRECISION_THRESHOLDS = np.arange(51) / 100

HALF = 10  # index of overlap 0.50
AT_20 = 20  # index of 20 px, and of 0.20 box sizes

SUCCESS = ScoreDescription(
    id="success",
    title="success",
    curve=CurveAxes(
        x_label="overlap threshold", y_label="share of frames above it", x_end=1.0, reading="area"
    ),
)
PRECISION = ScoreDescription(
    id="precision",
    title="precision",
    curve=CurveAxes(
        x_label="centre error threshold (px)",
        y_label="share of frames within it",
        x_end=50.0,
        reading="at 20 px",
    ),
)
NORM_PRECISION = ScoreDescription(
    id="norm_precision",
    title="normalised precision",
    short="norm. prec.",
    curve=CurveAxes(
        x_label="centre error threshold (box sizes)",
        y_label="share of frames within it",
        x_end=0.5,
        reading="area",
    ),
)
NORM_PRECISION_AT_20 = NORM_PRECISION.model_copy(
    update={
        "curve": CurveAxes(
            x_label="centre error threshold (box sizes)",
            y_label="share of frames within it",
            x_end=0.5,
            reading="at 0.20",
        )
    }
)
OP50 = ScoreDescription(id="op50", title="overlap > 0.5", point_of="success")
OP75 = ScoreDescription(id="op75", title="overlap > 0.75", point_of="success")
SCORES = (SUCCESS, PRECISION, NORM_PRECISION, OP50)
ABSENT_RULE = "as a miss in the success plot and as a hit in the precision plots"  # Q1


def success_plot(measure: Measure, *points: tuple[ScoreDescription, int]) -> Plot:
    """The success plot of an overlap: ``>`` at 21 thresholds; the score is their mean."""
    return Plot(SUCCESS, measure, SUCCESS_THRESHOLDS, np.greater, "mean", points)


def precision_plot(measure: Measure) -> Plot:
    """The precision plot of a centre error: ``<=`` at 0 to 50 px, the score is that at 20 px."""
    return Plot(PRECISION, measure, PRECISION_THRESHOLDS, np.less_equal, AT_20)


def norm_precision_plot(measure: Measure) -> Plot:
    """The same of a normalised centre error at 0 to 0.5; the score is that at 0.20."""
    return Plot(NORM_PRECISION_AT_20, measure, NORM_PRECISION_THRESHOLDS, np.less_equal, AT_20)


def norm_precision_area(measure: Measure) -> Plot:
    """The same plot; the score is the mean of its 51 points."""
    return Plot(NORM_PRECISION, measure, NORM_PRECISION_THRESHOLDS, np.less_equal, "mean")


SUCCESS_PLOT = success_plot(Measure(overlap), (OP50, HALF))
PRECISION_PLOT = precision_plot(Measure(center_error))
NORM_PRECISION_PLOT = norm_precision_area(Measure(norm_center_error))


def otb_core(
    name: str,
    plots: tuple[Plot, ...],
    *,
    only: frozenset[str] = frozenset(),
    without: frozenset[str] = frozenset(),
) -> OnePass:
    """A protocol of the OTB core.

    Args:
        name: id of the protocol.
        plots: plots that it has.
        only: sequences that it counts, if not all of the data set.
        without: sequences of the data set that it does not count.
    """
    return OnePass(
        name,
        plots,
        ABSENT_RULE,
        repairs=no_size_or_all_nan,
        drops_empty=True,  # Q4
        only=only,
        without=without,
    )
