"""OTB by the GOT-10k package: thresholds of ``linspace``, nothing repaired."""

from __future__ import annotations

from functools import partial

import numpy as np

from tirtrack.evaluation.overlap import center_error, continuous_overlap
from tirtrack.evaluation.protocols.got10k import EPSILON
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, Plot, every_row
from tirtrack.evaluation.protocols.otb_core import HALF, OP50, SUCCESS, precision_plot

SUCCESS_PLOT = Plot(
    SUCCESS,
    Measure(partial(continuous_overlap, epsilon=EPSILON), every_row),
    np.linspace(0, 1, 21),
    np.greater,
    "mean",
    points=((OP50, HALF),),
)
PRECISION_PLOT = precision_plot(Measure(center_error, every_row))

PROTOCOL = OnePass("got10k-otb", plots=(SUCCESS_PLOT, PRECISION_PLOT), as_stored=True)
