"""A sequence tracked from several start frames.

A start is the sequence with its annotation hidden before the start frame, so that running and
scoring begin there by the rule that they have anyway: at the first row with a valid box. The first
start has the sequence's name, the others ``NAME.start2`` and so on, so that each has its own
result files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.errors import RequestError
from tirtrack.evaluation.overlap import first_valid_row, valid_rows
from tirtrack.source_line import counted

_LISTED = 3


def start_rows(annotation: np.ndarray, starts: int) -> dict[int, int]:
    """Rows of ``annotation [T,4]`` where runs begin, by number of the start from 1.

    Start ``k`` is the first row from ``floor((k - 1) * T / starts)`` on that has a valid box. A
    start after the first is left out if no valid box follows it, or if an earlier start begins at
    the same row.

    >>> start_rows(np.ones((9, 4)), 3)
    {1: 0, 2: 3, 3: 6}
    """
    valid = np.flatnonzero(valid_rows(annotation))
    rows = {1: int(valid[0])} if len(valid) else {}
    for start in range(2, starts + 1):
        later = valid[valid >= (start - 1) * len(annotation) // starts]
        if len(later) > 1 and int(later[0]) not in rows.values():
            rows[start] = int(later[0])
    return rows


def starts_of(sequence: LabelledSequence, starts: int) -> tuple[LabelledSequence, ...]:
    """The sequence from each of its start frames; itself alone for one start."""
    later = list(start_rows(sequence.annotation, starts).items())[1:]
    return (sequence, *(_begun_at(sequence, number, row) for number, row in later))


def _begun_at(sequence: LabelledSequence, number: int, row: int) -> LabelledSequence:
    annotation = sequence.annotation.copy()
    annotation[:row] = np.nan
    return replace(sequence, name=f"{sequence.name}.start{number}", annotation=annotation, group="")


def start_frame(start: LabelledSequence) -> int:
    """The annotated row where it begins, from 0."""
    return first_valid_row(start.annotation) or 0


def all_starts(dataset: LabelledDataset, starts: int) -> LabelledDataset:
    """The data set with every start as a sequence of its own.

    Raises:
        RequestError: fewer than one start.
        DatasetError: a sequence has the name of another one's start.
    """
    if starts < 1:
        raise RequestError(f"starts must be at least 1, got {starts}", "--starts")
    found = [start for one in dataset.sequences for start in starts_of(one, starts)]
    return replace(dataset, sequences=tuple(found))


def starts_line(dataset: LabelledDataset, starts: int) -> str:
    """One line: the number of starts, and those that are left out."""
    left_out = [
        f"{one.name} from frame {(number - 1) * len(one) // starts}"
        for one in dataset.sequences
        for number in range(2, starts + 1)
        if number not in start_rows(one.annotation, starts)
    ]
    runs = starts * len(dataset.sequences) - len(left_out)
    said = f"{counted(starts, 'start')} a sequence, {counted(runs, 'run')} of each tracker"
    return f"{said}{_listed(left_out)}"


def _listed(left_out: Sequence[str]) -> str:
    if not left_out:
        return ""
    more = "" if len(left_out) <= _LISTED else f" and {len(left_out) - _LISTED} more"
    return (
        f"; left out, without a visible target after it or already a start: "
        f"{', '.join(left_out[:_LISTED])}{more}"
    )
