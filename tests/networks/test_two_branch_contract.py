"""What every network of the registry promises to distillation, in its tiny form.

What a network answers depends on its kinds alone: scores or none, dense boxes or energies.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from tirtrack.networks import registry
from tirtrack.networks.backbones import bgr_levels
from tirtrack.networks.two_branch import TwoBranchNetwork

S, M, P = 3, 2, 4
ENERGY = [n for n in registry.names() if registry.build(n, tiny=True).box_kind.rates_proposals]
DENSE = [n for n in registry.names() if n not in ENERGY]
NANOTRACK = registry.build("nanotrack-v3", tiny=True)
UNUSED = ("feature_extractor.layer4", "feature_extractor.fc")  # published, and never run


@pytest.fixture
def asked(network, draw):
    """Reference patches, their boxes, test patches, proposals (``None`` for dense boxes)."""
    images = 2 if network.box_kind.rates_proposals else 1
    reference, test = network.reference_side, network.test_side
    boxes = torch.cat([draw(images, S, 2) * 0.3 + 0.2, draw(images, S, 2) * 0.2 + 0.2], dim=2)
    proposals = torch.cat([draw(M, S, P, 2) * 0.4 + 0.2, draw(M, S, P, 2) * 0.2 + 0.2], dim=3)
    return (
        draw(images, S, 3, reference, reference),
        boxes * reference,
        draw(M, S, 3, test, test),
        proposals * test if network.box_kind.rates_proposals else None,
    )


def answer(network, asked):
    reference, boxes, test, proposals = asked
    return network.respond(network.reference(reference, boxes), test, proposals)


def values(response):
    """Everything that the response says: tensors ``[M,S,...]``."""
    return [*response.scores, response.boxes]


def shares_its_correlation(network):
    """NanoTrack V1 alone: what it counts to the target filter carries its boxes, too."""
    return hasattr(getattr(network, "ban_head", None), "corr_pw")


def doubled(asked):
    return tuple(None if part is None else part.double() for part in asked)


def test_it_is_a_two_branch_network(network):
    assert isinstance(network, TwoBranchNetwork)


@torch.no_grad()
def test_shapes_and_kinds(network, asked):
    target = network.reference(*asked[:2])
    response = network.respond(target, *asked[2:])
    assert len(response.scores) == len(target.filters)
    assert response.target is target
    assert (response.score_kind, response.box_kind) == (network.score_kind, network.box_kind)
    assert (network.score_kind is None) == (not response.scores)
    for scores, filters in zip(response.scores, target.filters, strict=True):
        assert scores.shape[:2] == (M, S)
        assert scores.shape[2] == scores.shape[3]
        assert filters.shape[0] == S
    if not network.box_kind.rates_proposals:
        assert response.boxes.shape == (M, S, 4, *response.scores[0].shape[2:])
        assert bool((response.boxes[:, :, 2:] > 0).all())
        assert target.modulation == []
    else:
        assert response.boxes.shape == (M, S, P)
        assert [vector.shape[::2] for vector in target.modulation] == [(S, 1)] * 2


@torch.no_grad()
def test_every_image_of_every_sequence_is_answered_as_if_alone(network, asked):
    network.double()
    reference, boxes, test, proposals = doubled(asked)
    together = values(answer(network, (reference, boxes, test, proposals)))
    assert all(float(value.std()) > 1e-5 for value in together[1:])  # the answers differ at all
    for s in range(S):
        one = slice(s, s + 1)
        target = network.reference(reference[:, one], boxes[:, one])
        for m in range(M):
            own = None if proposals is None else proposals[m : m + 1, one]
            alone = values(network.respond(target, test[m : m + 1, one], own))
            for ours, theirs in zip(together, alone, strict=True):
                assert_close(ours[m, s], theirs[0, 0])


@torch.no_grad()
def test_a_sequence_is_answered_by_its_own_target(network, asked):
    network.double()
    reference, boxes, test, proposals = doubled(asked)
    ours = values(answer(network, (reference, boxes, test, proposals)))[-2:]
    other = values(answer(network, (reference.flip(1), boxes.flip(1), test, proposals)))[-2:]
    for one, swapped in zip(ours, other, strict=True):
        assert_close(one[:, 1], swapped[:, 1])  # the middle one stays in place
        assert float((one[:, 0] - swapped[:, 0]).abs().max()) > 1e-5


@torch.no_grad()
def test_answers_from_stored_features_are_the_answers_from_patches(network, asked):
    reference, test = (network.features(part) for part in asked[::2])
    stored = network.respond_from(network.reference_from(reference, asked[1]), test, asked[3])
    for ours, direct in zip(values(stored), values(answer(network, asked)), strict=True):
        assert torch.equal(ours, direct)


def test_components_hold_every_parameter_once(network):
    listed = [id(p) for parameters in network.components().values() for p in parameters]
    assert sorted(listed) == sorted(id(p) for p in network.parameters())


def test_modules_of_a_component_hold_its_parameters(network):
    for component, parameters in network.components().items():
        of_modules = [p for m in network.modules_of(component) for p in m.parameters()]
        assert [id(p) for p in of_modules] == [id(p) for p in parameters]
    with pytest.raises(ValueError, match='no component "adapters"'):
        network.modules_of("adapters")


def test_a_component_in_parts_can_be_asked_for_as_a_whole(network):
    parts: dict[str, set[int]] = {}
    for name, parameters in network.components().items():
        parts.setdefault(name.split(".")[0], set()).update(map(id, parameters))
    for whole, wanted in parts.items():
        found = {id(p) for module in network.modules_of(whole) for p in module.parameters()}
        assert found == wanted


@pytest.mark.parametrize("output", ["target_filter", "box_estimator"])
def test_gradient_reaches_its_components_and_no_other(network, asked, output):
    response = answer(network, asked)
    if output == "target_filter" and not response.scores:
        assert "target_filter" not in network.component_names()
        return
    said = response.scores if output == "target_filter" else [response.boxes]
    sum((value**2).mean() for value in said).backward()
    unused = {id(p) for key, p in network.named_parameters() if key.startswith(UNUSED)}
    for component, parameters in network.components().items():
        used = [p for p in parameters if id(p) not in unused]
        if component.split(".")[0] in ("backbone", output):
            assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in used)
            assert any(float(p.grad.abs().max()) > 0 for p in used), component
        elif not shares_its_correlation(network):
            assert all(p.grad is None for p in parameters), component


def test_gradient_reaches_both_patches(network, asked):
    reference, boxes, test, proposals = asked
    reference, test = (part.clone().requires_grad_() for part in (reference, test))
    for value in values(answer(network, (reference, boxes, test, proposals)))[-2:]:
        found = torch.autograd.grad(value.square().sum(), (reference, test), retain_graph=True)
        assert all(float(slope.abs().max()) > 0 for slope in found)


def test_frozen_component_keeps_its_statistics_in_training(network, asked):
    network.train()
    backbone = torch.nn.ModuleList(network.modules_of("backbone"))
    backbone.eval().requires_grad_(False)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    answer(network, asked)
    assert all(torch.equal(before[key], value) for key, value in backbone.state_dict().items())


def test_float64_goes_through(network, asked):
    network.double()
    assert {value.dtype for value in values(answer(network, doubled(asked)))} == {torch.float64}


def test_wrong_use_is_named(network, asked):
    reference, boxes, test, proposals = asked
    with pytest.raises(ValueError, match=r"\[N,S,3,D,D\], got \[3, 3, "):
        network.features(reference[0])
    target = network.reference(reference, boxes)
    fewer = None if proposals is None else proposals[:, :1]
    with pytest.raises(ValueError, match="of 3 sequences, the features of 1"):
        network.respond(target, test[:, :1], fewer)


@pytest.mark.parametrize("name", DENSE)
def test_wrong_use_of_a_siamese_network_is_named(name, draw):
    network = registry.build(name, tiny=True).eval()
    side, boxes = network.reference_side, torch.zeros(1, S, 4)
    template, search = draw(1, S, 3, side, side), draw(1, S, 3, *[network.test_side] * 2)
    with pytest.raises(ValueError, match="N must be 1, got 2"):
        network.reference(template.repeat(2, 1, 1, 1, 1), boxes)
    with pytest.raises(ValueError, match="proposals must be None"):
        network.respond(network.reference(template, boxes), search, torch.zeros(1, S, 5, 4))
    with pytest.raises(ValueError, match=r"8x8 cells .* got \[16, 16\]"):
        network.reference(search, boxes)


@given(levels=st.lists(st.integers(0, 255), min_size=12, max_size=12))
def test_eight_bit_levels_reach_the_first_layer_exactly(levels):
    rgb = torch.tensor(levels, dtype=torch.float32).reshape(3, 2, 2)
    assert torch.equal(NANOTRACK.normalise(rgb / 255), rgb.flip(0))
    assert torch.equal(NANOTRACK.from_levels(rgb), rgb.flip(0))
    assert torch.equal(bgr_levels(rgb / 255), rgb.flip(0))


@pytest.mark.parametrize("name", DENSE)
def test_box_stands_around_its_cell(name):
    network = registry.build(name, tiny=True)
    cells, centre = network.cells, network.test_side / 2
    distances = torch.tensor([8.0, 16.0, 24.0, 48.0])[None, :, None, None]
    boxes = network.boxes_from(distances.expand(1, 4, cells, cells))[0]
    middle, row, column = cells // 2, 3, 5
    assert boxes[:, middle, middle].tolist() == [centre - 8, centre - 16, 32, 64]
    assert boxes[0, row, column] == centre + 16 * (column - middle) - 8
    assert boxes[1, row, column] == centre + 16 * (row - middle) - 16


@pytest.mark.parametrize("name", ENERGY)
@torch.no_grad()
def test_without_proposals_an_energy_model_says_nothing_of_boxes(name, draw):
    network = registry.build(name, tiny=True).eval()
    patches = draw(1, S, 3, 96, 96)
    target = network.reference(patches, torch.full((1, S, 4), 30.0))
    response = network.respond(target, patches)
    assert response.boxes is None
    assert len(response.scores) == len(target.filters)


@pytest.mark.parametrize("name", ENERGY)
@torch.no_grad()
def test_modulation_is_of_the_first_reference_image_and_filters_of_all(name, draw):
    network = registry.build(name, tiny=True, seed=1).eval()
    patches, boxes = draw(2, S, 3, 96, 96), torch.full((2, S, 4), 30.0)
    both, first = network.reference(patches, boxes), network.reference(patches[:1], boxes[:1])
    for ours, alone in zip(both.modulation, first.modulation, strict=True):
        assert_close(ours, alone)
    if both.filters:
        assert float((both.filters[-1] - first.filters[-1]).abs().max()) > 1e-4
