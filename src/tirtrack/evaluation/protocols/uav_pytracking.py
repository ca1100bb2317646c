"""UAV123 by the analysis of pytracking: frames without a valid annotation are precision hits."""

from __future__ import annotations

from tirtrack.evaluation.protocols.pytracking import pytracking

PROTOCOL = pytracking("uav-pytracking", if_invalid=-1.0)
