"""Boxes as text, one row a frame: the files of annotations and of results.

Read as the benchmarks' many tools write them: comma, tab, blank and mixtures, any line end,
separators at the end of a row, ``NaN`` in any case. Written so that reading gives the same float64
back, bit for bit.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tirtrack.errors import DatasetError

_SEPARATOR = re.compile(r"\s*,\s*|\s+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan|inf(inity)?)", re.I)


def read_rows(path: Path, *, columns: int) -> np.ndarray:
    """``[T,columns]`` float64, as stored; an empty file gives ``[0,columns]``.

    Raises:
        DatasetError: the file cannot be read, or a row has another number of columns or something
            that is not a number; names file and row.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(
            f"could not be read ({error.strerror})", path, "check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            "is not a text file", path, "expected one row of numbers a frame"
        ) from error
    lines = text.rstrip().splitlines()
    rows = [_row(line, path, number, columns) for number, line in enumerate(lines, start=1)]
    return np.array(rows, dtype=np.float64).reshape(-1, columns)


def _row(line: str, path: Path, number: int, columns: int) -> list[float]:
    words = _SEPARATOR.split(re.sub(r"\s*,?\s*$", "", line).strip())
    where = f"{path}, row {number}"
    for word in words:
        if not _NUMBER.fullmatch(word):
            shown = "an empty value" if not word else f'"{word[:20]}"'
            raise DatasetError(f"{shown} is not a number", where, f"expected {columns} numbers")
    if len(words) != columns:
        raise DatasetError(
            f"has {len(words)} columns, expected {columns}", where, "correct the file"
        )
    return [float(word) for word in words]


def read_boxes(path: Path) -> np.ndarray:
    """``[T,4]`` boxes xywh as stored; errors as in :func:`read_rows`."""
    return read_rows(path, columns=4)


def boxes_text(boxes: np.ndarray) -> str:
    r"""``[T,4]`` boxes as ``x,y,w,h`` rows, each number as short as reads back equal.

    >>> boxes_text(np.array([[1.0, 2.5, 3, 4]]))
    '1,2.5,3,4\n'
    """
    return "".join(
        ",".join(map(short_number, row)) + "\n" for row in np.asarray(boxes, np.float64).tolist()
    )


def short_number(value: float) -> str:
    """The shortest text that reads back as the same float64.

    >>> short_number(12.0), short_number(0.1)
    ('12', '0.1')
    """
    return repr(float(value)).removesuffix(".0")


def check_annotation(
    annotation: np.ndarray, path: Path, *, zeros_mean_absent: bool = False
) -> None:
    """Refuse rows of ``annotation [T,4]`` that are neither a box nor plainly absent.

    A row is a box with area, or all NaN (absent); all zero is absent too in data sets that write it
    so.

    Raises:
        DatasetError: there is no row, or a row is neither; names file and row.
    """
    if len(annotation) == 0:
        raise DatasetError("has no row", path, "expected one box a frame")
    finite = np.isfinite(annotation)
    absent = np.isnan(annotation).all(axis=1)
    if zeros_mean_absent:
        absent |= (annotation == 0).all(axis=1)
    broken = ~absent & ~finite.all(axis=1)
    if broken.any():
        raise DatasetError(
            "the box has a number that is not finite",
            f"{path}, row {int(broken.argmax()) + 1}",
            "write nan,nan,nan,nan where the target is absent",
        )
    flat = ~absent & ~(annotation[:, 2:] > 0).all(axis=1)
    if flat.any():
        row = int(flat.argmax())
        raise DatasetError(
            f"the box {','.join(map(short_number, annotation[row].tolist()))} has no area",
            f"{path}, row {row + 1}",
            "write nan,nan,nan,nan where the target is absent",
        )
