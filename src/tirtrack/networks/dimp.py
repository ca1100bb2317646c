"""DiMP and its descendants: a filter predicted from reference images, and the box estimator.

A head makes classification features from ``layer3`` of the backbone. On the reference images an
initialiser pools the first filter from them and an optimiser improves it by steepest descent; on
the test images every iterate gives a score map. The box estimator (``box_estimator.py``) uses
``layer2`` and ``layer3``. The networks differ only in their :class:`DimpSettings`; the table of all
is at the end.

Bhat et al., "Learning discriminative model prediction for tracking" (ICCV 2019); Danelljan et al.,
"Probabilistic regression for visual tracking" (CVPR 2020). Modules have the names of the published
checkpoints. Read :class:`Dimp` first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from tirtrack.crops import CropRule
from tirtrack.networks.backbones import (
    BasicBlock,
    TappedBackbone,
    bgr_levels,
    draw_fan_out,
    imagenet_normalised,
    mobilenet_v2,
    nanotrack_v3,
    resnet18,
    resnet50,
)
from tirtrack.networks.box_estimator import BoxEstimator
from tirtrack.networks.filter_optimisers import (
    DimpOptimiser,
    HingeResidualOptimiser,
    PrdimpOptimiser,
    SteepestDescent,
)
from tirtrack.networks.response import (
    BoxKind,
    IouEnergies,
    LogDensityEnergies,
    Response,
    TargetModel,
)
from tirtrack.networks.score_kinds import Density, Hinge
from tirtrack.networks.target_filter import FilterInitialiser, InstanceL2Norm, apply_filter
from tirtrack.networks.two_branch import (
    TwoBranchNetwork,
    check_patches,
    check_sequences,
    split_images,
)

STRIDE = 16  # patch pixels per cell of layer3 and of score maps
LABEL_SIGMA = 0.25  # sigma of labels, as a fraction of the target's side
_CROP = CropRule(288, 5.0, "replicate")


@dataclass(frozen=True)
class DimpSettings:
    """All differences between networks of this family, with the names of the published constructors
    if they have one.

    Attributes:
        optimiser: function that makes the optimiser for a label sigma in cells.
        backbone: function that makes the backbone; takes ``tiny``.
        taps: stages of the backbone at stride 8 and 16.
        normalise: function that normalises patches for the backbone.
        crop: crop rule of both branches.
        filter_size: cells per side of the filter.
        clf_feat_blocks: residual blocks of the head before its last convolution.
        out_feature_dim: channels of classification features and filter.
        init_initializer: kind of new weights of the initialiser; ``zero`` gives a zero filter.
        iou_input_dim: channels of the modulated features of the box estimator.
        iou_inter_dim: outputs of its linear layers.
        iou_width: channels of its inner layers.
        score_kind: class of the kind of the scores.
        box_kind: kind of the energies.
        frozen_backbone_layers: layers that the published training keeps frozen.
    """

    optimiser: Callable[[float], SteepestDescent]
    backbone: Callable[..., TappedBackbone] = resnet18
    taps: tuple[str, str] = ("layer2", "layer3")
    normalise: Callable[[Tensor], Tensor] = imagenet_normalised
    crop: CropRule = _CROP
    filter_size: int = 4
    clf_feat_blocks: int = 1
    out_feature_dim: int = 256
    init_initializer: Literal["default", "zero"] = "default"
    iou_input_dim: tuple[int, int] = (256, 256)
    iou_inter_dim: tuple[int, int] = (256, 256)
    iou_width: int = 256
    score_kind: type[Hinge | Density] = Hinge
    box_kind: BoxKind = field(default_factory=IouEnergies)
    frozen_backbone_layers: tuple[str, ...] = ()

    @property
    def label_sigma_cells(self) -> float:
        """Sigma of the training label: a quarter of the target's side, in cells."""
        if self.crop.area_factor is None:
            raise ValueError("crop must have an area factor, got None")
        return LABEL_SIGMA / self.crop.area_factor * self.crop.patch_side / STRIDE

    def tiny(self) -> DimpSettings:
        """The same parts with few channels, on patches of 96 px."""
        return replace(
            self,
            backbone=partial(self.backbone, tiny=True),
            crop=replace(self.crop, patch_side=96),
            out_feature_dim=16,
            iou_input_dim=(16, 16),
            iou_inter_dim=(16, 16),
            iou_width=16,
        )


