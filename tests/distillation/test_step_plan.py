"""Steps: which samples are taken in which direction, and which of them are without the target."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tirtrack.distillation.pool import Pool, PoolArrays
from tirtrack.distillation.samples import Sample
from tirtrack.distillation.settings import Direction
from tirtrack.distillation.step_plan import plan_step
from tirtrack.pairs.proposals.base import FoundIn


def pool_of(scenes="aabb", *, has_away=False) -> Pool:
    """A pool of samples that serve every direction, without patches."""
    samples = [
        Sample(f"{row}", 0, scene, (), (), row, FoundIn.BOTH, 1.0, "saliency")
        for row, scene in enumerate(scenes)
    ]
    arrays = PoolArrays({}, {}, np.full(len(samples), has_away))
    return Pool(samples, arrays, are_features=True)


def test_a_step_is_a_pure_function_of_seed_and_number(tiny):
    recipe = tiny.recipe_of("mixed", training__batch=16)
    plan = [plan_step(pool_of(), recipe, seed=1, step=step) for step in (3, 4, 3)]
    assert plan[0] == plan[2]
    assert plan[0] != plan[1]
    assert plan[0] != plan_step(pool_of(), recipe, seed=2, step=3)


def test_directions_have_their_shares_in_every_step(tiny):
    recipe = tiny.recipe_of("mixed", training__batch=16)
    for step in range(20):
        drawn = Counter(draw.direction for draw in plan_step(pool_of(), recipe, seed=0, step=step))
        assert drawn[Direction.TIR_TO_TIR] == 8
        assert drawn[Direction.RGB_TO_TIR] == drawn[Direction.TIR_TO_RGB] == 4


def test_negative_pairs_come_from_another_scene(tiny):
    recipe = tiny.recipe_of("mixed", training__batch=16)
    draws = [d for step in range(100) for d in plan_step(pool_of(), recipe, seed=0, step=step)]
    negatives = [draw for draw in draws if not draw.is_positive]
    assert len(negatives) / len(draws) == pytest.approx(0.2, abs=0.03)
    scenes = "aabb"
    assert all(scenes[draw.reference] != scenes[draw.test] for draw in negatives)


def test_in_a_single_scene_negatives_lie_beside_the_box_or_do_not_exist(tiny):
    recipe = tiny.recipe_of("mixed", training__batch=16)
    beside = plan_step(pool_of("aaaa", has_away=True), recipe, seed=0, step=0)
    assert any(draw.away for draw in beside)
    assert all(draw.is_positive or draw.away for draw in beside)
    none = [d for k in range(9) for d in plan_step(pool_of("aaaa"), recipe, seed=0, step=k)]
    assert all(draw.is_positive for draw in none)
