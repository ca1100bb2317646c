"""Random access to the frames of one video or CPTV recording, with bounded memory.

Of a video, a first pass reads the packets without decoding them, which gives the true number of
frames and the key frames. A frame is then decoded from the last key frame before it, or by decoding
on if the decoder is already there; the frames decoded on the way are cached, the most recent
``cache_bytes`` of them. So reading a recording in order decodes every frame once, a jump costs one
group of pictures, and an hour of video needs no more memory than a minute.
"""

from __future__ import annotations

import bisect
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from tirtrack.errors import FrameError, PairsError
from tirtrack.formats.frame_file import FrameFile
from tirtrack.formats.pixel_samples import check_byte_order
from tirtrack.images import check_pixels, opened_image
from tirtrack.read_options import AS_STORED, ReadOptions, refuse_options
from tirtrack.video import grey_byte_order, short_reason, upright_pixels

# Room for the 41 frames of 1920x1080 in colour from the first to the last neighbour of a pair, so
# that proposals in distant pairs decode nothing twice.
CACHE_BYTES = 256 * 2**20
MAX_CHROMA = 8.0
_KEPT_BEFORE_FRAMES = 32
_NOT_READABLE = "copy or record the file again, or cut it before the damage"


class Frames(ABC):
    """The frames of one camera's recording by number, 0-based.

    Args:
        path: the file.
        cache_bytes: size of the cache of decoded frames, bytes.
    """

    def __init__(self, path: Path, cache_bytes: int) -> None:
        self.path = Path(path)
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._cached_bytes = 0

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames, at least 1."""

    @property
    @abstractmethod
    def times_s(self) -> list[float]:
        """When each frame was taken, in seconds after the first; zeros without a clock."""

    @property
    def interval_s(self) -> float | None:
        """The mean time between frames, seconds; ``None`` for a single frame or without a clock."""
        last = self.times_s[-1]
        return last / (len(self) - 1) if last > 0 else None

    @property
    def duration_s(self) -> float:
        """From the first frame to the end of the last, seconds."""
        return self.times_s[-1] + (self.interval_s or 0.0)

    @abstractmethod
    def chroma(self, index: int) -> float:
        """Colourfulness of a frame that is read without its colour, share of the range; 0 before
        it is read.
        """

    def __getitem__(self, index: int) -> np.ndarray:
        """One frame, ``[H,W]`` or ``[H,W,3]``; must not be changed.

        Raises:
            PairsError: it cannot be decoded.
            IndexError: there is no such frame.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)} in {self.path}")
        if index not in self._cache:
            self._decode_to(index)
        self._cache.move_to_end(index)
        return self._cache[index]

    @abstractmethod
    def _decode_to(self, index: int) -> None:
        """Decode and keep a frame, and those decoded on the way."""

    def close(self) -> None:
        """Close the file and drop the decoded frames; the next frame reopens it."""
        self._cache.clear()
        self._cached_bytes = 0

    def _keep(self, index: int, image: np.ndarray) -> None:
        if index in self._cache:
            return
        image.flags.writeable = False
        self._cache[index] = image
        self._cached_bytes += image.nbytes
        while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= oldest.nbytes


