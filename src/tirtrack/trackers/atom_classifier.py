"""ATOM's classifier as least squares: residuals, activations, labels, features.

``psi(phi(P x) * f)``: features ``x`` compressed by a projection ``P``, filtered by ``f``. Both are
learnt in the first frame; later frames update the filter only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tirtrack.networks.target_filter import apply_filter
from tirtrack.trackers.atom_presets import Activation
from tirtrack.trackers.gauss_newton import Residuals, Vector

_TINY_POWER = 1e-10


def normalised(features: Tensor) -> Tensor:
    """Features ``[B,C,H,W]``, each sample divided by its root mean square."""
    power = (features**2).mean(dim=(1, 2, 3), keepdim=True)
    return features / (power + _TINY_POWER).sqrt()


def activation(kind: Activation) -> Callable[[Tensor], Tensor]:
    """The activation by name; ``("mlu", a)`` is ``x`` above 0 and ``a (exp(x/a) - 1)`` below."""
    if isinstance(kind, tuple):
        return lambda x: functional.elu(functional.leaky_relu(x, 1 / kind[1]), kind[1])
    if kind == "none":
        return lambda x: x
    return functional.relu if kind == "relu" else functional.elu


def filtered(samples: Tensor, filter_: Tensor) -> Tensor:
    """Scores ``[B,1,H,W]`` of ``samples [B,C,H,W]`` under a filter ``[1,C,k,k]``, the same size."""
    height, width = samples.shape[-2:]
    return apply_filter(samples, filter_)[..., :height, :width]


def projected(features: Tensor, projection: Tensor) -> Tensor:
    """Features ``[B,C,H,W]`` projected by ``[C',C,1,1]``: ``[B,C',H,W]``."""
    flat = projection[:, :, 0, 0] @ features.flatten(2)
    return flat.reshape(len(features), -1, *features.shape[-2:])


def joint_residuals(
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    filter_reg: float,
    projection_reg: float,
    projection_activation: Activation,
    response_activation: Activation,
) -> Residuals:
    """Residuals of (filter, projection) on the samples of the first frame.

    Args:
        features: features of the samples, ``[n,C,H,W]``.
        labels: desired score maps, ``[n,1,H,W]``.
        weights: weights of the samples, ``[n]``.
        filter_reg: regularisation of the filter.
        projection_reg: regularisation of the projection.
        projection_activation: activation of the compressed features.
        response_activation: activation of the scores.
    """
    phi, psi = activation(projection_activation), activation(response_activation)
    roots = weights.sqrt()[:, None, None, None]

    def residuals(point: Vector) -> Vector:
        filter_, projection = point
        scores = psi(filtered(phi(projected(features, projection)), filter_))
        return (
            roots * (scores - labels),
            filter_reg**0.5 * filter_,
            projection_reg**0.5 * projection,
        )

    return residuals


def filter_residuals(
    samples: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    filter_reg: float,
    response_activation: Activation,
) -> Residuals:
    """Residuals of (filter,) on compressed samples ``[m,C,H,W]``; see :func:`joint_residuals`."""
    psi = activation(response_activation)
    roots = weights.sqrt()[:, None, None, None]

    def residuals(point: Vector) -> Vector:
        (filter_,) = point
        scores = psi(filtered(samples, filter_))
        return roots * (scores - labels), filter_reg**0.5 * filter_

    return residuals


def atom_label(shape: np.ndarray, sigma: np.ndarray, center: np.ndarray) -> np.ndarray:
    """A desired score map ``[h,w]``: a Gaussian around ``center [2]``, cells from the middle."""
    rows, columns = (
        np.exp(-((np.arange(n) - (n - 1) / 2 - c) ** 2) / (2 * s**2))
        for n, s, c in zip(shape, sigma, center, strict=True)
    )
    return np.outer(rows, columns)


def principal_projection(features: Tensor, count: int) -> Tensor:
    """The projection ``[count,C,1,1]`` onto the leading principal directions of the features."""
    flat = features.transpose(0, 1).reshape(features.shape[1], -1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    covariance = flat @ flat.T / flat.shape[1]
    leading: Tensor = torch.linalg.svd(covariance).U[:, :count]
    return leading.T.contiguous()[:, :, None, None]
