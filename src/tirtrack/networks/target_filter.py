"""The target filter of the DiMP family: its features, how it is applied, and the first one.

Each sequence has its own filter, ``[C,k,k]``; its correlation with the features of an image is the
score map. :class:`FilterInitialiser` makes the first filter from the reference images;
``filter_optimisers.py`` improves it. Equations: Bhat et al., "Learning discriminative model
prediction for tracking", ICCV 2019.

Cell ``(i, j)`` of the score map of an even filter is at pixel ``(16 i, 16 j)`` of the patch. For an
odd filter it is at the feature cell: ``(16 i + 8, 16 j + 8)``.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tirtrack.networks.roi_pooling import precise_roi_pool


def apply_filter(
    features: Tensor, filters: Tensor, *, dilation_factors: dict[int, int] | None = None
) -> Tensor:
    """Score maps: features of every image, padded by zeros, correlated with its sequence's filter.

    One matrix product applies all taps of the filter to all features, then the maps of the taps are
    shifted and added. With one filter per sequence this is several times faster than a convolution.

    Args:
        features: ``[N,S,C,H,W]``, or ``[N,C,H,W]`` of one sequence.
        filters: ``[S,C,kh,kw]``, or ``[S,F,C/g,kh,kw]``: F filters per sequence, in g groups with
            C/g channels each.
        dilation_factors: number of successive filters for each dilation; odd filters only.

    Returns:
        ``[N,S,H',W']`` or ``[N,S,F,H',W']``; a map of an even filter is one cell larger than the
        features.

    Raises:
        ValueError: features and filters do not fit.
    """
    features = with_sequences(features)
    if filters.ndim == 4:
        return apply_filter(features, filters[:, None], dilation_factors=dilation_factors)[:, :, 0]
    _check_fit(features, filters)
    if dilation_factors is None:
        return _apply(features, filters, dilation=1)
    split = torch.split(filters, list(dilation_factors.values()), dim=1)
    parts = zip(dilation_factors, split, strict=True)
    return torch.cat([_apply(features, part, dilation=d) for d, part in parts], dim=2)


def _apply(features: Tensor, filters: Tensor, *, dilation: int) -> Tensor:
    images, sequences, channels, height, width = features.shape
    count, group_channels, *kernel_hw = filters.shape[1:]
    taps = filters.flip(3, 4).flatten(3).transpose(2, 3)  # [S,F,kh*kw,C/g]
    taps = taps.reshape(sequences, channels // group_channels, -1, group_channels)
    # [S,g,F/g*kh*kw,C/g] times [N,S,g,C/g,H*W]
    maps = taps @ features.reshape(images, *taps.shape[:2], group_channels, -1)
    extents = [dilation * (k - 1) for k in kernel_hw]
    padding = [k // 2 + dilation - 1 for k in kernel_hw]
    size_hw = [n + 2 * p - e for n, p, e in zip((height, width), padding, extents, strict=True)]
    scores = F.fold(
        maps.reshape(images * sequences, -1, height * width),
        _pair(size_hw),
        _pair(kernel_hw),
        dilation=dilation,
        padding=_pair([e - p for e, p in zip(extents, padding, strict=True)]),
    )
    return scores.reshape(images, sequences, count, *size_hw)


def filter_adjoint(features: Tensor, residuals: Tensor, kernel_hw: tuple[int, int]) -> Tensor:
    """The transpose of :func:`apply_filter`: gradient of ``<scores, residuals>`` for the filter.

    Args:
        features: ``[N,S,C,H,W]``, or ``[N,C,H,W]`` of one sequence.
        residuals: ``[N,S,H',W']``, or ``[N,S,F,H',W']``, on the score map.
        kernel_hw: sides of the filter, in cells.

    Returns:
        ``[S,C,kh,kw]`` or ``[S,F,C,kh,kw]``.

    Raises:
        ValueError: features and residuals do not fit.
    """
    features = with_sequences(features)
    if residuals.ndim == 4:
        return filter_adjoint(features, residuals[:, :, None], kernel_hw)[:, 0]
    score_hw = score_shape(features, kernel_hw)
    if residuals.shape[:2] != features.shape[:2] or residuals.shape[-2:] != score_hw:
        raise ValueError(
            f"residuals must be {[*features.shape[:2], '(F)', *score_hw]} for features "
            f"{list(features.shape)}, got {list(residuals.shape)}"
        )
    shape, count = residuals.shape[:2], residuals.shape[2]
    padding = _pair([(k - 1) // 2 for k in kernel_hw])
    windows = F.unfold(residuals.flatten(0, 1), kernel_hw, padding=padding)  # [N*S,F*kh*kw,H*W]
    windows = windows.reshape(*shape, *windows.shape[1:])
    by_taps = (windows @ features.flatten(3).transpose(2, 3)).sum(0)  # [S,F*kh*kw,C]
    by_taps = by_taps.reshape(shape[1], count, *kernel_hw, -1)
    return by_taps.permute(0, 1, 4, 2, 3).flip(3, 4)


def score_shape(features: Tensor, kernel_hw: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the score map of features ``[...,H,W]``."""
    height, width = (n + 1 - k % 2 for n, k in zip(features.shape[-2:], kernel_hw, strict=True))
    return height, width


