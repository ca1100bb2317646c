"""NanoTrack V1, V2 and V3: about half a million parameters, real time on one CPU core.

The modules have the names of the published checkpoints (HonglinChu/SiamTrackers, Apache-2.0), so
that their ``state_dict`` keys are the keys of the files. Read :mod:`~tirtrack.networks.siamese`
first; this file has the heads, then the parts, then the tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tirtrack.crops import SEARCH_SIDE, TEMPLATE_SIDE, CropRule
from tirtrack.networks.score_kinds import Margin
from tirtrack.networks.siamese import TEMPLATE_MAPS, SiameseNetwork, correlate_cells
from tirtrack.networks.two_branch import split_images

HEAD_WIDTH = 96
TOWER_UNITS = 6


class NanoTrack(SiameseNetwork):
    """A MobileNetV3-like backbone, and the head of one of three versions.

    Args:
        backbone: module from normalised patches ``[B,3,D,D]`` to features ``[B,C,H,W]``.
        head: module from template and search features to logits and distances.
        cells: cells per side of the score map, ``n``: 16 for V1 and V2, 15 for V3.
    """

    reference_crop = CropRule(TEMPLATE_SIDE)
    test_crop = CropRule(SEARCH_SIDE)
    score_kind = Margin(SiameseNetwork.stride, SEARCH_SIDE)

    def __init__(self, backbone: Backbone, head: HeadV1 | HeadV2 | HeadV3, *, cells: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.ban_head = head
        self.cells = cells

    def from_levels(self, levels: Tensor) -> Tensor:
        """RGB levels ``[...,3,D,D]`` as BGR, without mean and scale."""
        return levels.flip(-3)

    def head(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`SiameseNetwork.head`."""
        logits, ltrb = self.ban_head(template, search)
        return logits, ltrb

    def draw_weights(self, generator: torch.Generator) -> None:
        """As for every network, with the first layer scaled for levels of 0..255."""
        super().draw_weights(generator)
        with torch.no_grad():
            next(self.parameters()).div_(128.0)

    def _parts(self) -> dict[str, list[nn.Module]]:
        head = self.ban_head
        return {
            "backbone": [self.get_submodule("backbone")],
            "target_filter": [head.get_submodule(name) for name in head.CLASS_SIDE],
            "box_estimator": [head.get_submodule(name) for name in head.BOX_SIDE],
        }


class HeadV1(nn.Module):
    """The head of V1: one correlation of the raw features, then a tower each for class and box."""

    CLASS_SIDE = ("corr_pw", "cls_tower", "cls_logits")
    BOX_SIDE = ("bbox_tower", "bbox_pred")

    def __init__(self, class_width: int, box_width: int) -> None:
        super().__init__()
        self.corr_pw = PixelwiseCorrelation(None)
        self.cls_tower = _tower_v2(class_width, kernels=(5, 5, 3))
        self.bbox_tower = _tower_v2(box_width, kernels=(3, 3, 5, 5))
        self.cls_logits = nn.Sequential(nn.Conv2d(class_width, 2, 1))
        self.bbox_pred = nn.Sequential(nn.Conv2d(box_width, 4, 1))

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """``[B,C,8,8]`` and ``[B,C,16,16]`` to logits ``[B,2,16,16]``, ltrb ``[B,4,16,16]``."""
        maps = self.corr_pw(template, search)
        log_ltrb = self.bbox_pred(self.bbox_tower(maps))
        return self.cls_logits(self.cls_tower(maps)), log_ltrb.exp()


class HeadV2(nn.Module):
    """The head of V2: for class and box separately, pixel-wise correlation, then a tower."""

    CLASS_SIDE = ("corr_pw_cls", "cls_pw_tower", "cls_pred")
    BOX_SIDE = ("corr_pw_reg", "bbox_pw_tower", "bbox_pred")

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.corr_pw_cls = PixelwiseCorrelation(channels)
        self.corr_pw_reg = PixelwiseCorrelation(channels)
        self.cls_pw_tower = _tower_v2(width, kernels=(3,) * TOWER_UNITS)
        self.bbox_pw_tower = _tower_v2(width, kernels=(3,) * TOWER_UNITS)
        self.cls_pred = nn.Sequential(nn.Conv2d(width, 2, 1))
        self.bbox_pred = nn.Sequential(nn.Conv2d(width, 4, 1))

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """``[B,C,8,8]`` and ``[B,C,16,16]`` to logits ``[B,2,16,16]``, ltrb ``[B,4,16,16]``."""
        logits = self.cls_pred(self.cls_pw_tower(self.corr_pw_cls(template, search)))
        log_ltrb = self.bbox_pred(self.bbox_pw_tower(self.corr_pw_reg(template, search)))
        return logits, log_ltrb.exp()


