"""Reads videos by PyAV: every picture decoded in order of presentation, upright, with its time.

A decoder conceals damage by default; here it is told not to, and what it cannot decode keeps its
place among the pictures. ``media`` makes sources of frames out of this; begin with
:class:`VideoFile`; ``video_writer`` writes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np

from tirtrack.errors import FrameError
from tirtrack.formats.pixel_samples import common_dtype, in_byte_order, pick_samples
from tirtrack.images import check_pixels
from tirtrack.inputs import Input, file_input, known_format
from tirtrack.read_options import AS_STORED, ByteOrder, ReadOptions

__all__ = ["VIDEO_SUFFIXES", "VideoFile", "VideoPicture", "short_reason", "upright_pixels"]

VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg",
    ".wmv", ".asf", ".flv", ".ogv", ".3gp", ".mjpg", ".mjpeg", ".y4m", ".h264", ".264", ".hevc",
    ".265", ".nut", ".mxf", ".ivf", ".m2v",
})  # fmt: skip
OPEN_WITHIN_S, READ_WITHIN_S = 70.0, 20.0  # over a network
_FASTEST_HZ = 1000  # above it a rate is doubted
_PACKED_COLOURS = ("rgb555", "rgb565", "bgr555", "bgr565", "rgb444", "bgr444")
_TICK_S = 1e-3
_NO_MORE_BYTES = "input/output error"  # FFmpeg, of a connection that ends before its length
# Where the size is that of a list or a description.
_PLAYLISTS = frozenset({"hls", "dash", "sdp", "rtsp"})
# Raw samples that FFmpeg has a decoder for and does not know by this name.
_RAW_CODES = {
    "Y16": "gray16le", "Y16[160]": "gray16be", "Y1[0][16]": "gray16le", "Y14": "gray14le",
    "Y12": "gray12le", "Y10": "gray10le", "BGR3": "bgr24", "RGB3": "rgb24",
}  # fmt: skip
_DUMPED = re.compile(
    r"Video: (?P<codec>[\w-]+)(?: \([^)]*\))*?(?: \((?P<code>.{4,}?) / 0x[0-9A-F]+\))?,"
    r"(?:.*?, (?P<width>[0-9]+)x(?P<height>[0-9]+))?"
)


@dataclass(frozen=True)
class VideoPicture:
    """A picture of a video, or the place of one that cannot be decoded.

    Attributes:
        image: ``[H,W]`` for streams of a ``gray*`` pixel format (samples as stored), else
            ``[H,W,3]`` uint8 RGB; ``None`` if it was skipped or cannot be decoded.
        time_s: presentation time as stored; ``None`` where the stream has none.
        fault: why it cannot be decoded; empty if it can.
    """

    image: np.ndarray | None
    time_s: float | None
    fault: str = ""


class VideoFile:
    """A video file, a stream, a camera, or raw frames.

    Args:
        source: path of a file, or the input to open.
        options: reading options, for what the source leaves open.

    Attributes:
        path: path of a file, ``None`` for anything else.
        location: address or path, for messages.
        is_live: whether the end of what was opened last is a break: a camera, or an address whose
            container and server promise no end; ``False`` until it is opened.
        has_times: whether its pictures have a time.
        byte_order: byte order of samples longer than a byte, as its pixel format declares it;
            ``None`` for others, and until a picture was decoded.
        is_counted: whether its container counts its frames; else they follow from its duration.

    Raises:
        FrameError: the file is empty.
    """

    def __init__(self, source: str | Path | Input, options: ReadOptions = AS_STORED) -> None:
        self._options = options
        self._input = source if isinstance(source, Input) else file_input(Path(source), options)
        self.path = self._input.path
        self.location = self._input.location
        self.is_live = False
        self.has_times = not self._input.is_raw
        self.byte_order: ByteOrder | None = None
        self.is_counted = False
        self._rate: tuple[float | None, int | None] | None = None
        self._raw_format = ""
        self._kind: tuple[str, tuple[str, ...]] = ("", ())

    def rate(self) -> tuple[float | None, int | None]:
        """Mean frames per second, and how many frames the container promises (for progress)."""
        if self._rate is None:
            with self._opened() as container:
                self._note(container, self._stream(container))
        return self._rate or (None, None)

    def _note(self, container: Any, stream: Any) -> None:
        """Keep what an open container says of its rate and its end."""
        self.is_live = self._input.is_camera or (
            self._input.is_address and not _has_end(container, stream)
        )
        rate = _plausible_rate(stream)
        promised = stream.frames
        self.is_counted = bool(promised)
        if not promised and container.duration and rate:
            promised = round(container.duration / 1e6 * float(rate))
        fps = float(rate) if rate and self.has_times else None
        self._rate = fps, None if self.is_live else promised or None
        context = stream.codec_context
        coded = f"{context.name}, {context.pix_fmt}" if context else f"raw, {self._raw_format}"
        self._kind = coded, _other_streams(container, stream)

    def pictures(self, *, skip: int = 0) -> Iterator[VideoPicture]:
        """All pictures in order of presentation; the first ``skip`` come without pixels.

        Raises:
            FrameError: it cannot be opened, has no video stream, is larger than the limit, or ends
                before the end that its container promises (after the pictures that are there).
        """
        with self._opened() as container:
            stream = self._stream(container)
            decode = self._decoder(container, stream)
            self._note(container, stream)
            ending = _Ending(container, stream)
            bad: list[VideoPicture] = []
            index = 0
            for item in _decoded(container, stream, ending, decode):
                if isinstance(item, VideoPicture):
                    bad.append(item)
                    continue
                ready = [one for one in bad if _is_before(one, item.time)]
                bad = [one for one in bad if not _is_before(one, item.time)]
                yield from sorted(ready, key=lambda one: one.time_s or 0.0)
                index += len(ready) + 1
                self.byte_order = grey_byte_order(item)
                pixels = (
                    upright_pixels(item, self._options, self.location) if index > skip else None
                )
                yield VideoPicture(pixels, item.time if self.has_times else None)
            if ending.is_early():
                raise self._early(ending, index)
            yield from bad

    def _early(self, ending: _Ending, index: int) -> FrameError:
        told = str(ending) if self.has_times else ending.broken or str(ending)
        if self._input.is_address:
            told = told.replace(_NO_MORE_BYTES, "the server sent no more")
        cure = "check --size and --pixel-format, or " if self._input.is_raw else ""
        again = f"{cure}copy the video again; "
        if self.path is None:
            again = "try it again, or download it first; " if self._input.is_address else ""
        return FrameError(
            f"the video ends early ({told})",
            f"{self.location}, frame {index}",
            f"{again}the frames before are good",
        )

    def _opened(self) -> AbstractContextManager[Any]:
        given = self._input
        limits = (OPEN_WITHIN_S, READ_WITHIN_S) if given.is_address else None
        try:
            return av.open(
                given.target, format=given.format or None, options=given.options, timeout=limits
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            scheme = given.target.partition("://")[0]
            if isinstance(error, av.error.ProtocolNotFoundError):
                what, fix = f"{scheme} is not spoken by this PyAV", "give rtsp, http, udp or a file"
            else:
                what, fix = f"the video cannot be opened ({short_reason(error)})", self._to_open()
            raise FrameError(what, self.location, fix) from error

    def _to_open(self) -> str:
        if self._input.is_camera:
            known = ", ".join(sorted(str(path) for path in Path("/dev").glob("video[0-9]*")))
            there = f"; this machine has {known}" if known else ""
            return f"check that it is connected, free, and has this size and pixel format{there}"
        if self.path is None:
            return "check the address, and that the camera is on"
        return "it may be truncated or of another format; copy it again"

    def _stream(self, container: Any) -> Any:
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & av.stream.Disposition.attached_pic
        ]
        if not streams:
            kinds = " and ".join(sorted({stream.type for stream in container.streams}))
            held = f" ({kinds} only)" if kinds else ""
            raise FrameError(
                f"no video stream in the file{held}",
                self.location,
                "give a video or a folder of frames",
            )
        stream = streams[0]
        if stream.codec_context is not None:
            check_pixels(stream.codec_context.width, stream.codec_context.height, self.location)
            stream.codec_context.options = {"err_detect": "explode"}
            if not (self._input.is_raw or self._input.is_camera):
                set_sample_format(stream, self._options, self.location)
        return stream

    def kind_of_stream(self) -> tuple[str, tuple[str, ...]]:
        """Codec and pixel format in words, and its unread streams; known once it
        was opened.
        """
        return self._kind

    def _decoder(self, container: Any, stream: Any) -> Callable[[Any], list[av.VideoFrame]]:
        """The function that decodes a packet into frames; raw samples need no decoder."""
        context = stream.codec_context
        if context is not None and context.name != "rawvideo":
            return _decode
        if context is not None and context.pix_fmt is not None:
            self._check_raw_size(context.width, context.height)
            return _decode
        name, width, height = _coding(container, stream)
        if name not in _RAW_CODES:
            raise FrameError(
                f"the video's codec ({name or 'without a name'}) is not known here",
                self.location,
                "with the program that made it, export FFV1 with pixel format gray16le, or TIFF",
            )
        self._check_raw_size(width, height)
        self._raw_format = _RAW_CODES[name]
        return _raw_decoder(width, height, self._raw_format)

    def _check_raw_size(self, width: int, height: int) -> None:
        if not width * height:
            raise FrameError(
                "the video does not say the size of its frames",
                self.location,
                "export it again with the program that made it, or as TIFF",
            )
        check_pixels(width, height, self.location)


def _plausible_rate(stream: Any) -> Fraction | None:
    """Frames per second; the mean that a header states may be the pace of its clock instead."""
    mean: Fraction | None = stream.average_rate
    guessed: Fraction | None = stream.guessed_rate
    is_clock = mean and guessed and mean > _FASTEST_HZ and mean > 10 * guessed
    return guessed if is_clock else mean or guessed


def _other_streams(container: Any, stream: Any) -> tuple[str, ...]:
    others = Counter(one.type for one in container.streams if one != stream)
    counted = sorted(others.items())
    return tuple(f"{count} {kind} stream{'' if count == 1 else 's'}" for kind, count in counted)


def _decode(packet: Any) -> list[av.VideoFrame]:
    return packet.decode()  # type: ignore[no-any-return]


def _raw_decoder(
    width: int, height: int, pixel_format: str
) -> Callable[[Any], list[av.VideoFrame]]:
    context: Any = av.CodecContext.create("rawvideo", "r")
    context.width, context.height, context.pix_fmt = width, height, pixel_format
    return context.decode  # type: ignore[no-any-return]


def _has_end(container: Any, stream: Any) -> bool:
    """Whether an address leads to something of a known length, by container or server."""
    name = container.format.name
    if name not in _PLAYLISTS and container.size > 0:
        return True
    if "mp4" in name.split(","):  # of fragments the duration is that of those so far
        return bool(stream.frames)
    return bool(stream.duration or container.duration)


def _coding(container: Any, stream: Any) -> tuple[str, int, int]:
    """FourCC (or name), width and height of a stream without a decoder, as FFmpeg describes it."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # what it describes is a log
    try:
        lines = container.dumps_format().splitlines()
    finally:
        av.logging.set_level(before)
    for line in lines:
        found = _DUMPED.search(line) if f"#0:{stream.index}" in line else None
        if found is not None:
            name = found["code"] or found["codec"].replace("none", "")
            return name.strip(), int(found["width"] or 0), int(found["height"] or 0)
    return "", 0, 0


