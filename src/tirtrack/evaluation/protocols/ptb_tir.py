"""PTB-TIR: 60 sequences, one pass, without normalised precision."""

from __future__ import annotations

from tirtrack.evaluation.protocols.otb_core import OtbProtocol

PROTOCOL = OtbProtocol("ptb-tir", norm_precision=False)
