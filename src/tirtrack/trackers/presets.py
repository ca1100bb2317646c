"""Settings of the Siamese trackers, and their presets.

Settings are complete and closed: an unknown key is an error that names the nearest one. A preset is
stored as its difference from another preset, so each value is written once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tirtrack.errors import RecipeError, did_you_mean
from tirtrack.trackers.belief import LossRule
from tirtrack.trackers.calibration import loss_rule
from tirtrack.weights.card import Calibration

Settings = TypeVar("Settings", bound=BaseModel)


class SiameseSettings(BaseModel):
    """All settings of the Siamese family's online loop."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    penalty_k: float = Field(
        ge=0, description="weight of the penalty on a change of size or aspect ratio"
    )
    window_influence: float = Field(
        ge=0, le=1, description="weight of the cosine window in the score that selects the cell"
    )
    size_rate: float = Field(
        ge=0, le=1, description="rate at which the size follows the measured one"
    )
    patches: Literal["context", "stretched"] = Field(
        description="shape of the crop. context: a square with context (NanoTrack); stretched: "
        "a rectangle with the shape of the target, resized to a square (FEAR)"
    )
    crop: Literal["integer", "continuous"] = Field(
        description="integer: the published crop and resize, for uint8 [H,W,3] frames only; "
        "with stretched patches also the published boxes in whole pixels"
    )
    centre: Literal["pixel_index", "continuous"] = Field(
        description="centre of context patches; pixel_index: start at x + (w-1)/2 as published, "
        "half a pixel off"
    )
    min_side: float = Field(gt=0, description="smallest width and height of the state, pixels")
    score: Literal["published", "calibrated"] = Field(
        description="published: the softmax at the cell; the status is always tracking, and a "
        "non-finite map is an error. calibrated: score, status and reason; a "
        "non-finite map restores the last good state"
    )
    frame_gate: bool = Field(
        description="repeat the last box on black, constant, frozen and damaged frames"
    )
    when_lost: Literal["stay", "follow"] = Field(
        description="where a lost target is searched for: around the last trusted box, or "
        "around the best cell of the last frame"
    )
    stretch: bool = Field(
        description="stretch the grey levels of each frame from its 1st to its 99th percentile"
    )
    colour_order: Literal["rgb", "bgr"] = Field(description="channel order of colour frames")

    def loss_rule(self, calibration: Calibration) -> LossRule:
        """The rule of the family: a target is lost when its score stays low."""
        return loss_rule(calibration, safe=self.score == "calibrated")


# The shipped configurations of the published code, by version: HonglinChu/SiamTrackers 248663f and
# PinataFarms/FEARTracker 0a3bd03 (whose loop squares the size rate).
_PUBLISHED_CONSTANTS: dict[str, dict[str, float]] = {
    "nanotrack-v1": {"penalty_k": 0.148, "window_influence": 0.462, "size_rate": 0.390},
    "nanotrack-v2": {"penalty_k": 0.150, "window_influence": 0.490, "size_rate": 0.385},
    "nanotrack-v3": {"penalty_k": 0.138, "window_influence": 0.455, "size_rate": 0.348},
    "fear-xs": {"penalty_k": 0.062, "window_influence": 0.38, "size_rate": 0.765},
}

_PUBLISHED: dict[str, Any] = {
    "patches": "context",
    "crop": "integer",
    "centre": "pixel_index",
    "min_side": 10.0,
    "score": "published",
    "frame_gate": False,
    "when_lost": "follow",
    "stretch": False,
    "colour_order": "rgb",
}

# name -> (base preset, changed values)
_CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "default": (
        "published",
        {
            "crop": "continuous",
            "centre": "continuous",
            "min_side": 2.0,
            "score": "calibrated",
            "frame_gate": True,
        },
    ),
    "floor10": ("default", {"min_side": 10.0}),
    # Controls: gain of the start weights by a tracker constant alone.
    "k_floor": ("default", {"min_side": 5.0}),
    "k_rate_low": ("default", {"size_rate": 0.25}),
    "k_rate_high": ("default", {"size_rate": 0.45}),
    "k_stretch": ("default", {"stretch": True}),
}

# network -> preset -> further changes. FEAR's probability stays near 1 without a target, so the
# size of what it follows grows until the region covers the whole frame and its border.
_OF_NETWORK: dict[str, dict[str, dict[str, Any]]] = {
    "fear-xs": {
        "published": {"patches": "stretched", "centre": "continuous", "min_side": 3.0},
        "default": {"when_lost": "stay"},
    },
}


def preset_names() -> list[str]:
    """Every preset, the published one first.

    >>> preset_names()[:3]
    ['published', 'default', 'floor10']
    """
    return ["published", *_CHANGES]


def preset(name: str, architecture: str) -> SiameseSettings:
    """The settings of a preset for one version of the network.

    Args:
        name: one of :func:`preset_names`.
        architecture: ``nanotrack-v1``, ``-v2``, ``-v3`` or ``fear-xs``.

    Raises:
        RecipeError: no preset has this name, or it is not defined for the architecture.

    >>> preset("floor10", "nanotrack-v3").min_side
    10.0
    """
    if name not in preset_names():
        raise RecipeError(f'no preset is called "{name}"', fix=did_you_mean(name, preset_names()))
    if architecture not in _PUBLISHED_CONSTANTS:
        raise RecipeError(
            f'preset "{name}" has no constants for the network "{architecture}"',
            fix=did_you_mean(architecture, _PUBLISHED_CONSTANTS),
        )
    changes = _changes(name, _OF_NETWORK.get(architecture, {}))
    return SiameseSettings(**{**_PUBLISHED_CONSTANTS[architecture], **_PUBLISHED, **changes})


def with_overrides(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Settings of any family with some fields replaced.

    Raises:
        RecipeError: a key is unknown, or a value is of the wrong type or out of bounds.

    >>> with_overrides(preset("default", "nanotrack-v3"), {"size_rate": 0.25}).size_rate
    0.25
    """
    known = type(settings).model_fields
    for key in overrides:
        if key not in known:
            raise RecipeError(f'unknown tracker setting "{key}"', fix=did_you_mean(key, known))
    try:
        return type(settings)(**{**dict(settings), **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise RecipeError(
            f"tracker setting {key} cannot be {overrides.get(key)!r}: {first['msg'].lower()}",
            fix=f"{key}: {known[key].description}",
        ) from error


def _changes(name: str, own: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A preset's changes to NanoTrack's published preset, including those of the network."""
    if name == "published":
        return own.get(name, {})
    base, changes = _CHANGES[name]
    return {**_changes(base, own), **changes, **own.get(name, {})}
