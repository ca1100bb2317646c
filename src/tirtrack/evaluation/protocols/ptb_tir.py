"""PTB-TIR: 60 sequences, one pass, without normalised precision."""

from __future__ import annotations

from tirtrack.evaluation.protocols.otb_core import PRECISION_PLOT, SUCCESS_PLOT, otb_core

PROTOCOL = otb_core("ptb-tir", (SUCCESS_PLOT, PRECISION_PLOT))
