"""The joint encoder: what it sees alone, what it sees together, and how its head tells a box."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tirtrack.networks import registry
from tirtrack.networks.joint_encoder import (
    Attention,
    Block,
    JointEncoder,
    generalised_overlap,
)

S, CELLS, SIDE = 2, 8, 16


@pytest.fixture
def joint() -> JointEncoder:
    return registry.build("joint-lite", tiny=True, seed=3).eval().double()


@pytest.fixture
def patches(joint, draw):
    """Template and search patches of two sequences, float64."""
    sides = joint.reference_side, joint.test_side
    return tuple(draw(1, S, 3, side, side).double() for side in sides)


def answer(joint, template, search):
    return joint.respond(joint.reference(template, torch.zeros(1, S, 4)), search)


@torch.no_grad()
def test_a_feature_sees_the_pixels_of_its_cell_alone(joint, patches):
    search = patches[1]
    changed = search.clone()
    changed[..., SIDE * 2 : SIDE * 3, SIDE * 5 : SIDE * 6] += 0.3
    differs = (joint.features(search)[0] != joint.features(changed)[0]).any(dim=2)
    assert differs[0, 0].nonzero().tolist() == [[2, 5]]


def test_every_cell_of_the_map_sees_every_cell_of_both_patches(joint, patches):
    cells = [joint.features(part)[0][0].detach().requires_grad_() for part in patches]
    corner = joint.encoder(*cells)[..., 0, 0].square().sum()
    for slope in torch.autograd.grad(corner, cells):
        assert bool((slope.abs().amax(dim=1) > 0).all())


@torch.no_grad()
def test_cells_have_no_order_but_their_positions(joint, patches):
    template, search = patches
    told = answer(joint, template, search).scores[0]
    target = joint.reference(template, torch.zeros(1, S, 4))
    target.filters[0] = target.filters[0].flip(-1)
    assert float((joint.respond(target, search).scores[0] - told).abs().max()) > 1e-4
    joint.encoder.template_positions.zero_()
    plain = answer(joint, template, search).scores[0]
    assert_close(joint.respond(target, search).scores[0], plain)


@torch.no_grad()
def test_attention_is_the_softmax_of_scaled_products():
    attention, tokens = Attention(6, heads=2).double(), torch.randn(3, 5, 6).double()
    queries, keys, values = attention.queries_keys_values(tokens).split(6, dim=2)
    heads = []
    for head in (slice(0, 3), slice(3, 6)):
        products = queries[..., head] @ keys[..., head].transpose(1, 2) / 3**0.5
        heads.append(products.softmax(dim=2) @ values[..., head])
    assert_close(attention(tokens), attention.projection(torch.cat(heads, dim=2)))


@torch.no_grad()
def test_a_block_that_says_nothing_changes_nothing():
    block, tokens = Block(8, heads=2), torch.randn(2, 4, 8)
    for last in (block.attention.projection, block.mlp[-1]):
        last.weight.zero_()
        last.bias.zero_()
    assert torch.equal(block(tokens), tokens)


@torch.no_grad()
def test_a_box_stands_around_the_centre_that_its_cell_tells(joint, patches):
    for tower in (joint.offset_tower, joint.size_tower):
        tower[-1].weight.zero_()
    joint.offset_tower[-1].bias.copy_(torch.tensor([0.25, 0.75]).logit())
    joint.size_tower[-1].bias.copy_(torch.tensor([0.5, 0.125]).logit())
    boxes = answer(joint, *patches).boxes[0, 0]  # [4,n,n]
    row, column = 2, 5
    x, y, w, h = boxes[:, row, column].tolist()
    assert (w, h) == pytest.approx((64.0, 16.0))
    assert x + w / 2 == pytest.approx(SIDE * (column + 0.25))
    assert y + h / 2 == pytest.approx(SIDE * (row + 0.75))


@torch.no_grad()
def test_the_centre_of_a_box_lies_in_its_cell(joint, patches):
    boxes = answer(joint, *patches).boxes[0]  # [S,4,n,n]
    cells_xy = (boxes[:, :2] + boxes[:, 2:] / 2) / SIDE
    steps = torch.arange(CELLS).expand(CELLS, CELLS)
    assert torch.equal(cells_xy.floor().long(), torch.stack([steps, steps.T]).expand(S, 2, -1, -1))
    assert bool((boxes[:, 2:] < joint.test_side).all())


@torch.no_grad()
def test_a_new_network_expects_the_target_in_few_cells(joint, patches):
    assert float(answer(joint, *patches).scores[0].sigmoid().median()) < 0.3


@torch.no_grad()
def test_every_cell_of_a_patch_has_a_position_of_its_own(joint):
    encoder = joint.encoder
    for positions, cells in ((encoder.template_positions, 4), (encoder.search_positions, CELLS)):
        assert positions.shape == (32, cells, cells)
        away = torch.cdist(positions.flatten(1).T, positions.flatten(1).T)
        assert float((away + torch.eye(cells**2) * 9).min()) > 0.1


def test_wrong_use_is_named(joint, patches):
    template, search = patches
    nowhere = torch.zeros(1, S, 4)
    with pytest.raises(ValueError, match="N must be 1, got 2"):
        joint.reference(template.repeat(2, 1, 1, 1, 1), nowhere)
    with pytest.raises(ValueError, match=r"4x4 cells \(a patch of 64 px\), got \[8, 8\]"):
        joint.reference(search, nowhere)
    with pytest.raises(ValueError, match="proposals must be None"):
        joint.respond(joint.reference(template, nowhere), search, torch.zeros(1, S, 5, 4))
    with pytest.raises(ValueError, match='no component "adapters" in a joint encoder; it has back'):
        joint.modules_of("adapters")


def test_the_sizes_of_the_whole_network_are_those_of_the_paper():
    joint = registry.build("joint-lite")
    assert (joint.reference_side, joint.test_side) == (128, 256)
    assert (joint.reference_crop.area_factor, joint.test_crop.area_factor) == (2.0, 4.0)
    assert joint.encoder.search_positions.shape[1:] == (16, 16)


# --- its kind of boxes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "wanted"),
    [
        pytest.param([0.0, 0.0, 2.0, 2.0], 1.0, id="equal"),
        pytest.param([1.0, 0.0, 2.0, 2.0], 1 / 3, id="half over, and together their hull"),
        pytest.param([1.0, 1.0, 2.0, 2.0], 1 / 7 - 2 / 9, id="over a corner"),
        pytest.param([4.0, 0.0, 2.0, 2.0], 0.0 - 4 / 12, id="apart"),
    ],
)
def test_giou_is_the_iou_less_the_empty_share_of_the_hull(other, wanted):
    box = torch.tensor([0.0, 0.0, 2.0, 2.0], dtype=torch.float64)
    found = generalised_overlap(box, torch.tensor(other, dtype=torch.float64))
    assert float(found) == pytest.approx(wanted)


@pytest.fixture
def asked(joint, patches):
    """A response, boxes of both sequences, and their label."""
    given = answer(joint, *patches)
    boxes = torch.tensor([[[20.0, 30.0, 80.0, 70.0], [10.0, 20.0, 32.0, 32.0]]]).double()
    label = joint.score_kind.label(boxes, torch.tensor([True, True]), given.scores[0])
    return given, boxes, label


@torch.no_grad()
def test_the_loss_of_boxes_counts_at_the_centres_alone(joint, asked):
    given, boxes, label = asked
    right = boxes[..., None, None].expand_as(given.boxes)
    centres = (label == 1)[:, :, None]
    assert int((label > 0).sum()) > int(centres.sum()) == S  # there are cells around them
    exact = replace(given, boxes=torch.where(centres, right, given.boxes))
    assert float(joint.box_kind.loss(exact, label, boxes, torch.ones(S) > 0)) < 1e-12
    aside = replace(given, boxes=torch.where(centres, given.boxes, right))
    losses = [joint.box_kind.loss(one, label, boxes, torch.ones(S) > 0) for one in (given, aside)]
    assert torch.equal(*losses)
    assert float(losses[0]) > 0.5


@torch.no_grad()
def test_the_loss_of_boxes_is_twice_giou_and_five_times_the_distance_of_the_sides(joint, asked):
    given, boxes, label = asked
    aside = boxes + torch.tensor([3.0, 2.0, 0.0, 0.0])
    moved = replace(given, boxes=aside[..., None, None].expand_as(given.boxes))
    giou = generalised_overlap(aside, boxes).mean()
    wanted = 2 * (1 - giou) + 5 * (3 + 2 + 3 + 2) / 4 / joint.test_side
    found = joint.box_kind.loss(moved, label, boxes, torch.ones(S) > 0)
    assert float(found) == pytest.approx(float(wanted))


def test_a_few_steps_teach_it_where_the_targets_are(draw):
    network = registry.build("joint-lite", tiny=True, seed=1).train()
    template, search = draw(1, S, 3, 64, 64), draw(1, S, 3, 128, 128)
    boxes = torch.tensor([[[40.0, 50.0, 30.0, 20.0], [10.0, 20.0, 32.0, 32.0]]])
    present = torch.tensor([True, True])
    search[0, 0, :, 50:70, 40:70] *= 0.2
    search[0, 1, :, 20:52, 10:42] *= 0.2
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    seen = []
    for _ in range(40):
        given = network.respond(network.reference(template, boxes), search)
        label = network.score_kind.label(boxes, present, given.scores[0])
        score = network.score_kind.loss(given.scores, label)
        box = network.box_kind.loss(given, label, boxes, present)
        optimiser.zero_grad()
        (score + box).backward()
        optimiser.step()
        seen.append([score.item(), box.item()])
    assert seen[-1][0] < 0.3 * seen[0][0]
    assert seen[-1][1] < 0.7 * seen[0][1]
    best = given.scores[0][0].flatten(1).argmax(dim=1)
    assert torch.equal(best, label[0].flatten(1).argmax(dim=1))
