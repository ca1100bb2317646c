"""The quality of a proposal: how likely it is an object, by what is known of its way.

The quality is the probability that the box overlaps an object by at least half (IoU >= 0.5). It
rises with the score, ``p = 1 / (1 + exp(-(slope * logit(score) + offset)))`` (Platt 1999), with
numbers for each way and for boxes of both modalities, of TIR alone and of RGB alone. They were
fitted on the synthetic world, as no other data tells where every object is
(``python -m benchmarks.proposal_quality --world 301 --count 14 --fit --detector yolox_nano.onnx``):
on other footage they rank, and their level may be off. A quality is computed where it is asked for
and kept nowhere, so numbers that are fitted anew leave kept boxes as they are.
"""

from __future__ import annotations

import math

BOTH, TIR, RGB = "both", "tir", "rgb"
MAX_LOGIT = 12.0

# way: found in: (slope, offset)
CALIBRATION: dict[str, dict[str, tuple[float, float]]] = {
    "centre": dict.fromkeys((BOTH, TIR, RGB), (0.0, -3.22)),
    "random": dict.fromkeys((BOTH, TIR, RGB), (0.0, -4.42)),
    "saliency": {BOTH: (0.10, -0.32), TIR: (1.77, -4.84), RGB: (0.25, -3.09)},
    "regions": {BOTH: (0.53, -1.64), TIR: (1.40, -4.78), RGB: (1.24, -4.04)},
    "detector": {BOTH: (0.86, 0.32), TIR: (0.66, -0.66), RGB: (0.48, 0.32)},
}


def quality(way: str, found_in: str, score: float) -> float:
    """The probability that a proposed box is an object, 0 to 1.

    Args:
        way: name of the proposer.
        found_in: modality in which the box was found, ``both``, ``tir`` or ``rgb``.
        score: the proposer's own score, 0 to 1.

    Raises:
        ValueError: no way of this name was calibrated.

    >>> quality("saliency", "both", 0.9) > quality("saliency", "both", 0.4)
    True
    """
    if way not in CALIBRATION:
        raise ValueError(f'the way "{way}" has no calibration, only {", ".join(CALIBRATION)}')
    slope, offset = CALIBRATION[way][found_in]
    return 1.0 / (1.0 + math.exp(-(slope * logit(score) + offset)))


def logit(score: float) -> float:
    """The logarithm of the odds of a score, -12 to 12.

    >>> logit(0.5), logit(1.0), logit(0.0)
    (0.0, 12.0, -12.0)
    """
    if not 0 < score < 1:
        return MAX_LOGIT if score >= 1 else -MAX_LOGIT
    return min(max(math.log(score / (1 - score)), -MAX_LOGIT), MAX_LOGIT)
