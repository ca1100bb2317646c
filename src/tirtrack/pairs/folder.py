"""Pairs from folders: images with equal stems, or two videos; one recording, many, or a list.

Layouts, found by looking and never by asking::

    SEQ/rgb/STEM.jpg  SEQ/tir/STEM.png      images with equal stems
    SEQ/rgb.mp4       SEQ/tir.mp4           two videos of equal length, frame k is one instant
    FOLDER/.../SEQ                          any number of either, up to four levels down

Only images and videos called or below ``rgb`` and ``tir`` are ever opened: a label file that lies
beside them, or among them, is not. Both modalities must show the same field of view; where the two
grids differ in size and not in aspect ratio, TIR is resampled onto the RGB grid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from tirtrack import media
from tirtrack.errors import FrameError, PairsError
from tirtrack.files import sha256
from tirtrack.images import IMAGE_KINDS
from tirtrack.pairs.source import Manifest, Pair, PairSource, Recording, SourceFile
from tirtrack.pairs.video import VideoFrames
from tirtrack.video import VIDEO_SUFFIXES

MODALITIES = ("rgb", "tir")
MAX_DEPTH = 4
ASPECT_TOLERANCE_PX = 2.0
MAX_COLOUR = 0.04
_Given = TypeVar("_Given")
_Opened = TypeVar("_Opened")
_LAYOUT = "put images with equal stems into rgb/ and tir/, or two videos rgb.mp4 and tir.mp4"


class Take(Protocol):
    """One recording as it lies on the disk."""

    @property
    def name(self) -> str:
        """Of the recording."""

    @property
    def is_video(self) -> bool:
        """Whether neighbours are neighbours in time."""

    def __len__(self) -> int:
        """Number of pairs."""

    def stem(self, position: int) -> str:
        """What names the pair inside the recording."""

    def read(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """RGB and TIR as stored."""

    def where(self, position: int) -> str:
        """The files of a pair, for messages."""

    def close(self) -> None:
        """Let go of what reading keeps open; it can be read again."""

    def files(self) -> list[Path]:
        """Every file that can be opened."""


@dataclass(frozen=True)
class ImageTake:
    """Images with equal stems.

    Attributes:
        name: of the recording.
        files_rgb: in the order of their numbers.
        files_tir: the partner of each.
        is_video: the stems count up without a gap.
    """

    name: str
    files_rgb: tuple[Path, ...]
    files_tir: tuple[Path, ...]
    is_video: bool

    def __len__(self) -> int:
        return len(self.files_rgb)

    def stem(self, position: int) -> str:
        """What names the pair inside the recording."""
        return self.files_rgb[position].stem

    def read(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """RGB and TIR as stored."""
        return _read_image(self.files_rgb[position]), _read_image(self.files_tir[position])

    def where(self, position: int) -> str:
        """The files of a pair, for messages."""
        return f"{self.files_rgb[position]} and {self.files_tir[position]}"

    def close(self) -> None:
        """Nothing is kept open."""

    def files(self) -> list[Path]:
        """Every file that can be opened."""
        return [*self.files_rgb, *self.files_tir]


class VideoTake:
    """Two videos of equal length; frame k of both is one instant."""

    is_video = True

    def __init__(self, name: str, path_rgb: Path, path_tir: Path) -> None:
        self.name = name
        self._rgb = VideoFrames(path_rgb, grey=False)
        self._tir = VideoFrames(path_tir, grey=True)
        if len(self._rgb) != len(self._tir):
            raise PairsError(
                f"{path_rgb.name} has {len(self._rgb)} frames, {path_tir.name} {len(self._tir)}",
                path_rgb.parent,
                "cut both to the same instants, so that frame k of one belongs to frame k of the "
                "other",
            )

    def __len__(self) -> int:
        return len(self._rgb)

    def stem(self, position: int) -> str:
        """The frame number, counted from 0, six digits."""
        return f"{position:06d}"

    def read(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """RGB and TIR, 8 bit."""
        return self._rgb[position], self._tir[position]

    def where(self, position: int) -> str:
        """The files of a pair, for messages."""
        return f"{self._rgb.path} and {self._tir.path}, frame {position}"

    def close(self) -> None:
        """Let go of both files and of the frames that were kept."""
        self._rgb.close()
        self._tir.close()

    def files(self) -> list[Path]:
        """Every file that can be opened."""
        return [self._rgb.path, self._tir.path]


class FolderPairs:
    """A :class:`~tirtrack.pairs.source.PairSource` over recordings in folders.

    The first pair of a recording that can be read says its bit depth; it is read here. One
    recording is open at a time: a thousand videos need no more memory or open files than one.

    Args:
        name: of the source.
        takes: its recordings, unique names.
        licence: under which the user holds the files; goes into the manifest.
        misfits: as for :func:`open_pairs`.

    Raises:
        PairsError: no pair of a recording can be read, or the modalities of the first that can do
            not fit each other; with ``misfits`` such a recording is left out.
    """

    def __init__(
        self,
        name: str,
        takes: Sequence[Take],
        *,
        licence: str = "not stated",
        misfits: list[PairsError] | None = None,
    ) -> None:
        self.name = name
        self.licence = licence
        depths = _each(lambda take: (take, _first_readable(take).tir.dtype), takes, misfits)
        self._takes = tuple(take for take, _ in depths)
        self._starts = np.cumsum([0, *(len(take) for take in self._takes)])
        self._tir_dtypes = {take.name: dtype for take, dtype in depths}
        self._open = 0

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Pair:
        """One pair, both modalities on the RGB grid.

        Raises:
            PairsError: a file is damaged, the modalities do not fit each other, or the bit depth
                changes inside the recording.
            IndexError: out of range.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.name}")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        if number != self._open:
            self._takes[self._open].close()
            self._open = number
        take, position = self._takes[number], index - int(self._starts[number])
        pair = _fitted(take, position, *take.read(position))
        if pair.tir.dtype != self._tir_dtypes[take.name]:
            raise PairsError(
                f"TIR is {pair.tir.dtype}, the first of its recording "
                f"{self._tir_dtypes[take.name]}",
                take.where(position),
                "keep one bit depth in a recording: split the folder, or convert the odd files",
            )
        return pair

    def recordings(self) -> Mapping[str, Recording]:
        """The recordings by name, in the order of their paths."""
        return {
            take.name: Recording(
                take.name, range(int(start), int(start) + len(take)), take.is_video
            )
            for take, start in zip(self._takes, self._starts[:-1], strict=True)
        }

    def manifest(self) -> Manifest:
        """Every file with size and SHA-256 (reads all of them once), and the licence as given."""
        files = [
            SourceFile(str(path), path.stat().st_size, sha256(path))
            for take in self._takes
            for path in take.files()
        ]
        return Manifest(self.name, self.licence, files)