def with_sequences(features: Tensor) -> Tensor:
    """``[N,C,H,W]`` of one sequence as ``[N,1,C,H,W]``; five axes are not changed.

    Raises:
        ValueError: neither four nor five axes.
    """
    if features.ndim not in (4, 5):
        raise ValueError(f"features must be [N,S,C,H,W] or [N,C,H,W], got {list(features.shape)}")
    return features if features.ndim == 5 else features[:, None]


def _pair(values: list[int]) -> tuple[int, int]:
    first, second = values
    return first, second


def _check_fit(features: Tensor, filters: Tensor) -> None:
    sequences, channels = features.shape[1:3]
    if filters.ndim == 5 and filters.shape[0] == sequences:
        groups, rest = divmod(channels, filters.shape[2])
        if rest == 0 and filters.shape[1] % groups == 0:
            return
    raise ValueError(
        f"filters {list(filters.shape)} do not fit features {list(features.shape)}: sequences must "
        "be equal, channels equal or split into equal groups"
    )


class InstanceL2Norm(nn.Module):
    """Scales the features of each image to the same root mean square over channels and cells.

    Args:
        size_average: whether ``scale`` is the root mean square; otherwise it is the norm.
        eps: constant added to the sum of squares, so that zero features stay zero.
        scale: root mean square or norm of the result.
    """

    def __init__(self, *, size_average: bool = True, eps: float = 1e-5, scale: float = 1.0) -> None:
        super().__init__()
        self.size_average = size_average
        self.eps = eps
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """``[B,C,H,W]``, the same shape."""
        squares = features.square().sum(dim=(1, 2, 3), keepdim=True) + self.eps
        count = features[0].numel() if self.size_average else 1
        return features * (self.scale * (count / squares).sqrt())


class FilterInitialiser(nn.Module):
    """The first filter: convolved reference features, pooled over the target, mean over images.

    Args:
        feature_dim: channels of the features.
        filter_size: cells per side of the filter.
        feature_stride: patch pixels per cell.
        init_filter_norm: divide by the number of elements of the filter.
        pool_square: pool over the square with the box's centre and area.
        init_initializer: kind of new weights; ``zero`` gives a zero filter (PrDiMP).
    """

    def __init__(
        self,
        feature_dim: int,
        *,
        filter_size: int = 1,
        feature_stride: int = 16,
        init_filter_norm: bool = False,
        pool_square: bool = False,
        init_initializer: Literal["default", "zero"] = "default",
    ) -> None:
        super().__init__()
        self.filter_conv = nn.Conv2d(feature_dim, feature_dim, 3, padding=1)
        self.filter_size = filter_size
        self.feature_stride = feature_stride
        self.init_filter_norm = init_filter_norm
        self.pool_square = pool_square
        self.init_initializer = init_initializer

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """New weights: normal with the deviation ``sqrt(2 / (9 C))``, or zero; no bias."""
        weight = self.filter_conv.weight
        if self.init_initializer == "zero":
            weight.zero_()
        else:
            weight.normal_(0, math.sqrt(2 / (9 * weight.shape[0])), generator=generator)
        if self.filter_conv.bias is not None:
            self.filter_conv.bias.zero_()

    def forward(self, features: Tensor, boxes_patch: Tensor) -> Tensor:
        """The filter of each sequence.

        Args:
            features: ``[N,S,C,H,W]``, or ``[N,C,H,W]`` of one sequence.
            boxes_patch: ``[N,S,4]`` or ``[N,4]``, xywh, patch pixels.

        Returns:
            ``[S,C,k,k]``.
        """
        features = with_sequences(features)
        images, sequences = features.shape[:2]
        boxes_xyxy = self._pooled_boxes(boxes_patch.reshape(-1, 4))
        index = torch.arange(len(boxes_xyxy), device=boxes_xyxy.device, dtype=boxes_xyxy.dtype)
        pooled = precise_roi_pool(
            self.filter_conv(features.flatten(0, 1)),
            torch.cat([index[:, None], boxes_xyxy], dim=1),
            (self.filter_size, self.filter_size),
            1 / self.feature_stride,
        )
        filters = pooled.reshape(images, sequences, *pooled.shape[1:]).mean(0)
        return filters / filters[0].numel() if self.init_filter_norm else filters

    def _pooled_boxes(self, boxes: Tensor) -> Tensor:
        corner, size = boxes[:, :2], boxes[:, 2:]
        if self.pool_square:
            centre = corner + size / 2
            size = size.prod(dim=1, keepdim=True).sqrt().expand(-1, 2)
            corner = centre - size / 2
        return torch.cat([corner, corner + size], dim=1)
