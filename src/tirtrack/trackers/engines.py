"""What runs the network of a Siamese tracker: ONNX Runtime, or torch. Both give the same numbers.

An engine has no state but the network: the tracker keeps the template and hands it back with every
frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from tirtrack.weights.graphs import (
    Graphs,
    as_levels,
    graphs_of_file,
    session,
    siamese_network_of,
)

if TYPE_CHECKING:
    from tirtrack.networks.nanotrack import NanoTrack


@dataclass(frozen=True)
class Maps:
    """What the network says of a search patch.

    Attributes:
        logits: ``[2,n,n]`` float32; channel 1 is the target, 0 the background.
        ltrb: ``[4,n,n]`` float32, distances of left, top, right and bottom side from the cell,
            patch pixels, positive.
    """

    logits: np.ndarray
    ltrb: np.ndarray


@runtime_checkable
class SiameseEngine(Protocol):
    """Runs the two branches. Patches are RGB ``[D,D,3]`` or grey ``[D,D]``, grey levels 0..255, of
    any number type; a grey patch is seen as three equal channels.
    """

    cells: int

    def template(self, patch: np.ndarray) -> np.ndarray:
        """Template features ``[C,8,8]`` float32 of a patch of 127 px."""

    def search(self, template: np.ndarray, patch: np.ndarray) -> Maps:
        """The maps of a search patch of 255 px, for a template ``[C,8,8]``."""


class OnnxEngine:
    """ONNX Runtime on the CPU: the fast one.

    Args:
        graphs: of the weights.
        threads: of one network call; one by default (see :func:`tirtrack.weights.graphs.session`).
    """

    def __init__(self, graphs: Graphs, *, threads: int = 1) -> None:
        self.cells = graphs.cells
        self._features = session(graphs.features, threads=threads)
        self._search = session(graphs.search, threads=threads)
        self._search_grey = session(graphs.search_grey, threads=threads)

    def template(self, patch: np.ndarray) -> np.ndarray:
        """See :meth:`SiameseEngine.template`."""
        (features,) = self._features.run(None, {"patches": as_levels(_three_channels(patch))[None]})
        return np.asarray(features[0])

    def search(self, template: np.ndarray, patch: np.ndarray) -> Maps:
        """See :meth:`SiameseEngine.search`."""
        run = self._search_grey if patch.ndim == 2 else self._search
        logits, ltrb = run.run(None, {"template": template[None], "patch": as_levels(patch)})
        return Maps(logits[0], ltrb[0])


class TorchEngine:
    """The torch module itself, under ``no_grad``, on the device it lies on.

    Args:
        network: used as it is, in eval mode; not copied.
    """

    def __init__(self, network: NanoTrack) -> None:
        self._network = network.eval()
        self.cells = network.cells

    def template(self, patch: np.ndarray) -> np.ndarray:
        """See :meth:`SiameseEngine.template`."""
        import torch

        with torch.no_grad():
            return np.asarray(self._features(patch)[0].cpu().numpy())

    def search(self, template: np.ndarray, patch: np.ndarray) -> Maps:
        """See :meth:`SiameseEngine.search`."""
        import torch

        with torch.no_grad():
            features = self._features(patch)
            on_device = torch.from_numpy(template)[None].to(features.device)
            logits, ltrb = self._network.head(on_device, features)
        return Maps(logits[0].cpu().numpy(), ltrb[0].cpu().numpy())

    def _features(self, patch: np.ndarray) -> Any:
        import torch

        levels = torch.from_numpy(as_levels(_three_channels(patch))).permute(2, 0, 1)[None]
        device = next(self._network.parameters()).device
        return self._network.backbone(self._network.from_levels(levels.to(device)))


def open_engine(
    path: Path, kind: Literal["onnx", "torch"] = "onnx", *, threads: int = 1
) -> SiameseEngine:
    """The engine of a weights file.

    Args:
        path: of the weights.
        kind: ``onnx`` makes and caches graphs at first use; ``torch`` needs none.
        threads: of ONNX Runtime; torch has one count for the whole process, which is left alone.

    Raises:
        WeightsError: the file cannot be used.
        RunError: the graphs disagree with the network.
    """
    if kind == "onnx":
        return OnnxEngine(graphs_of_file(path), threads=threads)
    return TorchEngine(siamese_network_of(path))


def _three_channels(patch: np.ndarray) -> np.ndarray:
    return np.broadcast_to(patch[..., None], (*patch.shape, 3)) if patch.ndim == 2 else patch
