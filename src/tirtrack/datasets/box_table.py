"""Boxes from a table of text: one row per frame, or rows with frame numbers.

Comments (``#``, ``%``, ``//``) are ignored. A header that names the columns decides their meaning,
else their number does: 4 are ``x,y,w,h``, 8 a corner polygon, and rows that begin with a frame and
an id are MOT.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tirtrack.datasets.columns import (
    FLAGS,
    MOT,
    POLYGONS,
    UNUSED,
    XYWH,
    Columns,
    box_columns,
    boxes_of,
    canonical,
    extents,
    form_of,
)
from tirtrack.datasets.row_text import (
    flag,
    is_missing,
    is_number,
    number,
    plain_table,
    words_of,
)
from tirtrack.datasets.target_boxes import MOST_FRAMES, TargetBoxes, plain_id, says_absent
from tirtrack.errors import DatasetError

NAME_COLUMNS = (
    "name the columns, such as x,y,w,h,-, in a first line or with --columns (--result-columns for "
    "results)"
)
_COMMENT = re.compile(r"#(?!(n/a|qnan|snan|ind)0*\b)|%|//", re.I)
_CODES = ("0", "1", "2", "-1")  # rows of one word in files of VOT: no box
_PARALLEL_PX = 2.0
_MOT_WIDTH = 9  # a table with so many columns is MOT even without a row of the first frame
_DEGENERATE = 0.2  # of the diagonal


def targets_of(text: str, path: Path, columns: Columns | None = None) -> list[TargetBoxes]:
    """Every target of a table; one without boxes for a table without rows.

    Args:
        text: the table.
        path: path of its file.
        columns: meaning of the numbers of a row, if the file does not say it or is wrong.

    Raises:
        DatasetError: a row differs from the others or is not understood; names file and row.
    """
    values = plain_table(text) if columns is None else None
    plain = None if values is None else _plain_boxes(values)
    return BoxTable(path, text).targets(columns) if plain is None else [plain]


def _plain_boxes(values: np.ndarray) -> TargetBoxes | None:
    """The boxes of rows ``[T,n]`` that are x,y,w,h or corners in order; ``None`` for any others."""
    absent, lines = says_absent(values), tuple(range(1, len(values) + 1))
    if values.shape[1] == 4:
        return TargetBoxes(values, absent, lines=lines)
    if values.shape[1] == 8 and _parallelograms(values) and not _side_by_side(values):
        return TargetBoxes(extents(values), absent, POLYGONS, lines=lines)
    return None


class BoxTable:
    """A text file as rows of words."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        lines = list(enumerate(text.splitlines(), start=1))
        comments = [(line, raw.strip()) for line, raw in lines if _COMMENT.match(raw.strip())]
        is_comment = {line for line, _ in comments}
        rows = [
            (line, words_of(_COMMENT.split(raw)[0]))
            for line, raw in lines
            if line not in is_comment
        ]
        self.header = _header(rows)
        if self.header:
            del rows[next(index for index, (_, words) in enumerate(rows) if words)]
        else:
            self.header = _header_in_comments(comments, rows)
        used = max((index for index, (_, words) in enumerate(rows) if words), default=-1) + 1
        self.rows, self.blank_end = rows[:used], len(rows) - used
        self.full = [(line, words) for line, words in self.rows if len(words) > 1]

    def targets(self, columns: Columns | None) -> list[TargetBoxes]:
        """The boxes, by the given columns, by those of the header, or by their number."""
        if not self.rows:
            return [TargetBoxes(np.empty((0, 4)), np.empty(0, dtype=bool))]
        self._check_codes()
        columns = columns or (self.header if form_of(self.header) is not None else None)
        if columns is not None:
            self._check_width(len(columns))
            return [replace(one, named=True) for one in self._by_name(columns)]
        self._check_numbers()
        widths = {len(words) for _, words in self.full}
        if widths == {4, 8}:
            return self._four_or_eight()
        self._check_width(len(self.full[0][1]))
        return self._by_count(len(self.full[0][1]))

    def _where(self, line: int) -> str:
        return f"{self.path}, row {line}"

    def _check_codes(self) -> None:
        for line, words in self.rows:
            if len(words) != 1:
                continue
            if words[0][:1] == "m" and words[0][1:].isdigit():
                raise DatasetError("is a mask", self._where(line), "boxes or polygons are read")
            number(words[0], self._where(line), "4 numbers")
            if not self.full or not (words[0] in _CODES or is_missing(words[0])):
                expected = len(self.full[0][1]) if self.full else 4
                raise self._wrong_width(line, 1, expected)

    def _wrong_width(self, line: int, found: int, expected: int) -> DatasetError:
        what = f"has {found} column{'s' * (found > 1)}, expected {expected}"
        return DatasetError(what, self._where(line), "correct the file")

    def _check_width(self, expected: int) -> None:
        for line, words in self.full:
            if len(words) != expected:
                raise self._wrong_width(line, len(words), expected)

    def _check_numbers(self) -> None:
        for line, words in self.full:
            for word in words:
                number(
                    word, self._where(line), f"{len(self.full[0][1])} numbers; or {NAME_COLUMNS}"
                )

    def _check_gaps(self, places: Collection[int]) -> None:
        """Refuse rows in which some and not all of the numbers of a box are left out."""
        for line, words in self.full:
            numbers = [word for place, word in enumerate(words) if place in places]
            if "" in numbers and not all(map(is_missing, numbers)):
                raise DatasetError(
                    "an empty value is not a number", self._where(line), "correct the file"
                )

    def _numbers(self) -> np.ndarray:
        return np.array([_values(words) for _, words in self.full])

    def _four_or_eight(self) -> list[TargetBoxes]:
        """Polygons, some of which are written as boxes."""
        self._check_gaps(range(8))
        rows = [np.array([_values(words)]) for _, words in self.full]
        boxes = [row if row.shape[1] == 4 else extents(row) for row in rows]
        absent = [says_absent(row) for row in rows]
        return [self._spread(TargetBoxes(np.concatenate(boxes), np.concatenate(absent), POLYGONS))]

    def _by_count(self, width: int) -> list[TargetBoxes]:
        if width == 4:
            return self._by_name(XYWH)
        values = self._numbers()
        if width == 5 and _counts_up(values[:, 0]):
            return self._by_name(("frame", *XYWH))
        if width >= 6 and _looks_like_mot(values) and not (width == 8 and _parallelograms(values)):
            return self._by_name((*MOT, *[UNUSED] * width)[:width])
        if width == 8:
            self._check_gaps(range(8))
            self._check_corners(values)
            return [self._spread(TargetBoxes(extents(values), says_absent(values), POLYGONS))]
        raise DatasetError(
            f"has {width} columns, expected 4 (x,y,w,h) or 8 (corner polygons)",
            self._where(self.full[0][0]),
            NAME_COLUMNS,
        )

    def _check_corners(self, values: np.ndarray) -> None:
        if _side_by_side(values):
            raise DatasetError(
                "eight numbers that are not corners but two boxes side by side",
                self._where(self.full[0][0]),
                NAME_COLUMNS,
            )

    def _by_name(self, columns: Columns) -> list[TargetBoxes]:
        needed = box_columns(columns)
        self._check_gaps([columns.index(name) for name in needed])
        values = {
            name: self._column(columns.index(name), name)
            for name in (*needed, *FLAGS)
            if name in columns
        }
        absent = says_absent(np.stack([values[name] for name in needed], axis=1))
        absent |= values.get("present", np.ones(len(absent))) == 0
        absent |= values.get("absent", np.zeros(len(absent))) == 1
        rows = TargetBoxes(boxes_of(values), absent, form_of(columns) or "")
        if "frame" not in values:
            return [self._spread(rows)]
        counted = values.get("considered", np.ones(len(rows))) != 0
        if not counted.any():
            counted = ~counted
        if "id" in columns and not rows.form:
            left_out = "" if counted.all() else ", those marked 0 left out"
            rows = replace(rows, form=f"rows of frame,id,x,y,w,h (MOT){left_out}")
        frames = self._frame_numbers(values["frame"])
        return self._numbered(rows, frames, self._ids(columns), counted)

    def _ids(self, columns: Columns) -> np.ndarray:
        """``[n]`` the target of each full row; empty texts where the file has no ids."""
        if "id" not in columns:
            return np.full(len(self.full), "")
        return np.array([plain_id(words[columns.index("id")]) for _, words in self.full])

    def _column(self, index: int, name: str) -> np.ndarray:
        expected = f"a number as {name} in column {index + 1}"
        read = flag if name in ("present", "absent") else number
        return np.array(
            [read(words[index], self._where(line), expected) for line, words in self.full]
        )

    def _spread(self, boxes: TargetBoxes) -> TargetBoxes:
        """Puts the boxes of the full rows back among the rows without a box."""
        full = np.flatnonzero([len(words) > 1 for _, words in self.rows])
        return replace(
            boxes.placed(full, len(self.rows)),
            may_follow=self.blank_end,
            lines=tuple(line for line, _ in self.rows),
            separators=tuple(i for i, (_, words) in enumerate(self.rows) if not words),
        )

    def _numbered(
        self, boxes: TargetBoxes, frames: np.ndarray, ids: np.ndarray, counted: np.ndarray
    ) -> list[TargetBoxes]:
        """A target for every id, with its counted boxes at the frames that their rows name."""
        return [
            self._target(boxes, frames, np.flatnonzero((ids == name) & counted), str(name))
            for name in dict.fromkeys(ids[counted].tolist())
        ]

    def _frame_numbers(self, stored: np.ndarray) -> np.ndarray:
        broken = ~((stored >= 0) & (stored <= MOST_FRAMES) & (stored == np.floor(stored)))
        if broken.any():
            line = self.full[int(broken.argmax())][0]
            raise DatasetError(
                f"frame {stored[broken][0]:g} is not a whole number from 0 to {MOST_FRAMES}",
                self._where(line),
                NAME_COLUMNS,
            )
        return np.asarray(stored - (0 if (stored == 0).any() else 1), dtype=int)

    def _target(
        self, boxes: TargetBoxes, frames: np.ndarray, rows: np.ndarray, name: str
    ) -> TargetBoxes:
        _, first = np.unique(frames[rows], return_index=True)
        if len(first) < len(rows):
            again = np.setdiff1d(np.arange(len(rows)), first)[0]
            raise DatasetError(
                f"a second box for target {name or '(without id)'} in one frame",
                self._where(self.full[rows[again]][0]),
                "leave one row for each frame and target",
            )
        length = int(frames.max()) + 1
        lines = np.zeros(length, dtype=int)
        lines[frames[rows]] = [self.full[row][0] for row in rows]
        mine = replace(boxes, boxes=boxes.boxes[rows], absent=boxes.absent[rows], target=name)
        placed = mine.placed(frames[rows], length)
        return replace(placed, may_follow=math.inf, lines=tuple(lines.tolist()))


