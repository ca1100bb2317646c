"""One run of a tracker over one sequence.

Only the two methods of a tracker are used. It gets the first annotated box in 0-based pixels, its
boxes are in the base of the annotation, and the first row of a result is the first annotated row
itself. The box that the tracker measured is kept, also while it says ``lost``: the last trusted
box, which a lost tracker reports, would measure the threshold of its score instead, and weights
with differently fitted scores could not be compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from tirtrack.boxes import Box
from tirtrack.datasets.sequence import LabelledSequence, boxes_from_stored, stored_from_boxes
from tirtrack.errors import DatasetError
from tirtrack.evaluation.overlap import first_valid_row
from tirtrack.evaluation.results import SequenceRun
from tirtrack.evaluation.supervised import run_supervised
from tirtrack.evaluation.tracker_sources import OnlineTracker, TrackerSource
from tirtrack.trackers.base import Status

_TELL_EVERY = 50  # frames


def run(
    tracker: OnlineTracker | TrackerSource,
    sequence: LabelledSequence,
    *,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> SequenceRun:
    """One pass over a sequence, from its first frame with a valid annotated box.

    Args:
        tracker: loaded tracker, or its source.
        sequence: frames and annotation; only the first valid box is used.
        seed: seed for loading.
        advance: callback that gets the number of frames done so far.

    Raises:
        DatasetError: no valid box to begin with, or frames and annotated rows differ in number.
        FrameError: a frame is damaged, or the tracker cannot begin with the first box.
    """
    loaded = tracker if isinstance(tracker, OnlineTracker) else tracker.load(seed)
    start, box = first_box(sequence)
    frames = _telling(_frames(sequence, start), advance)
    again = None if sequence.start is None else sequence.start.restart_after
    if again is not None:
        return run_supervised(loaded, sequence, frames, start=start, restart_after=again)
    rows = len(sequence) - start
    track = SequenceRun(
        np.empty((rows, 4)), np.empty(rows), np.empty(rows, dtype="U9"), np.empty(rows)
    )
    for row, frame in frames:
        began = time.perf_counter()
        if row == 0:
            loaded.init(frame, box)
            track.seconds[row] = time.perf_counter() - began
            track.boxes[row] = sequence.annotation[start]
            track.scores[row], track.statuses[row] = 1.0, Status.TRACKING
            continue
        state = loaded.update(frame)
        if row is None:
            continue
        track.seconds[row] = time.perf_counter() - began
        track.boxes[row] = stored_from_boxes(state.measured_box.array(), sequence.base)
        track.scores[row], track.statuses[row] = state.score, state.status
    return track


_Frames = Iterator[tuple[int | None, np.ndarray]]


def _telling(frames: _Frames, advance: Callable[[int], None] | None) -> _Frames:
    """The frames; how many are done is told now and then."""
    for row, frame in frames:
        yield row, frame
        if advance is not None and row and row % _TELL_EVERY == 0:
            advance(row)


def first_box(sequence: LabelledSequence) -> tuple[int, Box]:
    """The row where a sequence starts, and its box as trackers take it."""
    start = first_valid_row(sequence.annotation)
    if start is None:
        raise DatasetError(
            "no frame has a valid annotated box", sequence.name, "leave the sequence out"
        )
    begun = sequence.start
    if begun is not None and begun.box is not None:
        return start, Box.of(boxes_from_stored(np.array(begun.box), sequence.base))
    return start, Box.of(sequence.boxes[start])


def _frames(sequence: LabelledSequence, start: int) -> _Frames:
    """Rows of the result and their frames, as many as the annotation has; frames between annotated
    ones have no row.
    """
    count = 0
    for frame_index, frame in enumerate((sequence.open_all or sequence.open_frames)()):
        index, between = divmod(frame_index, sequence.every if sequence.open_all else 1)
        if index >= len(sequence):
            raise DatasetError(
                f"more frames than the {len(sequence)} annotated rows",
                sequence.name,
                "one row a frame: correct the annotation",
            )
        count = index + 1
        if index >= start:
            yield None if between else index - start, frame
    if count < len(sequence):
        raise DatasetError(
            f"the frames end after {count}, {len(sequence)} rows are annotated",
            sequence.name,
            "the video is cut short or a frame is missing: get it again",
        )
