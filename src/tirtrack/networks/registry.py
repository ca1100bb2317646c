"""The networks that can be asked for by name. A new one is a line in ``_CONSTRUCTORS``.

Files name an architecture by these names and never bring code of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from tirtrack.errors import WeightsError, did_you_mean
from tirtrack.networks.nanotrack import nanotrack_v2, nanotrack_v3
from tirtrack.networks.two_branch import TwoBranchNetwork

_CONSTRUCTORS: dict[str, Callable[..., TwoBranchNetwork]] = {
    "nanotrack-v2": nanotrack_v2,
    "nanotrack-v3": nanotrack_v3,
}
_TINY = "-tiny"  # the same parts with few channels, for tests; files may name it, lists do not


def names() -> list[str]:
    """Every architecture, in order.

    >>> names()
    ['nanotrack-v2', 'nanotrack-v3']
    """
    return sorted(_CONSTRUCTORS)


def build(name: str, *, tiny: bool = False, seed: int = 0) -> TwoBranchNetwork:
    """A network with random weights, in training mode; the same seed gives the same weights.

    Args:
        name: one of :func:`names`; with ``-tiny`` behind it the same as ``tiny``.
        tiny: few channels, the same parts: for tests.
        seed: of the weights; the global generator of torch is neither read nor changed.

    Raises:
        WeightsError: no network has this name.
    """
    network = _constructed(name, tiny=tiny)
    network.draw_weights(torch.Generator().manual_seed(seed))
    return network


def _constructed(name: str, *, tiny: bool = False) -> TwoBranchNetwork:
    plain = name.removesuffix(_TINY)
    if plain not in _CONSTRUCTORS:
        raise WeightsError(f'no network is called "{name}"', fix=did_you_mean(plain, names()))
    with torch.random.fork_rng(devices=[]):  # the modules of torch draw as they are made
        return _CONSTRUCTORS[plain](tiny=tiny or plain != name)


def stored_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Key to shape of everything that a weights file of this network holds.

    Raises:
        WeightsError: no network has this name.
    """
    state = _constructed(name).state_dict()
    return {key: tuple(value.shape) for key, value in state.items() if is_stored(key)}


def is_stored(key: str) -> bool:
    """Whether weights files have this key: all but the counters of batch norm, which nothing reads
    and published files leave out.
    """
    return not key.endswith("num_batches_tracked")


def architecture_of(keys: Iterable[str]) -> str:
    """The network whose stored keys are the given ones.

    Raises:
        WeightsError: no network has exactly these keys; it names the nearest network and the first
            five keys that differ.
    """
    given = {key for key in keys if is_stored(key)}
    known = [*names(), *(name + _TINY for name in names())]
    differences = {name: sorted(given ^ stored_shapes(name).keys()) for name in known}
    nearest = min(known, key=lambda name: len(differences[name]))
    if not differences[nearest]:
        return nearest
    raise WeightsError(
        f"its keys fit no known network; nearest is {nearest.removesuffix(_TINY)}, "
        f"{len(differences[nearest])} keys differ, first {', '.join(differences[nearest][:5])}",
        fix=f"give weights of {' or '.join(names())}",
    )
