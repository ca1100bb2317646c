"""Boxes from a table of text: a row a frame, or rows with frame numbers.

Comments (``#``, ``%``, ``//``) are left out. A header that names its columns decides what they are;
else their number does: 4 are ``x,y,w,h``, 8 a corner polygon, and rows that begin with a frame and
an id are MOT.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
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
from tirtrack.datasets.row_text import is_number, number, words_of
from tirtrack.datasets.target_boxes import TargetBoxes, says_absent
from tirtrack.errors import DatasetError

NAME_COLUMNS = "name the columns in a first line or with --columns, such as x,y,w,h,-"
_COMMENT = re.compile(r"#|%|//")
_CODES = ("0", "1", "2", "-1", "nan")  # rows of one word in files of VOT: no box
_PARALLEL_PX = 2.0


class BoxTable:
    """A text file as rows of words."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        rows = [
            (line, words_of(_COMMENT.split(raw)[0]))
            for line, raw in enumerate(text.splitlines(), start=1)
            if not _COMMENT.match(raw.strip())
        ]
        self.header = _header(rows)
        if self.header:
            del rows[next(index for index, (_, words) in enumerate(rows) if words)]
        used = max((index for index, (_, words) in enumerate(rows) if words), default=-1) + 1
        self.rows, self.blank_end = rows[:used], len(rows) - used
        self.full = [(line, words) for line, words in self.rows if len(words) > 1]

    def targets(self, columns: Columns | None) -> list[TargetBoxes]:
        """The boxes, by the columns that are given, that the header names, or by their number."""
        if not self.rows:
            return [TargetBoxes(np.empty((0, 4)), np.empty(0, dtype=bool))]
        self._check_codes()
        columns = columns or (self.header if form_of(self.header) is not None else None)
        if columns is not None:
            self._check_width(len(columns))
            return self._by_name(columns)
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
            if not self.full or words[0].lower() not in _CODES:
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
                number(word, self._where(line), f"{len(self.full[0][1])} numbers")

    def _numbers(self) -> np.ndarray:
        return np.array([[float(word) for word in words] for _, words in self.full])

    def _four_or_eight(self) -> list[TargetBoxes]:
        """Polygons, some of which are written as boxes."""
        rows = [np.array([[float(word) for word in words]]) for _, words in self.full]
        boxes = [row if row.shape[1] == 4 else extents(row) for row in rows]
        absent = np.concatenate([says_absent(row) for row in rows])
        return [self._spread(np.concatenate(boxes), absent, POLYGONS)]

    def _by_count(self, width: int) -> list[TargetBoxes]:
        if width == 4:
            return self._by_name(XYWH)
        values = self._numbers()
        if width == 5 and _counts_up(values[:, 0]):
            return self._by_name(("frame", *XYWH))
        polygons = width == 8 and (_parallelograms(values) or values[:, 0].min() > 1)
        if width >= 6 and not polygons and _looks_like_mot(values):
            return self._by_name((*MOT, *[UNUSED] * width)[:width])
        if width >= 8 and width % 2 == 0:
            return [self._spread(extents(values), says_absent(values), POLYGONS)]
        raise DatasetError(
            f"has {width} columns, expected 4 (x,y,w,h) or 8 (corner polygons)",
            self._where(self.full[0][0]),
            NAME_COLUMNS,
        )

    def _by_name(self, columns: Columns) -> list[TargetBoxes]:
        needed = box_columns(columns)
        values = {
            name: self._column(columns.index(name), name)
            for name in (*needed, *FLAGS)
            if name in columns
        }
        absent = says_absent(np.stack([values[name] for name in needed], axis=1))
        absent |= values.get("present", np.ones(len(absent))) == 0
        absent |= values.get("absent", np.zeros(len(absent))) == 1
        boxes, form = boxes_of(values), form_of(columns)
        if "frame" in values:
            ids = [words[columns.index("id")] for _, words in self.full] if "id" in columns else []
            return self._numbered(values, boxes, absent, ids, form or "")
        return [self._spread(boxes, absent, form or "")]

    def _column(self, index: int, name: str) -> np.ndarray:
        expected = f"a number as {name} in column {index + 1}"
        return np.array(
            [number(words[index], self._where(line), expected) for line, words in self.full]
        )

    def _spread(self, boxes: np.ndarray, absent: np.ndarray, form: str) -> TargetBoxes:
        """Boxes of the full rows among the rows that hold none."""
        full = np.array([len(words) > 1 for _, words in self.rows])
        every = np.full((len(full), 4), np.nan)
        every[full] = boxes
        gone = np.ones(len(full), dtype=bool)
        gone[full] = absent
        return TargetBoxes(
            every,
            gone,
            form,
            may_follow=self.blank_end,
            lines=tuple(line for line, _ in self.rows),
            separators=tuple(i for i, (_, words) in enumerate(self.rows) if not words),
        )

    def _numbered(
        self,
        values: dict[str, np.ndarray],
        boxes: np.ndarray,
        absent: np.ndarray,
        ids: Sequence[str],
        form: str,
    ) -> list[TargetBoxes]:
        """A target for every id, its boxes put to the frames that the rows name."""
        frames = self._frame_numbers(values["frame"])
        counted = values.get("considered", np.ones(len(boxes))) != 0
        counted = counted if counted.any() else ~counted
        names = np.array(ids) if ids else np.full(len(boxes), "")
        return [
            self._one(str(name), frames, boxes, absent, (names == name) & counted, form)
            for name in dict.fromkeys(names[counted].tolist())
        ]

    def _frame_numbers(self, stored: np.ndarray) -> np.ndarray:
        broken = (stored < 0) | (stored != np.floor(stored)) | ~np.isfinite(stored)
        if broken.any():
            line = self.full[int(broken.argmax())][0]
            raise DatasetError(
                f"the frame number {stored[broken][0]:g} is no whole number from 0 on",
                self._where(line),
                NAME_COLUMNS,
            )
        return np.asarray(stored - (0 if (stored == 0).any() else 1), dtype=int)

    def _one(
        self,
        name: str,
        frames: np.ndarray,
        boxes: np.ndarray,
        absent: np.ndarray,
        mine: np.ndarray,
        form: str,
    ) -> TargetBoxes:
        length = int(frames.max()) + 1
        rows = np.flatnonzero(mine)
        numbers, first = np.unique(frames[rows], return_index=True)
        if len(numbers) < len(rows):
            again = np.setdiff1d(np.arange(len(rows)), first)[0]
            raise DatasetError(
                f"a second box for target {name or '(without id)'} in one frame",
                self._where(self.full[rows[again]][0]),
                "leave one row for each frame and target",
            )
        every, gone = np.full((length, 4), np.nan), np.ones(length, dtype=bool)
        every[frames[rows]], gone[frames[rows]] = boxes[rows], absent[rows]
        lines = np.zeros(length, dtype=int)
        lines[frames[rows]] = [self.full[row][0] for row in rows]
        return TargetBoxes(
            every, gone, form, name, may_follow=math.inf, lines=tuple(lines.tolist())
        )


