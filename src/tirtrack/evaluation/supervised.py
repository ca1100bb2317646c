"""The supervised run of VOT: a tracker that loses its target is started again some frames later."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from tirtrack.boxes import Box
from tirtrack.datasets.sequence import LabelledSequence, stored_from_boxes
from tirtrack.evaluation.overlap import valid_rows
from tirtrack.evaluation.raster import raster_overlap
from tirtrack.evaluation.results import SequenceRun, unshifted
from tirtrack.evaluation.tracker_sources import OnlineTracker
from tirtrack.evaluation.vot_runs import FAILED, SKIPPED, STARTED


def run_supervised(
    tracker: OnlineTracker,
    sequence: LabelledSequence,
    frames: Iterator[tuple[int | None, np.ndarray]],
    *,
    start: int,
    restart_after: int,
) -> SequenceRun:
    """A run that is started again after each failure, at the next frame with a valid box.

    It fails where its box and the annotated one have no pixel of the frame in common. Frames that
    are skipped take no time and have no box; neither has the one in which it failed.

    Args:
        tracker: the tracker.
        sequence: the annotation, and how its file counts pixels.
        frames: rows of the result and their frames; no row for frames between annotated ones.
        start: annotated row of the first frame.
        restart_after: number of frames from a failure to the next start.
    """
    annotation = sequence.annotation[start:]
    stored, valid = unshifted(annotation, sequence.shift), valid_rows(annotation)
    rows = len(annotation)
    boxes, scores = np.full((rows, 4), np.nan), np.full(rows, np.nan)
    statuses, seconds = np.full(rows, SKIPPED, dtype="U9"), np.zeros(rows)
    starts_at: int | None = 0  # the row from which it may be started; None: it is running
    for row, frame in frames:
        began = time.perf_counter()
        if starts_at is not None:
            if row is None or row < starts_at or not valid[row]:
                continue
            tracker.init(frame, Box.of(sequence.boxes[start + row]))
            seconds[row] = time.perf_counter() - began
            boxes[row], scores[row], statuses[row] = annotation[row], 1.0, STARTED
            starts_at = None
            continue
        state = tracker.update(frame)
        if row is None:
            continue
        seconds[row] = time.perf_counter() - began
        box = stored_from_boxes(state.measured_box.array(), sequence.base)
        size_wh = (frame.shape[1], frame.shape[0])
        found = unshifted(box[None], sequence.shift)
        if raster_overlap(found, stored[row : row + 1], size_wh)[0] <= 0:
            statuses[row], starts_at = FAILED, row + restart_after
        else:
            boxes[row], scores[row], statuses[row] = box, state.score, state.status
    return SequenceRun(boxes, scores, statuses, seconds)
