"""Where and how a run over a sequence begins."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Start:
    """One run over a sequence.

    Attributes:
        row: annotated row that it begins with, from 0.
        backward: whether it goes from there to the first row; else to the last one.
        box: box that the tracker gets, xywh in the base of the annotation; ``None``: that of the
            annotation.
        restart_after: number of frames from a failure to the next start; ``None``: a tracker that
            fails is not started again.
    """

    row: int = 0
    backward: bool = False
    box: tuple[float, float, float, float] | None = None
    restart_after: int | None = None
