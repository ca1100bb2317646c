"""RGBT234 against the infrared annotation alone, for trackers that see nothing else."""

from __future__ import annotations

from tirtrack.evaluation.overlap import center_error, overlap
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, every_row
from tirtrack.evaluation.protocols.otb_core import precision_plot, success_plot

PROTOCOL = OnePass(
    "rgbt234-tir",
    plots=(
        success_plot(Measure(overlap, every_row)),
        precision_plot(Measure(center_error, every_row)),
    ),
    first_row_given=False,
    rounds=True,
    as_stored=True,
)
