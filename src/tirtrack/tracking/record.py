"""The rows of a run, and the writing of ``boxes.csv`` and ``track.mp4``.

This module only writes and draws the rows; ``run`` makes them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from tirtrack.boxes import Box
from tirtrack.errors import StorageError
from tirtrack.media import BadFrame, Frame, SourceInfo, VideoWriter
from tirtrack.overlay import draw_boxes, draw_caption, enlarge, zoom_for
from tirtrack.read_options import NoData
from tirtrack.thermal import ThermalNormaliser, normaliser, to_display
from tirtrack.trackers.base import Reason, Status

BOXES_NAME, VIDEO_NAME = "boxes.csv", "track.mp4"
PARTIAL_NAME = "boxes.partial.csv"
TRACKS_NAME = "tracks.txt"
COLUMNS = ("frame", "time_s", "x", "y", "w", "h", "score", "status", "measured", "reason")
COLOURS = {
    Status.TRACKING: "#35c8ff",
    Status.UNCERTAIN: "#ffb000",
    Status.LOST: "#ff5a5f",
}
IMAGE_FPS = 25.0  # frame rate of the annotated video if the frames have no times
_FLUSH_EVERY_FRAMES = 100


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """One row: a frame of the source and the tracker's result for it.

    Attributes:
        index: index of the frame in the source, 0-based.
        time_s: presentation time, ``None`` for images.
        box: box of the target, frame pixels; the last one if not measured.
        score: score in [0, 1]; 0 for a damaged frame.
        status: tracking, uncertain or lost.
        measured: whether the box was measured in this frame.
        reason: reason of a status that is not plainly tracking.
        target: name of the target, empty if there is only one.
    """

    index: int
    time_s: float | None
    box: Box
    score: float
    status: Status
    measured: bool
    reason: Reason
    target: str = ""


class Recorder:
    """Keeps the rows, and writes them and the video as they come; with several targets, rows have
    an extra column.
    """

    def __init__(
        self,
        folder: Path | None,
        info: SourceInfo,
        first: Frame,
        *,
        video: bool,
        is_several: bool = False,
    ) -> None:
        self.rows: list[TrackedFrame] = []
        self.last: Sequence[TrackedFrame] = ()
        self.frames = 0
        self.faults: list[BadFrame] = []
        self.folder = folder
        self._painter = _Painter(first.image, info.no_data)
        self._stack = ExitStack()
        self._csv: _RowFile | None = (
            None if folder is None else _RowFile(folder, is_several=is_several)
        )
        self._video: VideoWriter | None = None
        if folder is not None and video:
            self._video = VideoWriter(folder / VIDEO_NAME, info.fps or IMAGE_FPS)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._csv or nullcontext())
            stack.enter_context(self._video or nullcontext())
            self._stack = stack.pop_all()
        return self

    def add(self, item: Frame | BadFrame, rows: Sequence[TrackedFrame]) -> None:
        """Add a finished frame: a row for each target."""
        if isinstance(item, BadFrame):
            self.faults.append(item)
        if self._video is not None:
            image = item.image if isinstance(item, Frame) else None
            self._video.write(self._painter(image, rows), rows[0].time_s)
        for row in rows:
            if self._csv is not None:
                self._csv.write(row)
        self.rows += rows
        self.last = rows
        self.frames += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)


class _RowFile:
    """``boxes.csv``, under a temporary name until its last row is written."""

    def __init__(self, folder: Path, *, is_several: bool) -> None:
        self._is_several = is_several
        self._partial = folder / PARTIAL_NAME
        self._final = folder / BOXES_NAME
        self._file: IO[str] | None = None
        self._count = 0
        self._is_torn = False

    def __enter__(self) -> Self:
        try:
            self._file = self._partial.open("w", encoding="utf-8", newline="")
            self._rows = csv.writer(self._file, lineterminator="\n")
            self._rows.writerow(("target", *COLUMNS) if self._is_several else COLUMNS)
        except OSError as error:
            raise self._error(error) from error
        return self

    def write(self, row: TrackedFrame) -> None:
        box = (f"{value:.4f}" for value in row.box.array())
        time_s = "" if row.time_s is None else f"{row.time_s:.6f}"
        try:
            who = (row.target,) if self._is_several else ()
            self._rows.writerow(
                (*who, row.index, time_s, *box, f"{row.score:.4f}", row.status, int(row.measured),
                 row.reason)
            )  # fmt: skip
            self._count += 1
            if self._count % _FLUSH_EVERY_FRAMES == 0 and self._file is not None:
                self._file.flush()
        except OSError as error:
            self._is_torn = True
            raise self._error(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file even if something else failed; no final name if a row was not written.

        A file whose flush failed drops its buffer and then closes without an error.
        """
        if self._file is None:
            return
        try:
            self._file.close()
            if not self._is_torn:
                self._partial.replace(self._final)
        except OSError as failure:
            raise self._error(failure) from failure

    def _error(self, error: OSError) -> StorageError:
        return StorageError(
            f"could not be written ({error.strerror or error})",
            self._final,
            f"rows so far are in {self._partial.name}; free some space or choose another --out",
        )


