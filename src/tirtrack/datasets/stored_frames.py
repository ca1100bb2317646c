"""Where the frames of a stored sequence lie, and how they are opened.

What is passed around is a path, not pixels and not an open file, so that a sequence can be sent to
a worker process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from tirtrack.errors import DatasetError
from tirtrack.images import IMAGE_KINDS, PICTURE_SUFFIXES
from tirtrack.media import declared_no_data, frames, source_files
from tirtrack.valid_pixels import marked

IMAGE_FOLDER = "img"
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".avi", ".mkv", ".mov", ".webm"})


@dataclass(frozen=True)
class StoredFrames:
    """Opens the frames of a folder of images or of a video, at full bit depth. Where its files
    declare a value for pixels without a measurement, these are marked.
    """

    source: Path
    every: int = 1

    def __call__(self) -> Iterator[np.ndarray]:
        """The frames from the first on, each ``[H,W]`` or ``[H,W,3]`` RGB; one in ``every``."""
        read = islice(frames(self.source), 0, None, self.every)
        no_data = declared_no_data(source_files(self.source)[0])
        if no_data is None:
            return (frame.image for frame in read)
        return (_marked(frame.image, no_data) for frame in read)


def _marked(image: np.ndarray, no_data: float) -> np.ndarray:
    """See :func:`marked`; frames of counts become floats all alike, whether or not they hold such
    pixels.
    """
    found = marked(image, no_data)
    return found.astype(np.float32) if found.dtype == np.uint16 else found


@dataclass(frozen=True)
class NoFrames:
    """Stands for the frames of a sequence whose annotation alone was asked for."""

    sequence: str

    def __call__(self) -> Iterator[np.ndarray]:
        """Refuses.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(
            "only the annotation was opened", self.sequence, "open the data set with its frames"
        )


def count_images(folder: Path) -> int:
    """How many images lie directly in a folder, as its reader takes them; 0 where there is none."""
    if not folder.is_dir():
        return 0
    with os.scandir(folder) as entries:
        names = [Path(entry.name) for entry in entries if is_image(entry.name)]
    pictures = sum(name.suffix.lower() in PICTURE_SUFFIXES for name in names)
    return pictures or len(names)


def count_frames(source: Path) -> int:
    """How many frames a folder of images or a video has; a video is decoded for it."""
    return count_images(source) if source.is_dir() else sum(1 for _ in frames(source))


def is_image(name: str) -> bool:
    """Whether a file name is that of a visible image file."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_KINDS


def frame_source(folder: Path) -> Path | None:
    """The frames in a sequence's folder: ``img/``, one video, or the images in it.

    Raises:
        DatasetError: there are several videos.
    """
    if count_images(folder / IMAGE_FOLDER):
        return folder / IMAGE_FOLDER
    if (video := only_video(folder)) is not None:
        return video
    return folder if count_images(folder) else None


def only_video(folder: Path) -> Path | None:
    """The video in a folder, if there is one.

    Raises:
        DatasetError: there are several.
    """
    if not folder.is_dir():
        return None
    videos = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
    )
    if len(videos) > 1:
        names = ", ".join(path.name for path in videos[:3])
        raise DatasetError(f"has {len(videos)} videos ({names})", folder, "leave one there")
    return videos[0] if videos else None


def check_count(source: Path, rows: int, *, annotation: Path) -> None:
    """Refuse a folder of images with another number of images than the annotation has rows.

    A video is counted when it is decoded.

    Raises:
        DatasetError: the numbers differ.
    """
    if source.is_dir() and (images := count_images(source)) != rows:
        raise DatasetError(
            f"has {images} images, its annotation {annotation.name} has {rows} rows",
            source,
            "one row a frame: complete the images or correct the annotation",
        )
