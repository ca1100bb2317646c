"""ONNX graphs of a network, for inference many times faster than torch on a CPU.

A graph is made from the torch module when weights are first used, compared with it on a fixed
random patch, and kept in the cache under the hash of the weights, with the answers of torch, by
which every other runtime is checked. There is no second definition of a network here. Finding
cached graphs needs no torch, so that a command starts in a fraction of a second.

What each graph computes stands in :mod:`tirtrack.weights.graph_parts`. Patches go in as they are
cut, as float32 grey levels 0..255; channel order and layout are changed inside the graph, at no
measurable cost.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load, save

from tirtrack import files
from tirtrack.cache import cache_folder
from tirtrack.errors import RunError, StorageError, WeightsError
from tirtrack.weights.runtimes import Runner, Runtime, open_graph

if TYPE_CHECKING:
    from torch import nn

    from tirtrack.networks.siamese import SiameseNetwork
    from tirtrack.weights.graph_parts import GraphPart

logger = logging.getLogger(__name__)

FORMAT = 4  # raised when the graphs of the same weights change
_MANIFEST = "graphs.json"
_BATCH = 16  # patches at once: more is not faster, and takes memory
# Largest difference from torch, relative to the largest value. Sums of float32 in another order
# differ by some 1e-6; float16 and bfloat16 by 1e-3 and more.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Graphs:
    """The graphs of one set of weights.

    Attributes:
        by_name: ONNX graphs, by the names of :func:`tirtrack.weights.graph_parts.parts_of`.
        check: fixed random inputs of every graph and torch's outputs, as safetensors.
        weights_hash: hash of the weights they were made from.
    """

    by_name: Mapping[str, bytes]
    check: bytes
    weights_hash: str

    @property
    def folder(self) -> Path:
        """Folder of the cache with all that is made of these weights."""
        return graph_folder(self.weights_hash)

    def runner(self, name: str, runtime: Runtime = "onnx", *, threads: int = 1) -> Runner:
        """One of the graphs, ready to run.

        Raises:
            RequestError: the runtime is not installed.
            RunError: the runtime cannot run the graph on this processor.
        """
        return open_graph(runtime, self.by_name[name], folder=self.folder, threads=threads)

    def example(self, name: str) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        """Fixed random inputs of one of the graphs, and torch's outputs for them."""
        arrays = load(self.check)
        given, right = f"{name} in ", f"{name} out "
        inputs = {key.removeprefix(given): arrays[key] for key in arrays if key.startswith(given)}
        return inputs, [arrays[key] for key in sorted(arrays) if key.startswith(right)]


def graphs_of_file(path: Path) -> Graphs:
    """The graphs of a weights file; made, checked and cached at first use.

    Raises:
        WeightsError: the file is damaged, its numbers are not finite, or no graphs are made of
            its family.
        RunError: the graphs disagree with the network.
    """
    from tirtrack.weights import store

    weights_hash = hash_of_file(path)
    if (kept := _cached(weights_hash)) is not None:
        return kept
    return _make(store.network_of(store.read(path)), weights_hash, path)


def hash_of_file(path: Path) -> str:
    """Hash of the numbers of a weights file, by which everything made of them is kept.

    Raises:
        WeightsError: the file is damaged.
    """
    from tirtrack.weights import store

    return _hash(store.read_arrays(path))


def graphs_of_network(network: nn.Module) -> Graphs:
    """The graphs of a network as it is now (in eval mode; the network itself is not changed).

    Raises:
        WeightsError: its numbers are not finite, or no graphs are made of its family.
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
    for name in graphs.by_name:
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


def graph_folder(weights_hash: str) -> Path:
    """Folder of the cache with all that is made of some weights."""
    return cache_folder("graphs") / f"{weights_hash[:32]}-{FORMAT}"


def _cached(weights_hash: str) -> Graphs | None:
    """The graphs from the cache; ``None`` when they are missing, incomplete, or not the ones that
    were written.
    """
    folder = graph_folder(weights_hash)
    try:
        right = dict(json.loads((folder / _MANIFEST).read_text("utf-8"))["sha256"])
        parts = {name: (folder / _file_name(name)).read_bytes() for name in right}
        if {name: _sha256(content) for name, content in parts.items()} != right:
            return None
        return Graphs(check=parts.pop("check"), by_name=parts, weights_hash=weights_hash)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(graphs: Graphs) -> None:
    folder = graph_folder(graphs.weights_hash)
    parts = {**graphs.by_name, "check": graphs.check}
    for name, content in parts.items():
        files.write_bytes(folder / _file_name(name), content)
    manifest = {"sha256": {name: _sha256(content) for name, content in parts.items()}}
    files.write_json(folder / _MANIFEST, manifest)  # last: graphs without it are ignored


def _file_name(part: str) -> str:
    return "check.safetensors" if part == "check" else f"{part}.onnx"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _make(network: nn.Module, weights_hash: str, where: Path | None) -> Graphs:
    from tirtrack.weights.graph_parts import parts_of

    network = copy.deepcopy(network).cpu().float().eval()
    network.requires_grad_(requires_grad=False)
    parts = parts_of(network, where)
    check = _stored_check(parts, where)
    made = {name: part.graph for name, part in parts.items()}
    graphs = Graphs(made, check, weights_hash)
    check_runtime(graphs, "onnx", where)
    try:
        _keep(graphs)
    except StorageError as error:
        logger.warning("the graphs are made anew each time, set TIRTRACK_CACHE: %s", error.what)
    return graphs


def _stored_check(parts: Mapping[str, GraphPart], where: Path | None) -> bytes:
    """What :meth:`Graphs.example` reads.

    Raises:
        WeightsError: a number is not finite.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, part in parts.items():
        arrays |= {f"{name} in {key}": array for key, array in part.example.items()}
        arrays |= {f"{name} out {place}": array for place, array in enumerate(part.answer())}
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise WeightsError(
            "the network answers a plain patch with numbers that are not finite",
            where,
            "the weights are damaged or their training diverged; get another copy",
        )
    return save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
