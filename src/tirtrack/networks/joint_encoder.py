"""A joint encoder: template and search patch pass through one transformer, as one sequence.

Both patches are cut into cells of 16x16 pixels and embedded; from the first block on, every cell
attends to all cells of both patches, so that the features of the search patch depend on the
template from the start. The search cells then form a map, on which a centre head finds the box. Ye
et al., "Joint Feature Learning and Relation Modeling for Tracking: A One-Stream Framework", ECCV
2022, sections 3.1 and 3.3, without the early elimination of candidates (3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tirtrack.boxes import xywh_to_xyxy
from tirtrack.crops import CropRule
from tirtrack.networks.backbones import imagenet_normalised
from tirtrack.networks.losses import masked_mean, overlap
from tirtrack.networks.response import DenseBoxes, Response, TargetModel
from tirtrack.networks.score_kinds import Focal
from tirtrack.networks.two_branch import (
    TwoBranchNetwork,
    check_patches,
    check_sequences,
    check_template,
    split_images,
)

CELL_SIDE = 16  # pixels of a patch along one side of a cell
TEMPLATE_FACTOR, SEARCH_FACTOR = 2.0, 4.0  # sides of the crops over sqrt(w h) of the target
MLP_RATIO = 4  # inner over outer width of a transformer's perceptron
GIOU_WEIGHT, L1_WEIGHT = 2.0, 5.0  # beside the focal loss, as published
FIRST_PROBABILITY = 0.1  # of every cell of a new network, so that the few targets are not drowned


@dataclass(frozen=True)
class Sizes:
    """Sizes of a joint encoder: token width, number of blocks and of attention heads, width of the
    first layer of the centre head; sides of template and search patch, pixels.
    """

    width: int
    blocks: int
    heads: int
    head_width: int
    template_side: int = 128
    search_side: int = 256


class JointEncoder(TwoBranchNetwork):
    """A transformer over the cells of both patches, and a centre head.

    The features of a patch are its embedded cells, since all that follows depends on both patches.
    The target model is one filter, the embedded template ``[S,C,h,w]``; the joint pass is part of
    every response. Scores are logits of the target's centre; boxes are dense.

    Args:
        sizes: sizes of all parts.
    """

    family = "joint"
    stride = CELL_SIDE

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.reference_crop = CropRule(sizes.template_side, TEMPLATE_FACTOR, "centred")
        self.test_crop = CropRule(sizes.search_side, SEARCH_FACTOR, "centred")
        self.score_kind = Focal(CELL_SIDE, sizes.search_side)
        self.box_kind = CentreBoxes(sizes.search_side)
        self.encoder = Encoder(sizes)
        self.centre_tower = _tower(sizes, 1)
        self.offset_tower = _tower(sizes, 2)
        self.size_tower = _tower(sizes, 2)

    def normalise(self, patches: Tensor) -> Tensor:
        """Patches ``[...,3,D,D]`` normalised by mean and deviation of ImageNet."""
        return imagenet_normalised(patches)

    def features(self, patches: Tensor) -> list[Tensor]:
        """Embedded cells of patches ``[N,S,3,D,D]``: one ``[N,S,C,D/16,D/16]``.

        Raises:
            ValueError: the patches have another shape.
        """
        check_patches(patches)
        flat: Tensor = self.encoder.embedding(self.normalise(patches.flatten(0, 1)))
        return [split_images(flat, patches.shape[:2])]

    def reference_from(self, features: list[Tensor], boxes_patch: Tensor) -> TargetModel:
        """The target model: the embedded template ``[S,C,h,w]``.

        Args:
            features: features from :meth:`features`.
            boxes_patch: unused; the target is at the centre of its template, and its size follows
                from the crop.

        Raises:
            ValueError: more than one reference image, or another number of cells.
        """
        (template,) = features
        check_template(template, self.reference_side // CELL_SIDE, self.reference_side)
        return TargetModel(filters=[template[0]])

    def respond_from(
        self, target: TargetModel, features: list[Tensor], proposals: Tensor | None = None
    ) -> Response:
        """Logits of the centre ``[M,S,n,n]`` and dense boxes ``[M,S,4,n,n]``.

        Raises:
            ValueError: proposals were given, or target and features are of different sequences.
        """
        if proposals is not None:
            raise ValueError("a joint encoder has a box at every cell, proposals must be None")
        (search,) = features  # [M,S,C,n,n]
        (template,) = target.filters  # [S,C,h,w]
        check_sequences(template, search)
        templates = template.expand(search.shape[0], *template.shape)  # [M,S,C,h,w]
        joint = self.encoder(templates.flatten(0, 1), search.flatten(0, 1))  # [B,C,n,n]
        logits, boxes = self.centre_tower(joint)[:, 0], self._boxes(joint)
        shape = search.shape[:2]
        return Response(
            target,
            features,
            [split_images(logits, shape)],
            split_images(boxes, shape),
            self.score_kind,
            self.box_kind,
        )

    def _boxes(self, joint: Tensor) -> Tensor:
        """Boxes ``[B,4,n,n]`` xywh, pixels of the search patch: in every cell the place of the
        centre, from the cell's corner, and the size, as a part of the patch.
        """
        corners = _grid(joint.shape[-1]).to(joint) * CELL_SIDE  # [2,n,n]
        centre_xy = corners + self.offset_tower(joint).sigmoid() * CELL_SIDE
        size_wh = self.size_tower(joint).sigmoid() * self.test_side
        return torch.cat([centre_xy - size_wh / 2, size_wh], dim=1)

    def draw_weights(self, generator: torch.Generator) -> None:
        """As for every network, but a new one expects the target in few cells."""
        super().draw_weights(generator)
        *_, bias = self.centre_tower.parameters()
        nn.init.constant_(bias, math.log(FIRST_PROBABILITY / (1 - FIRST_PROBABILITY)))

    def component_names(self) -> list[str]:
        """``backbone`` (embedding and transformer), ``target_filter`` (the scores of the centre
        head), ``box_estimator`` (its offsets and sizes).
        """
        return ["backbone", "target_filter", "box_estimator"]

    def modules_of(self, component: str) -> list[nn.Module]:
        """The modules of a component.

        Raises:
            ValueError: this family has no such component.
        """
        modules: dict[str, list[nn.Module]] = {
            "backbone": [self.encoder],
            "target_filter": [self.centre_tower],
            "box_estimator": [self.offset_tower, self.size_tower],
        }
        if component not in modules:
            raise ValueError(
                f'no component "{component}" in a joint encoder; it has {", ".join(modules)}'
            )
        return modules[component]


@dataclass(frozen=True)
class CentreBoxes(DenseBoxes):
    """Dense boxes that are learnt at the target's centre alone, with the published loss.

    Attributes:
        patch_side: side of the search patch, pixels.
    """

    patch_side: int

    def loss(
        self, given: Response, label: Tensor | None, boxes_patch: Tensor, present: Tensor
    ) -> Tensor:
        """Mean over centre cells of ``2 (1 - GIoU)``, and 5 times the mean distance of the sides,
        as a part of the patch.
        """
        if given.boxes is None or label is None:
            raise ValueError("boxes are learnt at the centres of a label, got None")
        dense = given.boxes.movedim(2, -1)  # [M,S,n,n,4]
        wanted = boxes_patch[:, :, None, None].to(dense.dtype).expand_as(dense)
        far = (xywh_to_xyxy(dense) - xywh_to_xyxy(wanted)).abs().mean(dim=-1) / self.patch_side
        errors = GIOU_WEIGHT * (1 - generalised_overlap(dense, wanted)) + L1_WEIGHT * far
        return masked_mean(errors, label == 1)


def generalised_overlap(a: Tensor, b: Tensor) -> Tensor:
    """GIoU of boxes ``[...,4]`` xywh of some area: the IoU less the share of their common hull that
    neither covers. Rezatofighi et al., "Generalized intersection over union", CVPR 2019.
    """
    iou = overlap(a, b)
    union = (a[..., 2:].prod(dim=-1) + b[..., 2:].prod(dim=-1)) / (1 + iou)
    a_xyxy, b_xyxy = xywh_to_xyxy(a), xywh_to_xyxy(b)
    left_top = torch.minimum(a_xyxy[..., :2], b_xyxy[..., :2])
    right_bottom = torch.maximum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    hull = (right_bottom - left_top).prod(dim=-1)
    return iou - (hull - union) / hull


class Encoder(nn.Module):
    """Embedding of cells, learnt positions for both patches, and the joint transformer."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(3, sizes.width, CELL_SIDE, stride=CELL_SIDE)
        self.template_positions = _positions(sizes.width, sizes.template_side // CELL_SIDE)
        self.search_positions = _positions(sizes.width, sizes.search_side // CELL_SIDE)
        self.blocks = nn.Sequential(*(Block(sizes.width, sizes.heads) for _ in range(sizes.blocks)))
        self.norm = nn.LayerNorm(sizes.width)

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        """Embedded cells ``[B,C,h,w]`` and ``[B,C,n,n]`` to the search map ``[B,C,n,n]``."""
        cells = [template + self.template_positions, search + self.search_positions]
        tokens = torch.cat([part.flatten(2) for part in cells], dim=2).transpose(1, 2)
        joint = self.norm(self.blocks(tokens))[:, -search[0, 0].numel() :]  # [B,n*n,C]
        return joint.transpose(1, 2).reshape(search.shape)  # type: ignore[no-any-return]


class Block(nn.Module):
    """A pre-norm transformer block: tokens ``[B,L,C]``, the same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens after attention to one another, then a perceptron each."""
        tokens = tokens + self.attention(self.attention_norm(tokens))
        return tokens + self.mlp(self.mlp_norm(tokens))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Multi-head self-attention: tokens ``[B,L,C]``, the same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """What every token gathers from all."""
        parts = self.queries_keys_values(tokens).unflatten(2, (3, self.heads, -1))
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)  # [B,heads,L,C/heads] each
        gathered = F.scaled_dot_product_attention(queries, keys, values)
        return self.projection(gathered.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _tower(sizes: Sizes, out: int) -> nn.Sequential:
    """Four 3x3 convolutions, each half as wide as the one before, and a last one to ``out`` maps:
    ``[B,C,n,n]`` to ``[B,out,n,n]``.
    """
    widths = [sizes.width, *(sizes.head_width // 2**layer for layer in range(4))]
    layers: list[nn.Module] = []
    for inside, outside in pairwise(widths):
        layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], out, 1))


def _positions(width: int, cells: int) -> nn.Parameter:
    """Positions ``[C,n,n]`` that training may change, at first sines and cosines of the place of a
    cell from the middle of its patch, at ``C / 4`` wavelengths along both axes.
    """
    rates = 10_000.0 ** (-torch.arange(width // 4) / (width // 4))  # radians a cell
    places = _grid(cells) + 0.5 - cells / 2  # [2,n,n]
    angles = (places[:, None] * rates[:, None, None]).flatten(0, 1)  # [C/2,n,n]
    return nn.Parameter(torch.cat([angles.sin(), angles.cos()]))


def _grid(cells: int) -> Tensor:
    """Column and row of every cell: ``[2,n,n]`` float32."""
    steps = torch.arange(cells, dtype=torch.float32)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([columns, rows])


_LITE = Sizes(width=192, blocks=6, heads=3, head_width=128)
_TINY = Sizes(width=32, blocks=2, heads=2, head_width=64, template_side=64, search_side=128)


def joint_lite(*, tiny: bool = False) -> JointEncoder:
    """A small joint encoder of our own, 192 wide and 6 blocks deep; ``tiny`` has the same parts
    with few channels, and patches of half the side.
    """
    return JointEncoder(_TINY if tiny else _LITE)
