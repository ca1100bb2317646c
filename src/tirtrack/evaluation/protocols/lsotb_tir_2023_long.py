"""LSOTB-TIR of 2023, long sequences: 11 sequences, 37,930 frames, one pass.

Absent frames are ``0,0,0,0``: misses of the success plot and hits of the precision plots.
"""

from __future__ import annotations

from tirtrack.evaluation.protocols.otb_core import (
    NORM_PRECISION_PLOT,
    PRECISION_PLOT,
    SUCCESS_PLOT,
    otb_core,
)

_NAMES = """
    aircraft_car badminton car01 car02 car03 cooled_person fighting_deer fox helicopter
    road_person soccer
"""
SEQUENCES = frozenset(_NAMES.split())

PROTOCOL = otb_core(
    "lsotb-tir-2023-long", (SUCCESS_PLOT, PRECISION_PLOT, NORM_PRECISION_PLOT), only=SEQUENCES
)
