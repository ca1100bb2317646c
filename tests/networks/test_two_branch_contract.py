"""What every network of the registry promises to distillation, in its tiny form."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from tirtrack.networks import registry
from tirtrack.networks.two_branch import DenseBoxes, ScoreKind, TwoBranchNetwork

S, M = 3, 2
NO_BOXES = torch.zeros(1, S, 4)


def test_it_is_a_two_branch_network(network):
    assert isinstance(network, TwoBranchNetwork)


@pytest.fixture
def patches(network, draw):
    """Reference patches ``[1,S,3,D,D]`` and test patches ``[M,S,3,D,D]``."""
    reference, test = network.reference_side, network.test_side
    return draw(1, S, 3, reference, reference), draw(M, S, 3, test, test)


@torch.no_grad()
def test_shapes_and_kinds(network, patches):
    target = network.reference(patches[0], NO_BOXES)
    response = network.respond(target, patches[1])
    (scores,) = response.scores
    cells = network.cells
    assert target.filters[0].shape[::2] == (S, 8)
    assert target.modulation == []
    assert scores.shape == (M, S, cells, cells)
    assert response.score_kind is ScoreKind.MARGIN
    assert isinstance(response.boxes, DenseBoxes)
    assert response.boxes.boxes_patch.shape == (M, S, 4, cells, cells)
    assert bool((response.boxes.boxes_patch[:, :, 2:] > 0).all())


@torch.no_grad()
def test_every_image_of_every_sequence_is_answered_as_if_alone(network, patches):
    network.double()
    patches = [part.double() for part in patches]
    together = network.respond(network.reference(patches[0], NO_BOXES), patches[1])
    assert float(together.scores[0].std()) > 1e-3  # the answers differ at all
    for m in range(M):
        for s in range(S):
            target = network.reference(patches[0][:, s : s + 1], NO_BOXES[:, :1])
            alone = network.respond(target, patches[1][m : m + 1, s : s + 1])
            assert_close(together.scores[0][m, s], alone.scores[0][0, 0])
            assert_close(together.boxes.boxes_patch[m, s], alone.boxes.boxes_patch[0, 0])


@torch.no_grad()
def test_a_sequence_is_answered_by_its_own_target(network, patches):
    target = network.reference(patches[0], NO_BOXES)
    swapped = network.reference(patches[0].flip(1), NO_BOXES)
    ours, other = (network.respond(t, patches[1]).scores[0] for t in (target, swapped))
    assert_close(ours[:, 1], other[:, 1])  # the middle one stays in place
    assert float((ours[:, 0] - other[:, 0]).abs().max()) > 1e-3


@torch.no_grad()
def test_answers_from_stored_features_are_the_answers_from_patches(network, patches):
    template, search = (network.features(part) for part in patches)
    stored = network.respond_from(network.reference_from(template, NO_BOXES), search)
    direct = network.respond(network.reference(patches[0], NO_BOXES), patches[1])
    assert torch.equal(stored.scores[0], direct.scores[0])
    assert torch.equal(stored.boxes.boxes_patch, direct.boxes.boxes_patch)


def test_components_hold_every_parameter_once(network):
    listed = [id(p) for parameters in network.components().values() for p in parameters]
    assert sorted(listed) == sorted(id(p) for p in network.parameters())


def test_modules_of_a_component_hold_its_parameters(network):
    for component, parameters in network.components().items():
        of_modules = [p for m in network.modules_of(component) for p in m.parameters()]
        assert [id(p) for p in of_modules] == [id(p) for p in parameters]
    with pytest.raises(ValueError, match='no component "adapters"'):
        network.modules_of("adapters")


@pytest.mark.parametrize(
    ("output", "moved"),
    [
        ("scores", {"backbone", "target_filter"}),
        ("boxes", {"backbone", "box_estimator"}),
    ],
)
def test_gradient_reaches_its_components_and_no_other(network, patches, output, moved):
    response = network.respond(network.reference(patches[0], NO_BOXES), patches[1])
    value = response.scores[0] if output == "scores" else response.boxes.boxes_patch
    (value**2).mean().backward()
    for component, parameters in network.components().items():
        if component in moved:
            assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in parameters)
            assert any(float(p.grad.abs().max()) > 0 for p in parameters), component
        else:
            assert all(p.grad is None for p in parameters), component


def test_gradient_reaches_both_patches(network, patches):
    reference, test = (part.clone().requires_grad_() for part in patches)
    network.respond(network.reference(reference, NO_BOXES), test).scores[0].sum().backward()
    assert float(reference.grad.abs().max()) > 0
    assert float(test.grad.abs().max()) > 0


def test_frozen_component_keeps_its_statistics_in_training(network, patches):
    network.train()
    for module in network.modules_of("backbone"):
        module.eval().requires_grad_(False)
    before = {key: value.clone() for key, value in network.backbone.state_dict().items()}
    network.respond(network.reference(patches[0], NO_BOXES), patches[1])
    assert all(torch.equal(before[key], v) for key, v in network.backbone.state_dict().items())


@given(levels=st.lists(st.integers(0, 255), min_size=12, max_size=12))
def test_eight_bit_levels_reach_the_first_layer_exactly(levels):
    network = registry.build("nanotrack-v3", tiny=True)
    rgb = torch.tensor(levels, dtype=torch.float32).reshape(3, 2, 2)
    assert torch.equal(network.normalise(rgb / 255), rgb.flip(0))
    assert torch.equal(network.from_levels(rgb), rgb.flip(0))


@pytest.mark.parametrize("name", registry.names())
def test_box_stands_around_its_cell(name):
    network = registry.build(name, tiny=True)
    cells = network.cells
    distances = torch.tensor([8.0, 16.0, 24.0, 48.0])[None, :, None, None]
    boxes = network.boxes_from(distances.expand(1, 4, cells, cells))[0]
    middle, row, column = cells // 2, 3, 5
    assert boxes[:, middle, middle].tolist() == [127.5 - 8, 127.5 - 16, 32, 64]
    assert boxes[0, row, column] == 127.5 + 16 * (column - middle) - 8
    assert boxes[1, row, column] == 127.5 + 16 * (row - middle) - 16


def test_float64_goes_through(network, patches):
    network.double()
    target = network.reference(patches[0].double(), NO_BOXES)
    response = network.respond(target, patches[1].double())
    assert response.scores[0].dtype == response.boxes.boxes_patch.dtype == torch.float64


def test_wrong_use_is_named(network, patches):
    reference, test = patches
    target = network.reference(reference, NO_BOXES)
    with pytest.raises(ValueError, match="N must be 1, got 2"):
        network.reference(reference.repeat(2, 1, 1, 1, 1), NO_BOXES)
    with pytest.raises(ValueError, match="proposals must be None"):
        network.respond(target, test, torch.zeros(M, S, 5, 4))
    with pytest.raises(ValueError, match=r"\[N,S,3,D,D\], got \[3, 3, 127, 127\]"):
        network.features(reference[0])
    with pytest.raises(ValueError, match=r"8x8 cells .* got \[16, 16\]"):
        network.reference(test[:1], NO_BOXES)
    with pytest.raises(ValueError, match="of 3 sequences, the features of 1"):
        network.respond(target, test[:, :1])
