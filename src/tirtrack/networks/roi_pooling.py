"""Exact precise RoI pooling: the mean of the interpolated feature map over every bin of a box.

Features are samples at integer coordinates, interpolated bilinearly and falling to zero within one
cell outside the map. The mean of that surface over a rectangle is a closed form, separable in rows
and columns and smooth in the box: no sampling points, and exact gradients to features and boxes
(Jiang et al., "Acquisition of localization confidence", ECCV 2018, section 3.3).

Only the cells that a box touches carry weight, so a window of them is gathered for every box, of
one shape for all. The weights are made in float64 whatever the features are: a bin of a thousandth
of a cell is then as exact as a large one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

GATHERED_ELEMENTS = 2**24  # of the windows made at a time; bounds the memory of many boxes


def precise_roi_pool(
    features: Tensor, rois: Tensor, size_hw: tuple[int, int], scale: float
) -> Tensor:
    """The mean of the feature surface over each bin of each box.

    Feature ``(j, i)`` lies at exactly ``(y, x) = (j, i)`` cells: no shift by half a cell. A box
    without area gives zero and takes no gradient. Second derivatives are not provided.

    Args:
        features: ``[B,C,H,W]``; a copy is saved where they lie channels-last in memory.
        rois: ``[R,5]``: image index, then x0, y0, x1, y1 in pixels of that image.
        size_hw: bins in y and in x.
        scale: cells a pixel, 1 / stride.

    Returns:
        ``[R,C,ph,pw]`` in the type of the features.

    Raises:
        ValueError: shapes do not fit, a box is not finite, or an image index is out of range.
    """
    if features.ndim != 4 or rois.ndim != 2 or rois.shape[1] != 5:
        raise ValueError(
            "features must be [B,C,H,W] and rois [R,5], got "
            f"{list(features.shape)} and {list(rois.shape)}"
        )
    boxes = rois.detach()
    if not bool(boxes.isfinite().all()):
        raise ValueError("rois must be finite, got NaN or infinity")
    if not bool(((boxes[:, 0] >= 0) & (boxes[:, 0] < features.shape[0])).all()):
        raise ValueError(f"image indices of rois must be 0..{features.shape[0] - 1}")
    return _PreciseRoiPool.apply(features, rois, size_hw, scale)  # type: ignore[no-untyped-call,no-any-return]


@dataclass(frozen=True)
class _Axis:
    """How much each cell of a window weighs in each bin, along rows or along columns.

    ``n`` bins, ``k`` cells of the window; all float64.

    Attributes:
        first: ``[R]`` int64, first cell of the window.
        weights: ``[R,n,k]``, mean of the cell's hat ``max(0, 1 - |t|)`` over the bin.
        hats: ``[R,n+1,k]``, the hat at the edges of the bins.
        per_cell: ``[R,1]``, 1 / length of a bin in cells; 0 for boxes without area.
    """

    first: Tensor
    weights: Tensor
    hats: Tensor
    per_cell: Tensor

    @classmethod
    def of(cls, low: Tensor, high: Tensor, *, bins: int, cells: int) -> _Axis:
        """Weights for boxes from ``low [R]`` to ``high [R]`` cells on a map of ``cells``."""
        first, count = _window(low, high, cells)
        length = high - low
        fractions = torch.arange(bins + 1, dtype=low.dtype, device=low.device) / bins
        edges = low[:, None] + length[:, None] * fractions  # [R,n+1]
        window = first[:, None] + torch.arange(count, device=low.device)  # [R,k]
        t = (edges[:, :, None] - window[:, None, :]).clamp(-1, 1)  # [R,n+1,k]
        distance = t.abs()
        left, right = t[:, :-1], t[:, 1:]
        # The integral of the hat from left to right, as a sum of positive terms: no cancellation.
        middle_height = 1 - (distance[:, :-1] + distance[:, 1:]) / 2
        integral = (right - left) * middle_height + (-left * right).clamp(min=0)
        per_cell = torch.where(length > 0, bins / length, 0)[:, None]
        return cls(first, integral * per_cell[:, :, None], 1 - distance, per_cell)

    def slopes(self, slope_weights: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives ``[R]`` by ``low`` and ``high`` (cells), from those by ``weights``."""
        upward = (slope_weights * (self.hats[:, 1:] - self.weights)).sum(-1) * self.per_cell
        downward = (slope_weights * (self.weights - self.hats[:, :-1])).sum(-1) * self.per_cell
        bins = upward.shape[1]
        fractions = torch.arange(bins + 1, dtype=upward.dtype, device=upward.device) / bins
        total = (upward + downward).sum(1)
        high = (upward * fractions[1:] + downward * fractions[:-1]).sum(1)
        return total - high, high


def _window(low: Tensor, high: Tensor, cells: int) -> tuple[Tensor, int]:
    """First cell ``[R]`` and number of cells, for all boxes the same, of windows that hold every
    cell of the map that a box touches.
    """
    first = low.floor().clamp(0, cells - 1)
    last = high.ceil().clamp(0, cells - 1)
    count = max(1, int((last - first).max()) + 1) if len(low) else 1
    return first.clamp(max=cells - count).long(), count


