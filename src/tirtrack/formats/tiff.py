"""TIFF: pages, planes behind one directory, and the parts of the file that are no frames.

tifffile decodes. Beyond it this module knows where frames hide that are not pages: ImageJ writes a
stack above 4 GB behind a single directory. Thumbnails, copies of other sizes and sub-images are
left out and named.
"""

from __future__ import annotations

import json
import logging
import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tirtrack.errors import FrameError
from tirtrack.formats.arrays import check_axes
from tirtrack.formats.frame_file import (
    MAX_BYTES,
    FrameFile,
    check_pixels,
    damaged_file,
    in_words,
)
from tirtrack.formats.pixel_samples import common_dtype, in_byte_order, pick_samples
from tirtrack.read_options import ByteOrder, ReadOptions

__all__ = ["opened_tiff"]

_MAX_TAGS = 4096
_GDAL_NODATA = 42113
_SUB_IFDS = 330
_MOSAIC = 32803  # photometric interpretation of a colour filter array: a camera's raw picture
_AXES_FIX = (
    "save the first with metadata={'axes': 'TYX'}, and the second as np.moveaxis(stack, -1, 0)"
)
_PLANE_AXES = frozenset("YXS")


@contextmanager
def opened_tiff(path: Path, options: ReadOptions) -> Iterator[FrameFile]:
    """The frames of a TIFF, at least one.

    Raises:
        FrameError: its directory is damaged, its pages are of several kinds none of which prevails,
            or it has several channels and the user names none.
    """
    tifffile = _tifffile()
    with ExitStack() as stack:
        try:
            _check_pages(path)
            opened = stack.enter_context(tifffile.TiffFile(path))
            pages = [page.aspage() for page in opened.pages]
            whole = [page for page in pages if not page.is_reduced]
            if not whole:
                raise ValueError("no page")
            _check_shape(opened, whole, path)
            found = _planes(opened, whole[0], path, options) if len(whole) == 1 else None
            file = found or _pages(opened, whole, path, options)
            unused = _unused(pages, whole)
            if found is None and len(pages) == 1 and not unused:
                unused += _bytes_behind(pages[0], path.stat().st_size)
        except FrameError:
            raise
        except Exception as error:  # its parser can fail in many ways
            raise damaged_file("TIFF", error, path) from error
        yield replace(file, unused=(*file.unused, *unused))


def _tifffile() -> ModuleType:
    """tifffile, whose remarks on damaged files go to a log if there is one, not to stderr."""
    import tifffile

    if not tifffile.logger().handlers:
        tifffile.logger().addHandler(logging.NullHandler())
    return tifffile


