"""Result files that the GOT-10k and VOT toolkits write: ``SEQUENCE/SEQUENCE_001.txt`` and others.

The number is that of the run, from 1. Beside it lie ``SEQUENCE_time.txt``, a column a run
(GOT-10k), or ``SEQUENCE_001_time.value`` and ``SEQUENCE_001_confidence.value`` (VOT). A row of VOT
is a box, or one of the codes of ``_CODES``, which reading boxes takes for a row without one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tirtrack.datasets.row_text import number, read_text, words_of
from tirtrack.errors import DatasetError
from tirtrack.evaluation.vot_runs import FAILED, SKIPPED, STARTED

_NAME = re.compile(r"(.+)_(\d{3})")
_CODES = {"0": SKIPPED, "1": STARTED, "2": FAILED}


@dataclass(frozen=True)
class NumberedFile:
    """A box file of a run.

    Attributes:
        path: the file.
        sequence: name of the sequence.
        run: number of the run, from 1.
    """

    path: Path
    sequence: str
    run: int

    @property
    def beside(self) -> tuple[Path, ...]:
        """The files that may lie beside it."""
        return (self._times_of_runs, self._values("time"), self._values("confidence"))

    def scores(self) -> np.ndarray | None:
        """``[T]`` scores; ``None`` if there is no file of them."""
        return _column(self._values("confidence"), 0)

    def seconds(self) -> np.ndarray | None:
        """``[T]`` times; ``None`` if there is no file of them, or none for this run."""
        if self._values("time").is_file():
            return _column(self._values("time"), 0)
        return _column(self._times_of_runs, self.run - 1)

    def statuses(self) -> np.ndarray | None:
        """``[T]`` marks of a VOT run; ``None`` if the first row is not the code of a start."""
        rows = [line.strip() for line in read_text(self.path).rstrip().splitlines()]
        if not rows or _CODES.get(rows[0]) != STARTED:
            return None
        return np.array([_CODES.get(row, "") for row in rows])

    @property
    def _times_of_runs(self) -> Path:
        return self.path.with_name(f"{self.sequence}_time.txt")

    def _values(self, kind: str) -> Path:
        return self.path.with_name(f"{self.path.stem}_{kind}.value")


def numbered(file: Path) -> NumberedFile | None:
    """The file of a run, by its name and that of its folder; ``None`` for other files."""
    found = _NAME.fullmatch(file.stem)
    if found is None or file.suffix != ".txt" or found[1] != file.parent.name or not int(found[2]):
        return None
    return NumberedFile(file, found[1], int(found[2]))


def _column(path: Path, place: int) -> np.ndarray | None:
    """``[T]`` numbers of a column, NaN in an empty row; ``None`` without file or column."""
    if not path.is_file():
        return None
    rows = [words_of(line) for line in read_text(path).splitlines()]
    widths = {len(row) for row in rows if row}
    if len(widths) > 1:
        raise DatasetError("has rows of several lengths", path, "one column for each run")
    if max(widths, default=0) <= place:
        return None
    wheres = (f"{path}, row {row}" for row in range(1, len(rows) + 1))
    return np.array(
        [
            number(row[place], where, "a number") if row else np.nan
            for row, where in zip(rows, wheres, strict=True)
        ]
    )
