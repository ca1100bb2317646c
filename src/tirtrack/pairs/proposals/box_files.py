"""Boxes read from files that a detector wrote.

========  =====================================  ==============================================
format    files                                  a line
========  =====================================  ==============================================
fairmot   one text file per pair                 ``x1 y1 x2 y2 confidence label``; the labels
                                                 ``tcar`` and ``tperson`` were found in TIR
yolo      two text files per pair, below         ``class confidence x1 y1 x2 y2``; class 0 is a
          ``rgb`` and ``tir``                    person
csv       one table for all                      columns ``key,modality,x,y,w,h,score,label``
========  =====================================  ==============================================

Text files lie at ``FOLDER/[RECORDING/][rgb|tir/]STEM.txt``. A pair without a file has no boxes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tirtrack.boxes import Box
from tirtrack.errors import PairsError
from tirtrack.files import fingerprint, sha256
from tirtrack.pairs.proposals.merge import PERSON, ScoredBox

Format = Literal["fairmot", "yolo", "csv"]
FAIRMOT_TIR = {"tcar": "car", "tperson": PERSON}
CSV_COLUMNS = ("key", "modality", "x", "y", "w", "h", "score", "label")


@dataclass(frozen=True)
class FoundBoxes:
    """The boxes found in each modality of one pair."""

    rgb: tuple[ScoredBox, ...] = ()
    tir: tuple[ScoredBox, ...] = ()


class BoxFiles:
    """Boxes by pair key.

    Args:
        path: a ``.csv`` file, or a folder of text files.
        format: format of the text files; by default ``yolo`` if a folder ``rgb`` or ``tir`` lies
            below, else ``fairmot``.

    Raises:
        PairsError: the path is missing, holds no boxes, or a line cannot be read.
    """

    def __init__(self, path: Path, *, format: Format | None = None) -> None:
        self.path = Path(path)
        self.format = format or _format_of(self.path)
        self._table = _read_csv(self.path) if self.format == "csv" else {}

    def identity(self) -> dict[str, Any]:
        """The format, and one hash of the table or of all text files with their paths."""
        content = sha256(self.path) if self.path.is_file() else _hash_of_texts(self.path)
        return {"format": self.format, "content": content}

    def __call__(self, key: str) -> FoundBoxes:
        """The boxes of a pair, ``RECORDING/STEM``."""
        if self.format == "csv":
            return self._table.get(key, FoundBoxes())
        if self.format == "yolo":
            return FoundBoxes(
                tuple(self._read(key, "rgb", yolo_line)), tuple(self._read(key, "tir", yolo_line))
            )
        lines = list(self._read(key, "", fairmot_line))
        return FoundBoxes(
            tuple(found for found in lines if found.label not in FAIRMOT_TIR),
            tuple(
                ScoredBox(found.box, found.score, FAIRMOT_TIR[found.label])
                for found in lines
                if found.label in FAIRMOT_TIR
            ),
        )

    def _read(
        self, key: str, modality: str, parse: Callable[[list[str]], ScoredBox]
    ) -> list[ScoredBox]:
        recording, _, stem = key.rpartition("/")
        folders = [self.path / recording, self.path / Path(recording).name, self.path]
        for folder in folders:
            path = folder / modality / f"{stem}.txt"
            if path.is_file():
                return _parse_lines(path, parse)
        return []


def _hash_of_texts(folder: Path) -> str:
    places = sorted(folder.rglob("*.txt"))
    return fingerprint([(path.relative_to(folder).as_posix(), sha256(path)) for path in places])


def _format_of(path: Path) -> Format:
    if path.is_file():
        if path.suffix.lower() != ".csv":
            raise PairsError("is no .csv table", path, "give a .csv file or a folder of text files")
        return "csv"
    if not path.is_dir():
        raise PairsError("there is no such file or folder of boxes", path, "check the path")
    if next(path.rglob("*.txt"), None) is None:
        raise PairsError("holds no .txt file of boxes", path, "give the folder a detector wrote")
    split = any(folder.name in ("rgb", "tir") for folder in path.rglob("*") if folder.is_dir())
    return "yolo" if split else "fairmot"


def _parse_lines(path: Path, parse: Callable[[list[str]], ScoredBox]) -> list[ScoredBox]:
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.replace(",", " ").split()
        if not fields:
            continue
        try:
            found.append(parse(fields))
        except (ValueError, IndexError) as error:
            raise PairsError(
                f'line {number} "{line[:60]}" is not a box of this format',
                path,
                "yolo: class confidence x1 y1 x2 y2; fairmot: x1 y1 x2 y2 confidence label",
            ) from error
    return found


def fairmot_line(fields: list[str]) -> ScoredBox:
    """``x1 y1 x2 y2 confidence label``; the label stays as written."""
    x1, y1, x2, y2, score = (float(field) for field in fields[:5])
    return ScoredBox(Box(x1, y1, x2 - x1, y2 - y1), score, fields[5])


def yolo_line(fields: list[str]) -> ScoredBox:
    """``class confidence x1 y1 x2 y2``."""
    kind, score, x1, y1, x2, y2 = (float(field) for field in fields[:6])
    label = PERSON if kind == 0 else f"class {kind:g}"
    return ScoredBox(Box(x1, y1, x2 - x1, y2 - y1), score, label)


def _read_csv(path: Path) -> dict[str, FoundBoxes]:
    rows: dict[str, dict[str, list[ScoredBox]]] = {}
    with path.open(newline="", encoding="utf-8") as opened:
        reader = csv.DictReader(opened)
        missing = set(CSV_COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise PairsError(
                f"lacks the columns {', '.join(sorted(missing))}",
                path,
                f"the first line must be {','.join(CSV_COLUMNS)}",
            )
        for row in reader:
            try:
                box = Box(*(float(row[name]) for name in ("x", "y", "w", "h")))
                found = rows.setdefault(row["key"], {"rgb": [], "tir": []})[row["modality"]]
                found.append(ScoredBox(box, float(row["score"]), row["label"] or ""))
            except (ValueError, KeyError, TypeError) as error:
                raise PairsError(
                    f"line {reader.line_num} is not a box",
                    path,
                    f"give {','.join(CSV_COLUMNS)} with modality rgb or tir",
                ) from error
    if not rows:
        raise PairsError("holds no box", path, "give a table with at least one line")
    return {
        key: FoundBoxes(tuple(found["rgb"]), tuple(found["tir"])) for key, found in rows.items()
    }
