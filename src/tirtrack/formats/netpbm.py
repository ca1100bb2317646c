"""PBM, PGM and PPM, plain and raw, one image or several in a row.

Samples come as stored, never scaled to the full range: a PGM with a maximum of 16383 holds counts.
The format is described by the Netpbm project (pages ``pgm``, ``ppm``, ``pbm``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tirtrack.errors import FrameError
from tirtrack.formats.frame_file import FrameFile, check_size, damaged_file, in_words
from tirtrack.formats.pixel_samples import in_byte_order, pick_samples
from tirtrack.read_options import ReadOptions

__all__ = ["MAGIC", "opened_netpbm"]

MAGIC = tuple(f"P{digit}".encode() for digit in range(1, 7))
_MAX_VALUE = 65535
_TOKEN = re.compile(rb"(?:\s|#[^\n\r]*[\n\r])*([^\s#]+)")


@dataclass(frozen=True)
class _Image:
    """One image of a file: where its samples begin, and how they lie."""

    kind: int  # the digit of its magic number
    width: int
    height: int
    max_value: int
    begin: int

    @property
    def samples(self) -> int:
        return 3 if self.kind in (3, 6) else 1

    @property
    def is_plain(self) -> bool:
        return self.kind <= 3

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(">u2" if self.max_value > 255 else "u1")

    @property
    def nbytes(self) -> int:
        if self.kind == 4:
            return (self.width + 7) // 8 * self.height
        return self.width * self.height * self.samples * self.dtype.itemsize


@contextmanager
def opened_netpbm(path: Path, options: ReadOptions) -> Iterator[FrameFile]:
    """A PBM, PGM or PPM file.

    Raises:
        FrameError: its header is damaged, or an image is too large.
    """
    content = path.read_bytes()
    images = _images(content, path)
    first = images[0]
    dtype = "uint16" if first.max_value > 255 else "uint8"

    def decode(index: int) -> np.ndarray:
        where = path if len(images) == 1 else f"{path}, image {index}"
        pixels = _pixels(content, images[index], where)
        if options.byte_order is None:
            _check_largest(pixels, images[index].max_value, where)
        return pick_samples(in_byte_order(pixels, "big", options), options, where)

    yield FrameFile(
        kind={1: "PGM", 3: "PPM"}[first.samples] if first.kind not in (1, 4) else "PBM",
        count=len(images),
        header=in_words(first.width, first.height, first.samples, dtype),
        decode=decode,
        byte_order="big" if first.max_value > 255 else None,
    )


def _images(content: bytes, path: Path) -> list[_Image]:
    """Every image of the file; the rasters of plain ones reach to its end."""
    images: list[_Image] = []
    at = 0
    while not images or content[at : at + 2] in MAGIC:
        where = f"{path}, image {len(images)}" if images else path
        image = _header(content, at, where)
        images.append(image)
        if image.is_plain:
            break
        end = image.begin + image.nbytes
        at = end + len(content[end : end + 64]) - len(content[end : end + 64].lstrip())
    return images


def _header(content: bytes, at: int, where: object) -> _Image:
    kind = content[at + 1] - ord("0")
    numbers: list[int] = []
    at += 2
    for _ in range(2 if kind in (1, 4) else 3):
        found = _TOKEN.match(content, at)
        if found is None or not found[1].isdigit() or len(found[1]) > 9:
            raise damaged_file("image", "its header is not that of a PGM", where)
        numbers.append(int(found[1]))
        at = found.end(1)
    width, height, *rest = numbers
    check_size(width, height, where)
    max_value = rest[0] if rest else 1
    if not 0 < max_value <= _MAX_VALUE:
        raise damaged_file("image", f"its largest value is said to be {max_value}", where)
    return _Image(kind, width, height, max_value, at + 1)


def _pixels(content: bytes, image: _Image, where: object) -> np.ndarray:
    shape = (image.height, image.width) + ((3,) if image.samples == 3 else ())
    if image.is_plain:
        flat = _plain_samples(content[image.begin :], image, where)
    else:
        raster = content[image.begin : image.begin + image.nbytes]
        if len(raster) < image.nbytes:
            raise damaged_file("image", f"{len(raster)} of {image.nbytes} bytes", where)
        if image.kind == 4:
            return _bitmap(raster, image)
        flat = np.frombuffer(raster, image.dtype)
    pixels = flat.reshape(shape).astype(image.dtype.newbyteorder("="))
    return (1 - pixels) * np.uint8(255) if image.kind == 1 else pixels


def _check_largest(pixels: np.ndarray, max_value: int, where: object) -> None:
    """Refuse counts that keep to the largest value of the header only with their bytes swapped."""
    if pixels.dtype == np.uint16 and pixels.max() > max_value >= pixels.byteswap().max():
        raise FrameError(
            f"its samples reach {pixels.max()}, the largest value is said to be {max_value}, and "
            "with their two bytes swapped they keep to it",
            where,
            "give --byte-order little to swap them, or --byte-order big to keep them",
        )


def _bitmap(raster: bytes, image: _Image) -> np.ndarray:
    rows = np.frombuffer(raster, np.uint8).reshape(image.height, -1)
    bits = np.unpackbits(rows, axis=1)[:, : image.width]
    return (1 - bits) * np.uint8(255)


def _plain_samples(text: bytes, image: _Image, where: object) -> np.ndarray:
    count = image.width * image.height * image.samples
    text = re.sub(rb"#[^\n\r]*", b" ", text)
    words = (
        [bytes([digit]) for digit in text if digit in b"01"] if image.kind == 1 else text.split()
    )
    if len(words) < count:
        raise damaged_file("image", f"{len(words)} of {count} samples", where)
    try:
        values = np.array(words[:count]).astype(np.int64)
    except ValueError as error:
        raise damaged_file("image", error, where) from error
    if values.min() < 0 or values.max() > image.max_value:
        raise FrameError(
            f"a sample of {values.max()} is above the largest value, {image.max_value}", where
        )
    return values
