"""The optimisers of the target filter: every golden run with every gradient, and their laws."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from tirtrack.networks.filter_labels import centres_yx
from tirtrack.networks.filter_optimisers import (
    DimpOptimiser,
    HingeL2Optimiser,
    HingeResidualOptimiser,
    PrdimpOptimiser,
)

DIMP_CASES = {
    "iter1": {},
    "iter5": {},
    "iter5_weighted": {},
    "iter3_alpha_eps0.05": {"alpha_eps": 0.05},
    "iter3_bentpar0.5": {"score_act": "bentpar", "act_param": 0.5},
    "iter3_mask_linear": {"target_mask_act": "linear"},
    "iter3_detach2": {"detach_length": 2},
    "iter3_detach0": {"detach_length": 0},
    "iter3_min_reg0.5": {"min_filter_reg": 0.5},
}
PRDIMP = {"gauss_sigma": 0.9, "alpha_eps": 0.05, "optim_min_reg": 0.05, "normalize_label": True}
PRDIMP_CASES = {
    "iter1": {},
    "iter5": {},
    "iter5_weighted": {},
    "iter3_softmax_reg0": {"softmax_reg": 0.0},
    "iter3_uni0.1": {"init_uni_weight": 0.1},
    "iter3_shrink0.2": {"label_shrink": 0.2},
    "iter3_threshold0.01": {"label_threshold": 0.01},
    "iter3_sigma0": {"gauss_sigma": 0},
    "iter3_not_normalised": {"normalize_label": False},
    "iter3_detach1": {"detach_length": 1},
}
EVERY = [
    DimpOptimiser(num_dist_bins=20, bin_displacement=0.5, optim_init_reg=0.1),
    PrdimpOptimiser(**PRDIMP),
    HingeL2Optimiser(optim_init_reg=0.1),
    HingeResidualOptimiser(optim_init_reg=0.1, activation_leak=0.1),
]
every_optimiser = pytest.mark.parametrize("optimiser", EVERY, ids=lambda o: type(o).__name__)


def check(golden, case, optimiser, boxes):
    """Iterates, losses and all gradients of one golden run; the same parameters take gradient."""
    given = {"feat": golden["feat"], "w0": golden["w0"], "bb": boxes}
    run = optimiser(
        given["w0"],
        given["feat"],
        given["bb"],
        iterations=len(golden[f"{case}/iterates"]) - 1,
        sample_weights=golden["sample_weight"].detach() if "weighted" in case else None,
    )
    golden.agrees(f"{case}/iterates", torch.stack(run.filters))
    golden.agrees(f"{case}/losses", torch.stack(run.losses))
    (sum(run.losses) + (run.filters[-1] * golden["upstream"]).sum()).backward()
    named = {name.split("module.")[-1]: value for name, value in optimiser.named_parameters()}
    keys = golden.keys(f"{case}/grad:")
    assert len(keys) >= 3
    for key in keys:
        golden.agrees(key, {**given, **named}[key.split("grad:")[1]].grad)
    if "detach0" in case:
        assert given["w0"].grad is None


def with_values(optimiser, **values):
    """In float64, with these parameters."""
    for name, parameter in optimiser.double().named_parameters():
        parameter.data.fill_(values[name.split(".")[-1]])
    return optimiser


def dimp(golden, **settings):
    made = DimpOptimiser(num_dist_bins=20, bin_displacement=0.5, **settings).double()
    state = {key.removeprefix("param:"): golden[key] for key in golden.keys("param:")}
    made.load_state_dict(state)
    return made


@pytest.mark.parametrize("name", ["optimizer_dimp", "optimizer_dimp_odd"])
def test_every_golden_run_of_dimp(pieces, name):
    golden = pieces(name)
    assert set(golden.cases()) <= set(DIMP_CASES)
    for case in golden.cases():
        check(golden, case, dimp(golden, **DIMP_CASES[case]), golden["bb"])


@pytest.mark.parametrize(("name", "kernel"), [("optimizer_dimp", 4), ("optimizer_dimp_odd", 3)])
def test_golden_maps_of_dimp(pieces, name, kernel):
    golden = pieces(name)
    size_hw = golden["label_map"].shape[-2:]
    maps = dimp(golden).maps(centres_yx(golden["bb"], (kernel, kernel)), size_hw)
    for key, ours in zip(("label_map", "target_mask", "spatial_weight"), maps, strict=True):
        golden.agrees(key, ours)


@pytest.mark.parametrize("case", PRDIMP_CASES)
def test_every_golden_run_of_prdimp(pieces, case):
    golden = pieces("optimizer_prdimp")
    assert set(golden.cases()) == set(PRDIMP_CASES)
    made = PrdimpOptimiser(**{**PRDIMP, **PRDIMP_CASES[case]})
    check(golden, case, with_values(made, log_step_length=-0.125, filter_reg=0.25), golden["bb"])
    centres = (golden["bb"][..., :2] + golden["bb"][..., 2:] / 2).flip(-1) / 16
    golden.agrees(f"{case}/label_density", made.density(centres, (10, 10)))


@pytest.mark.parametrize("case", ["iter3", "iter3_weighted"])
def test_every_golden_run_of_the_l2_hinge(pieces, case):
    golden = pieces("optimizer_dimp_l2")
    made = HingeL2Optimiser(gauss_sigma=0.9)
    check(
        golden,
        case,
        with_values(made, log_step_length=math.log(0.9), filter_reg=0.25),
        golden["bb"],
    )


@pytest.mark.parametrize("leak", ["0", "0.1"])
def test_every_golden_run_of_the_hinge_residual(pieces, leak):
    golden = pieces("optimizer_gn_hinge")
    boxes = pieces("optimizer_dimp")["bb"]  # its labels are those of these boxes
    made = HingeResidualOptimiser(label_sigma_cells=0.9, activation_leak=float(leak))
    check(golden, f"leak{leak}", with_values(made, filter_reg=0.25), boxes)


def test_keys_are_the_published_ones_in_their_order():
    learnt = ["log_step_length", "filter_reg"]
    tables = ["label_map_predictor", "target_mask_predictor.0", "spatial_weight_predictor"]
    assert list(EVERY[0].state_dict()) == [*learnt, *(f"{table}.weight" for table in tables)]
    assert list(EVERY[1].state_dict()) == list(EVERY[2].state_dict()) == learnt
    assert list(EVERY[3].state_dict()) == ["residual_module.filter_reg"]


def test_initial_values_of_dimp():
    made = DimpOptimiser(
        optim_init_step=0.9,
        optim_init_reg=0.1,
        init_gauss_sigma=0.9,
        num_dist_bins=100,
        bin_displacement=0.1,
        mask_init_factor=3.0,
    )
    assert made.step().item() == pytest.approx(0.9)
    assert made.regularisation().item() == pytest.approx(0.01)
    distance = 0.1 * torch.arange(100, dtype=torch.float64)
    label, mask, weight = (
        table.weight.double()
        for table in (
            made.label_map_predictor,
            made.target_mask_predictor[0],
            made.spatial_weight_predictor,
        )
    )
    assert label.shape == mask.shape == weight.shape == (1, 100, 1, 1)
    gaussian = (-(distance**2) / (2 * 0.81)).exp()
    assert_close(label.flatten(), gaussian - gaussian[-1], rtol=0, atol=1e-7)
    assert_close(mask.flatten(), 3 * (2 - distance).tanh(), rtol=0, atol=1e-6)
    assert bool((weight == 1).all())
    one_hot = DimpOptimiser(init_gauss_sigma=0, target_mask_act="linear", mask_init_factor=3.0)
    assert one_hot.label_map_predictor.weight.flatten().tolist() == [1, 0, 0, 0, 0]
    first = one_hot.target_mask_predictor[0].weight[0, 0].item()
    assert first == pytest.approx(3 * math.tanh(2) + 0.5)


def test_making_one_draws_nothing():
    before = torch.get_rng_state()
    DimpOptimiser()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def task():
    """Filters, features, boxes of 3 images of 2 sequences."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    boxes = torch.tensor([40.0, 50.0, 60.0, 50.0]) + 8 * draw(3, 2, 4)
    return 0.1 * draw(2, 8, 4, 4), draw(3, 2, 8, 9, 9), boxes


