"""OTB, TRE: 20 runs a sequence, from frames spread over it."""

from __future__ import annotations

from tirtrack.evaluation.protocols import otb
from tirtrack.evaluation.protocols.otb_starts import from_starts, tre_starts

PROTOCOL = from_starts(otb.PROTOCOL, "otb-tre", tre_starts)
