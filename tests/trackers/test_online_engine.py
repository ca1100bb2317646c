"""The shared pass: order, grey patches, slices, no graph."""

import numpy as np
import pytest
import torch

from tirtrack.networks import registry
from tirtrack.trackers.online_engine import OnlineEngine


@pytest.fixture(params=["dimp18", "atom18"])
def engine(request):
    return OnlineEngine(registry.build(request.param, tiny=True, seed=3).eval())


def test_features_come_in_the_order_of_the_patches_and_can_be_cut(engine):
    patches = np.random.default_rng(0).uniform(0, 255, (3, 3, 96, 96)).astype(np.float32)
    together = engine.features(patches)
    assert len(together) == 3
    for k in range(3):
        alone, part = engine.features(patches[k : k + 1]), together[k : k + 1]
        torch.testing.assert_close(alone.classification, part.classification, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.taps()[0], part.fine, atol=1e-4, rtol=1e-4)


def test_a_grey_patch_is_seen_as_three_equal_channels(engine):
    grey = np.random.default_rng(0).uniform(0, 255, (1, 1, 96, 96)).astype(np.float32)
    features = engine.features(grey), engine.features(np.repeat(grey, 3, axis=1))
    assert torch.equal(features[0].classification, features[1].classification)


def test_features_hang_on_no_graph_but_can_be_differentiated_through(engine):
    features = engine.features(np.zeros((1, 1, 96, 96), np.float32))
    assert features.coarse.grad_fn is None
    assert not features.coarse.is_inference()
