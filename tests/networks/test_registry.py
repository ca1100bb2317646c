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


@pytest.mark.parametrize("name", registry.names())
def test_keys_tell_the_architecture(name):
    for full in (name, f"{name}-tiny"):
        assert registry.architecture_of(registry.build(full).state_dict()) == full


def test_tiny_name_is_the_tiny_network():
    by_name, by_flag = (
        registry.build("nanotrack-v2-tiny"),
        registry.build("nanotrack-v2", tiny=True),
    )
    assert by_name.state_dict().keys() == by_flag.state_dict().keys()
    assert sum(p.numel() for p in by_name.parameters()) < 50_000


def test_unknown_keys_name_the_nearest_network_and_five_keys():
    keys = set(registry.stored_shapes("nanotrack-v3"))
    keys -= {key for key in keys if "down_cls" in key}
    with pytest.raises(WeightsError) as caught:
        registry.architecture_of(keys | {"extra.weight"})
    assert "nearest is nanotrack-v3, 3 keys differ" in str(caught.value)
    assert "ban_head.down_cls.0.bias, ban_head.down_cls.0.weight, extra.weight" in str(caught.value)


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
