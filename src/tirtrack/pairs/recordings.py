"""One recording of a rig: images or two videos, as pairs of frames as stored; or TIR alone.

``layouts`` says how recordings lie on disk, ``stems`` which frames belong together.
Only the images and videos named here are ever opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from tirtrack import media
from tirtrack.errors import FrameError, PairsError, names_option
from tirtrack.formats.pixel_samples import check_byte_order, may_be_swapped
from tirtrack.images import opened_image
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.colour import colour, refuse_palette
from tirtrack.pairs.stems import MatchedFrames, frames_by_time
from tirtrack.pairs.video_frames import Frames, VideoFrames, tir_frames
from tirtrack.read_options import AS_STORED, ReadOptions, refuse_options

MAX_RATE_RATIO = 1.01
MIN_DRIFT = 0.1
MAX_DRIFT = 1.0


class Take(Protocol):
    """One recording as it lies on the disk."""

    @property
    def name(self) -> str:
        """Name of the recording."""

    @property
    def is_video(self) -> bool:
        """Whether neighbours are neighbours in time."""

    @property
    def assumed(self) -> str:
        """What was assumed about names and time, a phrase; empty for ``rgb``, ``tir`` and equal
        stems.
        """

    @property
    def matched(self) -> str:
        """How frames of two videos were matched, where frame k does not belong to frame k."""

    @property
    def frames_per_s(self) -> float | None:
        """Pairs per second, if known."""

    @property
    def layout(self) -> str:
        """Kind of its files and matching of its frames, a phrase."""

    @property
    def tir_options(self) -> ReadOptions:
        """Options for reading TIR frames where their files leave it open."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt that frames belong together, one sentence each."""

    @property
    def has_rgb(self) -> bool:
        """Whether RGB is read."""

    @property
    def delay_frames(self) -> int | None:
        """Number of frames by which TIR is taken later; ``None`` where that drifts."""

    def __len__(self) -> int:
        """Number of pairs."""

    def stem(self, position: int) -> str:
        """What names the pair inside the recording."""

    def read(self, position: int) -> tuple[np.ndarray | None, np.ndarray]:
        """RGB and TIR as stored; ``None`` for RGB that is not read."""

    def tir_colour(self, position: int, tir: np.ndarray) -> float:
        """How coloured TIR is as stored: mean difference of its channels, share of the range."""

    def where(self, position: int) -> str:
        """The files of a pair, for messages."""

    def close(self) -> None:
        """Close what reading keeps open; reading again reopens it."""

    def files(self) -> list[Path]:
        """Every file that can be opened."""


@dataclass(frozen=True)
class ImageTake:
    """Images of two cameras, matched, or of the TIR camera alone.

    Attributes:
        name: name of the recording.
        files_rgb: RGB files in order; empty for TIR alone.
        files_tir: TIR file of each pair.
        keys: name of each pair.
        is_video: whether neighbours are neighbours in time.
        assumed: assumptions about names and time.
        frames_per_s: pairs per second, if names are times.
        matched_by: ``name`` or ``time``.
        tir_options: options for reading TIR files where they leave it open.
        delay_frames: number of frames by which TIR was taken later; ``None`` where that drifts.
        laid_out_as: the data set that the recording is of, if one was recognised.
        warnings: reasons to doubt that frames belong together, one sentence each.
    """

    name: str
    files_rgb: Sequence[Path]
    files_tir: Sequence[Path]
    keys: Sequence[str]
    is_video: bool
    assumed: str = ""
    frames_per_s: float | None = None
    matched_by: str = "name"
    tir_options: ReadOptions = AS_STORED
    delay_frames: int | None = 0
    laid_out_as: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def layout(self) -> str:
        """Data set, frames of a video or stills, and how they are matched."""
        sizes = "sizes of the first pair" if self.files_rgb else "size of the first frame"
        kind = "images of a video" if self.is_video else f"stills ({sizes})"
        said = f"{kind} matched by {self.matched_by}" if self.files_rgb else kind
        return f"{self.laid_out_as}, {said}" if self.laid_out_as else said

    @property
    def matched(self) -> str:
        """Empty: the lists of files say which belong together."""
        return ""

    @property
    def has_rgb(self) -> bool:
        """Whether there are RGB files."""
        return bool(self.files_rgb)

    def __len__(self) -> int:
        return len(self.files_tir)

    def stem(self, position: int) -> str:
        """What names the pair inside the recording."""
        return self.keys[position]

    def read(self, position: int) -> tuple[np.ndarray | None, np.ndarray]:
        """RGB and TIR as stored."""
        tir = _read_tir(self.files_tir[position], self.tir_options, is_first=position == 0)
        refuse_palette(tir, str(self.files_tir[position]))
        return _read_image(self.files_rgb[position]) if self.files_rgb else None, tir

    def tir_colour(self, position: int, tir: np.ndarray) -> float:
        """Colour of the picture itself."""
        return colour(tir)

    def where(self, position: int) -> str:
        """The files of a pair, for messages."""
        files = [*self.files_rgb[position : position + 1], self.files_tir[position]]
        return " and ".join(map(str, files))

    def close(self) -> None:
        """Nothing is kept open."""

    def files(self) -> list[Path]:
        """Every file that can be opened."""
        return [*self.files_rgb, *self.files_tir]


