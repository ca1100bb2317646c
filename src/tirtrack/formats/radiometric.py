"""Radiometric JPEG: the counts and the visible picture inside, not the palette that viewers show.

FLIR cameras put a file of their own (FFF) into APP1 segments. Its layout is the one that ExifTool
documents (``FLIR.pm``): a directory of records, of which the raw thermal picture (type 1) and the
visible one (type 14) are read and nothing else. The known library for it, flyr, is under a copyleft
licence. DJI's counts are opened by DJI's own ``dji_irp``, where the user has it.
"""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from tirtrack.errors import FrameError
from tirtrack.formats.frame_file import FrameFile, check_size, damaged_file, in_words
from tirtrack.formats.pixel_samples import in_byte_order, is_swapped, pick_samples
from tirtrack.formats.raster import RASTER_ERRORS
from tirtrack.read_options import ByteOrder, ReadOptions

__all__ = ["camera_named", "opened_radiometric", "radiometric_maker"]

_FLIR = b"FLIR\0"
_RECORD = struct.Struct(">HHIIIIIII")
_COUNTS, _VISIBLE = 1, 14  # types of records
_HEADER_BYTES = 32  # of a record, before its picture
_DJI_TOOL = "dji_irp"
_DJI_TIME_LIMIT_S = 60.0
_EXIF_MAKE, _EXIF_MODEL = 0x010F, 0x0110
_SHOWN = 60  # letters of a camera's name
_APP1, _APP3 = 0xE1, 0xE3
_THERMAL_MAKERS = {
    "fluke": "SmartView or Fluke Connect", "testo": "testo IRSoft", "infiray": "InfiRay's program",
    "guide infrared": "Guide's ThermoTools", "guide sensmart": "Guide's ThermoTools",
    "hikmicro": "HIKMICRO Analyzer", "infratec": "IRBIS", "optris": "PIX Connect",
    "workswell": "Workswell CorePlayer", "seek thermal": "Seek's program",
    "topdon": "TOPDON's program", "avio": "InfReC Analyzer",
}  # fmt: skip
"""Makers of almost only thermal cameras, and what exports their counts."""

_OTHER_MAKERS = {
    "autel": "Autel's thermal tool", "yuneec": "Yuneec's program",
    "hikvision": "HIKMICRO Analyzer", "dahua": "Dahua's program", "bosch": "Bosch GTC Transfer",
    "uni-t": "UNI-T's program", "jenoptik": "VarioAnalyze",
}  # fmt: skip
"""Makers of other cameras too: their pictures are thermal only if they say so."""


@dataclass(frozen=True)
class _Segments:
    """What the application segments of a JPEG hold."""

    flir: bytes  # FLIR's file, joined from its segments
    app3_bytes: int
    make: str
    says_infrared: bool


def radiometric_maker(path: Path) -> str | None:
    """The maker of a JPEG that holds more than its picture: ``FLIR``, ``DJI``, another, or none.

    Raises:
        FrameError: the segments of FLIR are damaged.
    """
    segments = _segments(path)
    if segments.flir:
        return "FLIR"
    if segments.make.startswith("dji"):
        is_named = path.stem.upper().endswith(("_R", "_T"))
        return "DJI" if segments.app3_bytes or segments.says_infrared or is_named else None
    makers = [*_THERMAL_MAKERS, *(_OTHER_MAKERS if segments.says_infrared else ())]
    return next((maker for maker in makers if maker in segments.make), None)


def camera_named(path: Path) -> str:
    """Maker and model of the camera, as a JPEG names them; empty if it names none."""
    is_flir = False
    for marker, content in _app_segments(path):
        if marker == _APP1 and content.startswith(b"Exif\0") and (make := _make(content[6:])):
            return "".join(filter(str.isprintable, make))[:_SHOWN]
        is_flir |= marker == _APP1 and content.startswith(_FLIR)
    return "FLIR" if is_flir else ""


@contextmanager
def opened_radiometric(path: Path, maker: str, options: ReadOptions) -> Iterator[FrameFile]:
    """The counts or the visible picture of a radiometric JPEG.

    Args:
        path: a JPEG that holds them.
        maker: maker, as :func:`radiometric_maker` gives it.
        options: reading options, whose ``picture`` names the part; ``None``: the counts.

    Raises:
        FrameError: it holds no such part, the part is damaged, or a tool that it needs is missing.
    """
    if maker == "FLIR":
        yield _flir(path, options)
    elif maker == "DJI" and options.picture != "visible":
        yield _dji(path, options)
    else:
        tool = (_THERMAL_MAKERS | _OTHER_MAKERS).get(maker, "the program of its maker")
        raise FrameError(
            f"a radiometric JPEG of {maker.capitalize()}, whose counts cannot be read",
            path,
            f"export it with {tool} as 16-bit TIFF, or give --picture palette for the picture as "
            "it is shown",
        )


