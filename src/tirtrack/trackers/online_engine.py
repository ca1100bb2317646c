"""The part of a DiMP or ATOM network that does not depend on the target: backbone and features.

Two trackers with the same engine share one pass over their patches. The network itself stays
reachable for what each target does alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from tirtrack.networks.atom import Atom
from tirtrack.networks.dimp import Dimp
from tirtrack.trackers.atom_classifier import normalised

Network = TypeVar("Network", Dimp, Atom)


@dataclass(frozen=True)
class Features:
    """What an engine makes of patches, in their order along axis 0.

    Attributes:
        fine: ``[B,C,H,W]`` of the backbone at stride 8.
        coarse: ``[B,C,H,W]`` of the backbone at stride 16.
        classification: ``[B,C,H,W]`` what a filter is applied to.
    """

    fine: Tensor
    coarse: Tensor
    classification: Tensor

    def __len__(self) -> int:
        return len(self.fine)

    def __getitem__(self, part: slice) -> Features:
        return Features(self.fine[part], self.coarse[part], self.classification[part])

    def taps(self, part: slice = slice(None)) -> list[Tensor]:
        """The two feature maps of the box estimator, of some patches."""
        return [self.fine[part], self.coarse[part]]


class OnlineEngine(Generic[Network]):
    """Runs a network's backbone and head under ``no_grad``, in its type and on its device.

    Args:
        network: in evaluation mode; never changed.
    """

    def __init__(self, network: Network) -> None:
        self.network: Network = network

    @property
    def dtype(self) -> torch.dtype:
        """Of the network, hence of patches, filters and boxes."""
        return next(self.network.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def tensor(self, values: np.ndarray) -> Tensor:
        """Numbers in the network's type, on its device."""
        return torch.from_numpy(np.array(values)).to(self.device, self.dtype)

    @torch.no_grad()
    def features(self, patches: np.ndarray) -> Features:
        """Features of patches ``[B,3,D,D]`` or ``[B,1,D,D]``, grey levels 0..255."""
        levels = torch.from_numpy(patches).to(self.device, self.dtype)
        levels = levels.expand(-1, 3, -1, -1)
        fine, coarse = (maps[:, 0] for maps in self.network.features(levels[:, None] / 255))
        return Features(fine, coarse, self._classification(coarse))

    def _classification(self, coarse: Tensor) -> Tensor:
        if isinstance(self.network, Dimp):
            return self.network.classification_features(coarse)
        return normalised(coarse)