def _fitted(take: Take, position: int, rgb: np.ndarray, tir: np.ndarray) -> Pair:
    """The pair of two images as stored, both on the RGB grid."""
    where = take.where(position)
    rgb, stored = as_rgb(rgb, where), as_tir(tir, where)
    tir = onto_rgb_grid(rgb, stored, where)
    stored_wh = None if tir is stored else (stored.shape[1], stored.shape[0])
    key = f"{take.name}/{take.stem(position)}"
    return Pair(key, take.name, position, rgb, tir, stored_wh)


def _first_readable(take: Take) -> Pair:
    first: PairsError | None = None
    for position in range(len(take)):
        try:
            images = take.read(position)
        except PairsError as error:
            first = first or error
        else:
            take.close()
            return _fitted(take, position, *images)
    reason = "" if first is None else f" ({first.where}: {first.what})"
    raise PairsError(
        f"not one of its {len(take)} pairs can be read{reason}",
        take.name,
        "copy or export the recording again, or remove it",
    ) from first


class CombinedPairs:
    """Several sources as one, in the order given.

    Raises:
        PairsError: two recordings have the same name.
    """

    def __init__(self, sources: Sequence[PairSource]) -> None:
        self._sources = tuple(sources)
        shown = [source.name for source in sources[:3]]
        more = [f"{len(sources) - 3} more"] if len(sources) > 3 else []
        self.name = " + ".join([*shown, *more])
        self._starts = np.cumsum([0, *(len(source) for source in sources)])
        names = [name for source in sources for name in source.recordings()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PairsError(
                f"two recordings are called {twice[0]}", self.name, "rename one of the folders"
            )

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Pair:
        """One pair of the source that it belongs to."""
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.name}")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._sources[number][index - int(self._starts[number])]

    def recordings(self) -> Mapping[str, Recording]:
        """All recordings, their indices counted through."""
        shifted: dict[str, Recording] = {}
        for source, start in zip(self._sources, self._starts[:-1], strict=True):
            for name, recording in source.recordings().items():
                indices = [int(start) + index for index in recording.indices]
                shifted[name] = Recording(name, indices, recording.is_video)
        return shifted

    def manifest(self) -> Manifest:
        """The files of all; licences are listed once each."""
        parts = [source.manifest() for source in self._sources]
        licences = list(dict.fromkeys(part.licence for part in parts))
        files = [file for part in parts for file in part.files]
        return Manifest(self.name, "; ".join(licences), files)


