"""ONNX graphs of a network, for inference many times faster than torch on a CPU.

A graph is made from the torch module when weights are first used, compared with it on a fixed
random patch, and kept in the cache under the hash of the weights, with the answers of torch, by
which every other runtime is checked. There is no second definition of a network here. Finding
cached graphs needs no torch, so that a command starts in a fraction of a second.

Patches go in as they are cut, ``[...,D,D,3]`` RGB or ``[D,D]`` grey, float32 grey levels 0..255;
channel order and layout are changed inside the graph, at no measurable cost.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load, save

from tirtrack import files
from tirtrack.cache import cache_folder
from tirtrack.errors import RunError, StorageError, WeightsError
from tirtrack.weights.runtimes import Runner, Runtime, open_graph

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tirtrack.networks.siamese import SiameseNetwork

logger = logging.getLogger(__name__)

FORMAT = 3  # raised when the graphs of the same weights change
OPSET = 17
_MANIFEST = "graphs.json"
NAMES = ("features", "search", "search_grey", "head")
_BATCH = 16  # patches at once: more is not faster, and takes memory
# Largest difference from torch, relative to the largest value. Sums of float32 in another order
# differ by some 1e-6; float16 and bfloat16 by 1e-3 and more.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Graphs:
    """The four graphs of one set of weights, as ONNX bytes.

    Attributes:
        features: ``patches [B,D,D,3]`` to ``features [B,C,H,W]``; any B and D.
        search: ``template [1,C,8,8]``, ``patch [D,D,3]`` to ``logits``, ``ltrb``.
        search_grey: the same for a grey patch ``[D,D]``.
        head: ``template [1,C,8,8]``, ``features [1,C,16,16]`` to ``logits``, ``ltrb``: what remains
            of a search when many targets share the pass of the backbone.
        check: fixed random inputs of every graph and torch's outputs, as safetensors.
        cells: cells per side of the score map.
        weights_hash: hash of the weights they were made from.
    """

    features: bytes
    search: bytes
    search_grey: bytes
    head: bytes
    check: bytes
    cells: int
    weights_hash: str

    @property
    def folder(self) -> Path:
        """Folder of the cache with all that is made of these weights."""
        return _folder(self.weights_hash)

    def runner(self, name: str, runtime: Runtime = "onnx", *, threads: int = 1) -> Runner:
        """One of the graphs, ready to run.

        Raises:
            RequestError: the runtime is not installed.
            RunError: the runtime cannot run the graph on this processor.
        """
        return open_graph(runtime, getattr(self, name), folder=self.folder, threads=threads)

    def example(self, name: str) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        """Fixed random inputs of one of the graphs, and torch's outputs for them."""
        arrays = load(self.check)
        given, right = f"{name} in ", f"{name} out "
        inputs = {key.removeprefix(given): arrays[key] for key in arrays if key.startswith(given)}
        return inputs, [arrays[key] for key in sorted(arrays) if key.startswith(right)]


def graphs_of_file(path: Path) -> Graphs:
    """The graphs of a weights file; made, checked and cached at first use.

    Raises:
        WeightsError: the file is damaged, or its numbers are not finite.
        RunError: the graphs disagree with the network.
    """
    weights_hash = hash_of_file(path)
    return _cached(weights_hash) or _make(siamese_network_of(path), weights_hash, path)


def hash_of_file(path: Path) -> str:
    """Hash of the numbers of a weights file, by which everything made of them is kept.

    Raises:
        WeightsError: the file is damaged.
    """
    from tirtrack.weights import store

    return _hash(store.read_arrays(path))


def siamese_network_of(path: Path) -> SiameseNetwork:
    """The network of a weights file, of the Siamese family.

    Raises:
        WeightsError: the file is damaged, or of another family.
    """
    from tirtrack.networks.siamese import SiameseNetwork
    from tirtrack.weights import store

    weights = store.read(path)
    network = store.network_of(weights)
    if not isinstance(network, SiameseNetwork):
        raise WeightsError(
            f"is a {weights.card.architecture}, which is no Siamese network", path,
            "it has no exported graphs",
        )  # fmt: skip
    return network


def graphs_of_network(network: SiameseNetwork) -> Graphs:
    """The graphs of a network as it is now (in eval mode; the network itself is not changed).

    Raises:
        WeightsError: its numbers are not finite.
        RunError: the graphs disagree with the network.
    """
    state = {
        key: value.detach().cpu().float().numpy()
        for key, value in network.state_dict().items()
        if value.is_floating_point()
    }
    weights_hash = _hash(state)
    return _cached(weights_hash) or _make(network, weights_hash, None)