class VideoTake:
    """Two videos: frame k of both is one instant, unless frames are matched by their times. Or the
    TIR video alone.

    Args:
        name: name of the recording.
        path_rgb: the RGB video; ``None`` for TIR alone.
        path_tir: the TIR video.
        pairing: settings by which the user names and matches the cameras.
        assumed: assumptions about names.
        frames: numbers of the frames to take where TIR is alone; ``None``: all.

    Attributes:
        places: numbers of the RGB and the TIR frame of each pair.

    Raises:
        PairsError: a file is no video, or the videos do not match.
    """

    is_video = True

    def __init__(
        self,
        name: str,
        path_rgb: Path | None,
        path_tir: Path,
        pairing: Pairing = Pairing(),  # noqa: B008 - frozen
        *,
        assumed: str = "",
        frames: Sequence[int] | None = None,
    ) -> None:
        self.name = name
        self.tir_options = pairing.tir_options
        self.delay_frames = pairing.late_frames(is_video=True)
        refuse_options(pairing.tir_options, ["picture"], path_tir)
        self._tir = tir_frames(path_tir, pairing.tir_options)
        first: Frames = self._tir if path_rgb is None else VideoFrames(path_rgb, grey=False)
        self._rgb = None if path_rgb is None else first
        matched = self._by_time(first, pairing) if pairing.by_time else self._by_number(first)
        where = first.path.parent
        matched = matched.moved(pairing, where, is_video=True)
        self.places = matched.places
        if frames is not None:
            self.places = tuple((place, place) for place in frames if place < len(self._tir))
        self.matched = matched.said
        by = "time" if matched.by_time else "frame number"
        self.layout = f"videos matched by {by}" if self._rgb else "video"
        self.assumed = ", ".join(filter(None, (assumed, matched.said)))
        self.frames_per_s = 1 / matched.interval_s if matched.interval_s else None
        used = pairing.used_rig
        is_timed = pairing.by_time or (used is not None and used.time is not None)
        doubt = None if is_timed else clocks_differ(first, self._tir)
        self.warnings = () if doubt is None else (doubt,)

    def _by_time(self, rgb: Frames, pairing: Pairing) -> MatchedFrames:
        times = rgb.times_s
        keys = [f"{place:06d}" for place in range(len(times))]
        return frames_by_time(times, self._tir.times_s, keys, pairing, rgb.path.parent)

    def _by_number(self, rgb: Frames) -> MatchedFrames:
        count, path_rgb, path_tir = len(rgb), rgb.path, self._tir.path
        if count != len(self._tir):
            raise PairsError(
                f"{path_rgb.name} has {count} frames{_rate(rgb)}, {path_tir.name} "
                f"{len(self._tir)}{_rate(self._tir)}",
                path_rgb.parent,
                "pair them by time with --match time, or cut both to the same instants, so that "
                "frame k of one belongs to frame k of the other",
            )
        return MatchedFrames(
            tuple((place, place) for place in range(count)),
            tuple(f"{place:06d}" for place in range(count)),
            interval_s=rgb.interval_s,
        )

    @property
    def has_rgb(self) -> bool:
        """Whether the RGB video is read."""
        return self._rgb is not None

    def __len__(self) -> int:
        return len(self.places)

    def stem(self, position: int) -> str:
        """The number of the RGB frame (of TIR, if it is alone), counted from 0, six digits."""
        return f"{self.places[position][0]:06d}"

    def read(self, position: int) -> tuple[np.ndarray | None, np.ndarray]:
        """RGB and TIR as stored."""
        place_rgb, place_tir = self.places[position]
        tir = self._tir[place_tir]
        refuse_palette(tir, f"{self._tir.path}, frame {place_tir}")
        return None if self._rgb is None else self._rgb[place_rgb], tir

    def tir_colour(self, position: int, tir: np.ndarray) -> float:
        """Colour of the frame as stored, whose colour planes reading may have left out."""
        return max(colour(tir), self._tir.chroma(self.places[position][1]))

    def where(self, position: int) -> str:
        """The files of a pair, for messages."""
        place_rgb, place_tir = self.places[position]
        number = f"{place_rgb}" if place_rgb == place_tir else f"{place_rgb} and {place_tir}"
        return f"{' and '.join(map(str, self.files()))}, frame {number}"

    def close(self) -> None:
        """Close the files and drop the cached frames."""
        for video in self._videos():
            video.close()

    def files(self) -> list[Path]:
        """Every file that can be opened."""
        return [video.path for video in self._videos()]

    def _videos(self) -> list[Frames]:
        return [self._tir] if self._rgb is None else [self._rgb, self._tir]


