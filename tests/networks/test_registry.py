"""The registry builds by name, the same network for the same seed, and says what is near."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tirtrack.errors import WeightsError
from tirtrack.networks import registry


def test_unknown_name_lists_the_near_one():
    with pytest.raises(WeightsError, match='called "nanotrak-v3"; did you mean "nanotrack-v3"'):
        registry.build("nanotrak-v3")


@pytest.mark.parametrize("name", registry.names())
def test_same_seed_same_weights(name):
    first, again, other = (registry.build(name, tiny=True, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    drawn = next(key for key in first if key.endswith("weight"))  # of the first convolution
    assert not torch.equal(first[drawn], other[drawn])


def test_building_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    registry.build("nanotrack-v3", tiny=True)
    assert torch.equal(before, torch.get_rng_state())


def test_shapes_of_filters_are_told_without_torchs_compiler():
    """It takes as long to import as all else of a start."""
    told = (
        "import sys; from tirtrack.networks import registry; registry.shapes_of('dimp18'); "
        "registry.shapes_of('prdimp18'); registry.shapes_of('atom18'); "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


TWINS = {"dimp50", "superdimp50"}


@pytest.mark.parametrize("name", registry.names())
def test_tensors_tell_the_architecture(name):
    for tiny in ("", "-tiny"):
        fitting = registry.architectures_of(registry.shapes_of(name + tiny))
        assert {*fitting} == {one + tiny for one in (TWINS if name in TWINS else {name})}


def test_tiny_name_is_the_tiny_network():
    by_name, by_flag = (
        registry.build("nanotrack-v2-tiny"),
        registry.build("nanotrack-v2", tiny=True),
    )
    assert by_name.state_dict().keys() == by_flag.state_dict().keys()
    assert sum(p.numel() for p in by_name.parameters()) < 50_000


@pytest.mark.parametrize("name", ["nanotrack-v3", "dimp18", "resnet18", "mobilenet-v2"])
def test_tensors_of_no_network_name_the_nearest_and_what_differs(name):
    shapes = registry.shapes_of(name)
    gone, shaped = [*shapes][:6], [*shapes][-1]
    changed = {key: shape for key, shape in shapes.items() if key not in gone}
    changed |= {shaped: (7, 7), "extra.weight": (3,)}
    with pytest.raises(WeightsError) as caught:
        registry.architectures_of(changed)
    text = str(caught.value)
    assert f"nearest is {name}: 6 missing ({', '.join(sorted(gone)[:5])}); " in text
    assert "1 not known (extra.weight); " in text
    assert f"1 of another shape ({shaped} [7, 7] instead of {list(shapes[shaped])})" in text


def test_counters_of_batch_norm_may_be_there_or_not():
    with torch.device("meta"):
        state = registry.build_backbone("resnet18").state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert any(key.endswith("num_batches_tracked") for key in shapes)
    assert registry.architectures_of(shapes) == ["resnet18"]


def test_tensors_of_another_network_are_named():
    with pytest.raises(WeightsError, match=r"its tensors are those of prdimp18; give weights of"):
        registry.check_fits("dimp18", registry.shapes_of("prdimp18"))


@pytest.mark.parametrize("name", registry.names())
@torch.no_grad()
def test_tiny_networks_answer_with_numbers_of_a_sane_size(name):
    network = registry.build(name, tiny=True).eval()
    draw = torch.Generator().manual_seed(1)
    sides = (network.reference_side, network.test_side)
    reference, test = (torch.rand(1, 1, 3, d, d, generator=draw) for d in sides)
    dense = not network.box_kind.rates_proposals
    target = network.reference(reference, torch.full((1, 1, 4), 30.0))
    response = network.respond(target, test, None if dense else torch.full((1, 1, 5, 4), 30.0))
    assert all(1e-3 < float(scores.std()) < 10 for scores in response.scores[-1:])
    assert float(response.boxes.abs().max()) < (1000 if dense else 100)


@pytest.mark.parametrize("name", ["mobilenet-v2", "resnet18"])
def test_backbones_are_built_by_name_the_same_for_the_same_seed(name):
    first, again, other = (registry.build_backbone(name, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    drawn = next(key for key in first if key.endswith("weight"))
    assert not torch.equal(first[drawn], other[drawn])
    stored = {key: tuple(v.shape) for key, v in first.items() if registry.is_stored(key)}
    assert registry.backbone_shapes(name) == stored


def test_unknown_backbone_lists_the_near_one():
    with pytest.raises(WeightsError, match=r'no backbone .* "resnet28"; did you mean "resnet18"'):
        registry.build_backbone("resnet28")


@pytest.mark.parametrize("name", ["dimp18", "prdimp18", "superdimp50", "atom18"])
def test_new_weights_have_the_published_spread(name):
    state = registry.build(name, tiny=True, seed=2).state_dict()
    published = {
        "feature_extractor.layer4.1.conv2.weight": (2 / (9 * 32)) ** 0.5,  # fan-out
        "bb_regressor.conv3_2t.0.weight": (2 / (9 * 16)) ** 0.5,  # fan-in
        "bb_regressor.fc3_rt.linear.weight": (2 / (25 * 16)) ** 0.5,
        "classifier.filter_initializer.filter_conv.weight": (2 / (9 * 16)) ** 0.5,
    }
    if name == "prdimp18":  # its first filter is zero
        published["classifier.filter_initializer.filter_conv.weight"] = 0.0
    for key in published.keys() & state.keys():
        assert float(state[key].std()) == pytest.approx(published[key], rel=0.06)
    norm = state["bb_regressor.fc4_rt.bn.weight"]
    assert 0 <= float(norm.min()) < 0.4 < 0.6 < float(norm.max()) < 1
    assert float(state["bb_regressor.conv3_1t.0.bias"].abs().max()) == 0
    assert bool((state["feature_extractor.layer1.0.bn1.weight"] == 1).all())


def test_drawing_anew_gives_a_trained_network_its_initial_optimiser():
    network, fresh = (registry.build("dimp18", tiny=True, seed=3) for _ in range(2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    network.draw_weights(torch.Generator().manual_seed(3))
    again = network.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in fresh.state_dict().items())


def test_tensors_without_a_known_name_have_no_nearest_network() -> None:
    with pytest.raises(WeightsError, match=r"none has a tensor of these names \(a\.b, c\.d\)"):
        registry.architectures_of({"a.b": (3,), "c.d": (3, 3)})
