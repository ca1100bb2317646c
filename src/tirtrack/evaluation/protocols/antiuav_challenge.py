"""The Anti-UAV challenge from 2023 on: overlap, less a penalty for targets that were given up.

``acc = mean_t(IoU_t or p_t) - 0.2 (mean_{t with target} p_t)^0.3``, with ``p_t`` = 1 where the
result has no box: the formula of the challenge's page; no code of it was public.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.evaluation.protocols.antiuav import hits, no_box, without_target
from tirtrack.evaluation.protocols.base import ScoreDescription, SequenceScores
from tirtrack.evaluation.protocols.per_frame import PerFrame

_PENALTY, _POWER = 0.2, 0.3
ACCURACY = ScoreDescription(id="challenge_accuracy", title="challenge accuracy", short="acc")


def frame_terms(
    boxes: np.ndarray, annotation: np.ndarray, facts: FrameFacts
) -> dict[str, np.ndarray]:
    """What each frame adds, and for each frame with a target whether the result has no box."""
    absent = without_target(annotation, facts)
    given_up = no_box(boxes)
    return {
        "gained": np.where(absent, given_up, hits(boxes, annotation)),
        "given up": given_up[~absent],
    }


def accuracy(sequences: Sequence[SequenceScores]) -> dict[str, float]:
    """The mean over sequences."""
    return {ACCURACY.id: float(np.mean([_of_one(one) for one in sequences]))}


def _of_one(sequence: SequenceScores) -> float:
    given_up = sequence.measures["given up"]
    penalty = _PENALTY * given_up.mean() ** _POWER if len(given_up) else 0.0
    return float(sequence.measures["gained"].mean() - penalty)


PROTOCOL = PerFrame(
    "antiuav-challenge",
    own_scores=(ACCURACY,),
    measure=frame_terms,
    summary=accuracy,
    absent_rule="as right if the result has no box there",
    by_flags=True,
)
