"""The equations of docs/method.md, one per function: labels and losses of plain tensors.

Most losses return one value per cell, per image or per sample, so that the caller decides which of
them count. Boxes may be pseudo-boxes or annotations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tirtrack.boxes import xywh_to_xyxy

HINGE_THRESHOLD = 0.05  # labels below it are background, where scores may be negative
POSITIVE, IGNORED, NEGATIVE = 1, -1, 0
INNER, OUTER = 0.25, 0.5  # semi-axes of the two ellipses, as fractions of the box's sides
MIN_SEMI_AXIS = 8.0  # patch pixels: half a cell, so that small targets keep a positive cell
LEAST_MASS = 0.01  # with less of its mass on the map, a density is replaced by a uniform one
LEAST_OVERLAP = 0.7  # from which the radius of a heat map's peak follows
FOCAL_ALPHA, FOCAL_BETA = 2, 4
_SMALLEST_NORM = 1e-8

# --- means ---------------------------------------------------------------------------------------


def masked_mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean over a mask; 0, with zero gradient, if the mask is empty."""
    return values[where].sum() / where.sum().clamp(min=1)


def balanced_mean(a: Tensor, where_a: Tensor, b: Tensor, where_b: Tensor) -> Tensor:
    """Half the mean of ``a`` over its mask, plus half the mean of ``b`` over its own."""
    return 0.5 * masked_mean(a, where_a) + 0.5 * masked_mean(b, where_b)


def per_cell(samples: Tensor, like: Tensor) -> Tensor:
    """``[S]`` bool expanded to ``[M,S,n,n]``."""
    return samples[None, :, None, None].expand_as(like)


def per_image(samples: Tensor, like: Tensor) -> Tensor:
    """``[S]`` bool expanded to ``[M,S]``."""
    return samples[None].expand(like.shape[:2])


# --- labels --------------------------------------------------------------------------------------


def cell_labels(boxes_patch: Tensor, present: Tensor, centres: Tensor) -> Tensor:
    """Label of every cell: target (positive), background (negative) or ignored.

    With E(q) = ((gx-tx)/max(q tw, 8))^2 + ((gy-ty)/max(q th, 8))^2 a cell is positive if
    E(1/4) <= 1 or if it is the nearest cell, else negative if E(1/2) > 1, else ignored.

    Args:
        boxes_patch: ``[M,S,4]`` xywh boxes of the target, patch pixels.
        present: ``[S]`` bool; without the target every cell is negative.
        centres: ``[2,n,n]`` float64 (x, y) centres of the cells, patch pixels.

    Returns:
        ``[M,S,n,n]`` int8: 1, 0, or -1 for ignored.
    """
    inner, outer = (ellipses(boxes_patch, part, centres) for part in (INNER, OUTER))
    offset_xy = _offsets(boxes_patch, centres)
    nearest = offset_xy.square().sum(dim=-3).flatten(-2).argmin(dim=-1, keepdim=True)
    labels = torch.full_like(inner, IGNORED, dtype=torch.int8)
    labels[outer > 1] = NEGATIVE
    labels[inner <= 1] = POSITIVE
    labels.flatten(-2).scatter_(-1, nearest, POSITIVE)
    labels[:, ~present] = NEGATIVE
    return labels


def ellipses(boxes_patch: Tensor, part: float, centres: Tensor) -> Tensor:
    """E(part) of every cell, as in :func:`cell_labels`: at most 1 inside of an ellipse around the
    box's centre.

    Args:
        boxes_patch: ``[...,4]`` xywh boxes, patch pixels.
        part: semi-axes as a fraction of the box's sides.
        centres: ``[2,n,n]`` float64 (x, y) centres of the cells, patch pixels.

    Returns:
        ``[...,n,n]`` float64; NaN for a NaN box.
    """
    semi_axes = (part * boxes_patch[..., 2:].double()).clamp(min=MIN_SEMI_AXIS)[..., None, None]
    return (_offsets(boxes_patch, centres) / semi_axes).square().sum(dim=-3)


