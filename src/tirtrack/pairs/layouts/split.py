"""Both cameras in one picture, side by side or stacked: a video, or a folder of images.

Found by comparing halves of three pictures: one is in colour and the other grey in all of them, and
they have outlines in common in one at least.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tirtrack import media
from tirtrack.errors import FrameError, PairsError
from tirtrack.formats.pixel_samples import pick_samples
from tirtrack.images import IMAGE_KINDS
from tirtrack.pairs.camera_names import MODALITIES, Pairing
from tirtrack.pairs.colour import GREY, colour, refuse_palette
from tirtrack.pairs.layouts.listing import images_by_stem
from tirtrack.pairs.mixed_files import files_of_kinds
from tirtrack.pairs.recordings import Take
from tirtrack.pairs.registration import measure_offset
from tirtrack.pairs.spreading import spread
from tirtrack.pairs.stems import MatchedFrames, counts_up, natural_key
from tirtrack.pairs.video_frames import VideoFrames
from tirtrack.palettes import palette_of
from tirtrack.read_options import refuse_options
from tirtrack.video import VIDEO_SUFFIXES

MIN_COLOUR = 2 * GREY
_COMPARED = 3


@dataclass(frozen=True)
class Split:
    """A layout whose pictures hold both cameras.

    Attributes:
        name: name by which the user asks for it.
        halves: names of the two halves, the first and the second along the axis.
        axis: 1 if the halves lie beside each other, 0 if above each other.
    """

    name: str
    halves: tuple[str, str]
    axis: int

    @property
    def looked_for(self) -> str:
        """What it consists of, for messages."""
        halves = " and ".join(self.halves)
        return f"a video, or a folder of images, whose {halves} halves are the two cameras"

    def holds(self, folder: Path, pairing: Pairing) -> bool:
        """Whether this is a video, or a folder with frames."""
        return bool(_frames_of(folder))

    def takes(self, place: Path, name: str, pairing: Pairing) -> list[Take]:
        """The recordings of a place: each of its videos, or its images.

        Raises:
            PairsError: a picture cannot be halved or read.
        """
        found = _frames_of(place)
        if found and found[0].suffix.lower() in VIDEO_SUFFIXES:
            alone = len(found) == 1 and found[0] == place
            named = [(name if alone else f"{name}/{path.stem}", path) for path in found]
            return [self._take(SplitVideo(path), one, pairing) for one, path in named]
        return [self._take(SplitImages.of(place), name, pairing)]

    def shows(self, place: Path) -> bool:
        """Whether some pictures of a place look like this layout, by their halves."""
        files = _frames_of(place)
        if not files:
            return False
        try:
            is_video = files[0].suffix.lower() in VIDEO_SUFFIXES
            frames = SplitVideo(files[0]) if is_video else SplitImages.of(place)
            halves = [self._colour_and_grey(picture) for picture in _some_of(frames)]
        except PairsError:  # what cannot be read is named where it is opened
            return False
        both = [one for one in halves if one is not None]
        return len(both) == len(halves) and any(measure_offset(*one).usable for one in both)

    def cut(self, picture: np.ndarray, where: object) -> tuple[np.ndarray, np.ndarray]:
        """Both halves of a picture.

        Raises:
            PairsError: its side has an odd number of pixels.
        """
        side = picture.shape[self.axis]
        if side % 2 or side < 2:
            what = "width" if self.axis == 1 else "height"
            raise PairsError(
                f"a {what} of {side} px cannot be halved",
                where,
                "cut it to an even number of pixels",
            )
        first, second = np.split(picture, 2, axis=self.axis)
        return first, second

    def _colour_and_grey(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The half in colour and the grey one; ``None`` if they are not of these kinds."""
        if picture.ndim == 2 or picture.shape[self.axis] % 2:
            return None
        grey, coloured = sorted(self.cut(picture, ""), key=colour)
        if colour(grey) > GREY or colour(coloured) < MIN_COLOUR:
            return None
        return coloured, grey.mean(axis=2, dtype=np.float32)

    def _take(self, frames: SplitVideo | SplitImages, name: str, pairing: Pairing) -> SplitTake:
        of_whole = ["channel", "byte_order", "picture"]
        refuse_options(pairing.tir_options, of_whole, frames.where)
        if pairing.by_time:
            raise PairsError(
                "both halves of a picture are of one instant, there is nothing to match by time",
                frames.where,
                "leave --match and --max-gap out",
            )
        return SplitTake(name, frames, self, self._rgb_half(frames, pairing), pairing)

    def _rgb_half(self, frames: SplitVideo | SplitImages, pairing: Pairing) -> int:
        """Number of the half that is RGB: as the user says, else the one in colour, of two in
        colour the one without a palette, else the first.
        """
        for modality in MODALITIES:
            given = pairing.name_of(modality)
            if given is None:
                continue
            if given.casefold() not in self.halves:
                raise PairsError(
                    f'no half is called "{given}"',
                    frames.where,
                    f"--{modality} is {' or '.join(self.halves)} here",
                )
            half = self.halves.index(given.casefold())
            return half if modality == "rgb" else 1 - half
        halves = [self.cut(picture, frames.where) for picture in _some_of(frames)]
        first, second = np.mean([[colour(half) for half in both] for both in halves], axis=0)
        if min(first, second) > GREY:
            painted = [[palette_of(half) is not None for half in both] for both in halves]
            of_first, of_second = np.mean(painted, axis=0)
            if of_first != of_second:
                return int(of_first > of_second)
        return int(second > first)


