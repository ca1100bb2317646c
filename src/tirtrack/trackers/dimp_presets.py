"""Settings of DiMP, PrDiMP and SuperDiMP, and the published parameter sets as presets.

A set is stored as its difference from another one, so each value is written once. ``published`` and
``published_vot18`` mean the set of the given network; ``default`` is the published one plus our
safety settings.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from tirtrack.errors import RecipeError, did_you_mean
from tirtrack.trackers.online_settings import (
    BorderMode,
    FirstFrameAugmentation,
    OnlineSettings,
    ScorePreprocess,
)


class DimpTrackerSettings(OnlineSettings):
    """All settings of the DiMP family's online loop."""

    fills_by_weight: ClassVar[bool] = False

    # the search region
    image_sample_size: int = Field(ge=16, description="side of a sample, pixels")
    use_image_aspect_ratio: bool = Field(description="use samples with the frame's aspect ratio")
    border_mode: BorderMode = Field(
        description="replicate: repeat the border pixels; inside: keep the crop inside the "
        "frame in both directions; inside_major: in one direction"
    )
    patch_max_scale_change: float | None = Field(
        ge=1, description="largest factor by which the crop shrinks to stay inside the frame"
    )

    # the classifier
    use_classifier: bool = Field(description="move the target by the score map")
    update_classifier: bool = Field(description="keep a sample memory and update the filter")
    net_opt_iter: int = Field(ge=0, description="optimiser iterations in the first frame")
    net_opt_update_iter: int = Field(
        ge=0, description="optimiser iterations in every train_skipping-th frame"
    )
    net_opt_hn_iter: int = Field(ge=0, description="optimiser iterations beside a distractor")
    net_opt_low_iter: int = Field(ge=0, description="optimiser iterations when the peak is low")
    low_score_opt_threshold: float | None = Field(description="peak below which it counts as low")
    train_sample_interval: int = Field(ge=1, description="frames between two stored samples")

    # localisation
    score_preprocess: ScorePreprocess = Field(description="activation of the raw scores")
    score_filter_ksz: int = Field(
        ge=1, description="side of the window over which scores are summed, cells, odd"
    )
    uncertain_threshold: float | None = Field(description="peak below which the frame is uncertain")
    hard_sample_threshold: float | None = Field(
        description="peak below which the frame is a hard negative"
    )

    # the box
    use_iounet_pos_for_learning: bool = Field(
        description="learn at the refined centre instead of the score map's"
    )


_TURNS = (10.0, -10.0, 45.0, -45.0)
_MANY_TURNS = (5.0, -5.0, 10.0, -10.0, 20.0, -20.0, 30.0, -30.0, 45.0, -45.0, -60.0, 60.0)
_CORNERS = ((0.6, 0.6), (-0.6, 0.6), (0.6, -0.6), (-0.6, -0.6))

AUGMENTATION = FirstFrameAugmentation(
    relative_shift=_CORNERS,
    flip=True,
    blur=((3.0, 1.0), (1.0, 3.0), (2.0, 2.0)),
    rotate=_TURNS,
    dropout=(2, 0.2),
)
VOT18_AUGMENTATION = AUGMENTATION.model_copy(
    update={
        "blur": ((2.0, 0.2), (0.2, 2.0), *AUGMENTATION.blur),
        "rotate": _MANY_TURNS,
        "dropout": (7, 0.2),
    }
)
_VOT19_AUGMENTATION = AUGMENTATION.model_copy(
    update={
        "relative_shift": ((0.6, 0.6), (-0.6, -0.6)),
        "blur": ((2.0, 0.2), (1.0, 3.0)),
        "rotate": (-5.0, 10.0, -30.0, 60.0),
        "dropout": (3, 0.2),
    }
)

