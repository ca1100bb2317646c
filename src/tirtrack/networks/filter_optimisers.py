"""Steepest descent on the target filter: the optimisers of DiMP, PrDiMP and their variants.

All of them follow the gradient of an objective with the optimal step of its quadratic model, so a
few iterations are enough. Everything is differentiable: in training the gradient of the loss on the
test images flows back through the iterations into features, first filter and the few parameters.
:class:`SteepestDescent` is the iteration; an *objective* compares scores with the desired ones.
Features ``[N,S,C,H,W]``, filters ``[S,C,k,k]``, scores ``[N,S,H',W']``.

Equations: Bhat et al., ICCV 2019 (DiMP), section 3.3; Danelljan et al., CVPR 2020 (PrDiMP).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypedDict, Unpack

import torch
from torch import Tensor, nn

from tirtrack.networks import activations
from tirtrack.networks.filter_labels import centres_yx, gaussian_label, label_density, radial
from tirtrack.networks.target_filter import (
    apply_filter,
    filter_adjoint,
    score_shape,
    with_sequences,
)

SMALLEST_CURVATURE = 1e-8

Activation = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps scores and the slope of their negative side to activated scores and their derivative."""


@dataclass(frozen=True)
class OptimiserRun:
    """Result of an optimiser.

    Attributes:
        filters: ``K + 1`` iterates ``[S,C,k,k]``, the first filter included.
        losses: objective at each iterate, scalars; empty if not requested.
    """

    filters: list[Tensor]
    losses: list[Tensor]


@dataclass(frozen=True)
class Linearised:
    """An objective at given scores.

    Attributes:
        loss: objective, a scalar: sum over all scores.
        slope: ``[N,S,H',W']``, derivative of the objective (of half of it, if it is a sum of
            squares) with respect to the scores.
        curvature: function that gives the quadratic form ``[S]`` of a change of the scores
            ``[N,S,H',W']`` in each sequence.
    """

    loss: Tensor
    slope: Tensor
    curvature: Callable[[Tensor], Tensor]


Objective = Callable[[Tensor], Linearised]


@dataclass(frozen=True)
class LeastSquares:
    """``|weights * (h(scores) - labels)|^2``, with its Gauss-Newton quadratic model.

    Attributes:
        labels: ``[N,S,H',W']``, desired scores.
        mask: ``[N,S,H',W']``, slope of ``h`` below zero: 1 near the target, 0 far from it.
        weights: ``[N,S,H',W']`` or ``[N,S,1,1]``, weights of the residuals (not of their squares).
        activation: activation ``h``.
    """

    labels: Tensor
    mask: Tensor
    weights: Tensor
    activation: Activation

    def __call__(self, scores: Tensor) -> Linearised:
        """The objective at scores ``[N,S,H',W']``."""
        activated, slope = self.activation(scores, self.mask)
        residuals = self.weights * (activated - self.labels)
        gain = self.weights * slope

        def curvature(change: Tensor) -> Tensor:
            return (gain * change).square().sum(dim=(0, 2, 3))

        return Linearised(residuals.square().sum(), gain * residuals, curvature)


@dataclass(frozen=True)
class Divergence:
    """Cross entropy of a label density and the softmax of the scores, with its Newton model.

    Attributes:
        density: ``[N,S,H',W']``, label density.
        weights: ``[N,S,1,1]``, weights of the images.
        softmax_reg: one further, constant logit; ``None`` for none.
    """

    density: Tensor
    weights: Tensor
    softmax_reg: float | None = None

    def __call__(self, scores: Tensor) -> Linearised:
        """The objective at scores ``[N,S,H',W']``."""
        flat = scores.flatten(2)
        log_sum = activations.log_normaliser(flat, 2, constant=self.softmax_reg)  # [N,S,1]
        probability = (flat - log_sum).exp().view_as(scores)
        weights = self.weights[:, :, 0, 0]
        losses = log_sum[:, :, 0] - (self.density * scores).sum(dim=(2, 3))

        def curvature(change: Tensor) -> Tensor:
            weighted = probability * change
            mean = weighted.sum(dim=(2, 3), keepdim=True)
            variance = (change * (weighted - probability * mean)).sum(dim=(2, 3))
            return (weights * variance.clamp(min=0)).sum(0)

        slope = self.weights * (probability - self.density)
        return Linearised((weights * losses).sum(), slope, curvature)


