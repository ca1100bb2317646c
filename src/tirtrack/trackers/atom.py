"""ATOM: a filter and a projection learnt in the first frame by Gauss-Newton, later updates of the
filter only, and a box refined on the estimator's score.

Read :meth:`AtomTracker.locate` and :meth:`AtomTracker.learn` first: one frame, step by step. The
classifier's loss is in ``atom_classifier``, its minimisation in ``gauss_newton``. Danelljan et al.,
"ATOM: Accurate tracking by overlap maximization", CVPR 2019, sections 3.2 and 3.3.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tirtrack.boxes import Box
from tirtrack.networks.atom import Atom
from tirtrack.trackers.atom_classifier import (
    activation,
    atom_label,
    filter_residuals,
    filtered,
    joint_residuals,
    principal_projection,
    projected,
)
from tirtrack.trackers.atom_presets import AtomTrackerSettings
from tirtrack.trackers.belief import Flag, LossRule
from tirtrack.trackers.draws import Draws
from tirtrack.trackers.family import Cut, Located
from tirtrack.trackers.gauss_newton import CgSettings, gauss_newton
from tirtrack.trackers.localisation import (
    Localisation,
    fine_scores,
    localise_atom,
    origin_clipped_hann,
    origin_hann,
)
from tirtrack.trackers.online import (
    Lesson,
    OnlineModel,
    OnlineSteps,
    check_finite,
    located_at,
    loss_rule,
    with_patches,
)
from tirtrack.trackers.online_engine import Features, OnlineEngine
from tirtrack.trackers.patch_extraction import SampleFrame, box_in_sample, sample_patches
from tirtrack.trackers.place import (
    Layout,
    OnlinePlace,
    at_refined,
    center_and_size,
    kept_in_frame,
    layout_of,
    moved,
)
from tirtrack.trackers.sample_memory import SampleMemory
from tirtrack.trackers.shell import TrackerShell
from tirtrack.trackers.steps import Steps
from tirtrack.weights.card import PeakCalibration


class AtomTracker(TrackerShell[OnlinePlace, OnlineModel]):
    """Tracks one target with a classifier, learnt only online, and a box estimator."""

    engine: OnlineEngine[Atom]
    settings: AtomTrackerSettings
    calibration: PeakCalibration
    _draws: Draws

    @property
    def loss(self) -> LossRule:
        """See :class:`~tirtrack.trackers.shell.TrackerShell`."""
        return loss_rule(self.settings)

    @torch.no_grad()
    def begin(self, levels: np.ndarray, box: Box) -> tuple[OnlinePlace, OnlineModel]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.begin`: makes samples and labels,
        optimises jointly, makes memory and modulation.
        """
        settings = self.settings
        center_yx, size_hw = center_and_size(box)
        frame_hw = np.array(levels.shape[:2], dtype=np.float64)
        sample_hw, scale = self._first_scale(size_hw, frame_hw)
        place = OnlinePlace(center_yx, size_hw, scale, refined_yx=center_yx)
        layout = layout_of(place, frame_hw, sample_hw)
        sample = SampleFrame(np.round(center_yx), scale, sample_hw)
        first = self._steps.first_samples(
            levels, sample, center_yx=center_yx, global_shift_yx=np.zeros(2)
        )
        features = self.engine.features(first.patches.numpy())
        samples, transforms = self._steps.with_dropout(features.classification, first.transforms)
        check_finite(samples)
        labels = torch.stack(
            [self._label(place, sample, layout, shift_yx=one.shift_yx) for one in transforms]
        )
        filter_, projection = self._jointly_learnt(samples, labels)
        memory = SampleMemory(
            self._compressed(samples, projection),
            labels,
            size=settings.sample_memory_size,
            minimum=settings.init_samples_minimum_weight,
            fills_by_weight=True,
        )
        own_box = box_in_sample(center_yx, size_hw, sample)
        modulation = self._steps.modulation(first, features, own_box)
        if settings.iounet_not_use_reference:
            modulation = [torch.full_like(v, float(v.norm()) / v.numel()) for v in modulation]
        model = OnlineModel(layout, modulation, filter_, memory, projection)
        alone = settings.post_init_cg_iter
        self._improve(model, alone if settings.update_projection_matrix else settings.init_cg_iter)
        return place, model

    def cut(self, levels: np.ndarray, place: OnlinePlace) -> Cut[OnlinePlace]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.cut`."""
        samples = sample_patches(
            levels,
            place.center_yx,
            [place.scale * factor for factor in self.settings.scale_factors],
            self.model.layout.sample_hw,
            dtype=self.engine.dtype,
            border_mode="replicate",
            max_scale_change=None,
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
        compressed = self._compressed(features.classification, model.projection)
        raw = filtered(compressed, model.filter)[:, 0]
        check_finite(raw)
        found = self._localised(raw, place)
        k = found.scale_index
        factor = settings.scale_factors[k]
        # Labels and boxes count from the rounded centre; the patch was cut at the truncated one.
        sample = SampleFrame(
            np.round(place.center_yx), place.scale * factor, model.layout.sample_hw
        )
        diagnostics: dict[str, Any] = {}
        if found.flag is not Flag.NOT_FOUND:
            center = sample.center_yx + found.translation_yx
            if settings.use_iou_net:
                place = moved(place, center, model.layout)
                place, diagnostics = yield from self._steps.refined(
                    place, features[k : k + 1], sample, model, found.flag, undo=True
                )
            else:
                place = moved(place, center, model.layout, scale=place.scale * factor)
        label = self._label(place, sample, model.layout)
        if settings.use_iou_net and found.flag is not Flag.NOT_FOUND:
            place = at_refined(place)
        peak = float(found.scores.max())
        lesson = Lesson(compressed[k], label, found)
        return located_at(place, lesson, peak, self.calibration, diagnostics)

    @torch.no_grad()
    def learn(self, located: Located[OnlinePlace]) -> dict[str, Any]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.learn`: stores the sample if the flag
        allows, and improves the filter when it is time: on schedule even after frames without the
        target, as published.
        """
        settings, lesson, memory = self.settings, located.lesson, self.model.memory
        is_hard, slot = located.flag is Flag.HARD_NEGATIVE, None
        if memory is not None and located.flag not in (Flag.NOT_FOUND, Flag.UNCERTAIN):
            rate = settings.hard_negative_learning_rate if is_hard else None
            memory.store(lesson.sample, lesson.label, rate or settings.learning_rate)
            slot = memory.weights.last_slot
        iterations = settings.hard_negative_cg_iter if is_hard else 0
        if not is_hard and (self._frame - self._phase) % settings.train_skipping == 0:
            iterations = settings.cg_iter
        self._improve(self.model, iterations)
        return {"slot": slot, "iterations": [iterations] if iterations else []}

    def _first_scale(self, size_hw: np.ndarray, frame_hw: np.ndarray) -> tuple[np.ndarray, float]:
        """Sides ``[2]`` of a sample, whole cells with an area within bounds, and frame pixels per
        sample pixel.
        """
        settings, stride = self.settings, self.engine.network.stride
        searched = size_hw * settings.search_area_scale
        area = float(np.prod(searched))
        bound = float(np.clip(area, settings.min_image_sample_size, settings.max_image_sample_size))
        scale = float(np.sqrt(area / bound))
        sides = searched / scale
        if settings.search_area_shape == "square":
            sides = np.sqrt(np.prod(sides)).repeat(2)
        sides = np.round(sides)
        odd = np.mod(sides, 2 * stride) if settings.feature_size_odd else 0
        even = np.mod(sides + stride, 2 * stride)
        return sides + stride - (odd if settings.feature_size_odd else even), scale

    def _jointly_learnt(self, samples: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Filter and projection of the first frame, optimised from random ones."""
        settings = self.settings
        filter_, projection = self._initial(samples)
        if not settings.update_projection_matrix:
            return filter_, projection
        weights = samples.new_full((len(samples),), 1 / len(samples))
        run = gauss_newton(
            joint_residuals(
                samples,
                labels,
                weights,
                filter_reg=settings.filter_reg,
                projection_reg=settings.projection_reg,
                projection_activation=settings.projection_activation,
                response_activation=settings.response_activation,
            ),
            (filter_, projection),
            iterations=[settings.init_cg_iter // settings.init_gn_iter] * settings.init_gn_iter,
            settings=CgSettings(),  # as published, whatever the settings for later frames are
            preconditioner=lambda v: (v[0] / settings.filter_reg, v[1] / settings.projection_reg),
        )
        check_finite(*run.point)
        return run.point[0], run.point[1]

    def _initial(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Filter and projection before any step; the projection is drawn first."""
        settings, channels = self.settings, samples.shape[1]
        if settings.proj_init_method == "pca":
            projection = principal_projection(samples, settings.compressed_dim)
        else:
            normals = self._draws.normals((settings.compressed_dim, channels, 1, 1))
            projection = normals.to(samples) / channels**0.5
        shape = (1, settings.compressed_dim, *settings.kernel_size)
        if settings.filter_init_method == "zeros":
            return samples.new_zeros(shape), projection
        return self._draws.normals(shape).to(samples) / math.prod(shape), projection

    def _compressed(self, samples: Tensor, projection: Tensor | None) -> Tensor:
        if projection is None:
            raise RuntimeError("the target model of an ATOM has a projection")
        phi = activation(self.settings.projection_activation)
        return phi(projected(samples, projection))

    def _localised(self, raw: Tensor, place: OnlinePlace) -> Localisation:
        """Applies the decision table to the fine score maps."""
        settings, sample_hw = self.settings, self.model.layout.sample_hw
        rows, columns = (settings.score_upsample_factor * int(side) for side in sample_hw)
        fine = fine_scores(raw.double().cpu().numpy(), (rows, columns), settings.kernel_size)
        window = self._window(np.array([rows, columns]))
        return localise_atom(fine, place, sample_hw, settings=settings, window=window)

    def _window(self, sides: np.ndarray) -> np.ndarray | None:
        if not self.settings.window_output:
            return None
        effective = self.settings.effective_search_area
        if not self.settings.use_clipped_window or effective is None:
            return origin_hann(sides)
        inner = np.trunc(sides * effective / self.settings.search_area_scale)
        return origin_clipped_hann(sides, inner)

    def _label(
        self,
        place: OnlinePlace,
        sample: SampleFrame,
        layout: Layout,
        *,
        shift_yx: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """The desired score map ``[1,H,W]`` of a sample, shifted by ``shift_yx`` sample pixels."""
        kernel = np.array(self.settings.kernel_size)
        cells = layout.sample_hw // self.engine.network.stride
        per_pixel = cells / layout.sample_hw
        sigma = np.sqrt(np.prod(per_pixel * layout.base_hw)) * self.settings.output_sigma_factor
        center = per_pixel * (
            (place.center_yx - sample.center_yx) / sample.scale + np.array(shift_yx)
        )
        center = center + 0.5 * np.mod(kernel + 1, 2)
        return self.engine.tensor(atom_label(cells, sigma.repeat(2), center)[None])

    def _improve(self, model: OnlineModel, iterations: int) -> None:
        """Improves the filter by conjugate gradients, on all samples of the memory."""
        settings, memory = self.settings, model.memory
        if iterations == 0 or memory is None:
            return
        run = gauss_newton(
            filter_residuals(
                memory.samples,
                memory.labels,
                memory.sample_weights(),
                filter_reg=settings.filter_reg,
                response_activation=settings.response_activation,
            ),
            (model.filter,),
            iterations=[iterations],
            settings=CgSettings(settings.fletcher_reeves, self._forget_factor()),
            state=model.directions,
        )
        check_finite(*run.point)
        (model.filter,), model.directions = run.point, run.state

    def _forget_factor(self) -> float:
        settings = self.settings
        rates = [settings.learning_rate, settings.hard_negative_learning_rate or 0.0]
        if settings.cg_forgetting_rate is None or max(rates) >= 1:
            return 0.0
        return float((1 - max(rates)) ** settings.cg_forgetting_rate)

    @property
    def _steps(self) -> OnlineSteps[Atom]:
        return OnlineSteps(self.engine, self.settings, self._draws)

    def _bounded(self, place: OnlinePlace) -> OnlinePlace:
        return kept_in_frame(place, self.model.layout, self.settings.min_side)

    def _own_draws(self, seed: int, target: str) -> Draws:
        return Draws(seed, target if self.settings.draws == "keyed" else None)

    def restored(
        self, place: dict[str, Any], model: dict[str, Any]
    ) -> tuple[OnlinePlace, OnlineModel]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.restored`."""
        return OnlinePlace.from_state_dict(place), OnlineModel.from_state_dict(
            model, self.engine, self.settings, fills_by_weight=True
        )
