"""Progress of long work, as a callback. The library only calls it; only ``cli/`` draws."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Callback that long work calls now and then."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` items of ``stage`` are finished; ``note`` is a short remark such
        as the loss, with a line for each of several workers.
        """


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """A progress callback that says nothing."""