class Walk(TypedDict, total=False):
    """Settings that every optimiser takes in addition to its own.

    Attributes:
        optim_iter: number of iterations, unless a call sets another.
        feat_stride: patch pixels per cell.
        alpha_eps: multiple of the squared gradient added to the curvature; shortens the steps.
        detach_length: largest number of iterations that a gradient flows back through; 0: none.
    """

    optim_iter: int
    feat_stride: int
    alpha_eps: float
    detach_length: float


class SteepestDescent(nn.Module, ABC):
    """The iteration that all optimisers share; see :class:`Walk` for its settings.

    Attributes:
        softmax_reg: one further, constant logit if scores are logits of a density; ``None`` for
            none.
    """

    softmax_reg: float | None = None

    def __init__(
        self,
        *,
        optim_iter: int = 5,
        feat_stride: int = 16,
        alpha_eps: float = 0.0,
        detach_length: float = math.inf,
    ) -> None:
        super().__init__()
        self.optim_iter = optim_iter
        self.feat_stride = feat_stride
        self.alpha_eps = alpha_eps
        self.detach_length = detach_length

    @abstractmethod
    def objective(self, centres: Tensor, size_hw: tuple[int, int], shares: Tensor) -> Objective:
        """The objective of the scores.

        Args:
            centres: ``[N,S,2]`` (y, x), centres of the targets on the score map, cells.
            size_hw: rows and columns of the score map.
            shares: ``[N,S,1,1]``, weights of the images.
        """

    def learn(self, *, step: float, reg: float, lowest_reg: float) -> None:
        """Make a trainable step length and regularisation with these initial values. The
        regularisation and its lower bound are given before squaring.
        """
        self.log_step_length = nn.Parameter(torch.tensor([math.log(step)]))
        self.filter_reg = nn.Parameter(torch.tensor([reg]))
        self.lowest_reg = lowest_reg

    def regularisation(self) -> Tensor:
        """Weight of the squared filter in the objective: ``[1]``."""
        return self.filter_reg.square().clamp(min=self.lowest_reg**2)

    def step(self) -> Tensor | float:
        """Factor on the optimal step of the quadratic model, ``[1]``."""
        return self.log_step_length.exp()

    def forward(
        self,
        filters: Tensor,
        features: Tensor,
        boxes_patch: Tensor,
        *,
        iterations: int | None = None,
        sample_weights: Tensor | None = None,
        with_losses: bool = True,
    ) -> OptimiserRun:
        """Improve the filter of each sequence on its own images.

        Args:
            filters: ``[S,C,k,k]``, first filters.
            features: ``[N,S,C,H,W]``, or ``[N,C,H,W]`` of one sequence.
            boxes_patch: ``[N,S,4]`` or ``[N,4]``, xywh, patch pixels.
            iterations: number of iterations instead of ``optim_iter``.
            sample_weights: weights of the images, ``[N,S]``, or ``[N]`` of one sequence; by default
                1 / N each.
            with_losses: compute the losses; without them one application of the filter is saved.

        Raises:
            ValueError: shapes do not fit, a box is not finite, or a weight is negative.
        """
        features = with_sequences(features).contiguous()  # once, not in every application
        boxes = _checked_boxes(boxes_patch, features)
        centres = centres_yx(boxes, _kernel(filters), feat_stride=self.feat_stride)
        size_hw = score_shape(features, _kernel(filters))
        objective = self.objective(centres, size_hw, _shares(features, sample_weights))
        count = self.optim_iter if iterations is None else iterations
        return self._descend(objective, filters, features, count, with_losses=with_losses)

    def _descend(
        self,
        objective: Objective,
        filters: Tensor,
        features: Tensor,
        iterations: int,
        *,
        with_losses: bool,
    ) -> OptimiserRun:
        run = OptimiserRun([filters], [])
        for i in range(iterations):
            if self.detach_length == 0 or (i > 0 and i % self.detach_length == 0):
                filters = filters.detach()
            now = objective(apply_filter(features, filters))
            if with_losses:
                run.losses.append(self.loss(now, filters))
            filters = filters - self._best_step(now, filters, features)
            run.filters.append(filters)
        if with_losses:
            run.losses.append(self.loss(objective(apply_filter(features, filters)), filters))
        return run

    def _best_step(self, now: Linearised, filters: Tensor, features: Tensor) -> Tensor:
        """Step along the gradient to the minimum of the quadratic model, times :meth:`step`."""
        regularisation = self.regularisation()
        gradient = filter_adjoint(features, now.slope, _kernel(filters))
        gradient = gradient + regularisation * filters
        size = gradient.square().sum(dim=(1, 2, 3))  # [S]
        curvature = now.curvature(apply_filter(features, gradient))
        curvature = curvature + (regularisation + self.alpha_eps) * size
        length = self.step() * size / curvature.clamp(min=SMALLEST_CURVATURE)
        return length[:, None, None, None] * gradient

    def loss(self, now: Linearised, filters: Tensor) -> Tensor:
        """The objective with its regularisation, mean over sequences: a scalar."""
        total = now.loss + self.regularisation()[0] * filters.square().sum()
        return total / filters.shape[0]


