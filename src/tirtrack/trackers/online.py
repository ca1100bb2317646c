"""What the trackers that learn online share: the learnt model and the steps of DiMP and ATOM.

``dimp.py`` and ``atom.py`` order the steps; ``shell`` feeds them frames. The first frame gives
augmented samples of one patch and the modulation of the box estimator: Bhat et al., "Unveiling the
power of deep tracking", ECCV 2018, introduced learning from such copies; ``augmentation`` lists
them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from tirtrack.boxes import Box
from tirtrack.trackers.base import XY, Reason
from tirtrack.trackers.belief import Flag
from tirtrack.trackers.box_refinement import (
    AscentRule,
    Climb,
    from_sample,
    mean_of_best,
    proposals,
)
from tirtrack.trackers.draws import Draws
from tirtrack.trackers.family import Cut, Located
from tirtrack.trackers.first_frame_samples import (
    Identity,
    Shifted,
    expanded_sides,
    first_frame_transforms,
    with_dropout,
)
from tirtrack.trackers.frame_gate import Region
from tirtrack.trackers.gauss_newton import CgState
from tirtrack.trackers.localisation import Localisation, highest
from tirtrack.trackers.online_engine import Features, OnlineEngine
from tirtrack.trackers.online_settings import OnlineSettings
from tirtrack.trackers.patch_extraction import (
    ExtractedPatch,
    SampleFrame,
    box_in_sample,
    sample_patch,
)
from tirtrack.trackers.peak_score import score_of_peak
from tirtrack.trackers.place import (
    Layout,
    OnlinePlace,
    center_and_size,
    kept_in_frame,
    scale_of,
)
from tirtrack.trackers.sample_memory import SampleMemory
from tirtrack.trackers.shell import TrackerShell, not_finite
from tirtrack.trackers.steps import Steps
from tirtrack.weights.card import PeakCalibration


@dataclass
class OnlineModel:
    """The target model and its memory; tensors of the network's type, on its device, without graph.

    Attributes:
        layout: sizes fixed by the first frame.
        modulation: modulation of the box estimator, from the first frame.
        filter: filter of the classifier, ``[1,C,k,k]``.
        memory: sample memory; ``None`` if nothing is learnt after the first frame.
        projection: ATOM's projection of the features, ``[c,C,1,1]``.
        directions: search directions of ATOM's optimiser, for its next run.
    """

    layout: Layout
    modulation: list[Tensor]
    filter: Tensor
    memory: SampleMemory | None
    projection: Tensor | None = None
    directions: CgState = field(default_factory=CgState)

    def place_of(self, box: Box) -> OnlinePlace:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        center_yx, size_hw = center_and_size(box)
        return OnlinePlace(center_yx, size_hw, scale_of(size_hw, self.layout))

    def region(self, place: OnlinePlace) -> Region:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        half = place.scale * self.layout.sample_hw / 2
        rows, columns = (
            slice(max(int(center - side), 0), int(min(center + side + 2, length)))
            for center, side, length in zip(
                place.center_yx, half, self.layout.frame_hw, strict=True
            )
        )
        return rows, columns

    def search_side(self, size_wh: XY) -> float:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`; the longer side."""
        return scale_of(np.array(size_wh), self.layout) * float(self.layout.sample_hw.max())

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        directions = self.directions
        return {
            "layout": asdict(self.layout),
            "modulation": _arrays(self.modulation),
            "filter": _array(self.filter),
            "memory": None if self.memory is None else self.memory.state_dict(),
            "projection": None if self.projection is None else _array(self.projection),
            "directions": {
                "direction": None
                if directions.direction is None
                else _arrays(directions.direction),
                "rho": directions.rho,
                "residual": None if directions.residual is None else _arrays(directions.residual),
            },
        }

    @classmethod
    def from_state_dict(
        cls, state: dict[str, Any], engine: OnlineEngine[Any], settings: OnlineSettings
    ) -> Self:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        memory, projection, directions = state["memory"], state["projection"], state["directions"]
        if memory is not None:
            memory = SampleMemory.from_state_dict(
                memory,
                engine.tensor(np.empty(0)),
                minimum=settings.init_samples_minimum_weight,
                fills_by_weight=settings.fills_by_weight,
            )
        direction, residual = (
            None if arrays is None else tuple(engine.tensor(array) for array in arrays)
            for arrays in (directions["direction"], directions["residual"])
        )
        return cls(
            Layout.from_state_dict(state["layout"]),
            [engine.tensor(vector) for vector in state["modulation"]],
            engine.tensor(state["filter"]),
            memory,
            None if projection is None else engine.tensor(projection),
            CgState(direction, float(directions["rho"]), residual),
        )


