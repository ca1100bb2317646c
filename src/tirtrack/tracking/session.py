"""A tracker that runs through the frames of a source: its rows, and what stopped it.

Nothing here chooses a tracker, opens a source or writes a summary; ``run.py`` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tirtrack.boxes import Box
from tirtrack.errors import FrameError, RequestError, RunError, StorageError, TirtrackError
from tirtrack.media import BadFrame, Frame
from tirtrack.progress import Progress
from tirtrack.read_options import NoData
from tirtrack.trackers.base import Reason, SharingTracker, Status, Tracker, TrackState
from tirtrack.trackers.multi import MultiTracker
from tirtrack.tracking.record import Recorder, TrackedFrame
from tirtrack.tracking.source_frames import SourceFrames
from tirtrack.tracking.track_summary import Ending, MaskedPixels
from tirtrack.valid_pixels import masked_note, valid_mask

_STAGE = "track"
_TELL_EVERY_FRAMES = 10


def begin_targets(
    tracker: Tracker, first: Frame, box: Box | Mapping[str, Box]
) -> tuple[Tracker | MultiTracker, list[TrackedFrame]]:
    """The tracker of the targets, and their rows for the first frame."""
    if isinstance(box, Box):
        return tracker, [_row(first, tracker.init(first.image, box))]
    if not box:
        raise RequestError("no target was given", fix="give at least one box")
    if not isinstance(tracker, SharingTracker):
        raise RequestError("this tracker follows one target", fix="give one box")
    targets = MultiTracker(tracker)
    states = {name: targets.add(name, one, first.image) for name, one in box.items()}
    return targets, [_row(first, state, name) for name, state in states.items() if state]


class Session:
    """A tracker running through the frames, and what stopped it."""

    def __init__(self, tracker: Tracker | MultiTracker, *, tracker_s: float) -> None:
        self.tracker_s = tracker_s
        self.failure: TirtrackError | None = None
        self.interrupt: KeyboardInterrupt | None = None
        self.masked: MaskedPixels | None = None
        self._tracker = tracker

    def note_masked(self, frame: Frame, no_data: NoData | None) -> None:
        """Keep what was masked in a frame, if it is the first with masked pixels."""
        if self.masked is not None:
            return
        valid = valid_mask(frame.image, no_data)
        if valid is not None:
            self.masked = MaskedPixels(
                frame=frame.index,
                share=round(1.0 - float(valid.mean()), 4),
                note=masked_note(frame.image, valid),
            )

    def follow(
        self,
        found: SourceFrames,
        recorder: Recorder,
        total: int,
        *,
        no_data: NoData | None,
        stop: Callable[[], bool],
        progress: Progress,
    ) -> Ending:
        """Tracks all later frames. Never raises for what the source, tracker or user does."""
        try:
            for item in found:
                recorder.add(item, self._next(item, recorder.last, found.skipped))
                if isinstance(item, Frame):
                    self.note_masked(item, no_data)
                done = recorder.frames
                if done % _TELL_EVERY_FRAMES == 0:
                    progress(_STAGE, done, max(total, done) if total else 0)
                if stop():
                    return Ending.INTERRUPTED
        except (FrameError, RunError) as error:
            if isinstance(error, StorageError):
                raise
            self.failure = error
            return Ending.FAILED
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
            return Ending.INTERRUPTED
        if stop():
            return Ending.INTERRUPTED
        progress(_STAGE, recorder.frames, recorder.frames)
        return Ending.COMPLETE

    def _next(
        self, item: Frame | BadFrame, last: Sequence[TrackedFrame], skipped: int
    ) -> list[TrackedFrame]:
        if isinstance(item, BadFrame):
            return [_not_seen(item, row) for row in last]
        began_s = time.perf_counter()
        if skipped:
            self._tracker.skip(skipped)
        answer = self._tracker.update(item.image)
        self.tracker_s += time.perf_counter() - began_s
        if isinstance(answer, TrackState):
            return [_row(item, answer)]
        return [_row(item, state, str(name)) for name, state in answer.items()]


def _not_seen(item: BadFrame, last: TrackedFrame) -> TrackedFrame:
    """The row of a damaged frame, which the tracker does not see."""
    lost = last.status is Status.LOST
    return replace(
        last,
        index=item.index,
        time_s=item.time_s,
        score=0.0,
        status=Status.LOST if lost else Status.UNCERTAIN,
        measured=False,
        reason=Reason.DAMAGED_FRAME,
    )


def _row(frame: Frame, state: TrackState, target: str = "") -> TrackedFrame:
    return TrackedFrame(
        index=frame.index,
        time_s=frame.time_s,
        box=state.box,
        score=state.score,
        status=state.status,
        measured=state.measured,
        reason=state.reason,
        target=target,
    )
