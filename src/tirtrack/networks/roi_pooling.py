"""Exact precise RoI pooling: the mean of the interpolated feature map over every bin of a box.

Features are samples at integer coordinates, interpolated bilinearly and falling to zero within one
cell outside the map. The mean of that surface over a rectangle has a closed form, separable in rows
and columns and smooth in the box: no sampling points, and exact gradients to features and boxes
(Jiang et al., "Acquisition of localization confidence", ECCV 2018, section 3.3).

Only the cells that a box touches have weight, so a window of them is gathered for every box, with
the same shape for all. Weights are computed in float64 whatever the dtype of the features: a bin of
a thousandth of a cell is then as exact as a large one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

GATHERED_ELEMENTS = 2**26  # elements of the windows made at a time; bounds the memory
GATHERED_ELEMENTS_CPU = 2**18  # stays in the cache of one core; faster than more (measured)


def precise_roi_pool(
    features: Tensor, rois: Tensor, size_hw: tuple[int, int], scale: float
) -> Tensor:
    """The mean of the feature surface over each bin of each box.

    Feature ``(j, i)`` lies at exactly ``(y, x) = (j, i)`` cells: no shift by half a cell. A box
    without area gives zero and takes no gradient. Second derivatives are not provided.

    Args:
        features: ``[B,C,H,W]``; channels-last memory format saves a copy.
        rois: ``[R,5]``: image index, then x0, y0, x1, y1 in pixels of that image.
        size_hw: bins in y and in x.
        scale: cells per pixel, 1 / stride.

    Returns:
        ``[R,C,ph,pw]`` in the dtype of the features.

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
    """Weights of the cells of a window in each bin, along rows or along columns.

    ``n`` bins, ``k`` cells of the window; all float64.

    Attributes:
        first: ``[R]`` int64, first cell of the window.
        weights: ``[R,n,k]``, mean of the cell's hat ``max(0, 1 - |t|)`` over the bin.
        hats: ``[R,n+1,k]``, the hat at the edges of the bins.
        per_cell: ``[R,1]``, 1 / length of a bin in cells; 0, like the weights, if it has no length.
    """

    first: Tensor
    weights: Tensor
    hats: Tensor
    per_cell: Tensor

    @classmethod
    def of(cls, low: Tensor, high: Tensor, *, bins: int, cells: int) -> _Axis:
        """Weights for boxes from ``low [R]`` to ``high [R]`` cells on a map of ``cells``."""
        first, count = _window(low, high, cells)
        return cls.within(first, low, high, bins=bins, count=count)

    @classmethod
    def within(cls, first: Tensor, low: Tensor, high: Tensor, *, bins: int, count: int) -> _Axis:
        """Weights of the ``count`` cells from ``first [R]`` on."""
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
        """Gradients ``[R]`` of ``low`` and ``high`` (cells), from the gradient of ``weights``."""
        upward = (slope_weights * (self.hats[:, 1:] - self.weights)).sum(-1) * self.per_cell
        downward = (slope_weights * (self.weights - self.hats[:, :-1])).sum(-1) * self.per_cell
        bins = upward.shape[1]
        fractions = torch.arange(bins + 1, dtype=upward.dtype, device=upward.device) / bins
        total = (upward + downward).sum(1)
        high = (upward * fractions[1:] + downward * fractions[:-1]).sum(1)
        return total - high, high


