"""What maps should be, and the losses: published numbers, check values, laws."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tirtrack.networks import losses
from tirtrack.networks.score_kinds import Density, Hinge


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


def label_of(kind: Hinge | Density, boxes: Tensor, cells: int) -> Tensor:
    """Labels of score maps of so many cells, the target present, float64."""
    present = torch.ones(boxes.shape[1], dtype=torch.bool)
    return kind.label(boxes, present, torch.zeros(*boxes.shape[:2], cells, cells).double())


def gaussian(boxes: Tensor, cells: int, side: int, sigma: float) -> Tensor:
    return label_of(Hinge(16, side, sigma), boxes, cells)


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
        ours = gaussian(boxes, cells, side, sigma)[0]
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
    middle, other = gaussian(boxes, cells, side, sigma)[0]
    assert middle[cells // 2, cells // 2] == 1.0
    assert middle.sum().item() == pytest.approx(total, abs=5e-4)
    assert divmod(int(other.argmax()), cells) == (6, 7)
    assert other.max().item() == pytest.approx(off_middle, abs=1e-4)
    assert int((other >= 0.05).sum()) == many


def test_the_peak_stands_at_the_cell_whose_centre_is_the_box_centre():
    centres = Hinge(16, 80, 0.5).centres(6)  # five cells of features, an even filter
    x, y = centres[:, 4, 1]
    box = torch.tensor([[[x - 7, y - 3, 14, 6]]])
    label = gaussian(box, 6, 80, 0.5)[0, 0]
    assert divmod(int(label.argmax()), 6) == (4, 1)
    assert label.max() == pytest.approx(1.0)


def test_a_density_sums_to_one_or_is_uniform():
    boxes = torch.tensor([[144.0, 144, 1, 1], [4.0, 4, 1, 1], [-4000.0, 9, 1, 1]])[None]
    density = label_of(Density(16, 288, 0.9), boxes, 19)[0]
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