class HeadV3(nn.Module):
    """The head of V3: as V2, with pixel-wise and depthwise correlation joined before the tower."""

    CLASS_SIDE = ("corr_pw_cls", "corr_dw_cls", "down_cls", "cls_tower", "cls_logits")
    BOX_SIDE = ("corr_pw_reg", "corr_dw_reg", "down_reg", "bbox_tower", "bbox_pred")

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.corr_pw_cls = PixelwiseCorrelation(channels, shrink=True)
        self.corr_pw_reg = PixelwiseCorrelation(channels, shrink=True)
        self.corr_dw_cls = DepthwiseCorrelation(channels)
        self.corr_dw_reg = DepthwiseCorrelation(channels)
        self.down_cls = nn.Sequential(nn.Conv2d(TEMPLATE_MAPS + channels, width, 1))
        self.down_reg = nn.Sequential(nn.Conv2d(TEMPLATE_MAPS + channels, width, 1))
        self.cls_tower = _tower_v3(width)
        self.bbox_tower = _tower_v3(width)
        self.cls_logits = nn.Sequential(nn.Conv2d(width, 2, 1))
        self.bbox_pred = nn.Sequential(nn.Conv2d(width, 4, 1))

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """``[B,C,8,8]`` and ``[B,C,16,16]`` to logits ``[B,2,15,15]``, ltrb ``[B,4,15,15]``."""
        cls_maps = [self.corr_pw_cls(template, search), self.corr_dw_cls(template, search)]
        reg_maps = [self.corr_pw_reg(template, search), self.corr_dw_reg(template, search)]
        logits = self.cls_logits(self.cls_tower(self.down_cls(torch.cat(cls_maps, dim=1))))
        log_ltrb = self.bbox_pred(self.bbox_tower(self.down_reg(torch.cat(reg_maps, dim=1))))
        return logits, log_ltrb.exp()


class PixelwiseCorrelation(nn.Module):
    """Each of the 64 template cells as a 1x1 filter: ``[B,C,8,8]``, ``[B,C,16,16]`` to 64 maps.

    Args:
        channels: channels of the features, which are projected first; ``None``: not projected (V1).
        shrink: end with a 2x2 convolution that makes 15x15 cells of 16x16 (V3).
    """

    def __init__(self, channels: int | None, *, shrink: bool = False) -> None:
        super().__init__()
        self.conv_kernel = nn.Identity() if channels is None else _projection(channels)
        self.conv_search = nn.Identity() if channels is None else _projection(channels)
        self.CA_layer = ChannelAttention(TEMPLATE_MAPS)
        self.conv = _shrink(TEMPLATE_MAPS) if shrink else nn.Identity()

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        """``[B,64,16,16]``, or ``[B,64,15,15]`` when shrinking."""
        maps = correlate_cells(self.conv_kernel(template), self.conv_search(search))
        return self.conv(self.CA_layer(maps))  # type: ignore[no-any-return]


class DepthwiseCorrelation(nn.Module):
    """The middle 4x4 template cells as a filter of each channel: ``[B,C,16,16]`` to 15x15."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_kernel = _projection(channels)
        self.conv_search = _projection(channels)

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        """``[B,C,15,15]``."""
        kernels = self.conv_kernel(template[:, :, 2:6, 2:6])  # [B,C,4,4]
        features = self.conv_search(search)  # [B,C,16,16]
        shape = kernels.shape[:2]
        maps = F.conv2d(
            features.flatten(0, 1)[None],  # [1,B*C,16,16]
            kernels.flatten(0, 1)[:, None],  # [B*C,1,4,4]
            padding=1,
            groups=shape[0] * shape[1],
        )
        return split_images(maps[0], shape)


class ChannelAttention(nn.Module):
    """Weights every map by a factor in (0, 1), computed from the means of all maps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels, 1)
        self.fc2 = nn.Conv2d(channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """``[B,C,H,W]``, the same shape."""
        means = maps.mean(dim=(2, 3), keepdim=True)
        weights: Tensor = self.fc2(self.fc1(means).relu()).sigmoid()
        return maps * weights


class Backbone(nn.Module):
    """MobileNetV3-like features at stride 16: ``[B,3,D,D]`` to ``[B,C,H,W]``; 127 px give 8 cells,
    255 px give 16.
    """

    def __init__(self, stem: int, blocks: tuple[BlockSettings, ...]) -> None:
        super().__init__()
        first = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.Hardswish(),
        )
        widths = [stem, *(block.out for block in blocks)]
        rest = [MobileNetV3Block(*pair) for pair in zip(widths[:-1], blocks, strict=True)]
        self.features = nn.Sequential(first, *rest)
        self.channels = widths[-1]

    def forward(self, patches: Tensor) -> Tensor:
        """Patches ``[B,3,D,D]``, as :meth:`NanoTrack.normalise` makes them, to ``[B,C,H,W]``."""
        return self.features(patches)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class BlockSettings:
    """One inverted residual block: kernel side, inner width, output width, width of the squeeze
    (0: none), stride, activation.
    """

    kernel: int
    hidden: int
    out: int
    squeeze: int
    stride: int
    activation: type[nn.Module]


