"""Which network a file holds, and at which place in it, by names and shapes of tensors alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tirtrack.errors import WeightsError, did_you_mean
from tirtrack.weights import constructors
from tirtrack.weights.entries import TensorPlace, likely, places_of, taken_off
from tirtrack.weights.unpickling import DAMAGED, shown

if TYPE_CHECKING:
    from torch import Tensor

_BESIDE = {"ban_head.": "neck.", "features.": "classifier."}
"""Prefix of a network's keys -> prefix of what published files hold beside it and it does not use:
the neck of NanoTrack, which is never run, and the classifier behind the features of MobileNetV2."""
_PUBLISHED = ("net", "state_dict")
"""Places at which the published trackers keep their network; they need no note."""
_SHOWN = 3  # names in a note


@dataclass(frozen=True)
class Source:
    """A file with named tensors, none of which are read yet.

    Attributes:
        container: kind of container that stores them.
        shapes: shape of every tensor, by the path of its entry and its name there.
        read: function that reads one tensor, by the same two, as it is stored.
        constructor: record of how the network was made.
        licence: licence of the weights, as the file says; empty if it does not.
        url: origin of the weights, as the file says.
        said: other statements of the file about itself, for the card.
    """

    container: str
    shapes: dict[str, dict[str, tuple[int, ...]]]
    read: Callable[[str, str], Tensor]
    constructor: dict[str, Any] | None = None
    licence: str = ""
    url: str = ""
    said: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Identified:
    """The network in a file.

    Attributes:
        architecture: its name in the registry.
        entry: path of the dict that holds its tensors.
        names: key in the network -> name of a tensor in that dict.
        read_from: the same place in words for the user; empty for that of published trackers.
        notes: notes for the user, a sentence each.
    """

    architecture: str
    entry: str
    names: dict[str, str]
    read_from: str
    notes: tuple[str, ...]


def identify(source: Source, network: str | None = None, entry: str | None = None) -> Identified:
    """The network that a file holds.

    Args:
        source: the file.
        network: name of the network, where the file leaves that open.
        entry: key or prefix at which it lies, where the file holds several.

    Raises:
        WeightsError: the file holds no network of ours, several with different numbers, or one
            that could be several of ours.
    """
    places = _asked_for(source, entry)
    fitting = [place for place in places if _fits(source, place, network, asked=entry is not None)]
    exact = [place for place in fitting if place.path == entry]
    place = _only(source, exact or fitting) if fitting else _nearest(source, places, network)
    left_out = _left_out(source, place) if fitting else []
    told = _told(place)
    if told in _PUBLISHED and not left_out:
        told = ""
    try:
        architecture, notes = _architecture(_shapes(source, place), source.constructor, network)
    except WeightsError as error:
        what = f"{told}: {error.what}" if told and not fitting else error.what
        raise WeightsError(what, fix=error.fix) from error
    return Identified(architecture, place.entry, _needed(place), told, (*notes, *left_out))


# --- where it lies -------------------------------------------------------------------------------


def _needed(place: TensorPlace) -> dict[str, str]:
    """Key in a network -> name in the file, for every tensor that a network stores."""
    from tirtrack.networks.registry import is_stored

    unused = tuple(
        beside
        for prefix, beside in _BESIDE.items()
        if any(key.startswith(prefix) for key in place.names)
    )
    return {
        key: name
        for key, name in place.names.items()
        if is_stored(key) and not key.startswith(unused)
    }


def _shapes(source: Source, place: TensorPlace) -> dict[str, tuple[int, ...]]:
    stored = source.shapes[place.entry]
    return {key: stored[name] for key, name in _needed(place).items()}


def _asked_for(source: Source, entry: str | None) -> list[TensorPlace]:
    """Places that the user's entry can mean; all if none was given."""
    places = places_of(source.shapes)
    if entry is None:
        return places
    called = [place for place in places if place.is_called(entry)]
    if not called:
        known = [place.path for place in places if _fits(source, place, None, asked=True)]
        fix = did_you_mean(entry, known) if known else "leave out --entry"
        raise WeightsError(f'holds no entry called "{shown(entry)}"', fix=fix)
    return called


