"""LSOTB-TIR without ``cat_D_001``, which the first public release lacked.

The published figures of CMD and of its baselines are averages over these 119 sequences.
"""

from __future__ import annotations

from tirtrack.evaluation.protocols.otb_core import OtbProtocol

PROTOCOL = OtbProtocol("lsotb-tir-119", left_out=frozenset({"cat_D_001"}))
