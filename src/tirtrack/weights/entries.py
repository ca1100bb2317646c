"""Where in a file the tensors of a network lie: in which of its dicts, and behind which prefix.

Trainers put a network into something before they save it: an entry of a dict, a module that holds
it beside losses and copies, a wrapper for several devices or for the mean of the weights. All of
these are recognised by names alone; the tensors tell which place is the network's.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of names that come from torch: of training on several devices, of compiling. No network of
ours has such a part."""
_MAX_PREFIX = 8  # parts of a name
_SEPARATORS = "_/:-"
_SHARE = 0.25  # of the largest place; others of at least this size may be meant too
_MOST_LIKELY = 32


@dataclass(frozen=True)
class TensorPlace:
    """Tensors that lie together.

    Attributes:
        entry: keys that lead to their dict, joined by points; empty for the file's own.
        prefix: prefix in front of their names in a network, with the separator at its end.
        names: name in a network -> name in the entry.
        around: every name of the entry.
    """

    entry: str
    prefix: str
    names: Mapping[str, str]
    around: Collection[str] = ()

    @property
    def path(self) -> str:
        """Entry and prefix in one, as a user names the place; a point for the file's own names.

        >>> TensorPlace("ema.state_dict", "model.", {}).path
        'ema.state_dict.model'
        """
        return ".".join(part for part in (self.entry, self.prefix.rstrip(".")) if part) or "."

    @property
    def beside(self) -> list[str]:
        """Names of the entry that are not in this place, in order."""
        return sorted({*self.around} - {*self.names.values()})

    @property
    def is_whole(self) -> bool:
        """Whether nothing lies beside it but counters of a wrapper, which belong to no module."""
        return not any(map(_is_of_a_module, self.beside))

    def is_called(self, asked: str) -> bool:
        """Whether a user's text names this place: its path, or consecutive keys of it."""
        return asked == self.path or f".{asked}." in f".{self.path}."


def places_of(entries: Mapping[str, Iterable[str]]) -> list[TensorPlace]:
    """Every place at which a network could lie, entries in their order, short prefixes first.

    Args:
        entries: path of a dict of tensors -> their names.
    """
    return [place for entry, names in entries.items() for place in _in_entry(entry, [*names])]


def likely(places: Iterable[TensorPlace]) -> list[TensorPlace]:
    """The largest places, where the network probably lies if none fits."""
    ordered = sorted(places, key=lambda place: -len(place.names))[:_MOST_LIKELY]
    return [place for place in ordered if len(place.names) >= _SHARE * len(ordered[0].names)]


def taken_off(place: TensorPlace) -> list[str]:
    """Parts before or inside the names that a network's names lack; empty if there are none.

    >>> taken_off(TensorPlace("", "model.", {"a.b": "model._orig_mod.a.b"}))
    ['model._orig_mod.']
    """
    said = []
    for key, name in place.names.items():
        if name.endswith(key):
            said.append(name.removesuffix(key))
        else:
            said += [place.prefix, *(f"{part}." for part in name.split(".") if part in _WRAPPERS)]
    return [text for text in dict.fromkeys(said) if text]


def _in_entry(entry: str, names: list[str]) -> list[TensorPlace]:
    prefixes = _by_prefix(_unwrapped(filter(_is_of_a_module, names)))
    return [TensorPlace(entry, prefix, found, names) for prefix, found in prefixes.items()]


def _is_of_a_module(name: str) -> bool:
    """Whether a tensor's name begins with a module's; true of all tensors of our networks.

    >>> _is_of_a_module("n_averaged")
    False
    """
    return "." in name


def _unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Name without parts of torch -> name; the names themselves if two would collide."""
    listed = [*names]
    plain = {
        ".".join(part for part in name.split(".") if part not in _WRAPPERS): name for name in listed
    }
    return plain if len(plain) == len(listed) else {name: name for name in listed}


def _by_prefix(names: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Prefix -> the rest of each name that has it -> name; the empty prefix first."""
    found: dict[str, dict[str, str]] = {"": dict(names)}
    for key, name in names.items():
        parts = key.split(".")
        for depth in range(1, min(len(parts), _MAX_PREFIX + 1)):
            found.setdefault(".".join(parts[:depth]) + ".", {})[".".join(parts[depth:])] = name
    for prefix in _otherwise_separated(names):
        found[prefix] = {key.removeprefix(prefix): name for key, name in names.items()}
    return found


def _otherwise_separated(names: Collection[str]) -> list[str]:
    """Prefixes that all names share and that end in a character other than a point.

    >>> _otherwise_separated(["my_net/a.b", "my_net/a.c"])
    ['my_', 'my_net/']
    """
    first, last = min(names, default=""), max(names, default="")  # all others lie between
    shared = itertools.takewhile(lambda two: two[0] == two[1], zip(first, last, strict=False))
    ends = [end for end, (sign, _) in enumerate(shared, 1) if sign in _SEPARATORS]
    return [first[:end] for end in ends[:_MAX_PREFIX]]
