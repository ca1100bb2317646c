"""Settings of the tracker of a joint encoder, and its presets."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from tirtrack.errors import RecipeError, did_you_mean
from tirtrack.trackers.belief import LossRule
from tirtrack.weights.card import PeakCalibration

# For weights whose card has none: the score is the network's own probability.
PROBABILITY = PeakCalibration(
    peak_centre=0.0, peak_scale=1.0, fitted_on="nothing: the probability of the centre"
)


class JointSettings(BaseModel):
    """All settings of the online loop of a joint encoder."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    min_side: float = Field(gt=0, description="smallest width and height of the state, pixels")
    uncertain_below: float = Field(ge=0, le=1, description="a lower score is no tracking")
    lost_below: float = Field(ge=0, le=1, description="a lower score is a frame without the target")
    lost_after_frames: int = Field(ge=1, description="such frames in a row until it is lost")
    frame_gate: bool = Field(
        description="repeat the box on black, constant, frozen and damaged frames"
    )

    def loss_rule(self, calibration: PeakCalibration) -> LossRule:
        """The rule of the family: a target is lost when its score stays low."""
        return LossRule(
            self.lost_after_frames,
            uncertain_below=self.uncertain_below,
            doubt_is_absence=True,
            counts_bad_frames=True,
            safe=True,
        )


_PRESETS = {
    "default": JointSettings(
        min_side=2.0, uncertain_below=0.3, lost_below=0.2, lost_after_frames=4, frame_gate=True
    )
}


def preset(name: str, architecture: str) -> JointSettings:
    """The settings of a preset, equal for all networks of the family.

    Raises:
        RecipeError: no preset has this name.
    """
    if name not in _PRESETS:
        raise RecipeError(
            f'no preset of {architecture} is called "{name}"', fix=did_you_mean(name, _PRESETS)
        )
    return _PRESETS[name]
