"""The settings of ATOM, and the published parameter sets as presets."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from tirtrack.errors import RecipeError, did_you_mean
from tirtrack.trackers.dimp_presets import COMMON, SAFETY, VOT18_AUGMENTATION
from tirtrack.trackers.online_settings import OnlineSettings

Activation = Literal["none", "relu", "elu"] | tuple[Literal["mlu"], float]


class AtomTrackerSettings(OnlineSettings):
    """All settings of ATOM's online loop."""

    fills_by_weight: ClassVar[bool] = True

    # the search region
    max_image_sample_size: int = Field(ge=256, description="largest area of a sample, pixels")
    min_image_sample_size: int = Field(ge=256, description="smallest area of a sample, pixels")
    search_area_shape: Literal["square", "initrect"] = Field(
        description="shape of a sample; initrect: the first box's aspect ratio"
    )
    feature_size_odd: bool = Field(description="use samples with an odd number of cells")
    score_upsample_factor: int = Field(
        ge=1, description="cells of the fine score map per sample pixel"
    )

    # the classifier
    kernel_size: tuple[int, int] = Field(description="sides of the filter, cells")
    compressed_dim: int = Field(ge=1, description="channels after the projection")
    output_sigma_factor: float = Field(
        gt=0, description="sigma of the label function over sqrt(w*h)"
    )
    filter_reg: float = Field(gt=0, description="weight of the regularisation of the filter")
    projection_reg: float = Field(
        gt=0, description="weight of the regularisation of the projection"
    )
    projection_activation: Activation = Field(description="activation of the compressed features")
    response_activation: Activation = Field(description="activation of the scores")
    proj_init_method: Literal["randn", "pca"] = Field(
        description="how the projection is initialised"
    )
    filter_init_method: Literal["randn", "zeros"] = Field(
        description="how the filter is initialised"
    )
    update_projection_matrix: bool = Field(
        description="learn projection and filter together in the first frame"
    )
    init_cg_iter: int = Field(
        ge=1, description="conjugate gradient iterations in the first frame, in all"
    )
    init_gn_iter: int = Field(ge=1, description="Gauss-Newton iterations in the first frame")
    post_init_cg_iter: int = Field(
        ge=0, description="further iterations in the first frame, for the filter alone"
    )
    cg_iter: int = Field(
        ge=0, description="conjugate gradient iterations in every train_skipping-th frame"
    )
    hard_negative_cg_iter: int = Field(
        ge=0, description="conjugate gradient iterations beside a distractor"
    )
    fletcher_reeves: bool = Field(
        description="use the Fletcher-Reeves formula after the first frame"
    )
    cg_forgetting_rate: float | None = Field(
        ge=0, description="forgetting rate of the directions of earlier frames; none: forget all"
    )

    # the box
    iounet_not_use_reference: bool = Field(
        description="replace the modulation by its mean strength, as a control"
    )


_DEFAULT: dict[str, Any] = {
    **COMMON,
    "search_area_scale": 5.0,
    "search_area_shape": "square",
    "scale_factors": (1.0,),
    "max_image_sample_size": 288**2,
    "min_image_sample_size": 288**2,
    "feature_size_odd": False,
    "score_upsample_factor": 1,
    "augmentation": VOT18_AUGMENTATION,
    "augmentation_expansion_factor": 2.0,
    "sample_memory_size": 250,
    "learning_rate": 0.01,
    "init_samples_minimum_weight": 0.25,
    "train_skipping": 10,
    "kernel_size": (4, 4),
    "compressed_dim": 64,
    "output_sigma_factor": 1 / 4,
    "filter_reg": 0.1,
    "projection_reg": 1e-4,
    "projection_activation": "none",
    "response_activation": ("mlu", 0.05),
    "proj_init_method": "randn",
    "filter_init_method": "randn",
    "update_projection_matrix": True,
    "init_cg_iter": 60,
    "init_gn_iter": 6,
    "post_init_cg_iter": 0,
    "cg_iter": 5,
    "hard_negative_cg_iter": 5,
    "fletcher_reeves": False,
    "cg_forgetting_rate": None,
    "target_not_found_threshold": 0.25,
    "distractor_threshold": 0.8,
    "hard_negative_threshold": 0.5,
    "displacement_scale": 0.8,
    "window_output": False,
    "perform_hn_without_windowing": False,
    "use_iou_net": True,
    "iounet_not_use_reference": False,
}

# name of a published set -> (base set, changed values)
_SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "default_vot": (
        "default",
        {
            "max_image_sample_size": 224**2,
            "min_image_sample_size": 224**2,
            "search_area_scale": 4.0,
            "learning_rate": 0.0075,
            "init_samples_minimum_weight": None,
            "window_output": True,
            "target_not_found_threshold": -1.0,
            "distractor_threshold": 100.0,
            "hard_negative_threshold": 0.3,
            "displacement_scale": 0.7,
        },
    ),
    "atom_prob_ml": (
        "default",
        {
            "box_refinement_space": "relative",
            "box_refinement_iter": 10,
            "box_refinement_step_length": (2e-4, 1e-3),
        },
    ),
    "atom_gmm_sampl": ("atom_prob_ml", {"box_refinement_step_length": (1e-2, 5e-2)}),
    "multiscale_no_iounet": (
        "default",
        {
            "use_iou_net": False,
            # 1.02 to the powers -2..2, in float32
            "scale_factors": (
                0.9611688256263733,
                0.9803921580314636,
                1.0,
                1.0199999809265137,
                1.0403999090194702,
            ),
        },
    ),
}

_PRESETS = {
    "published": "default",
    "published_vot": "default_vot",
    "published_prob_ml": "atom_prob_ml",
    "published_gmm_sampl": "atom_gmm_sampl",
    "published_multiscale_no_iounet": "multiscale_no_iounet",
}


def published_set(name: str) -> AtomTrackerSettings:
    """A published parameter set by its published name.

    >>> published_set("default_vot").search_area_scale
    4.0
    """
    return AtomTrackerSettings(**_values(name))


def published_sets() -> list[str]:
    """The published names of the sets.

    >>> published_sets()[:2]
    ['default', 'default_vot']
    """
    return ["default", *_SETS]


def preset_names(architecture: str = "atom18") -> list[str]:
    """The presets, the published ones first.

    >>> preset_names()[-1]
    'default'
    """
    return [*_PRESETS, "default"]


def preset(name: str, architecture: str = "atom18") -> AtomTrackerSettings:
    """The settings of a preset.

    Raises:
        RecipeError: no preset has this name.
    """
    if name not in preset_names():
        raise RecipeError(
            f'the network "{architecture}" has no preset "{name}"',
            fix=did_you_mean(name, preset_names()),
        )
    values = _values(_PRESETS.get(name, "default"))
    if name == "default":
        values = {**values, **SAFETY}
    if architecture.endswith("-tiny"):
        values = {**values, "max_image_sample_size": 96**2, "min_image_sample_size": 96**2}
    return AtomTrackerSettings(**values)


def _values(name: str) -> dict[str, Any]:
    if name == "default":
        return _DEFAULT
    base, changes = _SETS[name]
    return {**_values(base), **changes}
