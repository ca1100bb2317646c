"""Frames in and out: image files, folders, globs, multi-page TIFF, video files and streams.

Everything is read at full bit depth and handed out as it was stored; making 16-bit counts
presentable is the business of ``thermal``. Damage is found and named (file and frame), never
papered over. This module knows nothing of boxes or trackers. Begin with :func:`frames`.

What an array looks like:

=====================================  ===========================================================
source                                 image
=====================================  ===========================================================
grey image (8 or 16 bit, float TIFF)   ``[H,W]`` uint8, uint16, float32 or float64
colour, palette or alpha image         ``[H,W,3]`` RGB (alpha is dropped), uint8 or uint16
video with pixel format ``gray*``      ``[H,W]`` uint8 or uint16, sample values unscaled
any other video                        ``[H,W,3]`` uint8 RGB, also where only Y carries a picture
=====================================  ===========================================================

Rotation tags of videos and EXIF orientation of images are honoured: what comes out is upright.
"""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tirtrack.errors import FrameError
from tirtrack.images import (
    IMAGE_KINDS,
    image_kind,
    opened_tiff,
    pixel_header,
    read_image,
    tiff_page,
)
from tirtrack.inputs import RAW_SUFFIXES, file_input, refuse_raw_options, stream_input
from tirtrack.live import LiveFrames
from tirtrack.read_options import AS_STORED, ReadOptions
from tirtrack.video import VIDEO_SUFFIXES, VideoFile, VideoWriter

__all__ = [
    "BadFrame",
    "Frame",
    "ReadOptions",
    "SourceInfo",
    "VideoWriter",
    "count_frames",
    "frames",
    "frames_and_faults",
    "probe",
    "read_image",
    "source_files",
]

