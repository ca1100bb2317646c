"""A tracker's run over a sequence, as a value and as files.

A result folder holds, for each tracker, ``TRACKER/SEQUENCE.txt``: one row a frame, ``x,y,w,h`` in
the base of the annotation file, comma separated, each number in its shortest exact form;
beside it ``SEQUENCE.csv`` with score and status of every frame, and ``SEQUENCE_time.txt`` with its
seconds. Times have a file of their own because only they differ from run to run. Where a
tracker was lost, the box is the one that it measured if it reports one, else its last trusted one.

These files can be read, and also files in any form that annotation has (JSON may have ``scores``,
``statuses`` and ``seconds`` beside its boxes), scores of pytracking beside text, the files of the
GOT-10k and VOT toolkits (``numbered_files.py``), and the ``.mat`` files of the OTB, LSOTB-TIR and
PTB-TIR toolkits (``SEQUENCE_TRACKER.mat``, one run or all of TRE or SRE).
"""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.datasets.box_text import boxes_text, read_boxes, read_rows, short_number
from tirtrack.datasets.columns import Columns
from tirtrack.datasets.row_text import read_text
from tirtrack.datasets.walking import walk
from tirtrack.errors import DatasetError
from tirtrack.evaluation.numbered_files import numbered
from tirtrack.files import write_text
from tirtrack.source_line import counted, unused_in_words, unused_names

RESULTS_FOLDER = "results"
_BOX_SUFFIXES = (".txt", ".json")
_DECIMALS = 9  # of boxes moved to another base
_CSV_COLUMNS = ["frame", "score", "status"]
_FURTHER_RUN = re.compile(r"(.+)\.run([2-9]|[1-9]\d+)(/.*)?")


@dataclass(frozen=True)
class SequenceRun:
    """One run over one sequence.

    Attributes:
        boxes: ``[T,4]`` float64 xywh in the base of the annotation in memory; row 0 is the first
            annotated box exactly.
        scores: ``[T]`` scores in [0, 1]; row 0 is 1. NaN where a result file has none.
        statuses: ``[T]`` ``tracking``, ``uncertain`` or ``lost``; empty text where unknown.
        seconds: ``[T]`` time spent in ``init`` (row 0) and ``update``. NaN where unknown.
    """

    boxes: np.ndarray
    scores: np.ndarray
    statuses: np.ndarray
    seconds: np.ndarray

    @classmethod
    def of_boxes(cls, boxes: np.ndarray) -> SequenceRun:
        """A track of which only the boxes ``[T,4]`` are known."""
        unknown = np.full(len(boxes), np.nan)
        return cls(boxes, unknown, np.full(len(boxes), ""), unknown)

    def rows(self, kept: slice) -> SequenceRun:
        """Some of its frames."""
        return SequenceRun(
            self.boxes[kept], self.scores[kept], self.statuses[kept], self.seconds[kept]
        )


