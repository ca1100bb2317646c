"""PTB-TIR, TRE: 20 runs a sequence, from frames spread over it."""

from __future__ import annotations

from tirtrack.evaluation.protocols import ptb_tir
from tirtrack.evaluation.protocols.otb_starts import from_starts, tre_starts

PROTOCOL = from_starts(ptb_tir.PROTOCOL, "ptb-tir-tre", tre_starts)
