"""Graphs are the network: made from it, checked against it, kept under the hash of its weights."""

from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tirtrack.errors import RunError, WeightsError
from tirtrack.inference import has_openvino
from tirtrack.networks import registry
from tirtrack.weights import graphs, store
from tirtrack.weights.card import Card
from tirtrack.weights.engine_choice import checked_graphs

SIAMESE = ("fear-xs", "nanotrack-v1", "nanotrack-v2", "nanotrack-v3")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


def small(seed=1, name="nanotrack-v3-tiny"):
    return registry.build(name, seed=seed).eval()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.safetensors"
    card = Card(name="small", architecture="nanotrack-v3-tiny", modality="tir", licence="none")
    store.write(path, small(), card)
    return path


@pytest.mark.parametrize("name", ["dimp18", "atom18"])
def test_graphs_of_trackers_that_learn_online_are_kept_and_checked_alike(cache, tmp_path, name):
    network = small(name=f"{name}-tiny")
    first = graphs.graphs_of_network(network)
    assert list(first.by_name) == ["features", "test_features"]
    assert graphs._cached(first.weights_hash) == first
    path = tmp_path / "online.safetensors"
    card = Card(name="online", architecture=f"{name}-tiny", modality="tir", licence="none")
    store.write(path, network, card)
    assert graphs.graphs_of_file(path) == first
    graphs.check_runtime(first, "onnx")
    wrong = {
        **first.by_name,
        "features": graphs.graphs_of_network(small(2, f"{name}-tiny")).by_name["features"],
    }
    with pytest.raises(RunError, match="graph features differs from the network by"):
        graphs.check_runtime(replace(first, by_name=wrong), "onnx")


def test_a_network_without_graphs_is_refused():
    with pytest.raises(WeightsError, match="holds a JointEncoder, of which no graphs are made"):
        graphs.graphs_of_network(small(name="joint-lite-tiny"))


@pytest.mark.parametrize("name", SIAMESE)
def test_batch_of_patches_of_any_side_has_the_features_of_torch(name):
    network = small(name=f"{name}-tiny")
    engine = graphs.graph_engine(network)
    for side, count in ((127, 1), (255, 3), (127, 37)):
        patches = np.random.default_rng(side).integers(0, 256, (count, side, side, 3), np.uint8)
        levels = torch.from_numpy(patches).permute(0, 3, 1, 2).float()
        with torch.no_grad():
            (right,) = network.features(levels[None] / 255)
        np.testing.assert_allclose(engine(patches)[0], right[0], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def engine():
    return graphs.graph_engine(small())


def test_grey_batch_is_a_batch_of_three_equal_channels(engine):
    grey = np.random.default_rng(0).random((2, 127, 127)).astype(np.float32) * 255
    three = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(engine(grey)[0], engine(three)[0])


@pytest.mark.parametrize("shape", [(0, 127, 127, 3), (127, 127), (2, 127, 127, 4)])
def test_batch_of_another_shape_is_refused(engine, shape):
    with pytest.raises(ValueError, match="patches must be"):
        engine(np.zeros(shape, np.float32))


def test_backbone_and_head_are_exported_once_for_all_graphs(monkeypatch):
    exported = []
    export = torch.onnx.export

    def counted(module, *given, **options):
        exported.append(sum(parameter.numel() for parameter in module.parameters()))
        return export(module, *given, **options)

    monkeypatch.setattr(torch.onnx, "export", counted)
    made = graphs.graphs_of_network(small(seed=3))
    assert list(made.by_name) == ["features", "search", "search_grey", "head"]
    assert sum(numbers > 0 for numbers in exported) == 2


LATER_USE = """
import sys, numpy as np, tirtrack
from pathlib import Path
from tirtrack.trackers.engines import open_engine
from tirtrack.weights import store
tirtrack.load
file, name, *unused = sys.argv[1:]
store.card_of(Path(file))
engine = open_engine(Path(file), name)
template = engine.template(np.zeros((127, 127, 3), np.uint8))
engine.search(template, np.zeros((255, 255, 3), np.uint8))
print(*(name for name in unused if name in sys.modules))
"""
OTHER_FAMILIES = ("tirtrack.trackers.online_settings", "tirtrack.trackers.joint_presets")


@pytest.mark.parametrize(
    ("engine", "unused"),
    [
        ("onnx", ("torch", "onnx", "openvino", *OTHER_FAMILIES)),
        pytest.param(
            "openvino",
            ("torch", "onnx", "onnxruntime", *OTHER_FAMILIES),
            marks=pytest.mark.skipif(
                not has_openvino(), reason="openvino is not installed; it comes with the extra test"
            ),
        ),
    ],
)
def test_second_use_comes_from_the_cache_and_imports_only_its_engine(file, cache, engine, unused):
    first = checked_graphs(file, engine)
    command = [sys.executable, "-c", LATER_USE, str(file), engine, *unused]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "", "")
    assert graphs.graphs_of_file(file) == first
    assert len([one for one in cache.iterdir() if one.is_dir()]) == 1


