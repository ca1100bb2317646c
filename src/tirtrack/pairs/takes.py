"""Recordings of a rig as they lie on the disk.

Layouts, found by looking and never by asking::

    SEQ/rgb/STEM.jpg  SEQ/tir/STEM.png      images with equal stems
    SEQ/rgb.mp4       SEQ/tir.mp4           two videos of equal length, frame k is one instant
    FOLDER/.../SEQ                          any number of either, up to four levels down

Only images and videos called or below ``rgb`` and ``tir`` are ever opened: a label file that lies
beside them, or among them, is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from tirtrack import media
from tirtrack.errors import FrameError, PairsError
from tirtrack.images import IMAGE_KINDS
from tirtrack.pairs.video import VideoFrames
from tirtrack.video import VIDEO_SUFFIXES

MODALITIES = ("rgb", "tir")
MAX_DEPTH = 4
LAYOUT = "put images with equal stems into rgb/ and tir/, or two videos rgb.mp4 and tir.mp4"


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
        return _read_image(self.files_rgb[position]), _read_tir(self.files_tir[position])

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


def open_take(folder: Path, name: str) -> Take:
    """The recording in a folder of :func:`find_takes`.

    Args:
        folder: holds at least one of both modalities.
        name: of the recording.

    Raises:
        PairsError: a modality is missing or there twice, both do not fit, or a file is damaged.
    """
    present = [modality for modality in MODALITIES if _holds(folder, modality)]
    if len(present) == 1:
        missing = "tir" if present == ["rgb"] else "rgb"
        raise PairsError(f"holds {present[0]} and no {missing}", folder, LAYOUT)
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


def _read_tir(path: Path) -> np.ndarray:
    """As a source of frames reads it: of a radiometric JPEG the counts."""
    try:
        return media.read_frame(path)
    except FrameError as error:
        raise PairsError(error.what, path, "replace or remove the pair") from error
