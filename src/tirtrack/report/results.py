"""``result.json`` of an evaluation, read back and checked.

The file may come from anywhere, so it is read strictly where the page depends on it: a number that
is missing is left out of the page, one of the wrong kind is an error that names the place.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from tirtrack.errors import DatasetError
from tirtrack.evaluation.result_json import RESULT_NAME
from tirtrack.read_options import AS_STORED, ReadOptions
from tirtrack.report.stored import STORED

EVALUATION_FOLDER = "evaluation"
"""Name of the evaluation's folder inside a demo's folder."""

SCORES = {
    "success": "success",
    "precision": "precision",
    "norm_precision": "normalised precision",
    "op50": "overlap > 0.5",
}
"""Scores that the page knows, in its order, and their names in words."""


class _Part(BaseModel):
    model_config = STORED


class SequenceResult(_Part):
    """One tracker on one sequence."""

    name: str
    subset: str = ""
    frames: int = 0
    visible_frames: int | None = None
    values: dict[str, float | None] = {}
    visible_values: dict[str, float | None] = {}
    fps: float | None = None


class TrackerResult(_Part):
    """One tracker on a data set: averages, curves, sequences."""

    name: str
    weights: str = ""
    sha256: str = ""
    preset: str | None = None
    run: int = 1
    run_of: str = ""
    values: dict[str, float | None] = {}
    visible_values: dict[str, float | None] = {}
    curves: dict[str, list[float]] = {}
    fps: float | None = None
    sequences: list[SequenceResult] = []

    def sequence(self, name: str) -> SequenceResult | None:
        """The row of that sequence, if there is one."""
        return next((row for row in self.sequences if row.name == name), None)

    def by_sequence(self, score: str) -> dict[str, float]:
        """One score of every sequence where it is known."""
        known = ((row.name, row.values.get(score)) for row in self.sequences)
        return {name: value for name, value in known if value is not None}


class Difference(_Part):
    """A paired bootstrap over sequences of ``a - b`` in one score."""

    a: str
    b: str
    score: str
    mean: float
    low: float
    high: float
    p: float | None = None
    median: float | None = None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    n: int = 0
    seed: int | None = None
    resamples: int | None = None

    def turned(self) -> Difference:
        """The same difference in reverse, ``b - a``."""
        return self.model_copy(
            update={
                "a": self.b,
                "b": self.a,
                "mean": -self.mean,
                "low": -self.high,
                "high": -self.low,
                "median": None if self.median is None else -self.median,
                "wins": self.losses,
                "losses": self.wins,
            }
        )


class RepeatedRuns(_Part):
    """A tracker over runs with other seeds."""

    tracker: str
    runs: int
    means: dict[str, float | None]
    deviations: dict[str, float | None]


class MissingRun(_Part):
    """A requested run without a result."""

    tracker: str
    sequence: str
    reason: str = ""

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.tracker} on {self.sequence}{reason}"


class EvaluationResult(_Part):
    """What ``result.json`` of one evaluation holds; without an entry the base is 1."""

    format: Literal[1] = 1
    protocol: str
    dataset: str
    base: int = 1
    dataset_path: str | None = None
    read_options: ReadOptions = AS_STORED
    annotation_sha256: str | None = None
    created: str = ""
    command: str | list[str] = ""
    versions: dict[str, str] = {}
    seed: int | None = None
    trackers: list[TrackerResult] = Field(min_length=1)
    runs: list[RepeatedRuns] = []
    differences: list[Difference] = []
    absent_frames: int = 0
    missing: list[MissingRun] = []
    repaired_rows: int = 0

    def difference(self, a: str, b: str, score: str) -> Difference | None:
        """``a - b`` in that score, whichever way round it is stored."""
        for stored in self.differences:
            if stored.score == score and (stored.a, stored.b) == (a, b):
                return stored
            if stored.score == score and (stored.a, stored.b) == (b, a):
                return stored.turned()
        return None

    @property
    def first_runs(self) -> list[TrackerResult]:
        """Each tracker once, by the first of its runs that is there, under its own name."""
        first: dict[str, TrackerResult] = {}
        for one in self.trackers:
            name = one.run_of or one.name
            first.setdefault(name, one.model_copy(update={"name": name}))
        return list(first.values())

    def runs_of(self, name: str) -> list[TrackerResult]:
        """All runs of the tracker of that name; one as a rule."""
        return [one for one in self.trackers if (one.run_of or one.name) == name]

    def sequence_names(self) -> list[str]:
        """Every sequence that any tracker has, in the order of the file; of its first run."""
        return list(dict.fromkeys(row.name for one in self.first_runs for row in one.sequences))

    @property
    def frames(self) -> int:
        """Annotated frames of all sequences."""
        rows = {row.name: row.frames for one in self.first_runs for row in one.sequences}
        return sum(rows.values())


def evaluation_folder(path: Path) -> Path:
    """The folder that holds the evaluation: ``path``, or its ``evaluation`` (a demo's folder)."""
    inner = path / EVALUATION_FOLDER
    return inner if (inner / RESULT_NAME).is_file() else path


def read_result(path: Path) -> tuple[EvaluationResult, dict[str, Any]]:
    """The result of an evaluation folder (or of the file itself), typed and as stored.

    Raises:
        DatasetError: there is no such file, or it is not a result of an evaluation.
    """
    file = evaluation_folder(path) / RESULT_NAME if path.is_dir() else path
    if not file.is_file():
        raise DatasetError(
            f"holds no {RESULT_NAME}" if path.is_dir() else "no such file or folder",
            path,
            'give a folder that "tirtrack evaluate" or "tirtrack score" wrote',
        )
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return EvaluationResult.model_validate(stored), stored
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(
            f"is not JSON ({error})", file, "run the evaluation again with --force"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DatasetError(
            f"{where}: {first['msg'].lower()}",
            file,
            'this is no result of "tirtrack evaluate" or "tirtrack score"',
        ) from error