@every_optimiser
def test_the_loss_falls(optimiser, task):
    losses = optimiser.double()(*task).losses
    assert len(losses) == 6
    assert all(after < before for before, after in itertools.pairwise(losses))


@every_optimiser
def test_a_sequence_is_optimised_as_if_alone(optimiser, task):
    filters, features, boxes = task
    together = optimiser.double()(*task).filters[-1]
    for s in range(2):
        alone = optimiser(filters[s : s + 1], features[:, s], boxes[:, s]).filters[-1]
        assert_close(alone[0], together[s])


@every_optimiser
@torch.no_grad()
def test_online_use_takes_weights_and_any_number_of_iterations(optimiser, task):
    optimiser.double()
    filters, features, boxes = (
        part[..., :1, :, :, :] if part.ndim > 3 else part[:, :1] for part in task
    )
    still = optimiser(filters, features, boxes, iterations=0)
    assert still.filters == [filters]
    assert len(still.losses) == 1
    equal = optimiser(filters, features, boxes, sample_weights=torch.full((3,), 1 / 3).double())
    assert_close(equal.filters[-1], optimiser(filters, features, boxes).filters[-1])
    first = optimiser(filters, features, boxes, sample_weights=torch.tensor([1.0, 0, 0]))
    assert_close(first.filters[-1], optimiser(filters, features[:1], boxes[:1]).filters[-1])
    silent = optimiser(filters, features, boxes, with_losses=False)
    assert silent.losses == []
    assert torch.equal(silent.filters[-1], optimiser(filters, features, boxes).filters[-1])


