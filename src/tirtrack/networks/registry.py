"""The networks that can be asked for by name. A new one is a line in ``_CONSTRUCTORS``.

Files name an architecture by these names and never bring code of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from tirtrack.errors import WeightsError, did_you_mean
from tirtrack.networks.nanotrack import NanoTrack, nanotrack_v2, nanotrack_v3

_CONSTRUCTORS: dict[str, Callable[..., NanoTrack]] = {
    "nanotrack-v2": nanotrack_v2,
    "nanotrack-v3": nanotrack_v3,
}


def names() -> list[str]:
    """Every architecture, in order.

    >>> names()
    ['nanotrack-v2', 'nanotrack-v3']
    """
    return sorted(_CONSTRUCTORS)


def build(name: str, *, tiny: bool = False, seed: int = 0) -> NanoTrack:
    """A network with random weights, in training mode; the same seed gives the same weights.

    Args:
        name: one of :func:`names`.
        tiny: few channels, the same parts: for tests.
        seed: of the weights; the global generator of torch is neither read nor changed.

    Raises:
        WeightsError: no network has this name.
    """
    if name not in _CONSTRUCTORS:
        raise WeightsError(f'no network is called "{name}"', fix=did_you_mean(name, names()))
    with torch.device("meta"):  # no memory and no draw yet
        network = _CONSTRUCTORS[name](tiny=tiny)
    network.to_empty(device="cpu")
    _draw_weights(network, torch.Generator().manual_seed(seed))
    return network


@torch.no_grad()
def _draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Normal weights of variance ``2 / fan_out``, zero biases: activations keep their size."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()  # constants, nothing is drawn
        elif isinstance(module, nn.Conv2d | nn.Linear):
            groups = module.groups if isinstance(module, nn.Conv2d) else 1
            fan_out = module.weight.numel() // (module.weight.shape[1] * groups)
            module.weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=generator)
            if module.bias is not None:
                module.bias.zero_()


def stored_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Key to shape of everything that a weights file of this network holds.

    Batch norm's counters are left out: nothing reads them, and published files do not have them.
    """
    with torch.device("meta"):
        network = _CONSTRUCTORS[name]()
    return {
        key: tuple(value.shape)
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }


def architecture_of(keys: Iterable[str]) -> str:
    """The network whose stored keys are the given ones.

    Raises:
        WeightsError: no network has exactly these keys; it names the nearest network and the first
            five keys that differ.
    """
    given = {key for key in keys if not key.endswith("num_batches_tracked")}
    differences = {name: given ^ stored_shapes(name).keys() for name in names()}
    nearest = min(names(), key=lambda name: len(differences[name]))
    if not differences[nearest]:
        return nearest
    some = ", ".join(sorted(differences[nearest])[:5])
    raise WeightsError(
        f"{len(given)} keys fit no known network; nearest is {nearest}, where "
        f"{len(differences[nearest])} differ ({some})",
        fix="give the weights of one of " + ", ".join(names()),
    )