def _decoded(
    container: Any, stream: Any, ending: _Ending, decode: Callable[[Any], list[av.VideoFrame]]
) -> Iterator[av.VideoFrame | VideoPicture]:
    """The frames of each packet, in the decoder's order; a packet that fails yields its fault."""
    for packet in _packets(container, stream, ending):
        try:
            pictures = decode(packet)
        except av.FFmpegError as error:
            time_s = None if packet.pts is None else float(packet.pts * packet.time_base)
            if packet.is_corrupt:  # read in part only; an early end, unless good ones follow
                ending.broken = "the last frame is cut off"
            yield VideoPicture(None, time_s, f"the frame cannot be decoded ({short_reason(error)})")
            continue
        ending.see(packet)
        for frame in pictures:
            if frame.is_corrupt:
                yield VideoPicture(
                    None, frame.time, "the frame is damaged (parts of it are missing)"
                )
            else:
                yield frame


def _packets(container: Any, stream: Any, ending: _Ending) -> Iterator[Any]:
    """The packets, and an empty one at the end, which flushes the decoder."""
    packets = container.demux(stream)
    while True:
        try:
            yield next(packets)
            continue
        except StopIteration:
            return
        except av.error.ExitError:
            reason = f"nothing came for {READ_WITHIN_S:g} s"
        except (av.FFmpegError, OSError) as error:
            reason = short_reason(error)
        last: Any = av.Packet()
        last.stream, last.time_base = stream, stream.time_base
        yield last
        if not ending.is_reached():
            ending.broken = reason
        return