def graph_engine(
    network: SiameseNetwork, *, threads: int = 1
) -> Callable[[np.ndarray], list[np.ndarray]]:
    """The frozen backbone of a network as a function from patches ``[B,D,D,3]`` RGB or ``[B,D,D]``
    grey, levels 0..255, to its one tap ``[B,C,H,W]`` float32; ``ValueError`` for another shape.

    Args:
        network: network with its weights, in eval mode.
        threads: number of threads for one batch.

    Raises:
        WeightsError: its numbers are not finite.
        RunError: the graphs disagree with the network.
    """
    backbone = graphs_of_network(network).runner("features", threads=threads)

    def features(patches: np.ndarray) -> list[np.ndarray]:
        if patches.ndim == 3:
            patches = np.broadcast_to(patches[..., None], (*patches.shape, 3))
        if patches.ndim != 4 or patches.shape[3] != 3 or not len(patches):
            raise ValueError(f"patches must be [B,D,D,3] or [B,D,D], got {list(patches.shape)}")
        parts = [
            backbone({"patches": as_levels(patches[start : start + _BATCH])})[0]
            for start in range(0, len(patches), _BATCH)
        ]
        return [np.concatenate(parts)]

    return features


def check_runtime(graphs: Graphs, runtime: Runtime, where: Path | None = None) -> None:
    """Compare what a runtime answers to the fixed random inputs with what torch answered.

    Args:
        graphs: graphs of the weights.
        runtime: runtime to check, on one thread.
        where: path of the weights, for messages.

    Raises:
        RequestError: the runtime is not installed.
        RunError: an output differs from torch's, or the runtime cannot run a graph.
    """
    for name in NAMES:
        inputs, right = graphs.example(name)
        for ours, theirs in zip(graphs.runner(name, runtime)(inputs), right, strict=True):
            worst = float(np.abs(ours - theirs).max())
            if not worst <= _TOLERANCE * (1.0 + float(np.abs(theirs).max())):
                raise RunError(
                    f"the graph {name} differs from the network by {worst:.2g} (run by {runtime})",
                    where,
                    "choose another engine, and tell us the versions of torch and of this one",
                )


def as_levels(patch: np.ndarray) -> np.ndarray:
    """A patch (or many), any axes, as the graphs take it: float32, contiguous."""
    return np.ascontiguousarray(patch, dtype=np.float32)