# Values that all published sets of both families share.
COMMON: dict[str, Any] = {
    "patch_generation": "real",
    "use_augmentation": True,
    "random_shift_factor": 1 / 3,
    "hard_negative_learning_rate": 0.02,
    "advanced_localization": True,
    "target_neighborhood_scale": 2.2,
    "use_clipped_window": False,
    "effective_search_area": None,
    "iounet_augmentation": False,
    "num_init_random_boxes": 9,
    "box_jitter_pos": 0.1,
    "box_jitter_size": 0.5,
    "box_refinement_space": "default",
    "box_refinement_iter": 5,
    "box_refinement_step_length": 1.0,
    "box_refinement_step_decay": 1.0,
    "maximal_aspect_ratio": 6.0,
    "iounet_k": 3,
    "update_scale_when_uncertain": True,
    "safe": False,
    "lost_after_frames": 1,
    "min_side": 0.0,
    "frame_gate": False,
    "draws": "sequential",
}

_DIMP18: dict[str, Any] = {
    **COMMON,
    "search_area_scale": 5.0,
    "scale_factors": (1.0,),
    "image_sample_size": 288,
    "use_image_aspect_ratio": False,
    "border_mode": "replicate",
    "patch_max_scale_change": None,
    "augmentation": AUGMENTATION,
    "augmentation_expansion_factor": 2.0,
    "sample_memory_size": 50,
    "learning_rate": 0.01,
    "init_samples_minimum_weight": 0.25,
    "train_skipping": 20,
    "train_sample_interval": 1,
    "use_classifier": True,
    "update_classifier": True,
    "net_opt_iter": 10,
    "net_opt_update_iter": 2,
    "net_opt_hn_iter": 1,
    "net_opt_low_iter": 0,
    "low_score_opt_threshold": None,
    "score_preprocess": "none",
    "score_filter_ksz": 1,
    "target_not_found_threshold": 0.25,
    "distractor_threshold": 0.8,
    "hard_negative_threshold": 0.5,
    "displacement_scale": 0.8,
    "uncertain_threshold": None,
    "hard_sample_threshold": None,
    "window_output": False,
    "perform_hn_without_windowing": False,
    "use_iou_net": True,
    "use_iounet_pos_for_learning": True,
}

_RELATIVE_REFINEMENT: dict[str, Any] = {
    "box_refinement_space": "relative",
    "box_refinement_iter": 10,
    "box_refinement_step_length": 2.5e-3,
}
_WIDE: dict[str, Any] = {
    "image_sample_size": 352,
    "search_area_scale": 6.0,
    "border_mode": "inside_major",
    "patch_max_scale_change": 1.5,
}

# name of a published set -> (base set, changed values)
_SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "dimp50": ("dimp18", {}),
    "prdimp18": (
        "dimp18",
        {
            **_RELATIVE_REFINEMENT,
            "score_preprocess": "softmax",
            "target_not_found_threshold": 0.04,
        },
    ),
    "prdimp50": ("prdimp18", _WIDE),
    "super_dimp": ("dimp18", {**_RELATIVE_REFINEMENT, **_WIDE}),
    "super_dimp_simple": ("super_dimp", {}),
    "dimp18_vot18": (
        "dimp18",
        {
            "image_sample_size": 224,
            "search_area_scale": 4.0,
            "augmentation": VOT18_AUGMENTATION,
            "sample_memory_size": 250,
            "learning_rate": 0.0075,
            "init_samples_minimum_weight": 0.0,
            "train_skipping": 10,
            "net_opt_iter": 25,
            "net_opt_update_iter": 3,
            "net_opt_hn_iter": 3,
            "window_output": True,
            "perform_hn_without_windowing": True,
            "target_not_found_threshold": 0.0,
            "distractor_threshold": 100.0,
            "hard_negative_threshold": 0.45,
            "displacement_scale": 0.7,
        },
    ),
    "dimp50_vot18": ("dimp18_vot18", {}),
    "dimp50_vot19": (
        "dimp50_vot18",
        {
            "image_sample_size": 256,
            "search_area_scale": 4.5,
            "augmentation": _VOT19_AUGMENTATION,
            "augmentation_expansion_factor": 1.4,
            "sample_memory_size": 100,
            "net_opt_iter": 15,
            "net_opt_update_iter": 2,
            "net_opt_hn_iter": 2,
            "box_refinement_iter": 3,
        },
    ),
    "prdimp50_vot18": (
        "dimp50_vot18",
        {
            **_RELATIVE_REFINEMENT,
            "learning_rate": 0.01,
            "train_skipping": 1,
            "net_opt_update_iter": 1,
            "net_opt_hn_iter": 1,
            "distractor_threshold": 99999.0,
            "hard_negative_threshold": 999999.0,
        },
    ),
}