class Dimp(TwoBranchNetwork):
    """A backbone, a target filter learnt from the reference images, and a box estimator.

    The target model holds the first filter and all iterates of the optimiser, and two modulation
    vectors from the first reference image. Every iterate gives a score map, every proposal an
    energy.

    Args:
        settings: settings of one network of the family.
    """

    family = "dimp"
    stride = STRIDE
    score_kind: Hinge | Density

    def __init__(self, settings: DimpSettings) -> None:
        super().__init__()
        self.settings = settings
        self.reference_crop = self.test_crop = settings.crop
        side, sigma = settings.crop.patch_side, settings.label_sigma_cells
        self.score_kind = settings.score_kind(STRIDE, side, sigma)
        self.box_kind = settings.box_kind
        self.feature_extractor = settings.backbone()
        fine, coarse = (self.feature_extractor.channels[tap] for tap in settings.taps)
        self.classifier = Classifier(settings, coarse)
        self.bb_regressor = BoxEstimator(
            (fine, coarse),
            input_dim=settings.iou_input_dim,
            inter_dim=settings.iou_inter_dim,
            width=settings.iou_width,
        )

    @property
    def box_estimator(self) -> BoxEstimator:
        """The IoU-Net, for trackers that call its parts one by one."""
        return self.bb_regressor

    @property
    def optimiser(self) -> SteepestDescent:
        """The filter optimiser: ``optimiser(filters, classification features, boxes)``."""
        return self.classifier.filter_optimizer

    def normalise(self, patches: Tensor) -> Tensor:
        """Patches ``[...,3,D,D]`` normalised for the backbone."""
        return self.settings.normalise(patches)

    def features(self, patches: Tensor) -> list[Tensor]:
        """``layer2`` and ``layer3`` of patches ``[N,S,3,D,D]``: two ``[N,S,C,H,W]``.

        Raises:
            ValueError: the patches have another shape.
        """
        check_patches(patches)
        taps = self.settings.taps
        outputs = self.feature_extractor(self.normalise(patches.flatten(0, 1)), taps)
        return [split_images(outputs[tap], patches.shape[:2]) for tap in taps]

    def classification_features(self, layer3: Tensor) -> Tensor:
        """Features that filters are applied to: ``[B,C',H,W]`` from ``[B,C,H,W]`` of the backbone,
        with the same norm for each image.
        """
        return self.classifier.feature_extractor(layer3)  # type: ignore[no-any-return]

    def initial_filter(self, clf_features: Tensor, boxes_patch: Tensor) -> Tensor:
        """The filter before any step, from ``[N,S,C,H,W]`` and ``[N,S,4]``: ``[S,C,k,k]``."""
        return self.classifier.filter_initializer(clf_features, boxes_patch)  # type: ignore[no-any-return]

    def scores(self, filters: Tensor, clf_features: Tensor) -> Tensor:
        """Score maps ``[N,S,H',W']`` of filters ``[S,C,k,k]`` on ``[N,S,C,H,W]``."""
        return apply_filter(clf_features, filters)

    def reference_from(self, features: list[Tensor], boxes_patch: Tensor) -> TargetModel:
        """All iterates of the filter, from all reference images; modulation from the first.

        Args:
            features: features from :meth:`features`, ``[N,S,C,H,W]``.
            boxes_patch: ``[N,S,4]`` xywh, patch pixels.
        """
        clf_features = self._classification_features(features)
        first = self.initial_filter(clf_features, boxes_patch)
        run = self.optimiser(first, clf_features, boxes_patch, with_losses=False)
        modulation = self.bb_regressor.target_modulation(features, boxes_patch)
        return TargetModel(run.filters, modulation)

    def respond_from(
        self, target: TargetModel, features: list[Tensor], proposals: Tensor | None = None
    ) -> Response:
        """A score map ``[M,S,H',W']`` for every filter, and the energies of the proposals.

        Raises:
            ValueError: target and features are of different sequences.
        """
        check_sequences(target.filters[0], features[0])
        filters = torch.stack(target.filters, dim=1)  # [S,K,C,k,k]
        scores = apply_filter(self._classification_features(features), filters)  # [M,S,K,H',W']
        energies = None
        if proposals is not None:
            energies = self.bb_regressor.proposal_energies(target.modulation, features, proposals)
        maps = list(scores.unbind(2))
        return Response(target, features, maps, energies, self.score_kind, self.box_kind)

    def _classification_features(self, features: list[Tensor]) -> Tensor:
        coarse = features[1]  # [N,S,C,H,W]
        flat = self.classification_features(coarse.flatten(0, 1))
        return split_images(flat, coarse.shape[:2])

    def component_names(self) -> list[str]:
        """``backbone``, the three parts of ``target_filter``, the two of ``box_estimator``."""
        parts = [f"target_filter.{part}" for part in Classifier.PARTS]
        return ["backbone", *parts, "box_estimator.reference", "box_estimator.test"]

    def modules_of(self, component: str) -> list[nn.Module]:
        """The modules of a component, whole or a part.

        Raises:
            ValueError: this family has no such component.
        """
        whole: dict[str, nn.Module] = {
            "backbone": self.feature_extractor,
            "target_filter": self.classifier,
            "box_estimator": self.bb_regressor,
        }
        if component in whole:
            return [whole[component]]
        if component not in self.component_names():
            raise ValueError(
                f'no component "{component}" in a network of the DiMP family; it has '
                f"{', '.join(self.component_names())}"
            )
        name, part = component.split(".")
        if name == "target_filter":
            return [self.classifier.get_submodule(Classifier.PARTS[part])]
        return self.bb_regressor.modules_of(part)

    def published_frozen(self) -> list[nn.Module]:
        """The first layers of the backbone (SuperDiMP), or nothing."""
        names = self.settings.frozen_backbone_layers
        return [self.feature_extractor.get_submodule(name) for name in names]

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """Published initial values, except for the backbone: the published one is from ImageNet."""
        draw_fan_out(self.feature_extractor, generator)
        if self.settings.normalise is bgr_levels:
            next(self.feature_extractor.parameters()).div_(128.0)  # levels of 0..255
        draw_fan_out(self.classifier.feature_extractor, generator)
        self.classifier.filter_initializer.draw_weights(generator)
        initial = self.settings.optimiser(self.settings.label_sigma_cells)  # no random draw
        self.optimiser.load_state_dict(initial.state_dict())
        self.bb_regressor.draw_weights(generator)