Source = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        image: ``[H,W]`` or ``[H,W,3]`` RGB, as stored (see the table of this module).
        index: 0-based place in the source, counting damaged frames.
        time_s: presentation time as the video stores it; ``None`` for images.
        name: file name, with ``#index`` for a frame inside a file; for messages.
    """

    image: np.ndarray
    index: int
    time_s: float | None
    name: str


@dataclass(frozen=True)
class BadFrame:
    """A frame that could not be decoded, in its place in the source; ``error`` says why."""

    index: int
    time_s: float | None
    name: str
    error: FrameError


@dataclass(frozen=True)
class SourceInfo:
    """What a source says of itself before it is read.

    Attributes:
        width: pixels, upright.
        height: pixels, upright.
        channels: 1 or 3.
        dtype: of the images: ``uint8``, ``uint16``, ``float32``, ``float64``.
        is_video: whether times are known.
        fps: mean rate of a video, ``None`` for images.
        name: short, for file names and messages.
        expected_frames: how many frames the container or folder promises, for progress only:
            :func:`count_frames` knows. ``None`` where nothing is promised (a stream).
    """

    width: int
    height: int
    channels: int
    dtype: str
    is_video: bool
    fps: float | None
    name: str
    expected_frames: int | None


def frames(
    source: Source,
    *,
    start: int = 0,
    end: int | None = None,
    options: ReadOptions = AS_STORED,
) -> Iterator[Frame]:
    """The frames of a source in order; the first damaged one raises, after those before it came.

    Args:
        source: a video, an image, a multi-page TIFF, a folder of images (natural order of the
            numbers in their names), a glob, a list of image files (order kept), or what goes on by
            itself: the address of a stream (``rtsp://...``), ``camera:0``, a named pipe, ``-`` for
            raw frames on stdin. Waiting for it can be interrupted, and ends after a minute.
        start: index of the first frame that is handed out.
        end: index after the last one; ``None`` for all. A video that ends too early is only
            noticed when read to its end.
        options: what the source does not say of itself.

    Raises:
        FrameError: at once when the source cannot be opened; while reading, with file and frame,
            when a frame is damaged, has another size or depth than the first, or the video ends
            early.
    """
    return _only_good(frames_and_faults(source, start=start, end=end, options=options))


def frames_and_faults(
    source: Source,
    *,
    start: int = 0,
    end: int | None = None,
    options: ReadOptions = AS_STORED,
) -> Iterator[Frame | BadFrame]:
    """As :func:`frames`, but a damaged frame is handed out as :class:`BadFrame` and reading goes
    on. A change of size or depth and an early end still raise.
    """
    stream = stream_of(source, options)
    if stream is None:
        return _open(source, options).read(start, end)
    return _within_limits(stream, start, end)


def probe(source: Source, options: ReadOptions = AS_STORED) -> SourceInfo:
    """Size, type and rate of a source; its first frame is decoded, of images all headers are read.

    Raises:
        FrameError: it cannot be opened, its first frame is damaged, or images differ in size or
            depth (names the first odd one).
    """
    stream = stream_of(source, options)
    if stream is None:
        return _open(source, options).info()
    for _ in _only_good(_within_limits(stream, 0, 1)):
        pass
    return stream.info()


def count_frames(source: Source, options: ReadOptions = AS_STORED) -> int:
    """How many frames can be decoded; found by decoding them, never from a header.

    Raises:
        FrameError: as :func:`frames`.
    """
    return sum(1 for _ in frames(source, options=options))


def source_files(source: Source, options: ReadOptions = AS_STORED) -> list[Path]:
    """The files behind a source, in order; empty for a stream address.

    Raises:
        FrameError: the source cannot be found.
    """
    return _open(source, options).files()


def stream_of(source: Source, options: ReadOptions = AS_STORED) -> _Video | None:
    """The reader of a source that may fall silent, ``None`` for files and folders.

    It blocks where it is read, so read it in a thread of its own (``live``).

    Raises:
        FrameError: it cannot be asked for so; nothing is opened yet.
    """
    given = stream_input(source, options)
    return None if given is None else _Video(VideoFile(given), given.name)


def _within_limits(stream: _Video, start: int, end: int | None) -> Iterator[Frame | BadFrame]:
    """Frames of a stream; whoever waits for them can be interrupted, and does so for a minute."""
    read = partial(stream.read, start, end)
    with LiveFrames(read, name=stream.location, policy="all") as live:
        for one in live:
            yield one.item


class _Reader(Protocol):
    def info(self) -> SourceInfo: ...

    def files(self) -> list[Path]: ...

    def read(self, start: int, end: int | None) -> Iterator[Frame | BadFrame]: ...


def _open(source: Source, options: ReadOptions) -> _Reader:
    """The reader that fits; everything that needs no decoding is checked here."""
    if not isinstance(source, str | Path):
        return _ImageFiles([Path(path) for path in source], "list")
    stream = stream_of(source, options)
    if stream is not None:
        return stream
    text = str(source)
    path = Path(source)
    if path.suffix.lower() not in RAW_SUFFIXES:
        refuse_raw_options(options, text)
    if path.is_dir():
        return _ImageFiles(_images_of_folder(path), path.resolve().name)
    if not path.exists() and glob.has_magic(text):
        matches = sorted((Path(match) for match in glob.glob(text)), key=_natural)  # noqa: PTH207
        if not matches:
            raise FrameError("no file matches", text, "check the pattern, and quote it")
        if len(matches) > 1:
            return _ImageFiles(matches, path.parent.resolve().name)
        path = matches[0]
    return _open_file(path, options)


def _open_file(path: Path, options: ReadOptions) -> _Reader:
    if not path.exists():
        raise FrameError("no such file or folder", path, "check the path")
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES | RAW_SUFFIXES:
        return _Video(VideoFile(file_input(path, options)), path.name)
    if suffix not in IMAGE_KINDS:
        with path.open("rb") as opened:
            head = opened.read(8)
        raise FrameError(
            f"neither a video nor an image by its name (begins with bytes {head.hex(' ')})",
            path,
            "give a video, an image, a folder of frames or a multi-page TIFF",
        )
    if image_kind(path) == "TIFF":
        return _Pages(path)
    return _ImageFiles([path], path.stem)


def _natural(path: Path) -> tuple[Any, ...]:
    """Sorts ``2.png`` before ``10.png``, and never depends on the order of a folder."""
    parts = re.split(r"([0-9]+)", path.stem)
    numbers = [int(part) if place % 2 else part for place, part in enumerate(parts)]
    return (*numbers, "", path.name) if len(parts) % 2 == 0 else (*numbers, 0, path.name)


def _images_of_folder(folder: Path) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise FrameError(f"the folder could not be read ({error.strerror})", folder) from error
    found = [
        path
        for path in entries
        if path.suffix.lower() in IMAGE_KINDS and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        raise FrameError("no images in the folder", folder, _where_else(entries))
    found.sort(key=_natural)
    for before, after in itertools.pairwise(found):
        if before.stem == after.stem:
            raise FrameError(
                f"{before.name} and {after.name} are the same frame twice",
                folder,
                "keep one of each pair",
            )
    return found


def _where_else(entries: Sequence[Path]) -> str:
    videos = sorted(path for path in entries if path.suffix.lower() in VIDEO_SUFFIXES)
    if videos:
        return f"did you mean the video {videos[0]}?"
    for folder in sorted(path for path in entries if path.is_dir()):
        if any(path.suffix.lower() in IMAGE_KINDS for path in folder.iterdir()):
            return f"did you mean {folder}?"
    return f"give a folder of {', '.join(sorted(IMAGE_KINDS))} files, or a video"


def _only_good(found: Iterator[Frame | BadFrame]) -> Iterator[Frame]:
    for item in found:
        if isinstance(item, BadFrame):
            raise item.error
        yield item


@dataclass
class _Uniform:
    """Raises at the first image whose size or depth is not that of the first."""

    first: np.ndarray | None = None

    def check(self, image: np.ndarray, where: object) -> None:
        if self.first is None:
            self.first = image
        elif (image.shape, image.dtype) != (self.first.shape, self.first.dtype):
            raise FrameError(
                f"the frame is {_describe(image)}, those before are {_describe(self.first)}",
                where,
                "give frames of one size and bit depth",
            )


def _describe(image: np.ndarray) -> str:
    return (
        f"{image.shape[1]}x{image.shape[0]} {'grey' if image.ndim == 2 else 'colour'} {image.dtype}"
    )


def _info_of(image: np.ndarray, name: str, **more: Any) -> SourceInfo:
    return SourceInfo(
        width=image.shape[1],
        height=image.shape[0],
        channels=1 if image.ndim == 2 else image.shape[2],
        dtype=str(image.dtype),
        name=name,
        **more,
    )


class _ImageFiles:
    """Image files, one a frame."""

    def __init__(self, paths: list[Path], name: str) -> None:
        if not paths:
            raise FrameError("the list of frames is empty", fix="give at least one image file")
        for path in paths:
            if not path.is_file():
                raise FrameError("no such file", path, "check the path")
        self._paths = paths
        self._name = name

    def files(self) -> list[Path]:
        return list(self._paths)

    def info(self) -> SourceInfo:
        image = read_image(self._paths[0])
        self._check_headers()
        return _info_of(
            image, self._name, is_video=False, fps=None, expected_frames=len(self._paths)
        )

    def _check_headers(self) -> None:
        first: str | None = None
        for path in self._paths:
            header = pixel_header(path)
            first = first or header
            if header is not None and header != first:
                raise FrameError(
                    f"the frame is {header}, those before are {first}",
                    path,
                    "give frames of one size and bit depth",
                )

    def read(self, start: int, end: int | None) -> Iterator[Frame | BadFrame]:
        uniform = _Uniform()
        for index, path in list(enumerate(self._paths))[start:end]:
            try:
                image = read_image(path)
            except FrameError as error:
                yield BadFrame(index, None, path.name, error)
                continue
            uniform.check(image, path)
            yield Frame(image, index, None, path.name)


class _Pages:
    """A TIFF, one page a frame."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def files(self) -> list[Path]:
        return [self._path]

    def info(self) -> SourceInfo:
        with opened_tiff(self._path) as pages:
            first = tiff_page(pages[0], f"{self._path}, page 0")
            count = len(pages)
        return _info_of(first, self._path.stem, is_video=False, fps=None, expected_frames=count)

    def read(self, start: int, end: int | None) -> Iterator[Frame | BadFrame]:
        uniform = _Uniform()
        with opened_tiff(self._path) as pages:
            for index, page in list(enumerate(pages))[start:end]:
                name = f"{self._path.name}#{index}"
                where = f"{self._path}, page {index}"
                try:
                    image = tiff_page(page, where)
                except FrameError as error:
                    yield BadFrame(index, None, name, error)
                    continue
                uniform.check(image, where)
                yield Frame(image, index, None, name)


class _Video:
    """A video file or stream."""

    def __init__(self, video: VideoFile, name: str) -> None:
        self.location = video.location
        self._video = video
        self._name = name
        self._first: np.ndarray | None = None

    @property
    def is_live(self) -> bool:
        """Whether the end of what was read last is a break."""
        return self._video.is_live

    def files(self) -> list[Path]:
        return [] if self._video.path is None else [self._video.path]

    def info(self) -> SourceInfo:
        """Reads the first frame, unless frames were read already."""
        if self._first is None:
            next(_only_good(self.read(0, 1)), None)
        if self._first is None:
            raise FrameError("no frame could be decoded", self._video.location)
        fps, promised = self._video.rate()
        name = Path(self._name).stem
        is_video = self._video.has_times
        return _info_of(self._first, name, is_video=is_video, fps=fps, expected_frames=promised)

    def read(self, start: int, end: int | None) -> Iterator[Frame | BadFrame]:
        uniform = _Uniform()
        index = -1
        for index, picture in enumerate(self._video.pictures(skip=start)):
            if end is not None and index >= end:
                return
            if index < start:
                continue
            name, where = f"{self._name}#{index}", f"{self._video.location}, frame {index}"
            if picture.image is None:
                error = FrameError(picture.fault, where, "copy the video again, or cut it there")
                yield BadFrame(index, picture.time_s, name, error)
                continue
            uniform.check(picture.image, where)
            if self._first is None:
                self._first = picture.image
            yield Frame(picture.image, index, picture.time_s, name)
        if index < 0:
            raise FrameError("no frame could be decoded", self._video.location)
