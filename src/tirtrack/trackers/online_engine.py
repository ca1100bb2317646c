"""The part of a DiMP or ATOM network that does not depend on the target: backbone and features.

Trackers with the same engine share one pass over their patches. The network itself stays
accessible for the work that each target does alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from tirtrack.devices import checked_device
from tirtrack.networks.atom import Atom
from tirtrack.networks.dimp import Dimp
from tirtrack.trackers.engines import EngineName, graphs_on_cpu
from tirtrack.weights import store
from tirtrack.weights.graphs import Graphs, as_levels
from tirtrack.weights.runtimes import Runtime, runtime_of

Network = TypeVar("Network", Dimp, Atom)


@dataclass(frozen=True)
class Features:
    """Features of patches, in the order of the patches along axis 0.

    Attributes:
        fine: backbone features at stride 8, ``[B,C,H,W]``.
        coarse: backbone features at stride 16, ``[B,C,H,W]``.
        classification: features that a filter is applied to, ``[B,C,H,W]``.
    """

    fine: Tensor
    coarse: Tensor
    classification: Tensor

    def __len__(self) -> int:
        return len(self.fine)

    def __getitem__(self, part: slice) -> Features:
        return Features(self.fine[part], self.coarse[part], self.classification[part])

    def taps(self, part: slice = slice(None)) -> list[Tensor]:
        """The two feature maps that the box estimator takes, for some patches."""
        return [self.fine[part], self.coarse[part]]


class OnlineEngine(Generic[Network]):
    """Runs a network's backbone and head under ``no_grad``, in its type and on its device.

    Args:
        network: network in evaluation mode; never changed.
    """

    def __init__(self, network: Network) -> None:
        self.network: Network = network

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the network, and so of patches, filters and boxes."""
        return next(self.network.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.network.parameters()).device

    def tensor(self, values: np.ndarray) -> Tensor:
        """Values in the network's type, on its device."""
        return torch.from_numpy(np.array(values)).to(self.device, self.dtype)

    @torch.no_grad()
    def features(self, patches: np.ndarray) -> Features:
        """Features of patches ``[B,3,D,D]`` or ``[B,1,D,D]``, grey levels 0..255."""
        levels = torch.from_numpy(patches).to(self.device, self.dtype)
        levels = levels.expand(-1, 3, -1, -1)
        fine, coarse = (maps[:, 0] for maps in self.network.features(levels[:, None] / 255))
        return Features(fine, coarse, self.network.classification_features(coarse))

    @torch.no_grad()
    def test_features(self, features: Features) -> list[Tensor]:
        """Features that the box estimator pools, two ``[B,C,H,W]``, with the channels last in
        memory.
        """
        return self.network.box_estimator.test_features(features.taps())


class GraphOnlineEngine(OnlineEngine[Any]):
    """The same by graphs, in float32 on the CPU; filters and boxes stay with torch.

    Args:
        network: network in evaluation mode, float32 on the CPU; never changed.
        graphs: graphs of its weights.
        runtime: runtime of all of them.
        threads: threads of one call (see :func:`tirtrack.weights.runtimes.session`).
    """

    def __init__(
        self, network: Dimp | Atom, graphs: Graphs, runtime: Runtime = "onnx", *, threads: int = 1
    ) -> None:
        super().__init__(network)
        self._features = graphs.runner("features", runtime, threads=threads)
        self._test_features = graphs.runner("test_features", runtime, threads=threads)

    def features(self, patches: np.ndarray) -> Features:
        """See :meth:`OnlineEngine.features`."""
        levels = np.broadcast_to(patches, (len(patches), 3, *patches.shape[2:]))
        outputs = self._features({"patches": as_levels(levels)})
        return Features(*(torch.from_numpy(maps) for maps in outputs))

    def test_features(self, features: Features) -> list[Tensor]:
        """See :meth:`OnlineEngine.test_features`."""
        fine, coarse = (maps.numpy() for maps in features.taps())
        outputs = self._test_features({"fine": fine, "coarse": coarse})
        last = torch.channels_last
        return [torch.from_numpy(maps).contiguous(memory_format=last) for maps in outputs]


def open_online_engine(
    path: Path, kind: EngineName = "torch", *, threads: int = 1, device: str = "cpu"
) -> OnlineEngine[Any]:
    """The engine of a weights file of DiMP or ATOM; arguments and errors as for
    :func:`~tirtrack.trackers.engines.open_engine`.
    """
    place = checked_device(device)
    network: Any = store.network_of(store.read(path)).requires_grad_(requires_grad=False)
    if kind == "torch":
        return OnlineEngine(network.to(place))
    graphs = graphs_on_cpu(path, kind, device)
    return GraphOnlineEngine(network, graphs, runtime_of(kind), threads=threads)
