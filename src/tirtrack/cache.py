"""The folder of things that can be made again: rendered worlds, exported graphs, frozen features.

``TIRTRACK_CACHE`` names it, else the user's cache folder. Deleting it costs time and nothing else.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


def cache_folder(kind: str | None = None) -> Path:
    """The cache, or its part for one kind of thing (``worlds``, ``graphs``); not made yet."""
    root = os.environ.get("TIRTRACK_CACHE")
    base = (
        Path(root)
        if root
        else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tirtrack"
    )
    return base if kind is None else base / kind


@dataclass(frozen=True)
class CacheEntry:
    """One kind of cached thing: its name, its files, and their size in bytes."""

    kind: str
    files: int
    size_bytes: int


def cache_entries() -> list[CacheEntry]:
    """What the cache holds, by kind, in the order of names."""
    root = cache_folder()
    if not root.is_dir():
        return []
    entries = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        entries.append(CacheEntry(folder.name, len(sizes), sum(sizes)))
    return entries


def clear_cache() -> int:
    """Delete everything in the cache; the bytes that were freed."""
    freed = sum(entry.size_bytes for entry in cache_entries())
    root = cache_folder()
    if root.is_dir():
        for folder in [path for path in root.iterdir() if path.is_dir()]:
            shutil.rmtree(folder)
    return freed
