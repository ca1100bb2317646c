"""Unused files and folders below a folder, and their description in words."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tirtrack.source_line import counted

__all__ = ["unused_in_words", "unused_names"]

_LISTED = 3


def unused_names(folder: Path, used: Iterable[Path]) -> list[str]:
    """Names of files and folders at or below a folder that are unused and hold nothing used.

    A folder in which nothing is used is given by its name alone, with a slash at its end. Hidden
    files and folders do not count.

    Args:
        folder: folder to search.
        used: files that are read; those elsewhere are ignored.
    """
    kept = {path.absolute() for path in used}
    opened = _folders_above(kept, folder.absolute())
    known = kept | opened
    names = []
    for place in sorted(opened):
        with os.scandir(place) as entries:
            left = [one for one in entries if Path(one.path) not in known]
            names += sorted(f"{one.name}/" if one.is_dir() else one.name for one in left)
    return [name for name in names if not name.startswith(".")]


def _folders_above(files: Iterable[Path], folder: Path) -> set[Path]:
    """The folder and those below it that lead to the files."""
    found = {folder}
    for above in {file.parent for file in files}:
        if above.is_relative_to(folder):
            found |= {above, *(one for one in above.parents if one.is_relative_to(folder))}
    return found


def unused_in_words(names: Sequence[str]) -> str:
    """The number of files and folders, and the most frequent names.

    >>> unused_in_words(["visible/", "init.txt", "visible/", "init.txt", "index.json"])
    '3 files and 2 folders (init.txt 2 times, visible/ 2 times, index.json)'
    """
    folders = sum(name.endswith("/") for name in names)
    counts = [(len(names) - folders, "file"), (folders, "folder")]
    said = " and ".join(counted(count, thing) for count, thing in counts if count)
    by_name = Counter(sorted(names)).most_common()
    listed = [name if count == 1 else f"{name} {count} times" for name, count in by_name[:_LISTED]]
    return f"{said} ({', '.join([*listed, '...'] if len(by_name) > _LISTED else listed)})"