def write_track(folder: Path, sequence: str, track: SequenceRun, *, shift: int = 0) -> None:
    """Write a run as the files of one sequence below a tracker's ``folder``; whole or not at all.

    The box file is written last: if it exists, the others do.

    Args:
        folder: folder of the tracker.
        sequence: name of the sequence.
        track: the run.
        shift: offset that reading adds to ``x`` and ``y``; it is subtracted before writing.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for frame, (score, status) in enumerate(zip(track.scores, track.statuses, strict=True)):
        writer.writerow([frame, short_number(score), status])
    seconds = "".join(f"{value:.6f}\n" for value in track.seconds)
    write_text(folder / f"{sequence}_time.txt", seconds)
    write_text(folder / f"{sequence}.csv", table.getvalue())
    write_text(folder / f"{sequence}.txt", boxes_text(unshifted(track.boxes, shift)))


def is_written(box_file: Path) -> bool:
    """Whether every file is there that :func:`write_track` writes for a run."""
    files = (box_file, box_file.with_suffix(".csv"), _time_file(box_file))
    return all(one.is_file() for one in files)


def unshifted(boxes: np.ndarray, shift: int) -> np.ndarray:
    """Boxes that become exactly these when shifted, in short decimals where possible."""
    offset = np.array([shift, shift, 0.0, 0.0])
    exact = boxes - offset
    with np.errstate(over="ignore"):  # 1e300 has no decimals that could be moved
        short = exact.round(_DECIMALS)
    return np.asarray(np.where(short + offset == boxes, short, exact))


def read_track(
    path: Path,
    *,
    shift: int = 0,
    columns: Columns | None = None,
    frames: int | None = None,
    video: str = "",
    target: str = "",
    run: int = 1,
    runs: int = 1,
) -> SequenceRun:
    """A run from its box file (text or ``.mat``), with scores and times if they lie beside it.

    Args:
        path: the box file.
        shift: offset added to ``x`` and ``y``.
        columns: columns of a text file, where it does not say them.
        frames: expected number of frames, where the file leaves that open.
        video: name of the wanted video, where the file holds several.
        target: id of the wanted target, where the file holds several.
        run: number of the wanted run of a ``.mat`` file, from 1.
        runs: number of runs that a ``.mat`` file must hold.

    Raises:
        DatasetError: a file is damaged, or those of one run have different lengths; names file and
            row.
    """
    path = Path(path)
    offset = np.array([shift, shift, 0.0, 0.0])
    if path.suffix == ".mat":
        return SequenceRun.of_boxes(_boxes_of_mat(path, run, runs) + offset)
    boxes = read_boxes(path, columns, frames=frames, video=video, target=target)
    track = SequenceRun.of_boxes(boxes + offset)
    scores, statuses, seconds = _beside(path)
    scores = track.scores if scores is None else scores
    statuses = track.statuses if statuses is None else statuses
    seconds = track.seconds if seconds is None else seconds
    for name, values in (("scores", scores), ("statuses", statuses), ("times", seconds)):
        if values.shape != track.scores.shape:
            raise DatasetError(
                f"{len(track.boxes)} boxes, but {values.size} {name} beside them",
                path,
                "run the sequence again, or remove the file of the other length",
            )
    return SequenceRun(track.boxes, scores, statuses, seconds)


_Told = tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]


def _beside(path: Path) -> _Told:
    """Scores, statuses and seconds ``[T]`` that belong to the boxes of a file, where known."""
    if path.suffix == ".json":
        return _of_json(path)
    if (one := numbered(path)) is not None:
        return one.scores(), one.statuses(), one.seconds()
    scores, statuses = _read_csv(path.with_suffix(".csv"))
    scores = _column(_presence_file(path)) if scores is None else scores
    return scores, statuses, _column(_time_file(path))


def _column(path: Path) -> np.ndarray | None:
    """``[T]`` numbers of a file of one column; ``None`` if there is no such file."""
    return read_rows(path, columns=1)[:, 0] if path.is_file() else None


def _of_json(path: Path) -> _Told:
    """What ``results convert --to json`` wrote beside the boxes."""
    content = json.loads(read_text(path))  # read before, for its boxes
    found = content if isinstance(content, dict) else {}
    kinds = {"scores": np.float64, "statuses": np.str_, "seconds": np.float64}
    listed: dict[str, np.ndarray | None] = dict.fromkeys(kinds)
    for key, kind in kinds.items():
        if found.get(key) is not None:
            try:
                listed[key] = np.array(found[key], dtype=kind)
            except (TypeError, ValueError) as error:
                raise DatasetError(
                    f"{key} are not one for each row", path, "null stands where one is unknown"
                ) from error
    return listed["scores"], listed["statuses"], listed["seconds"]


def _read_csv(path: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Scores and statuses ``[T]``; ``None`` if there is no such file."""
    if not path.is_file():
        return None, None
    with path.open("rb") as opened:
        if opened.readline().strip() != ",".join(_CSV_COLUMNS).encode():
            return None, None  # another tool's table; the boxes are in the text file
    rows = list(csv.reader(io.StringIO(read_text(path))))
    try:
        scores = np.array([float(row[1]) for row in rows[1:]], dtype=np.float64)
        statuses = np.array([row[2] for row in rows[1:]], dtype=np.str_)
    except (ValueError, IndexError) as error:
        raise DatasetError(
            "a row is not frame,score,status", path, "run the sequence again, or remove the file"
        ) from error
    return scores, statuses


