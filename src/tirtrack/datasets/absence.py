"""Files beside the boxes that mark the frames in which a target is absent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tirtrack.datasets.row_text import flag, number, read_text
from tirtrack.errors import DatasetError

# stem -> the value that means absent
_STEMS = {
    "absence": 1,  # GOT-10k
    "cover": 0,  # GOT-10k: nothing of the target is visible
    "out_of_view": 1,  # LaSOT
    "full_occlusion": 1,  # LaSOT
    "absent": 1,
    "absent_label": 1,
    "exist": 0,
}
_COVER = "cover"
_MOST_COVER = 8  # eighths of the target
_SUFFIXES = (".txt", ".label", ".tag", ".json", ".csv")


def absence_files(folder: Path) -> tuple[Path, ...]:
    """The files of flags in a sequence's folder."""
    names = [stem + suffix for stem in _STEMS for suffix in _SUFFIXES]
    return tuple(folder / name for name in names if (folder / name).is_file())


def absent_by_files(files: Iterable[Path], rows: int) -> np.ndarray:
    """``[rows]`` bool: where any of the files says that the target is absent.

    Raises:
        DatasetError: a file has another number of flags, or a value that is not a flag.
    """
    absent = np.zeros(rows, dtype=bool)
    for path in files:
        words = _words(path)
        kind = "numbers from 0 to 8" if path.stem == _COVER else "flags of 0 or 1"
        flags = np.array([flag(word, str(path), kind) for word in words])
        if len(flags) != rows:
            raise DatasetError(
                f"has {len(flags)} flags, the annotation has {rows} rows", path, "one for each row"
            )
        if np.isnan(flags).any():
            missing = words[int(np.isnan(flags).argmax())]
            raise DatasetError(f'"{missing}" is not a flag', path, f"expected {kind}")
        absent |= flags == _STEMS.get(path.stem, 1)
    return absent


def cover_of(files: Iterable[Path]) -> np.ndarray | None:
    """``[rows]`` visible share of the target in eighths, by files that :func:`absent_by_files` has
    read; ``None`` without one that says it.

    Raises:
        DatasetError: a value is not a number from 0 to 8.
    """
    path = next((path for path in files if path.stem == _COVER), None)
    if path is None:
        return None
    words = _words(path)
    cover = np.array([number(word, str(path), "numbers from 0 to 8") for word in words])
    odd = ~((cover >= 0) & (cover <= _MOST_COVER))
    if odd.any():
        row = int(odd.argmax())
        raise DatasetError(
            f'"{words[row]}" is no visible share',
            f"{path}, row {row + 1}",
            "expected 0 to 8 eighths",
        )
    return cover


def _words(path: Path) -> list[str]:
    """The flags of a file: separated in any way, as a JSON list, or as one under any key; a column
    name may come first.
    """
    text = read_text(path)
    if path.suffix == ".json":
        text = re.sub(r"[\[\]{}]|\"[^\"]*\"\s*:", " ", text)
    words = re.split(r"[\s,;]+", text.strip().strip(",;").strip())
    return words[1:] if words[0].lower() in _STEMS else words
