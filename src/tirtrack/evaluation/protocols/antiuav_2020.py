"""Anti-UAV of 2020, first evaluator: a frame without a target counts 0 whatever the result says.

The evaluator compares a list of one number with 0, which never holds.
"""

from __future__ import annotations

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.evaluation.protocols.antiuav import (
    STATE_ACCURACY,
    hits,
    mean_state_accuracy,
    without_target,
)
from tirtrack.evaluation.protocols.per_frame import PerFrame


def overlap_or_nothing(
    boxes: np.ndarray, annotation: np.ndarray, facts: FrameFacts
) -> dict[str, np.ndarray]:
    """The overlap of frames with a target, 0 for those without."""
    absent = without_target(annotation, facts)
    return {"state accuracy": np.where(absent, 0.0, hits(boxes, annotation))}


PROTOCOL = PerFrame(
    "antiuav-2020",
    own_scores=(STATE_ACCURACY,),
    measure=overlap_or_nothing,
    summary=mean_state_accuracy,
    absent_rule="as wrong",
    by_flags=True,
)
