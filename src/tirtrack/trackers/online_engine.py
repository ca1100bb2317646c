"""The part of a DiMP or ATOM network that does not depend on the target: backbone and features.

Trackers with the same engine share one pass over their patches. The network itself stays
accessible for the work that each target does alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from tirtrack.networks.atom import Atom
from tirtrack.networks.dimp import Dimp

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