def _boxes_of_mat(path: Path, run: int, runs: int) -> np.ndarray:
    """``[T,4]`` boxes of a run in ``results``, a cell of structs, as MATLAB toolkits write it."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise DatasetError("could not be read", path, "check the path") from error
    found = _runs_of_mat(path, changed)
    if not all(isinstance(one, dict) for one in found):
        raise DatasetError('"results" is no cell of structs', path, "save a struct for each run")
    if len(found) != runs:
        raise DatasetError(
            f'"results" holds {counted(len(found), "run")}, the protocol asks for {runs}',
            path,
            "one run is OPE, 20 are TRE (--protocol ptb-tir-tre), 12 are SRE (ptb-tir-sre)",
        )
    return _boxes_of_struct(found[run - 1], path)


@lru_cache(maxsize=1)  # the runs of a file are asked for one after the other
def _runs_of_mat(path: Path, changed: int) -> tuple[Any, ...]:
    """What ``results`` holds; ``changed`` is when the file was."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    damaged = (
        MatReadError, ValueError, TypeError, LookupError, NotImplementedError, OSError, zlib.error
    )  # fmt: skip
    try:
        # simplify_cells: a cell of structs becomes dicts; loadmat never unpickles
        content = loadmat(path, simplify_cells=True)
    except damaged as error:
        raise DatasetError(
            "is not a MATLAB v5 result file", path, "save it with -v7 or as text"
        ) from error
    return tuple(np.atleast_1d(np.asarray(content.get("results"), dtype=object)))


