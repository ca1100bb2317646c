"""The folder of files that can be made again: rendered worlds, exported graphs, frozen features.

``TIRTRACK_CACHE`` names it, else the user's cache folder. Deleting it costs time and nothing else.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from tirtrack.errors import StorageError
from tirtrack.files import fingerprint, write_text

KINDS = ("graphs", "pools", "proposals", "tracks", "worlds")
Value = TypeVar("Value")
_log = logging.getLogger(__name__)


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


def kept_value(
    kind: str,
    identity: Mapping[str, Any],
    make: Callable[[], Value],
    *,
    dump: Callable[[Value], str],
    load: Callable[[str], Value],
) -> Value:
    """A value from the cache, or from ``make``; then it is kept, if the disk allows.

    Args:
        kind: one of :data:`KINDS`.
        identity: everything that the value depends on besides the version of this package, as JSON
            values.
        make: function that makes the value; called if the cache holds no match.
        dump: function from a value to its text.
        load: its inverse, as for :func:`find_value`.
    """
    value = find_value(kind, identity, load)
    if value is None:
        value = make()
        keep_value(kind, identity, dump(value))
    return value


def find_value(
    kind: str, identity: Mapping[str, Any], load: Callable[[str], Value]
) -> Value | None:
    """A value from the cache; ``None`` if it holds no match.

    Args:
        kind: one of :data:`KINDS`.
        identity: everything that the value depends on, as for :func:`kept_value`.
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
        identity: everything that the value depends on, as for :func:`kept_value`.
        text: text that gives the value back.
    """
    try:
        write_text(_file_of(kind, identity), text)
    except StorageError as error:
        _log.warning("%s are not kept: %s", kind, error)


def _file_of(kind: str, identity: Mapping[str, Any]) -> Path:
    name = fingerprint({"tirtrack": metadata.version("tirtrack"), **identity})
    return cache_folder(kind) / f"{name}.json"


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
