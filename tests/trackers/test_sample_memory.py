"""Weights and slots: the golden sequences, and what the memory promises."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.errors import RecipeError
from tirtrack.trackers.sample_memory import SampleMemory, first_weights, next_weights


@pytest.mark.parametrize("sequence", range(14))
def test_weights_and_slots_equal_the_golden_ones(shared, golden_runs, sequence):
    one = golden_runs.pieces(shared, "boxes")[0]["sample_weights"][sequence]
    minimum = one["init_samples_minimum_weight"]
    if one["error"]:
        with pytest.raises(RecipeError, match="sample_memory_size: at least 6"):
            first_weights(one["memory"], one["num_init"], minimum)
        return
    weights = first_weights(one["memory"], one["num_init"], minimum)
    for step, golden in enumerate(one["steps"]):
        weights = next_weights(
            weights,
            one["default_lr"] if golden["learning_rate"] is None else golden["learning_rate"],
            minimum=minimum,
            fills_by_weight=one["tracker"] == "atom",
        )
        assert weights.last_slot == golden["replace_ind"], f"step {step}"
        assert_allclose(weights.values, golden["weights"], atol=1e-9, err_msg=f"step {step}")


rates = st.lists(st.floats(0.001, 0.9), min_size=1, max_size=30)


@given(rates, st.sampled_from([None, 0.25]), st.booleans())
def test_weights_sum_to_about_one_and_the_first_samples_keep_a_share(rates, minimum, by_weight):
    weights = first_weights(8, 3, minimum)
    for rate in rates:
        weights = next_weights(weights, rate, minimum=minimum, fills_by_weight=by_weight)
        more = 0.0 if minimum is None else minimum**2 / (1 + minimum)
        assert 1 - 1e-9 <= weights.values.sum() <= 1 + more + 1e-9
        if minimum:
            assert weights.values[:3].sum() >= minimum - 1e-9
            assert weights.last_slot >= 3


def remembering(size=6):
    samples = torch.arange(12.0).reshape(3, 4)
    return SampleMemory(samples, torch.zeros(3, 2), size=size, minimum=0.25, fills_by_weight=False)


def test_a_full_memory_replaces_and_never_grows():
    memory = remembering()
    where = memory.samples.data_ptr()
    for value in range(20):
        memory.store(torch.full((4,), float(value)), torch.ones(2), 0.1)
    assert memory.samples.shape == (6, 4)
    assert memory.samples.data_ptr() == where
    assert_array_equal(memory.samples[:3], torch.arange(12.0).reshape(3, 4))
    assert memory.weights.stored == 23
    assert memory.sample_weights().sum() == pytest.approx(1.0)


def test_a_saved_memory_goes_on_as_the_first_would_have():
    memory = remembering()
    memory.store(torch.ones(4), torch.ones(2), 0.1)
    twin = SampleMemory.from_state_dict(
        memory.state_dict(), torch.zeros(1), minimum=0.25, fills_by_weight=False
    )
    for one in (memory, twin):
        for value in range(7):
            one.store(torch.full((4,), float(value)), torch.ones(2), 0.2)
    assert_array_equal(memory.samples, twin.samples)
    assert_array_equal(memory.labels, twin.labels)
    assert_array_equal(memory.weights.values, twin.weights.values)


def test_a_memory_smaller_than_the_first_samples_is_refused():
    with pytest.raises(RecipeError, match="of 2 cannot hold the 3 samples"):
        first_weights(2, 3, None)
