"""LaSOT by the analysis of pytracking: frames without a visible target are misses of every plot."""

from __future__ import annotations

import numpy as np

from tirtrack.evaluation.protocols.pytracking import pytracking

PROTOCOL = pytracking("lasot-pytracking", norm_if_absent=np.inf, needs_absent=True)
