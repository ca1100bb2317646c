"""Settings that the trackers with online learning (DiMP and ATOM) share.

The names are the published parameter names, with spelling corrected; unused keys of the published
parameter files are left out.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

BorderMode = Literal["replicate", "inside", "inside_major"]
PatchGeneration = Literal["real", "floor"]


class Closed(BaseModel):
    """Settings that are complete, typed and frozen: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Augmentation(Closed):
    """The augmented samples of the first frame, in the order of the fields; the identity always
    comes first.
    """

    shift: tuple[tuple[int, int], ...] = Field(
        default=(), description="translations (rows, columns), patch pixels"
    )
    relative_shift: tuple[tuple[float, float], ...] = Field(
        default=(), description="translations (rows, columns), half sides of the patch"
    )
    flip: bool = Field(default=False, description="mirror the columns")
    blur: tuple[tuple[float, float], ...] = Field(
        default=(), description="Gaussian sigmas (rows, columns), patch pixels"
    )
    scale: tuple[float, ...] = Field(default=(), description="factors of size")
    rotate: tuple[float, ...] = Field(default=(), description="angles, degrees")
    dropout: tuple[int, float] | None = Field(
        default=None, description="copies of the first features, share of channels set to 0"
    )


class OnlineSettings(Closed):
    """Settings of both families."""

    # the search region
    search_area_scale: float = Field(
        gt=0, description="side of the search region over sqrt(w*h) of the target"
    )
    scale_factors: tuple[float, ...] = Field(
        min_length=1, description="sizes of the search region that are tried, over the last one"
    )
    patch_generation: PatchGeneration = Field(
        description="rounding of the crop: real as in torch >= 1.5, floor as in torch <= 1.4"
    )

    # the first frame
    use_augmentation: bool = Field(description="off leaves the sample as it is, once")
    augmentation: Augmentation
    augmentation_expansion_factor: float | None = Field(
        gt=0, description="the patch that is augmented over the patch that is kept"
    )
    random_shift_factor: float = Field(
        ge=0, description="range of the random shifts over the side of the patch"
    )

    # the sample memory
    sample_memory_size: int = Field(ge=1, description="samples that are kept")
    learning_rate: float = Field(gt=0, le=1, description="weight of a new sample")
    hard_negative_learning_rate: float | None = Field(
        gt=0, le=1, description="the same beside a distractor; none treats it as any other frame"
    )
    init_samples_minimum_weight: float | None = Field(
        ge=0, lt=1, description="the share that the samples of the first frame keep together"
    )
    train_skipping: int = Field(ge=1, description="frames between two updates of the filter")

    # localisation
    advanced_localization: bool = Field(description="use the decision table; off: the maximum")
    target_not_found_threshold: float = Field(description="a lower maximum: not found")
    distractor_threshold: float = Field(
        description="a second peak above this share of the first is a distractor"
    )
    hard_negative_threshold: float = Field(
        description="a second peak above this share of the first is a hard negative"
    )
    target_neighborhood_scale: float = Field(
        gt=0, description="side of the region around the first peak, of the target, without peaks"
    )
    displacement_scale: float = Field(
        gt=0, description="how far a peak may lie, over half the side of the map"
    )
    window_output: bool = Field(description="weigh the map by a Hann window")
    perform_hn_without_windowing: bool = Field(
        description="the window only decides the first peak, not the second"
    )
    use_clipped_window: bool = Field(description="the window is flat outside the effective area")
    effective_search_area: float | None = Field(
        gt=0, description="side of the effective area over sqrt(w*h), for the clipped window"
    )

    # the box
    use_iou_net: bool = Field(description="refine the box; off: only the scale factors size it")
    iounet_augmentation: bool = Field(
        description="modulate by all samples that keep the target's shape, not by the first alone"
    )
    num_init_random_boxes: int = Field(ge=0, description="proposals beside the last box")
    box_jitter_pos: float = Field(ge=0, description="range of their centres over sqrt(w*h)")
    box_jitter_size: float = Field(ge=0, description="range of their sides over sqrt(w*h)")
    box_refinement_space: Literal["default", "relative"] = Field(
        description="default: corners and sides; relative: centres over sides, log sides"
    )
    box_refinement_iter: int = Field(ge=1, description="steps up the gradient")
    box_refinement_step_length: float | tuple[float, float] = Field(
        description="one number, or (position, size)"
    )
    box_refinement_step_decay: float = Field(gt=0, le=1, description="factor on the step length")
    maximal_aspect_ratio: float = Field(gt=1, description="thinner boxes are rejected")
    iounet_k: int = Field(ge=1, description="the best boxes, whose mean is taken")
    update_scale_when_uncertain: bool = Field(
        description="the search region follows the size of a box that is uncertain"
    )

    # ours
    safe: bool = Field(
        description="keep the centre and the sides within the frame, go back after numbers that "
        "are not finite; off: as published, and such numbers are an error"
    )
    min_side: float = Field(ge=0, description="smallest width and height, pixels, when safe")
    lost_after_frames: int = Field(
        ge=1, description="frames in a row without the target, from which on it is lost"
    )
    frame_gate: bool = Field(
        description="repeat the box on black, constant, frozen and damaged frames"
    )
    draws: Literal["sequential", "keyed"] = Field(
        description="sequential: one stream of random numbers, as published; keyed: each frame of "
        "each target its own"
    )
