"""Settings that the trackers with online learning (DiMP and ATOM) share.

The names are the published parameter names, with spelling corrected; unused keys of the published
parameter files are left out.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from tirtrack.trackers.belief import LossRule
from tirtrack.weights.card import PeakCalibration

BorderMode = Literal["replicate", "inside", "inside_major"]
PatchGeneration = Literal["real", "floor"]
ScorePreprocess = Literal["none", "exp", "softmax"]


class Closed(BaseModel):
    """Settings that are complete, typed and frozen: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FirstFrameAugmentation(Closed):
    """The augmented samples of the first frame, in the order of the fields; the identity always
    comes first.
    """

    shift: tuple[tuple[int, int], ...] = Field(
        default=(), description="translations (rows, columns), patch pixels"
    )
    relative_shift: tuple[tuple[float, float], ...] = Field(
        default=(), description="translations (rows, columns), in half sides of the patch"
    )
    flip: bool = Field(default=False, description="mirror the columns")
    blur: tuple[tuple[float, float], ...] = Field(
        default=(), description="Gaussian sigmas (rows, columns), patch pixels"
    )
    scale: tuple[float, ...] = Field(default=(), description="factors of size")
    rotate: tuple[float, ...] = Field(default=(), description="angles, degrees")
    dropout: tuple[int, float] | None = Field(
        default=None,
        description="number of copies of the first features, and the share of their channels "
        "that is set to 0",
    )


class OnlineSettings(Closed):
    """Settings of both families.

    Attributes:
        fills_by_weight: whether a sample goes into the slot of the lowest weight even where slots
            are free; fixed for a family.
    """

    fills_by_weight: ClassVar[bool]

    # the search region
    search_area_scale: float = Field(
        gt=0, description="side of the search region over sqrt(w*h) of the target"
    )
    scale_factors: tuple[float, ...] = Field(
        min_length=1,
        description="sizes of the search region that are tried, relative to the last one",
    )
    patch_generation: PatchGeneration = Field(
        description="rounding of the crop: real as in torch >= 1.5, floor as in torch <= 1.4"
    )

    # the first frame
    use_augmentation: bool = Field(
        description="augment the first sample; off: use it once, as it is"
    )
    augmentation: FirstFrameAugmentation
    augmentation_expansion_factor: float | None = Field(
        gt=0, description="size of the patch before augmentation over its size afterwards"
    )
    random_shift_factor: float = Field(
        ge=0, description="range of the random shifts over the side of the patch"
    )

    # the sample memory
    sample_memory_size: int = Field(ge=1, description="number of samples in the memory")
    learning_rate: float = Field(gt=0, le=1, description="weight of a new sample")
    hard_negative_learning_rate: float | None = Field(
        gt=0, le=1, description="weight of a new sample beside a distractor; none: as of any other"
    )
    init_samples_minimum_weight: float | None = Field(
        ge=0, lt=1, description="smallest total weight of the samples of the first frame"
    )
    train_skipping: int = Field(ge=1, description="frames between two updates of the filter")

    # localisation
    advanced_localization: bool = Field(
        description="localise by peaks, thresholds and distractors; off: by the maximum alone"
    )
    target_not_found_threshold: float = Field(
        description="peak below which the target is not found"
    )
    distractor_threshold: float = Field(
        description="ratio of second to first peak above which the second is a distractor"
    )
    hard_negative_threshold: float = Field(
        description="ratio of second to first peak above which the second is a hard negative"
    )
    target_neighborhood_scale: float = Field(
        gt=0,
        description="size of the area around the first peak in which no second peak is sought, "
        "over the size of the target",
    )
    displacement_scale: float = Field(
        gt=0, description="largest displacement of a peak, over half the side of the score map"
    )
    window_output: bool = Field(description="multiply the score map by a Hann window")
    perform_hn_without_windowing: bool = Field(
        description="use the window for the first peak only, not for the second"
    )
    use_clipped_window: bool = Field(
        description="use a window that is flat outside the effective area"
    )
    effective_search_area: float | None = Field(
        gt=0, description="side of the effective area over sqrt(w*h), for the clipped window"
    )

    # the box
    use_iou_net: bool = Field(description="refine the box; off: only scale_factors change its size")
    iounet_augmentation: bool = Field(
        description="compute the modulation from all samples that keep the target's shape, not "
        "from the first alone"
    )
    num_init_random_boxes: int = Field(
        ge=0, description="number of random proposals beside the last box"
    )
    box_jitter_pos: float = Field(
        ge=0, description="range of the centres of random proposals over sqrt(w*h)"
    )
    box_jitter_size: float = Field(
        ge=0, description="range of the sides of random proposals over sqrt(w*h)"
    )
    box_refinement_space: Literal["default", "relative"] = Field(
        description="coordinates of the refinement. default: corner and sides; relative: centre "
        "over sides, log sides"
    )
    box_refinement_iter: int = Field(ge=1, description="gradient steps of the refinement")
    box_refinement_step_length: float | tuple[float, float] = Field(
        description="step length: one number, or (position, size)"
    )
    box_refinement_step_decay: float = Field(
        gt=0, le=1, description="factor by which the step length decays"
    )
    maximal_aspect_ratio: float = Field(gt=1, description="largest aspect ratio of a proposal")
    iounet_k: int = Field(ge=1, description="number of best proposals that are averaged")
    update_scale_when_uncertain: bool = Field(
        description="let the search region follow the size of an uncertain box"
    )

    # ours
    safe: bool = Field(
        description="keep centre and sides inside the frame, and restore the last good state "
        "after non-finite numbers; off: as published, and such numbers are an error"
    )
    min_side: float = Field(ge=0, description="smallest width and height, pixels; only if safe")
    lost_after_frames: int = Field(
        ge=1, description="consecutive frames without the target until it is lost"
    )
    frame_gate: bool = Field(
        description="repeat the last box on black, constant, frozen and damaged frames"
    )
    draws: Literal["sequential", "keyed"] = Field(
        description="random numbers. sequential: one stream, as published; keyed: one stream "
        "for each frame of each target"
    )

    def loss_rule(self, calibration: PeakCalibration) -> LossRule:
        """The rule of both families: a target is lost when the score map does not show it."""
        return LossRule(
            self.lost_after_frames,
            uncertain_below=1.0,
            doubt_is_absence=False,
            counts_bad_frames=False,
            safe=self.safe,
        )