@dataclass(frozen=True)
class Lesson:
    """What an online tracker may learn from a frame.

    Attributes:
        sample: features of the sample in which the target was found, ``[C,H,W]``.
        label: its label: a box ``[4]`` xywh in sample pixels, or a score map ``[1,H,W]``.
        localisation: localisation on the score maps.
    """

    sample: Tensor
    label: Tensor
    localisation: Localisation


class FilterTracker(TrackerShell[OnlinePlace, OnlineModel]):
    """A tracker with a filter learnt online and a box estimator: what DiMP and ATOM share."""

    engine: OnlineEngine[Any]
    settings: OnlineSettings
    calibration: PeakCalibration
    place_type = OnlinePlace
    model_type = OnlineModel
    _draws: Draws

    def _augmented(
        self,
        levels: np.ndarray,
        sample: SampleFrame,
        *,
        center_yx: np.ndarray,
        global_shift_yx: np.ndarray,
    ) -> tuple[Tensor, list[Shifted]]:
        """Patches ``[n,C,h,w]`` of the first frame, every transform of one, and the transforms.

        Args:
            levels: grey levels of the frame.
            sample: position of the untransformed sample in the frame.
            center_yx: centre at which it is cut, ``[2]``, pixel indices.
            global_shift_yx: shift of all samples, ``[2]``, sample pixels.
        """
        settings = self.settings
        expanded = expanded_sides(sample.side_hw, settings.augmentation_expansion_factor)
        whole = sample_patch(
            levels,
            center_yx,
            sample.scale * expanded,
            patch_hw=expanded,
            dtype=self.engine.dtype,
            generation=settings.patch_generation,
        )
        transforms = first_frame_transforms(
            settings.augmentation if settings.use_augmentation else None,
            sample.side_hw,
            global_shift_yx,
            random_shift_factor=settings.random_shift_factor,
            uniforms=self._draws.uniforms,
        )
        kept = int(sample.side_hw[0]), int(sample.side_hw[1])
        return torch.stack([one(whole.patch, kept) for one in transforms]), transforms

    def _with_dropout(
        self, clf_features: Tensor, transforms: list[Shifted]
    ) -> tuple[Tensor, list[Shifted]]:
        """Samples and transforms, plus copies of the first sample's features with dropout."""
        dropout = self.settings.augmentation.dropout
        if dropout is None or not self.settings.use_augmentation:
            return clf_features, transforms
        count, share = dropout
        kept = self._draws.kept(count, clf_features.shape[1], share).to(clf_features)
        copies = with_dropout(clf_features[0], kept, share)
        again = [Shifted(Identity(), transforms[0].shift_yx)] * count
        return torch.cat([clf_features, copies]), transforms + again

    def _modulation(
        self, transforms: list[Shifted], features: Features, box: np.ndarray
    ) -> list[Tensor]:
        """Modulation of the box estimator: from the first sample, or the mean over all samples
        before the first one that changes the target's shape.
        """
        if not self.settings.use_iou_net:
            return []
        count = 1
        if self.settings.iounet_augmentation:
            keeps = [transform.keeps_shape for transform in transforms]
            count = keeps.index(False) if False in keeps else len(keeps)
        boxes = np.stack([shifted(box, one) for one in transforms[:count]])
        vectors = self.engine.network.box_estimator.modulation(
            features.taps(slice(count)), self.engine.tensor(boxes)
        )
        return [vector.mean(dim=0, keepdim=True) for vector in vectors]

    def _memory(self, samples: Tensor, labels: Tensor) -> SampleMemory:
        """A memory of the samples of the first frame ``[n,C,H,W]`` and their labels."""
        return SampleMemory(
            samples,
            labels,
            size=self.settings.sample_memory_size,
            minimum=self.settings.init_samples_minimum_weight,
            fills_by_weight=self.settings.fills_by_weight,
        )

    def _refined(
        self,
        place: OnlinePlace,
        features: Features,
        sample: SampleFrame,
        flag: Flag,
        *,
        undo: bool,
        learns_here: bool = True,
    ) -> Steps[tuple[OnlinePlace, dict[str, Any]]]:
        """The place after box refinement in one sample, and its diagnostics.

        Args:
            place: place of the target by the classifier.
            features: features of the sample, ``[1,...]``.
            sample: position and scale of the sample.
            flag: flag of the frame; the search region may not follow the size of an uncertain one.
            undo: whether to use ATOM's ascent.
            learns_here: whether the filter learns at the refined centre, not at the classifier's.
        """
        settings, estimator = self.settings, self.engine.network.box_estimator
        test = self.engine.test_features(features)
        box = self.engine.tensor(box_in_sample(place.center_yx, place.size_hw, sample))
        count = settings.num_init_random_boxes
        uniforms = self._draws.uniforms((count, 4)) if count else box.new_zeros((0, 4))
        start = proposals(
            box,
            uniforms.to(box),
            jitter_pos=settings.box_jitter_pos,
            jitter_size=settings.box_jitter_size,
        )
        rule = AscentRule.of(settings, undo=undo)
        ascent = yield Climb(estimator, self.model.modulation, test, start, rule)
        check_finite(ascent.boxes, ascent.scores)
        best = mean_of_best(
            ascent, maximal_aspect_ratio=settings.maximal_aspect_ratio, count=settings.iounet_k
        )
        diagnostics = {"energies": ascent.scores.tolist(), "proposals": ascent.boxes.tolist()}
        if best is None:
            return place, diagnostics
        center_yx, size_hw = from_sample(best, sample)
        follows = settings.update_scale_when_uncertain or flag is not Flag.UNCERTAIN
        scale = scale_of(size_hw, self.model.layout) if follows else place.scale
        center = center_yx if learns_here else place.center_yx
        place = OnlinePlace(center, size_hw, scale, refined_yx=center_yx)
        if settings.safe:
            place = self._bounded(place)
        return place, diagnostics

    def _bounded(self, place: OnlinePlace) -> OnlinePlace:
        return kept_in_frame(place, self.model.layout, self.settings.min_side)

    def _own_draws(self, seed: int, target: str) -> Draws:
        return Draws(seed, target if self.settings.draws == "keyed" else None)


