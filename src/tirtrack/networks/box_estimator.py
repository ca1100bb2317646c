"""IoU-Net: how well does a box fit the target? One energy per proposal, smooth in the box.

The reference branch makes two *modulation vectors* of the target once, weights of the channels of
the two feature maps. The test branch makes features that do not depend on the target; weighted by
the modulation, pooled over a proposal and passed through two linear layers, they give the
proposal's energy (Danelljan et al., "ATOM", CVPR 2019, section 3.1). The training decides what the
energy means: an overlap, ``2 IoU - 1``, or the logarithm of a density.

Layer names are those of the published checkpoints; the numbers 3 and 4 in them mean the two feature
maps, ``layer2`` at stride 8 and ``layer3`` at stride 16.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tirtrack.networks.roi_pooling import ProposalPooling, precise_roi_pool

STRIDES = (8, 16)  # patch pixels per cell of the two feature maps
REFERENCE_BINS = (3, 1)  # bins per side of the pooling of the two maps
TEST_BINS = (5, 3)


class BoxEstimator(nn.Module):
    """Modulation from reference features, energies from test features.

    Args:
        channels: channels of the two backbone feature maps, at strides 8 and 16.
        input_dim: channels of the modulated features of either map.
        inter_dim: outputs of the linear layer of either map.
        width: channels of most inner layers; published 256.
    """

    REFERENCE = ("conv3_1r", "fc3_1r", "conv4_1r", "fc34_3r", "fc34_4r")
    TEST = ("conv3_1t", "conv3_2t", "conv4_1t", "conv4_2t", "fc3_rt", "fc4_rt", "iou_predictor")

    def __init__(
        self,
        channels: tuple[int, int],
        *,
        input_dim: tuple[int, int] = (256, 256),
        inter_dim: tuple[int, int] = (256, 256),
        width: int = 256,
    ) -> None:
        super().__init__()
        self.conv3_1r = _convolution(channels[0], width // 2)
        self.conv3_1t = _convolution(channels[0], width)
        self.conv3_2t = _convolution(width, input_dim[0])
        self.fc3_1r = _convolution(width // 2, width, padding=0)
        self.conv4_1r = _convolution(channels[1], width)
        self.conv4_1t = _convolution(channels[1], width)
        self.conv4_2t = _convolution(width, input_dim[1])
        self.fc34_3r = _convolution(2 * width, input_dim[0], kernel=1, padding=0)
        self.fc34_4r = _convolution(2 * width, input_dim[1], kernel=1, padding=0)
        self.fc3_rt = LinearBlock(input_dim[0] * TEST_BINS[0] ** 2, inter_dim[0])
        self.fc4_rt = LinearBlock(input_dim[1] * TEST_BINS[1] ** 2, inter_dim[1])
        self.iou_predictor = nn.Linear(sum(inter_dim), 1)

    def modulation(self, features: list[Tensor], boxes: Tensor) -> list[Tensor]:
        """The modulation vectors of the target.

        In training mode the batch norms here get one value per channel and sequence, so at least
        two sequences are needed.

        Args:
            features: features of the reference patches, ``[S,C,H,W]`` at strides 8 and 16.
            boxes: ``[S,4]`` xywh, patch pixels.

        Returns:
            Two ``[S,C,1,1]``, the weights of the channels of the two test feature maps.
        """
        joint = torch.cat(self.pooled_reference(features, boxes), dim=1)
        return [self.fc34_3r(joint), self.fc34_4r(joint)]

    def pooled_reference(self, features: list[Tensor], boxes: Tensor) -> list[Tensor]:
        """Features of the target, pooled from either map: two ``[S,width,1,1]``."""
        rois = rois_of(boxes[:, None])
        roi3, roi4 = (
            _pool(layer(maps), rois, bins, stride)
            for layer, maps, bins, stride in zip(
                (self.conv3_1r, self.conv4_1r), features, REFERENCE_BINS, STRIDES, strict=True
            )
        )
        return [self.fc3_1r(roi3), roi4]

    def test_features(self, features: list[Tensor]) -> list[Tensor]:
        """Features of test patches before modulation: two ``[B,C,H,W]``, strides 8 and 16.

        Args:
            features: backbone features, ``[B,C,H,W]`` at strides 8 and 16.
        """
        fine, coarse = features
        maps = [self.conv3_2t(self.conv3_1t(fine)), self.conv4_2t(self.conv4_1t(coarse))]
        # The layout that pooling needs: made once here, not in every step of a refinement.
        return [one.contiguous(memory_format=torch.channels_last) for one in maps]

    def energies(
        self, modulation: list[Tensor], test_features: list[Tensor], proposals: Tensor
    ) -> Tensor:
        """The energy of every proposal.

        Args:
            modulation: vectors from :meth:`modulation`, two ``[B,C,1,1]``.
            test_features: features from :meth:`test_features`, two ``[B,C,H,W]``.
            proposals: ``[B,P,4]`` xywh, patch pixels.

        Returns:
            ``[B,P]``, differentiable in all arguments.
        """
        rois = rois_of(proposals)
        count = proposals.shape[1]
        read = [
            # Pooling is linear: a few pooled cells are weighted instead of whole maps.
            layer(_pool(maps, rois, bins, stride) * weights.repeat_interleave(count, dim=0))
            for layer, maps, weights, bins, stride in zip(
                (self.fc3_rt, self.fc4_rt),
                test_features,
                modulation,
                TEST_BINS,
                STRIDES,
                strict=True,
            )
        ]
        values: Tensor = self.iou_predictor(torch.cat(read, dim=1))
        return values.view(proposals.shape[:2])

    @torch.no_grad()
    def energies_with_slopes(
        self, modulation: list[Tensor], test_features: list[Tensor], proposals: Tensor
    ) -> tuple[Tensor, Tensor]:
        """:meth:`energies` in evaluation mode, and their gradients by the proposals, without a
        graph: a refinement takes many steps of few numbers, in which a graph costs most of the
        time.

        Args:
            modulation: vectors from :meth:`modulation`, two ``[B,C,1,1]``.
            test_features: features from :meth:`test_features`, two ``[B,C,H,W]``.
            proposals: ``[B,P,4]`` xywh, patch pixels.

        Returns:
            ``[B,P]`` and ``[B,P,4]``.

        Raises:
            ValueError: a proposal is not finite.
        """
        layers = (self.fc3_rt, self.fc4_rt)
        widths = [layer.linear.out_features for layer in layers]
        by_read = torch.split(self.iou_predictor.weight[0], widths)
        values, slopes = self.iou_predictor.bias, torch.zeros_like(proposals)
        for layer, by_out, weights, maps, bins, stride in zip(
            layers, by_read, modulation, test_features, TEST_BINS, STRIDES, strict=True
        ):
            pooled = ProposalPooling.of(maps, proposals, bins, 1 / stride)
            shares = weights.repeat_interleave(proposals.shape[1], dim=0)
            read, by_pooled = layer.read_out(pooled.values.permute(0, 3, 1, 2) * shares, by_out)
            values = values + read
            by_values = (by_pooled * shares).permute(0, 2, 3, 1).contiguous()
            slopes = slopes + pooled.slopes(by_values).view_as(proposals)
        return values.view(proposals.shape[:2]), slopes

    def target_modulation(self, features: list[Tensor], boxes_patch: Tensor) -> list[Tensor]:
        """:meth:`modulation` from the first reference image alone, as in the published training.

        Args:
            features: ``[N,S,C,H,W]`` at strides 8 and 16.
            boxes_patch: ``[N,S,4]`` xywh, patch pixels.
        """
        return self.modulation([maps[0] for maps in features], boxes_patch[0])

    def proposal_energies(
        self, modulation: list[Tensor], features: list[Tensor], proposals: Tensor
    ) -> Tensor:
        """:meth:`energies` for several test images of several sequences.

        Args:
            modulation: two ``[S,C,1,1]``.
            features: backbone features, ``[M,S,C,H,W]`` at strides 8 and 16.
            proposals: ``[M,S,P,4]`` xywh, patch pixels.

        Returns:
            ``[M,S,P]``.
        """
        images = proposals.shape[0]
        test_features = self.test_features([maps.flatten(0, 1) for maps in features])
        repeated = [weights.repeat(images, 1, 1, 1) for weights in modulation]  # b = m * S + s
        values = self.energies(repeated, test_features, proposals.flatten(0, 1))
        return values.view(proposals.shape[:3])

    def modules_of(self, part: str) -> list[nn.Module]:
        """The layers of the branch ``reference`` or ``test``."""
        names = {"reference": self.REFERENCE, "test": self.TEST}[part]
        return [self.get_submodule(name) for name in names]

    def draw_weights(self, generator: torch.Generator) -> None:
        """Published initial values: normal of variance ``2 / fan_in``, zero biases, and weights of
        batch norms uniform in [0, 1).
        """
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                std = math.sqrt(2.0 / part.weight[0].numel())
                nn.init.normal_(part.weight, 0.0, std, generator)
                nn.init.zeros_(part.bias)  # type: ignore[arg-type]
            elif isinstance(part, nn.BatchNorm2d):
                part.reset_parameters()
                nn.init.uniform_(part.weight, 0.0, 1.0, generator)


class LinearBlock(nn.Module):
    """Pooled features ``[R,C,k,k]`` through a linear layer, batch norm and ReLU to ``[R,C']``."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inside, outside)
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, pooled: Tensor) -> Tensor:
        """Inputs are flattened in the order (channel, row, column)."""
        flat: Tensor = self.linear(pooled.flatten(1))
        return self.bn(flat[:, :, None, None]).flatten(1).relu()  # type: ignore[no-any-return]

    def read_out(self, pooled: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the outputs times ``weights [C']``, ``[R]``, and its gradient by the input,
        ``[R,C,k,k]``, in evaluation mode.

        With few boxes the large matrix is faster on the left of a product.
        """
        norm, matrix = self.bn, self.linear.weight
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        gain = norm.weight * (variance + norm.eps).rsqrt()
        offset = norm.bias + gain * (self.linear.bias - mean)
        out = gain[:, None] * (matrix @ pooled.flatten(1).T) + offset[:, None]  # [C',R]
        by_matrix = (weights * gain)[:, None] * (out > 0)
        return weights @ out.relu(), (by_matrix.T @ matrix).view(pooled.shape)


def rois_of(boxes: Tensor) -> Tensor:
    """Boxes ``[B,P,4]`` xywh as ``[B*P,5]``: image index, then x0, y0, x1, y1."""
    images, count = boxes.shape[:2]
    index = torch.arange(images, dtype=boxes.dtype, device=boxes.device)
    index = index[:, None, None].expand(images, count, 1)
    corners = [boxes[..., :2], boxes[..., :2] + boxes[..., 2:]]
    return torch.cat([index, *corners], dim=2).flatten(0, 1)


def _pool(maps: Tensor, rois: Tensor, bins: int, stride: int) -> Tensor:
    return precise_roi_pool(maps, rois, (bins, bins), 1.0 / stride)


def _convolution(inside: int, outside: int, *, kernel: int = 3, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, padding=padding),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )
