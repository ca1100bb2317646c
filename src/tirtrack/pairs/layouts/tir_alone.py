"""TIR alone: a folder of frames or a video where nothing pairs and no name is a spelling of RGB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tirtrack.images import IMAGE_KINDS
from tirtrack.pairs.camera_names import Pairing, camera_stem
from tirtrack.pairs.layouts.listing import MAX_DEPTH, bare, folders_and_videos, has_frames
from tirtrack.pairs.mixed_files import VIDEO_KINDS, files_of_kinds
from tirtrack.pairs.stems import natural_key


def find_tir(folder: Path, pairing: Pairing, depth: int = MAX_DEPTH) -> list[Path]:
    """The folders with frames at or below ``folder``, or the video itself, as recordings of TIR
    alone: none if the user named an RGB camera, if a name is a spelling of one, or, unless TIR
    alone is asked for, where two folders or videos side by side may be two cameras.
    """
    if pairing.rgb is not None or _names_rgb(folder):
        return []
    if folder.is_file():
        return [folder] if folder.suffix.lower() in VIDEO_KINDS else []
    if not pairing.tir_alone and _may_be_two_cameras(folders_and_videos(folder)):
        return []
    if has_frames(folder):
        return [folder]
    below = sorted((path for path in folder.iterdir() if path.is_dir()), key=natural_key)
    if depth == 0 or any(map(_names_rgb, below)):
        return []
    return [take for path in below for take in find_tir(path, pairing, depth - 1)]


def _may_be_two_cameras(paths: Sequence[Path]) -> bool:
    """Whether these are two videos, not both of a thermal camera, or two folders with frames of the
    same names.
    """
    if len(paths) != 2 or paths[0].is_dir() != paths[1].is_dir():
        return False
    if paths[0].is_file():
        return not all(path.suffix.lower() == ".cptv" for path in paths)
    stems = [{file.stem for file in files_of_kinds(path, IMAGE_KINDS)} for path in paths]
    return bool(stems[0]) and stems[0] == stems[1]


def _names_rgb(path: Path) -> bool:
    """Whether the name of a folder or video, or that of each frame in it, has the spelling of an
    RGB camera.
    """
    frames = files_of_kinds(path, {*IMAGE_KINDS, *VIDEO_KINDS}) if path.is_dir() else []
    stems = [bare(path)], [frame.stem for frame in frames]
    return any(
        bool(names) and all(camera_stem(name, "rgb", Pairing()) for name in names)
        for names in stems
    )
