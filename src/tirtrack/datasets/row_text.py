"""A row of numbers in a text file, as the various tools of the benchmarks write it.

Comma, tab, blank, semicolon and mixtures, any line end, separators at the end of a row, brackets,
quotes; a missing value is ``NaN``, ``NA``, ``None``, ``null`` and their like in any case, or
nothing between two separators.
"""

from __future__ import annotations

import codecs
import math
import re
from pathlib import Path

import numpy as np

from tirtrack.errors import DatasetError

_SEPARATOR = re.compile(r"\s*,\s*|\s+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf(inity)?)", re.I)
_MISSING = re.compile(
    r"[+-]?nan(\(\w*\)?)?|[+-]?1\.#(qnan|snan|ind)0*|#?n/a|na|<na>|none|null|nil|", re.I
)

_PLAIN = b"0123456789+-.eE \t,\r\n"
_AS_BLANKS = bytes.maketrans(b"\t,\n", b"   ")
_EXACT_DIGITS = 15  # whole numbers of so many digits are exact in float64

_FLAGS = {"true": 1.0, "false": 0.0}


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


def plain_table(text: str) -> np.ndarray | None:
    r"""``[T,n]`` float64 of rows of plain numbers, as most files are; ``None`` for any other text.

    Plain is a text with one separator, the same number of values in every row, and no empty row.
    Such a text is read at once; every other one needs a look at its words.

    >>> plain_table("1,2\n3,4.5\n")
    array([[1. , 2. ],
           [3. , 4.5]])
    """
    if not text.isascii() or text.encode().translate(None, _PLAIN) or not text.strip():
        return None
    values = _fixed_point(text.encode())
    if values is not None:
        return values
    lines = text.splitlines()
    try:
        values = np.loadtxt(lines, delimiter="," if "," in text else None, comments=None, ndmin=2)
    except ValueError:
        return None
    return values if len(values) == len(lines) else None


def _fixed_point(text: bytes) -> np.ndarray | None:
    """``[T,n]`` float64 of rows of plain numbers that all have as many decimals, with one separator
    of one byte; ``None`` for any other text.

    Most programs write so, and whole numbers are read seven times as fast as others. These and
    powers of ten are exact, so their quotient is the float64 next to the decimal, as for any text.
    """
    text = text.replace(b"\r\n", b"\n").removesuffix(b"\n")
    used = [one for one in (b" ", b"\t", b",") if one in text]
    if len(used) > 1 or any(one in text for one in (b"e", b"E", b"+", b"\r")):
        return None
    content = np.frombuffer(text, dtype=np.uint8)
    gaps = np.flatnonzero(content <= ord(","))
    starts, ends = np.append(0, gaps + 1), np.append(gaps, len(content))
    points, signs = np.flatnonzero(content == ord(".")), np.flatnonzero(content == ord("-"))
    negative = np.isin(starts, signs, assume_unique=True)
    if len(points) not in (0, len(starts)) or negative.sum() != len(signs):
        return None
    decimals = ends - points - 1 if len(points) else np.zeros(1, dtype=int)
    digits = ends - starts - negative - bool(len(points))
    own = (points >= starts).all() if len(points) else True  # none has two in place of another
    if not own or decimals[0] < 0 or (decimals != decimals[0]).any():
        return None
    if digits.min() < 1 or digits.max() > _EXACT_DIGITS:
        return None
    rows = content[gaps] == ord("\n")
    width, left = divmod(len(starts), int(rows.sum()) + 1)
    if left or not rows[width - 1 :: width].all():
        return None
    whole = np.fromstring(text.translate(_AS_BLANKS, b"."), dtype=np.int64, sep=" ")
    return np.asarray(whole / 10.0 ** decimals[0]).reshape(-1, width)


def words_of(line: str) -> list[str]:
    r"""The values of one row; none for an empty one. With semicolons a comma is a decimal comma.

    >>> words_of(" 1, 2\t30 ,"), words_of("1,5;2;3"), words_of("[]")
    (['1', '2', '30'], ['1.5', '2', '3'], [])
    """
    bare = re.sub("[\"']", "", line).strip().strip("[]()")
    sign = ";" if ";" in bare else ","
    bare = re.sub(rf"(?<![{sign}\s])\s*{sign}$", "", bare.strip())
    if not bare:
        return []
    if sign == ";":
        return [word.strip().replace(",", ".") for word in bare.split(";")]
    return _SEPARATOR.split(bare)


def is_missing(word: str) -> bool:
    """Whether a word says that a value is missing.

    >>> is_missing("NaN"), is_missing("n/a"), is_missing("None"), is_missing(""), is_missing("0")
    (True, True, True, True, False)
    """
    return _MISSING.fullmatch(word) is not None


def is_number(word: str) -> bool:
    """Whether a word is a number as files write them, infinite and missing ones included."""
    return _NUMBER.fullmatch(word) is not None or is_missing(word)


def number(word: str, where: str, expected: str) -> float:
    """The number that a word is; NaN for a missing one.

    Raises:
        DatasetError: it is none.
    """
    if is_missing(word):
        return math.nan
    if is_number(word):
        return float(word)
    raise DatasetError(f'"{word[:20]}" is not a number', where, f"expected {expected}")


def flag(word: str, where: str, expected: str) -> float:
    """The number that a flag is: 1 and 0 may be written as ``true`` and ``false``.

    Raises:
        DatasetError: it is none.
    """
    known = _FLAGS.get(word.lower())
    return number(word, where, expected) if known is None else known
