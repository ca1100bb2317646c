"""The method on networks that rate proposals: formulas by kind, laws, and what is trained."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tirtrack.boxes import iou
from tirtrack.distillation.batch import Batch, Branch, View
from tirtrack.distillation.cross_modal import (
    TERMS,
    label_loss,
    respond,
    self_check,
    serves,
    step_loss,
    teacher_response,
)
from tirtrack.distillation.engine import trained_groups
from tirtrack.distillation.proposal_draws import draw_for_batch, draw_rule
from tirtrack.distillation.recipe import check_network, default_recipe, load_recipe
from tirtrack.distillation.settings import Direction, Estimator, Teacher, Term
from tirtrack.errors import RecipeError
from tirtrack.networks import registry
from tirtrack.networks.response import (
    DrawnProposals,
    IouEnergies,
    LogDensityEnergies,
    Response,
    TargetModel,
)
from tirtrack.networks.score_kinds import Density, Hinge

NETWORKS = ["dimp18", "prdimp18", "superdimp50", "atom18"]
WITH_SCORES = NETWORKS[:3]
TIR_TIR = Direction.TIR_TO_TIR


@pytest.fixture(params=NETWORKS)
def networks(request):
    """A student and another teacher, in eval mode."""
    return tuple(registry.build(request.param, tiny=True, seed=seed).eval() for seed in (1, 2))


def patch_batch(network, samples: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(0)
    side = network.test_side

    def view() -> View:
        return View(torch.rand(1, samples, 3, side, side, generator=generator))

    place = torch.tensor([[30.0, 36.0, 20.0, 24.0]]).expand(samples, 4)[None]
    rule = draw_rule(Estimator(count=6), network.box_kind)
    proposals = draw_for_batch(
        place.numpy(), [np.random.default_rng(k) for k in range(samples)], rule
    )
    reference = Branch(place + 4, view(), view())
    test = Branch(place, view(), view(), proposals)
    yes = torch.ones(samples, dtype=torch.bool)
    keys = tuple(f"s{k}" for k in range(samples))
    return Batch(reference, test, torch.ones(samples), yes, yes, keys)


def tir_made_rgb(batch: Batch) -> Batch:
    return replace(
        batch,
        reference=replace(batch.reference, tir=batch.reference.rgb),
        test=replace(batch.test, tir=batch.test.rgb),
    )


def swapped(batch: Batch) -> Batch:
    return replace(
        batch,
        reference=replace(batch.reference, rgb=batch.reference.tir, tir=batch.reference.rgb),
        test=replace(batch.test, rgb=batch.test.tir, tir=batch.test.rgb),
    )


def terms_for(network) -> list[str]:
    with_scores = ["filter", "score"] if network.score_kind is not None else []
    return [*with_scores, "modulation", "energy", "filter_search"]


# --- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", list(Direction))
def test_a_student_equal_to_its_teacher_on_equal_patches_has_no_response_loss(networks, direction):
    network, other = networks
    batch = tir_made_rgb(patch_batch(network))
    own, wanted = respond(network, batch, direction), teacher_response(network, batch)
    theirs = teacher_response(other, batch)
    for name in terms_for(network):
        term = Term(name=name)
        # The teacher's backbone may run in another memory layout, which rounds otherwise: a
        # divergence of two nearly equal densities then lies a little below 0 or above it.
        far = TERMS[name](own, theirs, batch, term).item()
        near = TERMS[name](own, wanted, batch, term).item()
        assert abs(near) < 1e-6 * max(far, 1.0), name
        assert abs(near) < 1e-3 * far, name


def test_swapping_the_modalities_swaps_the_losses_of_the_two_directions(networks):
    student, _ = networks
    batch, terms = patch_batch(student), [Term(name="cross_supervision")]

    def loss(direction: Direction, seen: Batch) -> Tensor:
        return step_loss(student, None, [(direction, seen)], terms).total

    forth, back = loss(Direction.RGB_TO_TIR, batch), loss(Direction.TIR_TO_RGB, batch)
    assert forth == loss(Direction.TIR_TO_RGB, swapped(batch))
    assert back == loss(Direction.RGB_TO_TIR, swapped(batch))
    assert forth != back


GRADIENTS = {
    "filter": {"target_filter"},
    "score": {"target_filter"},
    "modulation": {"box_estimator.reference"},
    "energy": {"box_estimator"},
}


def test_gradients_reach_the_student_in_the_right_parts_and_never_the_teacher(networks):
    student, teacher = networks
    batch = patch_batch(student)
    recipe = load_recipe(default_recipe(student))
    for name in terms_for(student)[:-1]:
        student.zero_grad(set_to_none=True)
        trained_groups(student, recipe.training)
        step_loss(student, teacher, [(TIR_TIR, batch)], [Term(name=name)]).total.backward()
        assert all(parameter.grad is None for parameter in teacher.parameters())
        reached = {
            part
            for part, parameters in student.components().items()
            if any(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)
        }
        assert reached, name
        assert all(any(part.startswith(one) for one in GRADIENTS[name]) for part in reached), name


def test_the_whole_loss_reaches_every_component_that_is_trained(networks):
    student, _ = networks
    recipe = load_recipe(f"mixed_{student.family}")
    groups = trained_groups(student, recipe.training)
    loss = step_loss(student, None, [(TIR_TIR, patch_batch(student))], recipe.terms)
    loss.total.backward()
    for group in groups:
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in group["params"])
    backbone = student.modules_of("backbone")[0]
    assert all(parameter.grad is None for parameter in backbone.parameters())


def test_atom_is_supervised_by_boxes_alone_and_refuses_what_needs_scores():
    atom = registry.build("atom18", tiny=True).eval()
    batch = patch_batch(atom)
    given = respond(atom, batch, TIR_TIR)
    classification, box = label_loss(given, batch.test.boxes_patch, batch.present)
    assert classification.item() == 0.0
    assert box.item() > 0.0
    for name, what in (("score", "no scores"), ("filter", "no filter")):
        with pytest.raises(RecipeError, match=f'term "{name}" has no formula .* {what}'):
            step_loss(atom, atom, [(TIR_TIR, batch)], [Term(name=name)])
    with pytest.raises(RecipeError, match="rates proposals"):
        step_loss(atom, atom, [(TIR_TIR, batch)], [Term(name="boxes")])


def test_the_anchor_is_zero_where_the_student_has_not_moved_and_counts_negatives(networks):
    student, other = networks
    gone = replace(patch_batch(student), present=torch.zeros(3, dtype=torch.bool))
    at_home, away = (
        step_loss(student, one, [(TIR_TIR, gone)], [Term(name="anchor")]).total
        for one in (copy.deepcopy(student), other)
    )
    assert abs(at_home.item()) < 1e-6
    assert away.item() > 1e-3


def test_samples_without_the_target_or_the_teacher_do_not_count(networks):
    student, teacher = networks
    batch = patch_batch(student)
    for mask in ("present", "accepted"):
        none = replace(batch, **{mask: torch.zeros(3, dtype=torch.bool)})
        for name in terms_for(student)[:-1]:
            if mask == "present" and name in ("filter", "modulation"):
                continue  # the reference patch shows the target all the same
            own, theirs = respond(student, none, TIR_TIR), teacher_response(teacher, none)
            assert TERMS[name](own, theirs, none, Term(name=name)).item() == 0.0, (mask, name)
    gone = replace(batch, present=torch.zeros(3, dtype=torch.bool))
    _, box = label_loss(respond(student, gone, TIR_TIR), gone.test.boxes_patch, gone.present)
    assert box.item() == 0.0


# --- formulas ------------------------------------------------------------------------------------


HINGE, DENSITY = Hinge(16, 96, 0.5), Density(16, 96, 0.5)


def made_up(scores: list[Tensor], kind, energies: Tensor, box_kind, test: Branch) -> Response:
    rated = test.proposals
    return Response(TargetModel([]), [], scores, energies, kind, box_kind, rated)


def gaussian_of(test: Branch) -> Tensor:
    """Labels of score maps of 7x7 cells, float64."""
    present = torch.ones(test.boxes_patch.shape[1], dtype=torch.bool)
    return HINGE.label(test.boxes_patch, present, torch.zeros(1, 1, 7, 7).double())


def boxes_at(*centres: tuple[float, float], count: int = 4, loss="kl") -> Branch:
    boxes = torch.tensor([[[x - 10, y - 8, 20.0, 16.0] for x, y in centres]])
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randn(1, len(centres), count, 4, generator=generator)
    drawn, wanted = torch.rand(2, 1, len(centres), count, generator=generator) + 0.1
    proposals = DrawnProposals(boxes[:, :, None] + offsets, drawn, wanted, loss)
    return Branch(boxes, None, None, proposals)


@pytest.mark.parametrize(
    ("network", "loss", "weights"),
    [
        ("dimp18", "mse", (100, 400, 100, 1)),
        ("superdimp50", "kl", (100, 400, 100, 0.01)),
        ("prdimp18", "kl", (0.25, 1, 0.25, 0.0025)),
    ],
)
def test_supervision_has_the_published_weights(network, loss, weights):
    built = registry.build(network, tiny=True)
    kind, energy = replace(built.score_kind, sigma_cells=0.5), built.box_kind
    test = boxes_at((48, 48), (60, 40), loss=loss)
    generator = torch.Generator().manual_seed(1)
    scores = [torch.randn(1, 2, 7, 7, generator=generator).double() for _ in range(6)]
    energies = torch.randn(1, 2, 4, generator=generator).double()
    present = torch.ones(2, dtype=torch.bool)
    classification, box = label_loss(
        made_up(scores, kind, energies, energy, test), test.boxes_patch, present
    )

    y = gaussian_of(test)

    def one(s: Tensor) -> Tensor:
        if network != "prdimp18":
            background = y < 0.05
            return (torch.where(background, s.relu(), s) - y * ~background).square().mean()
        density = y / y.sum(dim=(-2, -1), keepdim=True)
        return (s.flatten(2).logsumexp(2) - (s * density).sum(dim=(2, 3))).mean()

    first, middle, last, of_box = weights
    each = [one(s) for s in scores]
    expected = first * each[0] + middle * sum(each[1:5]) / 4 + last * each[5]
    assert classification.item() == pytest.approx(expected.item(), rel=1e-6)

    q, p = test.proposals.drawn.double(), test.proposals.wanted.double()
    if loss == "mse":
        boxes = test.boxes_patch[:, :, None].expand(-1, -1, 4, -1)
        wanted = 2 * iou(test.proposals.boxes_patch, boxes) - 1
        expected = (energies - wanted).square().mean()
    else:
        norm = (energies - q.log()).logsumexp(2) - math.log(4)
        expected = (norm - (energies * p / q).mean(2)).mean()
    assert box.item() == pytest.approx(of_box * expected.item(), rel=1e-5)


def two_answers(kind, energy, test):
    generator = torch.Generator().manual_seed(2)

    def one() -> Response:
        scores = [torch.randn(1, 2, 7, 7, generator=generator).double() * 0.3 for _ in range(6)]
        return made_up(
            scores, kind, torch.randn(1, 2, 4, generator=generator).double(), energy, test
        )

    return one(), one()


def batch_of(test: Branch, **changes) -> Batch:
    count = test.boxes_patch.shape[1]
    yes = torch.ones(count, dtype=torch.bool)
    batch = Batch(test, test, torch.ones(count), yes, yes, ("a", "b")[:count])
    return replace(batch, **changes)


def test_score_of_hinge_maps_looks_where_something_is_said():
    test = boxes_at((48, 48), (60, 40))
    student, teacher = two_answers(HINGE, IouEnergies(), test)
    y = gaussian_of(test)
    expected = []
    for s, t in zip(student.scores, teacher.scores, strict=True):
        where = (y >= 0.05) | (s > 0.05) | (t > 0.05)
        expected.append((s - t)[where].square().mean().item())
    given = TERMS["score"](student, teacher, batch_of(test), Term(name="score"))
    assert given.item() == pytest.approx(np.mean(expected), rel=1e-9)


def test_score_of_densities_is_the_divergence_of_the_maps():
    test = boxes_at((48, 48), (60, 40))
    student, teacher = two_answers(DENSITY, LogDensityEnergies(), test)
    batch = batch_of(test, accepted=torch.tensor([True, False]))
    given = TERMS["score"](student, teacher, batch, Term(name="score"))
    expected = []
    for s, t in zip(student.scores, teacher.scores, strict=True):
        p, q = (x[0, 0].flatten().softmax(0) for x in (t, s))
        expected.append((p * (p / q).log()).sum().item())
    assert given.item() == pytest.approx(np.mean(expected), rel=1e-9)


def test_energy_is_matched_over_the_same_proposals():
    test = boxes_at((48, 48), (60, 40))
    student, teacher = two_answers(DENSITY, LogDensityEnergies(), test)
    e_s, e_t = (one.boxes for one in (student, teacher))
    p, q = ((e - test.proposals.drawn.double().log()).softmax(2) for e in (e_t, e_s))
    given = TERMS["energy"](student, teacher, batch_of(test), Term(name="energy"))
    assert given.item() == pytest.approx((p * (p / q).log()).sum(2).mean().item(), rel=1e-6)
    student, teacher = two_answers(HINGE, IouEnergies(), test)
    e_s, e_t = (one.boxes for one in (student, teacher))
    given = TERMS["energy"](student, teacher, batch_of(test), Term(name="energy"))
    assert given.item() == pytest.approx((e_s - e_t).square().mean().item(), rel=1e-9)


def test_the_teacher_is_trusted_by_the_kind_of_its_scores():
    test = boxes_at((48, 48), (60, 40), (48, 48))
    limits = load_recipe("mixed_dimp").teacher
    scores = torch.zeros(1, 3, 7, 7).double()
    scores[0, 0, 3, 3] = 0.3  # on the target
    scores[0, 1, 3, 3] = 0.9  # 12 px and 8 px away from it: within two cells
    scores[0, 2, 3, 6] = 0.9  # three cells away
    energies = torch.zeros(1, 3, 4).double()
    energies[..., 2] = 1.0
    check = self_check(made_up([scores], HINGE, energies, IouEnergies(), test), test.boxes_patch)
    np.testing.assert_allclose(check.distance_cells, [0.0, 0.75, 3.0])
    assert check.probability.tolist() == [0.3, 0.9, 0.9]
    assert check.passed(limits).tolist() == [True, True, False]
    given = made_up([scores * 9], DENSITY, energies, LogDensityEnergies(), test)
    mass = self_check(given, test.boxes_patch).probability
    near = scores[0, 0].flatten().mul(9).softmax(0).view(7, 7)[1:6, 1:6].sum()
    assert mass[0].item() == pytest.approx(near.item())
    assert torch.equal(given.box_kind.best(given), test.proposals.boxes_patch[0, :, 2])


def test_a_teacher_without_scores_is_trusted_by_its_best_proposal():
    test = boxes_at((48, 48), (60, 40))
    proposals = replace(test.proposals, boxes_patch=test.proposals.boxes_patch.clone())
    proposals.boxes_patch[0, 0, 1] = test.boxes_patch[0, 0]
    proposals.boxes_patch[0, 1, 1] = test.boxes_patch[0, 1] + torch.tensor([15.0, 0, 0, 0])
    energies = torch.zeros(1, 2, 4)
    energies[..., 1] = 1.0
    given = made_up([], None, energies, IouEnergies(), replace(test, proposals=proposals))
    check = self_check(given, test.boxes_patch)
    limits = load_recipe("mixed_atom").teacher
    assert check.passed(limits).tolist() == [True, False]
    assert check.overlap[0] == 1.0


# --- recipes by kind -----------------------------------------------------------------------------


def test_recipes_of_the_dimp_family_say_what_differs(networks):
    student, _ = networks
    assert default_recipe(student) == f"distill_{student.family}"
    terms = [term.name for term in load_recipe(default_recipe(student)).terms]
    assert terms == terms_for(student)[:-1]
    distill = load_recipe("distill_dimp")
    assert list(distill.directions) == [TIR_TIR]
    published = load_recipe("published_dimp")
    assert published.training.rate == 1e-7
    assert published.training.clip_norm is None
    assert published.teacher.require is False
    assert [term.name for term in published.terms] == ["cross_supervision"]
    assert load_recipe("control_bn_statistics_dimp").training.batch_norm == "re_estimate"
    siamese = load_recipe("distill")
    assert [term.name for term in siamese.terms] == ["score", "boxes"]
    assert siamese.teacher == Teacher()


@pytest.mark.parametrize(
    ("recipe", "architecture", "choice"),
    [
        ("mixed", "dimp18", "choose mixed_dimp, or"),
        ("distill_dimp", "nanotrack-v3", "choose distill, or"),
        ("published_distill_dimp", "atom18", "choose published_distill_atom, or"),
        ("dimp_lite_distill", "nanotrack-v3", "choose mixed, or"),
        ("mixed_no_filter", "dimp18", "choose distill_dimp, or"),
        ("tir_only", "atom18", "choose tir_only_atom, or"),
    ],
)
def test_a_recipe_for_another_kind_of_network_names_the_right_one(recipe, architecture, choice):
    network = registry.build(architecture, tiny=True)
    with pytest.raises(RecipeError, match=f'recipe "{recipe}" is for .*{choice}'):
        check_network(load_recipe(recipe), network)


def test_matching_terms_count_where_the_student_sees_tir():
    assert serves(Term(name="modulation"), Direction.TIR_TO_RGB)
    assert not serves(Term(name="modulation"), Direction.RGB_TO_TIR)
    assert serves(Term(name="energy"), Direction.RGB_TO_TIR)
    assert not serves(Term(name="energy"), Direction.TIR_TO_RGB)