class SplitTake:
    """A recording whose pictures hold both cameras, or the TIR half of it alone.

    Args:
        name: name of the recording.
        frames: whole pictures.
        split: how they are cut.
        rgb_half: number of the half that is RGB, 0 or 1.
        pairing: settings by which the user names the cameras.

    Attributes:
        split: how they are cut.
        rgb_half: number of the half that is RGB, 0 or 1.
        places: numbers of the pictures with the RGB and the TIR frame of each pair.
    """

    warnings = ()

    def __init__(
        self,
        name: str,
        frames: SplitVideo | SplitImages,
        split: Split,
        rgb_half: int,
        pairing: Pairing,
    ) -> None:
        self.name = name
        self.tir_options = pairing.tir_options
        self.has_rgb = not pairing.tir_alone
        self.is_video = frames.is_video
        self.delay_frames = pairing.late_frames(is_video=self.is_video)
        self.split, self.rgb_half, self._frames = split, rgb_half, frames
        every = tuple((place, place) for place in range(len(frames)))
        matched = MatchedFrames(every, frames.keys).moved(
            pairing, frames.where, is_video=self.is_video
        )
        self.places, self._keys = matched.places, matched.keys
        rgb, tir = split.halves[rgb_half], split.halves[1 - rgb_half]
        halves = f"{rgb} half is RGB, {tir} half is TIR" if self.has_rgb else f"{tir} half is TIR"
        self.matched = ", ".join(filter(None, (halves, matched.said)))
        self.assumed = self.matched
        self.frames_per_s = frames.frames_per_s
        self.layout = f"{split.name}, {frames.kind}"

    @property
    def holds_video(self) -> bool:
        """Whether all pictures lie in one file."""
        return isinstance(self._frames, SplitVideo)

    def __len__(self) -> int:
        return len(self.places)

    def stem(self, position: int) -> str:
        """What names the pair inside the recording."""
        return self._keys[position]

    def read(self, position: int) -> tuple[np.ndarray | None, np.ndarray]:
        """RGB and TIR as stored."""
        place_rgb, place_tir = self.places[position]
        of_tir = self._halves(place_tir)
        tir = of_tir[1 - self.rgb_half]
        if self.tir_options.palette is not None:
            tir = pick_samples(tir, self.tir_options, self._frames.shown(place_tir))
        refuse_palette(tir, self._frames.shown(place_tir))
        if not self.has_rgb:
            return None, tir
        of_rgb = of_tir if place_rgb == place_tir else self._halves(place_rgb)
        return of_rgb[self.rgb_half], tir

    def _halves(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        return self.split.cut(self._frames[place], self._frames.shown(place))

    def tir_colour(self, position: int, tir: np.ndarray) -> float:
        """Colour of the half itself."""
        return colour(tir)

    def where(self, position: int) -> str:
        """The picture of a pair, for messages."""
        return self._frames.shown(self.places[position][1])

    def close(self) -> None:
        """Close the video."""
        self._frames.close()

    def files(self) -> list[Path]:
        """Every file that can be opened."""
        return self._frames.files


class SplitVideo:
    """Pictures of a video that hold both cameras."""

    is_video = True
    kind = "video"

    def __init__(self, path: Path) -> None:
        self._frames = VideoFrames(path, grey=False)
        self.where = path
        self.files = [path]
        self.keys = tuple(f"{place:06d}" for place in range(len(self._frames)))
        step = self._frames.interval_s
        self.frames_per_s = 1 / step if step else None

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, place: int) -> np.ndarray:
        return self._frames[place]

    def shown(self, place: int) -> str:
        """A picture, for messages."""
        return f"{self.where}, frame {place}"

    def close(self) -> None:
        """Close the file and drop the cached frames."""
        self._frames.close()


@dataclass(frozen=True)
class SplitImages:
    """Pictures that hold both cameras, an image each.

    Attributes:
        where: their folder, for messages.
        keys: name of each.
        paths: file of each.
        is_video: whether neighbours are neighbours in time.
    """

    where: Path
    keys: Sequence[str]
    paths: Sequence[Path]
    is_video: bool
    frames_per_s = None

    @classmethod
    def of(cls, folder: Path) -> SplitImages:
        """The images of a folder."""
        stems = images_by_stem(folder)
        keys = tuple(sorted(stems, key=natural_key))
        return cls(folder, keys, tuple(stems[key] for key in keys), counts_up(keys))

    @property
    def kind(self) -> str:
        """Kind of the pictures, a phrase."""
        return "images of a video" if self.is_video else "stills (size of the first)"

    @property
    def files(self) -> list[Path]:
        """Every file that can be opened."""
        return list(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> np.ndarray:
        path = self.paths[place]
        try:
            return media.read_image(path)
        except FrameError as error:
            raise PairsError(error.what, path, "replace or remove it") from error

    def shown(self, place: int) -> str:
        """A picture, for messages."""
        return str(self.paths[place])

    def close(self) -> None:
        """Nothing is kept open."""


def _some_of(frames: SplitVideo | SplitImages) -> Iterator[np.ndarray]:
    """Some readable pictures, evenly spread.

    Raises:
        PairsError: not one of them can be read.
    """
    fault, count = None, 0
    with closing(frames):
        for place in spread(range(len(frames)), _COMPARED):
            try:
                picture = frames[place]
            except PairsError as error:
                fault = error
            else:
                count += 1
                yield picture
    if fault is not None and not count:
        raise fault


def _frames_of(place: Path) -> Sequence[Path]:
    """A video itself; else the images of a folder, else its videos."""
    if place.is_file():
        return [place] if place.suffix.lower() in VIDEO_SUFFIXES else []
    return files_of_kinds(place, IMAGE_KINDS) or files_of_kinds(place, VIDEO_SUFFIXES)


SIDE_BY_SIDE = Split("side-by-side", ("left", "right"), 1)
STACKED = Split("stacked", ("top", "bottom"), 0)
SPLITS = {one.name: one for one in (SIDE_BY_SIDE, STACKED)}
