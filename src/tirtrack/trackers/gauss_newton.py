"""Gauss-Newton with conjugate gradients on any sum of squared residuals (ATOM's optimiser).

A point is a tuple of tensors, and so are the residuals; the inner product of two tuples is the sum
over their parts, a number. Products with the Jacobian come from automatic differentiation,
linearised once per outer iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

Vector = tuple[Tensor, ...]
Residuals = Callable[[Vector], Vector]
Map = Callable[[Vector], Vector]


@dataclass(frozen=True)
class CgSettings:
    """How search directions are computed.

    Attributes:
        fletcher_reeves: use the Fletcher-Reeves formula; otherwise Polak-Ribiere.
        forget_factor: forgetting factor of the previous run's direction; 0: every run starts anew.
    """

    fletcher_reeves: bool = True
    forget_factor: float = 0.0


@dataclass(frozen=True)
class CgState:
    """State of conjugate gradients passed to the next run: direction, ``rho``, residual."""

    direction: Vector | None = None
    rho: float = 1.0
    residual: Vector | None = None


@dataclass(frozen=True)
class CgRun:
    """Result of a run of conjugate gradients.

    Attributes:
        solution: the step; zeros for a gradient of exactly zero.
        state: state for the next run.
        inner_products: inner products in order of evaluation, for tests.
    """

    solution: Vector
    state: CgState
    inner_products: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class GaussNewtonRun:
    """Result of Gauss-Newton.

    Attributes:
        point: point after the last iteration.
        losses: sums of squared residuals at the start and after every outer iteration, if
            requested; else empty.
        state: state for the next run.
        inner_products: inner products, one list per outer iteration.
    """

    point: Vector
    losses: list[float]
    state: CgState
    inner_products: list[list[float]]


def inner(left: Vector, right: Vector) -> float:
    """The inner product of two tuples."""
    return sum(float((a * b).sum()) for a, b in zip(left, right, strict=True))


def conjugate_gradients(
    apply: Map,
    right_side: Vector,
    *,
    iterations: int,
    settings: CgSettings,
    state: CgState | None = None,
    preconditioner: Map | None = None,
) -> CgRun:
    """Solves ``apply(x) = right_side`` approximately, starting at 0.

    Args:
        apply: linear map, symmetric and positive.
        right_side: right side ``b``.
        iterations: number of iterations.
        settings: settings of the search directions.
        state: state of an earlier run.
        preconditioner: map applied to the residual.
    """
    state = _begun(state or CgState(), settings)
    solution = tuple(torch.zeros_like(part) for part in right_side)
    residual, products = right_side, []
    for i in range(iterations):
        z = residual if preconditioner is None else preconditioner(residual)
        last_rho, rho = state.rho, inner(residual, z)
        products.append(rho)
        if rho == 0:
            state = CgState()
            break
        direction = z
        if state.direction is not None:
            beta = rho / last_rho
            if not settings.fletcher_reeves:
                lost = inner(state.residual or residual, z)
                products.append(lost)
                beta = (rho - lost) / last_rho
            direction = _add(z, state.direction, max(beta, 0.0))
        image = apply(direction)
        curvature = inner(direction, image)
        products.append(curvature)
        alpha = rho / curvature
        state = CgState(direction, rho, None if settings.fletcher_reeves else residual)
        solution = _add(solution, direction, alpha)
        if i < iterations - 1:
            residual = _add(residual, image, -alpha)
    return CgRun(solution, state, products)


def gauss_newton(
    residuals: Residuals,
    point: Vector,
    *,
    iterations: Sequence[int],
    settings: CgSettings,
    state: CgState | None = None,
    preconditioner: Map | None = None,
    with_losses: bool = False,
) -> GaussNewtonRun:
    """Minimises the sum of squared residuals.

    Args:
        residuals: function that maps a point to its residuals.
        point: start point.
        iterations: number of conjugate gradient iterations in each outer iteration.
        settings: settings of the conjugate gradients.
        state: state of an earlier run.
        preconditioner: preconditioner of the conjugate gradients.
        with_losses: whether to evaluate the losses, at one extra pass each.
    """
    losses = [_loss(residuals, point)] if with_losses else []
    state, products = state or CgState(), []
    for count in iterations:
        values, times_jacobian, times_transpose = linearised(residuals, point)
        run = conjugate_gradients(
            lambda step, j=times_jacobian, t=times_transpose: t(j(step)),  # type: ignore[misc]
            tuple(-part for part in times_transpose(values)),
            iterations=count,
            settings=settings,
            state=state,
            preconditioner=preconditioner,
        )
        point, state = _add(point, run.solution, 1.0), run.state
        products.append(run.inner_products)
        if with_losses:
            losses.append(_loss(residuals, point))
    return GaussNewtonRun(point, losses, state, products)


def linearised(residuals: Residuals, point: Vector) -> tuple[Vector, Map, Map]:
    """Residuals at a point, and products with their Jacobian and with its transpose."""
    with torch.enable_grad():
        point = tuple(part.detach().requires_grad_() for part in point)
        values = residuals(point)
        # The transposed product is linear in its argument: its derivative is the Jacobian.
        dummies = tuple(torch.zeros_like(part).requires_grad_() for part in values)
        pulled = torch.autograd.grad(values, point, dummies, create_graph=True)

    def times_jacobian(step: Vector) -> Vector:
        return torch.autograd.grad(pulled, dummies, step, retain_graph=True)

    def times_transpose(vector: Vector) -> Vector:
        return torch.autograd.grad(values, point, vector, retain_graph=True)

    return tuple(part.detach() for part in values), times_jacobian, times_transpose


def _begun(state: CgState, settings: CgSettings) -> CgState:
    if settings.forget_factor == 0:
        return CgState()
    if state.direction is None:
        return state
    return replace(state, rho=state.rho / settings.forget_factor)


def _add(left: Vector, right: Vector, factor: float) -> Vector:
    return tuple(a + factor * b for a, b in zip(left, right, strict=True))


@torch.no_grad()
def _loss(residuals: Residuals, point: Vector) -> float:
    values = residuals(point)
    return inner(values, values)