class VideoFrames(Frames):
    """The frames of a video, uint8.

    Args:
        path: any file that the installed PyAV can decode.
        grey: ``[H,W]`` frames (the luma alone, full range) instead of ``[H,W,3]`` RGB; frames that
            carry colour stay RGB.
        cache_bytes: size of the cache of decoded frames, bytes.
        options: sample of a pixel that is the picture, and its byte order.

    Raises:
        PairsError: the file is no video, or holds no frame.
    """

    def __init__(
        self,
        path: Path,
        *,
        grey: bool,
        cache_bytes: int = CACHE_BYTES,
        options: ReadOptions = AS_STORED,
    ) -> None:
        super().__init__(path, cache_bytes)
        self._grey = grey
        self._options = options
        self._container: av.container.InputContainer | None = None
        self._decoded: Iterator[tuple[int, av.VideoFrame]] | None = None
        self._next = 0
        self._times, self._keys, self._time_base = _index(self.path)
        self._chroma: dict[int, float] = {}
        self._index_of = {time: index for index, time in enumerate(self._times)}

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.path, self._grey, self._cache_bytes, self._options)

    def __len__(self) -> int:
        return len(self._times)

    @property
    def times_s(self) -> list[float]:
        """When each frame is shown, in seconds after the first."""
        return [float((time - self._times[0]) * self._time_base) for time in self._times]

    def chroma(self, index: int) -> float:
        """As in :class:`Frames`."""
        return self._chroma.get(index, 0.0)

    def close(self) -> None:
        """As in :class:`Frames`."""
        if self._container is not None:
            self._container.close()
        self._container = self._decoded = None
        super().close()

    def _decode_to(self, index: int) -> None:
        key = self._keys[bisect.bisect_right(self._keys, index) - 1]
        if self._decoded is None or not key <= self._next <= index:
            self._seek(key)
        try:
            for position, frame in self._decoded or ():
                self._next = position + 1
                if position > index - _KEPT_BEFORE_FRAMES:
                    self._keep(position, self._image(frame, position))
                if position >= index:
                    break
        except FrameError as error:  # raised for a picture that was decoded
            self._decoded = None
            raise PairsError(error.what, error.where, error.fix) from error
        except (av.FFmpegError, ValueError) as error:
            self._decoded = None
            raise PairsError(
                f"frame {index} of {len(self)} cannot be decoded ({short_reason(error)})",
                self.path,
                _NOT_READABLE,
            ) from error
        if index not in self._cache:
            self._decoded = None
            raise PairsError(
                f"frame {index} of {len(self)} is missing in the stream", self.path, _NOT_READABLE
            )

    def _image(self, frame: av.VideoFrame, index: int) -> np.ndarray:
        if frame.is_corrupt:
            raise ValueError("parts of it are missing")
        where = f"{self.path}, frame {index}"
        chosen = self._options.names_samples
        if not self._grey or chosen or frame.format.name.startswith("gray"):
            image = upright_pixels(frame, self._options, where)
            order = grey_byte_order(frame)
            check_byte_order(image, order, self._options, where, is_first=index == 0)
            return image
        refuse_options(self._options, ["byte_order"], where)
        blue, red = _chroma(frame)
        self._chroma[index] = max(blue, red) / 255
        if blue > MAX_CHROMA:
            return upright_pixels(frame)
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="gray"), turns))

    def _seek(self, key: int) -> None:
        if self._container is None:
            self._container = _opened(self.path)
        stream = _stream(self._container, self.path)
        self._container.seek(self._times[key], stream=stream, backward=True)
        self._decoded = (
            (self._index_of[frame.pts], frame)
            for frame in self._container.decode(stream)
            if frame.pts in self._index_of
        )
        self._next = key