class Classifier(nn.Module):
    """The parts of the target filter, under their published names.

    Args:
        settings: settings of one network of the family.
        channels: channels of the backbone features at stride 16.
    """

    PARTS: ClassVar = {
        "head": "feature_extractor",
        "initialiser": "filter_initializer",
        "optimiser": "filter_optimizer",
    }

    def __init__(self, settings: DimpSettings, channels: int) -> None:
        super().__init__()
        width, side = settings.out_feature_dim, settings.filter_size
        self.filter_initializer = FilterInitialiser(
            width,
            filter_size=side,
            feature_stride=STRIDE,
            init_initializer=settings.init_initializer,
        )
        self.filter_optimizer = settings.optimiser(settings.label_sigma_cells)
        self.feature_extractor = nn.Sequential(
            *(BasicBlock(channels, channels) for _ in range(settings.clf_feat_blocks)),
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            InstanceL2Norm(scale=math.sqrt(1 / (width * side**2))),
        )


def _dimp(sigma_cells: float) -> DimpOptimiser:
    return DimpOptimiser(
        optim_init_step=0.9,
        optim_init_reg=0.1,
        init_gauss_sigma=sigma_cells,
        num_dist_bins=100,
        bin_displacement=0.1,
        mask_init_factor=3.0,
    )


def _prdimp(sigma_cells: float) -> PrdimpOptimiser:
    return PrdimpOptimiser(
        optim_init_step=1.0,
        optim_init_reg=0.05,
        optim_min_reg=0.05,
        gauss_sigma=sigma_cells,
        alpha_eps=0.05,
        normalize_label=True,
    )


def _hinge_residual(sigma_cells: float) -> HingeResidualOptimiser:
    return HingeResidualOptimiser(
        optim_init_reg=0.1, label_sigma_cells=sigma_cells, activation_leak=0.1
    )


DIMP18 = DimpSettings(_dimp)
DIMP50 = replace(DIMP18, backbone=resnet50, clf_feat_blocks=0, out_feature_dim=512)
SUPERDIMP50 = replace(
    DIMP50,
    crop=CropRule(352, 6.0, "inside_major", 1.5),
    box_kind=LogDensityEnergies(weight=0.01),
    frozen_backbone_layers=("conv1", "bn1", "layer1", "layer2"),
)
SUPERDIMP_SIMPLE = replace(SUPERDIMP50, optimiser=_hinge_residual)
PRDIMP18 = replace(
    DIMP18,
    optimiser=_prdimp,
    init_initializer="zero",
    score_kind=Density,
    box_kind=LogDensityEnergies(weight=0.0025),
)
PRDIMP50 = replace(PRDIMP18, backbone=resnet50, clf_feat_blocks=0, out_feature_dim=512)
# Small enough for two cores; the backbone was chosen by measurement (docs/evidence_appendix.md).
DIMP_LITE = replace(
    DIMP18,
    backbone=nanotrack_v3,
    taps=("features.3", "features.9"),
    normalise=bgr_levels,
    crop=CropRule(256, 5.0, "replicate"),
    clf_feat_blocks=0,
    out_feature_dim=64,
    iou_input_dim=(64, 64),
    iou_inter_dim=(64, 64),
    iou_width=64,
    box_kind=LogDensityEnergies(weight=0.01),
)
DIMP_LITE_MOBILENET = replace(
    DIMP_LITE,
    backbone=partial(mobilenet_v2, links=14),
    taps=("features.6", "features.13"),
    normalise=imagenet_normalised,
)


def dimp(settings: DimpSettings, *, tiny: bool = False) -> Dimp:
    """A network of the family; ``tiny`` has the same parts with few channels."""
    return Dimp(settings.tiny() if tiny else settings)


def dimp_lite(*, tiny: bool = False) -> Dimp:
    """DiMP on the backbone of NanoTrack V3, whose tiny form is a shorter chain."""
    if not tiny:
        return Dimp(DIMP_LITE)
    return Dimp(replace(DIMP_LITE.tiny(), taps=("features.2", "features.4")))
