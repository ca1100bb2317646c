"""The method on a joint encoder, whose features have not met the template."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tirtrack.distillation.batch import Batch, Branch, View
from tirtrack.distillation.cross_modal import (
    TERMS,
    respond,
    self_check,
    step_loss,
    teacher_response,
)
from tirtrack.distillation.engine import trained_groups
from tirtrack.distillation.recipe import default_recipe, load_recipe
from tirtrack.distillation.settings import Direction, Term
from tirtrack.networks import registry

S = 3
TIR_TIR = Direction.TIR_TO_TIR
MATCHING = ["score", "boxes", "filter", "filter_search"]


@pytest.fixture
def networks():
    """A student and another teacher, in eval mode."""
    return tuple(registry.build("joint-lite", tiny=True, seed=seed).eval() for seed in (1, 2))


@pytest.fixture
def batch(networks) -> Batch:
    """Random patches of both modalities; the last sample is without its target."""
    network, generator = networks[0], torch.Generator().manual_seed(0)

    def view(side: int) -> View:
        return View(torch.rand(1, S, 3, side, side, generator=generator))

    sides = network.reference_side, network.test_side
    template, search = (Branch(boxes_in(side), view(side), view(side)) for side in sides)
    present = torch.tensor([True, True, False])
    yes = torch.ones(S, dtype=torch.bool)
    return Batch(template, search, torch.ones(S), present, yes, ("a", "b", "c"))


def boxes_in(side: int) -> Tensor:
    return torch.tensor([0.3, 0.4, 0.3, 0.2]).expand(1, S, 4) * side


def crossed(batch: Batch, modalities: str) -> Batch:
    """The batch with ``rgb`` on both sides, or with the sides swapped."""

    def of(branch: Branch) -> Branch:
        return replace(branch, rgb=getattr(branch, modalities), tir=branch.rgb)

    return replace(batch, reference=of(batch.reference), test=of(batch.test))


def test_the_default_recipe_is_that_of_its_family(networks):
    assert default_recipe(networks[0]) == "distill_joint"


@pytest.mark.parametrize("name", MATCHING)
def test_a_student_equal_to_its_teacher_on_equal_patches_has_no_response_loss(
    networks, batch, name
):
    network, other = networks
    alike, term = crossed(batch, "rgb"), Term(name=name)
    own = respond(network, alike, TIR_TIR)
    assert TERMS[name](own, teacher_response(network, alike), alike, term).item() == 0.0
    theirs = teacher_response(other, alike)
    sure = replace(theirs, scores=[theirs.scores[0] + 20.0])
    assert TERMS[name](own, sure, alike, term).item() > 0.0


def test_swapping_the_modalities_swaps_the_losses_of_the_two_directions(networks, batch):
    def loss(direction: Direction, seen: Batch) -> Tensor:
        terms = [Term(name="cross_supervision")]
        return step_loss(networks[0], None, [(direction, seen)], terms).total

    forth, back = loss(Direction.RGB_TO_TIR, batch), loss(Direction.TIR_TO_RGB, batch)
    swapped = crossed(batch, "tir")
    assert forth == loss(Direction.TIR_TO_RGB, swapped)
    assert back == loss(Direction.RGB_TO_TIR, swapped)
    assert forth != back


def test_the_whole_loss_reaches_every_component_and_never_the_teacher(networks, batch):
    student, teacher = networks
    with torch.no_grad():
        *_, bias = teacher.centre_tower.parameters()
        bias.add_(20.0)  # so that it is sure of its cells
    recipe = load_recipe("distill_joint")
    trained_groups(student, recipe.training)
    step_loss(student, teacher, [(TIR_TIR, batch)], recipe.terms).total.backward()
    for parameters in student.components().values():
        assert any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in parameters)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_teacher_whose_peak_and_box_are_right_is_trusted(networks, batch):
    given = teacher_response(networks[0], batch)
    boxes = batch.test.boxes_patch
    label = given.score_kind.label(boxes, torch.ones(S) > 0, given.scores[0])
    right = boxes[..., None, None].expand_as(given.boxes)
    check = self_check(replace(given, scores=[10 * label - 5], boxes=right), boxes)
    assert check.overlap.tolist() == pytest.approx([1.0] * S)
    assert bool(check.passed(load_recipe("distill_joint").teacher).all())
    aside = 10 * label.roll(3, dims=-1) - 5
    wrong = self_check(replace(given, scores=[aside], boxes=right), boxes)
    assert not bool(wrong.passed(load_recipe("distill_joint").teacher).any())
