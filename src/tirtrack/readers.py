"""Readers of frames, one for each kind of source: image files, files of several frames, videos.

Each says what it holds (:class:`SourceInfo`) and hands out frames in order, a damaged one in its
place. ``media`` decides which of them reads a source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tirtrack.errors import FrameError
from tirtrack.formats.frame_file import FrameFile, in_words
from tirtrack.formats.pixel_samples import check_byte_order
from tirtrack.images import opened_image, pixel_header
from tirtrack.read_options import ByteOrder, NoData, ReadOptions
from tirtrack.source_line import counted, source_line, with_palette
from tirtrack.video import VideoFile

__all__ = [
    "BadFrame",
    "Frame",
    "FrameReader",
    "FramesOfFile",
    "ImageFiles",
    "SourceInfo",
    "VideoReader",
    "only_good",
]


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        image: ``[H,W]`` or ``[H,W,3]`` RGB, as stored (see the table of ``media``).
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
    """What is known about a source before it is read.

    Attributes:
        width: width in pixels, upright.
        height: height in pixels, upright.
        channels: number of channels, 1 or 3.
        dtype: number type of the images: ``uint8``, ``uint16``, ``float32``, ``float64``.
        is_video: whether times are known.
        fps: mean rate of a video, ``None`` for images.
        name: short name, for file names and messages.
        expected_frames: number of frames that the container or folder promises, for progress only:
            :func:`count_frames` counts them. ``None`` if nothing is promised (a stream).
        no_data: value of pixels that hold no measurement, as the user names it or the file
            declares it, or ``none`` as the user says; ``None`` if neither says anything.
        description: the source in one line: frames, size, depth, channels, rate, order of names,
            and unused parts.
        kind: kind of source, without numbers: ``PNG files``, ``TIFF file``, ``video``, ``stream``.
        order: rule of the order of files, in words; empty for one file.
        layout: further remarks on the frames, such as the codec or a palette.
        unused: parts of the file itself that are not read, in words.
    """

    width: int
    height: int
    channels: int
    dtype: str
    is_video: bool
    fps: float | None
    name: str
    expected_frames: int | None
    no_data: NoData | None = None
    description: str = ""
    kind: str = ""
    order: str = ""
    layout: str = ""
    unused: tuple[str, ...] = ()


class FrameReader(Protocol):
    """A source of frames that is found and checked, but not yet read."""

    def info(self) -> SourceInfo:
        """What is known of the source; its first frame is decoded."""

    def files(self) -> list[Path]:
        """The files behind the source, in order; empty for a stream."""

    def read(self, start: int, end: int | None) -> Iterator[Frame | BadFrame]:
        """The frames from ``start`` up to ``end``, damaged ones in their places."""


def only_good(found: Iterator[Frame | BadFrame]) -> Iterator[Frame]:
    """The frames up to the first damaged one, whose error is raised."""
    for item in found:
        if isinstance(item, BadFrame):
            raise item.error
        yield item


@dataclass
class _Uniform:
    """Raises at the first image that differs in size or depth from the first, or whose bytes are
    swapped.
    """

    options: ReadOptions
    first: np.ndarray | None = None

    def check(self, image: np.ndarray, where: object, declared: ByteOrder | None) -> None:
        if self.first is None:
            check_byte_order(image, declared, self.options, where)
            self.first = image
        elif (image.shape, image.dtype) != (self.first.shape, self.first.dtype):
            raise FrameError(
                f"the frame is {_describe(image)}, those before are {_describe(self.first)}",
                where,
                "give frames of one size and bit depth",
            )
        else:
            check_byte_order(image, declared, self.options, where, is_first=False)


def _describe(image: np.ndarray) -> str:
    samples = 1 if image.ndim == 2 else image.shape[2]
    return in_words(image.shape[1], image.shape[0], samples, image.dtype)


def _info_of(image: np.ndarray, name: str, **more: Any) -> SourceInfo:
    return SourceInfo(
        width=image.shape[1],
        height=image.shape[0],
        channels=1 if image.ndim == 2 else image.shape[2],
        dtype=str(image.dtype),
        name=name,
        **more,
    )


def _as_read(layout: str, options: ReadOptions, declared: ByteOrder | None) -> str:
    """The layout of the frames in the file, with the channel and byte order that were chosen."""
    parts = [layout] if layout else []
    if options.channel is not None and "channel" not in layout:
        parts.append(f"channel {options.channel} of every pixel")
    if options.byte_order not in (None, declared):
        parts.append("bytes swapped")
    return ", ".join(parts)


class ImageFiles:
    """Image files, one per frame.

    Args:
        paths: image files in order.
        name: name of the source.
        options: reading options, for what the files leave open.
        rule: rule of their order, in words; empty for one file.
        unused: parts of the folder that are not read, in words.
    """

    def __init__(
        self,
        paths: list[Path],
        name: str,
        options: ReadOptions,
        rule: str = "",
        unused: tuple[str, ...] = (),
    ) -> None:
        if not paths:
            raise FrameError("the list of frames is empty", fix="give at least one image file")
        for path in paths:
            if not path.is_file():
                raise FrameError("no such file", path, "check the path")
        self._paths = paths
        self._name = name
        self._options = options
        self._rule = rule
        self._unused = unused

    def files(self) -> list[Path]:
        """See :meth:`FrameReader.files`."""
        return list(self._paths)

    def info(self) -> SourceInfo:
        """See :meth:`FrameReader.info`."""
        first = self._paths[0]
        with opened_image(first, self._options) as file:
            image = _only_frame(file, first)
        _Uniform(self._options).check(image, first, file.byte_order)
        order = f" {self._rule} ({first.name} to {self._paths[-1].name})" if self._rule else ""
        layout = with_palette(_as_read(file.layout, self._options, file.byte_order), image)
        return _info_of(
            image,
            self._name,
            is_video=False,
            fps=None,
            expected_frames=len(self._paths),
            no_data=file.no_data,
            description=source_line(
                f"{counted(len(self._paths), f'{file.kind} file')}{order}",
                image,
                layout=layout,
                unused=(*file.unused, *self._unused),
            ),
            kind=f"{file.kind} {'files' if self._rule else 'file'}",
            order=self._rule,
            layout=layout,
            unused=file.unused,
        )

    def check_headers(self) -> None:
        """Refuse images that differ from the first by their headers.

        Raises:
            FrameError: names the first odd one.
        """
        first: str | None = None
        for path in self._paths:
            header = pixel_header(path, self._options)
            first = first or header
            if header is not None and header != first:
                raise FrameError(
                    f"the frame is {header}, those before are {first}",
                    path,
                    "give frames of one size and bit depth",
                )

    def read(self, start: int, end: int | None) -> Iterator[Frame | BadFrame]:
        """See :meth:`FrameReader.read`."""
        uniform = _Uniform(self._options)
        for index, path in list(enumerate(self._paths))[start:end]:
            try:
                with opened_image(path, self._options) as file:
                    image = _only_frame(file, path)
            except FrameError as error:
                yield BadFrame(index, None, path.name, error)
                continue
            uniform.check(image, path, file.byte_order)
            yield Frame(image, index, None, path.name)


def _only_frame(file: FrameFile, path: Path) -> np.ndarray:
    if file.count > 1:
        raise FrameError(
            f"holds {file.count} frames, one of several files must hold one",
            path,
            "give the file alone as the source",
        )
    return file.decode(0)


class FramesOfFile:
    """A file of several frames: pages, planes, pictures of an animation, an array."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._options = options

    def files(self) -> list[Path]:
        """See :meth:`FrameReader.files`."""
        return [self._path]

    def info(self) -> SourceInfo:
        """See :meth:`FrameReader.info`."""
        with opened_image(self._path, self._options) as file:
            first = file.decode(0)
            _Uniform(self._options).check(first, f"{self._path}, frame 0", file.byte_order)
        layout = with_palette(_as_read(file.layout, self._options, file.byte_order), first)
        return _info_of(
            first,
            self._path.stem,
            is_video=file.times_s is not None,
            fps=file.fps,
            expected_frames=file.count,
            no_data=file.no_data,
            description=source_line(
                f"{file.kind} file of {counted(file.count, 'frame')}",
                first,
                fps=file.fps,
                layout=layout,
                unused=file.unused,
            ),
            kind=f"{file.kind} file",
            layout=layout,
            unused=file.unused,
        )

    def read(self, start: int, end: int | None) -> Iterator[Frame | BadFrame]:
        """See :meth:`FrameReader.read`."""
        uniform = _Uniform(self._options)
        with opened_image(self._path, self._options) as file:
            for index in range(file.count)[start:end]:
                name, time_s = f"{self._path.name}#{index}", _time_of(file, index)
                try:
                    image = file.decode(index)
                except FrameError as error:
                    yield BadFrame(index, time_s, name, error)
                    continue
                uniform.check(image, f"{self._path}, frame {index}", file.byte_order)
                yield Frame(image, index, time_s, name)
            if file.fault is not None and (end is None or end > file.count):
                raise file.fault


