"""ATOM-18: a backbone and the box estimator; its classifier is learnt online, for every target.

The published training changes only the box estimator, on a backbone with fixed ImageNet weights
(Danelljan et al., "ATOM: Accurate tracking by overlap maximization", CVPR 2019). So the network has
no score map, and its target model has no filters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tirtrack.crops import CropRule
from tirtrack.networks.backbones import (
    TappedBackbone,
    draw_fan_out,
    imagenet_normalised,
    resnet18,
)
from tirtrack.networks.box_estimator import BoxEstimator
from tirtrack.networks.response import IouEnergies, Response, TargetModel
from tirtrack.networks.two_branch import (
    TwoBranchNetwork,
    check_patches,
    check_sequences,
    split_images,
)

TAPS = ("layer2", "layer3")
_CROP = CropRule(288, 5.0, "centred")
_TINY_CROP = CropRule(96, 5.0, "centred")
_TINY_POWER = 1e-10


class Atom(TwoBranchNetwork):
    """A ResNet and an IoU-Net; energies are ``2 IoU - 1``.

    Args:
        backbone: backbone with the stages ``layer2`` and ``layer3``.
        crop: crop rule of both branches.
        width: channels in the box estimator.
    """

    family = "atom"
    stride = 16
    score_kind = None
    box_kind = IouEnergies()

    def __init__(self, backbone: TappedBackbone, crop: CropRule, *, width: int = 256) -> None:
        super().__init__()
        self.reference_crop = self.test_crop = crop
        self.feature_extractor = backbone
        channels = (backbone.channels[TAPS[0]], backbone.channels[TAPS[1]])
        dims = (width, width)
        self.bb_regressor = BoxEstimator(channels, input_dim=dims, inter_dim=dims, width=width)

    @property
    def box_estimator(self) -> BoxEstimator:
        """The IoU-Net, for trackers that call its parts one by one."""
        return self.bb_regressor

    def normalise(self, patches: Tensor) -> Tensor:
        """Patches ``[...,3,D,D]`` normalised by mean and scale of ImageNet."""
        return imagenet_normalised(patches)

    def features(self, patches: Tensor) -> list[Tensor]:
        """``layer2`` and ``layer3`` of patches ``[N,S,3,D,D]``: two ``[N,S,C,H,W]``.

        Raises:
            ValueError: the patches have another shape.
        """
        check_patches(patches)
        outputs = self.feature_extractor(self.normalise(patches.flatten(0, 1)), TAPS)
        return [split_images(outputs[tap], patches.shape[:2]) for tap in TAPS]

    def classification_features(self, layer3: Tensor) -> Tensor:
        """Features that filters are applied to, ``[B,C,H,W]``: those of the backbone, each image
        divided by its root mean square.
        """
        power = (layer3**2).mean(dim=(1, 2, 3), keepdim=True)
        return layer3 / (power + _TINY_POWER).sqrt()

    def reference_from(self, features: list[Tensor], boxes_patch: Tensor) -> TargetModel:
        """Two modulation vectors, from the first reference image; no filter."""
        return TargetModel([], self.bb_regressor.target_modulation(features, boxes_patch))

    def respond_from(
        self, target: TargetModel, features: list[Tensor], proposals: Tensor | None = None
    ) -> Response:
        """Energies of the proposals ``[M,S,P,4]``; neither scores nor boxes without proposals.

        Raises:
            ValueError: target and features are of different sequences.
        """
        check_sequences(target.modulation[0], features[0])
        energies = None
        if proposals is not None:
            energies = self.bb_regressor.proposal_energies(target.modulation, features, proposals)
        return Response(target, features, [], energies, self.score_kind, self.box_kind)

    def component_names(self) -> list[str]:
        """``backbone``, and the branches ``box_estimator.reference``, ``box_estimator.test``."""
        return ["backbone", "box_estimator.reference", "box_estimator.test"]

    def modules_of(self, component: str) -> list[nn.Module]:
        """The modules of a component, ``box_estimator`` as a whole among them.

        Raises:
            ValueError: ATOM has no such component.
        """
        whole: dict[str, nn.Module] = {
            "backbone": self.feature_extractor,
            "box_estimator": self.bb_regressor,
        }
        if component in whole:
            return [whole[component]]
        if component not in self.component_names():
            raise ValueError(
                f'no component "{component}" in ATOM; it has {", ".join(self.component_names())}'
            )
        return self.bb_regressor.modules_of(component.removeprefix("box_estimator."))

    def published_frozen(self) -> list[nn.Module]:
        """The backbone, with its batch norm statistics, which the published code updates."""
        return [self.feature_extractor]

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """Published initial values, except for the backbone: the published one is from ImageNet."""
        draw_fan_out(self.feature_extractor, generator)
        self.bb_regressor.draw_weights(generator)


def atom18(*, tiny: bool = False) -> Atom:
    """ATOM on ResNet-18; ``tiny`` has the same parts with few channels and patches of 96 px."""
    if tiny:
        return Atom(resnet18(tiny=True), _TINY_CROP, width=16)
    return Atom(resnet18(), _CROP)
