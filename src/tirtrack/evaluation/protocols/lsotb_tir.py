"""LSOTB-TIR, toolkit of 2020: 120 sequences, one pass."""

from __future__ import annotations

from tirtrack.evaluation.protocols.otb_core import OtbProtocol

PROTOCOL = OtbProtocol("lsotb-tir")