def _is_before(bad: VideoPicture, time_s: float | None) -> bool:
    return bad.time_s is None or time_s is None or bad.time_s < time_s


class _Ending:
    """Whether a video reached the end that its container promises.

    Frame counts of headers do not help (0 or wrong in many files, and edit lists hide frames);
    durations do. A container without one, or with sound that may be longer, promises nothing.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.promised_end_s: float | None = None
        self.last_end_s = 0.0
        self.broken = ""
        self._longest_gap_s = 2.0 / float(stream.average_rate or 10)
        self._newest_s: float | None = None
        if stream.duration:
            first = stream.start_time or 0
            self.promised_end_s = float((first + stream.duration) * stream.time_base)
        elif container.duration and len(container.streams) == 1:
            self.promised_end_s = ((container.start_time or 0) + container.duration) / 1e6

    def see(self, packet: Any) -> None:
        """Note a packet that could be decoded."""
        if packet.pts is None:
            return
        self.broken = ""
        time_s = float(packet.pts * packet.time_base)
        if self._newest_s is not None:
            self._longest_gap_s = max(self._longest_gap_s, time_s - self._newest_s)
        self._newest_s = max(time_s, self._newest_s or time_s)
        length_s = float((packet.duration or 0) * packet.time_base)
        self.last_end_s = max(self.last_end_s, time_s + length_s)

    def __str__(self) -> str:
        told = f"after {self.last_end_s:.2f} s"
        if self.promised_end_s is not None:
            told += f" of {self.promised_end_s:.2f} s"
        return f"{told}: {self.broken}" if self.broken else told

    def is_early(self) -> bool:
        """Whether the stream broke off, or ended well before the promised time."""
        if self.broken or self.promised_end_s is None or self._newest_s is None:
            return bool(self.broken)
        return self.last_end_s < self.promised_end_s - self._longest_gap_s

    def is_reached(self) -> bool:
        """Whether everything that was promised has come."""
        return self.promised_end_s is not None and self.last_end_s > self.promised_end_s - _TICK_S


def short_reason(error: BaseException) -> str:
    """The plain reason of an FFmpeg error, without number and path."""
    return str(getattr(error, "strerror", None) or error).split(";")[0].split(":")[0].lower()


def upright_pixels(
    frame: av.VideoFrame, options: ReadOptions = AS_STORED, where: object = None
) -> np.ndarray:
    """A decoded picture, upright: ``[H,W]`` for grey formats, else ``[H,W,3]`` uint8 RGB.

    Raises:
        FrameError: its alpha channel is not constant, or it lacks the channel that the user names.
    """
    pixels = _samples(frame, options, where)
    turns = round(frame.rotation / 90) % 4  # counter-clockwise, as numpy counts
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _samples(frame: av.VideoFrame, options: ReadOptions, where: object) -> np.ndarray:
    kind = frame.format.name
    if kind.startswith("gray"):
        samples = in_byte_order(_grey_plane(frame), grey_byte_order(frame) or "little", options)
        return common_dtype(pick_samples(samples, options, where))
    if any(one.is_alpha for one in frame.format.components):
        picked = pick_samples(frame.to_ndarray(format="rgba"), options, where)
        return picked if options.names_samples else frame.to_ndarray(format="rgb24")
    pixels: np.ndarray = frame.to_ndarray(format="rgb24")
    return pick_samples(pixels, options, where) if options.names_samples else pixels


def set_sample_format(stream: Any, options: ReadOptions, location: object) -> None:
    """Set the user's format of raw samples; refuse those whose format FFmpeg can only guess.

    A container that says "16 bits a pixel" of raw frames leaves open whether they are grey counts
    or packed colours; FFmpeg takes them for colours.

    Raises:
        FrameError: the format is a guess and the user names none, or names one for coded frames.
    """
    context = stream.codec_context
    if options.pixel_format is not None:
        if context.name != "rawvideo":
            raise FrameError(
                f"its frames are coded ({context.name}), so they have no pixel format to name",
                location,
                "drop --pixel-format",
            )
        context.pix_fmt = known_format(options.pixel_format, location)
    elif context.name == "rawvideo" and str(context.pix_fmt).startswith(_PACKED_COLOURS):
        raise FrameError(
            "its raw frames have 16 bits a pixel: grey counts, or packed colours "
            f"({context.pix_fmt}), as FFmpeg guesses",
            location,
            f"give --pixel-format gray16le or --pixel-format {context.pix_fmt}",
        )


def grey_byte_order(frame: av.VideoFrame) -> ByteOrder | None:
    """Byte order of the samples of a grey picture; ``None`` where they have one byte or colour."""
    kind = frame.format.name
    if not kind.startswith("gray") or kind == "gray":
        return None
    return "big" if kind.endswith("be") else "little"


def _grey_plane(frame: av.VideoFrame) -> np.ndarray:
    """Samples of a grey picture as stored: no scaling, whatever their range or depth."""
    kind = frame.format.name
    order = ">" if kind.endswith("be") else "<"
    bits = frame.format.components[0].bits
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    dtype = np.dtype(f"{order}{'f' if kind.startswith('grayf') else 'u'}{size}")
    plane = frame.planes[0]
    samples: np.ndarray = np.frombuffer(memoryview(plane), dtype)
    rows = samples.reshape(-1, plane.line_size // dtype.itemsize)
    return rows[: frame.height, : frame.width].astype(dtype.newbyteorder("="))
