"""A frozen backbone as a function of plain arrays, and how its features are stored.

Patches are stored as uint8, features as float32, or as float16 if they are large.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from tirtrack.networks.two_branch import TwoBranchNetwork

HALVED_ABOVE = 128 * 1024  # bytes of a patch's float32 features; larger ones are stored as float16


FeatureEngine = Callable[[np.ndarray], list[np.ndarray]]
"""A frozen backbone: features ``[B,C,H,W]`` float32, one array per tap, of patches ``[B,D,D,3]``
RGB or ``[B,D,D]`` grey, uint8.
"""


def torch_engine(network: TwoBranchNetwork, device: torch.device | None = None) -> FeatureEngine:
    """The backbone run by torch: for networks without a graph, and as a reference for graphs."""
    network = network if device is None else network.to(device)

    @torch.no_grad()
    def features(patches: np.ndarray) -> list[np.ndarray]:
        taps = network.features(as_patches(patches)[None].to(device))
        return [np.asarray(tap[0].cpu()) for tap in taps]

    return features


def as_patches(stored: np.ndarray) -> Tensor:
    """Stored patches ``[B,D,D,3]`` or grey ``[B,D,D]`` uint8 as ``[B,3,D,D]`` float32 in [0, 1]."""
    patches = torch.from_numpy(np.ascontiguousarray(stored)).float() / 255
    if patches.ndim == 3:
        return patches[:, None].expand(-1, 3, -1, -1)
    return patches.permute(0, 3, 1, 2)


def as_features(stored: np.ndarray, device: torch.device | None) -> Tensor:
    """Stored features, float16 or float32, as a float32 tensor on a device."""
    return torch.from_numpy(stored).to(device).float()


def for_keeping(taps: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Features ``[B,C,H,W]`` float32 in the precision of the cache: float16 if they are large, with
    values clipped to its range.
    """
    if sum(tap[0].nbytes for tap in taps) <= HALVED_ABOVE:
        return list(taps)
    largest = np.finfo(np.float16).max
    return [tap.clip(-largest, largest).astype(np.float16) for tap in taps]


def frozen_copy(network: TwoBranchNetwork) -> TwoBranchNetwork:
    """A copy in eval mode and without gradients: the teacher."""
    return copy.deepcopy(network).eval().requires_grad_(requires_grad=False)


def backbone_hash(network: TwoBranchNetwork) -> str:
    """SHA-256 of the backbone's weights and statistics."""
    digest = hashlib.sha256()
    for module in network.modules_of("backbone"):
        for name, value in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
