"""Validation: what is measured on held-back data, its intervals, and what is concluded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tirtrack.distillation.batch import Batch, Branch, View
from tirtrack.distillation.clips import clips_of
from tirtrack.distillation.cross_modal import respond
from tirtrack.distillation.proposal_draws import draw_for_batch, draw_rule
from tirtrack.distillation.settings import Direction, Estimator
from tirtrack.distillation.summary import HeldBackComparison, StudentDifference
from tirtrack.distillation.validation import (
    Agreement,
    Validator,
    interval,
    keeps_trained,
    likeness,
    verdict,
)
from tirtrack.pairs.proposals import registry as ways


def test_likeness_is_one_for_the_teacher_itself_and_of_what_a_network_gives(tiny):
    wanted = {
        "nanotrack-v3": {"score"},
        "prdimp18": {"score", "modulation", "energy"},
        "atom18": {"modulation", "energy"},
    }
    for name, parts in wanted.items():
        network = tiny.network_of(name)
        batch = blank_batch(network)
        given = respond(network, batch, Direction.TIR_TO_TIR)
        same = likeness(given, given)
        assert set(same) == parts
        for part in parts:
            np.testing.assert_allclose(same[part].detach(), np.ones(3), atol=1e-6)
        other = likeness(given, respond(tiny.network_of(name, seed=5), batch, Direction.TIR_TO_TIR))
        assert all((other[part] < 0.999).all() for part in parts)


def blank_batch(network, samples: int = 3) -> Batch:
    """Noise patches of the network's sizes."""
    generator = torch.Generator().manual_seed(0)
    branches = []
    for side in (network.reference_side, network.test_side):
        view = View(torch.rand(1, samples, 3, side, side, generator=generator))
        box = torch.tensor([side / 3, side / 3, side / 4, side / 4]).expand(1, samples, 4)
        rule = draw_rule(Estimator(count=16), network.box_kind)
        generators = [np.random.default_rng(k) for k in range(samples)]
        rated = None if rule is None else draw_for_batch(box.numpy(), generators, rule)
        branches.append(Branch(box, view, view, rated))
    yes = torch.ones(samples, dtype=torch.bool)
    return Batch(*branches, torch.ones(samples), yes, yes, ("a", "b", "c")[:samples])


def held_back_pool(tiny, recipe, network, count):
    source = tiny.TinyPairs()
    found = ways.propose_all(source, ways.proposer("saliency"), 0)
    return tiny.drawn_pool(clips_of(source, dict(enumerate(found)), recipe), recipe, network, count)


def test_agreement_counts_what_the_teacher_passed(tiny):
    recipe, network = tiny.recipe_of("mixed"), tiny.network_of()
    pool = held_back_pool(tiny, recipe, network, 12)
    pool.check(network, recipe, device=None)
    pool.passed[:] = [True] * 5 + [False] * 7
    measure = Agreement(network, pool)
    validator = Validator(network, measure, measure.scenes)
    same = validator.comparison(network)
    assert same.samples == 5
    for part in (same.with_teacher, same.with_box, same.centre):
        assert (part.difference, part.low, part.high) == (0.0, 0.0, 0.0)
    other = validator.comparison(tiny.network_of(seed=3))
    assert other.with_box.student != other.with_box.baseline
    assert other.with_box.baseline == same.with_box.baseline
    numbers = validator.numbers(tiny.network_of(seed=3))
    assert numbers["with_box"] == other.with_box.student
    assert numbers["score"] == other.like_teacher["score"].student
    assert set(numbers) == {"with_teacher", "with_box", "centre", *other.like_teacher}
    assert not any(answer.response.features for answer in measure._teacher_answers)


def test_without_rgb_the_boxes_alone_are_compared_with(tiny):
    recipe, network = tiny.recipe_of("tir_only"), tiny.network_of()
    pool = held_back_pool(tiny, recipe, network, 6)
    measure = Agreement(None, pool)
    assert measure.teacher_centre is None
    found = Validator(network, measure, measure.scenes).comparison(tiny.network_of(seed=3))
    assert (found.with_teacher, found.like_teacher) == (None, {})
    assert found.with_box.student != found.with_box.baseline


