"""GTOT against the infrared annotation alone, for trackers that see nothing else."""

from __future__ import annotations

from tirtrack.evaluation.overlap import geometric_center_error, overlap
from tirtrack.evaluation.protocols.gtot import plots
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, every_row

PROTOCOL = OnePass(
    "gtot-tir",
    plots=plots(Measure(overlap, every_row), Measure(geometric_center_error, every_row)),
    first_row_given=False,
    rounds=True,
    as_stored=True,
    pools_frames=True,
)