def _time_of(file: FrameFile, index: int) -> float | None:
    return None if file.times_s is None else file.times_s[index]


class VideoReader:
    """A video file or stream."""

    def __init__(self, video: VideoFile, name: str, options: ReadOptions) -> None:
        self.location = video.location
        self._video = video
        self._name = name
        self._options = options
        self._first: np.ndarray | None = None

    @property
    def is_live(self) -> bool:
        """Whether the end of what was read last is a break."""
        return self._video.is_live

    def files(self) -> list[Path]:
        """See :meth:`FrameReader.files`."""
        return [] if self._video.path is None else [self._video.path]

    def info(self) -> SourceInfo:
        """Reads the first frame, unless frames were read already."""
        if self._first is None:
            next(only_good(self.read(0, 1)), None)
        if self._first is None:
            raise FrameError("no frame could be decoded", self._video.location)
        fps, promised = self._video.rate()
        kind = "stream" if self._video.path is None else "video"
        about = "" if self._video.is_counted else "about "
        frames_promised = f" of {about}{counted(promised, 'frame')}" if promised else ""
        coded, unused = self._video.kind_of_stream()
        coded = _as_read(coded, self._options, self._video.byte_order)
        layout = with_palette(coded, self._first)
        line = source_line(
            f"{kind}{frames_promised}", self._first, fps=fps, layout=layout, unused=unused
        )
        return _info_of(
            self._first,
            Path(self._name).stem,
            is_video=self._video.has_times,
            fps=fps,
            expected_frames=promised,
            no_data=self._options.no_data,
            description=line,
            kind=kind,
            layout=layout,
            unused=unused,
        )

    def read(self, start: int, end: int | None) -> Iterator[Frame | BadFrame]:
        """See :meth:`FrameReader.read`."""
        uniform = _Uniform(self._options)
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
            uniform.check(picture.image, where, self._video.byte_order)
            if self._first is None:
                self._first = picture.image
            yield Frame(picture.image, index, picture.time_s, name)
        if index < 0:
            raise FrameError("no frame could be decoded", self._video.location)