# segments of a JPEG ------------------------------------------------------------------------------


def _segments(path: Path) -> _Segments:
    flir: dict[int, bytes] = {}
    app3_bytes, make, says_infrared, last = 0, "", False, 0
    for marker, content in _app_segments(path):
        if marker == _APP1 and content.startswith(_FLIR) and len(content) > 8:
            flir[content[6]], last = content[8:], content[7]
        elif marker == _APP1 and content.startswith(b"Exif\0"):
            make = make or _make(content[6:])
        elif marker == _APP1:
            says_infrared |= b"InfraredCamera" in content
        elif marker == _APP3:
            app3_bytes += len(content)
    if flir and sorted(flir) != list(range(last + 1)):
        raise damaged_file("image", f"{len(flir)} of {last + 1} FLIR segments", path)
    whole = b"".join(flir[number] for number in sorted(flir))
    return _Segments(whole, app3_bytes, make.lower(), says_infrared)


def _app_segments(path: Path) -> Iterator[tuple[int, bytes]]:
    """Marker and content of the segments before the picture; ends where they are damaged."""
    with path.open("rb") as opened:
        opened.seek(2)
        while True:
            head = opened.read(4)
            if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA:
                return
            length = struct.unpack(">H", head[2:])[0]
            if length < 2:
                return
            if 0xE0 <= head[1] <= 0xEF:
                yield head[1], opened.read(length - 2)
            else:
                opened.seek(length - 2, io.SEEK_CUR)


def _make(content: bytes) -> str:
    exif = Image.Exif()
    try:
        exif.load(b"Exif\0\0" + content)
        return f"{exif.get(_EXIF_MAKE, '')} {exif.get(_EXIF_MODEL, '')}".replace("\0", "").strip()
    except RASTER_ERRORS:
        return ""


# FLIR --------------------------------------------------------------------------------------------


def _flir(path: Path, options: ReadOptions) -> FrameFile:
    records = _records(_segments(path).flir, path)
    wanted = _VISIBLE if options.picture == "visible" else _COUNTS
    if wanted not in records:
        part = "visible picture" if wanted == _VISIBLE else "counts"
        raise FrameError(
            f"a FLIR JPEG without {part}",
            path,
            "give --picture palette for the picture as it is shown",
        )
    sizes = {kind: _size_wh(record, path) for kind, record in records.items()}
    width, height = sizes[wanted]
    check_size(width, height, path)
    others = [f"the {'visible picture' if kind == _VISIBLE else 'counts'} {size[0]}x{size[1]}"
              for kind, size in sizes.items() if kind != wanted]  # fmt: skip
    is_raw = wanted == _COUNTS

    def decode(index: int) -> np.ndarray:
        del index
        picture = records[wanted][_HEADER_BYTES:]
        if is_raw:
            counts = _flir_counts(picture, records[wanted], options, path)
            return pick_samples(counts, options, path)
        return pick_samples(_decoded(picture, path), options, path)

    return FrameFile(
        kind="FLIR radiometric JPEG",
        count=1,
        header=in_words(width, height, 1 if is_raw else 3, "uint16" if is_raw else "uint8"),
        decode=decode,
        byte_order="big" if is_raw else None,
        layout="the raw 16-bit counts" if is_raw else "the visible picture",
        unused=(*others, "the palette picture"),
    )


def _records(content: bytes, path: Path) -> dict[int, bytes]:
    """The pictures in FLIR's file, by type."""
    try:
        if content[:4] not in (b"FFF\0", b"AFF\0"):
            raise ValueError("no FFF in the FLIR segments")
        order = ">" if 100 <= struct.unpack_from(">I", content, 0x14)[0] < 200 else "<"
        begin, count = struct.unpack_from(f"{order}II", content, 0x18)
        form = struct.Struct(order + _RECORD.format[1:])
        found: dict[int, bytes] = {}
        for number in range(min(count, 1000)):
            kind, _, _, _, at, length, *_ = form.unpack_from(content, begin + number * form.size)
            if kind in (_COUNTS, _VISIBLE) and length > _HEADER_BYTES and kind not in found:
                if at + length > len(content):
                    raise ValueError("a record reaches beyond the end")
                found[kind] = content[at : at + length]
    except (struct.error, ValueError) as error:
        raise damaged_file("FLIR data", error, path) from error
    return found


def _order_of(record: bytes) -> str:
    """Byte order of a record's numbers: its first one is 2."""
    return "<" if record[:2] == b"\x02\0" else ">"