def _header(rows: Sequence[tuple[int, list[str]]]) -> Columns:
    """The names in a first row of words alone; empty where the first row is data."""
    words = next((words for _, words in rows if words), [])
    plain = [word.strip("\"'") for word in words]
    is_header = len(plain) > 1 and not any(is_number(word) for word in plain) and all(plain)
    return tuple(canonical(word) for word in plain) if is_header else ()


def _counts_up(column: np.ndarray) -> bool:
    return len(column) > 1 and column[0] in (0, 1) and bool((np.diff(column) == 1).all())


def _looks_like_mot(values: np.ndarray) -> bool:
    """Whether rows begin with frame and id, each pair of them once."""
    keys = values[:, :2]
    if not np.isfinite(keys).all() or (keys[:, 0] < 0).any() or (keys != np.floor(keys)).any():
        return False
    return len(np.unique(keys, axis=0)) == len(keys)


def _parallelograms(values: np.ndarray) -> bool:
    """Whether most rows ``[T,8]`` are the four corners of one, in order."""
    corners = values.reshape(-1, 4, 2)
    gap = np.abs(corners[:, 0] + corners[:, 2] - corners[:, 1] - corners[:, 3]).max(axis=1)
    return bool(np.mean(~(gap > _PARALLEL_PX)) > 0.5)