def _check_pages(path: Path) -> None:
    """Follow the chain of pages by their sizes alone; tifffile would follow a loop forever.

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
            if at in seen or at >= size or not 0 < tags <= _MAX_TAGS:
                raise ValueError(f"the chain of pages is broken after page {len(seen)}")
            seen.add(at)
            at = number(next_form, at + struct.calcsize(count_form) + tags * tag_bytes)


def _check_shape(opened: Any, pages: list[Any], path: Path) -> None:
    """Refuse an array that was saved by its shape alone with its frames on the last axis."""
    first = pages[0]
    if not opened.is_shaped or '"axes"' in first.description or first.samplesperpixel > 1:
        return
    count = len(pages) if len(pages) > 1 else _promised(opened, first)
    if count > 1:
        check_axes((count, int(first.imagelength), int(first.imagewidth)), path, _AXES_FIX)


# frames as pages -------------------------------------------------------------------------------


def _pages(opened: Any, pages: list[Any], path: Path, options: ReadOptions) -> FrameFile:
    kept, others = _of_one_kind(pages, path)
    is_stack = 1 < len(kept) == len(pages) == len(opened.pages)
    axes = _axes(opened) if is_stack else {}
    places, layout = _of_channel(axes, len(kept), path, options)
    declared = _byte_order(opened)
    one = len(pages) == 1
    page_options = replace(options, channel=None) if len(places) < len(kept) else options

    def decode(index: int) -> np.ndarray:
        page = kept[places[index]]
        where = path if one else f"{path}, page {page.index}"
        return _decoded(lambda: _page_pixels(page, where), page, declared, page_options, where)

    return FrameFile(
        kind="TIFF",
        count=len(places),
        header=_page_header(kept[0], options),
        decode=decode,
        byte_order=declared if _has_bytes_to_swap(kept[0]) else None,
        layout=", ".join(filter(None, [_stored_as(kept[0]), layout])),
        unused=others,
        no_data=_no_data(kept[0]),
    )


def _kind(page: Any) -> tuple[int, int, str, int]:
    return page.imagewidth, page.imagelength, str(page.dtype), page.samplesperpixel


def _of_one_kind(pages: list[Any], path: Path) -> tuple[list[Any], tuple[str, ...]]:
    """The pages that are frames, and the others in words.

    Frames are of one size, depth and number of samples. Where pages differ, most of them are
    frames; of equal numbers, those that are grey and deeper than 8 bits.
    """
    kinds = Counter(_kind(page) for page in pages)
    if len(kinds) == 1:
        return pages, ()
    most = max(kinds.values())
    leading = [kind for kind, count in kinds.items() if count == most]
    if len(leading) > 1:
        leading = [kind for kind in leading if kind[3] == 1 and kind[2] != "uint8"] or leading
    if len(leading) > 1:
        counts = ", ".join(f"{count} of {in_words(kind[0], kind[1], kind[3], kind[2])}"
                           for kind, count in kinds.items())  # fmt: skip
        raise FrameError(
            f"its pages are of {len(kinds)} kinds, and none prevails ({counts})",
            path,
            "save the pages that are frames as a file of their own",
        )
    others = tuple(
        f"{count} page{'' if count == 1 else 's'} of {in_words(kind[0], kind[1], kind[3], kind[2])}"
        for kind, count in kinds.items()
        if kind != leading[0]
    )
    return [page for page in pages if _kind(page) == leading[0]], others


def _page_header(page: Any, options: ReadOptions) -> str:
    samples = 1 if options.channel is not None else page.samplesperpixel
    dtype = common_dtype(np.zeros(1, page.dtype)).dtype if page.dtype is not None else page.dtype
    return in_words(page.imagewidth, page.imagelength, samples, dtype)


def _stored_as(page: Any) -> str:
    """The number type of a page, where its frames get a wider one."""
    if page.dtype is None or common_dtype(np.zeros(1, page.dtype)).dtype == page.dtype:
        return ""
    return f"stored as {page.dtype.name}"


def _page_pixels(page: Any, where: object) -> np.ndarray:
    """``[H,W]`` or ``[H,W,samples]`` of a page; colour tables are reduced to 8 bits."""
    import tifffile

    if page.photometric == _MOSAIC:
        raise FrameError(
            "a camera's raw picture (DNG), which is not a thermal frame",
            where,
            "export it as TIFF or PNG with the program of its maker",
        )
    check_pixels(int(page.imagewidth), int(page.imagelength), where)
    if page.is_tiled:
        check_pixels(int(page.tilewidth) * int(page.tiledepth), int(page.tilelength), where)
    if int(page.nbytes) > MAX_BYTES:
        raise FrameError(f"{page.nbytes} bytes of pixels are too many", where)
    pixels: np.ndarray = np.asarray(page.asarray())
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        colours = np.asarray(page.colormap).T
        return np.asarray(colours[pixels] >> 8).astype(np.uint8)
    if pixels.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels


def _decoded(
    read: Callable[[], np.ndarray],
    page: Any,
    declared: ByteOrder,
    options: ReadOptions,
    where: object,
) -> np.ndarray:
    """``[H,W]`` or ``[H,W,3]``: one picture of what ``read`` gives."""
    try:
        pixels = in_byte_order(read(), declared, options)
        if pixels.ndim not in (2, 3):
            raise FrameError(
                f"pages must be pictures, got an array {list(pixels.shape)}",
                where,
                "save every plane as a page of its own",
            )
        pixels = common_dtype(pick_samples(pixels, options, where, is_colour=_is_colour(page)))
        return _upright_levels(pixels, page)
    except FrameError:
        raise
    except Exception as error:  # a damaged tag can break its reader anywhere, each in its own way
        raise damaged_file("TIFF", error, where) from error


def _is_colour(page: Any) -> bool:
    """Whether samples beyond the first are colours or declared alpha, not bands.

    tifffile calls an array of three or four frames a picture in colour, stored by planes.
    """
    import tifffile

    if page.is_shaped and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        return False
    grey = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
    has_alpha = any(int(extra) for extra in page.extrasamples or ())
    return has_alpha or page.photometric not in grey


def _upright_levels(pixels: np.ndarray, page: Any) -> np.ndarray:
    """Levels whose zero is black."""
    import tifffile

    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        return np.asarray(np.iinfo(pixels.dtype).max - pixels)
    return pixels


def _byte_order(opened: Any) -> ByteOrder:
    return "big" if opened.byteorder == ">" else "little"


def _has_bytes_to_swap(page: Any) -> bool:
    """Whether its samples are longer than a byte; colour tables are reduced to 8 bits."""
    import tifffile

    is_table = page.photometric == tifffile.PHOTOMETRIC.PALETTE
    return page.dtype is not None and page.dtype.itemsize > 1 and not is_table


def _no_data(page: Any) -> float | None:
    """The value that GDAL's tag declares, as the pixels store it; NaN needs no declaration."""
    tag = page.tags.get(_GDAL_NODATA)
    if tag is None or page.dtype is None:
        return None
    try:
        value = float(str(tag.value).strip("\0 "))
    except ValueError:
        return None
    if page.dtype == np.float32 and math.isfinite(value):
        value = float(np.float32(value))
    return value if math.isfinite(value) else None


# what the file says of its axes ------------------------------------------------------------------


def _axes(opened: Any) -> dict[str, int]:
    """The axes of length over 1 that pages are counted along, outermost first."""
    try:
        series = opened.series[0]
        sizes = dict(zip(series.axes, series.shape, strict=True))
    except Exception:  # noqa: BLE001  damaged descriptions only lose their meaning
        return {}
    return {axis: size for axis, size in sizes.items() if axis not in _PLANE_AXES and size > 1}