def open_pairs(
    source: str | Path | Sequence[str | Path],
    *,
    licence: str = "not stated",
    misfits: list[PairsError] | None = None,
) -> PairSource:
    """The pairs in a folder, or in several.

    Args:
        source: a recording (``SEQ/{rgb,tir}``, or ``SEQ/rgb.*`` and ``SEQ/tir.*``), a folder of
            recordings, or a list of either.
        licence: under which the files are held; goes into the manifest.
        misfits: a list that takes what is wrong with a recording that cannot be used, which is then
            left out; without it the first such recording is an error.

    Raises:
        PairsError: a folder is missing or holds no pairs, or a recording cannot be used (stems or
            lengths do not match, no pair can be read, or the modalities of the first that can do
            not fit each other); with ``misfits`` only if none can.
    """
    folders = [Path(source)] if isinstance(source, str | Path) else [Path(one) for one in source]
    if not folders:
        raise PairsError("no folder of pairs was given", fix=_LAYOUT)
    opened = [
        _open_folder(folder, licence, name, misfits)
        for folder, name in zip(folders, _distinct_names(folders), strict=True)
    ]
    if misfits and not any(len(one) for one in opened):
        raise _no_recording(misfits, folders)
    return opened[0] if len(opened) == 1 else CombinedPairs(opened)


def _each(
    use: Callable[[_Given], _Opened], given: Iterable[_Given], misfits: list[PairsError] | None
) -> list[_Opened]:
    """What ``use`` makes of each; one that it refuses goes to ``misfits``, where that is given."""
    made = []
    for one in given:
        try:
            made.append(use(one))
        except PairsError as error:
            if misfits is None:
                raise
            misfits.append(error)
    return made


def _no_recording(misfits: Sequence[PairsError], folders: Sequence[Path]) -> PairsError:
    if len(misfits) == 1:
        return misfits[0]
    return PairsError(
        f"not one of {len(misfits)} recordings can be used, first {misfits[0]}",
        ", ".join(str(folder) for folder in folders),
    )


def _distinct_names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, with its parent's where two would be called the same."""
    paths = [folder.resolve() for folder in folders]
    last = [path.name for path in paths]
    return [
        name if last.count(name) == 1 else f"{path.parent.name}/{name}"
        for path, name in zip(paths, last, strict=True)
    ]


def _open_folder(
    folder: Path, licence: str, name: str, misfits: list[PairsError] | None
) -> FolderPairs:
    if folder.is_file():
        raise PairsError("is a file", folder, "give the folder that holds rgb and tir")
    if not folder.is_dir():
        raise PairsError("there is no such folder", folder, "check the path")
    places = find_takes(folder)
    if not places:
        raise PairsError("no pairs found in this folder or below", folder, _LAYOUT)
    takes = _each(lambda place: _open_take(place, _name_of(place, folder, name)), places, misfits)
    return FolderPairs(name, takes, licence=licence, misfits=misfits)


def _name_of(place: Path, folder: Path, name: str) -> str:
    inside = place.relative_to(folder).as_posix()
    return name if inside == "." else f"{name}/{inside}"


def find_takes(folder: Path, depth: int = MAX_DEPTH) -> list[Path]:
    """The folders at or below ``folder`` that hold a modality, in natural order."""
    if any(_holds(folder, modality) for modality in MODALITIES):
        return [folder]
    if depth == 0:
        return []
    below = sorted((path for path in folder.iterdir() if path.is_dir()), key=natural_key)
    return [take for path in below for take in find_takes(path, depth - 1)]


def _holds(folder: Path, modality: str) -> bool:
    return (folder / modality).is_dir() or bool(_videos(folder, modality))


def _videos(folder: Path, modality: str) -> list[Path]:
    return sorted(
        path
        for path in folder.glob(f"{modality}.*")
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
    )


def _open_take(folder: Path, name: str) -> Take:
    present = [modality for modality in MODALITIES if _holds(folder, modality)]
    if len(present) == 1:
        missing = "tir" if present == ["rgb"] else "rgb"
        raise PairsError(f"holds {present[0]} and no {missing}", folder, _LAYOUT)
    videos = [_videos(folder, modality) for modality in MODALITIES]
    folders = [(folder / modality).is_dir() for modality in MODALITIES]
    for modality, found, is_folder in zip(MODALITIES, videos, folders, strict=True):
        if len(found) + is_folder > 1:
            raise PairsError(
                f"holds {modality} more than once", folder, "keep one folder or one video of each"
            )
    if all(folders):
        return _image_take(folder, name)
    if any(folders):
        raise PairsError(
            "one modality is a folder of images, the other a video",
            folder,
            "give both as images or both as videos",
        )
    return VideoTake(name, videos[0][0], videos[1][0])


