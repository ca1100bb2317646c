"""RGBT210: precision and success against one annotation, the first row given."""

from __future__ import annotations

from tirtrack.evaluation.overlap import center_error, overlap
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, every_row
from tirtrack.evaluation.protocols.otb_core import precision_plot, success_plot

PROTOCOL = OnePass(
    "rgbt210",
    plots=(
        success_plot(Measure(overlap, every_row)),
        precision_plot(Measure(center_error, every_row)),
    ),
    rounds=True,
    as_stored=True,
)
