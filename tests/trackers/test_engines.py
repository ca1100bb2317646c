"""All engines give the numbers of the network, for grey and colour patches of any number type."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from tirtrack.errors import WeightsError
from tirtrack.inference import has_openvino
from tirtrack.networks import registry
from tirtrack.trackers.engines import GraphEngine, SiameseEngine, TorchEngine, open_engine
from tirtrack.weights import store
from tirtrack.weights.card import Card
from tirtrack.weights.graphs import graphs_of_network

SIAMESE = ("fear-xs", "nanotrack-v1", "nanotrack-v2", "nanotrack-v3")


@pytest.fixture(scope="module", params=SIAMESE)
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def network(architecture):
    return registry.build(architecture, tiny=True, seed=2).eval()


@pytest.fixture(scope="module")
def sides(network):
    """Of a template patch and of a search patch."""
    return network.reference_side, network.test_side


needs_openvino = pytest.mark.skipif(
    not has_openvino(), reason="openvino is not installed; it comes with the extra test"
)
RUNTIMES = [
    pytest.param("onnx", id="onnx"),
    pytest.param("openvino", id="openvino", marks=needs_openvino),
]
KINDS = [*RUNTIMES, pytest.param("torch", id="torch")]


@pytest.fixture(scope="module")
def engine_of(network):
    """The engine of a kind, opened once."""

    @cache
    def opened(kind):
        plain = kind == "torch"
        return TorchEngine(network) if plain else GraphEngine(graphs_of_network(network), kind)

    return opened


PATCHES = {
    "colour uint8": lambda rng, side: rng.integers(0, 256, (side, side, 3), np.uint8),
    "colour float32": lambda rng, side: (rng.random((side, side, 3)) * 255).astype(np.float32),
    "colour float64": lambda rng, side: rng.random((side, side, 3)) * 255,
    "grey uint8": lambda rng, side: rng.integers(0, 256, (side, side), np.uint8),
    "grey float32": lambda rng, side: (rng.random((side, side)) * 255).astype(np.float32),
    "a view": lambda rng, side: rng.integers(0, 256, (3, side, side), np.uint8).transpose(2, 1, 0),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kind", PATCHES)
def test_a_runtime_and_torch_agree(engine_of, sides, kind, runtime):
    engines = engine_of(runtime), engine_of("torch")
    rng = np.random.default_rng(7)
    template, search = (PATCHES[kind](rng, side) for side in sides)
    (ours, theirs) = (engine.template(template) for engine in engines)
    assert ours.shape == (8, 8, 8)
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    given, plain = (engine.search(ours, search) for engine in engines)
    cells = engines[0].cells
    assert given.logits.shape == plain.logits.shape == (2, cells, cells)
    assert given.ltrb.shape == plain.ltrb.shape == (4, cells, cells)
    assert given.logits.dtype == given.ltrb.dtype == np.float32
    assert float(plain.logits.std()) > 1e-3
    np.testing.assert_allclose(given.logits, plain.logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(given.ltrb, plain.ltrb, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_grey_patch_is_three_equal_channels(engine_of, sides, kind):
    engine = engine_of(kind)
    rng = np.random.default_rng(8)
    template = rng.integers(0, 256, (sides[0], sides[0]), np.uint8)
    search = rng.integers(0, 256, (sides[1], sides[1]), np.uint8)
    three = [np.repeat(patch[..., None], 3, axis=-1) for patch in (template, search)]
    z = engine.template(template)
    np.testing.assert_array_equal(z, engine.template(three[0]))
    grey, colour = engine.search(z, search), engine.search(z, three[1])
    np.testing.assert_allclose(grey.logits, colour.logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grey.ltrb, colour.ltrb, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_channel_order_matters(engine_of, sides, kind):
    patch = np.random.default_rng(9).integers(0, 256, (sides[0], sides[0], 3), np.uint8)
    engine = engine_of(kind)
    assert np.abs(engine.template(patch) - engine.template(patch[..., ::-1])).max() > 1e-3


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_same_patch_same_bits(network, sides, runtime):
    rng = np.random.default_rng(10)
    template = rng.integers(0, 256, (sides[0], sides[0], 3), np.uint8)
    patch = rng.integers(0, 256, (sides[1], sides[1]), np.uint8)
    engines = [GraphEngine(graphs_of_network(network), runtime) for _ in range(2)]
    answers = [engine.search(engine.template(template), patch) for engine in engines * 2]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer.logits, answers[0].logits)
        np.testing.assert_array_equal(answer.ltrb, answers[0].ltrb)


@pytest.mark.parametrize("kind", KINDS)
def test_patches_and_template_are_only_read(engine_of, sides, kind):
    engine = engine_of(kind)
    rng = np.random.default_rng(11)
    template = rng.random((sides[0], sides[0], 3)).astype(np.float32)
    patch = rng.random((sides[1], sides[1])).astype(np.float32)
    z = engine.template(template)
    kept = [array.copy() for array in (template, patch, z)]
    first = engine.search(z, patch)
    logits = first.logits.copy()
    engine.search(z, patch + 1)
    np.testing.assert_array_equal(first.logits, logits)
    for array, copy in zip((template, patch, z), kept, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(first.logits, engine.search(z, patch).logits)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_read_only_arrays_are_as_good_as_others(engine_of, sides, runtime):
    engine = engine_of(runtime)
    z = engine.template(np.full((sides[0], sides[0]), 9.0, np.float32))
    patch = np.random.default_rng(14).random((sides[1], sides[1])).astype(np.float32)
    right = engine.search(z, patch)
    for array in (z, patch):
        array.flags.writeable = False
    np.testing.assert_array_equal(engine.search(z, patch).logits, right.logits)


def test_engine_of_a_file_is_an_engine(tmp_path, network, architecture, sides):
    path = tmp_path / "small.safetensors"
    card = Card(name="small", architecture=f"{architecture}-tiny", modality="tir", licence="none")
    store.write(path, network, card)
    rng = np.random.default_rng(12)
    template = rng.integers(0, 256, (sides[0], sides[0], 3), np.uint8)
    for kind in ("onnx", "torch"):
        engine = open_engine(path, kind)
        assert isinstance(engine, SiameseEngine)
        assert engine.cells == network.cells
        right = TorchEngine(network).template(template)
        np.testing.assert_allclose(engine.template(template), right, rtol=1e-4, atol=1e-4)
    path.write_bytes(b"no weights")
    for kind in ("onnx", "torch"):
        with pytest.raises(WeightsError, match="is damaged"):
            open_engine(path, kind)


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_weights_of_another_family_are_refused(tmp_path, kind):
    path = tmp_path / "small.safetensors"
    card = Card(name="small", architecture="atom18-tiny", modality="tir", licence="none")
    store.write(path, registry.build("atom18", tiny=True, seed=2).eval(), card)
    with pytest.raises(WeightsError, match="no Siamese network"):
        open_engine(path, kind)


def test_torch_engine_makes_no_gradient(network, sides):
    engine = TorchEngine(network)
    z = engine.template(np.zeros((sides[0], sides[0]), np.uint8))
    engine.search(z, np.zeros((sides[1], sides[1]), np.uint8))
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_engines_agree_on_published_weights_within_the_golden_tolerance(shared, version, runtime):
    path = shared / "data" / "weights" / "nanotrack" / f"nanotrack_{version}.safetensors"
    if not path.is_file():
        pytest.skip("the published weights are not in the shared folder")
    rng = np.random.default_rng(13)
    template = rng.integers(0, 256, (127, 127, 3), np.uint8)
    search = rng.integers(0, 256, (255, 255, 3), np.uint8)
    fast, plain = open_engine(path, runtime), open_engine(path, "torch")
    np.testing.assert_allclose(fast.template(template), plain.template(template), atol=1e-4)
    z = plain.template(template)
    ours, right = fast.search(z, search), plain.search(z, search)
    np.testing.assert_allclose(ours.logits, right.logits, atol=1e-4)  # golden/nanotrack 1
    np.testing.assert_allclose(ours.ltrb, right.ltrb, atol=1e-3)
