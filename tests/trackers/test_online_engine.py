"""The shared pass: order, grey patches, slices, no gradient; by torch and by each runtime."""

from functools import cache

import numpy as np
import pytest
import torch

from tirtrack.errors import RequestError
from tirtrack.inference import has_openvino
from tirtrack.networks import registry
from tirtrack.trackers import online_engine
from tirtrack.trackers.online_engine import GraphOnlineEngine, OnlineEngine, open_online_engine
from tirtrack.weights import store
from tirtrack.weights.card import Card
from tirtrack.weights.graphs import graphs_of_network

NETWORKS = ("dimp18", "atom18")
needs_openvino = pytest.mark.skipif(
    not has_openvino(), reason="openvino is not installed; it comes with the extra test"
)
RUNTIMES = [
    pytest.param("onnx", id="onnx"),
    pytest.param("openvino", id="openvino", marks=needs_openvino),
]


@pytest.fixture(scope="module")
def open_kind(tmp_path_factory):
    """The engine of a network and a kind, opened once."""

    @cache
    def opened(name, kind):
        network = registry.build(name, tiny=True, seed=3).eval()
        if kind == "torch":
            return OnlineEngine(network)
        return GraphOnlineEngine(network, graphs_of_network(network), kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIRTRACK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield opened


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture(params=[pytest.param("torch", id="torch"), *RUNTIMES])
def engine(request, open_kind, name):
    return open_kind(name, request.param)


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


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("count", "side"), [(1, 96), (3, 128)], ids=["one", "many and larger"])
def test_a_runtime_and_torch_give_the_same_features(open_kind, name, runtime, count, side):
    patches = np.random.default_rng(1).uniform(0, 255, (count, 3, side, side)).astype(np.float32)
    plain, fast = open_kind(name, "torch"), open_kind(name, runtime)
    right, found = plain.features(patches), fast.features(patches)
    for theirs, ours in zip(right.taps(), found.taps(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.classification, right.classification, atol=1e-5, rtol=1e-4)
    for theirs, ours in zip(plain.test_features(right), fast.test_features(right), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        assert ours.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "small.safetensors"
    card = Card(name="small", architecture="dimp18-tiny", modality="tir", licence="none")
    store.write(path, registry.build("dimp18", tiny=True, seed=3).eval(), card)
    return path


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_engine_of_a_file_has_passed_its_check(file, runtime):
    engine = open_online_engine(file, runtime)
    assert isinstance(engine, GraphOnlineEngine)
    assert engine.features(np.zeros((1, 1, 96, 96), np.float32)).fine.isfinite().all()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_graphs_run_on_the_cpu_alone(file, runtime, monkeypatch):
    monkeypatch.setattr(online_engine, "checked_device", lambda device: device)
    with pytest.raises(RequestError, match=f"the engine {runtime} runs on the CPU, not on cuda"):
        open_online_engine(file, runtime, device="cuda")
