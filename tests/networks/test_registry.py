"""The registry builds by name, the same network for the same seed, and says what is near."""

from __future__ import annotations

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
    assert not torch.equal(
        first["backbone.features.0.0.weight"], other["backbone.features.0.0.weight"]
    )


def test_building_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    registry.build("nanotrack-v3", tiny=True)
    assert torch.equal(before, torch.get_rng_state())


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
def test_tiny_networks_answer_with_numbers_of_a_sane_size(name):
    network = registry.build(name, tiny=True).eval()
    draw = torch.Generator().manual_seed(1)
    template, search = (torch.rand(1, 1, 3, d, d, generator=draw) for d in (127, 255))
    with torch.no_grad():
        target = network.reference(template, torch.zeros(1, 1, 4))
        response = network.respond(target, search)
    assert 1e-3 < float(response.scores[0].std()) < 10
    assert float(response.boxes.boxes_patch.abs().max()) < 1000
