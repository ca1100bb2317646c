"""What lies in a folder of recordings: folders, videos and images that may be a camera's frames.

Only names are read here.
"""

from __future__ import annotations

import os
from pathlib import Path

from tirtrack.errors import PairsError
from tirtrack.formats.foreign import CAMERA_FILES, foreign_format
from tirtrack.images import IMAGE_KINDS, frame_files
from tirtrack.pairs.mixed_files import VIDEO_KINDS, files_of_kinds
from tirtrack.pairs.stems import natural_key

LISTED = 8
MAX_DEPTH = 4


def folders_and_videos(folder: Path) -> list[Path]:
    """The folders and videos in a folder, by name."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() or (path.suffix.lower() in VIDEO_KINDS and path.is_file())
    ]


def has_frames(path: Path) -> bool:
    """Whether it is a video, or a folder with an image or a video in it."""
    kinds = {*IMAGE_KINDS, *VIDEO_KINDS}
    return path.is_file() or any(one.suffix.lower() in kinds for one in path.iterdir())


def folders_with_frames(folder: Path) -> dict[str, Path]:
    """The folders in a folder that have frames, by name."""
    with os.scandir(folder) as inside:  # which knows folders from files without a look at each
        names = sorted(one.name for one in inside if one.is_dir())
    return {name: folder / name for name in names if has_frames(folder / name)}


def bare(path: Path) -> str:
    """The name of a folder, or of a video without its ending."""
    return path.name if path.is_dir() else path.stem


def shown(path: Path) -> str:
    """The name of a folder or video, for messages."""
    return f"{path.name}/" if path.is_dir() else path.name


def beside(folder: Path) -> str:
    """The folders and videos in a folder, for a user who has to name the cameras."""
    names = [
        shown(path)
        for path in sorted(folder.iterdir(), key=natural_key)
        if path.is_dir() or path.suffix.lower() in VIDEO_KINDS
    ]
    more = ", ..." if len(names) > LISTED else ""
    return f" (there are {', '.join(names[:LISTED])}{more})" if names else ""


def refused_recording(place: Path) -> PairsError | None:
    """The error for recordings of a camera whose format is named and refused: a file, or those in a
    folder.
    """
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    found = next((one for one in files if one.suffix.lower() in CAMERA_FILES), None)
    foreign = None if found is None else foreign_format(b"", found.suffix)
    if found is None or foreign is None:
        return None
    return PairsError(f"{foreign.name} cannot be read", found, foreign.fix)


def images_by_stem(folder: Path) -> dict[str, Path]:
    """The images of a folder by stem, in order of their names.

    Raises:
        PairsError: there are none, or two have one stem.
    """
    images: dict[str, Path] = {}
    for path in frame_files(files_of_kinds(folder, IMAGE_KINDS)):
        if path.stem in images:
            raise PairsError(
                f"two images have the stem {path.stem} ({images[path.stem].name}, {path.name})",
                folder,
                "keep one of them",
            )
        images[path.stem] = path
    if not images:
        if refused := refused_recording(folder):
            raise refused
        inside = beside(folder)
        fix = f"supported: {' '.join(sorted(IMAGE_KINDS))}"
        if inside:
            fix += f"; frames are not looked for in folders of it{inside}"
        raise PairsError("holds no image", folder, fix)
    return images
