"""A sequence tracked from several start frames, spread over it or by the rule of a protocol.

A start is the sequence with its annotation hidden before the start frame, so that running and
scoring begin there by the rule that they have anyway: at the first row with a valid box. The first
start has the sequence's name, the others ``NAME.start2`` and so on, so that each has its own
result files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np

from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.datasets.start import Start
from tirtrack.errors import DatasetError, RequestError
from tirtrack.evaluation.overlap import first_valid_row, valid_rows
from tirtrack.evaluation.protocols.base import EvaluationProtocol, StartsProtocol
from tirtrack.source_line import counted

_LISTED = 3
_REVERSED_AT_ONCE = 250  # frames in memory while a sequence is read backwards

Starts = int | StartsProtocol
"""A number of starts, spread evenly over a sequence; or the protocol that says where they are."""


def chosen_starts(protocol: EvaluationProtocol, starts: int) -> Starts:
    """The protocol, if it says by itself where runs begin; else the number asked for.

    Raises:
        RequestError: both were given, or a number below 1.
    """
    _check_number(starts)
    if not isinstance(protocol, StartsProtocol):
        return starts
    if starts != 1:
        raise RequestError(
            f"{protocol.name} says by itself where runs begin", "--starts", "leave it out"
        )
    return protocol


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


def starts_of(sequence: LabelledSequence, starts: Starts) -> tuple[LabelledSequence, ...]:
    """The sequence from each of its start frames; itself alone for one start.

    Raises:
        DatasetError: it is too short for the rule of the protocol.
    """
    if starts == 1:
        return (sequence,)
    if not isinstance(starts, int):
        return _by_rule(sequence, starts)
    later = list(start_rows(sequence.annotation, starts).items())[1:]
    return (sequence, *(_begun_at(sequence, number, row) for number, row in later))


def _begun_at(sequence: LabelledSequence, number: int, row: int) -> LabelledSequence:
    annotation = sequence.annotation.copy()
    annotation[:row] = np.nan
    return replace(sequence, name=f"{sequence.name}.start{number}", annotation=annotation, group="")


def _by_rule(sequence: LabelledSequence, protocol: StartsProtocol) -> tuple[LabelledSequence, ...]:
    try:
        found = protocol.starts(sequence.annotation, sequence.facts.size_wh)
    except DatasetError as error:
        raise DatasetError(error.what, sequence.name, error.fix) from error
    return tuple(_from(sequence, number, start) for number, start in enumerate(found, 1))


def _from(sequence: LabelledSequence, number: int, start: Start) -> LabelledSequence:
    """The sequence from one of its starts; backward, it is one whose first frame is the start."""
    name = sequence.name
    if start.backward:
        sequence = _backward(sequence, start.row)
    elif start.row != first_valid_row(sequence.annotation):
        sequence = _begun_at(sequence, number, start.row)
    if number == 1:
        return replace(sequence, name=name, start=start)
    return replace(sequence, name=f"{name}.start{number}", group="", start=start)


def _backward(sequence: LabelledSequence, row: int) -> LabelledSequence:
    """The frames from an annotated row to the first one, in that order, without those between."""
    return replace(
        sequence,
        annotation=sequence.annotation[row::-1],
        facts=sequence.facts.backward_from(row),
        open_frames=partial(_reversed, sequence.open_frames, row + 1),
        open_all=None,
    )


def _reversed(open_frames: Callable[[], Iterator[np.ndarray]], count: int) -> Iterator[np.ndarray]:
    """The first ``count`` frames, last first; they are read once for each part kept in memory."""
    for end in range(count, 0, -_REVERSED_AT_ONCE):
        begin = max(0, end - _REVERSED_AT_ONCE)
        yield from reversed(list(islice(open_frames(), begin, end)))


def start_frame(start: LabelledSequence) -> int:
    """The annotated row where it begins, from 0."""
    return first_valid_row(start.annotation) or 0


def all_starts(dataset: LabelledDataset, starts: Starts) -> LabelledDataset:
    """The data set with every start as a sequence of its own.

    Raises:
        RequestError: fewer than one start.
        DatasetError: a sequence has the name of another one's start, or is too short.
    """
    if isinstance(starts, int):
        _check_number(starts)
    found = [start for one in dataset.sequences for start in starts_of(one, starts)]
    return replace(dataset, sequences=tuple(found))


def _check_number(starts: int) -> None:
    if starts < 1:
        raise RequestError(f"starts must be at least 1, got {starts}", "--starts")


def starts_line(dataset: LabelledDataset, starts: Starts) -> str:
    """One line: the number of starts, and those that are left out."""
    if not isinstance(starts, int):
        runs = sum(len(starts_of(one, starts)) for one in dataset.sequences)
        return f"{counted(runs, 'run')} of each tracker, from the starts of {starts.name}"
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