def _boxes_of_struct(run: Mapping[str, Any], path: Path) -> np.ndarray:
    kind = str(run.get("type", "rect"))
    if kind != "rect":
        raise DatasetError(f'result type "{kind}"', path, 'convert it to "rect" (x,y,w,h)')
    try:
        boxes = np.asarray(run.get("res", []), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DatasetError("res is not numbers", path, "expected [T,4] x,y,w,h") from error
    if boxes.size % 4 or (boxes.ndim == 2 and boxes.shape[1] != 4 and boxes.size):
        raise DatasetError(f"res is {list(boxes.shape)}", path, "expected [T,4] x,y,w,h")
    return boxes.reshape(-1, 4)


def find_results(path: Path, sequences: Iterable[str]) -> dict[str, dict[str, Path]]:
    """The result files at or below a folder, linked ones included, by tracker and sequence.

    A folder with files named after the sequences is one tracker, named by its path relative to
    ``path`` (or by ``path`` itself). So is one with folders ``SEQUENCE/SEQUENCE_001.txt``, whose
    further runs are ``TRACKER.run2`` and so on. ``SEQUENCE_TRACKER.mat`` belongs to ``TRACKER``. A
    folder that ``tirtrack evaluate`` wrote is read from its ``results``.

    Raises:
        DatasetError: no such folder, no file below it is named after a sequence, or two files are
            of one tracker and sequence.
    """
    path = Path(path)
    if not path.is_dir():
        raise DatasetError("no such folder", path, "give a folder of result files")
    root = _results_root(path)
    names = set(sequences)
    found: dict[str, dict[str, Path]] = {}
    for folder, files in walk(root):
        relative = folder.relative_to(root)
        tracker = str(relative) if relative.parts else path.resolve().name
        for file in files:
            owner = _owner(folder / file, tracker, names)
            if owner is not None:
                by_sequence = found.setdefault(owner[0], {})
                _check_alone(folder / file, owner, by_sequence)
                by_sequence[owner[1]] = folder / file
    if not found:
        expected = f"expected files such as {min(names, default='SEQUENCE')}.txt"
        if any(Path(file).suffix == ".bin" for _, files in walk(root) for file in files):
            expected += "; the VOT toolkit writes text, not .bin, where VOT_RESULTS_BINARY=false"
        raise DatasetError(
            "no result file is named after a sequence of the data set", path, expected
        )
    return found


def _check_alone(file: Path, owner: tuple[str, str], known: Mapping[str, Path]) -> None:
    tracker, sequence = owner
    if sequence in known:
        raise DatasetError(
            f"a second result of {tracker} on {sequence}",
            file,
            f"leave this one or {known[sequence]}",
        )


def results_line(path: Path, found: Mapping[str, Mapping[str, Path]]) -> str:
    """One line: counts of result files and trackers in a folder, and what in it is not used.

    Args:
        path: the folder.
        found: its result files by tracker and sequence, as :func:`find_results` gives them.
    """
    files = [file for by_sequence in found.values() for file in by_sequence.values()]
    used = [one for file in files for one in (file, *_files_beside(file))]
    left = unused_names(_results_root(path), used)
    trackers = {run_named(name, found)[0] for name in found}
    said = f"{counted(len(files), 'result file')} of {counted(len(trackers), 'tracker')}"
    said += f" in {len(found)} runs" if len(found) > len(trackers) else ""
    return f"{said}; not used: {unused_in_words(left)}" if left else said


def run_named(name: str, names: Container[str]) -> tuple[str, int]:
    """The tracker of a run, and the run's number: ``TRACKER.run2`` is run 2 of ``TRACKER`` if that
    is among ``names``, and ``TRACKER.run2/FOLDER`` of ``TRACKER/FOLDER``; any other name is that of
    a tracker, and its run 1.

    >>> run_named("mine.run2", ["mine", "mine.run2"]), run_named("mine.run2", ["mine.run2"])
    (('mine', 2), ('mine.run2', 1))
    """
    found = _FURTHER_RUN.fullmatch(name)
    tracker = f"{found[1]}{found[3] or ''}" if found else name
    return (tracker, int(found[2])) if found and tracker in names else (name, 1)


def _files_beside(file: Path) -> tuple[Path, ...]:
    if (one := numbered(file)) is not None:
        return one.beside
    return _time_file(file), _presence_file(file), file.with_suffix(".csv")


def _results_root(path: Path) -> Path:
    return path / RESULTS_FOLDER if (path / RESULTS_FOLDER).is_dir() else path


def _time_file(file: Path) -> Path:
    return file.with_name(f"{file.stem}_time.txt")


def _presence_file(file: Path) -> Path:
    """Scores as pytracking writes them."""
    return file.with_name(f"{file.stem}_object_presence_scores.txt")


def _owner(file: Path, tracker: str, names: set[str]) -> tuple[str, str] | None:
    """Tracker and sequence of a file in the folder of a tracker; ``None`` for other files."""
    if file.suffix in _BOX_SUFFIXES and file.stem in names:
        return tracker, file.stem
    if (one := numbered(file)) is not None and one.sequence in names:
        above = str(Path(tracker).parent) if Path(tracker).name == one.sequence else tracker
        above = file.parent.parent.resolve().name if above == "." else above
        return above if one.run == 1 else f"{above}.run{one.run}", one.sequence
    if file.suffix != ".mat":
        return None
    parts = file.stem.split("_")
    for cut in range(len(parts), 0, -1):
        sequence = "_".join(parts[:cut])
        if sequence in names:
            return "_".join(parts[cut:]) or tracker, sequence
    return None
