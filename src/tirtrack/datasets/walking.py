"""Folders below a folder, linked ones included, without endless loops."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder at or below ``root`` with the sorted names of its files, in order of names.

    A linked folder is walked under the name of its link, but not where it leads back to a folder
    that it lies in.
    """
    above: dict[str, frozenset[str]] = {str(root): frozenset({os.path.realpath(root)})}
    for folder, subfolders, files in os.walk(root, followlinks=True):
        chain = above.pop(folder)
        real = {name: os.path.realpath(Path(folder) / name) for name in subfolders}
        subfolders[:] = sorted(name for name in subfolders if real[name] not in chain)
        above.update({str(Path(folder) / name): chain | {real[name]} for name in subfolders})
        yield Path(folder), sorted(files)