def _size_wh(record: bytes, path: Path) -> tuple[int, int]:
    picture = record[_HEADER_BYTES:]
    try:
        if picture.startswith((b"\x89PNG", b"\xff\xd8")):
            return _opened(picture).size
        width, height = struct.unpack_from(f"{_order_of(record)}HH", record, 2)
    except (*RASTER_ERRORS, struct.error) as error:
        raise damaged_file("FLIR data", error, path) from error
    return int(width), int(height)


def _flir_counts(picture: bytes, record: bytes, options: ReadOptions, path: Path) -> np.ndarray:
    """``[H,W]`` uint16. FLIR stores little-endian counts in PNG, whose own order is big-endian."""
    width, height = _size_wh(record, path)
    if picture.startswith(b"\x89PNG"):
        stored = _decoded(picture, path)
        if stored.ndim != 2 or stored.shape != (height, width):
            raise damaged_file("FLIR data", f"counts of shape {list(stored.shape)}", path)
        counts = stored.astype(np.uint16)
        if options.byte_order is not None:
            return in_byte_order(counts, "big", options)
        return counts if is_swapped(counts.byteswap()) else counts.byteswap()
    if len(picture) < 2 * width * height:
        raise damaged_file("FLIR data", f"{len(picture)} of {2 * width * height} bytes", path)
    order = _order_of(record)
    counts = np.frombuffer(picture, f"{order}u2", width * height).reshape(height, width)
    declared: ByteOrder = "little" if order == "<" else "big"
    return in_byte_order(counts.astype(np.uint16), declared, options)


def _decoded(picture: bytes, path: Path) -> np.ndarray:
    """A PNG or JPEG that lies in a record."""
    try:
        opened = _opened(picture)
        check_size(*opened.size, path)
        opened.load()
        return np.asarray(opened if opened.mode.startswith(("I", "L")) else opened.convert("RGB"))
    except FrameError:
        raise
    except RASTER_ERRORS as error:
        raise damaged_file("FLIR data", error, path) from error


def _opened(picture: bytes) -> ImageFile.ImageFile:
    is_png = picture.startswith(b"\x89PNG")
    return (PngImageFile if is_png else JpegImageFile)(io.BytesIO(picture))


# DJI ---------------------------------------------------------------------------------------------


def _dji(path: Path, options: ReadOptions) -> FrameFile:
    tool = shutil.which(_DJI_TOOL)
    if tool is None:
        raise FrameError(
            f"a radiometric JPEG of DJI, whose temperatures only DJI's {_DJI_TOOL} reads",
            path,
            f"put {_DJI_TOOL} of the DJI Thermal SDK on the PATH, or give --picture palette for "
            "the picture as it is shown",
        )
    celsius = _measured(tool, path)
    height, width = celsius.shape
    return FrameFile(
        kind="DJI radiometric JPEG",
        count=1,
        header=in_words(width, height, 1, "float32"),
        decode=lambda _: pick_samples(celsius, options, path),
        layout=f"temperatures in Celsius by {_DJI_TOOL}",
        unused=("the palette picture",),
    )


def _measured(tool: str, path: Path) -> np.ndarray:
    """``[H,W]`` float32, degrees Celsius."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measure.raw"
        line = [tool, "-s", str(path), "-a", "measure", "-o", str(out), "--measurefmt", "float32"]
        try:
            done = subprocess.run(
                line, capture_output=True, timeout=_DJI_TIME_LIMIT_S, check=False, text=True
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FrameError(f"{_DJI_TOOL} failed ({error})", path, "try it by hand") from error
        if done.returncode != 0 or not out.is_file():
            said = (done.stderr or done.stdout).strip().split("\n")[-1]
            raise FrameError(
                f"{_DJI_TOOL} ended with {done.returncode} ({said})", path, "try it by hand"
            )
        content = out.read_bytes()
    return _as_picture(content, path)


def _as_picture(content: bytes, path: Path) -> np.ndarray:
    """Celsius of what the tool wrote: float32, or tenths in int16; as large as the JPEG or half."""
    with Image.open(path) as opened:
        width, height = opened.size
    for wide, high in ((width, height), (width // 2, height // 2)):
        if len(content) == 4 * wide * high:
            return np.frombuffer(content, "<f4").reshape(high, wide).astype(np.float32)
        if len(content) == 2 * wide * high:
            return np.frombuffer(content, "<i2").reshape(high, wide).astype(np.float32) / 10
    raise FrameError(
        f"{_DJI_TOOL} gave {len(content)} bytes, which fit no picture of {width}x{height}", path
    )
