"""The gate before a tracker: frames that carry no news must not change its state.

A closed shutter gives black or constant frames, a camera that recalibrates repeats its last one, a
torn stream gives frames of another size or with numbers that are not finite. The gate names them;
what to do then is the tracker's decision.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tirtrack.errors import FrameError
from tirtrack.trackers.base import Reason

CONSTANT_RANGE = 5  # levels or counts; a living sensor's noise alone spans more over a whole frame
BLACK_BELOW = 16  # levels or counts
DAMAGED_SHARE = 0.01  # of pixels that are not finite; fewer are dead pixels of a living sensor
_SAMPLE_STEP = 16  # rows looked at first: nearly every frame is cleared by them
_KINDS = "uint8, uint16 or float"


def as_picture(frame: np.ndarray) -> np.ndarray:
    """A frame in one of two forms, as a view where possible: ``[H,W]`` or ``[H,W,3]``.

    One channel loses its axis, a fourth channel (alpha) is left out.

    Raises:
        FrameError: another shape, no pixels, or another number type.
    """
    picture = np.asarray(frame)
    if picture.ndim == 3 and picture.shape[2] == 1:
        picture = picture[..., 0]
    elif picture.ndim == 3 and picture.shape[2] == 4:
        picture = picture[..., :3]
    if not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise FrameError(
            f"a frame of shape {list(np.shape(frame))} is no picture",
            fix="give [H,W], [H,W,1], [H,W,3] or [H,W,4]",
        )
    if 0 in picture.shape:
        raise FrameError(f"a frame of shape {list(picture.shape)} has no pixels")
    if picture.dtype not in (np.uint8, np.uint16) and picture.dtype.kind != "f":
        raise FrameError(f"a frame of {picture.dtype} cannot be used", fix=f"give {_KINDS}")
    return picture


class FrameGate:
    """Says of each frame of a stream whether it can be used, and if not, why.

    Keeps a copy of the last frame, to know a repeated one.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def check(self, picture: np.ndarray) -> Reason:
        """``Reason.NONE`` for a frame that can be used.

        Args:
            picture: ``[H,W]`` or ``[H,W,3]``; compared with the frame before, so every frame of
                the stream must come here in order.
        """
        last = self._last
        if last is not None and (last.shape != picture.shape or last.dtype != picture.dtype):
            return Reason.DAMAGED_FRAME
        fault = _content_fault(picture)
        if fault is Reason.DAMAGED_FRAME:
            return fault
        repeated = last is not None and _equal(last, picture)
        if last is None:
            self._last = picture.copy()
        elif not repeated:
            np.copyto(last, picture)
        if fault is Reason.NONE and repeated:
            return Reason.FROZEN_FRAME
        return fault

    def state_dict(self) -> dict[str, Any]:
        """The last frame, or ``None`` before the first."""
        return {"last": None if self._last is None else self._last.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after a saved frame."""
        self._last = None if state["last"] is None else np.array(state["last"])


def _content_fault(picture: np.ndarray) -> Reason:
    whole_numbers = picture.dtype.kind == "u"
    if whole_numbers and int(np.ptp(picture[::_SAMPLE_STEP])) >= CONSTANT_RANGE:
        return Reason.NONE
    low, high = float(picture.min()), float(picture.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = picture[np.isfinite(picture)]
        if finite.size < (1 - DAMAGED_SHARE) * picture.size:
            return Reason.DAMAGED_FRAME
        low, high = float(finite.min()), float(finite.max())
    # Float frames have no known unit: only truly constant ones count.
    span, black = (CONSTANT_RANGE, BLACK_BELOW) if whole_numbers else (abs(high) * 1e-6, 0.0)
    if high - low >= span and high > low:
        return Reason.NONE
    return Reason.BLACK_FRAME if high <= black else Reason.CONSTANT_FRAME


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    nan = a.dtype.kind == "f"  # a dead pixel is equal to itself
    if not np.array_equal(a[::_SAMPLE_STEP], b[::_SAMPLE_STEP], equal_nan=nan):
        return False
    return np.array_equal(a, b, equal_nan=nan)
