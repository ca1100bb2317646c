"""A picture of the start frame with proposals for the first box, to choose from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tirtrack.boxes import Box
from tirtrack.errors import FrameError, RequestError, RunError
from tirtrack.media import BadFrame, Frame, Source
from tirtrack.overlay import enlarge, grid_step, with_grid, zoom_for
from tirtrack.read_options import AS_STORED, ReadOptions
from tirtrack.thermal import to_display
from tirtrack.tracking.source_frames import SourceFrames

_LOOK_AHEAD, _LOOK_EVERY = 40, 10  # frames, to find moving objects


@dataclass(frozen=True)
class FirstFrame:
    """A frame in which to choose the first box.

    Attributes:
        index: index of the frame in the source.
        boxes: salient boxes, best first; number 1 is the first.
        scores: scores of the boxes; comparable only inside this frame.
        source_line: description of the source in one line.
        picture: picture ``[H,W,3]`` uint8: the frame, enlarged if small, with a pixel grid, its
            coordinates, and the numbered boxes.
    """

    index: int
    boxes: tuple[Box, ...]
    scores: tuple[float, ...]
    source_line: str
    picture: np.ndarray = field(repr=False)

    def pick(self, number: int) -> Box:
        """The box with this number, counted from 1.

        Raises:
            RequestError: there is no such number.
        """
        if not 1 <= number <= len(self.boxes):
            known = f"give 1 to {len(self.boxes)}" if self.boxes else "give --box X,Y,W,H"
            raise RequestError(f"no proposal has the number {number}", fix=known)
        return self.boxes[number - 1]


def first_frame(
    source: Source, *, start: int = 0, count: int = 9, options: ReadOptions = AS_STORED
) -> FirstFrame:
    """Frame ``start`` with proposals (``saliency``), the same at every call.

    Moving objects are found with the help of four later frames.

    Args:
        source: source of frames, as for :func:`tirtrack.media.frames`.
        start: index of the frame.
        count: largest number of proposals.
        options: properties that the source does not state itself.

    Raises:
        FrameError: the source cannot be opened, or the frame is damaged.
        RequestError: the source has no such frame.
    """
    from tirtrack.pairs.proposals.saliency import salient_boxes

    check_range(start, None)
    until = start + _LOOK_AHEAD + 1
    with SourceFrames(source, "all", start=start, end=until, options=options) as found:
        info = found.info()
        first = found.first()
        later = _later(found, start)
    found_boxes = salient_boxes(first.image, later, count=count, no_data=info.no_data)
    boxes = tuple(box for box, _ in found_boxes)
    height, width = first.image.shape[:2]
    zoom = zoom_for(width, height)
    shown = enlarge(to_display(first.image, info.no_data), zoom)
    return FirstFrame(
        index=first.index,
        boxes=boxes,
        scores=tuple(score for _, score in found_boxes),
        source_line=info.description,
        picture=with_grid(shown, grid_step(width, height), zoom=zoom, boxes=boxes),
    )


def _later(found: Iterator[Frame | BadFrame], start: int) -> list[np.ndarray]:
    """Every tenth of the following frames; at least the last one, if there is any."""
    later: list[np.ndarray] = []
    newest: np.ndarray | None = None
    try:
        for item in found:
            if isinstance(item, Frame):
                newest = item.image
                if (item.index - start) % _LOOK_EVERY == 0:
                    later.append(newest)
    except (
        FrameError,
        RunError,
    ):  # tracking will report the break
        pass
    return later or ([] if newest is None else [newest])


def check_range(start: int, end: int | None) -> None:
    """Refuse an empty range of frames.

    Raises:
        RequestError: ``start`` is negative, or ``end`` is not after it.
    """
    if start < 0 or (end is not None and end <= start):
        until = "the end" if end is None else str(end)
        raise RequestError(
            f"frames {start} to {until} are not a range",
            fix="--start counts from 0, --end is the index after the last frame",
        )
