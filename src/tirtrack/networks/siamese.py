"""Common parts of the Siamese networks: the template is the target model.

Both branches run the same backbone. Its features of the template *are* the target model; a head
compares them with the features of the search patch and gives, for every cell of a map, logits of
target and background, and the distances to the four sides of the box. Nothing is learnt online.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tirtrack.networks.response import DenseBoxes, Response, TargetModel
from tirtrack.networks.score_kinds import Margin
from tirtrack.networks.two_branch import (
    TwoBranchNetwork,
    check_patches,
    check_sequences,
    check_template,
    split_images,
)

TEMPLATE_CELLS = 8  # a template patch has 8x8 cells
TEMPLATE_MAPS = TEMPLATE_CELLS**2  # pixel-wise correlation: one map per template cell


class SiameseNetwork(TwoBranchNetwork):
    """A backbone, and a head that compares the features of template and search patch.

    The target model is one filter, the template features ``[S,C,8,8]``; scores are margins, boxes
    are dense.

    Attributes:
        cells: cells per side of the score map, ``n``.
        backbone: module from normalised patches ``[B,3,D,D]`` to features ``[B,C,H,W]``.
    """

    family = "siamese"
    stride = 16
    score_kind: Margin
    box_kind = DenseBoxes()
    cells: int
    backbone: Callable[[Tensor], Tensor]

    @abstractmethod
    def from_levels(self, levels: Tensor) -> Tensor:
        """:meth:`normalise` for patches ``[...,3,D,D]`` that are RGB grey levels 0..255 already."""

    @abstractmethod
    def head(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and distances from template and search features.

        Args:
            template: ``[B,C,8,8]`` template features.
            search: ``[B,C,16,16]`` search features.

        Returns:
            Logits ``[B,2,n,n]``, channel 1 is the target; distances ``[B,4,n,n]`` of left, top,
            right and bottom side from the cell, patch pixels, all positive.
        """

    def normalise(self, patches: Tensor) -> Tensor:
        """Patches ``[...,3,D,D]``, RGB in [0, 1], normalised; 8-bit levels are exact."""
        return self.from_levels(patches * 255.0)

    def features(self, patches: Tensor) -> list[Tensor]:
        """Backbone features of patches ``[N,S,3,D,D]``: one ``[N,S,C,H,W]``.

        Raises:
            ValueError: the patches have another shape.
        """
        check_patches(patches)
        flat = self.backbone(self.normalise(patches.flatten(0, 1)))  # [B,C,H,W], b = n * S + s
        return [split_images(flat, patches.shape[:2])]

    def reference_from(self, features: list[Tensor], boxes_patch: Tensor) -> TargetModel:
        """The target model: template features ``[1,S,C,8,8]``.

        Args:
            features: features from :meth:`features`.
            boxes_patch: unused; the template is cut around the target by a fixed rule, so the
                patch itself says where and how large the target is.

        Raises:
            ValueError: more than one reference image, or not 8x8 cells.
        """
        (template,) = features
        check_template(template, TEMPLATE_CELLS, self.reference_side)
        return TargetModel(filters=[template[0]])

    def respond_from(
        self, target: TargetModel, features: list[Tensor], proposals: Tensor | None = None
    ) -> Response:
        """Margins ``[M,S,n,n]`` and dense boxes ``[M,S,4,n,n]`` from search features.

        Raises:
            ValueError: proposals were given, or target and features are of different sequences.
        """
        if proposals is not None:
            raise ValueError("a Siamese network has a box at every cell, proposals must be None")
        (search,) = features  # [M,S,C,16,16]
        (template,) = target.filters  # [S,C,8,8]
        check_sequences(template, search)
        templates = template.expand(search.shape[0], *template.shape)  # [M,S,C,8,8]
        logits, ltrb = self.head(templates.flatten(0, 1), search.flatten(0, 1))
        margin = logits[:, 1] - logits[:, 0]
        shape = search.shape[:2]
        return Response(
            target,
            features,
            [split_images(margin, shape)],
            split_images(self.boxes_from(ltrb), shape),
            self.score_kind,
            self.box_kind,
        )

    def boxes_from(self, ltrb: Tensor) -> Tensor:
        """Distances ``[B,4,n,n]`` as boxes ``[B,4,n,n]`` xywh, pixels of the search patch."""
        centres = self.score_kind.centres(self.cells, device=ltrb.device)
        left_top, right_bottom = ltrb[:, :2], ltrb[:, 2:]
        return torch.cat([centres.to(ltrb.dtype) - left_top, left_top + right_bottom], dim=1)

    def component_names(self) -> list[str]:
        """``backbone``, ``target_filter`` (the class side of the head), ``box_estimator``."""
        return ["backbone", "target_filter", "box_estimator"]

    def modules_of(self, component: str) -> list[nn.Module]:
        """The modules of a component.

        Raises:
            ValueError: this family has no such component.
        """
        if component not in self.component_names():
            raise ValueError(
                f'no component "{component}" in a Siamese network; it has backbone, '
                "target_filter, box_estimator"
            )
        return self._parts()[component]

    @abstractmethod
    def _parts(self) -> dict[str, list[nn.Module]]:
        """The modules of every component."""


def correlate_cells(template: Tensor, search: Tensor) -> Tensor:
    """Each of the 64 template cells as a 1x1 filter: ``[B,C,8,8]``, ``[B,C,H,W]`` to
    ``[B,64,H,W]``; map p belongs to template cell p, row-major.
    """
    maps = template.flatten(2).transpose(1, 2) @ search.flatten(2)  # [B,64,H*W]
    return maps.reshape(*maps.shape[:2], *search.shape[2:])