def _fits(source: Source, place: TensorPlace, network: str | None, *, asked: bool) -> bool:
    """Whether a place holds exactly a network; a backbone only where nothing lies beside it, as
    every tracker holds one, and a damaged tracker must not pass for it.
    """
    from tirtrack.networks import registry

    fitting = registry.fitting_architectures(_shapes(source, place))
    if network is not None:
        return network in fitting
    tracks = any(not registry.is_backbone(name) for name in fitting)
    return tracks or (bool(fitting) and (asked or place.is_whole))


def _only(source: Source, fitting: Sequence[TensorPlace]) -> TensorPlace:
    """The first place, if all hold the same numbers."""
    first = fitting[0]
    if all(_same_numbers(source, first, other) for other in fitting[1:]):
        return first
    options = [f"--entry {shown(place.path)}" for place in fitting]
    raise WeightsError(
        f"holds {len(options)} networks with different numbers",
        fix=f"say which one with {' or '.join(options)}",
    )


def _same_numbers(source: Source, one: TensorPlace, other: TensorPlace) -> bool:
    return one.names.keys() == other.names.keys() and all(
        source.read(one.entry, name).equal(source.read(other.entry, other.names[key]))
        for key, name in one.names.items()
    )


def _nearest(source: Source, places: Sequence[TensorPlace], network: str | None) -> TensorPlace:
    """The likeliest place of the network if none fits: one of another network, or the one
    with the fewest faults.
    """
    from tirtrack.networks.registry import distance

    others = [place for place in places if network and _fits(source, place, None, asked=False)]
    if others:
        return others[0]
    rated = [(distance(_shapes(source, place), network), place) for place in likely(places)]
    return min((one for one in rated if one[0]), key=lambda one: one[0])[1]


def _told(place: TensorPlace) -> str:
    """Where tensors lie, for the user; empty for a file that holds nothing else."""
    off = " or ".join(f'"{shown(text)}"' for text in taken_off(place))
    parts = [shown(place.entry), f"names without {off}" if off else ""]
    return ", ".join(part for part in parts if part)


def _left_out(source: Source, place: TensorPlace) -> list[str]:
    """Notes on tensors of the file that were not read, though they may belong to a network."""
    notes = []
    if not place.is_whole:
        beside = place.beside
        some = ", ".join(map(shown, beside[:_SHOWN]))
        notes.append(
            f"not read: {_counted(len(beside))} beside the network ({some}{_more(beside)})"
        )
    for entry, tensors in source.shapes.items():
        if entry != place.entry and 2 * len(tensors) >= len(place.names):
            notes.append(f"not read: {shown(entry) or 'the file itself'}, {_counted(len(tensors))}")
    return notes


def _counted(tensors: int) -> str:
    return "1 tensor" if tensors == 1 else f"{tensors} tensors"


def _more(names: Sequence[str]) -> str:
    return ", ..." if len(names) > _SHOWN else ""


# --- which one it is -----------------------------------------------------------------------------


def _architecture(
    shapes: Mapping[str, tuple[int, ...]], record: Mapping[str, Any] | None, asked: str | None
) -> tuple[str, tuple[str, ...]]:
    """The network that tensors, record and user agree on, and notes on it."""
    from tirtrack.networks import registry

    if asked is not None:
        registry.check_fits(asked, shapes)
    fitting = registry.architectures_of(shapes)
    origin = (
        constructors.ConstructorRecord(tuple(fitting), ())
        if record is None
        else _origin(record, fitting)
    )
    if asked is None:
        agreed = origin.networks
    else:
        agreed = tuple(name for name in origin.networks if name == asked)
    if not agreed:
        raise WeightsError(
            f"its record says {_either(origin.networks)}, not {asked}", fix="leave out --network"
        )
    if len(agreed) > 1:
        raise WeightsError(
            f"its tensors fit {_either(agreed)}, and nothing in it says which it is",
            fix=f"give --network {agreed[0]} or --network {agreed[1]}",
        )
    return agreed[0], origin.notes


def _origin(record: Mapping[str, Any], fitting: Sequence[str]) -> constructors.ConstructorRecord:
    """What the record says, of the networks that the tensors fit."""
    origin = constructors.origin_of(record)
    both = tuple(name for name in fitting if name.removesuffix("-tiny") in origin.networks)
    if not both:
        raise WeightsError(
            f"its record says {_either(origin.networks)}, its tensors are those of "
            f"{_either(fitting)}",
            fix=DAMAGED,
        )
    return constructors.ConstructorRecord(both, origin.notes)


def _either(names: Sequence[str]) -> str:
    return " or ".join(names)
