"""Finds, reads and writes weights: one ``.safetensors`` file is one whole tracker.

Reading never runs code of the file and checks everything once, here: that the file is whole, that
its tensors are those of a network we know, that every number is finite. What comes back can be
trusted. Torch is imported only by what needs tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from tirtrack import files
from tirtrack.errors import TrainingError, WeightsError, did_you_mean
from tirtrack.weights.card import Card

if TYPE_CHECKING:
    from torch import Tensor

    from tirtrack.networks.two_branch import TwoBranchNetwork

SUFFIX = ".safetensors"
SHIPPED = Path(__file__).parent / "shipped"
CARD_KEY = "tirtrack"


@dataclass(frozen=True)
class Weights:
    """A weights file, read and checked.

    Attributes:
        card: card of the file, or the one that its keys imply when it has none.
        state: key to float32 tensor, complete for ``card.architecture``.
        sha256: SHA-256 of the file.
        path: path of the file.
    """

    card: Card
    state: dict[str, Tensor]
    sha256: str
    path: Path


def shipped() -> list[Path]:
    """The weights that come with tirtrack, in the order of their names."""
    return sorted(SHIPPED.glob(f"*{SUFFIX}"))


def find(name_or_path: str | Path) -> Path:
    """The file of a shipped name, or the file itself.

    Raises:
        WeightsError: there is neither a file nor a shipped name like that.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = {file.stem: file for file in shipped()}
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    if path.suffix == SUFFIX or len(path.parts) > 1:
        raise WeightsError("no such file", path, "give the path of a .safetensors file")
    from tirtrack.networks import registry

    name = str(name_or_path)
    if name in registry.names():
        raise WeightsError(
            f'"{name}" is a network, and no weights of it are shipped',
            fix="give a file: of a published checkpoint by tirtrack weights import, or your own by "
            f"tirtrack train --network {name}",
        )
    raise WeightsError(
        f'no weights are called "{name}" and no such file exists',
        fix=did_you_mean(name, known) if known else "give a .safetensors file",
    )


def card_of(path: Path) -> Card:
    """The card of a file, without reading its tensors.

    A file without a card whose keys fit a network gets a minimal one: its stem as the
    name, modality rgb, licence unknown.

    Raises:
        WeightsError: the file cannot be read, its card is damaged, or its keys fit no network.
    """
    with open_tensors(path, "numpy") as opened:
        return _card(Path(path), opened)


def list_weights() -> list[dict[str, Any]]:
    """The weights that come with tirtrack, by name: for each its card, the input of its network,
    the path of the file and its SHA-256, as JSON values.
    """
    return [described(path, card_of(path)) for path in shipped()]


def weights_info(weights: str | Path) -> dict[str, Any]:
    """One weights file, read and checked: what :func:`list_weights` says of it, its number of
    parameters, and for a network of which graphs are made what is known of its engines on this
    machine (:func:`tirtrack.weights.engine_choice.engine_facts`).

    Args:
        weights: name of shipped weights, or path of a weights file.

    Raises:
        WeightsError: there are no such weights, or the file is damaged.
    """
    from tirtrack.networks.atom import Atom
    from tirtrack.networks.dimp import Dimp
    from tirtrack.networks.siamese import SiameseNetwork
    from tirtrack.weights.engine_choice import engine_facts

    found = read(find(weights))
    parameters = sum(tensor.numel() for tensor in found.state.values())
    told = {**described(found.path, found.card), "parameters": parameters}
    is_backbone = told["input"]["test_side"] is None
    network = None if is_backbone else network_of(found)
    if isinstance(network, SiameseNetwork | Dimp | Atom):
        told["engines"] = engine_facts(found.path, preset=found.card.preset)
        if not isinstance(network, SiameseNetwork):  # its filters are torch's: none is chosen
            told["engines"]["track"] = "torch"
    return told


def described(path: Path, card: Card) -> dict[str, Any]:
    """A card with what it implies: the input of its network, path and SHA-256 of the file."""
    from tirtrack.networks.registry import input_of

    return {
        **card.model_dump(mode="json"),
        "input": asdict(input_of(card.architecture)),
        "path": str(path),
        "sha256": files.sha256(path),
    }