@dataclass(frozen=True)
class ProposalPooling:
    """Pooled features of proposals, and gradients by them, without a graph.

    The proposals of a target lie close together, so that one window of the map, the same for all
    images, holds what all of them touch: nothing is gathered for each box, and few operations are
    left. Values and gradients are those of :func:`precise_roi_pool`.

    Attributes:
        values: pooled features ``[B*P,n,n,C]``, with the channels last.
        strips: ``[B*P,n,kw,C]``, the window with the rows of each bin contracted.
        window: ``[B,kh,kw*C]``, the cells of the map that any proposal touches.
        columns: ``[B*P,n,kw]``, weights along columns.
        axes: weights along columns, then along rows, of ``2*B*P`` boxes and ``max(kh, kw)`` cells.
        scale: cells per pixel.
    """

    values: Tensor
    strips: Tensor
    window: Tensor
    columns: Tensor
    axes: _Axis
    scale: float

    @classmethod
    def of(cls, maps: Tensor, proposals: Tensor, bins: int, scale: float) -> ProposalPooling:
        """Pool from maps ``[B,C,H,W]`` over proposals ``[B,P,4]`` xywh, pixels.

        Raises:
            ValueError: a proposal is not finite.
        """
        if not bool(proposals.isfinite().all()):
            raise ValueError("proposals must be finite, got NaN or infinity")
        boxes = proposals.double() * scale
        columns, rows = _shared_window(boxes, maps.shape[:1:-1])
        window = maps[:, :, rows, columns].permute(0, 2, 3, 1).contiguous()  # [B,kh,kw,C]
        height, width = window.shape[1:3]
        low = boxes[..., :2] - boxes.new_tensor([columns.start, rows.start])
        low, high = (xy.movedim(-1, 0).flatten() for xy in (low, low + boxes[..., 2:]))
        axes = _Axis.within(torch.zeros_like(low), low, high, bins=bins, count=max(height, width))
        by_column, by_row = axes.weights.to(maps.dtype).chunk(2)
        by_column, by_row = by_column[..., :width], by_row[..., :height]
        window = window.flatten(2)
        strips = by_row.reshape(len(maps), -1, height) @ window  # [B,P*n,kw*C]
        strips = strips.view(len(by_row), bins, width, -1)
        return cls(by_column[:, None] @ strips, strips, window, by_column, axes, scale)

    def slopes(self, by_values: Tensor) -> Tensor:
        """Gradient ``[B*P,4]`` of the proposals, from that of the values, ``[B*P,n,n,C]``."""
        by_columns = (by_values @ self.strips.transpose(2, 3)).sum(1)  # [B*P,n,kw]
        by_strips = self.columns.transpose(1, 2)[:, None] @ by_values  # [B*P,n,kw,C]
        by_strips = by_strips.view(len(self.window), -1, self.window.shape[2])
        by_rows = (by_strips @ self.window.transpose(1, 2)).view(*by_columns.shape[:2], -1)
        count = self.axes.weights.shape[2]
        both = [F.pad(one, (0, count - one.shape[2])) for one in (by_columns, by_rows)]
        low, high = self.axes.slopes(torch.cat(both).double())
        by_corners = [side.view(2, -1).T for side in (low + high, high)]
        return (torch.cat(by_corners, dim=1) * self.scale).to(by_values.dtype)


def _shared_window(boxes: Tensor, sides: Sequence[int]) -> list[slice]:
    """Columns and rows of a map of ``sides`` (W, H) that boxes ``[...,4]`` xywh touch, at least one
    of each.
    """
    x, y, width, height = zip(*boxes.flatten(0, -2).tolist(), strict=True)
    found = []
    for low, length, cells in zip((x, y), (width, height), sides, strict=True):
        lowest, highest = min(low), max(map(add, low, length))
        first = int(min(max(lowest, 0), cells - 1))
        found.append(slice(first, math.ceil(min(max(highest, first), cells - 1)) + 1))
    return found


def _window(low: Tensor, high: Tensor, cells: int) -> tuple[Tensor, int]:
    """First cell ``[R]``, and number of cells (the same for all boxes), of windows that hold every
    cell of the map that a box touches.
    """
    first = low.floor().clamp(0, cells - 1)
    last = high.ceil().clamp(0, cells - 1)
    count = max(1, int((last - first).max()) + 1) if len(low) else 1
    return first.clamp(max=cells - count).long(), count


