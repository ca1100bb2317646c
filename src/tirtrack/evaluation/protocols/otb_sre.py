"""OTB, SRE: 12 runs a sequence, from shifted and scaled first boxes."""

from __future__ import annotations

from tirtrack.evaluation.protocols import otb
from tirtrack.evaluation.protocols.otb_starts import from_starts, sre_starts

PROTOCOL = from_starts(otb.PROTOCOL, "otb-sre", sre_starts)
