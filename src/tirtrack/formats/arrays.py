"""NumPy arrays as frames: NPY and NPZ.

A pickle is never opened, and nothing is allocated before its size is checked. The shape says what
the axes are: ``[H,W]`` is a frame, ``[T,H,W]`` a stack, a last axis of 1, 3 or 4 holds the samples
of a pixel. Ambiguous shapes are refused.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from tirtrack.errors import FrameError
from tirtrack.formats.frame_file import (
    MAX_BYTES,
    FrameFile,
    check_pixels,
    damaged_file,
    in_words,
)
from tirtrack.formats.pixel_samples import common_dtype, in_byte_order, pick_samples
from tirtrack.read_options import ByteOrder, ReadOptions

__all__ = ["NPY_MAGIC", "check_axes", "opened_npy", "opened_npz"]

NPY_MAGIC = b"\x93NUMPY"
_SAMPLES = (1, 3, 4)
_NUMBERS = "buif"
_SENSORS_WH = frozenset({
    (80, 60), (160, 120), (206, 156), (240, 180), (256, 192), (320, 240), (320, 256), (336, 256),
    (384, 288), (464, 348), (640, 480), (640, 512), (720, 576), (1024, 768), (1280, 1024),
})  # fmt: skip
"""Usual sizes of thermal sensors."""
_AXES_FIX = (
    "save the first as [T,H,W,1], np.save(FILE, stack[..., None]), and the second as [T,H,W], "
    "np.save(FILE, np.moveaxis(stack, -1, 0)); or choose one of the last axis with --channel 0 to "
    "{last}"
)
_ARCHIVE_ERRORS = (ValueError, OSError, EOFError, KeyError, OverflowError, RuntimeError,
                   NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile)  # fmt: skip


@contextmanager
def opened_npy(path: Path, options: ReadOptions) -> Iterator[FrameFile]:
    """An array of a file, mapped into memory.

    Raises:
        FrameError: it is damaged, holds objects, or its shape fits no frames or is ambiguous.
    """
    with path.open("rb") as opened:
        shape, is_fortran, dtype = _header(opened, path)
        begin = opened.tell()
    _check_numbers(dtype, path)
    stack = _stacked(shape, options, path)
    room = (path.stat().st_size - begin) // max(dtype.itemsize, 1)
    present = stack[0] if room >= math.prod(shape) else _whole_frames(stack, room, is_fortran)
    if present == 0:
        raise damaged_file("array", f"{room} of {math.prod(shape)} values", path)
    stored = shape if present == stack[0] else (present, *shape[1:])
    order: Any = "F" if is_fortran else "C"
    array = np.memmap(path, dtype, "r", begin, stored, order)
    yield _frames_of(array.reshape(present, *stack[1:]), stack[0], path, options, stored=shape)


def _whole_frames(stack: tuple[int, ...], room: int, is_fortran: bool) -> int:  # noqa: FBT001
    """The number of complete frames in a truncated array; 0 in column order."""
    return 0 if is_fortran else room // math.prod(stack[1:])


@contextmanager
def opened_npz(path: Path, options: ReadOptions) -> Iterator[FrameFile]:
    """The one array of an archive that can be frames.

    Raises:
        FrameError: it is damaged, or holds no such array or several.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name: _member_header(archive, name, path) for name in archive.namelist()}
            pictures = [name for name, (shape, _, _) in arrays.items() if len(shape) >= 2]
            if len(pictures) != 1:
                names = ", ".join(Path(name).stem for name in (pictures or arrays))
                raise FrameError(
                    f"holds {len(pictures)} arrays that can be frames ({names})",
                    path,
                    "save the frames alone, as FILE.npy",
                )
            array = _member(archive, pictures[0], *arrays[pictures[0]], path)
    except FrameError:
        raise
    except _ARCHIVE_ERRORS as error:
        raise damaged_file("archive", error, path) from error
    stack = _stacked(array.shape, options, path)
    others = tuple(f"the array {Path(name).stem}" for name in arrays if name != pictures[0])
    yield _frames_of(
        array.reshape(stack), stack[0], path, options, stored=array.shape, unused=others
    )


def _member_header(
    archive: zipfile.ZipFile, name: str, path: Path
) -> tuple[tuple[int, ...], bool, np.dtype]:
    with archive.open(name) as opened:
        return _header(opened, path)


def _member(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    is_fortran: bool,  # noqa: FBT001
    dtype: np.dtype,
    path: Path,
) -> np.ndarray:
    _check_numbers(dtype, path)
    count = math.prod(shape)
    if count * dtype.itemsize > MAX_BYTES:
        raise FrameError(
            f"the array {list(shape)} takes {count * dtype.itemsize} bytes in memory",
            path,
            "save it as FILE.npy, which is read piece by piece",
        )
    with archive.open(name) as opened:
        _header(opened, path)
        content = opened.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise damaged_file("array", f"{len(content)} of {count * dtype.itemsize} bytes", path)
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")


