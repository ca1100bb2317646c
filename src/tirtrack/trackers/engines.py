"""Engines that run a Siamese tracker's network: ONNX Runtime, OpenVINO, or torch; the same numbers
but for rounding.

An engine has no state but the network: the tracker keeps the template and passes it with every
frame.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import numpy as np

from tirtrack.devices import checked_device
from tirtrack.errors import RequestError, WeightsError
from tirtrack.weights import store
from tirtrack.weights.engine_choice import checked_graphs
from tirtrack.weights.graphs import Graphs, as_levels
from tirtrack.weights.runtimes import GraphEngineName, Runner, Runtime, runtime_of

if TYPE_CHECKING:
    from tirtrack.networks.siamese import SiameseNetwork

EngineName = Literal[GraphEngineName, "torch"]


@dataclass(frozen=True)
class Maps:
    """Output of the network for a search patch.

    Attributes:
        logits: logits ``[2,n,n]`` float32; channel 1 is the target, 0 the background.
        ltrb: ``[4,n,n]`` float32, distances of left, top, right and bottom side from the cell,
            patch pixels, positive.
    """

    logits: np.ndarray
    ltrb: np.ndarray


@runtime_checkable
class SiameseEngine(Protocol):
    """Runs the two branches. Patches are RGB ``[D,D,3]`` or grey ``[D,D]``, grey levels 0..255, of
    any number type; a grey patch stands for three equal channels.
    """

    cells: int

    def template(self, patch: np.ndarray) -> np.ndarray:
        """Template features ``[C,8,8]`` float32 of a template patch."""

    def search(self, template: np.ndarray, patch: np.ndarray) -> Maps:
        """The maps of a search patch, for a template ``[C,8,8]``, in one call."""

    def features(self, patches: np.ndarray) -> np.ndarray:
        """Features ``[B,C,16,16]`` of search patches ``[B,D,D,3]`` or ``[B,D,D]``."""

    def compare(self, template: np.ndarray, features: np.ndarray) -> Maps:
        """The maps of the features ``[C,16,16]`` of one search patch, for a template."""


class Turn:
    """One thread at a time holds it, ``with`` it, and gives it up while a network runs.

    Python's interpreter lock lets one thread run at a time anyway, but numpy drops it in each call
    on a large array: two threads that each follow a target in Python change places at every one,
    and each change costs more than such a call. Threads that take turns change only at networks.
    A thread that an interrupt reaches while it waits does not hold it, and has nothing to leave.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # which knows its thread; no thread holds it twice

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *raised: object) -> None:
        self.leave()

    def leave(self) -> bool:
        """Leave it to other threads; whether the calling thread held it."""
        try:
            self._lock.release()
        except RuntimeError:  # how a lock says that another thread holds it, or none
            return False
        return True

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Leave it to other threads meanwhile, if the calling thread holds it."""
        held = self.leave()
        try:
            yield
        finally:
            if held:
                self._lock.acquire()


class GraphEngine:
    """Graphs on the CPU, run by ONNX Runtime or OpenVINO; each is opened when it is first needed.
    Several threads may call it at the same time.

    Args:
        graphs: graphs of weights of the Siamese family.
        runtime: runtime of all of them.
        threads: threads of one network call (see :func:`tirtrack.weights.runtimes.session`).

    Attributes:
        turn: turn that threads may hold around all that they do with this engine.
    """

    def __init__(self, graphs: Graphs, runtime: Runtime = "onnx", *, threads: int = 1) -> None:
        logits, _ = graphs.example("search")[1]
        self.cells = logits.shape[-1]
        self.turn = Turn()
        self._open = partial(graphs.runner, runtime=runtime, threads=threads)

    def template(self, patch: np.ndarray) -> np.ndarray:
        """See :meth:`SiameseEngine.template`; opens the graph of the searches that follow too, so
        that an engine that cannot do so fails before the first of them.
        """
        self._search_of(patch)
        return np.asarray(self.features(patch[None])[0])

    def search(self, template: np.ndarray, patch: np.ndarray) -> Maps:
        """See :meth:`SiameseEngine.search`."""
        run = self._search_of(patch)
        inputs = {"template": template[None], "patch": as_levels(patch)}
        with self.turn.given_up():
            logits, ltrb = run(inputs)
        return Maps(logits[0], ltrb[0])

    def features(self, patches: np.ndarray) -> np.ndarray:
        """See :meth:`SiameseEngine.features`."""
        inputs, run = {"patches": as_levels(_coloured(patches))}, self._features
        with self.turn.given_up():
            (features,) = run(inputs)
        return features

    def compare(self, template: np.ndarray, features: np.ndarray) -> Maps:
        """See :meth:`SiameseEngine.compare`."""
        inputs = {"template": template[None], "features": features[None]}
        run = self._head
        with self.turn.given_up():
            logits, ltrb = run(inputs)
        return Maps(logits[0], ltrb[0])

    def _search_of(self, patch: np.ndarray) -> Runner:
        return self._search_grey if patch.ndim == 2 else self._search

    @cached_property
    def _features(self) -> Runner:
        return self._open("features")

    @cached_property
    def _search(self) -> Runner:
        return self._open("search")

    @cached_property
    def _search_grey(self) -> Runner:
        return self._open("search_grey")

    @cached_property
    def _head(self) -> Runner:
        return self._open("head")


class TorchEngine:
    """The torch module itself, under ``no_grad``, on its own device.

    Args:
        network: network in eval mode; used as it is, not copied.
    """

    def __init__(self, network: SiameseNetwork) -> None:
        self._network = network.eval()
        self.cells = network.cells

    def template(self, patch: np.ndarray) -> np.ndarray:
        """See :meth:`SiameseEngine.template`."""
        return np.asarray(self.features(patch[None])[0])

    def search(self, template: np.ndarray, patch: np.ndarray) -> Maps:
        """See :meth:`SiameseEngine.search`."""
        return self.compare(template, self.features(patch[None])[0])

    def features(self, patches: np.ndarray) -> np.ndarray:
        """See :meth:`SiameseEngine.features`."""
        import torch

        levels = torch.from_numpy(as_levels(_coloured(patches))).permute(0, 3, 1, 2)
        with torch.no_grad():
            features = self._network.backbone(self._network.from_levels(levels.to(self._device)))
        return np.asarray(features.cpu().numpy())

    def compare(self, template: np.ndarray, features: np.ndarray) -> Maps:
        """See :meth:`SiameseEngine.compare`."""
        import torch

        both = (torch.from_numpy(array)[None].to(self._device) for array in (template, features))
        with torch.no_grad():
            logits, ltrb = self._network.head(*both)
        return Maps(logits[0].cpu().numpy(), ltrb[0].cpu().numpy())

    @property
    def _device(self) -> Any:
        return next(self._network.parameters()).device


def open_engine(
    path: Path,
    kind: EngineName = "onnx",
    *,
    threads: int = 1,
    device: str = "cpu",
) -> SiameseEngine:
    """The engine of a weights file.

    Args:
        path: path of the weights.
        kind: engine; ``onnx`` and ``openvino`` run graphs, which are made, checked and cached at
            first use, ``onnx-int8`` and ``openvino-int8`` those that were made in int8 and passed
            their check; ``torch`` needs none.
        threads: threads of a graph; torch's count, one for the whole process, is unchanged.
        device: device for torch; graphs run on the CPU only.

    Raises:
        RequestError: there is no such device, or the engine does not run there or is not
            installed.
        WeightsError: the file cannot be used, or not in int8.
        RunError: the graphs disagree with the network, or the engine failed its check.
    """
    if kind == "torch":
        place = checked_device(device)
        return TorchEngine(_siamese_network(path).to(place))
    graphs = graphs_on_cpu(path, kind, device)
    if "search" not in graphs.by_name:
        raise WeightsError("holds no Siamese network", path)
    return GraphEngine(graphs, runtime_of(kind), threads=threads)


def graphs_on_cpu(path: Path, engine: GraphEngineName, device: str) -> Graphs:
    """The graphs of a weights file, once the engine has passed its check with them.

    Args:
        path: path of the weights.
        engine: engine that is to run them.
        device: device that was asked for.

    Raises:
        RequestError: the device is not the CPU, or the engine is not installed.
        WeightsError: the file cannot be used, or not in int8.
        RunError: the graphs disagree with the network, or the engine failed its check.
    """
    if device != "cpu":
        raise RequestError(
            f"the engine {engine} runs on the CPU, not on {device}", fix="choose the engine torch"
        )
    return checked_graphs(path, engine)


def _siamese_network(path: Path) -> SiameseNetwork:
    from tirtrack.networks.siamese import SiameseNetwork

    network = store.network_of(store.read(path))
    if not isinstance(network, SiameseNetwork):
        raise WeightsError("holds no Siamese network", path)
    return network


def _coloured(patches: np.ndarray) -> np.ndarray:
    """Patches ``[B,D,D,3]`` unchanged, or grey patches ``[B,D,D]`` as a view of that shape."""
    return (
        patches if patches.ndim == 4 else np.broadcast_to(patches[..., None], (*patches.shape, 3))
    )
