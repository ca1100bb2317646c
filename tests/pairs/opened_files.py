"""Which files the interpreter opens: the proof that no label is one of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LISTS: list[list[str]] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if _LISTS and event == "open" and isinstance(arguments[0], str | os.PathLike):
        _LISTS[-1].append(os.fspath(arguments[0]))


sys.addaudithook(_note)  # stays for good, so it notes nothing outside of opened_below


@contextmanager
def opened_below(folder: Path) -> Iterator[set[Path]]:
    """The files below a folder that are opened in the block, once it has ended."""
    found: set[Path] = set()
    _LISTS.append([])
    try:
        yield found
    finally:
        found |= {Path(name) for name in _LISTS.pop() if str(folder) in name}
