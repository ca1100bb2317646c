"""FEAR-XS: a Siamese network of another family, 1.35 million parameters (PinataFarms, MIT).

An FBNet-like backbone without batch norm (it was folded into the convolutions), and a head that
joins the encoded search features with their correlation with the template. Patches must be
stretched so that every target is square. The convolutions are numbered as in the published file,
``conv00`` to ``conv66``, in the order in which the constructor makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tirtrack.crops import CropRule
from tirtrack.networks.score_kinds import Margin
from tirtrack.networks.siamese import TEMPLATE_MAPS, SiameseNetwork, correlate_cells

# ImageNet statistics, RGB order, for levels in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class FearBlock:
    """One block: inner width (0: no expansion), kernel side, output width, stride."""

    hidden: int
    kernel: int
    out: int
    stride: int = 1


class Fear(SiameseNetwork):
    """FEAR; see :class:`SiameseNetwork` for inputs and outputs.

    Args:
        stem: channels of the first convolution.
        blocks: blocks of the backbone.
        width: channels of the backbone features and of the head.
    """

    reference_crop = CropRule(128, area_factor=1.4, stretched=True)
    test_crop = CropRule(256, area_factor=5.0, stretched=True)
    score_kind = Margin(SiameseNetwork.stride, 256)
    cells = 16

    def __init__(self, stem: int, blocks: Sequence[FearBlock], width: int) -> None:
        super().__init__()
        self._count = 0
        self._stem = self._layer(3, stem, side=3, stride=2)
        self._blocks: list[tuple[list[str], bool]] = []
        channels = stem
        for block in blocks:
            names = [] if not block.hidden else [self._layer(channels, block.hidden)]
            inner = block.hidden or channels
            names.append(self._depthwise(inner, side=block.kernel, stride=block.stride))
            names.append(self._layer(inner, block.out))
            self._blocks.append((names, block.stride == 1 and channels == block.out))
            channels = block.out
        self._neck = self._layer(channels, width)
        self._class_encoder = self._separable(width, width, bias=False)
        self._box_encoder = self._separable(width, width, bias=False)
        joined = width + TEMPLATE_MAPS
        self._class_joiner = self._separable(joined, width)
        self._box_joiner = self._separable(joined, width)
        ends = (width, width, 4), (width, width, 1)
        self._box_tower, self._class_tower = (
            [self._separable(width, out) for out in outs] for outs in ends
        )

    def from_levels(self, levels: Tensor) -> Tensor:
        """RGB levels ``[...,3,D,D]`` normalised by mean and deviation of ImageNet."""
        mean, std = (levels.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        return (levels / 255.0 - mean) / std

    def backbone(self, patches: Tensor) -> Tensor:
        """Patches ``[B,3,D,D]``, normalised, to features ``[B,C,D/16,D/16]``."""
        features = self._run(self._stem, patches).relu()
        for names, is_residual in self._blocks:
            out = features
            for name in names[:-1]:
                out = self._run(name, out).relu()
            out = self._run(names[-1], out)  # no activation after a block
            features = features + out if is_residual else out
        return self._run(self._neck, features)

    def head(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`SiameseNetwork.head`; the logit of the background is 0."""
        boxes = self._joined(template, search, self._box_encoder, self._box_joiner)
        classes = self._joined(template, search, self._class_encoder, self._class_joiner)
        log_ltrb = self._tower(boxes, self._box_tower)
        logit = self._tower(classes, self._class_tower)
        return torch.cat([torch.zeros_like(logit), logit], dim=1), log_ltrb.exp()

    def draw_weights(self, generator: torch.Generator) -> None:
        """As for every network, but times 0.75: most convolutions have no activation after them,
        and the correlation multiplies features that have grown.
        """
        super().draw_weights(generator)
        with torch.no_grad():
            for weight in self.parameters():
                weight.mul_(0.75)

    def _joined(
        self, template: Tensor, search: Tensor, encoder: list[str], joiner: list[str]
    ) -> Tensor:
        """Search features encoded by one side of the head, joined with their correlation."""
        encoded = self._pair(encoder, search).relu()
        maps = correlate_cells(template, encoded)
        return self._pair(joiner, torch.cat([encoded, maps], dim=1)).relu()

    def _tower(self, features: Tensor, pairs: list[list[str]]) -> Tensor:
        for pair in pairs[:-1]:
            features = self._pair(pair, features).relu()
        return self._pair(pairs[-1], features)

    def _pair(self, names: list[str], features: Tensor) -> Tensor:
        """A depthwise and a 1x1 convolution, without activation between them."""
        depthwise, pointwise = names
        return self._run(pointwise, self._run(depthwise, features))

    def _run(self, name: str, features: Tensor) -> Tensor:
        return self.get_submodule(name)(features)  # type: ignore[no-any-return]

    def _parts(self) -> dict[str, list[nn.Module]]:
        backbone = [self._stem, *(name for names, _ in self._blocks for name in names), self._neck]
        classes = [self._class_encoder, self._class_joiner, *self._class_tower]
        boxes = [self._box_encoder, self._box_joiner, *self._box_tower]
        names = {
            "backbone": backbone,
            "target_filter": [name for pair in classes for name in pair],
            "box_estimator": [name for pair in boxes for name in pair],
        }
        return {part: [self.get_submodule(n) for n in names[part]] for part in names}

    def _separable(self, channels: int, out: int, *, bias: bool = True) -> list[str]:
        return [self._depthwise(channels, bias=bias), self._layer(channels, out)]

    def _depthwise(
        self, channels: int, *, side: int = 3, stride: int = 1, bias: bool = True
    ) -> str:
        return self._layer(channels, channels, side=side, stride=stride, groups=channels, bias=bias)

    def _layer(
        self,
        channels: int,
        out: int,
        *,
        side: int = 1,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> str:
        """Add the next convolution under its number; returns its name."""
        name = f"conv{self._count:02d}"
        self._count += 1
        made = nn.Conv2d(channels, out, side, stride, side // 2, groups=groups, bias=bias)
        self.add_module(name, made)
        return name


_BLOCKS_XS = (
    FearBlock(0, 3, 16),
    FearBlock(96, 3, 24, 2),
    FearBlock(0, 3, 24),
    FearBlock(0, 3, 24),
    FearBlock(144, 5, 32, 2),
    FearBlock(96, 5, 32),
    FearBlock(192, 5, 32),
    FearBlock(192, 3, 32),
    FearBlock(192, 5, 64, 2),
    FearBlock(192, 5, 64),
    FearBlock(384, 5, 64),
    FearBlock(384, 5, 64),
    FearBlock(384, 5, 112),
    FearBlock(672, 5, 112),
    FearBlock(672, 5, 112),
    FearBlock(336, 5, 112),
)
_TINY_BLOCKS = (
    FearBlock(0, 3, 4),
    FearBlock(8, 3, 4, 2),
    FearBlock(8, 5, 8, 2),
    FearBlock(16, 5, 8, 2),
)


def fear_xs(*, tiny: bool = False) -> Fear:
    """FEAR-XS: 256 channels, 16x16 cells; ``tiny`` has the same parts with few channels."""
    return Fear(4, _TINY_BLOCKS, 8) if tiny else Fear(16, _BLOCKS_XS, 256)
