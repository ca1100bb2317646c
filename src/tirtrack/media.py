"""Frames in and out: image files, multi-frame files, folders, globs, video files and streams.

Everything is read at full bit depth and handed out as it was stored; ``thermal`` turns 16-bit
counts into grey levels. Damage is found and named (file and frame), never hidden; if a source
leaves something open, the error names the option that decides. This module knows nothing of boxes
or trackers. Begin with :func:`frames`.

What an array looks like:

=====================================  ===========================================================
source                                 image
=====================================  ===========================================================
grey image (8 or 16 bit, float)        ``[H,W]`` uint8, uint16, float32 or float64
colour or palette image                ``[H,W,3]`` RGB, uint8 or uint16; constant alpha is dropped
video with pixel format ``gray*``      ``[H,W]`` uint8 or uint16, sample values unscaled
any other video                        ``[H,W,3]`` uint8 RGB, also where only Y carries a picture
=====================================  ===========================================================

Rotation tags of videos and EXIF orientation of images are honoured: what comes out is upright.
"""

from __future__ import annotations

import glob
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tirtrack.errors import FrameError
from tirtrack.formats.foreign import foreign_format, refusal
from tirtrack.formats.frame_file import FrameFile, in_words
from tirtrack.formats.samples import check_byte_order
from tirtrack.frame_order import ORDER_RULES, in_order
from tirtrack.images import (
    IMAGE_KINDS,
    PICTURE_SUFFIXES,
    frame_files,
    opened_image,
    pixel_header,
    read_frame,
    read_image,
)
from tirtrack.inputs import RAW_SUFFIXES, file_input, stream_input
from tirtrack.live import LiveFrames
from tirtrack.read_options import AS_STORED, ByteOrder, NoData, ReadOptions, refuse_options
from tirtrack.source_line import counted, source_line, with_palette
from tirtrack.video import VIDEO_SUFFIXES, VideoFile, VideoWriter

__all__ = [
    "BadFrame",
    "Frame",
    "ReadOptions",
    "SourceInfo",
    "VideoWriter",
    "count_frames",
    "declared_no_data",
    "frames",
    "frames_and_faults",
    "probe",
    "read_frame",
    "read_image",
    "source_files",
]

Source = str | Path | Sequence[str | Path]
_OF_RAW_FRAMES = ("size_wh", "pixel_format")
_CONTAINERS = frozenset({"TIFF", "NumPy array", "CPTV"})  # whose frames have a place in the file


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


