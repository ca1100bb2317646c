"""LSOTB-TIR without ``cat_D_001``, which the first public release lacked.

The published figures of CMD and of its baselines are averages over these 119 sequences.
"""

from __future__ import annotations

from tirtrack.evaluation.protocols.otb_core import (
    NORM_PRECISION_PLOT,
    PRECISION_PLOT,
    SUCCESS_PLOT,
    otb_core,
)

PROTOCOL = otb_core(
    "lsotb-tir-119",
    (SUCCESS_PLOT, PRECISION_PLOT, NORM_PRECISION_PLOT),
    without=frozenset({"cat_D_001"}),
)