class MobileNetV3Block(nn.Module):
    """Expansion (unless the width stays), depthwise convolution, squeeze, projection; plus the
    input if shapes allow.
    """

    def __init__(self, width: int, block: BlockSettings) -> None:
        super().__init__()
        hidden = block.hidden
        depthwise = [
            nn.Conv2d(
                *(hidden, hidden, block.kernel, block.stride, block.kernel // 2),
                groups=hidden,
                bias=False,
            ),
            nn.BatchNorm2d(hidden),
        ]
        squeeze = SqueezeExcitation(hidden, block.squeeze) if block.squeeze else nn.Identity()
        narrow = [nn.Conv2d(hidden, block.out, 1, bias=False), nn.BatchNorm2d(block.out)]
        if hidden == width:
            layers = [*depthwise, block.activation(), squeeze, *narrow]
        else:
            widen = [nn.Conv2d(width, hidden, 1, bias=False), nn.BatchNorm2d(hidden)]
            # The published order: batch norm, squeeze, and only then the activation.
            layers = [*widen, block.activation(), *depthwise, squeeze, block.activation(), *narrow]
        self.conv = nn.Sequential(*layers)
        self.identity = block.stride == 1 and width == block.out

    def forward(self, features: Tensor) -> Tensor:
        """``[B,C,H,W]`` to ``[B,C',H/stride,W/stride]``."""
        out: Tensor = self.conv(features)
        return features + out if self.identity else out


class SqueezeExcitation(nn.Module):
    """Weights every channel by a factor in [0, 1], computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, squeezed),
            nn.ReLU(),
            nn.Linear(squeezed, channels),
            nn.Hardsigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """``[B,C,H,W]``, the same shape."""
        weights: Tensor = self.fc(features.mean(dim=(2, 3)))
        return features * weights[:, :, None, None]


def _projection(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))


def _shrink(maps: int) -> nn.Sequential:
    """16x16 to 15x15 cells, so that the middle cell is at the centre of the patch."""
    return nn.Sequential(
        nn.Conv2d(maps, maps, 2, groups=maps, bias=False),
        nn.BatchNorm2d(maps),
        nn.ReLU6(),
        nn.Conv2d(maps, maps, 1),
        nn.BatchNorm2d(maps),
    )


def _tower_v2(width: int, *, kernels: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, side in zip([TEMPLATE_MAPS] + [width] * len(kernels), kernels, strict=False):
        layers += [
            nn.Conv2d(inside, inside, side, padding=side // 2, groups=inside, bias=False),
            nn.Conv2d(inside, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(),
        ]
    return nn.Sequential(*layers)


def _tower_v3(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(TOWER_UNITS):
        layers += [
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU6(),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),  # no activation after it
        ]
    return nn.Sequential(*layers)


_STEM = 16
_BLOCKS_V2 = (
    BlockSettings(3, 16, 16, 8, 2, nn.ReLU),
    BlockSettings(3, 72, 24, 0, 2, nn.ReLU),
    BlockSettings(3, 88, 24, 0, 1, nn.ReLU),
    BlockSettings(5, 96, 40, 24, 2, nn.Hardswish),
    BlockSettings(5, 240, 40, 64, 1, nn.Hardswish),
    BlockSettings(5, 240, 40, 64, 1, nn.Hardswish),
    BlockSettings(5, 120, 48, 32, 1, nn.Hardswish),
    BlockSettings(5, 144, 48, 40, 1, nn.Hardswish),
)
_BLOCKS_V3 = (*_BLOCKS_V2, BlockSettings(5, 288, 96, 72, 1, nn.Hardswish))

_TINY_STEM = 4
_TINY_HEAD_WIDTH = 8
_TINY_BLOCKS = (
    BlockSettings(3, 4, 4, 2, 2, nn.ReLU),
    BlockSettings(3, 8, 4, 0, 2, nn.ReLU),
    BlockSettings(5, 8, 8, 2, 2, nn.Hardswish),
    BlockSettings(5, 16, 8, 4, 1, nn.Hardswish),
)


def nanotrack_v1(*, tiny: bool = False) -> NanoTrack:
    """V1: 48 channels, 16x16 cells; ``tiny`` has the same parts with few channels."""
    backbone = Backbone(_TINY_STEM, _TINY_BLOCKS) if tiny else Backbone(_STEM, _BLOCKS_V2)
    head = HeadV1(12, _TINY_HEAD_WIDTH) if tiny else HeadV1(128, HEAD_WIDTH)
    return NanoTrack(backbone, head, cells=16)


def nanotrack_v2(*, tiny: bool = False) -> NanoTrack:
    """V2: 48 channels, 16x16 cells; ``tiny`` has the same parts with few channels."""
    backbone = Backbone(_TINY_STEM, _TINY_BLOCKS) if tiny else Backbone(_STEM, _BLOCKS_V2)
    head = HeadV2(backbone.channels, _TINY_HEAD_WIDTH if tiny else HEAD_WIDTH)
    return NanoTrack(backbone, head, cells=16)


def nanotrack_v3(*, tiny: bool = False) -> NanoTrack:
    """V3: 96 channels, 15x15 cells; ``tiny`` has the same parts with few channels."""
    backbone = Backbone(_TINY_STEM, _TINY_BLOCKS) if tiny else Backbone(_STEM, _BLOCKS_V3)
    head = HeadV3(backbone.channels, _TINY_HEAD_WIDTH if tiny else HEAD_WIDTH)
    return NanoTrack(backbone, head, cells=15)
