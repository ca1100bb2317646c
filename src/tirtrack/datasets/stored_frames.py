"""Where the frames of a stored sequence lie, and how they are opened.

Only paths are passed around, neither pixels nor open files, so that a sequence can be sent to a
worker process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.errors import DatasetError
from tirtrack.images import IMAGE_KINDS, PICTURE_SUFFIXES
from tirtrack.media import declared_no_data, frames, source_files
from tirtrack.read_options import AS_STORED, ReadOptions
from tirtrack.valid_pixels import marked

IMAGE_FOLDER = "img"
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".avi", ".mkv", ".mov", ".webm"})


@dataclass(frozen=True)
class StoredFrames:
    """Opens the frames of a folder of images or of a video, at full bit depth. Where its files
    declare a value for pixels without a measurement, or the user names one, such pixels are marked.

    ``numbers`` are those in the names of the images that count, where the folder holds more.
    """

    source: Path
    every: int = 1
    options: ReadOptions = AS_STORED
    numbers: range | None = None

    def __call__(self) -> Iterator[np.ndarray]:
        """The frames from the first on, each ``[H,W]`` or ``[H,W,3]`` RGB; one in ``every``."""
        read = islice(frames(self.opened, options=self.options), 0, None, self.every)
        no_data = self.options.no_data
        if no_data is None:
            first = source_files(self.opened, self.options)[0]
            no_data = declared_no_data(first, self.options)
        if no_data is None or isinstance(no_data, str):
            return (frame.image for frame in read)
        return (_marked(frame.image, no_data) for frame in read)

    @property
    def opened(self) -> Path | list[Path]:
        """What is read: the folder or video, or the chosen images in the order of their numbers."""
        if self.numbers is None:
            return self.source
        return sorted(image_files(self.source, self.numbers), key=lambda path: int(path.stem))

    def files(self) -> list[Path]:
        """The video, or the images in no particular order."""
        if self.source.is_dir():
            return image_files(self.source, self.numbers)
        return [self.source]


def _marked(image: np.ndarray, no_data: float) -> np.ndarray:
    """As :func:`marked`, but all frames of counts become floats, whether or not they hold such
    pixels.
    """
    found = marked(image, no_data)
    return found.astype(np.float32) if found.dtype == np.uint16 else found


def read_options(dataset: LabelledDataset) -> ReadOptions:
    """The options with which the frames of a data set are read."""
    opened = [one.open_frames for one in dataset.sequences]
    return next((one.options for one in opened if isinstance(one, StoredFrames)), AS_STORED)


def read_with(dataset: LabelledDataset, options: ReadOptions) -> LabelledDataset:
    """The same data set with its frames read in another way."""
    return replace(dataset, sequences=tuple(_read_with(one, options) for one in dataset.sequences))


def _read_with(sequence: LabelledSequence, options: ReadOptions) -> LabelledSequence:
    opened, all_frames = sequence.open_frames, sequence.open_all
    if isinstance(opened, StoredFrames):
        opened = replace(opened, options=options)
    if isinstance(all_frames, StoredFrames):
        all_frames = replace(all_frames, options=options)
    return replace(sequence, open_frames=opened, open_all=all_frames)


@dataclass(frozen=True)
class NoFrames:
    """Placeholder for the frames of a sequence that was opened for its annotation alone."""

    sequence: str

    def __call__(self) -> Iterator[np.ndarray]:
        """Refuses.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(
            "only the annotation was opened", self.sequence, "open the data set with its frames"
        )


def image_files(folder: Path, numbers: range | None = None) -> list[Path]:
    """The images directly in a folder, as its reader takes them, in no particular order.

    Args:
        folder: the folder.
        numbers: numbers in the names of the images that count; ``None`` for all images.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        images = [Path(entry.path) for entry in entries if is_image(entry.name)]
    images = [path for path in images if path.suffix.lower() in PICTURE_SUFFIXES] or images
    if numbers is None:
        return images
    return [path for path in images if path.stem.isdecimal() and int(path.stem) in numbers]


def count_images(folder: Path, numbers: range | None = None) -> int:
    """The number of images directly in a folder, as its reader takes them; 0 if there are none."""
    return len(image_files(folder, numbers))


def count_frames(
    source: Path, options: ReadOptions = AS_STORED, numbers: range | None = None
) -> int:
    """The number of frames of a folder of images or a video; a video is decoded to count them."""
    if source.is_dir():
        return count_images(source, numbers)
    return sum(1 for _ in frames(source, options=options))


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


def check_count(source: Path, rows: int, *, annotation: Path, numbers: range | None = None) -> None:
    """Refuse a folder of images with another number of images than the annotation has rows.

    A video is counted when it is decoded.

    Raises:
        DatasetError: the numbers differ.
    """
    if source.is_dir() and (images := count_images(source, numbers)) != rows:
        raise DatasetError(
            f"has {images} images, its annotation {annotation.name} has {rows} rows",
            source,
            "one row a frame: complete the images or correct the annotation",
        )