class _Painter:
    """Draws the tracker's results onto the frames of one source; small ones are enlarged."""

    def __init__(self, first: np.ndarray, no_data: NoData | None) -> None:
        self._zoom = zoom_for(first.shape[1], first.shape[0])
        self._no_data = no_data
        self._levels = ThermalNormaliser(normaliser("adaptive", no_data=no_data))
        self._shown = to_display(first, no_data)

    def __call__(self, image: np.ndarray | None, rows: Sequence[TrackedFrame]) -> np.ndarray:
        """Picture ``[H,W,3]`` uint8; a damaged frame (``None``) shows the last good one."""
        if image is not None:
            self._shown = self._display(image)
        shown = enlarge(self._shown, self._zoom)
        boxes = [(row.box, COLOURS[row.status], _label(row)) for row in rows]
        shown = draw_boxes(shown, boxes, zoom=self._zoom)
        text, status = caption(rows)
        return draw_caption(shown, text, COLOURS[status])

    def _display(self, image: np.ndarray) -> np.ndarray:
        if image.ndim == 2 and image.dtype != np.uint8:
            image = np.round(self._levels(image)).astype(np.uint8)
        return to_display(image, self._no_data)


def caption(rows: Sequence[TrackedFrame]) -> tuple[str, Status]:
    """The text below a frame, and the status that sets its colour: that of the target with the
    worst status, or of all if they are equal.

    Args:
        rows: rows of one frame, one per target.
    """
    worst = max(rows, key=lambda row: list(COLOURS).index(row.status))
    clock = "" if worst.time_s is None else f"   {worst.time_s:.2f} s"
    why = f" ({worst.reason})" if worst.reason else ""
    who = f" {worst.target}" if worst.target else ""
    if len(rows) > 1 and len({(row.status, row.reason) for row in rows}) == 1:
        who = f" all {len(rows)}"
    return f"frame {worst.index}{clock}  {who} {worst.status}{why}", worst.status


def _label(row: TrackedFrame) -> str:
    value = f"{row.score:.2f}" if row.measured else "last box"
    return f"{row.target} {value}" if row.target else value


def mot_text(rows: Iterable[TrackedFrame]) -> str:
    """Measured boxes as MOT text, ``frame,id,x,y,w,h,score,-1,-1,-1``, frames counted from 1.

    Targets keep their names if all are numbers, else they are numbered from 1 as they come.
    """
    rows = list(rows)
    names = list(dict.fromkeys(row.target for row in rows))
    numbers = {name: number for number, name in enumerate(names, start=1)}
    if all(name.isdecimal() for name in names):
        numbers = {name: int(name) for name in names}
    return "".join(
        f"{row.index + 1},{numbers[row.target]},"
        + ",".join(f"{value:.4f}" for value in row.box.array())
        + f",{row.score:.4f},-1,-1,-1\n"
        for row in rows
        if row.measured
    )