class _PreciseRoiPool(torch.autograd.Function):
    """Windows, gathered channels-last, times one weight for each bin and cell."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, rois: Tensor, size_hw: tuple[int, int], scale: float
    ) -> Tensor:
        channels, height, width = features.shape[1:]
        corners = rois.double() * scale
        rows = _Axis.of(corners[:, 2], corners[:, 4], bins=size_hw[0], cells=height)
        columns = _Axis.of(corners[:, 1], corners[:, 3], bins=size_hw[1], cells=width)
        rows, columns = _without_empty(rows, columns)
        cells = _cells(rois, rows, columns, shape_hw=(height, width))  # [R,K]
        flat = features.permute(0, 2, 3, 1).reshape(-1, channels)  # [B*H*W,C]
        weights = _joint(rows, columns, features.dtype)  # [R,ph*pw,K]
        pooled, windows = [], []
        for part, part_weights in _parts(cells, weights, channels):
            window = flat.index_select(0, part.flatten()).view(*part.shape, channels)
            pooled.append(part_weights.bmm(window))  # [r,ph*pw,C]
            if ctx.needs_input_grad[1]:
                windows.append(window)
        ctx.save_for_backward(*windows)
        ctx.geometry = rows, columns, cells, weights
        ctx.shape, ctx.scale, ctx.rois_dtype = features.shape, scale, rois.dtype
        out = torch.cat(pooled).transpose(1, 2)
        return out.reshape(len(rois), channels, *size_hw)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        slope = slope.flatten(2).transpose(1, 2)  # [R,ph*pw,C]
        by_features = _by_features(ctx, slope) if ctx.needs_input_grad[0] else None
        by_rois = _by_rois(ctx, slope) if ctx.needs_input_grad[1] else None
        return by_features, by_rois, None, None


def _by_features(ctx: Any, slope: Tensor) -> Tensor:
    """``[B,C,H,W]``: what the bins pass on, by the weights with which they took."""
    _, _, cells, weights = ctx.geometry
    images, channels, height, width = ctx.shape
    flat = slope.new_zeros(images * height * width, channels)
    start = 0
    for part, part_weights in _parts(cells, weights, channels):
        given = part_weights.transpose(1, 2).bmm(slope[start : start + len(part)])  # [r,K,C]
        flat.index_add_(0, part.flatten(), given.flatten(0, 1))
        start += len(part)
    return flat.view(images, height, width, channels).permute(0, 3, 1, 2)


def _by_rois(ctx: Any, slope: Tensor) -> Tensor:
    """``[R,5]``: the mean along an edge against the mean of the bin, summed over channels."""
    rows, columns, _, _ = ctx.geometry
    sizes = [len(window) for window in ctx.saved_tensors]
    parts = zip(torch.split(slope, sizes), ctx.saved_tensors, strict=True)
    by_weights = torch.cat([part.bmm(window.transpose(1, 2)) for part, window in parts])
    bins, window = zip(rows.weights.shape[1:], columns.weights.shape[1:], strict=True)
    by_weights = by_weights.double().view(-1, *bins, *window)  # [R,ph,pw,kh,kw]
    y0, y1 = rows.slopes((by_weights * columns.weights[:, None, :, None, :]).sum((2, 4)))
    x0, x1 = columns.slopes((by_weights * rows.weights[:, :, None, :, None]).sum((1, 3)))
    by_corners = torch.stack([torch.zeros_like(x0), x0, y0, x1, y1], dim=1) * ctx.scale
    by_rois: Tensor = by_corners.to(ctx.rois_dtype)
    return by_rois


def _without_empty(rows: _Axis, columns: _Axis) -> tuple[_Axis, _Axis]:
    """Boxes that have no length along one axis weigh nothing along either."""
    full = (rows.per_cell > 0) & (columns.per_cell > 0)  # [R,1]
    rows, columns = (
        _Axis(axis.first, axis.weights * full[:, :, None], axis.hats, axis.per_cell * full)
        for axis in (rows, columns)
    )
    return rows, columns


def _cells(rois: Tensor, rows: _Axis, columns: _Axis, *, shape_hw: tuple[int, int]) -> Tensor:
    """``[R,K]``: places of the window's cells among all cells of all images."""
    height, width = shape_hw
    window = [torch.arange(axis.weights.shape[2], device=rois.device) for axis in (rows, columns)]
    y = rois[:, 0].long()[:, None] * height + rows.first[:, None] + window[0]  # [R,kh]
    x = columns.first[:, None] + window[1]  # [R,kw]
    return (y[:, :, None] * width + x[:, None, :]).flatten(1)


def _joint(rows: _Axis, columns: _Axis, dtype: torch.dtype) -> Tensor:
    """``[R,ph*pw,kh*kw]``: the products of the weights of rows and columns."""
    y, x = rows.weights.to(dtype), columns.weights.to(dtype)
    return (y[:, :, None, :, None] * x[:, None, :, None, :]).flatten(3).flatten(1, 2)


def _parts(cells: Tensor, weights: Tensor, channels: int) -> list[tuple[Tensor, Tensor]]:
    """Cells and weights of as many boxes at a time as memory may take."""
    count = max(1, GATHERED_ELEMENTS // (cells.shape[1] * channels))
    parts = zip(torch.split(cells, count), torch.split(weights, count), strict=True)
    return list(parts)
