"""``result.json``: trackers on one data set under one protocol, as a value and as a file.

:class:`Comparison` is what ``evaluate`` and ``score`` return and write, and what a report reads.
``values`` follow the protocol; ``visible_values`` count only frames with a valid annotation.
The defaults are what files of older versions mean that lack an entry: base 1, and the scores of
the OTB core, which were the only ones.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from tirtrack.errors import DatasetError
from tirtrack.evaluation.protocols.base import ScoreDescription
from tirtrack.evaluation.protocols.otb_core import ABSENT_RULE, SCORES
from tirtrack.evaluation.score_quality import ScoreQuality
from tirtrack.evaluation.statistics import ScoreDifference, ScoreInterval
from tirtrack.read_options import AS_STORED, ReadOptions
from tirtrack.source_line import counted
from tirtrack.stored import Number, Stored

RESULT_NAME = "result.json"
EVALUATION_FOLDER = "evaluation"
"""Name of the evaluation's folder inside a demo's folder."""
_LISTED = 3


class SequenceResult(Stored):
    """One tracker on one sequence: scores are means over its starts.

    Attributes:
        name: name of the sequence.
        subset: part of the data set that it belongs to; empty when there is one only.
        attributes: attributes that it has; empty in files of older versions.
        file: result file that it was scored from, of its first start; empty where the evaluation
            made it (below its folder), and in files of older versions.
        group: group of the bootstrap that it belongs to; empty where sequences were drawn.
        failures: stretches of frames off the target, as rows ``(first, end)`` from the first start
            on (:mod:`tirtrack.evaluation.failures`); ``None`` where the protocol tracks from
            several starts, and in files of older versions.
        starts: annotated rows where its runs begin, from 0; empty in files of older versions.
        frames: annotated frames from the first start on.
        visible_frames: those of them with a valid annotation.
        values: scores, by id.
        visible_values: the same over visible frames only.
        weights: weights of the sequence in the means of scores, by id; 1 where one is not named.
        repaired_rows: result rows that the protocol replaced, of all starts.
        fps: frames per second, over all starts; ``None`` where times are unknown.
    """

    name: str
    subset: str = ""
    file: str = ""
    attributes: tuple[str, ...] = ()
    group: str = ""
    failures: tuple[tuple[int, int], ...] | None = None
    starts: tuple[int, ...] = ()
    frames: int = 0
    visible_frames: int | None = None
    values: Mapping[str, Number] = {}
    visible_values: Mapping[str, Number] = {}
    weights: Mapping[str, float] = {}
    repaired_rows: int = 0
    fps: float | None = None


class SubsetResult(Stored):
    """One tracker's averages over a subset of the sequences.

    Attributes:
        sequences: number of its sequences; 0 in files of older versions, which have none.
        values: averages, by id of the score.
        visible_values: the same over visible frames only.
    """

    sequences: int = 0
    values: Mapping[str, Number] = {}
    visible_values: Mapping[str, Number] = {}


class Speed(Stored):
    """Frames per second, averaged in three different ways.

    Attributes:
        total: all frames over all seconds.
        sequence: mean over sequences of frames over seconds.
        frame: mean over frames of one over seconds.
    """

    total: float
    sequence: float
    frame: float


class TrackerResult(Stored):
    """One tracker on a data set: averages, curves, sequences.

    Attributes:
        name: name of the tracker, or of one of its runs.
        base: coordinate base of its result files.
        weights: name or file of its weights.
        sha256: hash of the weights file.
        preset: preset of its online loop.
        overrides: settings that differ from the preset.
        engine: engine that ran its network; empty where unknown.
        outside: facts of a tracker from outside: how it was named, its version, hashes of files.
        run: number of this run, from 1.
        run_of: name of the tracker.
        values: averages, by id of the score.
        visible_values: the same over visible frames only.
        curves: points of each curve, by id of its score.
        subsets: averages over each part of the data set, and over the sequences that have an
            attribute, by its name; none that holds all sequences.
        fps: frames per second, as ``speed.total``; ``None`` where times are unknown.
        speed: the same, averaged in three ways.
        score_quality: agreement of its score with its overlap; ``None`` where files hold no score.
        repaired_rows: result rows that the protocol replaced.
        sequences: results of each sequence.
    """

    name: str
    base: int = 1
    weights: str = ""
    sha256: str = ""
    preset: str | None = None
    overrides: Mapping[str, Any] = {}
    engine: str = ""
    outside: Mapping[str, Any] = {}
    run: int = 1
    run_of: str = ""
    values: Mapping[str, Number] = {}
    visible_values: Mapping[str, Number] = {}
    curves: Mapping[str, list[float]] = {}
    subsets: Mapping[str, SubsetResult] = {}
    fps: float | None = None
    speed: Speed | None = None
    score_quality: ScoreQuality | None = None
    repaired_rows: int = 0
    sequences: tuple[SequenceResult, ...] = ()

    @property
    def tracker(self) -> str:
        """Name of the tracker that this is a run of."""
        return self.run_of or self.name

    def sequence(self, name: str) -> SequenceResult | None:
        """The row of that sequence, if there is one."""
        return next((row for row in self.sequences if row.name == name), None)

    def by_sequence(self, score: str) -> dict[str, float]:
        """One score of every sequence where it is known."""
        known = ((row.name, row.values.get(score)) for row in self.sequences)
        return {name: value for name, value in known if value is not None}

    def weights_of(self, score: str) -> dict[str, float]:
        """The weight of every sequence in the mean of one score."""
        return {row.name: row.weights.get(score, 1.0) for row in self.sequences}


class Spread(Stored):
    """A tracker over runs with other seeds.

    Attributes:
        tracker: name of the tracker.
        runs: number of its runs.
        means: scores over all runs, by id: the mean over runs, or what the protocol reads from
            all of them together where a score is no mean over sequences.
        deviations: sample deviations (n - 1) of the scores of single runs.
        curves: points of each curve over all runs, by id of its score; empty in files of older
            versions.
        score_quality: agreement of its score with its overlap, over the frames of all runs;
            ``None`` where files hold no score, and in files of older versions.
    """

    tracker: str
    runs: int
    means: Mapping[str, Number]
    deviations: Mapping[str, Number]
    curves: Mapping[str, list[float]] = {}
    score_quality: ScoreQuality | None = None


class MissingRun(Stored):
    """A requested run without a result."""

    tracker: str
    sequence: str
    reason: str = ""

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.tracker} on {self.sequence}{reason}"


class Comparison(Stored):
    """Several trackers on one data set under one protocol; ``result.json`` holds the same.

    Attributes:
        format: version of the file format.
        protocol: id of the protocol.
        dataset: name of the data set.
        annotation_sha256: hash of the annotation.
        seed: seed of trackers and resamples.
        versions: versions of Python and packages.
        fingerprint: hash of all that the numbers depend on.
        starts: number of start frames of each sequence.
        reference: tracker that the others are compared with in tables; the best one if empty.
        group: key of ``attributes.json`` by which sequences were drawn in groups; ``None``
            where the bootstrap drew sequences.
        scores: descriptions of the protocol's scores; the first one decides.
        absent_rule: rule by which the protocol counts frames without a valid annotation.
        base: coordinate base of the annotation files.
        layout: layout of the data set.
        read_as: remarks on how the annotation was read.
        source_line: description of the data set in one line.
        sources: description of the frames of each sequence.
        read_options: options that the frames were read with.
        dataset_path: folder of the data set, if it has one.
        result_columns: columns of the result files, where they were said.
        sequences: number of sequences.
        left_out: number of sequences that were left out, which ``read_as`` names.
        frames: number of frames of all sequences.
        absent_frames: frames whose annotation is not valid.
        repaired_rows: result rows that the protocol replaced.
        missing: requested runs without a result.
        created: time of writing, UTC.
        command: command line that reproduces it.
        trackers: results of each tracker and run; those without any are left out.
        runs: scores and deviations of trackers that ran several times.
        intervals: each tracker's scores with intervals, over all sequences and over each subset
            with five or more; empty in files of older versions.
        differences: differences of each tracker minus each one before it, score by score.
    """

    format: Literal[1] = 1
    protocol: str
    dataset: str
    annotation_sha256: str | None = None
    seed: int | None = None
    versions: Mapping[str, str] = {}
    fingerprint: str = ""
    starts: int = 1
    reference: str = ""
    group: str | None = None
    scores: tuple[ScoreDescription, ...] = Field(SCORES, min_length=1)
    absent_rule: str = ABSENT_RULE
    base: int = 1
    layout: str = ""
    read_as: tuple[str, ...] = ()
    source_line: str = ""
    sources: Mapping[str, str] = {}
    read_options: ReadOptions = AS_STORED
    dataset_path: str | None = None
    result_columns: tuple[str, ...] = ()
    sequences: int = 0
    left_out: int = 0
    frames: int = 0
    absent_frames: int = 0
    repaired_rows: int = 0
    missing: tuple[MissingRun, ...] = ()
    created: str = ""
    command: str | list[str] = ""
    trackers: list[TrackerResult] = Field(min_length=1)
    runs: tuple[Spread, ...] = ()
    intervals: tuple[ScoreInterval, ...] = ()
    differences: tuple[ScoreDifference, ...] = ()

    @property
    def primary(self) -> ScoreDescription:
        """The score that decides."""
        return self.scores[0]

    @property
    def unit(self) -> str:
        """The thing that the bootstrap draws, in one word: a sequence, or a group by its key."""
        return self.group or "sequence"

    def rank(self, one: TrackerResult) -> float:
        """A number that is the larger the better the tracker is in the primary score."""
        value = one.values.get(self.primary.id)
        return -math.inf if value is None else self.primary.gain(value)

    @property
    def compared_with(self) -> str:
        """The tracker that the others are compared with: the reference, or the best one."""
        return self.reference or max(self.first_runs, key=self.rank).name

    def score(self, name: str) -> ScoreDescription:
        """The description of that score; its id alone where the file describes it not."""
        known = {one.id: one for one in self.scores}
        return known.get(name, ScoreDescription(id=name, title=name))

    def difference(self, a: str, b: str, score: str) -> ScoreDifference | None:
        """``a - b`` in that score, whichever way round it is stored."""
        for stored in self.differences:
            if stored.score == score and (stored.a, stored.b) == (a, b):
                return stored
            if stored.score == score and (stored.a, stored.b) == (b, a):
                return stored.turned()
        return None

    def interval(self, tracker: str, score: str, subset: str = "") -> ScoreInterval | None:
        """The tracker's score with its interval, if it is known."""
        wanted = (tracker, score, subset)
        return next(
            (one for one in self.intervals if (one.tracker, one.score, one.subset) == wanted), None
        )

    @property
    def first_runs(self) -> list[TrackerResult]:
        """Each tracker once, by the first of its runs that is there, under its own name."""
        first: dict[str, TrackerResult] = {}
        for one in self.trackers:
            first.setdefault(one.tracker, one.model_copy(update={"name": one.tracker}))
        return list(first.values())

    def subset_members(self) -> dict[str, list[str]]:
        """Names of the sequences of each subset that a tracker has averages of, as far as the rows
        say to which they belong.
        """
        rows = {row.name: row for one in self.first_runs for row in one.sequences}
        names = dict.fromkeys(name for one in self.first_runs for name in one.subsets)
        members = {
            name: [key for key, row in rows.items() if name in (row.subset, *row.attributes)]
            for name in names
        }
        return {name: found for name, found in members.items() if found}

    def missing_line(self) -> str:
        """Which trackers lack results and how many sequences were left out, in one line; empty if
        nothing is missing.
        """
        lacking = Counter(one.tracker for one in self.missing)
        listed = [f"{count} of {name}" for name, count in lacking.most_common(_LISTED)]
        left = len(lacking) - _LISTED
        more = f" and of {counted(left, 'more tracker')}" if left > 0 else ""
        said = [f"results missing: {', '.join(listed)}{more}"] if listed else []
        said += [f"{counted(self.left_out, 'sequence')} left out"] if self.left_out else []
        return "; ".join(said)

    def over_runs(self, one: TrackerResult) -> TrackerResult:
        """A tracker with scores and curves over all of its runs; as it is where these are unknown,
        or where it ran once.
        """
        found = next((run for run in self.runs if run.tracker == one.tracker), None)
        if found is None or not found.curves:
            return one
        return one.model_copy(update={"values": found.means, "curves": found.curves})

    def score_quality(self, name: str) -> ScoreQuality | None:
        """How the score of that tracker agrees with its overlap, over all of its runs; over those
        of the first one in files of older versions.
        """
        pooled = next((one.score_quality for one in self.runs if one.tracker == name), None)
        return pooled or self.runs_of(name)[0].score_quality

    def runs_of(self, name: str) -> list[TrackerResult]:
        """All runs of the tracker of that name; one as a rule."""
        return [one for one in self.trackers if one.tracker == name]

    def sequence_names(self) -> list[str]:
        """Every sequence that any tracker has, in the order of the file; of its first run."""
        return list(dict.fromkeys(row.name for one in self.first_runs for row in one.sequences))

    @property
    def scored_frames(self) -> int:
        """Annotated frames of all sequences that any tracker has, from the first valid one on."""
        rows = {row.name: row.frames for one in self.first_runs for row in one.sequences}
        return sum(rows.values())


def evaluation_folder(path: Path) -> Path:
    """The folder that holds the evaluation: ``path``, or its ``evaluation`` (a demo's folder)."""
    inner = path / EVALUATION_FOLDER
    return inner if (inner / RESULT_NAME).is_file() else path


def read_result(path: Path) -> Comparison:
    """The result of an evaluation folder, or of the file itself.

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
        return Comparison.model_validate(json.loads(file.read_text(encoding="utf-8")))
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
