"""Writes videos by PyAV, whole or not at all; the same frames give the same file."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np

from tirtrack.files import atomic_path
from tirtrack.video import short_reason

__all__ = ["VideoWriter"]

_CLOCK_HZ = 90_000
# Chosen so that the same frames give the same file. With B-frames and AVX-512, the macroblock tree
# of x264 differs from run to run; with another number of threads, x264 takes other decisions.
_ENCODER_OPTIONS = {"preset": "veryfast", "crf": "20", "bf": "0", "threads": "4"}


class VideoWriter:
    """Writes an H.264 video that every browser plays; whole or not at all.

    Frames are ``[H,W]`` or ``[H,W,3]`` RGB uint8, all of one size; odd sizes are padded by
    repeating the last row or column. Written under a temporary name and renamed at the end of the
    ``with`` block; an error inside it leaves nothing behind.

    Args:
        path: ends with ``.mp4``.
        fps: rate of frames that come without a time.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
        ValueError: no frame was written, or one has another size or type.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        self.path = Path(path)
        self.frames_written = 0
        self._fps = fps
        self._last_pts = -1
        self._first_time_s: float | None = None
        self._shape_hw: tuple[int, int] | None = None
        self._container: Any = None
        self._stream: Any = None
        self._atomic = atomic_path(self.path)

    def __enter__(self) -> Self:
        partial = self._atomic.__enter__()
        try:
            with _as_os_error():
                self._container = av.open(
                    str(partial), "w", format="mp4", options={"movflags": "+faststart"}
                )
        except OSError as error:
            self._leave(error)
        return self

    def write(self, image: np.ndarray, time_s: float | None = None) -> None:
        """Append ``[H,W]`` or ``[H,W,3]`` uint8; ``time_s`` keeps the pace of a varying rate."""
        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise ValueError(
                f"frames must be [H,W] or [H,W,3] uint8, got {list(image.shape)} {image.dtype}"
            )
        shape_hw = (image.shape[0], image.shape[1])
        if self._shape_hw is None:
            self._begin(shape_hw)
        if shape_hw != self._shape_hw:
            raise ValueError(f"frames must all be {self._shape_hw} high and wide, got {shape_hw}")
        frame = _to_yuv(image)
        frame.pts, frame.time_base = self._next_pts(time_s), Fraction(1, _CLOCK_HZ)
        with _as_os_error():
            self._container.mux(self._stream.encode(frame))
        self.frames_written += 1

    def _begin(self, shape_hw: tuple[int, int]) -> None:
        self._shape_hw = shape_hw
        rate = Fraction(self._fps).limit_denominator(1001)
        self._stream = self._container.add_stream("libx264", rate=rate, options=_ENCODER_OPTIONS)
        self._stream.height, self._stream.width = (side + side % 2 for side in shape_hw)
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = Fraction(1, _CLOCK_HZ)
        context.color_range = 1  # limited
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709

    def _next_pts(self, time_s: float | None) -> int:
        step = max(round(_CLOCK_HZ / self._fps), 1)
        pts = self._last_pts + step if self._last_pts >= 0 else 0
        if time_s is not None:
            if self._first_time_s is None:
                self._first_time_s = time_s
            asked = round((time_s - self._first_time_s) * _CLOCK_HZ)
            pts = asked if asked > self._last_pts else pts
        self._last_pts = pts
        return pts

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self.frames_written == 0:
            error = ValueError("a video needs at least one frame")
        if error is None:
            try:
                with _as_os_error():
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
            except OSError as failure:
                error = failure
        if error is not None:
            self._leave(error)
        self._atomic.__exit__(None, None, None)

    def _leave(self, error: BaseException) -> None:
        """Give up: close, delete the partial file, raise what was wrong."""
        if self._container is not None:
            with suppress(av.FFmpegError, OSError):
                self._container.close()
        self._atomic.__exit__(type(error), error, error.__traceback__)
        raise error


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Turns FFmpeg's write errors into Python's own."""
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise OSError(getattr(error, "errno", errno.EIO), short_reason(error)) from error


def _to_yuv(image: np.ndarray) -> av.VideoFrame:
    height, width = image.shape[:2]
    colour = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image[:, :, :3]
    if height % 2 or width % 2:
        colour = np.pad(colour, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colour), format="rgb24")
    return frame.reformat(
        format="yuv420p",
        dst_colorspace="ITU709",
        dst_color_range="MPEG",
    )
