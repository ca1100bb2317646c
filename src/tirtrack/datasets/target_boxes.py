"""The boxes of one target as a file has them, before anything is checked or shifted."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

MOST_FRAMES = 10_000_000
"""A frame number beyond this is a fault of the file, not a reason to make so many rows."""


@dataclass(frozen=True)
class TargetBoxes:
    """The boxes of one target.

    Attributes:
        boxes: ``[T,4]`` float64 xywh in the file's base; NaN where a row holds no box.
        absent: ``[T]`` bool, rows that say in any spelling that there is no target.
        flagged: ``[T]`` bool, rows whose flag in the file says so; ``None`` if it has no flags.
        form: the file's spelling of boxes, in words; empty for x,y,w,h.
        named: whether header or caller name the columns, so that they are not questioned.
        target: id of the target, if the file has ids.
        video: name of its video, if the file holds several.
        may_follow: frames without a target that may follow the last row: empty lines at the end,
            or any number where rows carry frame numbers.
        lines: line of the file for each row; empty where rows have none.
        separators: empty lines between rows, which separate nothing if there are as many frames as
            other rows.
    """

    boxes: np.ndarray
    absent: np.ndarray
    form: str = ""
    named: bool = False
    target: str = ""
    video: str = ""
    may_follow: float = 0
    lines: tuple[int, ...] = ()
    separators: tuple[int, ...] = ()
    flagged: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def placed(self, rows: np.ndarray, length: int) -> TargetBoxes:
        """These boxes at the given rows of ``length``, the others without a target."""
        boxes, absent = np.full((length, 4), np.nan), np.ones(length, dtype=bool)
        boxes[rows], absent[rows] = self.boxes, self.absent
        return replace(self, boxes=boxes, absent=absent)

    def fitted(self, frames: int | None) -> TargetBoxes:
        """The same boxes for a number of frames, as far as the file leaves that open."""
        if frames is None or frames == len(self):
            return self
        if self.separators and frames == len(self) - len(self.separators):
            kept = np.setdiff1d(np.arange(len(self)), self.separators)
            lines = tuple(self.lines[row] for row in kept)
            return replace(
                self, boxes=self.boxes[kept], absent=self.absent[kept], lines=lines, separators=()
            )
        more = frames - len(self)
        if not 0 < more <= self.may_follow:
            return self
        return replace(
            self,
            boxes=np.concatenate([self.boxes, np.full((more, 4), np.nan)]),
            absent=np.concatenate([self.absent, np.ones(more, dtype=bool)]),
        )


def says_absent(values: np.ndarray) -> np.ndarray:
    """``[T]`` bool: rows ``[T,n]`` that are all NaN, or all 0 or -1."""
    nothing = (values == 0) | (values == -1)
    return np.asarray(np.isnan(values).all(axis=1) | nothing.all(axis=1))


def plain_id(text: str) -> str:
    """An id as a part of a file name.

    >>> plain_id("3.0"), plain_id("car/1")
    ('3', 'car-1')
    """
    whole = re.fullmatch(r"(-?\d+)\.0*", text)
    return whole[1] if whole else re.sub(r"[^\w.-]+", "-", text)
