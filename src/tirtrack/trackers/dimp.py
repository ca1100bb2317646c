"""The online loop of DiMP, PrDiMP and SuperDiMP: a filter predicted in the first frame and improved
every few frames, and a box refined on the estimator's score.

Read :meth:`DimpTracker._follow` first: one frame, step by step. The steps themselves are in
``patch_extraction``, ``localisation``, ``box_refinement`` and ``sample_memory``. Bhat et al.,
"Learning discriminative model prediction for tracking", ICCV 2019, section 3.7; Danelljan et al.,
"Probabilistic regression for visual tracking", CVPR 2020.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from tirtrack.networks.dimp import Dimp
from tirtrack.networks.filter_optimisers import PrdimpOptimiser
from tirtrack.trackers.dimp_presets import DimpTrackerSettings
from tirtrack.trackers.first_frame import FirstSamples, shifted
from tirtrack.trackers.learnt_state import LearntState
from tirtrack.trackers.localisation import (
    Flag,
    Localisation,
    centered_hann,
    clipped_hann,
    localise_dimp,
    prepared,
    thresholds_of,
)
from tirtrack.trackers.online import FrameRequest, FrameResult, OnlineTracker, check_finite
from tirtrack.trackers.online_engine import Features
from tirtrack.trackers.patch_extraction import (
    Sample,
    SampleFrame,
    box_in_sample,
    sample_frame,
    sample_patches,
)
from tirtrack.trackers.place import Layout, Place, at_refined, moved
from tirtrack.trackers.sample_memory import SampleMemory
from tirtrack.trackers.shared_work import Improvement
from tirtrack.trackers.steps import Steps

_ASPECT_STRIDE = 32  # samples with the frame's aspect ratio have sides that are multiples of it


class DimpTracker(OnlineTracker[DimpTrackerSettings, Dimp]):
    """Tracks one target with a filter learnt online and a box estimator.

    Implements :class:`tirtrack.trackers.base.Tracker`.
    """

    _fills_by_weight = False

    def _first_scale(self, size_hw: np.ndarray, frame_hw: np.ndarray) -> tuple[np.ndarray, float]:
        """A square of ``image_sample_size``, or its area in the frame's aspect ratio."""
        side = self.settings.image_sample_size
        sides = np.array([side, side], dtype=np.float64)
        if self.settings.use_image_aspect_ratio:
            sides = frame_hw * np.sqrt(np.prod(sides) / np.prod(frame_hw))
            sides = np.round(sides / _ASPECT_STRIDE) * _ASPECT_STRIDE
        area = np.prod(size_hw * self.settings.search_area_scale)
        return sides, float(np.sqrt(area / np.prod(sides)))

    def _learn_first(self, levels: np.ndarray, place: Place, layout: Layout) -> LearntState:
        """Takes the first samples; makes filter, memory and modulation."""
        first = self._samples_of_first(levels, place, layout)
        features = self.engine.features(first.patches.numpy())
        check_finite(features.classification)
        clf_features, transforms = self._first.with_dropout(
            features.classification, first.transforms
        )
        box = box_in_sample(place.center_yx, place.size_hw, first.seen)
        boxes = self.engine.tensor(np.stack([shifted(box, one) for one in transforms]))
        memory = None
        if self.settings.update_classifier:
            memory = SampleMemory(
                clf_features,
                boxes,
                size=self.settings.sample_memory_size,
                minimum=self.settings.init_samples_minimum_weight,
                fills_by_weight=self._fills_by_weight,
            )
        initial = self.engine.network.initial_filter(clf_features[:, None], boxes[:, None])
        run = self.engine.network.optimiser(
            initial, clf_features, boxes, iterations=self.settings.net_opt_iter, with_losses=False
        )
        filter_ = run.filters[-1]
        check_finite(filter_)
        modulation = self._first.modulation(first, features, box)
        return LearntState(layout, modulation, filter_, memory)

    def _samples_of_first(self, levels: np.ndarray, place: Place, layout: Layout) -> FirstSamples:
        """Samples around the rounded centre; only ``inside`` shrinks and shifts them."""
        scale, shift = place.scale, np.zeros(2)
        if self.settings.border_mode == "inside":
            sides = place.scale * layout.sample_hw
            over = float((sides / layout.frame_hw).max())
            sides = sides / np.clip(over, 1.0, self.settings.patch_max_scale_change)
            scale = float(np.sqrt(np.prod(sides / layout.sample_hw)))
            low = np.maximum(-(place.center_yx - (sides - 1) / 2), 0)
            high = np.maximum(place.center_yx + sides / 2 + 1 - layout.frame_hw, 0)
            shift = -(low - high) / scale
        center = np.round(place.center_yx)
        seen = SampleFrame(center, scale, layout.sample_hw)
        return self._first.samples(levels, seen, center_yx=center, global_shift_yx=shift)

    def _cut(self, levels: np.ndarray, place: Place, learnt: LearntState) -> list[Sample]:
        """Samples; the centre moves by half a cell where cells and filter differ in parity."""
        sides = learnt.layout.sample_hw
        cells = np.array(self._feature_hw(learnt))
        parity = np.mod(cells + self._kernel_hw(learnt), 2)
        return sample_patches(
            levels,
            place.center_yx + parity * place.scale * sides / (2 * cells),
            [place.scale * factor for factor in self.settings.scale_factors],
            sides,
            dtype=self.engine.dtype,
            border_mode=self.settings.border_mode,
            max_scale_change=self.settings.patch_max_scale_change,
            generation=self.settings.patch_generation,
        )

    def _follow(
        self, asked: FrameRequest, features: Features, learnt: LearntState
    ) -> Steps[FrameResult]:
        """One frame: localise, move, refine, learn."""
        place = asked.place
        side = learnt.layout.sample_hw
        seen = [sample_frame(sample.window_tlbr, side) for sample in asked.samples]
        raw = self.engine.network.scores(learnt.filter, features.classification[:, None])[:, 0]
        check_finite(raw)
        located = self._localised(raw, seen, place, learnt)
        k = located.scale_index
        best, settings = seen[k], self.settings
        diagnostics: dict[str, Any] = {"iterations": [], "slot": None}
        if located.flag is not Flag.NOT_FOUND:
            center = best.center_yx + located.translation_yx
            if settings.use_classifier:
                scale = None if settings.use_iou_net else best.scale
                place = moved(place, center, learnt.layout, scale=scale)
            if settings.use_iou_net:
                place, numbers = yield from self._refined(
                    place,
                    features[k : k + 1],
                    best,
                    learnt,
                    located.flag,
                    undo=False,
                    learns_here=settings.use_iounet_pos_for_learning,
                )
                diagnostics |= numbers
        if located.flag not in (Flag.NOT_FOUND, Flag.UNCERTAIN) and learnt.memory is not None:
            box = self.engine.tensor(box_in_sample(place.center_yx, place.size_hw, best))
            sample = features.classification[k]
            diagnostics |= yield from self._learn(learnt, learnt.memory, sample, box, located)
        if settings.use_iou_net and located.flag is not Flag.NOT_FOUND:
            place = at_refined(place)
        return FrameResult(place, located, self._peak(raw, located), diagnostics)

    def _localised(
        self, raw: Tensor, seen: list[SampleFrame], place: Place, learnt: LearntState
    ) -> Localisation:
        """Applies the decision table to the prepared score maps."""
        settings, optimiser = self.settings, self.engine.network.optimiser
        softmax_reg = optimiser.softmax_reg if isinstance(optimiser, PrdimpOptimiser) else None
        scores = prepared(
            raw.double().cpu().numpy(),
            settings.score_preprocess,
            softmax_reg=softmax_reg,
            filter_side=settings.score_filter_ksz,
        )
        return localise_dimp(
            scores,
            seen,
            place,
            settings=settings,
            thresholds=thresholds_of(
                settings,
                uncertain=settings.uncertain_threshold,
                hard_sample=settings.hard_sample_threshold,
            ),
            kernel_side=learnt.filter.shape[-1],
            window=self._window(scores.shape[1:]),
        )

    def _learn(
        self,
        learnt: LearntState,
        memory: SampleMemory,
        sample: Tensor,
        box: Tensor,
        located: Localisation,
    ) -> Steps[dict[str, Any]]:
        """Stores the sample in the memory and improves the filter when it is time."""
        settings, frame = self.settings, self._frame + 1  # the published count begins at 1
        is_hard = located.flag is Flag.HARD_NEGATIVE
        rate = settings.hard_negative_learning_rate if is_hard else None
        slot = None
        if rate is not None or frame % settings.train_sample_interval == 0:
            memory.store(sample, box, rate or settings.learning_rate)
            slot = memory.weights.last_slot
        low = settings.low_score_opt_threshold
        iterations = 0
        if rate is not None:
            iterations = settings.net_opt_hn_iter
        elif low is not None and low > located.scores.max():
            iterations = settings.net_opt_low_iter
        elif (self._frame - self._phase) % settings.train_skipping == 0:
            iterations = settings.net_opt_update_iter
        if iterations:
            improved = yield Improvement(
                self.engine.network.optimiser,
                learnt.filter,
                memory.samples,
                memory.labels,
                memory.sample_weights(),
                iterations,
            )
            check_finite(improved)
            learnt.filter = improved
        return {"slot": slot, "iterations": [iterations] if iterations else []}

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

    def _feature_hw(self, learnt: LearntState) -> tuple[int, int]:
        stride = self.engine.network.stride
        height, width = (-(-int(side) // stride) for side in learnt.layout.sample_hw)
        return height, width

    def _kernel_hw(self, learnt: LearntState) -> np.ndarray:
        return np.array(learnt.filter.shape[-2:])