class DimpOptimiser(SteepestDescent):
    """DiMP's: least squares, with label, target mask and weight learnt as functions of distance.

    Args:
        optim_init_step: initial factor of the step.
        optim_init_reg: initial regularisation, before squaring.
        min_filter_reg: lower bound of the regularisation, before squaring.
        init_gauss_sigma: sigma of the initial label, cells; 0: one at the centre only.
        num_dist_bins: number of distances at which the functions have a value.
        bin_displacement: difference between these distances, cells.
        mask_init_factor: steepness of the initial mask.
        target_mask_act: ``sigmoid``, or ``linear`` for none.
        score_act: ``relu``, or ``bentpar`` with a smooth bend.
        act_param: width of the bend.
        walk: see :class:`Walk`.
    """

    def __init__(
        self,
        *,
        optim_init_step: float = 1.0,
        optim_init_reg: float = 0.01,
        min_filter_reg: float = 1e-3,
        init_gauss_sigma: float = 1.0,
        num_dist_bins: int = 5,
        bin_displacement: float = 1.0,
        mask_init_factor: float = 4.0,
        target_mask_act: Literal["sigmoid", "linear"] = "sigmoid",
        score_act: Literal["relu", "bentpar"] = "relu",
        act_param: float | None = None,
        **walk: Unpack[Walk],
    ) -> None:
        super().__init__(**walk)
        self.learn(step=optim_init_step, reg=optim_init_reg, lowest_reg=min_filter_reg)
        self.bin_displacement = bin_displacement
        self.activation = _activation(score_act, act_param)
        # On the CPU wherever the network is made: on the device meta, where its shapes are asked
        # for, sums import torch's compiler, and that took a third of a start.
        distances = torch.arange(num_dist_bins, dtype=torch.float64, device="cpu")
        distances = distances * bin_displacement
        linear = target_mask_act == "linear"
        mask = mask_init_factor * (2.0 - distances).tanh() + (0.5 if linear else 0.0)
        self.label_map_predictor = DistanceFunction(_label(distances, init_gauss_sigma))
        self.target_mask_predictor = nn.Sequential(
            DistanceFunction(mask), nn.Identity() if linear else nn.Sigmoid()
        )
        self.spatial_weight_predictor = DistanceFunction(torch.ones_like(distances))

    def maps(self, centres: Tensor, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Label, target mask and weight around centres ``[...,2]``: three ``[...,H',W']``."""
        mask_function, mask_activation = self.target_mask_predictor
        functions = (self.label_map_predictor, mask_function, self.spatial_weight_predictor)
        tables = torch.cat([w.flatten(1).T for f in functions for w in f.parameters()], dim=1)
        around = radial(tables, centres, size_hw, displacement=self.bin_displacement)
        labels, mask, weights = around.unbind(-3)
        return labels, mask_activation(mask), weights

    def objective(self, centres: Tensor, size_hw: tuple[int, int], shares: Tensor) -> Objective:
        """Least squares around the centres."""
        labels, mask, weights = self.maps(centres, size_hw)
        return LeastSquares(labels, mask, shares.sqrt() * weights, self.activation)


class DistanceFunction(nn.Module):
    """A table over distances, in the shape of the published files: ``weight [1,B,1,1]``.

    Args:
        values: ``[B]``, initial values.
    """

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        # A tensor of its own, on the device that is in force.
        self.weight = nn.Parameter(torch.tensor(values.tolist())[None, :, None, None])


class PrdimpOptimiser(SteepestDescent):
    """PrDiMP's: divergence of the softmax of the scores from a label density.

    Args:
        optim_init_step: initial factor of the step.
        optim_init_reg: initial regularisation, before squaring.
        optim_min_reg: lower bound of the regularisation, before squaring.
        gauss_sigma: sigma of the label density, cells; 0: all on one cell.
        normalize_label: make the Gaussian sum to one.
        init_uni_weight: share of a uniform density; ``None`` for none.
        label_shrink: share of the density that is removed.
        softmax_reg: one further, constant logit; ``None`` for none.
        label_threshold: densities up to this value become zero.
        walk: see :class:`Walk`.
    """

    def __init__(
        self,
        *,
        optim_init_step: float = 1.0,
        optim_init_reg: float = 0.01,
        optim_min_reg: float = 1e-3,
        gauss_sigma: float = 1.0,
        normalize_label: bool = False,
        init_uni_weight: float | None = None,
        label_shrink: float = 0.0,
        softmax_reg: float | None = None,
        label_threshold: float = 0.0,
        **walk: Unpack[Walk],
    ) -> None:
        super().__init__(**walk)
        self.learn(step=optim_init_step, reg=optim_init_reg, lowest_reg=optim_min_reg)
        self.softmax_reg = softmax_reg
        self.density = partial(
            label_density,
            sigma=gauss_sigma,
            normalize=normalize_label,
            uni_weight=init_uni_weight or 0.0,
            shrink=label_shrink,
            threshold=label_threshold,
        )

    def objective(self, centres: Tensor, size_hw: tuple[int, int], shares: Tensor) -> Objective:
        """Divergence from the density around the centres."""
        return Divergence(self.density(centres, size_hw), shares, self.softmax_reg)


class HingeL2Optimiser(SteepestDescent):
    """Least squares against a Gaussian, with negative scores cut off where the Gaussian is small:
    DiMP without learnt maps.

    Args:
        optim_init_step: initial factor of the step.
        optim_init_reg: initial regularisation, before squaring.
        min_filter_reg: lower bound of the regularisation, before squaring.
        gauss_sigma: sigma of the label, cells.
        hinge_threshold: labels up to this value are background.
        walk: see :class:`Walk`.
    """

    def __init__(
        self,
        *,
        optim_init_step: float = 1.0,
        optim_init_reg: float = 0.01,
        min_filter_reg: float = 1e-3,
        gauss_sigma: float = 1.0,
        hinge_threshold: float = 0.05,
        **walk: Unpack[Walk],
    ) -> None:
        super().__init__(**walk)
        self.learn(step=optim_init_step, reg=optim_init_reg, lowest_reg=min_filter_reg)
        self.gauss_sigma = gauss_sigma
        self.hinge_threshold = hinge_threshold

    def objective(self, centres: Tensor, size_hw: tuple[int, int], shares: Tensor) -> Objective:
        """Least squares around the centres."""
        labels = gaussian_label(centres, size_hw, sigma=self.gauss_sigma)
        mask = (labels > self.hinge_threshold).to(labels.dtype)
        return LeastSquares(labels * mask, mask, shares.sqrt(), activations.hinge)


class HingeResidualOptimiser(SteepestDescent):
    """The optimiser of ``superdimp_simple``: full steps; only the regularisation is learnt.

    Its loss is the mean square of all residuals, including those of the regularisation.

    Args:
        optim_init_reg: initial regularisation, before squaring; it has no lower bound.
        label_sigma_cells: sigma of the Gaussian label, cells.
        hinge_threshold: labels up to this value are background.
        activation_leak: slope of negative background scores.
        score_act: ``relu``, or ``bentpar`` with a smooth bend.
        act_param: width of the bend.
        walk: see :class:`Walk`.
    """

    def __init__(
        self,
        *,
        optim_init_reg: float = 0.01,
        label_sigma_cells: float = 1.0,
        hinge_threshold: float = 0.05,
        activation_leak: float = 0.0,
        score_act: Literal["relu", "bentpar"] = "relu",
        act_param: float | None = None,
        **walk: Unpack[Walk],
    ) -> None:
        super().__init__(**walk)
        self.residual_module = nn.ParameterDict({"filter_reg": torch.tensor([optim_init_reg])})
        self.label_sigma_cells = label_sigma_cells
        self.hinge_threshold = hinge_threshold
        self.activation_leak = activation_leak
        self.activation = _activation(score_act, act_param)

    def objective(self, centres: Tensor, size_hw: tuple[int, int], shares: Tensor) -> Objective:
        """Least squares around the centres."""
        labels = gaussian_label(centres, size_hw, sigma=self.label_sigma_cells)
        target = (labels > self.hinge_threshold).to(labels.dtype)
        mask = (target + self.activation_leak).clamp(max=1.0)
        return LeastSquares(mask * labels, mask, shares.sqrt(), self.activation)

    def regularisation(self) -> Tensor:
        """``filter_reg`` squared: ``[1]``."""
        filter_reg: Tensor = self.residual_module["filter_reg"]
        return filter_reg.square()

    def step(self) -> float:
        """The full step."""
        return 1.0

    def loss(self, now: Linearised, filters: Tensor) -> Tensor:
        """Mean square of the residuals: a scalar."""
        count = now.slope.numel() + filters.numel()
        return super().loss(now, filters) * (filters.shape[0] / count)


def _kernel(filters: Tensor) -> tuple[int, int]:
    height, width = filters.shape[-2:]
    return height, width


def _checked_boxes(boxes_patch: Tensor, features: Tensor) -> Tensor:
    """Boxes ``[N,S,4]`` in the dtype of the features, after checks."""
    shape = torch.Size([*features.shape[:2], 4])
    if boxes_patch.numel() != shape.numel() or boxes_patch.shape[-1] != 4:
        raise ValueError(f"boxes must be {list(shape)}, got {list(boxes_patch.shape)}")
    if not bool(boxes_patch.isfinite().all()):
        raise ValueError("boxes must be finite, got NaN or infinity")
    return boxes_patch.reshape(shape).to(features.dtype)


def _shares(features: Tensor, sample_weights: Tensor | None) -> Tensor:
    """Weights of the images, ``[N,S,1,1]``."""
    images, sequences = features.shape[:2]
    if sample_weights is None:
        return features.new_full((images, sequences, 1, 1), 1 / images)
    if sample_weights.numel() != images * sequences or bool((sample_weights < 0).any()):
        raise ValueError(
            f"sample weights must be {images * sequences} numbers, none negative, got "
            f"{list(sample_weights.shape)} from {float(sample_weights.min())}"
        )
    return sample_weights.reshape(images, sequences, 1, 1).to(features.dtype)


def _activation(score_act: str, act_param: float | None) -> Activation:
    if score_act == "relu":
        return activations.leaky
    if score_act == "bentpar" and act_param is not None:
        return partial(activations.bent, bend=act_param)
    raise ValueError(
        f"score_act must be relu, or bentpar with act_param, got {score_act} with {act_param}"
    )


def _label(distances: Tensor, sigma: float) -> Tensor:
    """Gaussian shifted to end at zero; with sigma 0 it is one at distance 0, else zero."""
    if sigma == 0:
        return (distances == 0).to(distances.dtype)
    gaussian = (-distances.square() / (2 * sigma**2)).exp()
    return gaussian - gaussian.min()
