"""Backbones with features at named stages: ResNet-18/50, MobileNetV2, that of NanoTrack V3.

A backbone is a chain of stages, which runs only up to the last stage whose output is wanted: the
end of a ResNet (``layer4``, ``fc``), which published checkpoints hold and no tracker needs, costs
nothing. Modules have the names of the published checkpoints, so their keys are the keys of the
files. Read :class:`TappedBackbone` first.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from tirtrack.networks import nanotrack


class TappedBackbone(nn.Module, ABC):
    """A chain of stages with outputs by name.

    Attributes:
        channels: channels of the output of every stage.
        strides: stride of the output of every stage, patch pixels per cell.
    """

    channels: dict[str, int]
    strides: dict[str, int]

    @abstractmethod
    def stages(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The stages in order, each a function of the output of the stage before."""

    def forward(self, patches: Tensor, taps: Iterable[str]) -> dict[str, Tensor]:
        """The outputs of the named stages, in order; stages after the last of them are not run.

        Args:
            patches: ``[B,3,D,D]``, normalised.
            taps: names of stages.

        Returns:
            Stage to ``[B,C,H,W]``, ``H = ceil(D / stride)``.

        Raises:
            ValueError: there is no such stage.
        """
        stages, wanted = self.stages(), set(taps)
        if wanted - stages.keys():
            raise ValueError(f"no stage {sorted(wanted - stages.keys())}, there are {[*stages]}")
        if patches.device.type == "cpu" and not torch.is_grad_enabled():
            # This layout is up to twice as fast for all later layers. Not in training: with it the
            # backward pass of a strided 1x1 convolution of 8 channels ends the process (torch 2.13
            # with AVX-512, two threads).
            patches = patches.contiguous(memory_format=torch.channels_last)
        outputs: dict[str, Tensor] = {}
        for name, stage in stages.items():
            if len(outputs) == len(wanted):
                break
            patches = stage(patches)
            if name in wanted:
                outputs[name] = patches
        return outputs


class ResNet(TappedBackbone):
    """The ImageNet residual network; its 3x3 convolutions have the strides.

    Stages are ``conv1`` (with batch norm and ReLU, before the pool), ``layer1`` to ``layer4`` and
    ``fc``, as in He et al., "Deep residual learning for image recognition" (CVPR 2016).

    Args:
        block: :class:`BasicBlock` or :class:`Bottleneck`.
        depths: blocks of the four layers.
        width: channels of ``conv1``; each layer has twice the width of the one before.
        classes: outputs of ``fc``.
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        depths: tuple[int, int, int, int],
        *,
        width: int = 64,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        widths = [width * 2**layer for layer in range(4)]
        outside = [width, *(inner * block.EXPANSION for inner in widths)]
        self.layer1 = _layer(block, outside[0], widths[0], depth=depths[0], stride=1)
        self.layer2 = _layer(block, outside[1], widths[1], depth=depths[1], stride=2)
        self.layer3 = _layer(block, outside[2], widths[2], depth=depths[2], stride=2)
        self.layer4 = _layer(block, outside[3], widths[3], depth=depths[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(outside[4], classes)
        names = ["conv1", "layer1", "layer2", "layer3", "layer4"]
        self.channels = dict(zip(names, outside, strict=True))
        self.strides = {name: 2 ** (place + 1) for place, name in enumerate(names)}

    def stages(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """``conv1``, ``layer1`` .. ``layer4``, and ``fc``, whose output is ``[B,classes]``."""
        return {
            "conv1": lambda patches: self.relu(self.bn1(self.conv1(patches))),
            "layer1": lambda features: self.layer1(self.maxpool(features)),
            "layer2": self.layer2,
            "layer3": self.layer3,
            "layer4": self.layer4,
            "fc": lambda features: self.fc(self.avgpool(features).flatten(1)),
        }


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the ReLU follows the sum."""

    EXPANSION = 1

    def __init__(self, inside: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inside, width, stride)

    def forward(self, features: Tensor) -> Tensor:
        """``[B,C,H,W]`` to ``[B,width,H/stride,W/stride]``."""
        out = self.relu(self.bn1(self.conv1(features)))
        out = self.bn2(self.conv2(out))
        kept = features if self.downsample is None else self.downsample(features)
        return self.relu(out + kept)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolution, with four times the width at the output."""

    EXPANSION = 4

    def __init__(self, inside: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        outside = width * self.EXPANSION
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outside, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inside, outside, stride)

    def forward(self, features: Tensor) -> Tensor:
        """``[B,C,H,W]`` to ``[B,4*width,H/stride,W/stride]``."""
        out = self.relu(self.bn1(self.conv1(features)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        kept = features if self.downsample is None else self.downsample(features)
        return self.relu(out + kept)  # type: ignore[no-any-return]


class SequentialBackbone(TappedBackbone):
    """A chain of links ``features.0``, ``features.1``, ..., which are the stages.

    Args:
        features: links of the chain; each ends with a batch norm, or with one and an activation.
    """

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.channels, self.strides = {}, {}
        stride = 1
        for place, link in enumerate(features):
            layers = list(link.modules())
            stride *= math.prod(p.stride[0] for p in layers if isinstance(p, nn.Conv2d))
            norms = [part for part in layers if isinstance(part, nn.BatchNorm2d)]
            self.channels[f"features.{place}"] = norms[-1].num_features
            self.strides[f"features.{place}"] = stride

    def stages(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The links of the chain."""
        return dict(zip(self.channels, self.features, strict=True))


