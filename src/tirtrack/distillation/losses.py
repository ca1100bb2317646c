"""The equations of docs/method.md, one per function; no networks, no batches, no recipes.

Most return one value per cell, per image or per sample, so that the caller decides which of them
count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tirtrack.boxes import xywh_to_xyxy

HINGE_THRESHOLD = 0.05  # labels below it are background, where scores may be negative
_SMALLEST_NORM = 1e-8

# --- means ---------------------------------------------------------------------------------------


def masked_mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean over a mask; 0, with zero gradient, if the mask is empty."""
    return values[where].sum() / where.sum().clamp(min=1)


def balanced_mean(a: Tensor, where_a: Tensor, b: Tensor, where_b: Tensor) -> Tensor:
    """Half the mean of ``a`` over its mask, plus half the mean of ``b`` over its own."""
    return 0.5 * masked_mean(a, where_a) + 0.5 * masked_mean(b, where_b)


# --- score maps ----------------------------------------------------------------------------------


def hinge_errors(scores: Tensor, label: Tensor, threshold: float = HINGE_THRESHOLD) -> Tensor:
    """Squared error per cell (LBHinge). Where the label is below the threshold, the desired score
    is 0 and negative scores cost nothing; elsewhere the desired score is the label.
    """
    is_background = label < threshold
    wanted = torch.where(is_background, torch.zeros_like(label), label)
    given = torch.where(is_background, scores.clamp(min=0), scores)
    return (given - wanted).square()


def grid_cross_entropy(scores: Tensor, density: Tensor) -> Tensor:
    """Cross entropy of a density and ``softmax(scores)``, maps ``[...,n,n]`` to ``[...]``: their
    KL divergence plus the entropy of the density, which is constant.
    """
    return scores.flatten(-2).logsumexp(-1) - (scores * density).flatten(-2).sum(-1)


def divergence(wanted: Tensor, given: Tensor) -> Tensor:
    """``KL(softmax(wanted) || softmax(given))``, logits ``[...,n]`` to ``[...]``; 0 if equal."""
    log_p, log_q = wanted.log_softmax(-1), given.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def binary_divergence(wanted: Tensor, given: Tensor) -> Tensor:
    """``KL(wanted || given)`` per cell, of the Bernoulli distributions with these logits."""
    p = wanted.sigmoid()
    return p * (F.logsigmoid(wanted) - F.logsigmoid(given)) + (1 - p) * (
        F.logsigmoid(-wanted) - F.logsigmoid(-given)
    )


# --- energies of proposals -----------------------------------------------------------------------


def proposal_divergence(energies: Tensor, drawn: Tensor, wanted: Tensor) -> Tensor:
    """``KL(wanted || exp(energy))`` by importance sampling, ``[...,P]`` to ``[...]``. The
    entropy of the wanted density is left out, so the value may be negative.

    Args:
        energies: energies of the proposals.
        drawn: density with which each proposal was drawn.
        wanted: density that each proposal should have.
    """
    normaliser = (energies - drawn.log()).logsumexp(-1) - math.log(energies.shape[-1])
    return normaliser - (energies * wanted / drawn).mean(-1)


def box_likelihood(energies: Tensor, drawn: Tensor) -> Tensor:
    """Negative log likelihood of the first proposal, which is the box itself: ``[...,P]`` to
    ``[...]``. The other proposals, weighted by the densities of their draw, give the normaliser.
    """
    others = energies[..., 1:] - drawn[..., 1:].log()
    normaliser = others.logsumexp(-1) - math.log(others.shape[-1])
    return normaliser - energies[..., 0]


# --- boxes ---------------------------------------------------------------------------------------


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes ``[...,4]`` xywh. Areas are computed from the corners, so that it is exactly 1
    for equal boxes (``x + w - x`` is not always ``w``).
    """
    a_xyxy, b_xyxy = xywh_to_xyxy(a), xywh_to_xyxy(b)
    left_top = torch.maximum(a_xyxy[..., :2], b_xyxy[..., :2])
    right_bottom = torch.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    inter = _area((right_bottom - left_top).clamp(min=0))
    union = _area(a_xyxy[..., 2:] - a_xyxy[..., :2]) + _area(b_xyxy[..., 2:] - b_xyxy[..., :2])
    return inter / (union - inter).clamp(min=1e-12)


def _area(size_wh: Tensor) -> Tensor:
    return size_wh[..., 0] * size_wh[..., 1]


def ltrb(dense: Tensor, centres: Tensor) -> Tensor:
    """Distances from cells ``[2,n,n]`` to left, top, right, bottom of boxes ``[M,S,n,n,4]``."""
    corners = xywh_to_xyxy(dense)
    cells = centres.movedim(0, -1).to(dense.dtype)  # [n,n,2]
    return torch.cat([cells - corners[..., :2], corners[..., 2:] - cells], dim=-1)


# --- target models -------------------------------------------------------------------------------


def relative_distance(own: Sequence[Tensor], wanted: Sequence[Tensor], where: Tensor) -> Tensor:
    """Mean of ``||own - wanted||^2 / ||wanted||^2`` over two lists of ``[...,S,C,H,W]`` and over
    samples.

    Args:
        own: the student's tensors.
        wanted: the teacher's tensors; those that are zero are left out.
        where: ``[S]`` bool; samples that count.
    """
    axes = (-3, -2, -1)
    energy = torch.stack([theirs.square().sum(dim=axes) for theirs in wanted])
    distance = torch.stack(
        [(ours - theirs).square().sum(dim=axes) for ours, theirs in zip(own, wanted, strict=True)]
    )
    return masked_mean(distance / energy.clamp(min=_SMALLEST_NORM), (energy > 0) & where)


def cosine_distance(own: Tensor, wanted: Tensor) -> Tensor:
    """1 - cosine of vectors ``[S,C,1,1]``: ``[S]``; exactly 0 for equal vectors."""
    a, b = (F.normalize(vector.flatten(1), dim=1) for vector in (own, wanted))
    return 0.5 * (a - b).square().sum(dim=1)
