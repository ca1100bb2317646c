"""Image files at full bit depth, upright, RGB order; damage is found and named.

Pillow reads everything of 8 bits and grey PNG of 16, imagecodecs colour PNG of 16 bits, tifffile
TIFF. This module knows single files; ``media`` makes sources of frames out of them.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from tirtrack.errors import FrameError

__all__ = [
    "IMAGE_KINDS",
    "MAX_PIXELS",
    "check_pixels",
    "image_kind",
    "opened_tiff",
    "pixel_header",
    "read_image",
    "tiff_page",
]

MAX_PIXELS = 100_000_000
IMAGE_KINDS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP",
    ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"BM", "BMP"),
    (b"II*\x00", "TIFF"), (b"MM\x00*", "TIFF"), (b"II+\x00", "TIFF"), (b"MM\x00+", "TIFF"),
)  # fmt: skip
_PNG_END = b"IEND\xaeB`\x82"
_EXIF_ORIENTATION = 0x0112
_MAX_TIFF_TAGS = 4096
_MAX_TIFF_BYTES = 8 * MAX_PIXELS
# Image.open would warn of large pictures by Python's global filters; these classes leave the limit
# to check_pixels, and read nothing but the header until load()
_RASTER_FILES: dict[str, Callable[[Any], ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "BMP": BmpImageFile,
}
_RASTER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)


def read_image(path: str | Path) -> np.ndarray:
    """One image file at full bit depth, upright, RGB order.

    Args:
        path: JPEG, PNG, BMP or TIFF with one page.

    Returns:
        ``[H,W]`` or ``[H,W,3]``, see the table of this module.

    Raises:
        FrameError: the file is missing, empty, truncated, damaged, of another format than its
            name says, larger than 100 million pixels, or holds several pages.
    """
    path = Path(path)
    kind = image_kind(path)
    if kind == "TIFF":
        with opened_tiff(path) as pages:
            if len(pages) > 1:
                raise FrameError(
                    f"holds {len(pages)} pages", path, "give the file itself as the source"
                )
            return tiff_page(pages[0], path)
    return _raster(path, kind)


def image_kind(path: Path) -> str:
    """The format of an image file by content (``JPEG``, ``PNG``, ...).

    Raises:
        FrameError: missing, empty, not an image, or of another format than its name says.
    """
    try:
        with path.open("rb") as opened:
            head = opened.read(16)
    except FileNotFoundError as error:
        raise FrameError("no such file", path, "check the path") from error
    except OSError as error:
        raise FrameError(f"could not be read ({error.strerror})", path) from error
    if not head:
        raise FrameError("the file is empty (0 bytes)", path, "copy it again or remove it")
    kind = next((name for magic, name in _MAGIC if head.startswith(magic)), None)
    if kind is None:
        raise FrameError(
            f"not an image that can be read (begins with bytes {head[:8].hex(' ')})",
            path,
            f"give one of {', '.join(sorted(set(IMAGE_KINDS.values())))}",
        )
    named = IMAGE_KINDS.get(path.suffix.lower())
    if named != kind:
        raise FrameError(
            f"holds a {kind}, its name says {named or path.suffix or 'nothing'}",
            path,
            f"rename it to {path.stem}.{kind.lower().replace('jpeg', 'jpg')}",
        )
    return kind


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


def _raster(path: Path, kind: str) -> np.ndarray:
    """JPEG, PNG, BMP."""
    content = path.read_bytes()
    if kind == "PNG" and _PNG_END not in content:
        raise FrameError("the image is truncated (no end mark)", path, "copy it again or remove it")
    try:
        opened = _RASTER_FILES[kind](io.BytesIO(content))
    except _RASTER_ERRORS as error:
        raise _damaged("image", error, path) from error
    check_pixels(opened.width, opened.height, path)
    try:
        opened.load()
        image = ImageOps.exif_transpose(opened)
    except _RASTER_ERRORS as error:
        raise _damaged("image", error, path) from error
    if kind == "PNG" and content[24] == 16:
        return _deep_png(content, image, path)
    return _pillow_array(image)


def _damaged(what: str, error: Exception, where: object) -> FrameError:
    return FrameError(
        f"the {what} is damaged or truncated ({error})", where, "copy it again or remove it"
    )


def _deep_png(content: bytes, image: Image.Image, path: Path) -> np.ndarray:
    """A 16-bit PNG that Pillow has checked; of colour it keeps only 8 bits, so decode anew."""
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    import imagecodecs

    try:
        pixels = np.asarray(imagecodecs.png_decode(content))
    except (imagecodecs.PngError, ValueError) as error:
        raise _damaged("image", error, path) from error
    return _without_alpha(pixels)


def _without_alpha(pixels: np.ndarray) -> np.ndarray:
    """``[H,W]`` or ``[H,W,3]`` from any number of channels."""
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] in (1, 2):
        return np.ascontiguousarray(pixels[..., 0])
    return np.ascontiguousarray(pixels[..., :3])


def _pillow_array(image: Image.Image) -> np.ndarray:
    if image.mode in ("1", "LA", "La"):
        image = image.convert("L")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    return np.array(image)


@contextmanager
def opened_tiff(path: Path) -> Iterator[list[Any]]:
    """The full-size pages of a TIFF, at least one; reduced copies (thumbnails) are left out.

    Raises:
        FrameError: its directory is damaged.
    """
    tifffile = _tifffile()
    with ExitStack() as stack:
        try:
            _check_pages(path)
            opened = stack.enter_context(tifffile.TiffFile(path))
            pages = [page for page in opened.pages if not page.aspage().is_reduced]
        except Exception as error:  # whatever its parser stumbles over
            raise _damaged("TIFF", error, path) from error
        if not pages:
            raise _damaged("TIFF", ValueError("no page"), path)
        yield pages


def _tifffile() -> ModuleType:
    """tifffile, whose remarks on damaged files go to the log of who keeps one, not to stderr."""
    import tifffile

    if not tifffile.logger().handlers:
        tifffile.logger().addHandler(logging.NullHandler())
    return tifffile


def _check_pages(path: Path) -> None:
    """Follow the chain of pages by their sizes alone; its reader would follow a circle for ever.

    Raises:
        ValueError: the chain leads in a circle, out of the file, or through a page of absurd size.
        struct.error: the file ends within a page.
    """
    size = path.stat().st_size
    with path.open("rb") as opened:
        head = opened.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")
        count_form, tag_bytes, next_form = ("Q", 20, "Q") if big else ("H", 12, "I")

        def number(form: str, at: int) -> int:
            opened.seek(at)
            return int(struct.unpack(order + form, opened.read(struct.calcsize(form)))[0])

        seen: set[int] = set()
        at = number(next_form, 8 if big else 4)
        while at:
            tags = number(count_form, at)
            if at in seen or at >= size or not 0 < tags <= _MAX_TIFF_TAGS:
                raise ValueError(f"the chain of pages is broken after page {len(seen)}")
            seen.add(at)
            at = number(next_form, at + struct.calcsize(count_form) + tags * tag_bytes)


def tiff_page(page: Any, where: object) -> np.ndarray:
    """One page of a TIFF, ``[H,W]`` or ``[H,W,3]``; of colour tables 8 bits are kept.

    Raises:
        FrameError: it is damaged, too large, or no picture; ``where`` names it.
    """
    try:
        return _tiff_pixels(page.aspage(), where)
    except FrameError:
        raise
    except Exception as error:  # a damaged tag can break its reader anywhere, each in its own way
        raise _damaged("TIFF", error, where) from error


def _tiff_pixels(page: Any, where: object) -> np.ndarray:
    import tifffile

    check_pixels(int(page.imagewidth), int(page.imagelength), where)
    if page.is_tiled:
        check_pixels(int(page.tilewidth) * int(page.tiledepth), int(page.tilelength), where)
    if int(page.nbytes) > _MAX_TIFF_BYTES:
        raise FrameError(f"{page.nbytes} bytes of pixels are too many", where)
    pixels = np.asarray(page.asarray())
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        pixels = (np.moveaxis(page.colormap, 0, -1)[pixels] >> 8).astype(np.uint8)
    if pixels.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim not in (2, 3):
        raise FrameError(f"pages must be pictures, got an array {list(pixels.shape)}", where)
    pixels = _common_dtype(_without_alpha(pixels))
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    return pixels


def _common_dtype(pixels: np.ndarray) -> np.ndarray:
    """One of the four types of the table, without losing a value."""
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        return pixels.astype(pixels.dtype.newbyteorder("="))
    return pixels.astype(np.float32 if pixels.dtype.itemsize <= 2 else _float_of(pixels))


def _float_of(pixels: np.ndarray) -> type[np.floating[Any]]:
    return np.float32 if pixels.dtype.kind == "f" and pixels.dtype.itemsize == 4 else np.float64


def pixel_header(path: Path) -> str | None:
    """Size and kind of pixels without decoding, in words; ``None`` if damaged."""
    try:
        kind = image_kind(path)
        if kind == "TIFF":
            with opened_tiff(path) as pages:
                page = pages[0].aspage()
                depth = f"{page.dtype}"
                channels = "colour" if page.samplesperpixel >= 3 else "grey"
                return f"{page.imagewidth}x{page.imagelength} {channels} {depth}"
        return _raster_header(path, kind)
    except _RASTER_ERRORS:  # of which FrameError is one
        return None


def _raster_header(path: Path, kind: str) -> str:
    with path.open("rb") as opened:
        image = _RASTER_FILES[kind](opened)
        width, height = image.size
        if image.getexif().get(_EXIF_ORIENTATION, 1) >= 5:
            width, height = height, width
        grey = image.mode in ("1", "L", "LA", "I", "I;16", "I;16B")
    depth = 8
    if kind == "PNG":
        with path.open("rb") as opened:
            depth = 16 if opened.read(25)[24] == 16 else 8
    return f"{width}x{height} {'grey' if grey else 'colour'} uint{depth}"
