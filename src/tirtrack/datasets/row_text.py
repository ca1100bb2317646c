"""A row of numbers in a text file, as the benchmarks' many tools write it.

Comma, tab, blank, semicolon and mixtures, any line end, separators at the end of a row, brackets,
``NaN`` in any case.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from tirtrack.errors import DatasetError

_SEPARATOR = re.compile(r"\s*,\s*|\s+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan|inf(inity)?)", re.I)


def read_text(path: Path) -> str:
    """The text of a file, with or without a byte order mark.

    Raises:
        DatasetError: the file cannot be read or is no text.
    """
    try:
        content = Path(path).read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except OSError as error:
        raise DatasetError(
            f"could not be read ({error.strerror})", path, "check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            "is not a text file", path, "expected one row of numbers a frame"
        ) from error
    return text.replace("\r\r\n", "\n")


def words_of(line: str) -> list[str]:
    r"""The values of one row; none for an empty one. With semicolons a comma is a decimal comma.

    >>> words_of(" 1, 2\t30 ,"), words_of("1,5;2;3"), words_of("[]")
    (['1', '2', '30'], ['1.5', '2', '3'], [])
    """
    bare = line.strip().strip("[]()").strip()
    if ";" in bare:
        return [word.strip().replace(",", ".") for word in bare.rstrip("; ").split(";")]
    bare = re.sub(r"\s*,?\s*$", "", bare)
    return _SEPARATOR.split(bare) if bare else []


def is_number(word: str) -> bool:
    """Whether a word is a number as files write them, ``nan`` and ``inf`` included."""
    return _NUMBER.fullmatch(word) is not None


def number(word: str, where: str, expected: str) -> float:
    """The number that a word is.

    Raises:
        DatasetError: it is none.
    """
    if is_number(word):
        return float(word)
    shown = "an empty value" if not word else f'"{word[:20]}"'
    raise DatasetError(f"{shown} is not a number", where, f"expected {expected}")