def _header(opened: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(opened)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, is_fortran, dtype = read(opened)
    except Exception as error:  # numpy's parser fails in many ways, one for each kind of damage
        raise damaged_file("array", _first_line(error), path) from error
    return shape, is_fortran, dtype


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]


def _check_numbers(dtype: np.dtype, path: Path) -> None:
    if dtype.hasobject or dtype.kind not in _NUMBERS or dtype.shape:
        raise FrameError(
            f"holds {'Python objects' if dtype.hasobject else dtype}, no numbers of pixels",
            path,
            "save the frames as an array of uint8, uint16, float32 or float64",
        )


def _stacked(shape: tuple[int, ...], options: ReadOptions, path: Path) -> tuple[int, ...]:
    """The shape as ``(T,H,W)`` or ``(T,H,W,samples)``."""
    if len(shape) == 2:
        stack: tuple[int, ...] = (1, *shape)
    elif len(shape) == 3:
        stack = (1, *shape) if _ends_in_samples(shape, options) else shape
    elif len(shape) == 4 and _ends_in_samples(shape, options):
        stack = shape
    else:
        raise FrameError(
            f"an array {list(shape)} is neither a frame [H,W] nor a stack [T,H,W] or [T,H,W,3]",
            path,
            "save it in one of these shapes",
        )
    if 0 in stack:
        raise FrameError(f"the array {list(shape)} is empty", path, "save it again")
    if len(stack) == 3 and len(shape) == 3:
        check_axes(stack, path, _AXES_FIX.format(last=stack[2] - 1))
    check_pixels(stack[2], stack[1], path)
    return stack


def _ends_in_samples(shape: tuple[int, ...], options: ReadOptions) -> bool:
    """Whether the last axis holds samples; if a channel is named, any axis that may hold them."""
    if shape[-1] in _SAMPLES or options.channel is None or len(shape) > 3:
        return shape[-1] in _SAMPLES or options.channel is not None
    return _is_in_doubt(shape) or shape[-1] < min(shape[:2])


def _is_in_doubt(stack: tuple[int, ...]) -> bool:
    """Whether ``[T,H,W]`` looks more like ``[H,W,T]``."""
    first, second, last = stack
    is_sensor = (second, first) in _SENSORS_WH and (last, second) not in _SENSORS_WH
    is_turned = last < second and first <= second <= 2 * first
    return is_sensor or is_turned or 4 * last < second


def check_axes(stack: tuple[int, ...], path: Path, fix: str) -> None:
    """Refuse a stack that looks more like ``[H,W,T]`` than like ``[T,H,W]``.

    Args:
        stack: shape of the stack, as ``[T,H,W]``.
        path: the file.
        fix: advice on how to save either kind, for the message.

    Raises:
        FrameError: its axes are in doubt.
    """
    first, second, last = stack
    if _is_in_doubt(stack):
        raise FrameError(
            f"an array {list(stack)} may be {first} frames of {last}x{second} or {last} frames of "
            f"{second}x{first}",
            path,
            fix,
        )


def _frames_of(
    stack: np.ndarray,
    promised: int,
    path: Path,
    options: ReadOptions,
    *,
    stored: tuple[int, ...],
    unused: tuple[str, ...] = (),
) -> FrameFile:
    """Frames of an array ``[T,H,W]`` or ``[T,H,W,samples]``; ``stored``: its shape in the file."""
    count, height, width = stack.shape[:3]
    samples = stack.shape[3] if stack.ndim == 4 else 1
    declared: ByteOrder = "big" if stack.dtype.str[0] == ">" else "little"
    fault = None
    if count < promised:
        fault = FrameError(
            f"the array ends early ({count} of {promised} frames are whole)",
            f"{path}, frame {count}",
            "copy it again; the frames before are good",
        )

    def decode(index: int) -> np.ndarray:
        where = path if promised == 1 else f"{path}, frame {index}"
        pixels = stack[index].astype(stack.dtype.newbyteorder("="))
        pixels = in_byte_order(pixels, declared, options)
        return common_dtype(pick_samples(pixels, options, where))

    shown = common_dtype(np.zeros(1, stack.dtype)).dtype
    return FrameFile(
        kind="NumPy array",
        count=count,
        header=in_words(width, height, 1 if options.channel is not None else samples, shown),
        decode=decode,
        byte_order=declared if stack.dtype.itemsize > 1 else None,
        layout=f"{stack.dtype.name} {list(stored)}",
        unused=unused,
        fault=fault,
    )
