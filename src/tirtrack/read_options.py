"""Reading options: what a user states about a source that leaves it open.

Everything is ``None`` until the user decides it; a reader that needs a decision and has none raises
an error that names the field. This module reads nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, get_args

from tirtrack.errors import FrameError, RequestError
from tirtrack.palettes import PALETTES

__all__ = ["AS_STORED", "NoData", "ReadOptions", "as_typed", "refuse_options"]

Order = Literal["natural", "name", "time"]
ByteOrder = Literal["little", "big"]
Part = Literal["counts", "visible", "palette"]
NoData = float | Literal["none"]

_FLAGS = {"size_wh": "--size"}  # where the option is not called like the field
_MEANT_FOR = {
    "order": "the images of a folder or a pattern",
    "picture": "radiometric JPEGs",
    "palette": "colour pictures of 8 bits",
    "byte_order": "samples that a file stores as two bytes or more",
    "size_wh": "raw frames and cameras",
    "pixel_format": "raw frames and cameras",
}


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
        palette: palette with which the picture was painted (``tirtrack.palettes``); it is undone.
        no_data: value of pixels that hold no measurement, in stored counts or levels; ``none``:
            every number is a measurement, whatever the file declares.
        size_wh: width and height of raw frames, pixels.
        pixel_format: pixel format of raw frames, such as ``gray16le``.

    Raises:
        RequestError: a field has a value that it cannot have.
    """

    order: Order | None = None
    channel: int | None = None
    byte_order: ByteOrder | None = None
    picture: Part | None = None
    palette: str | None = None
    no_data: NoData | None = None
    size_wh: tuple[int, int] | None = None
    pixel_format: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that no source can use."""
        _check_word("order", self.order, get_args(Order))
        _check_word("byte_order", self.byte_order, get_args(ByteOrder))
        _check_word("picture", self.picture, get_args(Part))
        _check_word("palette", self.palette, PALETTES)
        if self.palette is not None and self.channel is not None:
            raise RequestError(
                "a palette is painted over all channels, and one of them was named",
                "--palette and --channel",
                "give one of them",
            )
        _check_no_data(self.no_data)
        if isinstance(self.no_data, Real):  # also one of NumPy's
            object.__setattr__(self, "no_data", float(self.no_data))
        if self.channel is not None and not _is_count(self.channel, least=0):
            raise _refused("channel", self.channel, "give a whole number from 0 on")
        if self.size_wh is not None and not _is_size(self.size_wh):
            raise _refused("size_wh", self.size_wh, "give width and height in pixels, as 640x512")
        name: object = self.pixel_format
        if name is not None and not (isinstance(name, str) and name.strip()):
            raise _refused("pixel_format", name, "give a name such as gray16le")

    @property
    def names_samples(self) -> bool:
        """Whether it says which samples of a pixel are the picture: the picture is then grey."""
        return self.channel is not None or self.palette is not None


def refuse_options(options: ReadOptions, names: Collection[str], where: object) -> None:
    """Refuse options that do not apply to a source, instead of silently ignoring them.

    Args:
        options: reading options of the user.
        names: fields that do not apply to the source.
        where: the source.

    Raises:
        FrameError: one of them was given.
    """
    for name in names:
        if getattr(options, name) is not None:
            raise FrameError(
                f"{_flag(name)} has no meaning for this source: it is for {_MEANT_FOR[name]}",
                where,
                f"leave {_flag(name)} out",
            )


def _flag(name: str) -> str:
    return _FLAGS.get(name, "--" + name.replace("_", "-"))


def _refused(name: str, value: object, fix: str) -> RequestError:
    return RequestError(f'{_flag(name)} "{value}" is not a value of this option', fix=fix)


def _check_word(name: str, value: object, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        choices = f"{', '.join(known[:-1])} or {known[-1]}"
        raise RequestError(f'{_flag(name)} "{value}" is unknown', fix=f"give {choices}")


def _check_no_data(value: object) -> None:
    if value is None or value == "none":
        return
    if not isinstance(value, Real) or isinstance(value, bool):
        raise _refused(
            "no_data", value, "give a number, or none where every pixel is a measurement"
        )
    if not math.isfinite(value):
        raise RequestError(
            f"--no-data {value:g} names pixels that never count as measurements",
            fix="drop --no-data",
        )


def _is_count(value: Any, *, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _is_size(value: Any) -> bool:
    is_pair = isinstance(value, tuple | list) and len(value) == 2
    return is_pair and all(_is_count(side, least=1) for side in value)


AS_STORED = ReadOptions()


def as_typed(options: ReadOptions) -> str:
    """The options that were given, as on a command line; empty without any.

    >>> as_typed(ReadOptions(no_data=0.0, byte_order="big", size_wh=(640, 512)))
    '--no-data 0 --byte-order big --size 640x512'
    """
    size = None if options.size_wh is None else "{}x{}".format(*options.size_wh)
    value = options.no_data
    no_data = f"{value:.15g}" if isinstance(value, float | int) else value
    given = {
        "--no-data": no_data,
        "--channel": options.channel,
        "--byte-order": options.byte_order,
        "--picture": options.picture,
        "--palette": options.palette,
        "--order": options.order,
        "--size": size,
        "--pixel-format": options.pixel_format,
    }
    return " ".join(f"{name} {value}" for name, value in given.items() if value is not None)