def frames(
    source: Source,
    *,
    start: int = 0,
    end: int | None = None,
    options: ReadOptions = AS_STORED,
) -> Iterator[Frame]:
    """The frames of a source in order; a damaged one raises, after all frames before it.

    Args:
        source: a video, an image, a file of several (TIFF, NPY, CPTV, GIF, ...), a folder of images
            (natural order of the numbers in their names, see ``frame_order``), a glob, a list of
            image files (order kept), or a live source: the address of a stream (``rtsp://...``),
            ``camera:0``, a named pipe, ``-`` for raw frames on stdin. The wait for it can be
            interrupted, and ends after a minute.
        start: index of the first frame that is handed out.
        end: index after the last one; ``None`` for all. A video that ends too early is only
            noticed when read to its end.
        options: reading options, for what the source leaves open.

    Raises:
        FrameError: at once when the source cannot be opened or is ambiguous; while
            reading, with file and frame, when a frame is damaged, has another size or depth than
            the first, or the source ends early.
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


def probe(
    source: Source, options: ReadOptions = AS_STORED, *, first_only: bool = False
) -> SourceInfo:
    """Size, type and rate of a source; decodes its first frame, reads the headers of all images.

    Args:
        source: source, as for :func:`frames`.
        options: reading options, for what the source leaves open.
        first_only: whether to open only the first of several files.

    Raises:
        FrameError: it cannot be opened, its first frame is damaged, or images differ in size or
            depth (names the first odd one).
    """
    stream = stream_of(source, options)
    if stream is None:
        info = _open(source, options).info(first_only=first_only)
        return info if options.no_data is None else replace(info, no_data=options.no_data)
    for _ in _only_good(_within_limits(stream, 0, 1)):
        pass
    return stream.info()


def count_frames(source: Source, options: ReadOptions = AS_STORED) -> int:
    """The number of frames that can be decoded; found by decoding them, never from a header.

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
        FrameError: the request is invalid; nothing is opened yet.
    """
    given = stream_input(source, options)
    if given is not None:
        refuse_options(options, ("order", "picture"), given.location)
    return None if given is None else _Video(VideoFile(given, options), given.name, options)


def _within_limits(stream: _Video, start: int, end: int | None) -> Iterator[Frame | BadFrame]:
    """Frames of a stream; the wait for them can be interrupted, and lasts a minute at most."""
    read = partial(stream.read, start, end)
    with LiveFrames(read, name=stream.location, policy="all") as live:
        for one in live:
            yield one.item


class _Reader(Protocol):
    def info(self, *, first_only: bool = False) -> SourceInfo: ...

    def files(self) -> list[Path]: ...

    def read(self, start: int, end: int | None) -> Iterator[Frame | BadFrame]: ...


def _open(source: Source, options: ReadOptions) -> _Reader:
    """The reader of a source; everything that needs no decoding is checked here."""
    if not isinstance(source, str | Path):
        refuse_options(options, ("order", *_OF_RAW_FRAMES), "the list of files")
        return _ImageFiles([Path(path) for path in source], "list", options, "in the order given")
    stream = stream_of(source, options)
    if stream is not None:
        return stream
    text = str(source)
    if not text.strip():
        raise FrameError("an empty text names no source", fix='give a path ("." is this folder)')
    path = Path(source)
    if path.suffix.lower() not in RAW_SUFFIXES | VIDEO_SUFFIXES:
        refuse_options(options, _OF_RAW_FRAMES, text)
    if path.is_dir():
        return _folder(path, options)
    if not path.exists() and glob.has_magic(text):
        matches = [Path(match) for match in glob.glob(text)]  # noqa: PTH207
        if not matches:
            raise FrameError("no file matches", text, "check the pattern, and quote it")
        if len(matches) > 1:
            ordered = in_order(matches, options.order, text)
            return _ImageFiles(ordered, path.parent.resolve().name, options, _rule(options))
        path, options = matches[0], replace(options, order=None)
    return _open_file(path, options)


def _folder(path: Path, options: ReadOptions) -> _ImageFiles:
    found, unused = _images_of_folder(path, options)
    return _ImageFiles(found, path.resolve().name, options, _rule(options), unused)


def _rule(options: ReadOptions) -> str:
    return ORDER_RULES[options.order or "natural"]


def _open_file(path: Path, options: ReadOptions) -> _Reader:
    if not path.exists():
        raise FrameError("no such file or folder", path, "check the path")
    suffix = path.suffix.lower()
    refuse_options(options, ["order"], path)
    if suffix in VIDEO_SUFFIXES | RAW_SUFFIXES:
        refuse_options(options, ["picture"], path)
        return _Video(VideoFile(file_input(path, options), options), path.name, options)
    if suffix not in IMAGE_KINDS:
        with path.open("rb") as opened:
            head = opened.read(16)
        raise refusal(path, head) or FrameError(
            f"neither a video nor an image by its name (begins with bytes {head[:8].hex(' ')})",
            path,
            "give a video, an image, a folder of frames or a multi-page TIFF",
        )
    with opened_image(path, options) as file:
        is_single = file.count == 1 and file.fault is None and file.kind not in _CONTAINERS
    return _ImageFiles([path], path.stem, options) if is_single else _FramesOfFile(path, options)


def _images_of_folder(folder: Path, options: ReadOptions) -> tuple[list[Path], tuple[str, ...]]:
    """The frames of a folder in order, and the other files in it in words."""
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise FrameError(f"the folder could not be read ({error.strerror})", folder) from error
    found = frame_files(entries)
    if not found:
        raise FrameError("no images in the folder", folder, _where_else(entries))
    _check_one_kind(found, folder)
    found = in_order(found, options.order, folder)
    by_stem: dict[str, Path] = {}
    for path in found:
        before = by_stem.setdefault(path.stem, path)
        if before != path:
            raise FrameError(
                f"{before.name} and {path.name} are the same frame twice",
                folder,
                "keep one of each pair",
            )
    return found, _others(entries, found)


def _others(entries: Sequence[Path], found: Sequence[Path]) -> tuple[str, ...]:
    """The files of a folder that are no frames, in words."""
    folders = sum(path.is_dir() for path in entries)
    files = len(entries) - folders - len(found)
    words = [(files, "other file"), (folders, "folder")]
    return tuple(counted(count, thing) for count, thing in words if count)


def _check_one_kind(found: Sequence[Path], folder: Path) -> None:
    """Refuse arrays beside pictures of another format: only one of them is the frames."""
    kinds = Counter(IMAGE_KINDS[path.suffix.lower()] for path in found)
    if len(kinds) > 1 and not PICTURE_SUFFIXES.issuperset(path.suffix.lower() for path in found):
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        suffix = found[0].suffix
        raise FrameError(
            f"the folder holds files of several formats ({counts})",
            folder,
            f"say which are the frames, such as {shlex.quote(f'{folder}/*{suffix}')}",
        )


def _where_else(entries: Sequence[Path]) -> str:
    videos = sorted(path for path in entries if path.suffix.lower() in VIDEO_SUFFIXES)
    if videos:
        return f"did you mean the video {videos[0]}?"
    for folder in sorted(path for path in entries if path.is_dir()):
        if any(path.suffix.lower() in IMAGE_KINDS for path in folder.iterdir()):
            return f"did you mean {folder}?"
    for path in sorted(entries):
        foreign = foreign_format(b"", path.suffix)
        if foreign is not None and path.is_file():
            return f"{path.name} is {foreign.name}: {foreign.fix}"
    others = sorted(IMAGE_KINDS.keys() - PICTURE_SUFFIXES)
    return (
        f"give a folder of {', '.join(sorted(PICTURE_SUFFIXES))} files (or {', '.join(others)}), "
        "or a video"
    )


def _only_good(found: Iterator[Frame | BadFrame]) -> Iterator[Frame]:
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


class _ImageFiles:
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
        return list(self._paths)

    def info(self, *, first_only: bool = False) -> SourceInfo:
        first = self._paths[0]
        with opened_image(first, self._options) as file:
            image = _only_frame(file, first)
        _Uniform(self._options).check(image, first, file.byte_order)
        if not first_only:
            self._check_headers()
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

    def _check_headers(self) -> None:
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


class _FramesOfFile:
    """A file of several frames: pages, planes, pictures of an animation, an array."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._options = options

    def files(self) -> list[Path]:
        return [self._path]

    def info(self, *, first_only: bool = False) -> SourceInfo:
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


class _Video:
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
        return [] if self._video.path is None else [self._video.path]

    def info(self, *, first_only: bool = False) -> SourceInfo:
        """Reads the first frame, unless frames were read already."""
        if self._first is None:
            next(_only_good(self.read(0, 1)), None)
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


def declared_no_data(path: Path, options: ReadOptions = AS_STORED) -> float | None:
    """The value that an image file declares for pixels without a measurement; ``None`` if it
    declares none, is no image that could, or is damaged, which reading it reports.
    """
    if IMAGE_KINDS.get(path.suffix.lower()) not in ("TIFF", "PNG"):
        return None
    try:
        with opened_image(path, options) as file:
            return file.no_data
    except FrameError:
        return None
