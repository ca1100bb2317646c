"""One pass by pysot: nothing is repaired and the first row is that of the tracker.

Later papers on TIR tracking score LSOTB-TIR and PTB-TIR with it; precision differs from that of the
toolkits of these benchmarks by up to about 0.001.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from tirtrack.evaluation.overlap import (
    center_error,
    continuous_overlap,
    padded_norm_center_error,
    positive_centers,
)
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass
from tirtrack.evaluation.protocols.otb_core import (
    HALF,
    OP50,
    norm_precision_plot,
    precision_plot,
    success_plot,
)


def positive_norm_centers(annotation: np.ndarray) -> np.ndarray:
    """``[T]`` bool: rows whose centre, in sizes of the box, has two positive coordinates."""
    with np.errstate(invalid="ignore", divide="ignore"):
        centers = annotation[:, :2] + (annotation[:, 2:] - 1) / 2
        return np.asarray((centers / (annotation[:, 2:] + 1e-16) > 0).all(axis=1))


PROTOCOL = OnePass(
    "pysot-ope",
    plots=(
        success_plot(Measure(continuous_overlap, if_absent=np.nan), (OP50, HALF)),
        precision_plot(Measure(center_error, positive_centers, if_absent=np.nan)),
        norm_precision_plot(
            Measure(
                partial(padded_norm_center_error, padding=1e-16),
                positive_norm_centers,
                if_absent=np.nan,
            )
        ),
    ),
    absent_rule="as a miss in the success plot, and as a hit in the precision plots if its centre "
    "has a coordinate of zero or less",
    first_row_given=False,
)
