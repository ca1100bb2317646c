"""Labels around a box: golden distance maps, and what distances and densities promise."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from tirtrack.networks.filter_labels import (
    centres_yx,
    distance_map,
    gaussian_label,
    label_density,
    radial,
)

CENTRES = torch.tensor([[3.2, 5.9], [0.0, 0.0], [-4.0, 20.0]], dtype=torch.float64)


@pytest.mark.parametrize(("bins", "displacement"), [(5, 1), (100, 0.1), (10, 0.5)])
def test_golden_distance_maps(pieces, bins, displacement):
    golden = pieces("distance_map")
    key = f"bins{bins}_disp{displacement}"
    size_hw = golden[key].shape[-2:]
    ours = distance_map(golden["center_yx"], size_hw, bins=bins, displacement=displacement)
    golden.agrees(key, ours)


def test_bins_of_distance_share_every_cell():
    shares = distance_map(CENTRES, (9, 7), bins=6, displacement=0.7)
    assert_close(shares.sum(1), torch.ones(3, 9, 7, dtype=torch.float64))
    assert bool((shares >= 0).all())


def test_a_table_of_distances_gives_the_distance():
    knots = 0.5 * torch.arange(50, dtype=torch.float64)
    (distance,) = radial(knots[:, None], CENTRES[:1], (8, 8), displacement=0.5)[0]
    assert_close(distance[3, 6], torch.tensor(math.hypot(0.2, 0.1), dtype=torch.float64))
    assert_close(distance[0, 0], torch.tensor(math.hypot(3.2, 5.9), dtype=torch.float64))


def test_a_centre_on_a_cell_takes_a_finite_gradient():
    centre = torch.tensor([2.0, 3.0], requires_grad=True)
    distance_map(centre, (5, 5), bins=4, displacement=1.0)[0].square().sum().backward()
    assert bool(centre.grad.isfinite().all())


def test_one_distance_is_no_table():
    with pytest.raises(ValueError, match="at least 2 distances, got 1"):
        distance_map(CENTRES, (3, 3), bins=1, displacement=1.0)


def test_a_box_centre_lies_between_cells_of_an_even_filter_and_on_one_of_an_odd():
    box = torch.tensor([32.0, 64.0, 32.0, 16.0])  # centre (48, 72)
    assert centres_yx(box, (4, 4)).tolist() == [4.5, 3.0]
    assert centres_yx(box, (3, 4)).tolist() == [4.0, 3.0]
    assert centres_yx(box, (4, 4), feat_stride=8).tolist() == [9.0, 6.0]


def test_label_is_one_at_the_centre_and_falls_alike_in_both_axes():
    label = gaussian_label(torch.tensor([2.0, 4.0]), (7, 9), sigma=1.5)
    assert label.shape == (7, 9)
    assert float(label[2, 4]) == 1
    assert_close(label[2, 4 + 3], label[2 + 3, 4])
    assert_close(label[2, 7], torch.tensor(math.exp(-9 / 4.5)))


def test_density_sums_to_what_it_says():
    centres = torch.tensor([9.3, 8.8], dtype=torch.float64)
    whole = label_density(centres, (19, 19), sigma=0.9)
    assert_close(whole.sum().item(), 1.0, rtol=1e-4, atol=0)
    mixed = label_density(centres, (19, 19), sigma=0.9, normalize=True, uni_weight=0.3, shrink=0.2)
    assert_close(mixed.sum().item(), 0.8, rtol=1e-6, atol=0)
    assert float(mixed.min()) >= 0.8 * 0.3 / 361
    cut = label_density(centres, (19, 19), sigma=0.9, threshold=0.01)
    assert torch.equal(cut > 0, whole > 0.01)


def test_density_without_width_stands_on_the_nearest_cell():
    density = label_density(torch.tensor([3.6, 1.4]), (6, 6), sigma=0)
    assert density.nonzero().tolist() == [[4, 1]]
    assert float(density.sum()) == 1
