"""Proposals of a box estimator: published densities, and what a recipe may ask for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tirtrack.boxes import iou
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
from tirtrack.networks.response import DenseBoxes, IouEnergies, LogDensityEnergies

SPREAD = np.array([[0.05] * 4, [0.5] * 4])
BOX = np.array([100.0, 90.0, 60.0, 80.0])


@pytest.fixture(scope="module")
def pieces(shared: Path) -> Path:
    return shared / "golden" / "networks" / "pieces"


def close(given: Tensor | np.ndarray | float, expected: np.ndarray, *, rel: float = 1e-12) -> None:
    expected = np.asarray(expected)
    given = given.detach().numpy() if isinstance(given, Tensor) else np.asarray(given)
    np.testing.assert_allclose(given, expected, rtol=rel, atol=rel * np.abs(expected).max())


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
    assert draw_rule(Estimator(), DenseBoxes()) is None
    by_overlap, density = (
        draw_rule(Estimator(), kind) for kind in (IouEnergies(), LogDensityEnergies())
    )
    assert (by_overlap.loss, by_overlap.count, by_overlap.is_mixture) == ("mse", 8, False)
    assert (density.loss, density.count, density.is_mixture) == ("kl", 128, True)
    ml = draw_rule(Estimator(sampling="mixture", loss="ml", count=5), IouEnergies())
    boxes, drawn, wanted = draw_proposals(BOX, ml, np.random.default_rng(0))
    assert boxes.shape == (6, 4)
    np.testing.assert_array_equal(boxes[0], BOX)
    assert (drawn[0], wanted[0]) == (-1.0, 1.0)
    for wrong, kind in (("overlap", LogDensityEnergies()), ("overlap", IouEnergies())):
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