class _PreciseRoiPool(torch.autograd.Function):
    """Gathers windows channels-last and contracts them along rows to strips, then along columns.

    Backward gathers again: that is cheaper than keeping megabytes that do not fit the CPU cache.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, rois: Tensor, size_hw: tuple[int, int], scale: float
    ) -> Tensor:
        channels, height, width = features.shape[1:]
        corners = rois.double() * scale
        rows = _Axis.of(corners[:, 2], corners[:, 4], bins=size_hw[0], cells=height)
        columns = _Axis.of(corners[:, 1], corners[:, 3], bins=size_hw[1], cells=width)
        parts = _parts(rois[:, 0].long(), rows, columns, features)
        flat = features.permute(0, 2, 3, 1).contiguous().view(-1, channels)  # [B*H*W,C]
        pooled = features.new_empty(len(rois), channels, *size_hw)
        for part in parts:
            pooled[part.boxes] = part.pool(flat).permute(0, 3, 1, 2)
        ctx.save_for_backward(flat)
        ctx.parts, ctx.rows, ctx.columns, ctx.scale = parts, rows, columns, scale
        ctx.features_shape, ctx.rois_dtype = features.shape, rois.dtype
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        by_features = _by_features(ctx, slope) if ctx.needs_input_grad[0] else None
        by_rois = _by_rois(ctx, slope) if ctx.needs_input_grad[1] else None
        return by_features, by_rois, None, None


def _by_features(ctx: Any, slope: Tensor) -> Tensor:
    """Gradient ``[B,C,H,W]`` of the features: every bin distributes it by its weights."""
    images, channels, height, width = ctx.features_shape
    flat = slope.new_zeros(images * height * width, channels)
    for part in ctx.parts:
        window = part.by_window(slope)  # [r,kh,kw*C]
        flat.index_add_(0, part.cells.flatten(), window.view(-1, channels))
    return flat.view(images, height, width, channels).permute(0, 3, 1, 2)


def _by_rois(ctx: Any, slope: Tensor) -> Tensor:
    """Gradient ``[R,5]`` of the boxes: mean along an edge minus mean of the bin, all channels."""
    (flat,) = ctx.saved_tensors
    by_rows, by_columns = zip(*(part.by_weights(flat, slope) for part in ctx.parts), strict=True)
    y0, y1 = ctx.rows.slopes(torch.cat(by_rows).double())
    x0, x1 = ctx.columns.slopes(torch.cat(by_columns).double())
    by_rois = torch.stack([torch.zeros_like(x0), x0, y0, x1, y1], dim=1) * ctx.scale
    return by_rois.to(ctx.rois_dtype)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Part:
    """``r`` of the boxes, and their weights in the dtype of the features.

    Attributes:
        boxes: slice of these boxes among all boxes.
        cells: ``[r,kh*kw]``, indices of the window's cells among the cells of all images.
        rows: ``[r,ph,kh]``, weights along rows.
        columns: ``[r,pw,kw]``, weights along columns.
    """

    boxes: slice
    cells: Tensor
    rows: Tensor
    columns: Tensor

    def pool(self, flat: Tensor) -> Tensor:
        """Pooled features ``[r,ph,pw,C]`` from ``[B*H*W,C]``."""
        return self.columns[:, None] @ self._strips(self._window(flat))

    def by_window(self, slope: Tensor) -> Tensor:
        """Gradient ``[r,kh,kw*C]`` of the windows, from that of the result ``[R,C,ph,pw]``."""
        by_strips = self._by_strips(self._of(slope))
        return self.rows.transpose(1, 2).bmm(by_strips.flatten(2))

    def by_weights(self, flat: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the weights of rows ``[r,ph,kh]`` and columns ``[r,pw,kw]``."""
        slope = self._of(slope)
        window = self._window(flat)
        by_columns = (self._strips(window) @ slope.transpose(2, 3)).sum(1)  # [r,kw,pw]
        by_rows = window.bmm(self._by_strips(slope).flatten(2).transpose(1, 2))  # [r,kh,ph]
        return by_rows.transpose(1, 2), by_columns.transpose(1, 2)

    def _window(self, flat: Tensor) -> Tensor:
        """Windows ``[r,kh,kw*C]``."""
        window = flat.index_select(0, self.cells.flatten())
        return window.view(*self.rows.shape[::2], self.columns.shape[2] * flat.shape[1])

    def _strips(self, window: Tensor) -> Tensor:
        """Strips ``[r,ph,kw,C]``: windows with the rows of each bin contracted."""
        strips = self.rows.bmm(window)
        width = self.columns.shape[2]
        return strips.view(*strips.shape[:2], width, strips.shape[2] // width)

    def _by_strips(self, slope: Tensor) -> Tensor:
        """Gradient ``[r,ph,kw,C]`` of the strips, from that of the pooled features."""
        return self.columns.transpose(1, 2)[:, None] @ slope

    def _of(self, slope: Tensor) -> Tensor:
        """Rows of this part, ``[r,ph,pw,C]``, from ``[R,C,ph,pw]``."""
        return slope[self.boxes].permute(0, 2, 3, 1).contiguous()


def _parts(images: Tensor, rows: _Axis, columns: _Axis, features: Tensor) -> list[_Part]:
    channels, height, width = features.shape[1:]
    kh, kw = (torch.arange(a.weights.shape[2], device=images.device) for a in (rows, columns))
    y = images[:, None] * height + rows.first[:, None] + kh  # [R,kh]
    x = columns.first[:, None] + kw  # [R,kw]
    cells = (y[:, :, None] * width + x[:, None, :]).flatten(1)
    by_row, by_column = (axis.weights.to(features.dtype) for axis in (rows, columns))
    elements = GATHERED_ELEMENTS_CPU if features.device.type == "cpu" else GATHERED_ELEMENTS
    count = max(1, elements // (cells.shape[1] * channels))
    some = (slice(start, start + count) for start in range(0, max(1, len(images)), count))
    return [_Part(boxes, cells[boxes], by_row[boxes], by_column[boxes]) for boxes in some]
