"""The method's formulas against stored numbers, and the laws that they must obey."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tirtrack.distillation.batch import Batch, Branch, View
from tirtrack.distillation.cross_modal import (
    TERMS,
    SelfCheck,
    anchor,
    boxes,
    cross_supervision,
    distractors,
    filter_,
    filter_search,
    label_loss,
    respond,
    score,
    self_check,
    serves,
    step_loss,
    teacher_response,
)
from tirtrack.distillation.settings import Direction, Modality, Teacher, Term
from tirtrack.errors import RecipeError
from tirtrack.networks import registry
from tirtrack.networks.losses import cell_labels
from tirtrack.networks.response import DenseBoxes, IouEnergies, Response, TargetModel
from tirtrack.networks.score_kinds import Density, Margin

STRIDE = 16
MARGIN, DENSE = Margin(STRIDE, 255), DenseBoxes()
RELATIVE = 1e-9


@pytest.fixture(scope="module")
def labels(kept_goldens: Path) -> dict[str, np.ndarray]:
    with np.load(kept_goldens / "nanotrack" / "labels.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def outputs(kept_goldens: Path) -> list[tuple[Tensor, Tensor]]:
    """(logits, ltrb) of network_v3.npz, image 0 and 1, float64."""
    with np.load(kept_goldens / "nanotrack" / "network_v3.npz") as stored:
        return [
            tuple(torch.from_numpy(stored[f"{part}_{k}"]).double() for part in ("logits", "ltrb"))
            for k in (0, 1)
        ]


def centres_of(cells: int) -> Tensor:
    return MARGIN.centres(cells)


def boxes_in_patch(relative_cxcywh: np.ndarray) -> Tensor:
    """Boxes relative to the patch centre, as xywh in patch pixels: ``[1,S,4]``."""
    cx, cy, w, h = np.asarray(relative_cxcywh, dtype=np.float64).T
    return torch.from_numpy(np.stack([cx - w / 2 + 127.5, cy - h / 2 + 127.5, w, h], axis=1))[None]


def response_of(outputs: list[tuple[Tensor, Tensor]]) -> Response:
    logits = torch.stack([part[0] for part in outputs])  # [S,2,n,n]
    ltrb = torch.stack([part[1] for part in outputs])
    centres = centres_of(logits.shape[-1])
    dense = torch.cat([centres - ltrb[:, :2], ltrb[:, :2] + ltrb[:, 2:]], dim=1)
    margins = (logits[:, 1] - logits[:, 0])[None]
    return Response(TargetModel([]), [], [margins], dense[None], MARGIN, DENSE)


def batch_of(boxes_patch: Tensor) -> Batch:
    count = boxes_patch.shape[1]
    branch = Branch(boxes_patch, None, None)
    yes = torch.ones(count, dtype=torch.bool)
    keys = tuple(f"pair/{index}" for index in range(count))
    return Batch(branch, branch, torch.ones(count), yes, yes, keys)


@pytest.mark.parametrize("cells", [15, 16])
def test_cell_labels_agree_with_the_stored_maps(labels, cells):
    positions = boxes_in_patch(labels["boxes"])
    ours = cell_labels(positions, torch.ones(6, dtype=torch.bool), centres_of(cells))
    np.testing.assert_array_equal(ours[0].numpy(), labels[f"ours_{cells}"])


def test_cross_supervision_agrees_with_the_stored_loss(labels, outputs):
    positions = boxes_in_patch(labels["boxes"][:2])
    classification, box = label_loss(
        response_of(outputs), positions, torch.ones(2, dtype=torch.bool)
    )
    assert classification.item() == pytest.approx(float(labels["cross_cls"]), rel=RELATIVE)
    assert box.item() == pytest.approx(float(labels["cross_box"]), rel=RELATIVE)


@pytest.mark.parametrize("temperature", [1, 2])
def test_score_agrees_with_the_stored_loss(labels, outputs, temperature):
    term = Term(name="score", temperature=float(temperature))
    student, teacher = response_of(outputs), response_of(outputs[::-1])
    loss = score(student, teacher, batch_of(boxes_in_patch(labels["boxes"][:2])), term)
    expected = float(labels[f"soft_score_tau{temperature}"])
    assert loss.item() == pytest.approx(expected, rel=RELATIVE)


def test_boxes_agree_with_the_stored_loss(labels, outputs):
    student, teacher = response_of(outputs), response_of(outputs[::-1])
    confident = (teacher.scores[0][0] > 0).flatten(1).sum(dim=1)
    assert sorted(confident.tolist()) == sorted(labels["soft_confident_cells"].tolist())
    loss = boxes(student, teacher, batch_of(torch.zeros(1, 2, 4)), Term(name="boxes"))
    assert loss.item() == pytest.approx(float(labels["soft_boxes"]), rel=RELATIVE)


# --- laws, on a tiny network ---------------------------------------------------------------------

TERM_NAMES = sorted(set(TERMS) - {"energy", "modulation"})  # test_terms_by_kind.py has the others
LABEL_TERMS = {"cross_supervision", "distractors"}
RESPONSE_TERMS = [name for name in TERM_NAMES if name not in LABEL_TERMS]


def patch_batch(seed: int = 0, samples: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def view(side: int) -> View:
        return View(torch.rand(1, samples, 3, side, side, generator=generator))

    place = torch.tensor([[90.0, 100.0, 60.0, 40.0]]).expand(samples, 4)[None]
    reference = Branch(torch.tensor([40.0, 40, 47, 47]).expand(1, samples, 4), view(127), view(127))
    others = torch.tensor([[190.0, 30.0, 40.0, 40.0]]).expand(samples, 1, 4)
    test = Branch(place, view(255), view(255), others_patch=others)
    yes = torch.ones(samples, dtype=torch.bool)
    present = torch.tensor([True] * (samples - 1) + [False])
    keys = tuple(f"s{k}" for k in range(samples))
    return Batch(reference, test, torch.ones(samples), present, yes, keys)


def swapped(batch: Batch) -> Batch:
    reference = replace(batch.reference, rgb=batch.reference.tir, tir=batch.reference.rgb)
    test = replace(batch.test, rgb=batch.test.tir, tir=batch.test.rgb)
    return replace(batch, reference=reference, test=test)


def tir_made_rgb(batch: Batch) -> Batch:
    return replace(
        batch,
        reference=replace(batch.reference, tir=batch.reference.rgb),
        test=replace(batch.test, tir=batch.test.rgb),
    )


@pytest.fixture(params=["nanotrack-v2", "nanotrack-v3"])
def networks(request):
    """A student and another teacher, in eval mode."""
    return tuple(registry.build(request.param, tiny=True, seed=seed).eval() for seed in (1, 2))


def test_swapping_the_modalities_swaps_the_losses_of_the_two_directions(networks):
    student, _ = networks
    batch, terms = patch_batch(), [Term(name="cross_supervision")]
    forth = step_loss(student, None, [(Direction.RGB_TO_TIR, batch)], terms)
    back = step_loss(student, None, [(Direction.TIR_TO_RGB, batch)], terms)
    forth_swapped = step_loss(student, None, [(Direction.RGB_TO_TIR, swapped(batch))], terms)
    back_swapped = step_loss(student, None, [(Direction.TIR_TO_RGB, swapped(batch))], terms)
    assert forth.total == back_swapped.total
    assert back.total == forth_swapped.total
    assert forth.total != back.total


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("name", RESPONSE_TERMS)
def test_a_student_equal_to_its_teacher_on_equal_patches_has_no_response_loss(
    networks, name, direction
):
    network, other = networks
    batch, term = tir_made_rgb(patch_batch()), Term(name=name)
    own, wanted = respond(network, batch, direction), teacher_response(network, batch)
    assert TERMS[name](own, wanted, batch, term).item() == 0.0
    different = teacher_response(other, batch)
    shifted = replace(different, scores=[different.scores[0] + 20.0])
    assert TERMS[name](own, shifted, batch, term).item() > 0.0


@pytest.mark.parametrize("name", TERM_NAMES)
def test_no_gradient_reaches_the_teacher(networks, name):
    student, teacher = networks
    term = Term(name=name)
    loss = step_loss(student, teacher, [(Direction.TIR_TO_TIR, patch_batch())], [term])
    loss.total.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    if name != "boxes":  # random weights: no confident cell is certain
        assert any(
            parameter.grad is not None and parameter.grad.abs().sum() > 0
            for parameter in student.parameters()
        )


def test_the_filter_has_no_gradient_outside_the_backbone(networks):
    student, teacher = networks
    step_loss(
        student, teacher, [(Direction.TIR_TO_TIR, patch_batch())], [Term(name="filter")]
    ).total.backward()
    heads = student.components()["target_filter"] + student.components()["box_estimator"]
    assert all(parameter.grad is None for parameter in heads)


def test_filter_is_the_relative_squared_distance():
    own, wanted = torch.ones(2, 3, 8, 8), torch.full((2, 3, 8, 8), 2.0)
    wanted[1] = 4.0
    student = Response(TargetModel([own]), [own[None]], [], None, None, DENSE)
    teacher = Response(TargetModel([wanted]), [wanted[None]], [], None, None, DENSE)
    expected = (0.25 + 0.5625) / 2
    for function in (filter_, filter_search):
        value = function(student, teacher, batch_of(torch.zeros(1, 2, 4)), Term(name="filter"))
        assert value.item() == pytest.approx(expected)


# --- the anchor ----------------------------------------------------------------------------------


def test_the_anchor_is_the_match_of_scores_and_boxes(labels, outputs):
    student, teacher = response_of(outputs), response_of(outputs[::-1])
    batch = batch_of(boxes_in_patch(labels["boxes"][:2]))
    expected = float(labels["soft_score_tau1"]) + float(labels["soft_boxes"])
    value = anchor(student, teacher, batch, Term(name="anchor"))
    assert value.item() == pytest.approx(expected, rel=RELATIVE)


def test_the_anchor_counts_every_sample(outputs):
    student, teacher = response_of(outputs), response_of(outputs[::-1])
    batch, no = batch_of(torch.zeros(1, 2, 4)), torch.zeros(2, dtype=torch.bool)
    whole = anchor(student, teacher, batch, Term(name="anchor"))
    for mask in ("present", "accepted"):
        assert anchor(student, teacher, replace(batch, **{mask: no}), Term(name="anchor")) == whole


@pytest.mark.parametrize("direction", list(Direction))
def test_a_student_that_has_not_moved_is_not_pulled(networks, direction):
    student, _ = networks
    baseline, batch = copy.deepcopy(student), patch_batch()
    loss = step_loss(student, baseline, [(direction, batch)], [Term(name="anchor")])
    loss.total.backward()
    assert loss.total.item() == 0.0
    gradients = [one.grad for one in student.parameters() if one.grad is not None]
    assert gradients
    assert all(one.abs().max() < 1e-6 for one in gradients)


def test_the_anchor_sees_what_the_student_sees_and_other_terms_the_teachers_modality(networks):
    student, teacher = networks
    batch, terms = patch_batch(), [Term(name="anchor"), Term(name="score")]
    parts = step_loss(student, teacher, [(Direction.RGB_TO_TIR, batch)], terms).parts
    own = respond(student, batch, Direction.RGB_TO_TIR)
    alike = respond(teacher, batch, Direction.RGB_TO_TIR)
    of_rgb = teacher_response(teacher, batch)
    assert parts["rgb_to_tir/anchor"] == anchor(own, alike, batch, terms[0])
    assert parts["rgb_to_tir/score"] == score(own, of_rgb, batch, terms[1])


def test_the_anchor_draws_the_student_back_to_the_baseline(networks):
    baseline, _ = networks
    student, batch = copy.deepcopy(baseline), patch_batch()
    with torch.no_grad():
        for parameter in student.components()["target_filter"]:
            parameter += 0.01 * torch.randn_like(parameter)
    heads = student.components()["target_filter"]

    def loss() -> Tensor:
        groups = [(Direction.TIR_TO_TIR, batch)]
        return step_loss(student, baseline, groups, [Term(name="anchor")]).total

    before = loss()
    optimiser = torch.optim.Adam(heads, lr=1e-3)
    for _ in range(5):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    assert loss() < before


def test_a_negative_pair_has_only_background_and_no_box_loss():
    place = boxes_in_patch(np.array([[0.0, 0.0, 64.0, 64.0]]))
    gone = torch.tensor([False])
    assert (cell_labels(place, gone, centres_of(15)) == 0).all()
    student = response_of([(torch.zeros(2, 15, 15), torch.ones(4, 15, 15))])
    classification, box = label_loss(student, place, gone)
    assert box.item() == 0.0
    assert classification.item() == pytest.approx(0.5 * np.log(2.0))


def test_other_boxes_are_background_where_the_target_leaves_them():
    """A target in the middle, another box right of it, a third on the target itself."""
    place = boxes_in_patch(np.array([[0.0, 0.0, 64.0, 64.0]]))
    others = boxes_in_patch(np.array([[96.0, 0.0, 48.0, 32.0], [0.0, 0.0, 80.0, 80.0]]))
    margins = torch.zeros(2, 15, 15).double()
    margins[1, 7, 13] = 2.0  # the cell at the centre of the other box
    student = response_of([(margins, torch.ones(4, 15, 15).double())])
    missing = torch.full_like(others, torch.nan)
    batch = batch_of(place)
    losses_of = [
        distractors(
            student,
            None,
            replace(batch, test=replace(batch.test, others_patch=boxes)),
            Term(name="distractors"),
        ).item()
        for boxes in (others, missing, None)
    ]
    assert losses_of == [pytest.approx(np.log1p(np.exp(2.0))), 0.0, 0.0]


def test_untrusted_samples_do_not_count_in_response_terms(outputs):
    student, teacher = response_of(outputs), response_of(outputs[::-1])
    batch = batch_of(torch.zeros(1, 2, 4))
    one = replace(batch, accepted=torch.tensor([True, False]))
    other = replace(batch, present=torch.tensor([False, True]))
    values = [score(student, teacher, b, Term(name="score")).item() for b in (batch, one, other)]
    assert len(set(values)) == 3
    none = replace(batch, accepted=torch.tensor([False, False]))
    assert score(student, teacher, none, Term(name="score")).item() == 0.0


def test_smooth_l1_of_boxes_counts_distances_in_cells(outputs):
    logits = torch.zeros(2, 15, 15).double()
    logits[1] = 3.0
    near, far = torch.full((4, 15, 15), 16.0).double(), torch.full((4, 15, 15), 48.0).double()
    student, teacher = response_of([(logits, near)]), response_of([(logits, far)])
    term = Term(name="boxes", form="smooth_l1")
    value = boxes(student, teacher, batch_of(torch.zeros(1, 1, 4)), term)
    assert value.item() == pytest.approx(2.0 - 0.5)  # |1 - 3| cells, beta 1


def test_a_term_that_the_network_cannot_serve_is_a_recipe_error(networks):
    student, teacher = networks
    for name in ("modulation", "energy"):
        with pytest.raises(RecipeError, match=f'term "{name}" has no formula'):
            step_loss(student, teacher, [(Direction.TIR_TO_TIR, patch_batch())], [Term(name=name)])


def test_terms_look_at_kinds(outputs):
    student = response_of(outputs)
    batch = batch_of(torch.zeros(1, 2, 4))
    density = replace(student, score_kind=Density(STRIDE, 255, 0.9))
    for term in (boxes, cross_supervision):
        with pytest.raises(RecipeError, match="scores of kind density"):
            term(density, density, batch, Term(name="boxes"))
    blind = Response(TargetModel([]), [], [], torch.zeros(1, 2, 3), None, IouEnergies())
    with pytest.raises(RecipeError, match="has no scores"):
        score(blind, blind, batch, Term(name="score"))
    with pytest.raises(RecipeError, match="rates proposals"):
        boxes(blind, blind, batch, Term(name="boxes"))
    with pytest.raises(RecipeError, match=r"distractors.* has no scores"):
        distractors(blind, blind, batch, Term(name="distractors"))
    with pytest.raises(RecipeError, match="no formula for scores of kind density"):
        distractors(density, None, batch, Term(name="distractors"))
    with pytest.raises(RecipeError, match="rates no proposals"):
        boxes(student, student, batch, Term(name="energy"))


@pytest.mark.parametrize(
    ("name", "direction", "counts"),
    [
        ("score", Direction.RGB_TO_TIR, True),
        ("score", Direction.TIR_TO_RGB, False),
        ("filter", Direction.TIR_TO_RGB, True),
        ("filter", Direction.RGB_TO_TIR, False),
        ("boxes", Direction.RGB_TO_RGB, True),
        ("cross_supervision", Direction.TIR_TO_RGB, True),
    ],
)
def test_matching_terms_count_where_the_student_sees_tir(name, direction, counts):
    assert serves(Term(name=name), direction) is counts


def test_a_term_may_be_kept_to_some_directions():
    term = Term(name="cross_supervision", directions=[Direction.TIR_TO_TIR])
    assert serves(term, Direction.TIR_TO_TIR)
    assert not serves(term, Direction.RGB_TO_TIR)


def test_directions_weigh_by_their_samples(networks):
    student, _ = networks
    terms = [Term(name="cross_supervision", weight=2.0)]
    few, many = patch_batch(0, 2), patch_batch(1, 6)
    loss = step_loss(
        student, None, [(Direction.TIR_TO_TIR, few), (Direction.RGB_TO_TIR, many)], terms
    )
    parts = loss.parts
    expected = 2 * (
        0.25 * parts["tir_to_tir/cross_supervision"] + 0.75 * parts["rgb_to_tir/cross_supervision"]
    )
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_term_that_gives_parts_is_their_sum(networks):
    student, _ = networks
    batch = patch_batch()
    terms = [Term(name="cross_supervision", weight=3.0)]
    loss = step_loss(student, None, [(Direction.RGB_TO_TIR, batch)], terms)
    own = respond(student, batch, Direction.RGB_TO_TIR)
    classification, box = label_loss(own, batch.test.boxes_patch, batch.present)
    name = "rgb_to_tir/cross_supervision"
    assert loss.parts == {
        f"{name}/classification": classification,
        f"{name}/box": box,
        name: classification + box,
    }
    assert loss.total == 3.0 * (classification + box)


def test_the_teacher_is_trusted_when_near_alike_and_sure():
    margins = torch.full((1, 4, 15, 15), -9.0).double()
    margins[0, :, 7, 7] = 9.0  # p = 0.9999 at the patch centre
    margins[0, 3, 7, 7] = 2.0  # p = 0.88
    ltrb = torch.full((4, 4, 15, 15), 32.0).double()
    centres = centres_of(15)
    dense = torch.cat([centres - ltrb[:, :2], ltrb[:, :2] + ltrb[:, 2:]], dim=1)[None]
    given = Response(TargetModel([]), [], [margins], dense, MARGIN, DENSE)
    place = boxes_in_patch(
        np.array([[24.0, 0, 64, 64], [25.0, 0, 90, 90], [0, 0, 20, 20], [0, 0, 64, 64]])
    )
    check = self_check(given, place)
    np.testing.assert_allclose(check.distance_cells, [1.5, 25 / 16, 0, 0])
    np.testing.assert_allclose(check.overlap[2:], [400 / 4096, 1.0])
    assert check.passed(Teacher()).tolist() == [False, False, False, False]
    assert check.passed(Teacher(), min_iou=0.3).tolist() == [True, False, False, False]
    assert check.passed(Teacher(min_probability=0.5)).tolist() == [False, False, False, True]


def test_the_teacher_sees_the_plain_crops(networks):
    _, teacher = networks
    plain = patch_batch(5)
    batch = replace(patch_batch(0), plain=plain)
    expected = respond(teacher, plain, Direction.RGB_TO_RGB).scores[0]
    assert torch.equal(teacher_response(teacher, batch).scores[0], expected)
    on_tir = teacher_response(teacher, batch, Modality.TIR).scores[0]
    assert not torch.equal(on_tir, expected)


@pytest.mark.parametrize("direction", list(Direction))
def test_each_branch_sees_the_modality_that_the_direction_names(networks, direction):
    student, _ = networks
    batch = patch_batch()
    template = getattr(batch.reference, str(direction.reference)).patches
    search = getattr(batch.test, str(direction.test)).patches
    target = student.reference(template, batch.reference.boxes_patch)
    expected = student.respond(target, search)
    given = respond(student, batch, direction)
    assert torch.equal(given.target.filters[0], target.filters[0])
    assert torch.equal(given.scores[0], expected.scores[0])
    assert str(direction) == f"{direction.reference}_to_{direction.test}"


def test_overlap_and_probability_must_be_above_their_limits_and_distance_may_reach_its_own():
    at_limit = SelfCheck(torch.tensor([1.5]), torch.tensor([0.6]), torch.tensor([0.99]))
    assert at_limit.passed(Teacher()).tolist() == [True]
    half = replace(at_limit, overlap=torch.tensor([0.5]))
    assert half.passed(Teacher()).tolist() == [False]
    unsure = replace(at_limit, probability=torch.tensor([0.75]))
    assert unsure.passed(Teacher(min_probability=0.75)).tolist() == [False]


def test_kept_features_give_the_same_answer_as_patches(networks):
    student, _ = networks
    batch = patch_batch()
    kept = replace(
        batch,
        reference=replace(batch.reference, tir=View(features=batch.reference.tir.seen_by(student))),
        test=replace(batch.test, tir=View(features=batch.test.tir.seen_by(student))),
    )
    seen, from_kept = (respond(student, b, Direction.TIR_TO_TIR) for b in (batch, kept))
    assert torch.equal(seen.scores[0], from_kept.scores[0])
