"""Activations of score maps; those of filter optimisers are returned with their derivatives.

``slope`` is a map of its own, the slope of the negative side: 1 leaves the scores unchanged
(target), 0 cuts them off below zero (background), so that a hinge loss is one subtraction away.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def leaky(scores: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Scores, multiplied by ``slope`` where negative; and the derivative of this activation.

    At zero the derivative is the mean of both sides, as in the published code.
    """
    falling, rising = (1 - slope) / 2, (1 + slope) / 2
    return falling * scores.abs() + rising * scores, falling * scores.sign() + rising


def bent(scores: Tensor, slope: Tensor, *, bend: float) -> tuple[Tensor, Tensor]:
    """:func:`leaky` with a smooth bend of half-width about ``2 * bend``; and the derivative."""
    falling, rising = (1 - slope) / 2, (1 + slope) / 2
    root = (scores.square() + 4 * bend**2).sqrt()
    return falling * (root - 2 * bend) + rising * scores, falling * scores / root + rising


def hinge(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Scores where the mask is 1, their positive part where it is 0; and the derivative, at zero
    that of the negative side.
    """
    return torch.where(scores > 0, scores, mask * scores), mask + (1 - mask) * (scores > 0)


def mlu(scores: Tensor, lowest: float) -> Tensor:
    """Scores with negative values bounded: they stay above ``-lowest``. This is the activation of
    ATOM's responses.
    """
    return F.elu(F.leaky_relu(scores, 1 / lowest), lowest)


def log_normaliser(scores: Tensor, dim: int, *, constant: float | None = None) -> Tensor:
    """Logarithm of the sum of exponentials along ``dim``, which is kept with length 1.

    Args:
        scores: scores of any shape.
        dim: axis of the sum.
        constant: one further logit in the sum.
    """
    log_sum = scores.logsumexp(dim, keepdim=True)
    return log_sum if constant is None else log_sum.logaddexp(log_sum.new_tensor(constant))


def softmax(scores: Tensor, dim: int, *, constant: float | None = None) -> Tensor:
    """Probabilities along ``dim``; with a ``constant`` they sum to less than 1."""
    return (scores - log_normaliser(scores, dim, constant=constant)).exp()
