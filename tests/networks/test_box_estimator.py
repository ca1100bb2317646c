"""The box estimator alone: what it is given and gives, by the definition, slowly."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tirtrack.networks.box_estimator import BoxEstimator, rois_of
from tirtrack.networks.roi_pooling import precise_roi_pool

S, M, P = 2, 3, 4
CHANNELS, CELLS = (6, 8), (12, 6)


@pytest.fixture
def estimator():
    """Two inputs of other widths everywhere, so that none can be taken for another."""
    made = BoxEstimator(CHANNELS, input_dim=(10, 12), inter_dim=(14, 9), width=16)
    made.draw_weights(torch.Generator().manual_seed(1))
    return made.double().eval()


@pytest.fixture
def features(draw):
    """``[N,S,C,H,W]`` of a patch of 96 px."""

    def make(images):
        sizes = zip(CHANNELS, CELLS, strict=True)
        return [draw(images, S, c, n, n).double() for c, n in sizes]

    return make


@pytest.fixture
def boxes(draw):
    return (draw(M, S, P, 4) * 40 + 20).double()


def test_rois_name_their_image_and_corners():
    boxes = torch.tensor([[[1.0, 2, 3, 4]], [[5.0, 6, 7, 8]]])
    assert rois_of(boxes).tolist() == [[0, 1, 2, 4, 6], [1, 5, 6, 12, 14]]


@torch.no_grad()
def test_modulation_is_what_the_layers_make_of_the_pooled_target(estimator, features, boxes):
    maps = [part[0] for part in features(1)]
    rois = rois_of(boxes[0][:, :1])
    fine = precise_roi_pool(estimator.conv3_1r(maps[0]), rois, (3, 3), 1 / 8)
    coarse = precise_roi_pool(estimator.conv4_1r(maps[1]), rois, (1, 1), 1 / 16)
    joint = torch.cat([estimator.fc3_1r(fine), coarse], dim=1)
    wanted = [estimator.fc34_3r(joint), estimator.fc34_4r(joint)]
    found = estimator.modulation(maps, boxes[0, :, 0])
    assert [vector.shape for vector in found] == [(S, 10, 1, 1), (S, 12, 1, 1)]
    assert_close(found, wanted)


@torch.no_grad()
def test_energies_weigh_pool_and_read(estimator, features, boxes, draw):
    maps = estimator.test_features([part[0] for part in features(1)])
    modulation = [draw(S, c, 1, 1).double() for c in (10, 12)]
    found = estimator.energies(modulation, maps, boxes[0])
    for s in range(S):
        for p in range(P):
            roi = rois_of(boxes[0, s : s + 1, p : p + 1])
            read = []
            for part, bins, scale, layer in (
                (0, 5, 1 / 8, estimator.fc3_rt),
                (1, 3, 1 / 16, estimator.fc4_rt),
            ):
                pooled = precise_roi_pool(maps[part][s : s + 1], roi, (bins, bins), scale)
                read.append(layer(pooled * modulation[part][s]))  # the order of both commutes
            assert_close(found[s, p], estimator.iou_predictor(torch.cat(read, 1))[0, 0])


@torch.no_grad()
def test_every_image_takes_the_modulation_of_its_sequence(estimator, features, boxes):
    target = estimator.target_modulation(features(2), boxes[:2, :, 0])
    test = features(M)
    found = estimator.proposal_energies(target, test, boxes)
    assert found.shape == (M, S, P)
    for m in range(M):
        for s in range(S):
            own = [vector[s : s + 1] for vector in target]
            maps = estimator.test_features([part[m, s : s + 1] for part in test])
            assert_close(found[m, s], estimator.energies(own, maps, boxes[m, s : s + 1])[0])


def test_energies_have_exact_slopes_by_the_boxes(estimator, features, boxes):
    with torch.no_grad():
        maps = estimator.test_features([part[0] for part in features(1)])
        modulation = estimator.target_modulation(features(1), boxes[:1, :, 0])
    given = boxes[0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda b: estimator.energies(modulation, maps, b), (given,))


def awkward_boxes(boxes):
    """Boxes of one image each: inside, over every border, far outside, without area."""
    rows = [[20.0, 24, 40, 30], [-30, 60, 50, 70], [200, 10, 30, 30], [40, 40, 0, 20]]
    return torch.stack([boxes[0, 0], torch.tensor(rows, dtype=boxes.dtype)])


def give_statistics(module):
    """Statistics as after training; those of a new network make normalisation do nothing."""
    generator = torch.Generator().manual_seed(3)
    norms = [one for one in module.modules() if isinstance(one, nn.BatchNorm2d)]
    for numbers in (part for one in norms for part in (*one.buffers(), *one.parameters())):
        if numbers.is_floating_point():
            numbers.data.uniform_(0.5, 1.5, generator=generator)


def test_slopes_without_a_graph_are_those_of_the_graph(estimator, features, boxes):
    proposals = awkward_boxes(boxes)
    give_statistics(estimator)
    with torch.no_grad():
        maps = estimator.test_features([part[0] for part in features(1)])
        modulation = estimator.target_modulation(features(1), boxes[:1, :, 0])
    found = estimator.energies_with_slopes(modulation, maps, proposals)
    assert not any(one.requires_grad for one in found)
    given = proposals.clone().requires_grad_()
    energies = estimator.energies(modulation, maps, given)
    (slopes,) = torch.autograd.grad(energies.sum(), given)
    assert float(slopes.abs().max()) > 1e-4
    assert_close(found[0], energies.detach(), rtol=1e-9, atol=1e-9)
    assert_close(found[1], slopes, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@torch.no_grad()
def test_a_proposal_that_is_not_finite_is_refused(estimator, features, boxes, bad):
    maps = estimator.test_features([part[0] for part in features(1)])
    modulation = estimator.target_modulation(features(1), boxes[:1, :, 0])
    boxes[0, 1, 2, 3] = bad
    with pytest.raises(ValueError, match="proposals must be finite"):
        estimator.energies_with_slopes(modulation, maps, boxes[0])


def test_slopes_by_features_and_modulation_are_exact(estimator, features, boxes, draw):
    maps = [part[0, :1, :, :4, :4].clone().requires_grad_() for part in features(1)]
    vectors = [draw(1, c, 1, 1).double().requires_grad_() for c in (10, 12)]

    def energies(fine, coarse, one, other):
        return estimator.energies([one, other], estimator.test_features([fine, coarse]), box)

    box = torch.tensor([[[5.0, 6, 15, 11]]]).double()
    assert torch.autograd.gradcheck(energies, (*maps, *vectors), fast_mode=True)


def test_a_box_without_area_gives_a_number_and_no_slope(estimator, features):
    maps = estimator.test_features([part[0, :1] for part in features(1)])
    modulation = [torch.ones(1, c, 1, 1).double() for c in (10, 12)]
    box = torch.tensor([[[20.0, 20, 0, 10]]]).double().requires_grad_()
    energies = estimator.energies(modulation, maps, box)
    (slope,) = torch.autograd.grad(energies.sum(), box)
    assert bool(energies.isfinite())
    assert float(slope.abs().max()) == 0


def test_both_branches_hold_every_layer_once(estimator):
    named = [estimator.modules_of(part) for part in ("reference", "test")]
    assert {id(m) for part in named for m in part} == {id(m) for m in estimator.children()}
    assert [len(part) for part in named] == [5, 7]


def test_training_needs_two_sequences_and_counts_every_box(estimator, features, boxes):
    estimator.train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        estimator.modulation([part[0, :1] for part in features(1)], boxes[0, :1, 0])
    norm: nn.BatchNorm2d = estimator.fc4_rt.bn
    seen = []
    norm.register_forward_hook(lambda _, given, out: seen.append(given[0].shape))
    target = estimator.target_modulation(features(1), boxes[:1, :, 0])
    estimator.proposal_energies(target, features(M), boxes)
    assert seen == [(M * S * P, 9, 1, 1)]
