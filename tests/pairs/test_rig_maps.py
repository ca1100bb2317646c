"""The radial term: fitted where half of the pairs vouches for that of the other half."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rigs import mapped, matrix, with_lens

from tirtrack.pairs.rig import Rig
from tirtrack.pairs.rig_maps import FEWEST_RADIAL, Matches, fitted_radial, straightened

WH = (640, 480)
KNOWN = matrix(1.1, (12.0, -7.0), turn_deg=1.0, rgb_wh=WH, tir_wh=WH)
STRAIGHT = Rig(rgb_wh=WH, tir_wh=WH, tir_from_rgb=KNOWN.tolist())


def parts(radial: float, seed: int, *, count: int = 60, noise_px: float = 0.5) -> Matches:
    """What parts say of a lens where a rig without a term is at hand."""
    rng = np.random.default_rng(seed)
    points = rng.uniform((40, 40), (600, 440), (count, 2))
    places = with_lens(mapped(KNOWN, points), radial, WH)
    at = mapped(np.linalg.inv(KNOWN), places)
    return Matches(at, points - at + rng.normal(0, noise_px, at.shape), np.ones(count))


@pytest.mark.parametrize("radial", [-0.2, -0.05, 0.05, 0.15])
def test_a_known_term_is_found(radial):
    rig = fitted_radial(STRAIGHT, [parts(radial, 0), parts(radial, 1)])
    assert abs(rig.radial - radial) < 0.01
    points = np.array([[60.0, 60.0], [320.0, 240.0], [560.0, 400.0]])
    known = with_lens(mapped(KNOWN, points), radial, WH)
    assert np.linalg.norm(rig.places(points) - known, axis=1).max() < 1.0


@pytest.mark.parametrize("seed", range(6))
def test_noise_alone_gives_no_term(seed):
    halves = [parts(0.0, 2 * seed, noise_px=1.0), parts(0.0, 2 * seed + 1, noise_px=1.0)]
    assert fitted_radial(STRAIGHT, halves) is STRAIGHT


@pytest.mark.parametrize(
    "halves",
    [
        [parts(0.1, 0), parts(-0.1, 1)],
        [parts(0.1, 0), parts(0.0, 1)],
        [parts(0.1, 0), parts(0.1, 1, count=FEWEST_RADIAL - 1)],
        [parts(0.1, 0)],
    ],
    ids=["they contradict", "one half has none", "too few parts", "one pair"],
)
def test_a_term_that_only_one_half_has_is_not_used(halves):
    assert fitted_radial(STRAIGHT, halves) is STRAIGHT


def test_parts_that_say_nothing_do_not_count():
    spoilt = parts(0.1, 1)
    weights = np.where(np.arange(60) < FEWEST_RADIAL - 1, 1.0, 0.0)
    assert fitted_radial(
        STRAIGHT, [parts(0.1, 0), Matches(spoilt.at_xy, spoilt.shifts, weights)]
    ) is (STRAIGHT)


@pytest.mark.parametrize("radial", [-0.3, 0.0, 0.2])
def test_straightened_places_are_those_before_the_lens(radial):
    middle = np.array(WH) / 2
    places = np.random.default_rng(0).uniform((0, 0), WH, (50, 2))
    bent = with_lens(places, radial, WH)
    assert_allclose(straightened(bent, radial, middle), places, atol=1e-6)
    assert_allclose(straightened(middle[None], radial, middle), middle[None])