class RecordedFrames(Frames):
    """The frames of a CPTV recording, ``[H,W]`` uint16.

    Each is stored as a difference to the one before, so a step back to a frame that is no longer
    in the cache reads from the first one on.

    Args:
        path: CPTV file.
        cache_bytes: size of the cache of decoded frames, bytes.
        options: byte order and channel are nothing that it leaves open.

    Raises:
        PairsError: it is damaged, or ends early.
    """

    def __init__(
        self, path: Path, *, cache_bytes: int = CACHE_BYTES, options: ReadOptions = AS_STORED
    ) -> None:
        super().__init__(path, cache_bytes)
        self._options = options
        self._open = ExitStack()
        self._file: FrameFile | None = None
        self._next = 0
        file = self._reading()
        self._count, self._times_s = file.count, file.times_s
        self.close()
        if file.fault is not None:
            fault = file.fault
            raise PairsError(fault.what, fault.where, "copy it again, or cut both cameras before")

    def __reduce__(self) -> tuple[object, ...]:
        again = partial(RecordedFrames, cache_bytes=self._cache_bytes, options=self._options)
        return again, (self.path,)

    def __len__(self) -> int:
        return self._count

    @property
    def times_s(self) -> list[float]:
        """As in :class:`Frames`."""
        return list(self._times_s or [0.0] * self._count)

    def chroma(self, index: int) -> float:
        """0: counts have no colour."""
        return 0.0

    def close(self) -> None:
        """As in :class:`Frames`."""
        self._open.close()
        self._file, self._next = None, 0
        super().close()

    def _decode_to(self, index: int) -> None:
        first = self._next if self._next <= index else 0
        try:
            for position in range(max(first, index - _KEPT_BEFORE_FRAMES + 1), index + 1):
                self._keep(position, self._reading().decode(position))
                self._next = position + 1
        except FrameError as error:
            raise PairsError(error.what, error.where, error.fix) from error

    def _reading(self) -> FrameFile:
        if self._file is None:
            try:
                self._file = self._open.enter_context(opened_image(self.path, self._options))
            except FrameError as error:
                raise PairsError(error.what, error.where, error.fix) from error
        return self._file


def tir_frames(path: Path, options: ReadOptions) -> Frames:
    """The frames of a TIR video or of a CPTV recording.

    Raises:
        PairsError: it is neither, or holds no frame.
    """
    if path.suffix.lower() == ".cptv":
        return RecordedFrames(path, options=options)
    return VideoFrames(path, grey=True, options=options)


def _chroma(frame: av.VideoFrame) -> tuple[float, float]:
    """Mean distance of the blue and the red plane of a YUV frame of 8 bits from grey, levels."""
    if frame.format.name not in ("yuv420p", "yuvj420p", "yuv422p", "yuv444p"):
        return 0.0, 0.0
    blue, red = (_from_grey(frame.planes[number]) for number in (1, 2))
    return blue, red


def _from_grey(plane: av.video.plane.VideoPlane) -> float:
    rows: np.ndarray = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    colour = rows[: plane.height : 2, : plane.width : 2].astype(np.float32)
    return float(np.abs(colour - 128.0).mean())


def _reopen(
    path: Path,
    grey: bool,  # noqa: FBT001
    cache_bytes: int,
    options: ReadOptions,
) -> VideoFrames:
    return VideoFrames(path, grey=grey, cache_bytes=cache_bytes, options=options)


def _opened(path: Path) -> av.container.InputContainer:
    # a local file may be a disguised playlist: it must not reach the network
    return av.open(str(path.resolve()), options={"protocol_whitelist": "file"})


def _stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    attached = av.stream.Disposition.attached_pic
    streams = [one for one in container.streams.video if not one.disposition & attached]
    if not streams:
        raise PairsError("no video stream in the file", path, "give a video or a folder of frames")
    check_pixels(streams[0].codec_context.width, streams[0].codec_context.height, path)
    streams[0].codec_context.options = {"err_detect": "explode"}
    return streams[0]


def _index(path: Path) -> tuple[list[int], list[int], Fraction]:
    """Time stamps of all frames in order, the numbers of those that are key frames, and the unit
    of the stamps in seconds.
    """
    try:
        with _opened(path) as container:
            time_base = _stream(container, path).time_base or Fraction(0)
            packets = {
                packet.pts if packet.pts is not None else packet.dts: packet.is_keyframe
                for packet in container.demux(_stream(container, path))
                if packet.size > 0 and not packet.is_discard
            }
    except FrameError as error:
        raise PairsError(error.what, path, error.fix) from error
    except (av.FFmpegError, OSError) as error:
        raise PairsError(
            f"cannot be opened as a video ({error.strerror})", path, _NOT_READABLE
        ) from error
    times = sorted(time for time in packets if time is not None)
    if not times:
        raise PairsError("holds no frame", path, _NOT_READABLE)
    keys = sorted({0, *(index for index, time in enumerate(times) if packets[time])})
    return times, keys, time_base