def test_network_in_memory_and_its_file_share_graphs(file, cache):
    assert graphs.graphs_of_network(small()) == graphs.graphs_of_file(file)
    assert len(list(cache.iterdir())) == 1


def test_a_changed_number_is_another_network():
    network = small()
    first = graphs.graphs_of_network(network)
    with torch.no_grad():
        network.ban_head.cls_logits[0].bias[0] += 1e-6
    assert graphs.graphs_of_network(network).weights_hash != first.weights_hash


def test_a_changed_card_keeps_the_graphs(file, cache):
    first = graphs.graphs_of_file(file)
    card = store.card_of(file).model_copy(update={"summary": "another"})
    store.write(file, small(), card)
    assert graphs.graphs_of_file(file) == first
    assert len(list(cache.iterdir())) == 1


def damage(path, how):
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:  # one byte of a weight: still a valid graph, with other numbers
        place = len(content) // 2
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :])


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("features.onnx", "gone"),
        ("search.onnx", "truncated"),
        ("search_grey.onnx", "one bit"),
        ("check.safetensors", "one bit"),
        ("graphs.json", "one bit"),
        ("graphs.json", "truncated"),
    ],
)
def test_damaged_cache_is_made_anew(file, cache, name, how):
    first = graphs.graphs_of_file(file)
    (folder,) = cache.iterdir()
    damage(folder / name, how)
    assert graphs.graphs_of_file(file) == first
    assert graphs._cached(first.weights_hash) == first


def test_graphs_that_another_version_kept_are_made_anew(file, cache, monkeypatch):
    first = graphs.graphs_of_file(file)
    monkeypatch.setattr(graphs, "FORMAT", graphs.FORMAT + 1)
    assert graphs._cached(first.weights_hash) is None
    assert graphs.graphs_of_file(file) == first
    assert len(list(cache.iterdir())) == 2


def test_cache_that_cannot_be_written_costs_only_time(file, tmp_path, monkeypatch, caplog):
    (tmp_path / "no-folder").write_text("a file")
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / "no-folder"))
    backbone = graphs.graphs_of_file(file).runner("features")
    (features,) = backbone({"patches": np.zeros((1, 127, 127, 3), np.float32)})
    assert features.shape[1:] == (8, 8, 8)
    assert "set TIRTRACK_CACHE" in caplog.text


def test_graph_that_disagrees_with_its_network_is_refused(cache):
    network = small()
    count = itertools.count()
    network.backbone.register_forward_hook(lambda module, inputs, out: out + 0.01 * next(count))
    with pytest.raises(RunError, match="graph features differs from the network by"):
        graphs.graphs_of_network(network)
    assert not cache.exists()


def test_network_that_answers_with_infinity_is_refused(cache):
    network = small()
    with torch.no_grad():
        network.ban_head.bbox_pred[0].bias.fill_(100.0)
    with pytest.raises(WeightsError, match="numbers that are not finite"):
        graphs.graphs_of_network(network)
    assert not cache.exists()


def test_damaged_file_is_named_before_any_graph(file):
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"small\.safetensors: is damaged"):
        graphs.graphs_of_file(file)


def test_making_graphs_leaves_the_network_and_the_process_as_they_were():
    network = small().train()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    before = torch.is_grad_enabled(), torch.get_num_threads(), list(warnings.filters)
    random_state = torch.get_rng_state()
    graphs.graphs_of_network(network)
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    assert before == (torch.is_grad_enabled(), torch.get_num_threads(), list(warnings.filters))
    assert torch.equal(random_state, torch.get_rng_state())


def test_training_mode_of_the_network_makes_no_difference():
    evaluated, trained = small(), small().train()
    first = graphs.graphs_of_network(evaluated)
    for path in Path(graphs.graph_folder(first.weights_hash)).iterdir():
        path.unlink()
    assert graphs.graphs_of_network(trained) == first