def _header(rows: Sequence[tuple[int, list[str]]]) -> Columns:
    """The names in a first row of words alone; empty where the first row is data."""
    words = next((words for _, words in rows if words), [])
    named = [word for word in words if word]
    is_header = len(words) > 1 and bool(named) and not any(map(is_number, named))
    return tuple(canonical(word) for word in words) if is_header else ()


def _header_in_comments(
    comments: Sequence[tuple[int, str]], rows: Sequence[tuple[int, list[str]]]
) -> Columns:
    """The columns that a comment above the rows names, as ``numpy.savetxt`` writes them."""
    first, width = next(((line, len(words)) for line, words in rows if words), (0, 0))
    for line, text in comments:
        names = _header([(line, words_of(text.lstrip("#%/ ")))])
        if line < first and len(names) == width and form_of(names) is not None:
            return names
    return ()


def _values(words: Sequence[str]) -> list[float]:
    return [math.nan if is_missing(word) else float(word) for word in words]


def _counts_up(column: np.ndarray) -> bool:
    return len(column) > 1 and column[0] in (0, 1) and bool((np.diff(column) == 1).all())


def _looks_like_mot(values: np.ndarray) -> bool:
    """Whether rows begin with frame and id, each pair of them once, and a box follows."""
    keys, sizes = values[:, :2], values[:, 4:6]
    whole = np.isfinite(keys).all() and (keys == np.floor(keys)).all() and (keys[:, 0] >= 0).all()
    if not whole or not ((sizes > 0).all(axis=1) | says_absent(values[:, 2:6])).all():
        return False
    begins = keys[:, 0].min() <= 1 or values.shape[1] >= _MOT_WIDTH
    return bool(begins and len(np.unique(keys, axis=0)) == len(keys))


def _side_by_side(values: np.ndarray) -> bool:
    """Whether rows ``[T,8]`` are two boxes: opposite corners of most would coincide."""
    gap = np.linalg.norm(values[:, :2] - values[:, 4:6], axis=1)
    diagonal = np.linalg.norm(extents(values)[:, 2:], axis=1)
    return bool(np.mean(gap < _DEGENERATE * diagonal) > 0.5)


def _parallelograms(values: np.ndarray) -> bool:
    """Whether most rows ``[T,8]`` are the four corners of one, in order."""
    corners = values.reshape(-1, 4, 2)
    gap = np.abs(corners[:, 0] + corners[:, 2] - corners[:, 1] - corners[:, 3]).max(axis=1)
    return bool(np.mean(~(gap > _PARALLEL_PX)) > 0.5)
