"""What maps and energies should be, and the losses: published numbers, check values, laws."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tirtrack.boxes import iou
from tirtrack.distillation import losses
from tirtrack.distillation.labels import gaussian_label, label_density, symmetric_centres
from tirtrack.distillation.proposal_draws import (
    DrawRule,
    draw_for_batch,
    draw_proposals,
    draw_rule,
    mixture_density,
    mixture_proposals,
    normal_density,
    overlap_proposals,
)
from tirtrack.distillation.settings import Estimator
from tirtrack.errors import RecipeError
from tirtrack.networks.two_branch import EnergyKind

SPREAD = np.array([[0.05] * 4, [0.5] * 4])
BOX = np.array([100.0, 90.0, 60.0, 80.0])


@pytest.fixture(scope="module")
def pieces(shared: Path) -> Path:
    return shared / "golden" / "networks" / "pieces"


@pytest.fixture(scope="module")
def golden(pieces) -> dict[str, np.ndarray]:
    with np.load(pieces / "losses.npz") as stored:
        return dict(stored)


def close(given: Tensor | np.ndarray | float, expected: np.ndarray, *, rel: float = 1e-12) -> None:
    expected = np.asarray(expected)
    given = given.detach().numpy() if isinstance(given, Tensor) else np.asarray(given)
    np.testing.assert_allclose(given, expected, rtol=rel, atol=rel * np.abs(expected).max())


# --- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "features", "sigma_factor", "side"),
    [(4, 18, 0.05, 288), (3, 18, 0.05, 288), (1, 18, 0.05, 288), (4, 22, 0.25 / 6, 352)],
)
def test_labels_agree_with_the_published_ones(pieces, kernel, features, sigma_factor, side):
    cells = features + (kernel + 1) % 2
    sigma = sigma_factor * features
    with np.load(pieces / "labels.npz") as stored:
        boxes = torch.from_numpy(stored["bb"])[None]
        ours = gaussian_label(boxes, cells, stride=16, patch_side=side, sigma_cells=sigma)[0]
        name = f"kernel{kernel}_feat{features}"
        density = ours / (2 * math.pi * sigma**2)
        close(ours, stored[f"label/{name}"], rel=1e-6)
        close(ours[:, :features, :features], stored[f"label_nopad/{name}"], rel=1e-6)
        close(density, stored[f"density/{name}"], rel=1e-6)
        mixed = 0.9 * density + 0.1 / cells**2
        close(mixed, stored[f"density_uni0.1/{name}"], rel=1e-6)


@pytest.mark.parametrize(
    ("side", "factor", "total", "off_middle", "many"),
    [(288, 5.0, 5.089, 0.7858, 14), (352, 6.0, 5.280, 0.7926, 16)],
)
def test_labels_have_the_published_sums_and_peaks(side, factor, total, off_middle, many):
    cells, sigma = side // 16 + 1, 0.25 / factor * side / 16
    boxes = torch.tensor([[side / 2 - 20, side / 2 - 10, 40, 20], [110.0, 80, 20, 20]])[None]
    middle, other = gaussian_label(boxes, cells, stride=16, patch_side=side, sigma_cells=sigma)[0]
    assert middle[cells // 2, cells // 2] == 1.0
    assert middle.sum().item() == pytest.approx(total, abs=5e-4)
    assert divmod(int(other.argmax()), cells) == (6, 7)
    assert other.max().item() == pytest.approx(off_middle, abs=1e-4)
    assert int((other >= 0.05).sum()) == many


def test_the_peak_stands_at_the_cell_whose_centre_is_the_box_centre():
    centres = symmetric_centres(6, 16, 80)  # five cells of features, an even filter
    x, y = centres[:, 4, 1]
    box = torch.tensor([[[x - 7, y - 3, 14, 6]]])
    label = gaussian_label(box, 6, stride=16, patch_side=80, sigma_cells=0.5)[0, 0]
    assert divmod(int(label.argmax()), 6) == (4, 1)
    assert label.max() == pytest.approx(1.0)


def test_a_density_sums_to_one_or_is_uniform():
    boxes = torch.tensor([[144.0, 144, 1, 1], [4.0, 4, 1, 1], [-4000.0, 9, 1, 1]])[None]
    label = gaussian_label(boxes, 19, stride=16, patch_side=288, sigma_cells=0.9)
    density = label_density(label, 0.9)[0]
    close(density.sum(dim=(1, 2)), np.ones(3))
    assert torch.equal(density[2], torch.full((19, 19), 1 / 361, dtype=torch.float64))
    assert density[1].argmax() == 0


# --- losses --------------------------------------------------------------------------------------


HINGE = {
    "lbhinge_0.05": lambda e, g: e(0.05).mean(),
    "lbhinge_none": lambda e, g: e(-100.0).mean(),
    "lbhinge_0.05_clip0.01": lambda e, g: e(0.05).mean().clamp(max=0.01)[None],
    "lbhinge2_0.05": lambda e, g: e(0.05).mean(),
    "lbhinge2_0.05_valid": lambda e, g: (
        (e(0.05) * torch.from_numpy(g["valid"])).mean() * g["valid"].size / g["valid"].sum()
    ),
    "lbhinge2_per_sequence": lambda e, g: e(0.05).mean(dim=(-2, -1)),
}


@pytest.mark.parametrize("case", HINGE)
def test_hinge_errors_agree_with_the_published_losses(golden, case):
    scores = torch.from_numpy(golden["pred"]).requires_grad_()
    label = torch.from_numpy(golden["label"])
    value = HINGE[case](lambda limit: losses.hinge_errors(scores, label, limit), golden)
    close(value, golden[case])
    value.sum().backward()
    close(scores.grad, golden[f"{case}/grad"])


DENSITY = {
    "kl_regression": lambda s, q, p: losses.proposal_divergence(s, q, p).mean(),
    "kl_regression_eps0.01": lambda s, q, p: losses.proposal_divergence(s, q + 0.01, p).mean(),
}


@pytest.mark.parametrize("case", DENSITY)
def test_proposal_divergence_agrees_with_the_published_losses(golden, case):
    energies = torch.from_numpy(golden["scores"]).requires_grad_()
    drawn, wanted = (torch.from_numpy(golden[f"{name}_density"]) for name in ("sample", "gt"))
    value = DENSITY[case](energies, drawn, wanted)
    close(value, golden[case])
    value.backward()
    close(energies.grad, golden[f"{case}/grad"])


def test_box_likelihood_agrees_with_the_published_loss(golden):
    energies = torch.from_numpy(golden["scores"]).reshape(6, 10).requires_grad_()
    value = losses.box_likelihood(
        energies, torch.from_numpy(golden["sample_density"]).reshape(6, 10)
    )
    close(value.mean(), golden["ml_regression"])
    value.mean().backward()
    close(energies.grad, golden["ml_regression/grad"])


@pytest.mark.parametrize(("case", "area"), [("kl_grid", 1.0), ("kl_grid_scale0.25", 0.25)])
def test_grid_cross_entropy_agrees_with_the_published_losses(golden, case, area):
    scores = torch.from_numpy(golden["pred"]).requires_grad_()
    density = torch.from_numpy(golden["grid_density"]) * area
    value = losses.grid_cross_entropy(scores, density).mean() + math.log(area)
    close(value, golden[case])
    value.backward()
    close(scores.grad, golden[f"{case}/grad"])


def test_losses_have_the_published_check_values():
    def tensor(*values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    q = tensor(1, 0.5, 0.25)
    kl = losses.proposal_divergence(tensor(1, 2, 3), q, tensor(0.5, 0.25, 0.125))
    assert kl.item() == pytest.approx(2.4847064, abs=2e-7)
    ml = losses.box_likelihood(tensor(2, 1, 2, 3), tensor(-1, 1, 0.5, 0.25))
    assert ml.item() == pytest.approx(1.4847064, abs=2e-7)
    grid = losses.grid_cross_entropy(
        tensor(0, 1, 2, 3).view(2, 2), tensor(0.1, 0.2, 0.3, 0.4).view(2, 2)
    )
    assert grid.item() == pytest.approx(1.4401896, abs=2e-7)
    hinge = losses.hinge_errors(
        tensor(-1, 0.5, 0.2, 0.9).view(2, 2), tensor(0, 0.04, 0.05, 1).view(2, 2)
    )
    assert hinge.mean().item() == pytest.approx(0.0706250, abs=2e-7)


def test_matching_losses_are_exactly_zero_for_equal_inputs():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 50, generator=generator) * 5
    assert losses.divergence(maps, maps.clone()).tolist() == [0.0] * 3
    vectors = torch.randn(3, 7, 1, 1, generator=generator)
    assert losses.cosine_distance(vectors, vectors.clone()).tolist() == [0.0] * 3
    assert losses.cosine_distance(vectors, -2 * vectors).tolist() == pytest.approx([2.0] * 3)
    assert losses.cosine_distance(vectors, 3 * vectors).tolist() == pytest.approx(
        [0.0] * 3, abs=1e-6
    )


def test_a_zero_filter_is_left_out():
    own, wanted = torch.ones(2, 3, 4, 4), torch.full((2, 3, 4, 4), 2.0)
    zero = torch.zeros(2, 3, 4, 4)
    both, second = torch.tensor([True, True]), torch.tensor([False, True])
    found = losses.relative_distance([own, own], [zero, wanted], both)
    assert found.item() == pytest.approx(0.25)
    assert losses.relative_distance([own], [zero], both).item() == 0.0
    wanted[0] = 5.0
    assert losses.relative_distance([own], [wanted], second).item() == pytest.approx(0.25)


# --- proposals -----------------------------------------------------------------------------------


def test_densities_agree_with_the_published_ones(pieces):
    with np.load(pieces / "labels.npz") as stored:
        away = stored["gmm/x"]
        close(mixture_density(away, SPREAD), stored["gmm/density"], rel=1e-6)
        close(normal_density(away, SPREAD[0]), stored["gmm/gt_density"], rel=2e-5)
    here = np.zeros((1, 4))
    assert normal_density(here, SPREAD[0])[0] == pytest.approx(4052.85, abs=0.005)
    assert mixture_density(here, SPREAD)[0] == pytest.approx(2026.63, abs=0.005)


def test_mixture_proposals_carry_the_densities_of_their_places():
    rng = np.random.default_rng(3)
    boxes, drawn, wanted = mixture_proposals(
        BOX, 4000, rng, sigmas=[(0.05, 0.05), (0.5, 0.5)], box_sigma=(0.05, 0.05)
    )
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    away = np.concatenate(
        [(centre - BOX[:2] - BOX[2:] / 2) / BOX[2:], np.log(boxes[:, 2:] / BOX[2:])], axis=1
    )
    close(drawn, mixture_density(away, SPREAD), rel=1e-9)
    close(wanted, normal_density(away, SPREAD[0]), rel=1e-9)
    near = np.abs(away).max(axis=1) < 0.2
    assert near.mean() == pytest.approx(0.5 + 0.5 * 0.31**4, abs=0.03)
    assert (wanted / drawn).mean() == pytest.approx(1.0, abs=0.05)  # what sampling estimates


def test_overlap_proposals_overlap_and_are_whole():
    boxes = overlap_proposals(BOX, 300, np.random.default_rng(0))
    assert (iou(boxes, np.broadcast_to(BOX, boxes.shape)) > 0.1).all()
    assert (boxes == np.rint(boxes)).mean() > 0.99
    tiny = overlap_proposals(np.array([10.0, 10.0, 1.5, 2.0]), 100, np.random.default_rng(1))
    assert (tiny[:, 2:] > 0).all()


def test_a_rule_follows_the_kind_of_energies_unless_the_recipe_says_so():
    by_kind = {kind: draw_rule(Estimator(), kind) for kind in EnergyKind}
    assert (by_kind[EnergyKind.IOU].loss, by_kind[EnergyKind.IOU].count) == ("mse", 8)
    assert not by_kind[EnergyKind.IOU].is_mixture
    density = by_kind[EnergyKind.LOG_DENSITY]
    assert (density.loss, density.count, density.is_mixture) == ("kl", 128, True)
    ml = draw_rule(Estimator(sampling="mixture", loss="ml", count=5), EnergyKind.IOU)
    boxes, drawn, wanted = draw_proposals(BOX, ml, np.random.default_rng(0))
    assert boxes.shape == (6, 4)
    np.testing.assert_array_equal(boxes[0], BOX)
    assert (drawn[0], wanted[0]) == (-1.0, 1.0)
    for wrong, kind in (("overlap", EnergyKind.LOG_DENSITY), ("overlap", EnergyKind.IOU)):
        with pytest.raises(RecipeError, match="need densities"):
            draw_rule(Estimator(sampling=wrong, loss="kl"), kind)


def test_a_sample_has_its_own_proposals_whatever_the_batch():
    rule = DrawRule("kl", is_mixture=True, count=4, sigmas=((0.1, 0.1),), box_sigma=(0.05, 0.05))

    def drawn(numbers: list[int]) -> Tensor:
        generators = [np.random.default_rng([7, number]) for number in numbers]
        boxes = np.broadcast_to(BOX, (2, len(numbers), 4))
        return draw_for_batch(boxes, generators, rule).boxes_patch

    both, alone = drawn([3, 8]), drawn([8])
    assert both.shape == (2, 2, 4, 4)
    assert torch.equal(both[:, 1:], alone)
    assert not torch.equal(both[0], both[1])  # two test images of one sample
