"""CPTV, the recordings of the Cacophony Project's thermal cameras.

Its published format (go-cptv, ``SPECv2.md`` and ``compress.go``) is small: a gzip stream of one
header and frames, each of named fields and of samples that are differences from the frame before,
along a path that turns at the end of every row. It is read here and not by the package ``cptv``,
which trusts every size that a file states.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from tirtrack.errors import FrameError
from tirtrack.formats.frame_file import FrameFile, check_size, damaged_file, in_words
from tirtrack.formats.pixel_samples import pick_samples
from tirtrack.read_options import ReadOptions

__all__ = ["GZIP_MAGIC", "opened_cptv"]

GZIP_MAGIC = b"\x1f\x8b"
_MAGIC = b"CPTV"
_VERSIONS = (1, 2)
_MAX_BIT_WIDTH = 32
_MAX_PIXELS = 2_000_000  # per frame; the largest of its cameras has 20 thousand
_MAX_BYTES = 4_000_000_000  # of a whole recording, unpacked
_GZIP_ERRORS = (OSError, EOFError, zlib.error, struct.error, IndexError, KeyError)
_NUMBERS = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class _Packed:
    """A frame as stored."""

    bit_width: int
    content: bytes
    time_ms: int
    is_background: bool


@contextmanager
def opened_cptv(path: Path, options: ReadOptions) -> Iterator[FrameFile]:
    """A recording; every frame is unpacked once to count the complete ones.

    Raises:
        FrameError: it is no CPTV, damaged before its first frame, or its frames are too large.
    """
    header, count, times_ms, background, fault = _scan(path)
    width, height = _size_wh(header, path)
    stepper = _Stepper(path, (height, width))
    fps = _rate(times_ms)
    yield FrameFile(
        kind="CPTV",
        count=count,
        header=in_words(width, height, 1, "uint16"),
        decode=lambda index: pick_samples(stepper.frame(index), options, path),
        unused=("the background frame",) if background else (),
        fps=fps,
        times_s=tuple((time_ms - times_ms[0]) / 1000 for time_ms in times_ms) if fps else None,
        fault=fault,
    )


def _scan(path: Path) -> tuple[dict[str, bytes], int, list[int], bool, FrameError | None]:
    """Header, number of complete frames, their times, whether a background is there, last error."""
    times_ms: list[int] = []
    background = False
    with gzip.open(path) as opened:
        header = _header(opened, path)
        shape = _size_wh(header, path)
        try:
            for packed in _packed(opened, shape[0] * shape[1]):
                background |= packed.is_background
                if not packed.is_background:
                    times_ms.append(packed.time_ms)
        except _GZIP_ERRORS as error:
            if not times_ms:
                raise damaged_file("recording", error, path) from error
            return (
                header,
                len(times_ms),
                times_ms,
                background,
                _ends_early(path, len(times_ms), error),
            )
    if not times_ms:
        raise FrameError("the recording has no frame", path, "copy it again or remove it")
    return header, len(times_ms), times_ms, background, None


def _ends_early(path: Path, count: int, error: Exception) -> FrameError:
    return FrameError(
        f"the recording ends early ({error})",
        f"{path}, frame {count}",
        "copy it again; the frames before are good",
    )


def _header(opened: _Readable, path: Path) -> dict[str, bytes]:
    try:
        if opened.read(4) != _MAGIC:
            raise FrameError(
                "a gzip file that holds no CPTV recording", path, "unpack it with gunzip"
            )
        version = opened.read(1)[0]
        if version not in _VERSIONS:
            raise FrameError(f"CPTV of version {version}", path, "versions 1 and 2 can be read")
        if opened.read(1) != b"H":
            raise ValueError("no header")
        return _fields(opened)
    except FrameError:
        raise
    except (*_GZIP_ERRORS, ValueError) as error:
        raise damaged_file("recording", error, path) from error


def _fields(opened: _Readable) -> dict[str, bytes]:
    """The named fields of a section."""
    fields: dict[str, bytes] = {}
    for _ in range(opened.read(1)[0]):
        length, code = struct.unpack("<Bc", opened.read(2))
        fields[code.decode("latin-1")] = _exactly(opened, length)
    return fields


def _exactly(opened: _Readable, count: int) -> bytes:
    content = opened.read(count)
    if len(content) < count:
        raise EOFError(f"{len(content)} of {count} bytes")
    return content


def _number(fields: dict[str, bytes], code: str, default: int | None = None) -> int:
    if code not in fields and default is not None:
        return default
    content = fields[code]
    return int(struct.unpack(_NUMBERS[len(content)], content)[0])


def _size_wh(header: dict[str, bytes], path: Path) -> tuple[int, int]:
    try:
        width, height = _number(header, "X"), _number(header, "Y")
        if _number(header, "C") != 1:
            raise FrameError(f"CPTV of compression {_number(header, 'C')}", path, "1 can be read")
    except (KeyError, struct.error) as error:
        raise damaged_file("recording", f"its header lacks {error}", path) from error
    check_size(width, height, path)
    if width * height > _MAX_PIXELS:
        raise FrameError(f"frames of {width}x{height} are of no CPTV camera", path, "copy it again")
    return width, height


def _packed(opened: _Readable, pixels: int) -> Iterator[_Packed]:
    """The frames as stored, to the end of the file."""
    read = 0
    while section := opened.read(1):
        if section != b"F":
            raise OSError(f"an unknown section {section!r}")
        fields = _fields(opened)
        bit_width, size = _number(fields, "w"), _number(fields, "f")
        if not 0 < bit_width <= _MAX_BIT_WIDTH or size > 8 + pixels * _MAX_BIT_WIDTH // 8:
            raise OSError(f"a frame of {size} bytes, {bit_width} bits each")
        read += size
        if read > _MAX_BYTES:
            raise OSError(f"more than {_MAX_BYTES // 1_000_000_000} GB unpacked")
        yield _Packed(
            bit_width,
            _exactly(opened, size),
            _number(fields, "t", 0),
            bool(_number(fields, "g", 0)),
        )


def _rate(times_ms: list[int]) -> float | None:
    span_ms = times_ms[-1] - times_ms[0]
    return 1000.0 * (len(times_ms) - 1) / span_ms if span_ms > 0 else None


class _Stepper:
    """Decodes frames in order; each is stored as its difference from the one before."""

    def __init__(self, path: Path, shape_hw: tuple[int, int]) -> None:
        self._path = path
        self._shape_hw = shape_hw
        self._next = 0
        self._frames: Iterator[np.ndarray] = iter(())

    def frame(self, index: int) -> np.ndarray:
        """``[H,W]`` uint16."""
        if index < self._next or self._next == 0:
            self._frames, self._next = self._all(), 0
        try:
            for _ in range(index - self._next):
                next(self._frames)
            self._next = index + 1
            return next(self._frames)
        except (*_GZIP_ERRORS, StopIteration, ValueError) as error:
            raise damaged_file("frame", error, f"{self._path}, frame {index}") from error

    def _all(self) -> Iterator[np.ndarray]:
        height, width = self._shape_hw
        path_of_rows = _turning_path(height, width)
        values = np.zeros(height * width, np.int64)
        with gzip.open(self._path) as opened:
            _header(opened, self._path)
            for packed in _packed(opened, height * width):
                values = values + np.cumsum(_differences(packed, height * width))
                if not packed.is_background:
                    yield values[path_of_rows].astype(np.uint16)


def _turning_path(height: int, width: int) -> np.ndarray:
    """``[H,W]`` place of every pixel on a path that goes left to right and back, row by row."""
    places = np.arange(height * width).reshape(height, width)
    places[1::2] = places[1::2, ::-1]
    return places


def _differences(packed: _Packed, count: int) -> np.ndarray:
    """``[count]`` int64: a first value of 32 bits, then signed numbers of the frame's bit width."""
    first = struct.unpack("<i", packed.content[:4])[0]
    stream = np.unpackbits(np.frombuffer(packed.content, np.uint8, offset=4))
    bits = stream[: (count - 1) * packed.bit_width].reshape(count - 1, packed.bit_width)
    weights = 1 << np.arange(packed.bit_width - 1, -1, -1, dtype=np.int64)
    weights[0] = -weights[0]
    return np.concatenate([[first], bits @ weights])