def _of_channel(
    axes: dict[str, int], count: int, path: Path, options: ReadOptions
) -> tuple[list[int], str]:
    """The planes that are frames, and a remark on it."""
    everything = list(range(count))
    if math.prod(axes.values()) != count:
        return everything, ""
    if "C" not in axes:
        lengths = ", ".join(f"{axis} of {size}" for axis, size in axes.items())
        return everything, f"along the axes {lengths}" if len(axes) > 1 else ""
    if len(axes) == 1 and options.channel is None:
        return everything, "frames along the axis that the file calls channels"
    channels = axes["C"]
    if options.channel is None or options.channel >= channels:
        asked = "" if options.channel is None else f", none of them is {options.channel}"
        raise FrameError(
            f"holds {channels} channels of {count // channels} frames each{asked}",
            path,
            f"choose one with --channel 0 to {channels - 1}",
        )
    planes = np.arange(count).reshape(tuple(axes.values()))
    chosen = np.take(planes, options.channel, axis=list(axes).index("C"))
    return chosen.ravel().tolist(), f"channel {options.channel} of {channels}"


# frames that are no pages ------------------------------------------------------------------------


def _planes(opened: Any, page: Any, path: Path, options: ReadOptions) -> FrameFile | None:
    """Planes that lie behind the only page, where the file's description promises them."""
    promised = _promised(opened, page)
    if promised <= 1:
        return None
    if page.compression != 1 or not page.is_contiguous or page.samplesperpixel != 1:
        raise FrameError(
            f"its description promises {promised} images, and it has one page",
            path,
            "save every image as a page of its own",
        )
    check_pixels(int(page.imagewidth), int(page.imagelength), path)
    begin, nbytes = int(page.dataoffsets[0]), int(page.nbytes)
    present = min((path.stat().st_size - begin) // nbytes, promised)
    places, channel = _of_channel(_axes(opened), promised, path, options)
    plane_options = replace(options, channel=None) if len(places) < promised else options
    places = [place for place in places if place < present]
    declared = _byte_order(opened)

    def decode(index: int) -> np.ndarray:
        where = f"{path}, plane {places[index]}"
        at = begin + places[index] * nbytes
        return _decoded(
            lambda: _plane(path, at, page, opened), page, declared, plane_options, where
        )

    return FrameFile(
        kind="TIFF",
        count=len(places),
        header=_page_header(page, options),
        decode=decode,
        byte_order=declared if _has_bytes_to_swap(page) else None,
        layout=", ".join(
            filter(None, [_stored_as(page), f"{promised} planes behind one page", channel])
        ),
        no_data=_no_data(page),
        fault=None if present == promised else _ends_early(present, promised, path),
    )


def _promised(opened: Any, page: Any) -> int:
    """How many images the file's description names; 1 where it names none."""
    try:
        if opened.is_imagej:
            return int(opened.imagej_metadata.get("images", 1))
        if opened.is_shaped:  # as tifffile describes what it writes
            shape = json.loads(page.description)["shape"]
        elif opened.is_ome or opened.is_stk:
            shape = opened.series[0].shape
        else:
            return 1
        return int(math.prod(shape)) // max(int(math.prod(page.shape)), 1)
    except Exception:  # noqa: BLE001  damaged descriptions only lose their meaning
        return 1


def _plane(path: Path, at: int, page: Any, opened: Any) -> np.ndarray:
    shape = (int(page.imagelength), int(page.imagewidth))
    dtype = np.dtype(page.dtype).newbyteorder(opened.byteorder)
    with path.open("rb") as raw:
        raw.seek(at)
        content = raw.read(math.prod(shape) * dtype.itemsize)
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _ends_early(present: int, promised: int, path: Path) -> FrameError:
    return FrameError(
        f"the file ends early ({present} of {promised} images are whole)",
        f"{path}, plane {present}",
        "copy it again; the frames before are good",
    )


# what is not used --------------------------------------------------------------------------------


def _bytes_behind(page: Any, file_bytes: int) -> tuple[str, ...]:
    """What lies behind the pixels of the only page, if further frames would fit into it."""
    if page.compression != 1 or not page.is_contiguous or not page.nbytes:
        return ()
    left = file_bytes - int(page.dataoffsets[0]) - int(page.nbytes)
    room = left // int(page.nbytes)
    return (f"{left} bytes behind the page, room for {room} more",) if room > 0 else ()


def _unused(pages: list[Any], whole: list[Any]) -> tuple[str, ...]:
    reduced = len(pages) - len(whole)
    inside = sum(len(page.tags[_SUB_IFDS].value) if isinstance(page.tags[_SUB_IFDS].value, tuple)
                 else 1 for page in whole if _SUB_IFDS in page.tags)  # fmt: skip
    words = []
    if reduced:
        words.append(f"{reduced} reduced cop{'y' if reduced == 1 else 'ies'}")
    if inside:
        words.append(f"{inside} sub-image{'' if inside == 1 else 's'} of pages")
    return tuple(words)
