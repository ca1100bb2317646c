"""LSOTB-TIR, toolkit of 2020: 120 sequences, one pass."""

from __future__ import annotations

from tirtrack.evaluation.protocols.otb_core import (
    NORM_PRECISION_PLOT,
    PRECISION_PLOT,
    SUCCESS_PLOT,
    otb_core,
)

PROTOCOL = otb_core("lsotb-tir", (SUCCESS_PLOT, PRECISION_PLOT, NORM_PRECISION_PLOT))
