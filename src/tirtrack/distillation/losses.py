"""Formulas between numbers and what they should be; no networks, no batches, no recipes.

Every function is one line of docs/method.md and keeps what it can keep apart: a value a cell, a
sample or an image, so that the caller says which of them count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tirtrack.boxes import xywh_to_xyxy

HINGE_THRESHOLD = 0.05  # a label below it is background, and may be undershot
_SMALLEST_NORM = 1e-8

# --- means ---------------------------------------------------------------------------------------


def masked_mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean over a mask; 0, with a gradient of 0, where it is empty."""
    return values[where].sum() / where.sum().clamp(min=1)


def balanced_mean(a: Tensor, where_a: Tensor, b: Tensor, where_b: Tensor) -> Tensor:
    """Half the mean of one over its mask, half that of the other."""
    return 0.5 * masked_mean(a, where_a) + 0.5 * masked_mean(b, where_b)


# --- score maps ----------------------------------------------------------------------------------


def hinge_errors(scores: Tensor, label: Tensor, threshold: float = HINGE_THRESHOLD) -> Tensor:
    """Squared error a cell (LBHinge): where the label is below the threshold a score may be
    negative at no cost and shall not be above 0, elsewhere it shall be the label.
    """
    is_background = label < threshold
    wanted = torch.where(is_background, torch.zeros_like(label), label)
    given = torch.where(is_background, scores.clamp(min=0), scores)
    return (given - wanted).square()


def grid_cross_entropy(scores: Tensor, density: Tensor) -> Tensor:
    """``[...]`` of maps ``[...,n,n]``: the KL divergence of ``softmax(scores)`` from a density,
    but for the density's own entropy.
    """
    return scores.flatten(-2).logsumexp(-1) - (scores * density).flatten(-2).sum(-1)


def divergence(wanted: Tensor, given: Tensor) -> Tensor:
    """``[...]`` of logits ``[...,n]``: KL(softmax(wanted) || softmax(given)); 0 for equal ones."""
    log_p, log_q = wanted.log_softmax(-1), given.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def binary_divergence(wanted: Tensor, given: Tensor) -> Tensor:
    """A value a cell: KL between the two-sided distributions of two logits."""
    p = wanted.sigmoid()
    return p * (F.logsigmoid(wanted) - F.logsigmoid(given)) + (1 - p) * (
        F.logsigmoid(-wanted) - F.logsigmoid(-given)
    )


# --- energies of proposals -----------------------------------------------------------------------


def proposal_divergence(energies: Tensor, drawn: Tensor, wanted: Tensor) -> Tensor:
    """``[...]`` of ``[...,P]``: KL from the wanted density to exp(energy), by importance sampling
    and but for an entropy; it may be negative.

    Args:
        energies: of the proposals.
        drawn: density with which each was drawn.
        wanted: density that it should have.
    """
    normaliser = (energies - drawn.log()).logsumexp(-1) - math.log(energies.shape[-1])
    return normaliser - (energies * wanted / drawn).mean(-1)


def box_likelihood(energies: Tensor, drawn: Tensor) -> Tensor:
    """``[...]`` of ``[...,P]``: negative log likelihood of the first proposal, which is the box
    itself; the others, with the densities of their draw, normalise.
    """
    others = energies[..., 1:] - drawn[..., 1:].log()
    normaliser = others.logsumexp(-1) - math.log(others.shape[-1])
    return normaliser - energies[..., 0]


# --- boxes ---------------------------------------------------------------------------------------


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """IoU of ``[...,4]`` xywh, all sides from the corners, so that it is exactly 1 for equal boxes
    (``x + w - x`` is not always ``w``).
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
    """Left, top, right, bottom of ``[M,S,n,n,4]`` boxes, from their cells ``[2,n,n]``."""
    corners = xywh_to_xyxy(dense)
    cells = centres.movedim(0, -1).to(dense.dtype)  # [n,n,2]
    return torch.cat([cells - corners[..., :2], corners[..., 2:] - cells], dim=-1)


# --- target models -------------------------------------------------------------------------------


def relative_distance(own: Sequence[Tensor], wanted: Sequence[Tensor], where: Tensor) -> Tensor:
    """Mean of ``||own - wanted||^2 / ||wanted||^2`` over two lists of ``[...,S,C,H,W]`` and their
    samples.

    Args:
        own: of the student.
        wanted: of the teacher; where one is zero it is left out.
        where: ``[S]`` bool; the samples that count.
    """
    axes = (-3, -2, -1)
    energy = torch.stack([theirs.square().sum(dim=axes) for theirs in wanted])
    distance = torch.stack(
        [(ours - theirs).square().sum(dim=axes) for ours, theirs in zip(own, wanted, strict=True)]
    )
    return masked_mean(distance / energy.clamp(min=_SMALLEST_NORM), (energy > 0) & where)


def cosine_distance(own: Tensor, wanted: Tensor) -> Tensor:
    """``[S]`` of vectors ``[S,C,1,1]``: 1 - cosine; exactly 0 for equal ones."""
    a, b = (F.normalize(vector.flatten(1), dim=1) for vector in (own, wanted))
    return 0.5 * (a - b).square().sum(dim=1)
