"""The card of a weights file: what it is, where it came from, what may be done with it.

One ``.safetensors`` file is one whole tracker; its card is JSON in the file's own metadata, under
the key ``tirtrack``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _CardPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TrainingSource(_CardPart):
    """One source of training data, with its licence."""

    name: str
    licence: str
    role: str = Field(description="what the data was used for, in a few words")


class StartedFrom(_CardPart):
    """The weights that training began from."""

    name: str
    sha256: str
    licence: str
    url: str = ""
    training_data: str = Field(
        default="", description="published training data of the start weights"
    )


class Calibration(_CardPart):
    """Numbers of the score: ``sigmoid((rise_centre - rise) / rise_scale) * sigmoid((margin -
    margin_centre) / margin_scale)``, ``rise`` being the entropy of the map above its usual one.

    Fitted on data that may be tuned on; ``fitted_on`` says which.
    """

    rise_centre: float
    rise_scale: float
    margin_centre: float
    margin_scale: float
    uncertain_below: float
    lost_below: float
    lost_after_frames: int
    fitted_on: str


class PeakCalibration(_CardPart):
    """Numbers of the score of trackers that learn online: ``sigmoid((peak - peak_centre) /
    peak_scale)`` of the raw peak of a score map.

    ``fitted_on`` says which data they were fitted on, if any.
    """

    peak_centre: float
    peak_scale: float = Field(gt=0)
    fitted_on: str


class Card(_CardPart):
    """The metadata of a weights file."""

    format_version: Literal[1] = 1
    name: str
    architecture: str
    modality: Literal["rgb", "tir"]
    licence: str
    summary: str = ""
    preset: str = "default"
    normaliser: str = "adaptive"
    started_from: list[StartedFrom] = []
    training_data: list[TrainingSource] = []
    calibration: Calibration | PeakCalibration | None = None
    scores: dict[str, float] = Field(
        default={}, description="scores by name; a name says data set and protocol"
    )
    made_with: dict[str, str] = Field(
        default={}, description="versions, seed, fingerprint and command of the run"
    )