class InvertedResidual(nn.Module):
    """Expansion (optional), depthwise 3x3 convolution, projection; plus the input if shapes allow.

    Sandler et al., "MobileNetV2" (CVPR 2018), table 1.
    """

    def __init__(self, inside: int, outside: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inside * expansion
        layers: list[nn.Module] = _conv6(inside, hidden, kernel=1) if expansion != 1 else []
        layers += _conv6(hidden, hidden, kernel=3, stride=stride, groups=hidden)
        layers += [nn.Conv2d(hidden, outside, 1, bias=False), nn.BatchNorm2d(outside)]
        self.conv = nn.Sequential(*layers)
        self.identity = stride == 1 and inside == outside

    def forward(self, features: Tensor) -> Tensor:
        """``[B,C,H,W]`` to ``[B,C',H/stride,W/stride]``."""
        out: Tensor = self.conv(features)
        return features + out if self.identity else out


def resnet18(*, tiny: bool = False) -> ResNet:
    """ResNet-18; ``tiny`` has the same parts with few channels."""
    return ResNet(BasicBlock, (2, 2, 2, 2), **(_TINY_RESNET if tiny else {}))


def resnet50(*, tiny: bool = False) -> ResNet:
    """ResNet-50; ``tiny`` has the same parts with few channels."""
    return ResNet(Bottleneck, (3, 4, 6, 3), **(_TINY_RESNET if tiny else {}))


def mobilenet_v2(*, tiny: bool = False, links: int | None = None) -> SequentialBackbone:
    """The features of MobileNetV2, without its classifier; normalised as for ResNets.

    Args:
        tiny: whether the same parts have few channels.
        links: number of links of the chain, of 19; ``None``: all.
    """
    share = 8 if tiny else 1
    widths = [32 // share]
    chain: list[nn.Module] = [nn.Sequential(*_conv6(3, widths[0], kernel=3, stride=2))]
    for expansion, channels, blocks, first_stride in _MOBILENET_V2:
        for stride in [first_stride] + [1] * (blocks - 1):
            widths.append(channels // share)
            chain.append(InvertedResidual(*widths[-2:], expansion=expansion, stride=stride))
    chain.append(nn.Sequential(*_conv6(widths[-1], 1280 // share, kernel=1)))
    return SequentialBackbone(nn.Sequential(*chain[:links]))


def nanotrack_v3(*, tiny: bool = False) -> SequentialBackbone:
    """The backbone of NanoTrack V3; its input is BGR grey levels 0..255."""
    chain = nanotrack.nanotrack_v3(tiny=tiny).get_submodule("backbone.features")
    return SequentialBackbone(nn.Sequential(*chain.children()))


def imagenet_normalised(patches: Tensor) -> Tensor:
    """Patches ``[...,3,D,D]``, RGB in [0, 1], normalised by mean and scale of ImageNet."""
    mean = patches.new_tensor(_IMAGENET_MEAN)[:, None, None]
    return (patches - mean) / patches.new_tensor(_IMAGENET_STD)[:, None, None]


def bgr_levels(patches: Tensor) -> Tensor:
    """Patches ``[...,3,D,D]``, RGB in [0, 1], as BGR levels 0..255 for the NanoTrack backbone."""
    return patches.flip(-3) * 255.0


def draw_fan_out(module: nn.Module, generator: torch.Generator) -> None:
    """Published initial values of residual networks: convolutions normal of variance
    ``2 / fan_out``, batch norm neutral, all biases of convolutions zero, linear layers uniform.

    Args:
        module: module whose parameters are set in place, frozen or not.
        generator: generator of the values, on the CPU.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            fan_out = part.weight[0, 0].numel() * part.out_channels // part.groups
            nn.init.normal_(part.weight, 0.0, math.sqrt(2.0 / fan_out), generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            bound = 1.0 / math.sqrt(part.in_features)
            nn.init.uniform_(part.weight, -bound, bound, generator)
            nn.init.uniform_(part.bias, -bound, bound, generator)
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_parameters()  # constants, no random draw


def _layer(
    block: type[BasicBlock | Bottleneck], inside: int, width: int, *, depth: int, stride: int
) -> nn.Sequential:
    outside = width * block.EXPANSION
    first = block(inside, width, stride=stride)
    return nn.Sequential(first, *(block(outside, width) for _ in range(depth - 1)))


def _shortcut(inside: int, outside: int, stride: int) -> nn.Sequential | None:
    """A projection where the shape changes."""
    if stride == 1 and inside == outside:
        return None
    projection = nn.Conv2d(inside, outside, 1, stride=stride, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(outside))


def _conv6(
    inside: int, outside: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution, batch norm, ReLU6."""
    convolution = nn.Conv2d(
        *(inside, outside, kernel, stride, kernel // 2), groups=groups, bias=False
    )
    return [convolution, nn.BatchNorm2d(outside), nn.ReLU6(inplace=True)]


_IMAGENET_MEAN = (0.485, 0.456, 0.406)  # red, green, blue
_IMAGENET_STD = (0.229, 0.224, 0.225)

_TINY_RESNET = {"width": 4, "classes": 10}

# Expansion, channels, blocks, stride of the first block: MobileNetV2, table 2.
_MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