def with_patches(place: OnlinePlace, samples: list[ExtractedPatch]) -> Cut[OnlinePlace]:
    """The samples of a frame, one for each scale factor, with their patches ``[S,3,h,w]`` or
    ``[S,1,h,w]``.
    """
    patches = np.stack([sample.patch.numpy() for sample in samples])
    return Cut(place, patches, place.center_xy, samples)


def located_at(
    place: OnlinePlace,
    lesson: Lesson,
    peak: float,
    calibration: PeakCalibration,
    diagnostics: dict[str, Any],
) -> Located[OnlinePlace]:
    """Where the target is, with the score of a raw peak."""
    found = lesson.localisation
    return Located(
        place,
        score_of_peak(peak, calibration),
        found.flag,
        presence=float(found.flag is not Flag.NOT_FOUND),
        doubt=Reason.AMBIGUOUS if found.has_second else Reason.LOW_SCORE,
        measured=found.flag is not Flag.NOT_FOUND,
        diagnostics={
            **diagnostics,
            "flag": str(found.flag),
            "scale_index": found.scale_index,
            "max_score": float(found.scores.max()),
            "peak": tuple(int(cell) for cell in highest(found.scores).cells),
            "translation_yx": tuple(float(value) for value in found.translation_yx),
        },
        lesson=lesson,
    )


def shifted(box: np.ndarray, transform: Shifted) -> np.ndarray:
    """A box ``[4]`` xywh of a sample, moved by the transform's shift."""
    down, right = transform.shift_yx
    return np.asarray(box + np.array([right, down, 0, 0]))


def check_finite(*tensors: Tensor) -> None:
    """Refuse non-finite numbers.

    Raises:
        RunError: a number is not finite.
    """
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise not_finite()


def _array(tensor: Tensor) -> np.ndarray:
    return np.array(tensor.cpu().numpy())


def _arrays(tensors: list[Tensor] | tuple[Tensor, ...]) -> list[np.ndarray]:
    return [_array(tensor) for tensor in tensors]
