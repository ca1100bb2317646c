"""The networks by name. A new network is one line in ``_CONSTRUCTORS``.

Files name an architecture by these names and never contain code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import nn

from tirtrack.errors import WeightsError, did_you_mean
from tirtrack.networks import backbones, dimp
from tirtrack.networks.atom import Atom, atom18
from tirtrack.networks.fear import fear_xs
from tirtrack.networks.joint_encoder import JointEncoder, joint_lite
from tirtrack.networks.nanotrack import nanotrack_v1, nanotrack_v2, nanotrack_v3
from tirtrack.networks.siamese import SiameseNetwork
from tirtrack.networks.two_branch import TwoBranchNetwork

_Shapes = Mapping[str, tuple[int, ...]]

_CONSTRUCTORS: dict[str, Callable[..., TwoBranchNetwork]] = {
    "atom18": atom18,
    "dimp-lite": dimp.dimp_lite,
    "dimp-lite-mobilenet": partial(dimp.dimp, dimp.DIMP_LITE_MOBILENET),
    "dimp18": partial(dimp.dimp, dimp.DIMP18),
    "dimp50": partial(dimp.dimp, dimp.DIMP50),
    "fear-xs": fear_xs,
    "joint-lite": joint_lite,
    "nanotrack-v1": nanotrack_v1,
    "nanotrack-v2": nanotrack_v2,
    "nanotrack-v3": nanotrack_v3,
    "prdimp18": partial(dimp.dimp, dimp.PRDIMP18),
    "prdimp50": partial(dimp.dimp, dimp.PRDIMP50),
    "superdimp50": partial(dimp.dimp, dimp.SUPERDIMP50),
    "superdimp_simple": partial(dimp.dimp, dimp.SUPERDIMP_SIMPLE),
}
_BACKBONES: dict[str, Callable[[], backbones.TappedBackbone]] = {
    "mobilenet-v2": backbones.mobilenet_v2,
    "resnet18": backbones.resnet18,
    "resnet50": backbones.resnet50,
}
_NEAR = 4  # similar names listed in the error for an unknown name
_TINY = "-tiny"  # same parts, few channels, for tests; allowed in files, not listed


def names() -> list[str]:
    """Every architecture, in order.

    >>> [name for name in names() if name.startswith("nano")]
    ['nanotrack-v1', 'nanotrack-v2', 'nanotrack-v3']
    """
    return sorted(_CONSTRUCTORS)


def families() -> list[str]:
    """The families of all networks, in order; a recipe trains the networks of one.

    >>> families()
    ['atom', 'dimp', 'joint', 'siamese']
    """
    return sorted({kind.family for kind in (Atom, dimp.Dimp, JointEncoder, SiameseNetwork)})


def build(name: str, *, tiny: bool = False, seed: int = 0) -> TwoBranchNetwork:
    """A network with random weights, in training mode; the same seed gives the same weights.

    Args:
        name: one of :func:`names`; the suffix ``-tiny`` is the same as ``tiny``.
        tiny: few channels, the same parts: for tests.
        seed: seed of the weights; the global generator of torch is neither read nor changed.

    Raises:
        WeightsError: no network has this name.
    """
    network = undrawn(name, tiny=tiny)
    network.draw_weights(torch.Generator().manual_seed(seed))
    return network


def undrawn(name: str, *, tiny: bool = False) -> TwoBranchNetwork:
    """A network as of :func:`build`, for weights that are loaded: its own are not drawn."""
    plain = name.removesuffix(_TINY)
    if plain in _BACKBONES:
        raise WeightsError(
            f"{name} is a backbone alone",
            fix="name a network that stands on it, such as dimp18, and begin it with this",
        )
    if plain not in _CONSTRUCTORS:
        raise WeightsError(
            f'no network is called "{name}"', fix=did_you_mean(plain, names(), most=_NEAR)
        )
    with torch.random.fork_rng(devices=[]):  # torch modules draw random weights when they are made
        return _CONSTRUCTORS[plain](tiny=tiny or plain != name)


@cache
def stored_shapes(name: str) -> _Shapes:
    """Shapes of all tensors in a weights file of this network, by key.

    Raises:
        WeightsError: no network has this name.
    """
    with torch.device("meta"):  # shapes only: nothing is allocated or drawn
        return _shapes(undrawn(name))


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    state = module.state_dict()
    return {key: tuple(value.shape) for key, value in state.items() if is_stored(key)}


def backbone_names() -> list[str]:
    """Backbones with weights files of their own, to start a training from, in order.

    >>> backbone_names()
    ['mobilenet-v2', 'resnet18', 'resnet50']
    """
    return sorted(_BACKBONES)


def backbone_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors in a file of this backbone, by key; see :func:`build_backbone`.

    Raises:
        WeightsError: no backbone has this name.
    """
    with torch.device("meta"):
        return _shapes(_constructed_backbone(name))


def build_backbone(name: str, *, seed: int = 0) -> backbones.TappedBackbone:
    """A backbone with random weights, in training mode; the same seed gives the same weights.

    Raises:
        WeightsError: no backbone has this name.
    """
    backbone = _constructed_backbone(name)
    backbones.draw_fan_out(backbone, torch.Generator().manual_seed(seed))
    return backbone


def _constructed_backbone(name: str) -> backbones.TappedBackbone:
    if name not in _BACKBONES:
        raise WeightsError(
            f'no backbone is called "{name}"',
            fix=did_you_mean(name, backbone_names(), most=_NEAR),
        )
    with torch.random.fork_rng(devices=[]):
        return _BACKBONES[name]()