def numbers_of(baseline, pool, student):
    measure = Agreement(baseline, pool)
    return Validator(baseline, measure, measure.scenes).numbers(student)


def test_agreement_of_a_pool_of_several_chunks_is_that_of_its_samples(tiny):
    recipe, network = tiny.recipe_of("mixed"), tiny.network_of()
    pool = held_back_pool(tiny, recipe, network, 40)
    whole = numbers_of(network, pool, tiny.network_of(seed=3))
    parts = []
    for passed in (slice(0, 10), slice(10, 40)):
        pool.check(network, recipe, device=None)
        pool.passed[:] = False
        pool.passed[passed] = True
        parts.append(numbers_of(network, pool, tiny.network_of(seed=3)))
    for name, value in whole.items():
        assert (10 * parts[0][name] + 30 * parts[1][name]) / 40 == pytest.approx(value, abs=1e-6)


def test_the_interval_is_over_scenes(tiny):
    values = np.repeat([0.0, 1.0, 0.0, 1.0, 0.0, 1.0], 50)
    low, high = interval(values, [f"scene{k // 50}" for k in range(300)], seed=0)
    assert low < 0.2
    assert high > 0.8
    low, high = interval(values, [str(k) for k in range(300)], seed=0)
    assert 0.4 < low < 0.5 < high < 0.6


def difference(low: float, high: float) -> StudentDifference:
    middle = (low + high) / 2
    return StudentDifference(
        baseline=0.8, student=0.8 + middle, difference=middle, low=low, high=high
    )


@pytest.mark.parametrize(
    ("low", "high", "samples", "says"),
    [
        (0.01, 0.03, 100, "agrees with the teacher more than the baseline"),
        (-0.01, 0.03, 100, "held-back pairs show no improvement"),
        (0.01, 0.03, 5, "too few held-back samples"),
        (-0.18, 0.03, 5, "too few held-back samples"),
        (-0.18, -0.15, 5, "on the few held-back pairs the student agrees less"),
    ],
)
def test_the_verdict_never_calls_a_doubtful_student_better(low, high, samples, says):
    part = difference(low, high)
    sentence = verdict(HeldBackComparison(samples=samples, scenes=9, with_teacher=part))
    assert says in sentence
    assert "95 % interval" in sentence
    if "more than" in sentence:
        assert "does not prove better tracking" in sentence


@pytest.mark.parametrize(
    ("low", "high", "samples", "says"),
    [
        pytest.param(0.01, 0.03, 100, "finds proposed boxes better", id="better"),
        pytest.param(-0.01, 0.03, 100, "shows no difference", id="neither"),
        pytest.param(0.01, 0.03, 5, "too few held-back samples", id="few"),
        pytest.param(-0.18, -0.15, 5, "finds proposed boxes less well", id="few and worse"),
    ],
)
def test_without_rgb_the_verdict_says_that_it_cannot_tell(low, high, samples, says):
    part = difference(low, high)
    sentence = verdict(HeldBackComparison(samples=samples, scenes=9, with_box=part))
    assert says in sentence
    assert "95 % interval" in sentence
    assert "cannot tell whether it tracks better, test it on labelled TIR" in sentence


@pytest.mark.parametrize(
    ("before", "after", "low", "high", "keeps"),
    [
        (0.5, 0.6, 0.05, 0.15, {"if_better", "unless_worse", "always"}),
        (0.5, 0.49, -0.03, 0.01, {"unless_worse", "always"}),
        (0.5, 0.4, -0.15, -0.05, {"always"}),
    ],
)
def test_the_recipe_says_when_trained_weights_are_kept(before, after, low, high, keeps):
    difference = StudentDifference(
        baseline=before, student=after, difference=after - before, low=low, high=high
    )
    found = HeldBackComparison(samples=100, scenes=20, with_label=difference)
    rules = ("if_better", "unless_worse", "always")
    assert {rule for rule in rules if keeps_trained(found, rule)} == keeps
