"""Desired score maps around a box: distances, Gaussian labels, label densities.

Positions are in score cells and (y, x) order, as in the published formulas.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def centres_yx(
    boxes_patch: Tensor, kernel_hw: tuple[int, int], *, feat_stride: float = 16
) -> Tensor:
    """Centres of boxes in cells of the score map of a filter with this kernel.

    Args:
        boxes_patch: ``[...,4]`` xywh, patch pixels.
        kernel_hw: sides of the filter; an odd side shifts the cells by half a cell.
        feat_stride: patch pixels per cell.

    Returns:
        ``[...,2]``, (y, x).
    """
    centres_xy = boxes_patch[..., :2] + boxes_patch[..., 2:] / 2
    odd = boxes_patch.new_tensor([0.5 * (k % 2) for k in kernel_hw])
    return centres_xy.flip(-1) / feat_stride - odd


def offsets_yx(centres: Tensor, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Offsets of the cells from a centre ``[...,2]``: ``[...,H',1]`` and ``[...,1,W']``, cells."""
    rows, columns = (torch.arange(n, dtype=centres.dtype, device=centres.device) for n in size_hw)
    y = rows - centres[..., :1]
    x = columns - centres[..., 1:]
    return y[..., :, None], x[..., None, :]


def radial(
    tables: Tensor, centres: Tensor, size_hw: tuple[int, int], *, displacement: float
) -> Tensor:
    """Functions of the distance from a centre, each given by a table and linear between its knots.

    Knot k is at the distance ``k * displacement``; beyond the last knot its value is constant.

    Args:
        tables: ``[B,K]``, K functions at B knots.
        centres: ``[...,2]`` (y, x), cells.
        size_hw: rows and columns of the score map.
        displacement: distance between knots, cells.

    Returns:
        ``[...,K,H',W']``.

    Raises:
        ValueError: fewer than two knots.
    """
    knots = tables.shape[0]
    if knots < 2:
        raise ValueError(f"a table needs at least 2 distances, got {knots}")
    y, x = offsets_yx(centres, size_hw)
    shape = (*centres.shape[:-1], *size_hw)
    offsets = torch.stack([y.expand(shape), x.expand(shape)])
    distance: Tensor = torch.linalg.vector_norm(offsets, dim=0)  # slope 0 at distance 0
    place = (distance / displacement).clamp(max=knots - 1)
    lower = place.detach().floor().clamp(max=knots - 2).long()
    share = (place - lower)[..., None]
    values = tables[lower] * (1 - share) + tables[lower + 1] * share  # [...,H',W',K]
    return values.movedim(-1, -3)


def distance_map(
    centres: Tensor, size_hw: tuple[int, int], *, bins: int, displacement: float
) -> Tensor:
    """The distance bin of each cell, shared linearly between two neighbouring bins.

    Args:
        centres: ``[...,2]`` (y, x), cells.
        size_hw: rows and columns of the score map.
        bins: number of bins; the last one includes everything beyond it.
        displacement: distance between bins, cells.

    Returns:
        ``[...,bins,H',W']``; sums to one over the bins.
    """
    one_each = torch.eye(bins, dtype=centres.dtype, device=centres.device)
    return radial(one_each, centres, size_hw, displacement=displacement)


def gaussian_label(centres: Tensor, size_hw: tuple[int, int], *, sigma: float) -> Tensor:
    """Gaussian of height 1 around centres ``[...,2]`` (y, x): ``[...,H',W']``; sigma in cells."""
    y, x = offsets_yx(centres, size_hw)
    return (-y.square() / (2 * sigma**2)).exp() * (-x.square() / (2 * sigma**2)).exp()


def label_density(
    centres: Tensor,
    size_hw: tuple[int, int],
    *,
    sigma: float,
    normalize: bool = False,
    uni_weight: float = 0.0,
    shrink: float = 0.0,
    threshold: float = 0.0,
) -> Tensor:
    """Desired probability of each cell: a Gaussian density, optionally mixed with a uniform one.

    Args:
        centres: ``[...,2]`` (y, x), cells.
        size_hw: rows and columns of the score map.
        sigma: sigma of the Gaussian, cells; 0 puts everything on the nearest cell.
        normalize: make the Gaussian sum to one over the map.
        uni_weight: share of the uniform density.
        shrink: share of the whole density that is removed.
        threshold: densities up to this value become zero, before all other steps.

    Returns:
        ``[...,H',W']``.
    """
    y, x = offsets_yx(centres, size_hw)
    if sigma == 0:
        density = _nearest(y, -2) * _nearest(x, -1)
    else:
        density = gaussian_label(centres, size_hw, sigma=sigma) / (2 * math.pi * sigma**2)
    density = torch.where(density > threshold, density, torch.zeros_like(density))
    if normalize:
        density = density / (density.sum(dim=(-2, -1), keepdim=True) + 1e-8)
    uniform = uni_weight / (size_hw[0] * size_hw[1])
    return (1 - shrink) * ((1 - uni_weight) * density + uniform)


def _nearest(offsets: Tensor, dim: int) -> Tensor:
    nearest = offsets.abs().argmin(dim, keepdim=True)
    return torch.zeros_like(offsets).scatter(dim, nearest, 1.0)
