"""Frames in and out: image files, multi-frame files, folders, globs, video files and streams.

Everything is read at full bit depth and handed out as it was stored; ``thermal`` turns 16-bit
counts into grey levels. Damage is found and named (file and frame), never hidden; if a source
leaves something open, the error names the option that decides. This module finds the frames of a
source, ``readers`` reads them. Begin with :func:`frames`.

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
from dataclasses import replace
from functools import partial
from pathlib import Path

from tirtrack.errors import FrameError
from tirtrack.formats.foreign import foreign_format, refusal
from tirtrack.frame_order import ORDER_RULES, in_order
from tirtrack.images import (
    IMAGE_KINDS,
    PICTURE_SUFFIXES,
    frame_files,
    opened_image,
    read_frame,
    read_image,
)
from tirtrack.inputs import RAW_SUFFIXES, file_input, stream_input
from tirtrack.live import LiveFrames
from tirtrack.read_options import AS_STORED, ReadOptions, refuse_options
from tirtrack.readers import (
    BadFrame,
    Frame,
    FrameReader,
    FramesOfFile,
    ImageFiles,
    SourceInfo,
    VideoReader,
    only_good,
)
from tirtrack.source_line import counted
from tirtrack.video import VIDEO_SUFFIXES, VideoFile
from tirtrack.video_writer import VideoWriter

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
    return only_good(frames_and_faults(source, start=start, end=end, options=options))


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
        reader = _open(source, options)
        info = reader.info()
        if isinstance(reader, ImageFiles) and not first_only:
            reader.check_headers()
        return info if options.no_data is None else replace(info, no_data=options.no_data)
    for _ in only_good(_within_limits(stream, 0, 1)):
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


def stream_of(source: Source, options: ReadOptions = AS_STORED) -> VideoReader | None:
    """The reader of a source that may fall silent, ``None`` for files and folders.

    It blocks where it is read, so read it in a thread of its own (``live``).

    Raises:
        FrameError: the request is invalid; nothing is opened yet.
    """
    given = stream_input(source, options)
    if given is not None:
        refuse_options(options, ("order", "picture"), given.location)
    return None if given is None else VideoReader(VideoFile(given, options), given.name, options)


def _within_limits(stream: VideoReader, start: int, end: int | None) -> Iterator[Frame | BadFrame]:
    """Frames of a stream; the wait for them can be interrupted, and lasts a minute at most."""
    read = partial(stream.read, start, end)
    with LiveFrames(read, name=stream.location, policy="all") as live:
        for one in live:
            yield one.item


def _open(source: Source, options: ReadOptions) -> FrameReader:
    """The reader of a source; everything that needs no decoding is checked here."""
    if not isinstance(source, str | Path):
        refuse_options(options, ("order", *_OF_RAW_FRAMES), "the list of files")
        return ImageFiles([Path(path) for path in source], "list", options, "in the order given")
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
            return ImageFiles(ordered, path.parent.resolve().name, options, _rule(options))
        path, options = matches[0], replace(options, order=None)
    return _open_file(path, options)


def _folder(path: Path, options: ReadOptions) -> ImageFiles:
    found, unused = _images_of_folder(path, options)
    return ImageFiles(found, path.resolve().name, options, _rule(options), unused)


def _rule(options: ReadOptions) -> str:
    return ORDER_RULES[options.order or "natural"]


def _open_file(path: Path, options: ReadOptions) -> FrameReader:
    if not path.exists():
        raise FrameError("no such file or folder", path, "check the path")
    suffix = path.suffix.lower()
    refuse_options(options, ["order"], path)
    if suffix in VIDEO_SUFFIXES | RAW_SUFFIXES:
        refuse_options(options, ["picture"], path)
        return VideoReader(VideoFile(file_input(path, options), options), path.name, options)
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
    return ImageFiles([path], path.stem, options) if is_single else FramesOfFile(path, options)


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
