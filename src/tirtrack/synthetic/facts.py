"""What is known of a sequence: boxes, absence, occlusion, attributes. Never part of the pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tirtrack.synthetic.painter import Sighting
from tirtrack.synthetic.plan import ScenePlan
from tirtrack.synthetic.shapes import KINDS

Boxes = NDArray[np.float64]
Flags = NDArray[np.bool_]

FRAME_ATTRIBUTES = (
    "crossover", "occlusion", "distractor_near", "small", "fast", "out_of_view", "agc_jump",
    "night",
)  # fmt: skip
SEQUENCE_ATTRIBUTES = (
    "deformation", "occlusion", "distractor", "background_clutter", "out_of_view",
    "scale_variation", "fast_motion", "motion_blur", "thermal_crossover", "intensity_variation",
    "low_resolution", "aspect_ratio_variation", "vehicle_mounted", "drone_mounted",
    "surveillance", "hand_held",
)  # fmt: skip
"""Names in the order of the attribute files of LSOTB-TIR."""

CROSSOVER_KELVIN = 1.0
OCCLUDED_SHARE = 0.2
SMALL_AREA = 400.0
FAST_SHARE = 0.25
JUMP_LEVELS = 6.0
CLUTTERED_FRAMES = 0.3
BLURRED_SHARE, BLURRED_FRAMES = 0.1, 0.3
SMALL_FRAMES = 0.5


@dataclass(frozen=True)
class SequenceFacts:
    """What is known of a sequence of T frames; boxes are xywh, 0-based, NaN rows where absent.

    Attributes:
        boxes_tir: ``[T,4]`` boxes in TIR pixels, inside the frame, occluders ignored.
        boxes_rgb: ``[T,4]`` boxes in RGB pixels; None when RGB was not rendered.
        extents_tir: ``[T,4]`` the whole silhouette, also outside the frame.
        visible_tir: ``[T,4]`` extent of the part that is not hidden.
        absent: ``[T]`` whether the whole silhouette is outside the TIR frame.
        occluded_tir: ``[T]`` hidden share in TIR.
        occluded_rgb: ``[T]`` hidden share in RGB; None when RGB was not rendered.
        difference_kelvin: ``[T]`` target minus background in TIR.
        frame_attributes: ``[T]`` flags by the names of ``FRAME_ATTRIBUTES``.
        attributes: 0 or 1 by the names of ``SEQUENCE_ATTRIBUTES``.
        tir_from_rgb: ``[3,3]`` the rig's similarity, without parallax.
        parallax: further shift along x of the near layer, pixels.
        delay_ticks: delay of the TIR camera, ticks.
        kind: kind of the target.
        daylight: daylight of the scene.
        seed: seed of the sequence.
    """

    boxes_tir: Boxes
    boxes_rgb: Boxes | None
    extents_tir: Boxes
    visible_tir: Boxes
    absent: Flags
    occluded_tir: NDArray[np.float64]
    occluded_rgb: NDArray[np.float64] | None
    difference_kelvin: NDArray[np.float64]
    frame_attributes: Mapping[str, Flags]
    attributes: Mapping[str, int]
    tir_from_rgb: NDArray[np.float64]
    parallax: float
    delay_ticks: int
    kind: str
    daylight: str
    seed: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """All facts as JSON values; NaN becomes None."""
        plain: dict[str, Any] = {}
        for name, value in vars(self).items():
            plain[name] = _plain(value)
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        if value.dtype == bool:
            return [int(flag) for flag in value]
        rounded = np.round(value.astype(np.float64), 4)
        plain = rounded.astype(object)
        plain[np.isnan(rounded)] = None
        return plain.tolist()
    return list(value) if isinstance(value, tuple) else value


def tir_from_rgb(plan: ScenePlan) -> NDArray[np.float64]:
    """``[3,3]`` map of far things from RGB to TIR pixels."""
    scale, (shift_x, shift_y) = plan.rig.scale, plan.rig.shift_xy
    middle_x, middle_y = plan.settings.width / 2, plan.settings.height / 2
    return np.array(
        [
            [scale, 0.0, middle_x * (1 - scale) + shift_x],
            [0.0, scale, middle_y * (1 - scale) + shift_y],
            [0.0, 0.0, 1.0],
        ]
    )


def gather_facts(
    plan: ScenePlan,
    in_tir: Sequence[Sighting],
    in_rgb: Sequence[Sighting | None],
    *,
    jumps: Sequence[float],
) -> SequenceFacts:
    """The facts of a rendered sequence."""
    seen_rgb = [sighting for sighting in in_rgb if sighting is not None]
    boxes = np.stack([sighting.box for sighting in in_tir])
    flags = _frame_attributes(plan, in_tir, boxes, jumps)
    return SequenceFacts(
        boxes_tir=boxes,
        boxes_rgb=np.stack([sighting.box for sighting in seen_rgb]) if seen_rgb else None,
        extents_tir=np.stack([sighting.extent for sighting in in_tir]),
        visible_tir=np.stack([sighting.visible for sighting in in_tir]),
        absent=np.isnan(boxes[:, 0]),
        occluded_tir=np.array([sighting.occluded for sighting in in_tir]),
        occluded_rgb=np.array([one.occluded for one in seen_rgb]) if seen_rgb else None,
        difference_kelvin=np.array([sighting.difference for sighting in in_tir]),
        frame_attributes=flags,
        attributes=_sequence_attributes(plan, in_tir, boxes, flags),
        tir_from_rgb=tir_from_rgb(plan),
        parallax=plan.rig.parallax,
        delay_ticks=plan.rig.delay_ticks,
        kind=plan.actors[0].kind,
        daylight=plan.light.daylight,
        seed=plan.seed,
    )


def _frame_attributes(
    plan: ScenePlan, sightings: Sequence[Sighting], boxes: Boxes, jumps: Sequence[float]
) -> dict[str, Flags]:
    present = ~np.isnan(boxes[:, 0])
    difference = np.array([sighting.difference for sighting in sightings])
    occluded = np.array([sighting.occluded for sighting in sightings])
    area = np.nan_to_num(boxes[:, 2] * boxes[:, 3])
    inside = np.array([sighting.inside_share for sighting in sightings])
    return {
        "crossover": present & (np.abs(np.nan_to_num(difference)) < CROSSOVER_KELVIN),
        "occlusion": present & (occluded > OCCLUDED_SHARE),
        "distractor_near": present & np.array([one.distractor_near for one in sightings]),
        "small": present & (area < SMALL_AREA),
        "fast": _relative_speed(boxes) > FAST_SHARE,
        "out_of_view": inside < 0.98,
        "agc_jump": np.asarray(jumps) > JUMP_LEVELS,
        "night": np.full(len(boxes), plan.light.is_night),
    }


def _relative_speed(boxes: Boxes) -> NDArray[np.float64]:
    """Motion of the centre since the last frame, in sizes of the box; 0 where unknown."""
    centers = boxes[:, :2] + boxes[:, 2:] / 2
    moved = np.zeros(len(boxes))
    moved[1:] = np.hypot(*np.diff(centers, axis=0).T) / np.sqrt(boxes[1:, 2] * boxes[1:, 3])
    return np.nan_to_num(moved)


def _sequence_attributes(
    plan: ScenePlan, sightings: Sequence[Sighting], boxes: Boxes, flags: Mapping[str, Flags]
) -> dict[str, int]:
    present = ~np.isnan(boxes[:, 0])
    here = boxes[present]
    area, aspect = here[:, 2] * here[:, 3], here[:, 2] / here[:, 3]
    cluttered = [one.clutter > abs(one.difference) for one in sightings if not one.absent]
    mode = plan.camera.mode
    values = {
        "deformation": KINDS[plan.actors[0].kind].changes_form,
        "occlusion": flags["occlusion"].any(),
        "distractor": flags["distractor_near"].any(),
        "background_clutter": _share(cluttered) > CLUTTERED_FRAMES,
        "out_of_view": flags["out_of_view"].any(),
        "scale_variation": _outside_half_to_double(area),
        "fast_motion": flags["fast"].any(),
        "motion_blur": _share(_relative_speed(boxes) > BLURRED_SHARE) > BLURRED_FRAMES,
        "thermal_crossover": flags["crossover"].any(),
        "intensity_variation": flags["agc_jump"].any(),
        "low_resolution": _share(area < SMALL_AREA) > SMALL_FRAMES,
        "aspect_ratio_variation": _outside_half_to_double(aspect),
        "vehicle_mounted": mode == "pan",
        "drone_mounted": mode == "follow",
        "surveillance": mode == "static",
        "hand_held": mode == "hand",
    }
    return {name: int(bool(values[name])) for name in SEQUENCE_ATTRIBUTES}


def _share(flags: Sequence[bool] | Flags) -> float:
    """Share of set flags; 0 if there are none."""
    return float(np.mean(flags)) if len(flags) else 0.0


def _outside_half_to_double(values: NDArray[np.float64]) -> bool:
    """Whether a value is ever below half or above double the first one."""
    ratio = values / values[0] if len(values) else values
    return bool(((ratio > 2) | (ratio < 0.5)).any())
