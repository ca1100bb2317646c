"""JPEG, PNG, BMP, GIF, WebP and JPEG 2000, with all pictures of those that can hold several.

Pillow reads everything of 8 bits and grey PNG of 16, imagecodecs colour PNG of 16 bits and JPEG
2000. Pixels come upright, in RGB order; three channels that are equal in the first picture of an
animation become one.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.MpoImagePlugin import MpoImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from tirtrack.errors import FrameError
from tirtrack.formats.frame_file import FrameFile, check_pixels, damaged_file, in_words
from tirtrack.formats.pixel_samples import in_byte_order, pick_samples
from tirtrack.read_options import ReadOptions

__all__ = ["RASTER_ERRORS", "opened_raster"]

_PNG_END = b"IEND\xaeB`\x82"
_EXIF_ORIENTATION = 0x0112
_PNG_EXIF = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")  # where a PNG holds its EXIF
_GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B"})
_ALPHA_MODES = frozenset({"LA", "RGBA", "PA"})
# Image.open would warn of large pictures by Python's global warning filters; these classes leave
# the limit to check_pixels, and read only the header until load()
_FILES: dict[str, Callable[[Any], ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "WEBP": WebPImageFile,
    "JP2": Jpeg2KImageFile,
}
RASTER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError,
                 struct.error, Image.DecompressionBombError)  # fmt: skip
"""What Pillow raises on damaged files."""


@contextmanager
def opened_raster(path: Path, kind: str, options: ReadOptions) -> Iterator[FrameFile]:
    """A JPEG, PNG, BMP, GIF, WebP or JPEG 2000 file, by its ``kind``.

    Raises:
        FrameError: it is truncated, or its header is damaged or declares too many pixels.
    """
    content = path.read_bytes()
    if kind == "PNG" and _PNG_END not in content:
        raise FrameError("the image is truncated (no end mark)", path, "copy it again or remove it")
    if kind == "WEBP":
        wide, high = _webp_size(content, path)
        check_pixels(wide, high, path)
    try:
        raster = _Raster(path, kind, content, options)
        file = raster.file()
    except FrameError:
        raise
    except RASTER_ERRORS as error:
        raise damaged_file("image", error, path) from error
    yield file


class _Raster:
    """A file that Pillow has opened: its header was read, its pixels were not."""

    def __init__(self, path: Path, kind: str, content: bytes, options: ReadOptions) -> None:
        self._path = path
        self._kind = kind
        self._content = content
        self._options = options
        self._opened: Any = _FILES[kind](io.BytesIO(content))
        width, height = self._opened.size
        check_pixels(width, height, path)
        self._inside = _pictures_of_jpeg(content) if kind == "JPEG" else 1
        if self._inside > 1 and path.suffix.lower() == ".mpo":
            self._opened = _as_mpo(self._opened, content)
        # the still picture of an animated PNG, for viewers without animation
        self._still = int(bool(getattr(self._opened, "default_image", False)))
        self._count = int(getattr(self._opened, "n_frames", 1)) - self._still
        self._is_deep = _is_deep(content, kind, self._opened.mode)
        self._animation = _Animation(self._opened, options, self._still)

    def file(self) -> FrameFile:
        """The frames."""
        if self._is_deep and self._count > 1:
            raise FrameError(
                "an animated PNG of 16 bits",
                self._path,
                "save its frames as PNG files or pages of a TIFF",
            )
        return FrameFile(
            kind=self._kind,
            count=self._count,
            header=self._header(),
            decode=self._decode,
            byte_order="big" if self._is_deep else None,
            unused=self._unused(),
            no_data=_transparent_grey(self._opened),
            fps=_rate(self._opened) if self._count > 1 else None,
        )

    @property
    def _is_animated(self) -> bool:
        return self._count > 1 or self._still > 0

    def _header(self) -> str:
        width, height = self._opened.size
        if self._has_exif() and self._opened.getexif().get(_EXIF_ORIENTATION, 1) >= 5:
            width, height = height, width
        is_grey = (
            self._opened.mode in _GREY_MODES
            or self._options.names_samples
            or (self._is_animated and self._animation.is_grey(self._path))
        )
        depth = "uint16" if self._is_deep else "uint8"
        return in_words(width, height, 1 if is_grey else 3, depth)

    def _has_exif(self) -> bool:
        """Whether it may state its orientation. Pillow decodes all of a PNG to tell."""
        return self._kind != "PNG" or any(mark in self._content for mark in _PNG_EXIF)

    def _unused(self) -> tuple[str, ...]:
        words = ["the still picture"] if self._still else []
        if self._opened.mode in _ALPHA_MODES and self._options.channel is None:
            words.append("the alpha channel")
        behind = self._inside - 1
        if behind and self._count == 1:
            words.append(f"{behind} more picture{'' if behind == 1 else 's'} behind the first")
        return tuple(words)

    def _decode(self, index: int) -> np.ndarray:
        where = self._path if self._count == 1 else f"{self._path}, picture {index}"
        try:
            return self._pixels(index, where)
        except FrameError:
            raise
        except RASTER_ERRORS as error:
            raise damaged_file("image", error, where) from error

    def _pixels(self, index: int, where: object) -> np.ndarray:
        if self._is_animated:
            return self._animation.picture(index, where)
        self._opened.load()
        if self._kind == "JP2" or self._is_deep:
            return _deep(self._content, self._kind, self._opened, self._options, where)
        ImageOps.exif_transpose(self._opened, in_place=True)  # else every picture is copied
        return pick_samples(_pillow_pixels(self._opened), self._options, where)


def _is_deep(content: bytes, kind: str, mode: str) -> bool:
    return (kind == "PNG" and content[24] == 16) or (kind == "JP2" and mode.startswith("I"))


def _transparent_grey(opened: Any) -> float | None:
    """The one grey value that a PNG declares transparent."""
    value = opened.info.get("transparency")
    return float(value) if opened.mode in _GREY_MODES and isinstance(value, int) else None


def _rate(opened: Any) -> float | None:
    duration_ms = opened.info.get("duration")
    return 1000.0 / float(duration_ms) if duration_ms else None


def _pillow_pixels(image: Image.Image) -> np.ndarray:
    """``[H,W]`` or ``[H,W,samples]`` with alpha last."""
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode == "PA":
        image = image.convert("RGBA")
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    return np.array(image)


def _deep(
    content: bytes, kind: str, opened: Any, options: ReadOptions, where: object
) -> np.ndarray:
    """A picture that Pillow has checked, decoded anew, as Pillow keeps only 8 bits of colour."""
    import imagecodecs

    if kind == "PNG" and opened.mode.startswith("I"):
        pixels = np.asarray(opened).astype(np.uint16)
    else:
        decoder = imagecodecs.png_decode if kind == "PNG" else imagecodecs.jpeg2k_decode
        try:
            pixels = np.asarray(decoder(content))
        except (imagecodecs.PngError, imagecodecs.Jpeg2kError, ValueError) as error:
            raise damaged_file("image", error, where) from error
    return pick_samples(in_byte_order(pixels, "big", options), options, where)


class _Animation:
    """The pictures of a file that holds several, by index."""

    def __init__(self, opened: Any, options: ReadOptions, still: int) -> None:
        self._opened = opened
        self._options = options
        self._still = still  # pictures before the first one of the animation
        self._grey: bool | None = None

    def picture(self, index: int, where: object) -> np.ndarray:
        """``[H,W]`` or ``[H,W,3]``, composed of those before as the format demands."""
        self._opened.seek(index + self._still)
        width, height = self._opened.size
        check_pixels(width, height, where)
        self._opened.load()
        has_alpha = self._opened.mode in _ALPHA_MODES and self._opened.format != "GIF"
        pixels = np.array(self._opened.convert("RGBA" if has_alpha else "RGB"))
        picked = pick_samples(pixels, self._options, where)
        is_flat = picked.ndim == 2 or bool((picked == picked[..., :1]).all())
        if self._grey is None:
            self._grey = is_flat if index == 0 else self.is_grey(where)
        if picked.ndim == 2 or not (self._grey and is_flat):
            return picked
        return np.ascontiguousarray(picked[..., 0])

    def is_grey(self, where: object) -> bool:
        """Whether the channels of the first picture are equal."""
        if self._grey is None:
            try:
                self._grey = self.picture(0, where).ndim == 2
            except RASTER_ERRORS:  # they include FrameError; reading reports it
                self._grey = False
        return self._grey


# sizes and counts that Pillow reads too late -----------------------------------------------------


def _webp_size(content: bytes, path: Path) -> tuple[int, int]:
    """Width and height of a WebP, whose decoder allocates its canvas when it is opened."""
    try:
        form, body = content[12:16], content[20:]
        if form == b"VP8X":
            wide, high = body[4:7], body[7:10]
            return int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
        if form == b"VP8L":
            bits = struct.unpack("<I", body[1:5])[0]
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        width, height = struct.unpack("<HH", body[6:10])
    except struct.error as error:
        raise damaged_file("image", error, path) from error
    return width & 0x3FFF, height & 0x3FFF


def _pictures_of_jpeg(content: bytes) -> int:
    """How many pictures the index of a JPEG (APP2 segment ``MPF``) names; 1 without one."""
    at = content.find(b"MPF\0", 0, 1 << 20)
    if at < 0:
        return 1
    block = content[at + 4 :]
    order = "<" if block[:2] == b"II" else ">"
    try:
        place = struct.unpack_from(f"{order}I", block, 4)[0]
        entries = struct.unpack_from(f"{order}H", block, place)[0]
        for entry in range(min(entries, 64)):
            tag, _, _, value = struct.unpack_from(f"{order}HHII", block, place + 2 + 12 * entry)
            if tag == 0xB001:
                return max(int(value), 1)
    except struct.error:
        return 1
    return 1


def _as_mpo(opened: Any, content: bytes) -> Any:
    """All pictures of a multi-picture file, as frames."""
    opened.close()
    return MpoImageFile(io.BytesIO(content))
