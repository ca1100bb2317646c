"""ATOM's optimiser against golden/trackers/pieces, and on problems whose answer is known."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tirtrack.trackers.atom_classifier import filter_residuals, joint_residuals
from tirtrack.trackers.gauss_newton import (
    CgSettings,
    CgState,
    conjugate_gradients,
    gauss_newton,
    linearised,
)


def kind_of(one):
    return ("mlu", 0.05) if one["response_activation"] == "mlu" else "none"


@pytest.fixture(params=range(4))
def golden(request, shared, golden_runs):
    numbers, arrays = golden_runs.pieces(shared, "boxes")
    index = request.param
    return (
        numbers["gauss_newton_cg"][index],
        lambda key: torch.from_numpy(arrays[f"gn{index}_{key}"]),
    )


def test_joint_steps_and_the_filters_after_them_equal_the_golden_ones(golden):
    one, array = golden
    regs = one["filter_reg"], one["projection_reg"]
    residuals = joint_residuals(
        array("in_X"),
        array("in_y"),
        array("in_w"),
        filter_reg=regs[0],
        projection_reg=regs[1],
        projection_activation="none",
        response_activation=kind_of(one),
    )
    settings = CgSettings(one["fletcher_reeves"], one["direction_forget_factor"])
    point, state = (array("in_f"), array("in_P")), CgState()
    losses = []
    for name, part in zip(("data", "filter", "proj"), residuals(point), strict=True):
        assert_allclose(part, array(f"res_{name}"), atol=1e-9)
    for outer, count in enumerate(one["cg_iters"]):
        values, forward, back = linearised(residuals, point)
        right = tuple(-part for part in back(values))
        for name, part, image in zip(("filter", "proj"), right, back(forward(right)), strict=True):
            assert_allclose(part, array(f"b_{name}_{outer}"), rtol=1e-9, atol=1e-9)
            assert_allclose(image, array(f"Ab_{name}_{outer}"), rtol=1e-9, atol=1e-6)
        run = gauss_newton(
            residuals,
            point,
            iterations=[count],
            settings=settings,
            state=state,
            preconditioner=lambda v: (v[0] / regs[0], v[1] / regs[1]),
            with_losses=True,
        )
        for old, new, name in zip(point, run.point, ("filter", "proj"), strict=True):
            assert_allclose(new - old, array(f"dx_{name}_{outer}"), atol=1e-9)
            assert_allclose(new, array(f"{name}_{outer}"), atol=1e-9)
        traced = one["trace"][outer]["inner_products"]
        assert_allclose(run.inner_products[0], traced, rtol=1e-8, atol=1e-8)
        point, state = run.point, run.state
        losses += run.losses[outer > 0 :]
    assert_allclose(losses, one["losses"], rtol=1e-9)

    samples = torch.nn.functional.conv2d(array("in_X"), point[1])
    residuals = filter_residuals(
        samples,
        array("in_y"),
        array("in_w"),
        filter_reg=regs[0],
        response_activation=kind_of(one),
    )
    filters, state = (point[0],), CgState()
    for i in range(2):
        run = gauss_newton(
            residuals, filters, iterations=[3], settings=settings, state=state, with_losses=True
        )
        filters, state = run.point, run.state
        assert_allclose(filters[0], array(f"cg_filter_{i}"), atol=1e-9)
        assert run.losses[-1] == pytest.approx(one["cg_losses"][i], rel=1e-9)


@pytest.mark.parametrize("fletcher_reeves", [True, False])
def test_as_many_iterations_as_unknowns_solve_a_linear_system(fletcher_reeves):
    generator = torch.Generator().manual_seed(0)
    half = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    matrix = half @ half.T + torch.eye(5, dtype=torch.float64)
    right = torch.randn(5, generator=generator, dtype=torch.float64)
    run = conjugate_gradients(
        lambda v: (matrix @ v[0],),
        (right,),
        iterations=5,
        settings=CgSettings(fletcher_reeves=fletcher_reeves),
    )
    assert_allclose(run.solution[0], torch.linalg.solve(matrix, right), atol=1e-9)


def test_a_gradient_of_exactly_zero_gives_a_zero_step():
    run = gauss_newton(
        lambda point: (point[0] * 0,), (torch.ones(3),), iterations=[4], settings=CgSettings()
    )
    assert_allclose(run.point[0], np.ones(3))


def test_nothing_that_comes_out_hangs_on_a_graph():
    run = gauss_newton(
        lambda point: (point[0] ** 2 - torch.tensor([2.0, 3.0, 4.0]),),
        (torch.tensor([1.0, 2.0, 3.0]),),
        iterations=[2, 2],
        settings=CgSettings(forget_factor=0.5),
        with_losses=True,
    )
    parts = (*run.point, *run.state.direction)
    assert all(part.grad_fn is None and not part.requires_grad for part in parts)
    assert run.losses[-1] < run.losses[0]
