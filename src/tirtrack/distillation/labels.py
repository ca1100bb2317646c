"""What score maps and energies should be where a box is; the box may be a pseudo-box or a label.

Cells of Siamese networks are target, background or ignored (:func:`cell_labels`); score maps of
the DiMP family are compared with a Gaussian (:func:`gaussian_label`) or, in PrDiMP, with a density
(:func:`label_density`). What a box estimator is taught with stands in ``proposal_draws``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tirtrack.networks import filter_labels

POSITIVE, IGNORED, NEGATIVE = 1, -1, 0
INNER, OUTER = 0.25, 0.5  # semi-axes of the two ellipses, parts of the box's sides
MIN_SEMI_AXIS = 8.0  # patch pixels: half a cell, so that small targets keep a positive
LEAST_MASS = 0.01  # a density with less of it on the map is replaced by the uniform one


def cell_labels(boxes_patch: Tensor, present: Tensor, centres: Tensor) -> Tensor:
    """Which cells shall say target, which background.

    With E(q) = ((gx-tx)/max(q tw, 8))^2 + ((gy-ty)/max(q th, 8))^2 a cell is positive where
    E(1/4) <= 1 and always where it is the nearest one, negative where E(1/2) > 1, else ignored.

    Args:
        boxes_patch: ``[M,S,4]`` xywh.
        present: ``[S]`` bool; without the target every cell is negative (5.2).
        centres: ``[2,n,n]`` float64 (x, y).

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

    The map of a filter of even side has a cell more than its features, and its middle is always
    the middle of the patch.
    """
    steps = torch.arange(cells, dtype=torch.float64, device=device) - (cells - 1) / 2
    y, x = torch.meshgrid(*[steps * stride + patch_side / 2] * 2, indexing="ij")
    return torch.stack([x, y])


def gaussian_label(
    boxes_patch: Tensor, cells: int, *, stride: int, patch_side: int, sigma_cells: float
) -> Tensor:
    """``[M,S,n,n]`` float64 Gaussian, 1 at the centres of boxes ``[M,S,4]`` xywh patch pixels.

    Args:
        boxes_patch: where the target is.
        cells: n; their places are those of :func:`symmetric_centres`.
        stride: patch pixels a cell.
        patch_side: of the test patch.
        sigma_cells: of the Gaussian.
    """
    middle_xy = boxes_patch[..., :2].double() + boxes_patch[..., 2:].double() / 2
    centres_yx = (middle_xy.flip(-1) - patch_side / 2) / stride + (cells - 1) / 2
    return filter_labels.gaussian_label(centres_yx, (cells, cells), sigma=sigma_cells)


def label_density(label: Tensor, sigma_cells: float) -> Tensor:
    """A Gaussian label ``[...,n,n]`` as a density over the cells: its sum is 1, and where hardly
    any of it lies on the map it is uniform.
    """
    density = label / (2 * math.pi * sigma_cells**2)
    mass = density.sum(dim=(-2, -1), keepdim=True)
    uniform = torch.full_like(density, 1 / (density.shape[-1] * density.shape[-2]))
    return torch.where(mass > LEAST_MASS, density / mass.clamp(min=LEAST_MASS), uniform)
