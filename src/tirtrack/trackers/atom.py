"""The online loop of ATOM: a filter and a projection learnt in the first frame by Gauss-Newton,
later updates of the filter only, and a box refined on the estimator's score.

Read :meth:`AtomTracker._follow` first: one frame, step by step. The classifier's loss is in
``atom_classifier``, its minimisation in ``gauss_newton``. Danelljan et al., "ATOM: Accurate
tracking by overlap maximization", CVPR 2019, sections 3.2 and 3.3.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tirtrack.networks.atom import Atom
from tirtrack.trackers.atom_classifier import (
    activation,
    filter_residuals,
    filtered,
    gaussian_label,
    joint_residuals,
    principal_projection,
    projected,
)
from tirtrack.trackers.atom_presets import AtomTrackerSettings
from tirtrack.trackers.gauss_newton import CgSettings, CgState, gauss_newton
from tirtrack.trackers.learnt_state import LearntState
from tirtrack.trackers.localisation import (
    Flag,
    Localisation,
    fine_scores,
    localise_atom,
    origin_clipped_hann,
    origin_hann,
)
from tirtrack.trackers.online import FrameRequest, FrameResult, OnlineTracker, check_finite
from tirtrack.trackers.online_engine import Features
from tirtrack.trackers.patch_extraction import (
    Sample,
    SampleFrame,
    box_in_sample,
    sample_patches,
)
from tirtrack.trackers.place import Layout, Place, at_refined, moved
from tirtrack.trackers.sample_memory import SampleMemory
from tirtrack.trackers.steps import Steps


class AtomTracker(OnlineTracker[AtomTrackerSettings, Atom]):
    """Tracks one target with a classifier, learnt only online, and a box estimator.

    Implements :class:`tirtrack.trackers.base.Tracker`.
    """

    _fills_by_weight = True
    _directions = CgState()  # search directions of the online optimiser, kept if settings say so

    def _first_scale(self, size_hw: np.ndarray, frame_hw: np.ndarray) -> tuple[np.ndarray, float]:
        """Sides of a sample, whole cells with an area within bounds, and the scale."""
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

    def _first_place(self, place: Place) -> Place:
        return replace(place, refined_yx=place.center_yx)

    def _learn_first(self, levels: np.ndarray, place: Place, layout: Layout) -> LearntState:
        """Makes samples and labels, optimises jointly, makes memory and modulation."""
        settings = self.settings
        seen = SampleFrame(np.round(place.center_yx), place.scale, layout.sample_hw)
        first = self._first.samples(
            levels, seen, center_yx=place.center_yx, global_shift_yx=np.zeros(2)
        )
        features = self.engine.features(first.patches.numpy())
        samples, transforms = self._first.with_dropout(features.classification, first.transforms)
        check_finite(samples)
        labels = torch.stack(
            [self._label(place, seen, layout, shift_yx=one.shift_yx) for one in transforms]
        )
        filter_, projection = self._jointly_learnt(samples, labels)
        memory = SampleMemory(
            self._compressed(samples, projection),
            labels,
            size=settings.sample_memory_size,
            minimum=settings.init_samples_minimum_weight,
            fills_by_weight=self._fills_by_weight,
        )
        box = box_in_sample(place.center_yx, place.size_hw, seen)
        modulation = self._first.modulation(first, features, box)
        if settings.iounet_not_use_reference:
            modulation = [torch.full_like(v, float(v.norm()) / v.numel()) for v in modulation]
        learnt = LearntState(layout, modulation, filter_, memory, {"projection": projection})
        self._directions = CgState()
        alone = settings.post_init_cg_iter
        self._improve(learnt, alone if settings.update_projection_matrix else settings.init_cg_iter)
        return learnt

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

    def _compressed(self, samples: Tensor, projection: Tensor) -> Tensor:
        phi = activation(self.settings.projection_activation)
        return phi(projected(samples, projection))

    def _cut(self, levels: np.ndarray, place: Place, learnt: LearntState) -> list[Sample]:
        return sample_patches(
            levels,
            place.center_yx,
            [place.scale * factor for factor in self.settings.scale_factors],
            learnt.layout.sample_hw,
            dtype=self.engine.dtype,
            border_mode="replicate",
            max_scale_change=None,
            generation=self.settings.patch_generation,
        )

    def _follow(
        self, asked: FrameRequest, features: Features, learnt: LearntState
    ) -> Steps[FrameResult]:
        """One frame: localise, move, refine, learn."""
        place = asked.place
        settings = self.settings
        compressed = self._compressed(features.classification, learnt.extra["projection"])
        raw = filtered(compressed, learnt.filter)[:, 0]
        check_finite(raw)
        located = self._localised(raw, place, learnt)
        k = located.scale_index
        factor = settings.scale_factors[k]
        # Labels and boxes count from the rounded centre; the patch was cut at the truncated one.
        seen = SampleFrame(np.round(place.center_yx), place.scale * factor, learnt.layout.sample_hw)
        diagnostics: dict[str, Any] = {}
        if located.flag is not Flag.NOT_FOUND:
            center = seen.center_yx + located.translation_yx
            if settings.use_iou_net:
                place = moved(place, center, learnt.layout)
                place, diagnostics = yield from self._refined(
                    place, features[k : k + 1], seen, learnt, located.flag, undo=True
                )
            else:
                place = moved(place, center, learnt.layout, scale=place.scale * factor)
        diagnostics |= self._learn(learnt, compressed[k], place, seen, located)
        if settings.use_iou_net and located.flag is not Flag.NOT_FOUND:
            place = at_refined(place)
        return FrameResult(place, located, float(located.scores.max()), diagnostics)

    def _learn(
        self,
        learnt: LearntState,
        sample: Tensor,
        place: Place,
        seen: SampleFrame,
        located: Localisation,
    ) -> dict[str, Any]:
        """Stores the sample if the flag allows, and improves the filter when it is time: on
        schedule even after frames without the target, as published.
        """
        settings, is_hard = self.settings, located.flag is Flag.HARD_NEGATIVE
        slot = None
        if located.flag not in (Flag.NOT_FOUND, Flag.UNCERTAIN) and learnt.memory is not None:
            rate = settings.hard_negative_learning_rate if is_hard else None
            label = self._label(place, seen, learnt.layout)
            learnt.memory.store(sample, label, rate or settings.learning_rate)
            slot = learnt.memory.weights.last_slot
        iterations = settings.hard_negative_cg_iter if is_hard else 0
        if not is_hard and (self._frame - self._phase) % settings.train_skipping == 0:
            iterations = settings.cg_iter
        self._improve(learnt, iterations)
        return {"slot": slot, "iterations": [iterations] if iterations else []}

    def _localised(self, raw: Tensor, place: Place, learnt: LearntState) -> Localisation:
        settings = self.settings
        factor = settings.score_upsample_factor
        rows, columns = (factor * int(side) for side in learnt.layout.sample_hw)
        fine = fine_scores(raw.double().cpu().numpy(), (rows, columns), self.settings.kernel_size)
        return localise_atom(
            fine,
            place,
            learnt.layout.sample_hw,
            settings=settings,
            window=self._window(np.array([rows, columns])),
        )

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
        place: Place,
        seen: SampleFrame,
        layout: Layout,
        *,
        shift_yx: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """The desired score map ``[1,H,W]`` of a sample, shifted by ``shift_yx`` sample pixels."""
        kernel = np.array(self.settings.kernel_size)
        cells = layout.sample_hw // self.engine.network.stride
        per_pixel = cells / layout.sample_hw
        sigma = np.sqrt(np.prod(per_pixel * layout.base_hw)) * self.settings.output_sigma_factor
        center = per_pixel * ((place.center_yx - seen.center_yx) / seen.scale + np.array(shift_yx))
        center = center + 0.5 * np.mod(kernel + 1, 2)
        return self.engine.tensor(gaussian_label(cells, sigma.repeat(2), center)[None])

    def _improve(self, learnt: LearntState, iterations: int) -> None:
        """Improves the filter by conjugate gradients, on all samples of the memory."""
        settings, memory = self.settings, learnt.memory
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
            (learnt.filter,),
            iterations=[iterations],
            settings=CgSettings(settings.fletcher_reeves, self._forget_factor()),
            state=self._directions,
        )
        check_finite(*run.point)
        (learnt.filter,), self._directions = run.point, run.state

    def _family_state(self) -> dict[str, Any]:
        """The search directions of the online optimiser."""
        known = self._directions
        parts = {"direction": known.direction, "residual": known.residual}
        arrays = {key: [p.cpu().numpy() for p in part] for key, part in parts.items() if part}
        return {"rho": known.rho, **arrays}

    def _load_family_state(self, state: dict[str, Any]) -> None:
        direction, residual = (
            tuple(self.engine.tensor(array) for array in state[key]) if key in state else None
            for key in ("direction", "residual")
        )
        self._directions = CgState(direction, float(state["rho"]), residual)

    def _forget_factor(self) -> float:
        settings = self.settings
        rates = [settings.learning_rate, settings.hard_negative_learning_rate or 0.0]
        if settings.cg_forgetting_rate is None or max(rates) >= 1:
            return 0.0
        return float((1 - max(rates)) ** settings.cg_forgetting_rate)