def read(path: Path) -> Weights:
    """A weights file, whole and checked.

    Raises:
        WeightsError: the file is damaged or no safetensors file, its tensors are not those of the
            network it names, or a number is not finite.
    """
    path = Path(path)
    with open_tensors(path, "pt") as opened:
        card = _card(path, opened)
        shapes = _stored_shapes(opened)
        _check_shapes(path, card.architecture, shapes)
        # Copies: tensors that lie in the file would change, or crash, when the file does.
        state = {key: opened.get_tensor(key).float().clone() for key in shapes}
    bad = [key for key, tensor in state.items() if not bool(tensor.isfinite().all())]
    if bad:
        raise WeightsError(
            f"{len(bad)} tensors hold numbers that are not finite, first {_first(bad)}",
            path,
            "the file is damaged or its training diverged; get another copy",
        )
    return Weights(card, state, files.sha256(path), path)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file as float32 arrays, unchecked and without torch: to tell whether these
    weights were seen before.

    Raises:
        WeightsError: the file is damaged or no safetensors file.
    """
    with open_tensors(path, "numpy") as opened:
        arrays = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    # Whole numbers are the counters of batch norm, which nothing reads.
    return {
        key: array.astype(np.float32) for key, array in arrays.items() if array.dtype.kind == "f"
    }


def write(path: Path, network: TwoBranchNetwork, card: Card) -> None:
    """Write a network and its card, whole or not at all; the same input gives the same bytes.

    Raises:
        TrainingError: a number of the network is not finite.
        StorageError: the file cannot be written.
        ValueError: the network is not of the card's architecture.
    """
    from tirtrack.networks.registry import is_stored

    state = network.state_dict()
    write_state(path, {key: value for key, value in state.items() if is_stored(key)}, card)


def write_state(path: Path, state: Mapping[str, Tensor], card: Card) -> None:
    """Write the tensors of a network or a backbone by their keys; see :func:`write`."""
    from safetensors.torch import save

    from tirtrack.networks.registry import shapes_of

    stored = {key: value.detach().cpu().float().contiguous() for key, value in state.items()}
    if {key: tuple(value.shape) for key, value in stored.items()} != shapes_of(card.architecture):
        raise ValueError(f"the network is no {card.architecture}, which its card names")
    bad = [key for key, value in stored.items() if not bool(value.isfinite().all())]
    if bad:
        raise TrainingError(
            f"the network holds numbers that are not finite, first {_first(bad)}",
            path,
            "nothing was written; train with a lower rate",
        )
    files.write_bytes(path, save(stored, {CARD_KEY: card.model_dump_json()}))


def network_of(weights: Weights) -> TwoBranchNetwork:
    """The network with these weights, in eval mode, on the CPU; it shares no memory with them."""
    from tirtrack.networks.registry import undrawn

    network = undrawn(weights.card.architecture)
    network.load_state_dict(weights.state)
    return network.eval()


@contextmanager
def open_tensors(path: Path, framework: str) -> Iterator[Any]:
    """The open file; any fault of it becomes an error of one sentence."""
    try:
        with safe_open(path, framework=framework) as opened:
            yield opened
    except SafetensorError as error:
        if Path(path).stat().st_size == 0:
            raise WeightsError("the file is empty (0 bytes)", path, "get another copy") from error
        raise WeightsError(
            f"is damaged or no safetensors file ({error})",
            path,
            "get another copy, or make a weights file of it by tirtrack weights import, if it is "
            "a checkpoint of torch (.pth, .pt)",
        ) from error
    except OSError as error:
        raise WeightsError(
            f"cannot be read ({error.strerror or error})", path, "check the path and your rights"
        ) from error


def _card(path: Path, opened: Any) -> Card:
    text = (opened.metadata() or {}).get(CARD_KEY)
    if text is None:
        return _implied_card(path, _stored_shapes(opened))
    try:
        return Card.model_validate(json.loads(text), strict=False)
    except (ValidationError, ValueError) as error:
        fault = str(error).splitlines()
        raise WeightsError(
            f"its card cannot be read ({' '.join(' '.join(fault[:3]).split())})",
            path,
            "it was damaged, or written by a newer version",
        ) from error


def _implied_card(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Card:
    from tirtrack.networks.registry import architectures_of

    try:
        fitting = architectures_of(shapes)
    except WeightsError as error:
        raise WeightsError(error.what, path, error.fix) from None
    if len(fitting) > 1:
        raise WeightsError(
            f"its tensors fit {' and '.join(fitting)}, and it has no card that says which",
            path,
            "make it a weights file with tirtrack weights import --network",
        )
    return Card(name=path.stem, architecture=fitting[0], modality="rgb", licence="unknown")


def _stored_shapes(opened: Any) -> dict[str, tuple[int, ...]]:
    from tirtrack.networks.registry import is_stored

    keys = [key for key in opened.keys() if is_stored(key)]  # noqa: SIM118
    return {key: tuple(opened.get_slice(key).get_shape()) for key in keys}


def _check_shapes(path: Path, architecture: str, stored: Mapping[str, tuple[int, ...]]) -> None:
    from tirtrack.networks.registry import check_fits, shapes_of

    shapes_of(architecture)  # an unknown name is a separate error
    try:
        check_fits(architecture, stored)
    except WeightsError as error:
        raise WeightsError(
            f"its card says {architecture}, but {error.what}", path, "get another copy of the file"
        ) from None


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:5])
