"""PTB-TIR, SRE: 12 runs a sequence, from shifted and scaled first boxes."""

from __future__ import annotations

from tirtrack.evaluation.protocols import ptb_tir
from tirtrack.evaluation.protocols.otb_starts import from_starts, sre_starts

PROTOCOL = from_starts(ptb_tir.PROTOCOL, "ptb-tir-sre", sre_starts)