def _offsets(boxes_patch: Tensor, centres: Tensor) -> Tensor:
    """``[...,2,n,n]`` (x, y) of the cells from the centres of boxes ``[...,4]``."""
    boxes = boxes_patch.double()
    return centres - (boxes[..., :2] + boxes[..., 2:] / 2)[..., None, None]


def density_label(gaussian: Tensor, sigma_cells: float) -> Tensor:
    """A Gaussian of height 1, ``[...,n,n]``, as a density over the cells, with sum 1; uniform if
    hardly any of its mass lies on the map.
    """
    density = gaussian / (2 * math.pi * sigma_cells**2)
    mass = density.sum(dim=(-2, -1), keepdim=True)
    uniform = torch.full_like(density, 1 / (density.shape[-1] * density.shape[-2]))
    return torch.where(mass > LEAST_MASS, density / mass.clamp(min=LEAST_MASS), uniform)


def heat_map(centres_cells: Tensor, size_wh_cells: Tensor, cells: int) -> Tensor:
    """CenterNet's heat map ``[...,n,n]``: a Gaussian of height 1 at the cell that holds the centre.

    Sigma is ``(2 r + 1) / 6``, and cells farther than r in x or y are 0, where r is
    ``sqrt(o^2 (w + h)^2 + 4 o (1 - o) w h) - o (w + h)`` rounded down, with o = 0.7 and sides
    rounded up: the smallest of the three radii of the published code.

    Args:
        centres_cells: ``[...,2]`` (x, y) of the centres, 0 at the left and top side of the map.
        size_wh_cells: ``[...,2]`` (w, h) of the boxes, cells.
        cells: cells per side, n.
    """
    width, height = size_wh_cells.ceil().unbind(-1)
    sides = LEAST_OVERLAP * (width + height)
    area = LEAST_OVERLAP * (1 - LEAST_OVERLAP) * width * height
    radius = ((sides.square() + 4 * area).sqrt() - sides).floor()[..., None, None]
    steps = torch.arange(cells, dtype=size_wh_cells.dtype, device=size_wh_cells.device)
    x, y = (steps - one[..., None] for one in centres_cells.floor().unbind(-1))
    x, y = x[..., None, :], y[..., :, None]
    peak = (-(x.square() + y.square()) / (2 * ((2 * radius + 1) / 6).square())).exp()
    return peak * ((x.abs() <= radius) & (y.abs() <= radius))


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


def focal_errors(logits: Tensor, label: Tensor) -> Tensor:
    """Penalty-reduced focal loss per cell (CenterNet): ``-(1 - p)^alpha log p`` where the label is
    1, ``-(1 - label)^beta p^alpha log(1 - p)`` elsewhere.
    """
    p = logits.sigmoid()
    found = (1 - p) ** FOCAL_ALPHA * F.softplus(-logits)
    missed = (1 - label) ** FOCAL_BETA * p**FOCAL_ALPHA * F.softplus(logits)
    return torch.where(label == 1, found, missed)


def over_iterates(each: Sequence[Tensor], *, outer: float, inner: float) -> Tensor:
    """Weighted losses of a filter's iterates: ``outer`` times the first and the last, ``inner``
    times the mean of those between.
    """
    middle = torch.stack(list(each[1:-1])).mean() if len(each) > 2 else each[0].new_zeros(())
    return outer * each[0] + inner * middle + outer * each[-1]


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


def iou_errors(energies: Tensor, proposals_patch: Tensor, boxes_patch: Tensor) -> Tensor:
    """Mean squared error of energies ``[M,S,P]`` that should be ``2 IoU - 1`` of the proposals
    ``[M,S,P,4]`` with the boxes ``[M,S,4]``: ``[M,S]``.
    """
    wanted = 2 * overlap(proposals_patch, boxes_patch[:, :, None]) - 1
    return (energies - wanted.to(energies.dtype)).square().mean(dim=-1)


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
