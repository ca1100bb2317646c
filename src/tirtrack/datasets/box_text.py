"""Files of boxes, of annotation and of results, as text or JSON.

Written so that reading gives the same float64 back, bit for bit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.datasets import box_json, box_table
from tirtrack.datasets.columns import Columns
from tirtrack.datasets.row_text import number, read_text, words_of
from tirtrack.datasets.target_boxes import TargetBoxes
from tirtrack.errors import DatasetError


def read_targets(path: Path, columns: Columns | None = None) -> list[TargetBoxes]:
    """Every target of a file; one without boxes for a file without rows.

    Args:
        path: text or JSON file.
        columns: meaning of the numbers of a row, if the file does not say it or is wrong.

    Raises:
        DatasetError: the file cannot be read, or a row differs from the others or is not
            understood; names file and row.
    """
    text = read_text(path)
    content = _json(text, path)
    if content is None:
        return box_table.targets_of(text, path, columns)
    return box_json.targets_of(content, path, columns)


def read_boxes(
    path: Path,
    columns: Columns | None = None,
    *,
    frames: int | None = None,
    video: str = "",
    target: str = "",
) -> np.ndarray:
    """``[T,4]`` boxes xywh of one target of a file, as stored; a row without a box is NaN.

    Args:
        path: text or JSON file.
        columns: meaning of the numbers of a row, as for :func:`read_targets`.
        frames: expected number of frames, if the file leaves it open.
        video: name of the requested video, if there are several.
        target: id of the requested target, if there are several.

    Raises:
        DatasetError: as :func:`read_targets`, or there are several targets.
    """
    targets = read_targets(path, columns)
    if len(targets) > 1:
        targets = [one for one in targets if one.video == video] or targets
    if len(targets) > 1:
        targets = [one for one in targets if one.target == target] or targets
    if len(targets) > 1:
        names = ", ".join(filter(None, (one.target or one.video for one in targets[:3])))
        raise DatasetError(
            f"holds {len(targets)} targets ({names}), expected one", path, "give each its own file"
        )
    return targets[0].fitted(frames).boxes


def _json(text: str, path: Path) -> Any:
    """The content of a JSON document; ``None`` for a table of text."""
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if start == "[":
            return None
        raise DatasetError(f"is not JSON ({error})", path, "correct the file") from error
    rows_of_text = isinstance(content, list) and not any(isinstance(r, list) for r in content)
    return None if rows_of_text else content


def read_rows(path: Path, *, columns: int) -> np.ndarray:
    """``[T,columns]`` float64, as stored; an empty file gives ``[0,columns]``.

    Raises:
        DatasetError: the file cannot be read, or a row has another number of columns or something
            that is not a number; names file and row.
    """
    rows = []
    for line, text in enumerate(read_text(path).rstrip().splitlines(), start=1):
        where = f"{path}, row {line}"
        rows.append([number(word, where, f"{columns} numbers") for word in words_of(text)])
        if len(rows[-1]) != columns:
            raise DatasetError(
                f"has {len(rows[-1])} columns, expected {columns}", where, "correct the file"
            )
    return np.array(rows, dtype=np.float64).reshape(-1, columns)


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
