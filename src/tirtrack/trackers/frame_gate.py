"""The gate before a tracker: frames without new information must not change its state.

A closed shutter gives black or constant frames, a camera that recalibrates repeats its last one, a
damaged stream gives frames of another size or with non-finite numbers. The gate names the fault;
the tracker decides what to do. A permanent change of the stream is an error.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tirtrack.boxes import Box, check_first_box
from tirtrack.errors import FrameError, StreamChangedError
from tirtrack.thermal import MIN_VALID_SHARE
from tirtrack.trackers.base import Reason
from tirtrack.valid_pixels import LARGEST, share_text

logger = logging.getLogger(__name__)

CONSTANT_RANGE = 5  # levels or counts; a working sensor's noise alone spans more in a whole frame
BLACK_BELOW = 16  # levels or counts
SMALL_SIDE = 4.0  # pixels; a smaller first box gives a warning
COLOURED_SHARE = 0.05  # mean spread of the channels over the brightest value
COLOURED_WARNING = (
    "the frames are coloured, the weights are for thermal frames in grey: switch off the camera's "
    "palette, or give its raw output"
)
BEGIN_LATER = "begin at a later frame"
_SAMPLE_STEP = 16  # every 16th row is checked first, which is enough for nearly every frame
_KINDS = "uint8, uint16 or float"


def as_picture(frame: np.ndarray) -> np.ndarray:
    """A frame in one of two forms, as a view where possible: ``[H,W]`` or ``[H,W,3]``.

    A single channel loses its axis, a fourth channel (alpha) is dropped. Numbers beyond 1e15,
    too large for safe arithmetic, become NaN.

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
    if picture.dtype.kind == "f" and (too_large := np.abs(picture) > np.float64(LARGEST)).any():
        return np.where(too_large, picture.dtype.type(np.nan), picture)
    return picture


def is_coloured(picture: np.ndarray) -> bool:
    """Whether the channels of a frame differ by more than compression explains."""
    if picture.ndim == 2:
        return False
    spread = picture.max(axis=2).astype(np.float64) - picture.min(axis=2)
    return bool(spread.mean() > COLOURED_SHARE * picture.max())


Region = tuple[slice, slice]
WHOLE: Region = (slice(None), slice(None))


@dataclass(frozen=True)
class _LastFrame:
    """The kept part of the last frame: enough to recognise it, far less than all of it."""

    shape: tuple[int, ...]
    sample: np.ndarray  # every 16th row
    region: Region
    inside: np.ndarray  # all pixels of the region

    @classmethod
    def of(cls, picture: np.ndarray, region: Region) -> _LastFrame:
        return cls(picture.shape, picture[::_SAMPLE_STEP].copy(), region, picture[region].copy())

    def fits(self, picture: np.ndarray) -> bool:
        return self.shape == picture.shape and self.sample.dtype == picture.dtype

    def is_of(self, picture: np.ndarray) -> bool:
        nan = picture.dtype.kind == "f"  # a dead pixel (NaN) counts as equal to itself
        rows = zip(self.sample, picture[::_SAMPLE_STEP], strict=True)
        if not all(np.array_equal(one, other, equal_nan=nan) for one, other in rows):
            return False  # nearly always after the first row
        return np.array_equal(self.inside, picture[self.region], equal_nan=nan)


