"""OTB, and data of one's own, by the analysis of pytracking."""

from __future__ import annotations

from tirtrack.evaluation.protocols.pytracking import pytracking

PROTOCOL = pytracking("otb-pytracking")
