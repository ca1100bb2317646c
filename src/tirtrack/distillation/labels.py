"""Desired score maps for a box, which may be a pseudo-box or an annotation.

Cells of Siamese networks are target, background or ignored (:func:`cell_labels`); score maps of
the DiMP family are compared with a Gaussian (:func:`gaussian_label`) or, in PrDiMP, with a density
(:func:`label_density`). Training proposals for box estimators: ``proposal_draws``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tirtrack.networks import filter_labels

POSITIVE, IGNORED, NEGATIVE = 1, -1, 0
INNER, OUTER = 0.25, 0.5  # semi-axes of the two ellipses, as fractions of the box's sides
MIN_SEMI_AXIS = 8.0  # patch pixels: half a cell, so that small targets keep a positive cell
LEAST_MASS = 0.01  # with less of its mass on the map, a density is replaced by a uniform one


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
    size_wh = boxes_patch[..., 2:].double()
    offset_xy = centres - (boxes_patch[..., :2].double() + size_wh / 2)[..., None, None]

    def ellipse(part: float) -> Tensor:
        semi_axes = (part * size_wh).clamp(min=MIN_SEMI_AXIS)[..., None, None]
        return (offset_xy / semi_axes).square().sum(dim=-3)  # [M,S,n,n]

    nearest = offset_xy.square().sum(dim=-3).flatten(-2).argmin(dim=-1, keepdim=True)
    labels = torch.full_like(ellipse(INNER), IGNORED, dtype=torch.int8)
    labels[ellipse(OUTER) > 1] = NEGATIVE
    labels[ellipse(INNER) <= 1] = POSITIVE
    labels.flatten(-2).scatter_(-1, nearest, POSITIVE)
    labels[:, ~present] = NEGATIVE
    return labels


def symmetric_centres(
    cells: int, stride: int, patch_side: int, *, device: torch.device | None = None
) -> Tensor:
    """Centres of the cells of a filter's score map: ``[2,n,n]`` float64 (x, y), patch pixels.

    The map of a filter of even side has one cell more per side than the features. The centre of
    the map is always the centre of the patch.
    """
    steps = torch.arange(cells, dtype=torch.float64, device=device) - (cells - 1) / 2
    y, x = torch.meshgrid(*[steps * stride + patch_side / 2] * 2, indexing="ij")
    return torch.stack([x, y])


def gaussian_label(
    boxes_patch: Tensor, cells: int, *, stride: int, patch_side: int, sigma_cells: float
) -> Tensor:
    """Gaussian labels ``[M,S,n,n]`` float64, with the value 1 at the centres of the boxes.

    Args:
        boxes_patch: ``[M,S,4]`` xywh boxes of the target, patch pixels.
        cells: cells per side, n; centres as in :func:`symmetric_centres`.
        stride: patch pixels per cell.
        patch_side: side of the test patch, pixels.
        sigma_cells: sigma of the Gaussian, cells.
    """
    middle_xy = boxes_patch[..., :2].double() + boxes_patch[..., 2:].double() / 2
    centres_yx = (middle_xy.flip(-1) - patch_side / 2) / stride + (cells - 1) / 2
    return filter_labels.gaussian_label(centres_yx, (cells, cells), sigma=sigma_cells)


def label_density(label: Tensor, sigma_cells: float) -> Tensor:
    """A Gaussian label ``[...,n,n]`` as a density over the cells, with sum 1; uniform if hardly
    any of its mass lies on the map.
    """
    density = label / (2 * math.pi * sigma_cells**2)
    mass = density.sum(dim=(-2, -1), keepdim=True)
    uniform = torch.full_like(density, 1 / (density.shape[-1] * density.shape[-2]))
    return torch.where(mass > LEAST_MASS, density / mass.clamp(min=LEAST_MASS), uniform)
