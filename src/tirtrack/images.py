"""Files of frames by their content: which format they are, and how to open or refuse them.

This module knows single files; ``media`` makes sources of frames out of them. Every format has its
reader in ``formats``; what cannot be read is named (``formats.foreign``). Begin with
:func:`opened_image`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from tirtrack.errors import FrameError
from tirtrack.formats.arrays import NPY_MAGIC, opened_npy, opened_npz
from tirtrack.formats.cptv import GZIP_MAGIC, opened_cptv
from tirtrack.formats.foreign import refusal
from tirtrack.formats.frame_file import MAX_PIXELS, FrameFile, check_pixels
from tirtrack.formats.netpbm import MAGIC as NETPBM_MAGIC
from tirtrack.formats.netpbm import opened_netpbm
from tirtrack.formats.radiometric import opened_radiometric, radiometric_maker
from tirtrack.formats.raster import opened_raster
from tirtrack.formats.tiff import opened_tiff
from tirtrack.read_options import AS_STORED, Part, ReadOptions, refuse_options

__all__ = [
    "IMAGE_KINDS",
    "MAX_PIXELS",
    "PICTURE_SUFFIXES",
    "check_pixels",
    "frame_files",
    "image_kind",
    "opened_image",
    "pixel_header",
    "read_frame",
    "read_image",
]

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
"""Endings of ordinary pictures; a folder that holds such is read as a folder of them alone."""

IMAGE_KINDS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".mpo": "JPEG", ".png": "PNG", ".apng": "PNG", ".bmp": "BMP",
    ".tif": "TIFF", ".tiff": "TIFF", ".gif": "GIF", ".webp": "WEBP", ".jp2": "JP2", ".j2k": "JP2",
    ".jpx": "JP2", ".pgm": "PNM", ".ppm": "PNM", ".pbm": "PNM", ".pnm": "PNM", ".npy": "NPY",
    ".npz": "NPZ", ".cptv": "CPTV",
}  # fmt: skip
"""Endings of files that can be read, and their format."""

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"BM", "BMP"),
    (b"II*\x00", "TIFF"), (b"MM\x00*", "TIFF"), (b"II+\x00", "TIFF"), (b"MM\x00+", "TIFF"),
    (b"GIF87a", "GIF"), (b"GIF89a", "GIF"), (b"\0\0\0\x0cjP  \r\n", "JP2"),
    (b"\xffO\xffQ", "JP2"), (NPY_MAGIC, "NPY"), (GZIP_MAGIC, "CPTV"),
)  # fmt: skip
_ZIP_MAGIC = b"PK\x03\x04"
_READABLE = "JPEG, PNG, BMP, TIFF, GIF, WebP, JPEG 2000, PGM, PPM, NPY, NPZ, CPTV"
_USUAL_SUFFIX = {"JPEG": "jpg", "TIFF": "tiff", "PNM": "pgm"}


def read_image(path: str | Path, options: ReadOptions = AS_STORED) -> np.ndarray:
    """One image file at full bit depth, upright, RGB order.

    Of a radiometric JPEG this is the picture that viewers show, unless ``options.picture`` names
    another part.

    Args:
        path: a file of one frame.
        options: reading options, for what the file leaves open.

    Returns:
        ``[H,W]`` or ``[H,W,3]``, see the table of ``media``.

    Raises:
        FrameError: the file is missing, empty, truncated, damaged, of another format than its
            name says, larger than 100 million pixels, or holds several frames.
    """
    return _only_frame(Path(path), options, shown="palette")


def read_frame(path: str | Path, options: ReadOptions = AS_STORED) -> np.ndarray:
    """One file, read like one of a source of frames: as :func:`read_image`, but the counts of a
    radiometric JPEG, unless ``options.picture`` names another part.
    """
    return _only_frame(Path(path), options, shown="counts")


def _only_frame(path: Path, options: ReadOptions, shown: Part) -> np.ndarray:
    with opened_image(path, options, shown) as file:
        if file.count > 1:
            held = "pages" if file.kind == "TIFF" else "frames"
            raise FrameError(
                f"holds {file.count} {held}", path, "give the file itself as the source"
            )
        return file.decode(0)


@contextmanager
def opened_image(path: Path, options: ReadOptions, shown: Part = "counts") -> Iterator[FrameFile]:
    """A file of frames, opened by its content.

    Args:
        path: the file.
        options: reading options, for what the file leaves open.
        shown: part of a radiometric JPEG, if the options name none.

    Raises:
        FrameError: as :func:`read_image`, except that several frames are allowed.
    """
    kind = image_kind(path)
    with _opened(path, kind, options, options.picture or shown) as file:
        if file.count < 1:
            raise file.fault or FrameError("holds no frame", path, "copy it again or remove it")
        yield file


def _opened(
    path: Path, kind: str, options: ReadOptions, part: Part
) -> AbstractContextManager[FrameFile]:
    simple = {
        "TIFF": opened_tiff, "PNM": opened_netpbm, "NPY": opened_npy, "NPZ": opened_npz,
        "CPTV": opened_cptv,
    }  # fmt: skip
    is_asked = options.picture is not None or part != "palette"
    maker = radiometric_maker(path) if kind == "JPEG" and is_asked else None
    if maker is None:
        refuse_options(options, ["picture"], path)
    elif part != "palette":
        return opened_radiometric(path, maker, options)
    return simple[kind](path, options) if kind in simple else opened_raster(path, kind, options)


def frame_files(paths: Iterable[Path]) -> list[Path]:
    """The files of a folder that can be its frames, in the order given.

    Ordinary pictures, where there are any: an array or an animation beside them is something else.
    """
    known = [path for path in paths if path.suffix.lower() in IMAGE_KINDS and path.is_file()]
    return [path for path in known if path.suffix.lower() in PICTURE_SUFFIXES] or known


def image_kind(path: Path) -> str:
    """The format of an image file by content (``JPEG``, ``PNG``, ...).

    Raises:
        FrameError: missing, empty, not an image, or of another format than its name says.
    """
    head = _head(path)
    kind = _kind_of(head, path)
    if kind is None:
        raise refusal(path, head) or FrameError(
            f"not an image that can be read (begins with bytes {head[:8].hex(' ')})",
            path,
            f"give one of {_READABLE}",
        )
    named = IMAGE_KINDS.get(path.suffix.lower())
    if named != kind:
        suffix = _USUAL_SUFFIX.get(kind, kind.lower())
        raise FrameError(
            f"holds a {kind}, its name says {named or path.suffix or 'nothing'}",
            path,
            f"rename it to {path.stem}.{suffix}",
        )
    return kind


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            head = opened.read(16)
    except FileNotFoundError as error:
        raise FrameError("no such file", path, "check the path") from error
    except OSError as error:
        raise FrameError(f"could not be read ({error.strerror})", path) from error
    if not head:
        raise FrameError("the file is empty (0 bytes)", path, "copy it again or remove it")
    return head


def _kind_of(head: bytes, path: Path) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] in NETPBM_MAGIC and head[2:3] in b" \t\r\n#":
        return "PNM"
    if head.startswith(_ZIP_MAGIC) and path.suffix.lower() == ".npz":
        return "NPZ"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def pixel_header(path: Path, options: ReadOptions = AS_STORED) -> str | None:
    """Size, colour and depth of a file's frames without decoding, in words; ``None`` if damaged."""
    try:
        with opened_image(path, options) as file:
            return file.header
    except FrameError:
        return None
