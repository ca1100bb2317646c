"""A file that holds frames, opened, and what every reader checks before it allocates anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tirtrack.errors import FrameError
from tirtrack.read_options import ByteOrder

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "FrameFile",
    "check_pixels",
    "check_size",
    "damaged_file",
    "in_words",
]

MAX_PIXELS = 100_000_000
MAX_BYTES = 8 * MAX_PIXELS


@dataclass(frozen=True)
class FrameFile:
    """An opened file of one frame or more.

    Attributes:
        kind: format by name, such as ``PNG``.
        count: frames that can be decoded.
        header: size, colour and depth of the frames in words, as :func:`in_words` gives them.
        decode: frame by 0-based index, ``[H,W]`` or ``[H,W,3]``; raises ``FrameError``.
        byte_order: byte order of samples longer than a byte, as the file or its format declares it;
            ``None`` if nothing can be swapped.
        layout: remarks on the frames' place in the file; empty if none.
        unused: parts of the file that are no frames, in words.
        no_data: value of pixels without measurement, as the file declares it.
        fps: frames per second, if the file says so.
        times_s: time of each frame, if the file says so.
        fault: error that is raised after the last frame, if the file promises more.
    """

    kind: str
    count: int
    header: str
    decode: Callable[[int], np.ndarray]
    byte_order: ByteOrder | None = None
    layout: str = ""
    unused: tuple[str, ...] = ()
    no_data: float | None = None
    fps: float | None = None
    times_s: tuple[float, ...] | None = None
    fault: FrameError | None = None


def check_pixels(width: int, height: int, where: object) -> None:
    """Refuse a picture before anything of its size is allocated.

    Raises:
        FrameError: it has more than ``MAX_PIXELS`` pixels.
    """
    if width * height > MAX_PIXELS:
        raise FrameError(
            f"{width}x{height} is over the limit of {MAX_PIXELS / 1e6:.0f} million pixels",
            where,
            "give smaller frames",
        )


def check_size(width: int, height: int, where: object) -> None:
    """As :func:`check_pixels`, and refuse a picture without pixels.

    Raises:
        FrameError: it has none, or too many.
    """
    check_pixels(width, height, where)
    if width * height == 0:
        raise FrameError(f"the picture has no pixels ({width}x{height})", where, "remove it")


def damaged_file(what: str, why: object, where: object) -> FrameError:
    """The error for a file, or a frame in it, that cannot be decoded."""
    return FrameError(
        f"the {what} is damaged or truncated ({why})", where, "copy it again or remove it"
    )


def in_words(width: int, height: int, samples: int, dtype: object) -> str:
    """Size, colour and depth of a picture.

    >>> in_words(640, 512, 1, "uint16")
    '640x512 grey uint16'
    """
    return f"{width}x{height} {'grey' if samples < 3 else 'colour'} {dtype}"