@every_optimiser
def test_float32_is_close_to_float64(optimiser, task):
    exact = optimiser.double()(*task).filters[-1]
    coarse = optimiser.float()(*(part.float() for part in task)).filters[-1]
    assert coarse.dtype == torch.float32
    assert_close(coarse.double(), exact, rtol=1e-3, atol=1e-5)


@every_optimiser
def test_nothing_to_see_leaves_a_zero_filter(optimiser, task):
    filters, features, boxes = (torch.zeros_like(part) for part in task)
    run = optimiser.double()(filters, features, boxes + 50)
    assert not run.filters[-1].any()


def test_huge_scores_of_prdimp_stay_finite(task):
    filters, features, boxes = (part.float() for part in task)
    run = PrdimpOptimiser(**PRDIMP)(1e4 * filters, features, boxes, iterations=1)
    assert all(bool(loss.isfinite()) for loss in run.losses)
    assert bool(run.filters[-1].isfinite().all())


@every_optimiser
def test_wrong_use_is_named(optimiser, task):
    filters, features, boxes = task
    optimiser.double()
    with pytest.raises(ValueError, match="boxes must be finite"):
        optimiser(filters, features, boxes * math.nan)
    with pytest.raises(ValueError, match=r"boxes must be \[3, 2, 4\], got \[2, 2, 4\]"):
        optimiser(filters, features, boxes[:2])
    for weights in (torch.ones(2), torch.tensor([1.0, 1, 1, 1, 1, -1])):
        with pytest.raises(ValueError, match="sample weights must be 6 numbers, none negative"):
            optimiser(filters, features, boxes, sample_weights=weights)


def test_an_activation_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="relu, or bentpar with act_param, got bentpar with None"):
        DimpOptimiser(score_act="bentpar")
