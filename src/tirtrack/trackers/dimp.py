"""DiMP, PrDiMP and SuperDiMP: a filter predicted in the first frame and improved every few frames,
and a box refined on the estimator's score.

Read :meth:`DimpTracker.locate` and :meth:`DimpTracker.learn` first: one frame, step by step. The
steps themselves are in ``patch_extraction``, ``localisation``, ``box_refinement`` and
``sample_memory``. Bhat et al., "Learning discriminative model prediction for tracking", ICCV 2019,
section 3.7; Danelljan et al., "Probabilistic regression for visual tracking", CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from tirtrack.boxes import Box
from tirtrack.networks.dimp import Dimp
from tirtrack.networks.filter_optimisers import SteepestDescent
from tirtrack.trackers.belief import Flag
from tirtrack.trackers.box_refinement import stacked
from tirtrack.trackers.dimp_presets import DimpTrackerSettings
from tirtrack.trackers.family import Cut, Located
from tirtrack.trackers.localisation import (
    Localisation,
    centered_hann,
    clipped_hann,
    localise_dimp,
    prepared,
    thresholds_of,
)
from tirtrack.trackers.online import (
    FilterTracker,
    Lesson,
    OnlineModel,
    check_finite,
    located_at,
    shifted,
    with_patches,
)
from tirtrack.trackers.online_engine import Features, OnlineEngine
from tirtrack.trackers.patch_extraction import (
    SampleFrame,
    box_in_sample,
    sample_frame,
    sample_patches,
)
from tirtrack.trackers.place import (
    Layout,
    OnlinePlace,
    at_refined,
    center_and_size,
    layout_of,
    moved,
)
from tirtrack.trackers.steps import Steps

_ASPECT_STRIDE = 32  # samples with the frame's aspect ratio have sides that are multiples of it


@dataclass(frozen=True, eq=False)
class Improvement:
    """A filter to improve on the sample memory; result: the filter ``[1,C,k,k]``.

    Attributes:
        optimiser: filter optimiser of the network.
        filter: filter to start from, ``[1,C,k,k]``.
        samples: features of the samples, ``[N,C,H,W]``.
        boxes: boxes of the samples, ``[N,4]`` xywh, sample pixels.
        weights: weights of the samples, ``[N]``.
        iterations: number of iterations of the optimiser.
    """

    optimiser: SteepestDescent
    filter: Tensor
    samples: Tensor
    boxes: Tensor
    weights: Tensor
    iterations: int

    @property
    def kind(self) -> Hashable:
        """See :class:`~tirtrack.trackers.steps.Work`."""
        shapes = self.filter.shape, self.samples.shape
        return type(self), id(self.optimiser), shapes, self.iterations

    @classmethod
    def done(cls, works: Sequence[Self]) -> list[Tensor]:
        """See :class:`~tirtrack.trackers.steps.Work`."""
        first = works[0]
        run = first.optimiser(
            stacked([work.filter for work in works])[:, 0],
            stacked([work.samples for work in works], dim=1),
            stacked([work.boxes for work in works], dim=1),
            iterations=first.iterations,
            sample_weights=stacked([work.weights for work in works], dim=1),
            with_losses=False,
        )
        return list(run.filters[-1].split(1))


class DimpTracker(FilterTracker):
    """Tracks one target with a filter learnt online and a box estimator."""

    engine: OnlineEngine[Dimp]
    settings: DimpTrackerSettings

    @torch.no_grad()
    def begin(self, levels: np.ndarray, box: Box) -> tuple[OnlinePlace, OnlineModel]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.begin`: takes the first samples; makes
        filter, memory and modulation.
        """
        center_yx, size_hw = center_and_size(box)
        frame_hw = np.array(levels.shape[:2], dtype=np.float64)
        sample_hw, scale = self._first_scale(size_hw, frame_hw)
        place = OnlinePlace(center_yx, size_hw, scale)
        layout = layout_of(place, frame_hw, sample_hw)
        sample, shift_yx = self._first_sample(place, layout)
        patches, transforms = self._augmented(
            levels, sample, center_yx=sample.center_yx, global_shift_yx=shift_yx
        )
        features = self.engine.features(patches.numpy())
        check_finite(features.classification)
        clf_features, all_transforms = self._with_dropout(features.classification, transforms)
        own_box = box_in_sample(place.center_yx, place.size_hw, sample)
        boxes = self.engine.tensor(np.stack([shifted(own_box, one) for one in all_transforms]))
        memory = None
        if self.settings.update_classifier:
            memory = self._memory(clf_features, boxes)
        initial = self.engine.network.initial_filter(clf_features[:, None], boxes[:, None])
        run = self.engine.network.optimiser(
            initial, clf_features, boxes, iterations=self.settings.net_opt_iter, with_losses=False
        )
        filter_ = run.filters[-1]
        check_finite(filter_)
        modulation = self._modulation(transforms, features, own_box)
        return place, OnlineModel(layout, modulation, filter_, memory)

    def cut(self, levels: np.ndarray, place: OnlinePlace) -> Cut[OnlinePlace]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.cut`; the centre moves by half a cell
        where cells and filter differ in parity.
        """
        sides = self.model.layout.sample_hw
        cells = np.array([-(-int(side) // self.engine.network.stride) for side in sides])
        parity = np.mod(cells + np.array(self.model.filter.shape[-2:]), 2)
        samples = sample_patches(
            levels,
            place.center_yx + parity * place.scale * sides / (2 * cells),
            [place.scale * factor for factor in self.settings.scale_factors],
            sides,
            dtype=self.engine.dtype,
            border_mode=self.settings.border_mode,
            max_scale_change=self.settings.patch_max_scale_change,
            generation=self.settings.patch_generation,
        )
        return with_patches(place, samples)

    @torch.no_grad()
    def locate(
        self, cut: Cut[OnlinePlace], features: Features | None = None
    ) -> Steps[Located[OnlinePlace]]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.locate`: localise, move, refine."""
        place, model, settings = cut.place, self.model, self.settings
        features = self.engine.features(cut.patches) if features is None else features
        samples = [sample_frame(one.window_tlbr, model.layout.sample_hw) for one in cut.windows]
        raw = self.engine.network.scores(model.filter, features.classification[:, None])[:, 0]
        check_finite(raw)
        found = self._localised(raw, samples, place)
        k = found.scale_index
        diagnostics: dict[str, Any] = {}
        if found.flag is not Flag.NOT_FOUND:
            if settings.use_classifier:
                scale = None if settings.use_iou_net else samples[k].scale
                center = samples[k].center_yx + found.translation_yx
                place = moved(place, center, model.layout, scale=scale)
            if settings.use_iou_net:
                place, diagnostics = yield from self._refined(
                    place,
                    features[k : k + 1],
                    samples[k],
                    found.flag,
                    undo=False,
                    learns_here=settings.use_iounet_pos_for_learning,
                )
        label = self.engine.tensor(box_in_sample(place.center_yx, place.size_hw, samples[k]))
        if settings.use_iou_net and found.flag is not Flag.NOT_FOUND:
            place = at_refined(place)
        lesson = Lesson(features.classification[k], label, found)
        return located_at(place, lesson, self._peak(raw, found), self.calibration, diagnostics)

    @torch.no_grad()
    def learn(self, located: Located[OnlinePlace]) -> Steps[dict[str, Any]]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.learn`: stores the sample in the memory
        and improves the filter when it is time.
        """
        lesson, model, settings = located.lesson, self.model, self.settings
        memory, slot, iterations = model.memory, None, 0
        if memory is not None and located.flag not in (Flag.NOT_FOUND, Flag.UNCERTAIN):
            is_hard = located.flag is Flag.HARD_NEGATIVE
            rate = settings.hard_negative_learning_rate if is_hard else None
            # The published count of frames begins at 1.
            if rate is not None or (self._frame + 1) % settings.train_sample_interval == 0:
                memory.store(lesson.sample, lesson.label, rate or settings.learning_rate)
                slot = memory.weights.last_slot
            iterations = self._iterations(lesson.localisation, is_hard=rate is not None)
            if iterations:
                improved = yield Improvement(
                    self.engine.network.optimiser,
                    model.filter,
                    memory.samples,
                    memory.labels,
                    memory.sample_weights(),
                    iterations,
                )
                check_finite(improved)
                model.filter = improved
        return {"slot": slot, "iterations": [iterations] if iterations else []}

    def _first_scale(self, size_hw: np.ndarray, frame_hw: np.ndarray) -> tuple[np.ndarray, float]:
        """Sides ``[2]`` of a sample, and frame pixels per sample pixel: a square of
        ``image_sample_size``, or its area in the frame's aspect ratio.
        """
        side = self.settings.image_sample_size
        sides = np.array([side, side], dtype=np.float64)
        if self.settings.use_image_aspect_ratio:
            sides = frame_hw * np.sqrt(np.prod(sides) / np.prod(frame_hw))
            sides = np.round(sides / _ASPECT_STRIDE) * _ASPECT_STRIDE
        area = np.prod(size_hw * self.settings.search_area_scale)
        return sides, float(np.sqrt(area / np.prod(sides)))

    def _first_sample(self, place: OnlinePlace, layout: Layout) -> tuple[SampleFrame, np.ndarray]:
        """The first sample, around the rounded centre, and the shift of its content, ``[2]`` sample
        pixels; only ``inside`` shrinks and shifts it.
        """
        scale, shift = place.scale, np.zeros(2)
        if self.settings.border_mode == "inside":
            sides = place.scale * layout.sample_hw
            over = float((sides / layout.frame_hw).max())
            sides = sides / np.clip(over, 1.0, self.settings.patch_max_scale_change)
            scale = float(np.sqrt(np.prod(sides / layout.sample_hw)))
            low = np.maximum(-(place.center_yx - (sides - 1) / 2), 0)
            high = np.maximum(place.center_yx + sides / 2 + 1 - layout.frame_hw, 0)
            shift = -(low - high) / scale
        return SampleFrame(np.round(place.center_yx), scale, layout.sample_hw), shift

    def _localised(
        self, raw: Tensor, samples: list[SampleFrame], place: OnlinePlace
    ) -> Localisation:
        """Applies the decision table to the prepared score maps."""
        settings = self.settings
        scores = prepared(
            raw.double().cpu().numpy(),
            settings.score_preprocess,
            softmax_reg=self.engine.network.optimiser.softmax_reg,
            filter_side=settings.score_filter_ksz,
        )
        return localise_dimp(
            scores,
            samples,
            place,
            settings=settings,
            thresholds=thresholds_of(
                settings,
                uncertain=settings.uncertain_threshold,
                hard_sample=settings.hard_sample_threshold,
            ),
            kernel_side=self.model.filter.shape[-1],
            window=self._window(scores.shape[1:]),
        )

    def _iterations(self, found: Localisation, *, is_hard: bool) -> int:
        """Iterations by which the filter is improved after this frame."""
        settings, low = self.settings, self.settings.low_score_opt_threshold
        if is_hard:
            return settings.net_opt_hn_iter
        if low is not None and low > found.scores.max():
            return settings.net_opt_low_iter
        is_time = (self._frame - self._phase) % settings.train_skipping == 0
        return settings.net_opt_update_iter if is_time else 0

    def _window(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """The Hann window of the first peak, if the settings ask for one."""
        if not self.settings.window_output:
            return None
        sides, effective = np.array(shape), self.settings.effective_search_area
        if not self.settings.use_clipped_window or effective is None:
            return centered_hann(sides)
        return clipped_hann(sides, np.trunc(sides * effective / self.settings.search_area_scale))

    def _peak(self, raw: Tensor, located: Localisation) -> float:
        """The value behind the score: the map's maximum; for densities, as a probability."""
        highest = float(located.scores.max())
        if self.settings.score_preprocess == "softmax":
            return highest
        return self.engine.network.score_kind.peak(raw[located.scale_index], highest)
