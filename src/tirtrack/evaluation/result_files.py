"""Reads a result file as the run of a sequence: its base, its columns, its first frame.

Folders that ``tirtrack evaluate`` wrote give their base in ``result.json`` and ``identity.json``;
without that entry it is 1. Other files are assumed to have the base and the form of the annotation
file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.datasets.box_text import read_boxes, read_targets
from tirtrack.datasets.columns import CORNERS, XYWH, Columns, form_of
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.errors import DatasetError
from tirtrack.evaluation.comparison import RESULT_NAME
from tirtrack.evaluation.overlap import first_valid_row
from tirtrack.evaluation.results import SequenceRun, read_track
from tirtrack.evaluation.vot_runs import STARTED
from tirtrack.identity import IDENTITY_NAME

BEGUN_BY = "protocol that says where runs begin"
"""Key of ``identity.json``, which has it if a protocol does."""
_BASE_WITHOUT_ENTRY = 1
_FOLDERS_ABOVE = 3  # RUN/results/TRACKER/SEQUENCE.txt
_FIRST_BOX_PX = 1.0
_SAME_PX = 1e-5


def read_run(
    path: Path,
    sequence: LabelledSequence,
    *,
    columns: Columns | None = None,
    base: int | None = None,
    base_by_run: Callable[[Path], int | None] | None = None,
    run: int = 1,
    runs: int = 1,
) -> SequenceRun:
    """The run of a sequence in a result file, in the base of the annotation in memory.

    Args:
        path: the file.
        sequence: sequence that was tracked.
        columns: columns of the file, where it does not say them.
        base: base of the file, where neither it nor the annotation says it.
        base_by_run: :func:`written_base`, or one that remembers its answers (:func:`by_folder`).
        run: number of the run in a ``.mat`` file, from 1.
        runs: number of runs that such a file must hold.

    Raises:
        DatasetError: the file is damaged, or its columns are ambiguous.
    """
    written = (base_by_run or written_base)(path)
    if columns is None and written is None and path.suffix != ".mat":
        columns = _columns(path, sequence)
    shift = sequence.base - _first_known(base, written, sequence.file_base)
    track = read_track(
        path,
        shift=shift,
        columns=columns,
        frames=len(sequence),
        video=sequence.group or sequence.name,
        target=sequence.target,
        run=run,
        runs=runs,
    )
    return _aligned(track, sequence)


def base_of_result(path: Path, sequence: LabelledSequence, *, base: int | None = None) -> int:
    """The base of a result file: the given one, that of its run, or that of the annotation file.

    Raises:
        DatasetError: a file of the run is damaged.
    """
    return _first_known(base, written_base(path), sequence.file_base)


def _first_known(base: int | None, written: int | None, annotation: int) -> int:
    return next(one for one in (base, written, annotation) if one is not None)


def written_base(path: Path) -> int | None:
    """The base of a result file by the run that it belongs to; ``None`` where that is unknown.

    Raises:
        DatasetError: a file of the run is damaged.
    """
    return next(
        (base for folder in _above(path) if (base := _base_of_run(folder)) is not None), None
    )


def by_folder() -> Callable[[Path], int | None]:
    """:func:`written_base`, which is asked once for each folder while the function is in use."""
    known: dict[Path, int | None] = {}

    def base(path: Path) -> int | None:
        key = path if path.is_symlink() else path.parent
        if key not in known:
            known[key] = written_base(path)
        return known[key]

    return base


def written_experiment(path: Path) -> str | None:
    """The protocol that said where the run of a result file began; ``None`` if none did.

    Raises:
        DatasetError: a file of the run is damaged.
    """
    for folder in _above(path):
        if (content := _stored(folder / IDENTITY_NAME)) is not None:
            return content.get(BEGUN_BY)
    return None


def _above(path: Path) -> list[Path]:
    """The folders that may be that of the run of a result file, the nearest first."""
    places = dict.fromkeys((path, path.resolve()))
    return [folder for place in places for folder in list(place.parents)[:_FOLDERS_ABOVE]]


def _base_of_run(folder: Path) -> int | None:
    for name in (IDENTITY_NAME, RESULT_NAME):  # the first is small, and there from the beginning
        content = _stored(folder / name)
        if content is not None and content.get("base") in (0, 1):
            return int(content["base"])
    return _BASE_WITHOUT_ENTRY if (folder / IDENTITY_NAME).is_file() else None


def _stored(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DatasetError(
            "is damaged", path, "restore it, or score the files without it"
        ) from error


def seems_moved(track: SequenceRun, sequence: LabelledSequence) -> int:
    """1 or -1 if the first box is the annotated one moved by that on both axes, pixels; else 0."""
    start = first_valid_row(sequence.annotation)
    if start is None or len(track.boxes) == 0:
        return 0
    off = track.boxes[0] - sequence.annotation[start]
    steps = (step for step in (-1, 1) if (np.abs(off - [step, step, 0, 0]) <= _SAME_PX).all())
    return next(steps, 0)


def _columns(path: Path, sequence: LabelledSequence) -> Columns | None:
    """Columns of a four-column file beside corner annotation: decided by the given first box."""
    if sequence.form != form_of(CORNERS):
        return None
    (target, *others) = read_targets(path)
    if target.named or target.form or others or len(target) == 0:
        return None
    offset = np.array([sequence.shift, sequence.shift, 0.0, 0.0])
    annotation = sequence.annotation[first_valid_row(sequence.annotation) or 0 :] - offset
    rows = min(len(annotation), len(target))
    far = {
        columns: np.abs(read_boxes(path, columns)[-rows:] - annotation[:rows]).max(axis=1)
        for columns in (XYWH, CORNERS)
    }
    best = min(far, key=lambda columns: (far[columns][0], np.nanmedian(far[columns])))
    if far[best][0] <= _FIRST_BOX_PX:
        return best
    raise DatasetError(
        "the first row is the first annotated box neither as x,y,w,h nor as x1,y1,x2,y2",
        path,
        "say which they are with --result-columns",
    )


def _aligned(track: SequenceRun, sequence: LabelledSequence) -> SequenceRun:
    """The rows of a run that belong to annotated rows from the first valid one on."""
    rows, found = len(sequence), len(track.boxes)
    if sequence.every > 1 and found > rows and math.ceil(found / sequence.every) == rows:
        track = track.rows(slice(None, None, sequence.every))
    start = first_valid_row(sequence.annotation) or 0
    track = track.rows(slice(start, None)) if start and len(track.boxes) == rows else track
    annotation = sequence.annotation[start:][: len(track.boxes)]
    given = np.flatnonzero(track.statuses[: len(annotation)] == STARTED)
    given = given[np.isnan(track.boxes[given]).any(axis=1)]  # files of VOT have a code there
    if len(given):
        boxes = track.boxes.copy()
        boxes[given] = annotation[given]
        track = replace(track, boxes=boxes)
    return track