def _image_take(folder: Path, name: str) -> ImageTake:
    rgb, tir = (_images_by_stem(folder / modality) for modality in MODALITIES)
    alone = sorted(rgb.keys() ^ tir.keys(), key=natural_key)
    if alone:
        first = ", ".join(alone[:3]) + (", ..." if len(alone) > 3 else "")
        raise PairsError(
            f"rgb has {len(rgb)} images, tir {len(tir)}, and {len(alone)} stems are in one of them "
            f"only ({first})",
            folder,
            "give both images of a pair the same stem, or remove those without a partner",
        )
    stems = sorted(rgb, key=natural_key)
    return ImageTake(
        name,
        tuple(rgb[stem] for stem in stems),
        tuple(tir[stem] for stem in stems),
        counts_up(stems),
    )


def _images_by_stem(folder: Path) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_KINDS or path.name.startswith("."):
            continue
        if path.stem in images:
            raise PairsError(
                f"two images have the stem {path.stem} ({images[path.stem].name}, {path.name})",
                folder,
                "keep one of them",
            )
        images[path.stem] = path
    if not images:
        raise PairsError("holds no image", folder, f"supported: {' '.join(sorted(IMAGE_KINDS))}")
    return images


def natural_key(name: str | Path) -> list[tuple[int, int, str]]:
    """Sorts ``frame2`` before ``frame10``.

    >>> sorted(["f10", "f2", "f1"], key=natural_key)
    ['f1', 'f2', 'f10']
    """
    text = name.name if isinstance(name, Path) else name
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", text)
        if part
    ]


def counts_up(stems: Sequence[str]) -> bool:
    """Whether stems are frames of a video: at least three, one prefix, numbers without a gap.

    >>> counts_up(["000001", "000002", "000003"]), counts_up(["190001", "190002", "200002"])
    (True, False)
    """
    matches = [re.fullmatch(r"(.*?)(\d+)", stem) for stem in stems]
    parts = [(match[1], int(match[2])) for match in matches if match]
    if len(parts) != len(stems) or len(stems) < 3 or len({prefix for prefix, _ in parts}) > 1:
        return False
    numbers = [number for _, number in parts]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _read_image(path: Path) -> np.ndarray:
    try:
        return media.read_image(path)
    except FrameError as error:
        raise PairsError(error.what, path, "replace or remove the pair") from error


def as_rgb(image: np.ndarray, where: str) -> np.ndarray:
    """``[H,W,3]`` uint8 of an RGB image that may be stored as grey."""
    if image.dtype != np.uint8:
        raise PairsError(f"RGB is {image.dtype}", where, "save RGB with 8 bits a channel")
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image[:, :, :3]


def as_tir(image: np.ndarray, where: str) -> np.ndarray:
    """``[H,W]``: the channels of a grey picture that was stored in colour are averaged.

    Raises:
        PairsError: the channels differ: a palette was painted over the picture.
    """
    if image.ndim == 2:
        return image
    apart = np.abs(image[::4, ::4, 0].astype(np.float32) - image[::4, ::4, 2]).mean()
    if apart > MAX_COLOUR * np.iinfo(image.dtype).max:
        raise PairsError(
            f"TIR is coloured by a palette (red and blue differ by {apart:.0f} on average)",
            where,
            "export TIR as grey, white-hot",
        )
    mean = image[:, :, :3].mean(axis=2, dtype=np.float32)
    if np.issubdtype(image.dtype, np.integer):
        mean = np.rint(mean)
    grey: np.ndarray = mean.astype(image.dtype)
    return grey


def fits(shape_rgb: tuple[int, ...], shape_tir: tuple[int, ...]) -> bool:
    """Whether two grids show one field of view: equal aspect ratio, to two pixels."""
    scaled = shape_tir[1] * shape_rgb[0] / shape_tir[0]
    return abs(scaled - shape_rgb[1]) <= ASPECT_TOLERANCE_PX


def onto_rgb_grid(rgb: np.ndarray, tir: np.ndarray, where: str) -> np.ndarray:
    """TIR ``[H',W']`` on the grid of RGB ``[H,W,3]``; unchanged where the sizes are equal.

    Raises:
        PairsError: the aspect ratios differ.
    """
    if tir.shape == rgb.shape[:2]:
        return tir
    if not fits(rgb.shape, tir.shape):
        raise PairsError(
            f"RGB is {rgb.shape[1]}x{rgb.shape[0]} and TIR {tir.shape[1]}x{tir.shape[0]}: they "
            "cannot show the same field of view",
            where,
            "register the pair first (both cut to the common field of view, on one grid)",
        )
    return resample(tir, rgb.shape[0], rgb.shape[1])


def resample(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """``[H,W]`` resized with the same depth: linear, with averaging where it gets smaller."""
    from PIL import Image

    plane = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
    resized = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
    if np.issubdtype(image.dtype, np.integer):
        resized = np.rint(resized)
    whole: np.ndarray = resized.astype(image.dtype)
    return whole
