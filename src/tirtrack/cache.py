"""The folder of files that can be made again: rendered worlds, exported graphs, frozen features.

``TIRTRACK_CACHE`` names it, else the user's cache folder. Deleting it costs time and nothing else.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from tirtrack.errors import StorageError
from tirtrack.files import fingerprint, write_text

KINDS = ("graphs", "pools", "proposals", "tracks", "worlds")
Value = TypeVar("Value")
_log = logging.getLogger(__name__)
_record: ContextVar[list[tuple[str, Mapping[str, Any], str]] | None] = ContextVar(
    "recorded_values", default=None
)


def cache_folder(kind: str | None = None) -> Path:
    """The cache, or its part for one of :data:`KINDS`; not made yet.

    Raises:
        ValueError: the cache holds no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f'the cache holds no "{kind}"; known are {", ".join(KINDS)}')
    root = os.environ.get("TIRTRACK_CACHE")
    base = (
        Path(root)
        if root
        else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tirtrack"
    )
    return base if kind is None else base / kind


def kept_values(
    kind: str,
    identities: Sequence[Mapping[str, Any]],
    make: Callable[[Sequence[int]], Iterable[tuple[int, Value]]],
    *,
    dump: Callable[[Value], str | None],
    load: Callable[[str], Value],
    notify: Callable[[int], None],
) -> list[Value]:
    """Values in the order of their identities, from the cache or made; each is kept as it is made,
    if the disk allows.

    Args:
        kind: one of :data:`KINDS`.
        identities: for each value everything that it depends on besides the version of this
            package, as JSON values.
        make: function that makes those that were not found, by their places in ``identities``:
            yields the place of each among these, and its value, in any order.
        dump: function from a value to its text; ``None`` for one that is not to be kept.
        load: its inverse, as for :func:`find_value`.
        notify: callback that is told the number of values, of those found first.
    """
    values: dict[int, Value] = {}
    for number, identity in enumerate(identities):
        if (found := find_value(kind, identity, load)) is not None:
            values[number] = found
    due = [number for number in range(len(identities)) if number not in values]
    notify(len(values))
    for place, value in make(due):
        values[due[place]] = value
        if (text := dump(value)) is not None:
            keep_value(kind, identities[due[place]], text)
        notify(len(values))
    every = [values[number] for number in range(len(identities))]
    if (record := _record.get()) is not None:
        texts = map(dump, every)
        record += [(kind, one, text) for one, text in zip(identities, texts, strict=True) if text]
    return every


@contextmanager
def recorded_values() -> Iterator[list[tuple[str, Mapping[str, Any], str]]]:
    """A list of kind, identity and text of all that :func:`kept_values` finds or makes inside."""
    record: list[tuple[str, Mapping[str, Any], str]] = []
    token = _record.set(record)
    try:
        yield record
    finally:
        _record.reset(token)


def find_value(
    kind: str, identity: Mapping[str, Any], load: Callable[[str], Value]
) -> Value | None:
    """A value from the cache; ``None`` if it holds no match.

    Args:
        kind: one of :data:`KINDS`.
        identity: everything that the value depends on, as for :func:`kept_values`.
        load: function from a text to its value; a text for which it raises ``ValueError``,
            ``TypeError`` or ``KeyError`` is no match.
    """
    try:
        return load(_file_of(kind, identity).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def keep_value(kind: str, identity: Mapping[str, Any], text: str) -> None:
    """Keep the text of a value, if the disk allows.

    Args:
        kind: one of :data:`KINDS`.
        identity: everything that the value depends on, as for :func:`kept_values`.
        text: text that gives the value back.
    """
    try:
        write_text(_file_of(kind, identity), text)
    except StorageError as error:
        said = StorageError(error.what, error.where, "free some space or set TIRTRACK_CACHE")
        _log.warning("%s are not kept: %s", kind, said)


def _file_of(kind: str, identity: Mapping[str, Any]) -> Path:
    name = fingerprint({"tirtrack": _version(), **identity})
    return cache_folder(kind) / f"{name}.json"


@lru_cache
def _version() -> str:
    return metadata.version("tirtrack")


@dataclass(frozen=True)
class CacheEntry:
    """One kind of cached content: its name, its files, and their size in bytes."""

    kind: str
    files: int
    size_bytes: int


def cache_entries() -> list[CacheEntry]:
    """What the cache holds, by kind, in the order of names; links are not followed."""
    entries = []
    for folder in _folders():
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        sizes = [path.stat().st_size for path in files]
        entries.append(CacheEntry(folder.name, len(sizes), sum(sizes)))
    return entries


def clear_cache() -> int:
    """Delete all kinds of cached content; returns the number of freed bytes.

    What else lies in the folder stays: ``TIRTRACK_CACHE`` may name one that holds other things.
    """
    freed = sum(entry.size_bytes for entry in cache_entries())
    for folder in _folders():
        shutil.rmtree(folder)  # removes links, never what they lead to
    return freed


def _folders() -> list[Path]:
    """The folders of all kinds that are there; a link in place of one is not ours."""
    folders = [cache_folder(kind) for kind in KINDS]
    return [folder for folder in folders if folder.is_dir() and not folder.is_symlink()]