# Ours: the values of dimp18, for smaller samples and log-density boxes; half as many refinement
# steps as published, each twice as long (measured: benchmarks/dimp_lite.py, stage steps).
_SHORT_REFINEMENT: dict[str, Any] = {
    "box_refinement_space": "relative",
    "box_refinement_iter": 5,
    "box_refinement_step_length": 5e-3,
}
_OURS = {"dimp-lite": ("dimp18", {**_SHORT_REFINEMENT, "image_sample_size": 256})}

# Values that the preset ``default`` of both families adds to the network's published set.
# Three frames: on rendered clips, a target crossing the border is not found in one or two frames.
SAFETY: dict[str, Any] = {
    "safe": True,
    "min_side": 2.0,
    "lost_after_frames": 3,
    "frame_gate": True,
    "draws": "keyed",
}

# network -> preset -> published set
_OF_NETWORK: dict[str, dict[str, str]] = {
    "dimp18": {"published": "dimp18", "published_vot18": "dimp18_vot18"},
    "dimp50": {
        "published": "dimp50",
        "published_vot18": "dimp50_vot18",
        "published_vot19": "dimp50_vot19",
    },
    "prdimp18": {"published": "prdimp18"},
    "prdimp50": {"published": "prdimp50", "published_vot18": "prdimp50_vot18"},
    "superdimp50": {"published": "super_dimp"},
    "superdimp_simple": {"published": "super_dimp_simple"},
    "dimp-lite": {"default": "dimp-lite"},
    "dimp-lite-mobilenet": {"default": "dimp-lite"},
}
_TINY, _TINY_SAMPLE = "-tiny", 96  # networks with few channels, for tests


def published_set(name: str) -> DimpTrackerSettings:
    """A published parameter set by its published name.

    >>> published_set("dimp50_vot19").image_sample_size
    256
    """
    return DimpTrackerSettings(**_values(name))


def published_sets() -> list[str]:
    """The published names of the sets.

    >>> published_sets()[:2]
    ['dimp18', 'dimp50']
    """
    return ["dimp18", *_SETS]


def preset_names(architecture: str) -> list[str]:
    """The presets of a network, the published ones first.

    Raises:
        RecipeError: this network has no presets.

    >>> preset_names("prdimp50")
    ['published', 'published_vot18', 'default']
    """
    sets = _sets_of(architecture)
    return [*(name for name in sets if name != "default"), "default"]


def preset(name: str, architecture: str) -> DimpTrackerSettings:
    """The settings of a preset for one network.

    Raises:
        RecipeError: no preset has this name, or it is not defined for the network.

    >>> preset("default", "dimp50").safe
    True
    """
    names = preset_names(architecture)
    if name not in names:
        raise RecipeError(
            f'the network "{architecture}" has no preset "{name}"', fix=did_you_mean(name, names)
        )
    sets = _sets_of(architecture)
    values = _values(sets.get(name) or sets["published"])
    if name == "default":
        values = {**values, **SAFETY}
    if architecture.endswith(_TINY):
        values = {**values, "image_sample_size": _TINY_SAMPLE}
    return DimpTrackerSettings(**values)


def _sets_of(architecture: str) -> dict[str, str]:
    plain = architecture.removesuffix(_TINY)
    if plain not in _OF_NETWORK:
        raise RecipeError(
            f'no preset is made for the network "{architecture}"',
            fix=did_you_mean(architecture, _OF_NETWORK),
        )
    return _OF_NETWORK[plain]


def _values(name: str) -> dict[str, Any]:
    if name == "dimp18":
        return _DIMP18
    base, changes = _SETS[name] if name in _SETS else _OURS[name]
    return {**_values(base), **changes}
