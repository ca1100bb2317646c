"""Results in the forms of other toolkits; boxes are in the base of the annotation file.

========== =================================================================================
``text``    ``TRACKER/SEQUENCE.txt``, rows ``x,y,w,h``: OTB, LaSOT, LSOTB-TIR, PTB-TIR, RGBT234
``json``    ``TRACKER/SEQUENCE.json``: ``res`` as of Anti-UAV, and scores, statuses and seconds
``got10k``  ``TRACKER/SEQUENCE/SEQUENCE_001.txt`` and ``SEQUENCE_time.txt``, got10k toolkit
``vot``     ``TRACKER/unsupervised/SEQUENCE/SEQUENCE_001.txt``, with confidences and times beside
            it, VOT toolkit: the first row is the code 1 for a start
========== =================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tirtrack.datasets.box_text import boxes_text, short_number
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.errors import DatasetError, RequestError, did_you_mean
from tirtrack.evaluation.overlap import first_valid_row
from tirtrack.evaluation.results import SequenceRun
from tirtrack.evaluation.scoring import Runs
from tirtrack.files import new_folder, write_json, write_text


def convert(
    runs: Sequence[Runs], dataset: LabelledDataset, form: str, out: Path, *, force: bool = False
) -> int:
    """Write runs in another form; returns the number of runs over sequences.

    Args:
        runs: runs of each tracker.
        dataset: sequences that they are of.
        form: one of :data:`FORMS`.
        out: a new or empty folder.
        force: replace what is at ``out``.

    Raises:
        RequestError: the form is unknown, or the folder is taken.
        DatasetError: a run does not begin with the first frame, which a form demands.
    """
    if form not in FORMS:
        raise RequestError(f'unknown form "{form}"', "--to", did_you_mean(form, FORMS))
    todo = [
        (out / one.name, sequence, one.tracks[sequence.name])
        for one in runs
        for sequence in dataset.sequences
        if sequence.name in one.tracks
    ]
    for folder, sequence, _ in todo:
        if form != "text" and form != "json" and (first_valid_row(sequence.annotation) or 0) > 0:
            raise DatasetError(
                f"begins after the first frame, which the form {form} has no rows for",
                f"{folder.name}, {sequence.name}",
                "choose text or json",
            )
    new_folder(out, force=force)
    for folder, sequence, track in todo:
        FORMS[form](folder, sequence, track)
    return len(todo)


def _boxes(sequence: LabelledSequence, track: SequenceRun) -> np.ndarray:
    """``[T,4]`` as the annotation file counts; rounded where moving them made long decimals."""
    moved = track.boxes - np.array([sequence.shift, sequence.shift, 0.0, 0.0])
    with np.errstate(over="ignore"):
        short = moved.round(9)
    return np.asarray(np.where(np.isfinite(short), short, moved))


def _text(folder: Path, sequence: LabelledSequence, track: SequenceRun) -> None:
    write_text(folder / f"{sequence.name}.txt", boxes_text(_boxes(sequence, track)))


def _json(folder: Path, sequence: LabelledSequence, track: SequenceRun) -> None:
    content = {
        "res": [row.tolist() if np.isfinite(row).all() else [] for row in _boxes(sequence, track)],
        "scores": _known(track.scores),
        "statuses": track.statuses.tolist(),
        "seconds": _known(track.seconds),
    }
    write_json(folder / f"{sequence.name}.json", content)


def _known(numbers: np.ndarray) -> list[float | None]:
    """Numbers as JSON has them: ``None`` where one is unknown."""
    return [float(one) if math.isfinite(one) else None for one in numbers]


def _got10k(folder: Path, sequence: LabelledSequence, track: SequenceRun) -> None:
    name, inner = sequence.name, folder / sequence.name
    rows = [",".join(f"{value:.3f}" for value in row) for row in _boxes(sequence, track)]
    write_text(inner / f"{name}_001.txt", "".join(f"{row}\n" for row in rows))
    if np.isfinite(track.seconds).all():
        write_text(inner / f"{name}_time.txt", "".join(f"{one:.8f}\n" for one in track.seconds))


def _vot(folder: Path, sequence: LabelledSequence, track: SequenceRun) -> None:
    name, inner = sequence.name, folder / "unsupervised" / sequence.name
    rows = boxes_text(_boxes(sequence, track)[1:])
    write_text(inner / f"{name}_001.txt", f"1\n{rows}")
    for kind, values in (("confidence", track.scores), ("time", track.seconds)):
        if np.isfinite(values[1:]).all():
            text = "".join(f"{short_number(value)}\n" for value in values)
            write_text(inner / f"{name}_001_{kind}.value", text)


FORMS: dict[str, Callable[[Path, LabelledSequence, SequenceRun], None]] = {
    "got10k": _got10k,
    "json": _json,
    "text": _text,
    "vot": _vot,
}
"""Writers of one run, by the name of their form."""