def is_stored(key: str) -> bool:
    """Whether weights files have this key: all except the counters of batch norm, which nothing
    reads and which published files leave out.
    """
    return not key.endswith("num_batches_tracked")


def shapes_of(name: str) -> _Shapes:
    """Shapes of all tensors in a file of this network or backbone, by key.

    Raises:
        WeightsError: no network and no backbone has this name.
    """
    if name in _BACKBONES:
        return backbone_shapes(name)
    if name.removesuffix(_TINY) not in _CONSTRUCTORS:
        known = [*names(), *backbone_names()]
        raise WeightsError(
            f'no network is called "{name}"', fix=did_you_mean(name, known, most=_NEAR)
        )
    return stored_shapes(name)


@dataclass(frozen=True)
class NetworkInput:
    """The input of a network.

    Attributes:
        reference_side: side of a reference patch, pixels; ``None`` for a backbone, which takes any.
        test_side: side of a test patch, pixels; ``None`` for a backbone.
        channels: order of the channels, RGB or BGR.
        black: input value of black, one number per channel.
        white: input value of white, one number per channel.
    """

    reference_side: int | None
    test_side: int | None
    channels: str
    black: tuple[float, ...]
    white: tuple[float, ...]


def input_of(name: str) -> NetworkInput:
    """The input of a network or backbone, found by normalising black, white and red patches.

    Raises:
        WeightsError: no network and no backbone has this name.
    """
    network: TwoBranchNetwork | None = None
    if name not in _BACKBONES:
        with torch.device("meta"):
            network = undrawn(name)
    normalise = backbones.imagenet_normalised if network is None else network.normalise
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    black, white, seen = (
        normalise(patch)[:, 0, 0] for patch in (0.0 * red, torch.ones_like(red), red)
    )
    return NetworkInput(
        reference_side=None if network is None else network.reference_side,
        test_side=None if network is None else network.test_side,
        channels="RGB" if bool(seen[0] != black[0]) else "BGR",
        black=tuple(black.tolist()),
        white=tuple(white.tolist()),
    )


@cache
def _all_shapes() -> dict[str, _Shapes]:
    tiny = [name + _TINY for name in names()]
    return {name: shapes_of(name) for name in (*names(), *backbone_names(), *tiny)}


def architectures_of(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The networks and backbones that have exactly these tensors; several can (``dimp50``,
    ``superdimp50``).

    Args:
        shapes: shapes of tensors by key; may include counters of batch norm.

    Raises:
        WeightsError: none has; the message names the nearest one and the first five keys that
            differ, or the first given keys if no network has any of them.
    """
    fitting = fitting_architectures(shapes)
    if fitting:
        return fitting
    known, given = _all_shapes(), _stored(shapes)
    nearest = min(known, key=lambda name: len(_differing(given, known[name])))
    if any(given.keys() & wanted.keys() for wanted in known.values()):
        compared = f"nearest is {nearest}: {_difference(given, known[nearest])}"
    else:
        compared = f"none has a tensor of these names ({', '.join(sorted(given)[:5])})"
    raise WeightsError(
        f"its tensors are those of no known network; {compared}",
        fix=f"give weights of {', '.join([*names(), *backbone_names()])}",
    )


def fitting_architectures(shapes: _Shapes) -> list[str]:
    """As :func:`architectures_of`, but empty if none has exactly these tensors."""
    given = _stored(shapes)
    return [name for name, wanted in _all_shapes().items() if wanted == given]


def distance(shapes: _Shapes, name: str | None = None) -> int:
    """Number of tensors that are missing, unknown or of another shape.

    Args:
        shapes: shapes of tensors by key; may include counters of batch norm.
        name: network or backbone to compare with; the nearest by default.

    Raises:
        WeightsError: no network and no backbone has this name.
    """
    given = _stored(shapes)
    known = [*_all_shapes().values()] if name is None else [shapes_of(name)]
    return min(len(_differing(given, wanted)) for wanted in known)


def is_backbone(name: str) -> bool:
    """Whether a name is that of a backbone, not of a network that tracks."""
    return name in _BACKBONES


def _stored(shapes: _Shapes) -> dict[str, tuple[int, ...]]:
    return {key: tuple(shape) for key, shape in shapes.items() if is_stored(key)}


def check_fits(name: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse tensors that are not those of a network or backbone.

    Raises:
        WeightsError: the name is unknown, or the tensors differ; the message has the first five
            keys that differ, and the network that the tensors do fit.
    """
    wanted, given = shapes_of(name), _stored(shapes)
    if given == wanted:
        return
    fitting = [other for other, theirs in _all_shapes().items() if theirs == given]
    fit = (
        f"its tensors are those of {' or '.join(fitting)}"
        if fitting
        else (f"its tensors are not those of {name}: {_difference(given, wanted)}")
    )
    raise WeightsError(fit, fix=f"give weights of {name}")


def _differing(given: _Shapes, wanted: _Shapes) -> list[str]:
    return [key for key in given.keys() | wanted.keys() if given.get(key) != wanted.get(key)]


def _difference(given: _Shapes, wanted: _Shapes) -> str:
    """Missing, unknown and differently shaped tensors: their number, and the first five of each."""
    reshaped = {key for key in given.keys() & wanted.keys() if given[key] != wanted[key]}
    parts = {
        "missing": sorted(wanted.keys() - given.keys()),
        "not known": sorted(given.keys() - wanted.keys()),
        "of another shape": [
            f"{key} {list(given[key])} instead of {list(wanted[key])}" for key in sorted(reshaped)
        ],
    }
    return "; ".join(
        f"{len(keys)} {what} ({', '.join(keys[:5])})" for what, keys in parts.items() if keys
    )
