"""LasHeR, testing set: precision, normalised precision at 0.20 and success.

Boxes of result and annotation are rounded to whole pixels, halves to even.
"""

from __future__ import annotations

from functools import partial

from tirtrack.evaluation.overlap import center_error, overlap, padded_norm_center_error
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, no_size
from tirtrack.evaluation.protocols.otb_core import (
    ABSENT_RULE,
    norm_precision_plot,
    precision_plot,
    success_plot,
)

PROTOCOL = OnePass(
    "lasher",
    plots=(
        success_plot(Measure(overlap)),
        precision_plot(Measure(center_error)),
        norm_precision_plot(Measure(partial(padded_norm_center_error, padding=1e-8))),
    ),
    absent_rule=ABSENT_RULE,
    repairs=no_size,
    rounds=True,
    as_stored=True,
    rounds_annotation=True,
)