class FrameGate:
    """Decides for each frame of a stream whether it can be used, and if not, why."""

    def __init__(self) -> None:
        self._last: _LastFrame | None = None
        self._other: tuple[str, list[int]] | None = None  # number type, shape of a differing frame

    def check(
        self, picture: np.ndarray, region: Region = WHOLE, *, valid: np.ndarray | None = None
    ) -> Reason:
        """``Reason.NONE`` for a frame that can be used.

        Args:
            picture: frame ``[H,W]`` or ``[H,W,3]``; compared with the previous frame, so every
                frame of the stream must be passed, in order.
            region: rows and columns where the next frame will be compared with this one pixel by
                pixel; elsewhere only every 16th row. A noiseless frame in which only things far
                from the target move may count as repeated: it has no news of the target.
            valid: mask ``[H,W]`` of the pixels that are measurements; others are ignored; ``None``:
                all are.

        Raises:
            StreamChangedError: two good frames in a row have the same new size, channels or
                number type. A single one counts as damaged.
        """
        last, fault = self._last, _content_fault(picture, valid)
        if valid is not None:
            blank = valid if picture.ndim == 2 else valid[..., None]
            picture = np.where(blank, picture, picture.dtype.type(0))
        if last is not None and not last.fits(picture):
            self._note_misfit(picture, last, fault)
            return Reason.DAMAGED_FRAME
        self._other = None
        if fault is Reason.NO_MEASUREMENT:
            return fault
        repeated = last is not None and last.is_of(picture)
        if not repeated:
            self._last = _LastFrame.of(picture, region)
        if fault is Reason.NONE and repeated:
            return Reason.FROZEN_FRAME
        return fault

    def _note_misfit(self, picture: np.ndarray, last: _LastFrame, fault: Reason) -> None:
        before, self._other = self._other, None
        if fault is Reason.NONE:
            self._other = str(picture.dtype), list(picture.shape)
        if self._other is not None and before == self._other:
            raise StreamChangedError(
                f"frames of {list(last.shape)} {last.sample.dtype} have become frames of "
                f"{self._other[1]} {self._other[0]}",
                fix="begin anew with init where they change, or convert them",
            )

    def state_dict(self) -> dict[str, Any]:
        """The kept part of the last frame, ``{}`` before the first."""
        if self._last is None:
            return {}
        return {
            "shape": list(self._last.shape),
            "sample": self._last.sample.copy(),
            "region": [[part.start, part.stop] for part in self._last.region],
            "inside": self._last.inside.copy(),
            "other": None if self._other is None else list(self._other),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume after a saved frame."""
        if not state:
            self._last = self._other = None
            return
        other = state.get("other")
        self._other = None if other is None else (str(other[0]), [int(side) for side in other[1]])
        rows, columns = (slice(*ends) for ends in state["region"])
        shape = tuple(int(length) for length in state["shape"])
        sample, inside = np.array(state["sample"]), np.array(state["inside"])
        self._last = _LastFrame(shape, sample, (rows, columns), inside)


def first_gate(
    picture: np.ndarray, valid: np.ndarray | None, box: Box, *, is_checked: bool
) -> FrameGate:
    """The gate of a new stream, after its first frame; warns of a very small first box.

    Args:
        picture: first frame ``[H,W]`` or ``[H,W,3]``.
        valid: mask ``[H,W]`` of the pixels that are measurements; ``None``: all are.
        box: box of the target in it.
        is_checked: whether a first frame without information is refused.

    Raises:
        FrameError: the frame or the box cannot be used.
    """
    check_first_box(box, picture.shape[1], picture.shape[0])
    if min(box.w, box.h) < SMALL_SIDE:
        logger.warning("the first box is only %gx%g px", box.w, box.h)
    gate = FrameGate()
    fault = gate.check(picture, valid=valid) if is_checked else Reason.NONE
    if fault is not Reason.NONE:
        raise FrameError(f"the first frame is a {fault}{_share_masked(valid)}", fix=BEGIN_LATER)
    if is_checked and valid is not None:
        _check_measured(box, valid)
    return gate


def _check_measured(box: Box, valid: np.ndarray) -> None:
    """Refuse a first box in which almost nothing was measured."""
    left, top = math.floor(max(box.x, 0)), math.floor(max(box.y, 0))
    inside = valid[top : math.ceil(box.y + box.h), left : math.ceil(box.x + box.w)]
    share = float(inside.mean())
    if share < MIN_VALID_SHARE:
        raise FrameError(
            f"{share_text(1.0 - share)} of the pixels in the first box {_in_short(box)} hold no "
            "measurement",
            fix="give a box on what was measured, begin at a later frame with --start, or, if all "
            "of it was measured, give --no-data none",
        )


def _in_short(box: Box) -> str:
    return ",".join(f"{side:g}" for side in box.array())


def _share_masked(valid: np.ndarray | None) -> str:
    if valid is None:
        return ""
    return f" ({share_text(1.0 - float(valid.mean()))} of its pixels hold no measurement)"


def warned_of_colour(picture: np.ndarray) -> bool:
    """Whether a frame for a thermal tracker is coloured; if so, warns."""
    if is_coloured(picture):
        logger.warning(COLOURED_WARNING)
        return True
    return False


def _content_fault(picture: np.ndarray, valid: np.ndarray | None) -> Reason:
    whole_numbers = picture.dtype.kind == "u"
    channels = _channels(picture)
    if valid is not None:
        if valid.mean() < MIN_VALID_SHARE:
            return Reason.NO_MEASUREMENT
        channels = [one[valid] for one in channels]
    elif whole_numbers and any(
        np.ptp(row) >= CONSTANT_RANGE for one in channels for row in one[::_SAMPLE_STEP]
    ):  # nearly every frame ends here, at its first row
        return Reason.NONE
    # The range is taken per channel: a blue "no signal" picture is constant too.
    ends = [(float(one.min()), float(one.max())) for one in channels]
    for low, high in ends:
        # Float frames have no known unit: only truly constant ones count.
        span = CONSTANT_RANGE if whole_numbers else abs(high) * 1e-6
        if high - low >= span and high > low:
            return Reason.NONE
    black = BLACK_BELOW if whole_numbers else 0.0
    return Reason.BLACK_FRAME if max(high for _, high in ends) <= black else Reason.CONSTANT_FRAME


def _channels(picture: np.ndarray) -> list[np.ndarray]:
    """The channels as views ``[H,W]``."""
    return [picture] if picture.ndim == 2 else [picture[..., k] for k in range(picture.shape[2])]
