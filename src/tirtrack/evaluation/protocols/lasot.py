"""LaSOT by its toolkit: frames without a target are misses of every plot.

They are taken out after the repair and still counted in the number of frames, so that the
annotation itself does not reach 1 on a sequence with absences.
"""

from __future__ import annotations

import numpy as np

from tirtrack.evaluation.overlap import center_error, norm_center_error, overlap
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, no_size_or_any_nan
from tirtrack.evaluation.protocols.otb_core import (
    HALF,
    OP50,
    norm_precision_plot,
    precision_plot,
    success_plot,
)

_MISS = np.nan  # in every plot

PROTOCOL = OnePass(
    "lasot",
    plots=(
        success_plot(Measure(overlap, if_absent=_MISS), (OP50, HALF)),
        precision_plot(Measure(center_error, if_absent=_MISS)),
        norm_precision_plot(Measure(norm_center_error, if_absent=_MISS)),
    ),
    absent_rule="as a miss in every plot, or as a precision hit if only its box is invalid",
    repairs=no_size_or_any_nan,
    drops_empty=True,
    needs=("absent",),
    by_flags=True,
)