def clocks_differ(rgb: Frames, tir: Frames) -> str | None:
    """A sentence if two videos run at different rates, or their time stamps drift apart."""
    step_rgb, step_tir = rgb.interval_s, tir.interval_s
    if step_rgb is None or step_tir is None:
        return None
    step = min(step_rgb, step_tir)
    apart = np.abs(np.subtract(rgb.times_s, tir.times_s))
    if max(step_rgb, step_tir) > MAX_RATE_RATIO * step and apart.max() > MIN_DRIFT * step:
        said = f"{_pace(rgb)}, {_pace(tir)}"
    elif apart.max() > MAX_DRIFT * step:
        said = (
            f"the time stamps of {rgb.path.name} and {tir.path.name} lie up to {apart.max():.2g} s "
            f"({apart.max() / step:.1f} frames) apart, from frame "
            f"{int(np.argmax(apart > MAX_DRIFT * step))} on"
        )
    else:
        return None
    return (
        f"{said}: frame k of one is not the instant of frame k of the other; pair them by time "
        "with --match time, or export both at one rate"
    )


def _rate(video: Frames) -> str:
    return f" ({1 / video.interval_s:.3g} a second)" if video.interval_s else ""


def _pace(video: Frames) -> str:
    return (
        f"{video.path.name} has {1 / (video.interval_s or 1):.3g} frames/s "
        f"({video.duration_s:.2g} s in all)"
    )


def _read_image(path: Path) -> np.ndarray:
    try:
        return media.read_image(path)
    except FrameError as error:
        raise PairsError(error.what, path, "replace or remove it") from error


def _read_tir(path: Path, options: ReadOptions, *, is_first: bool) -> np.ndarray:
    """A TIR image, read like one of a source of frames: the counts of a radiometric JPEG; bytes
    that look swapped are refused.
    """
    try:
        image = media.read_frame(path, options)
        if is_first or may_be_swapped(image):
            with opened_image(path, options) as file:
                check_byte_order(image, file.byte_order, options, path, is_first=is_first)
    except FrameError as error:
        fix = error.fix if names_option(error) else "replace or remove it"
        raise PairsError(error.what, path, fix) from error
    return image
