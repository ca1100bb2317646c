"""Anti-UAV410: state accuracy, averaged over frames and then over sequences, and two plots."""

from __future__ import annotations

from functools import partial

import numpy as np

from tirtrack.evaluation.overlap import center_error, continuous_overlap
from tirtrack.evaluation.protocols.antiuav import (
    STATE_ACCURACY,
    mean_state_accuracy,
    state_accuracy,
)
from tirtrack.evaluation.protocols.got10k import EPSILON
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, Plot
from tirtrack.evaluation.protocols.otb_core import SUCCESS, precision_plot
from tirtrack.evaluation.protocols.per_frame import PerFrame

PROTOCOL = PerFrame(
    "antiuav410",
    own_scores=(STATE_ACCURACY,),
    measure=state_accuracy,
    summary=mean_state_accuracy,
    absent_rule="as right if the result has no box there; in the plots as a success miss and a "
    "precision hit",
    by_flags=True,
    plots=OnePass(
        "antiuav410",
        plots=(
            Plot(
                SUCCESS,
                Measure(partial(continuous_overlap, epsilon=EPSILON)),
                np.linspace(0, 1, 21),
                np.greater,
                "mean",
            ),
            precision_plot(Measure(center_error)),
        ),
        as_stored=True,
    ),
)
