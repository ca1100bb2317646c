"""OTB-2015: 100 sequences, one pass, by the core that PTB-TIR has too."""

from __future__ import annotations

from tirtrack.evaluation.protocols.otb_core import PRECISION_PLOT, SUCCESS_PLOT, otb_core

PROTOCOL = otb_core("otb", (SUCCESS_PLOT, PRECISION_PLOT))