def _hash(state: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of all names, shapes and numbers; without the card, which may change freely."""
    digest = hashlib.sha256()
    for key in sorted(state):
        array = np.ascontiguousarray(state[key], dtype="<f4")
        digest.update(f"{key} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _folder(weights_hash: str) -> Path:
    return cache_folder("graphs") / f"{weights_hash[:32]}-{FORMAT}"


def _cached(weights_hash: str) -> Graphs | None:
    """The graphs from the cache; ``None`` when they are missing, incomplete, or not the ones that
    were written.
    """
    folder = _folder(weights_hash)
    try:
        manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
        parts = {name: (folder / _file_name(name)).read_bytes() for name in manifest["sha256"]}
        if {name: _sha256(content) for name, content in parts.items()} != manifest["sha256"]:
            return None
        return Graphs(**parts, cells=int(manifest["cells"]), weights_hash=weights_hash)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(graphs: Graphs) -> None:
    folder = _folder(graphs.weights_hash)
    parts = {name: getattr(graphs, name) for name in (*NAMES, "check")}
    for name, content in parts.items():
        files.write_bytes(folder / _file_name(name), content)
    manifest = {
        "cells": graphs.cells,
        "sha256": {name: _sha256(content) for name, content in parts.items()},
    }
    files.write_json(folder / _MANIFEST, manifest)  # last: graphs without it are ignored


def _file_name(part: str) -> str:
    return "check.safetensors" if part == "check" else f"{part}.onnx"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _make(network: SiameseNetwork, weights_hash: str, where: Path | None) -> Graphs:
    network = copy.deepcopy(network).cpu().float().eval()
    network.requires_grad_(requires_grad=False)
    parts = _parts(network)
    examples = _examples(network)
    answers = {name: _answer(part, examples[name], where) for name, part in parts.items()}
    made = {
        name: _export(part, examples[name], free_batch=name == "features")
        for name, part in parts.items()
    }
    check = _stored_check(examples, answers)
    graphs = Graphs(**made, check=check, cells=network.cells, weights_hash=weights_hash)
    check_runtime(graphs, "onnx", where)
    try:
        _keep(graphs)
    except StorageError as error:
        logger.warning("the graphs are made anew each time, set TIRTRACK_CACHE: %s", error.what)
    return graphs


def _parts(network: SiameseNetwork) -> dict[str, nn.Module]:
    """The part of the network that each graph computes."""
    from torch import nn

    class NetworkPart(nn.Module):
        def __init__(self, function: Any) -> None:
            super().__init__()
            self.network = network  # registered, so that its weights are exported as weights
            self.function = function

        def forward(self, *inputs: Tensor) -> Any:
            return self.function(*inputs)

    def features(patches: Tensor) -> Tensor:  # [B,D,D,3]
        return network.backbone(network.from_levels(patches.permute(0, 3, 1, 2)))

    def search(template: Tensor, patch: Tensor) -> tuple[Tensor, Tensor]:  # [D,D,3]
        return network.head(template, features(patch[None]))

    def search_grey(template: Tensor, patch: Tensor) -> tuple[Tensor, Tensor]:  # [D,D]
        three = patch[None, None].expand(1, 3, *patch.shape)
        return network.head(template, network.backbone(network.from_levels(three)))

    functions = dict(zip(NAMES, (features, search, search_grey, network.head), strict=True))
    # In eval mode themselves: the exporter puts a module back into the mode it had, with all below.
    return {name: NetworkPart(function).eval() for name, function in functions.items()}


def _examples(network: SiameseNetwork) -> dict[str, dict[str, np.ndarray]]:
    """Fixed random input of every graph; the template of the searches is a real one."""
    rng = np.random.default_rng(0)
    side = network.test_side
    patch = rng.integers(0, 256, (side, side, 3)).astype(np.float32)
    grey = rng.integers(0, 256, (side, side)).astype(np.float32)
    corner = patch[None, : network.reference_side, : network.reference_side]
    features = _parts(network)["features"]
    template = _run_torch(features, {"patches": corner})[0]
    return {
        "features": {"patches": np.stack([patch, patch[::-1]])},
        "search": {"template": template, "patch": patch},
        "search_grey": {"template": template, "patch": grey},
        "head": {
            "template": template,
            "features": _run_torch(features, {"patches": patch[None]})[0],
        },
    }


def _export(part: nn.Module, example: dict[str, np.ndarray], *, free_batch: bool) -> bytes:
    import torch

    axes = {0: "batch", 1: "height", 2: "width"}
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # The TorchScript exporter is deprecated; the new one needs another package and is 20 times
        # slower for the same graph. Its tracer warns of Python numbers, which are constants here.
        warnings.simplefilter("ignore")
        written = Path(folder) / "graph.onnx"
        torch.onnx.export(
            part,
            tuple(torch.from_numpy(array) for array in example.values()),
            written,
            input_names=list(example),
            output_names=["features"] if free_batch else ["logits", "ltrb"],
            dynamic_axes={"patches": axes} if free_batch else None,
            opset_version=OPSET,
            dynamo=False,
        )
        return written.read_bytes()


def _run_torch(part: nn.Module, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    import torch

    with torch.no_grad():
        out = part(*(torch.from_numpy(np.ascontiguousarray(array)) for array in inputs.values()))
    return [part.numpy() for part in (out if isinstance(out, tuple) else (out,))]


def _answer(
    part: nn.Module, example: dict[str, np.ndarray], where: Path | None
) -> list[np.ndarray]:
    """Torch's outputs for an example.

    Raises:
        WeightsError: a number is not finite.
    """
    answer = _run_torch(part, example)
    if not all(np.isfinite(one).all() for one in answer):
        raise WeightsError(
            "the network answers a plain patch with numbers that are not finite",
            where,
            "the weights are damaged or their training diverged; get another copy",
        )
    return answer


def _stored_check(
    examples: Mapping[str, Mapping[str, np.ndarray]], answers: Mapping[str, list[np.ndarray]]
) -> bytes:
    """What :meth:`Graphs.example` reads."""
    arrays: dict[str, np.ndarray] = {}
    for name, inputs in examples.items():
        arrays |= {f"{name} in {key}": array for key, array in inputs.items()}
        arrays |= {f"{name} out {place}": array for place, array in enumerate(answers[name])}
    return save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
