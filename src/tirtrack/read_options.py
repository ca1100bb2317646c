"""What a user says of a source that does not say it of itself.

Everything is ``None`` until somebody decides it; a reader that needs a decision and has none
refuses and names the field. This module reads nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tirtrack.errors import RequestError

__all__ = ["AS_STORED", "ReadOptions", "as_typed"]

Order = Literal["natural", "name", "time"]
ByteOrder = Literal["little", "big"]
Part = Literal["counts", "visible", "palette"]


@dataclass(frozen=True)
class ReadOptions:
    """How to read a source where it leaves that open.

    Attributes:
        order: order of the frames of a folder or glob: by the numbers in their names
            (``natural``), by their names as text (``name``), or by names that are times (``time``).
        channel: 0-based sample of each pixel that holds the picture.
        byte_order: byte order of 16-bit samples whose file names the wrong one or none.
        picture: part of a radiometric JPEG: the ``counts``, the ``visible`` picture, or the
            ``palette`` picture that viewers show. ``None``: the counts for a source of frames, the
            palette picture for a single image.
        no_data: value of pixels that hold no measurement, in stored counts or levels.
        size_wh: width and height of raw frames, pixels.
        pixel_format: pixel format of raw frames, such as ``gray16le``.

    Raises:
        RequestError: ``no_data`` is not finite.
    """

    order: Order | None = None
    channel: int | None = None
    byte_order: ByteOrder | None = None
    picture: Part | None = None
    no_data: float | None = None
    size_wh: tuple[int, int] | None = None
    pixel_format: str | None = None

    def __post_init__(self) -> None:
        """Refuse a no-data value that needs no naming and equals nothing."""
        if self.no_data is not None and not math.isfinite(self.no_data):
            raise RequestError(
                f"--no-data {self.no_data:g} names pixels that never count as measurements",
                fix="drop --no-data",
            )


AS_STORED = ReadOptions()


def as_typed(options: ReadOptions) -> str:
    """The options that were given, as on a command line; empty without any.

    >>> as_typed(ReadOptions(no_data=0.0, byte_order="big", size_wh=(640, 512)))
    '--no-data 0 --byte-order big --size 640x512'
    """
    size = None if options.size_wh is None else "{}x{}".format(*options.size_wh)
    given = {
        "--no-data": None if options.no_data is None else f"{options.no_data:.15g}",
        "--channel": options.channel,
        "--byte-order": options.byte_order,
        "--picture": options.picture,
        "--order": options.order,
        "--size": size,
        "--pixel-format": options.pixel_format,
    }
    return " ".join(f"{name} {value}" for name, value in given.items() if value is not None)
