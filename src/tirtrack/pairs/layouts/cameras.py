"""Two cameras, told apart by the names of folders, videos and files: the layout of most rigs.

Forms::

    SEQ/rgb/STEM.jpg  SEQ/tir/STEM.png      images, matched by their stems or by time
    SEQ/rgb.mp4       SEQ/tir.mp4           two videos, frame k is one instant
    SEQ/STEM_V.jpg    SEQ/STEM_T.jpg        both cameras in one folder, images or videos
    A_rgb/  A_tir/  B_rgb/  B_tir/          recordings side by side
    rgb/SEQ/STEM.jpg  tir/SEQ/STEM.png      recordings below the cameras
    FOLDER/.../SEQ                          any number of these, up to four levels down

With ``Pairing.tir_alone`` the TIR half of a recording is taken by itself.
``visible`` and ``infrared``, ``VIS`` and ``IR`` and the other spellings of ``camera_names`` mean
the same as ``rgb`` and ``tir``, also as words of a folder's name (``thermal_8_bit``); the user
gives any other names. Two candidates for a camera are an error. Only images and videos of the two
cameras are ever opened: a label file beside them, or among them, never is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tirtrack.errors import PairsError
from tirtrack.images import IMAGE_KINDS
from tirtrack.pairs.camera_names import MODALITIES, SPELLINGS, Pairing, camera_stem, named
from tirtrack.pairs.layouts.listing import (
    LISTED,
    bare,
    beside,
    folders_and_videos,
    folders_with_frames,
    has_frames,
    images_by_stem,
    refused_recording,
    shown,
)
from tirtrack.pairs.layouts.matched_files import image_take, video_takes
from tirtrack.pairs.mixed_files import VIDEO_KINDS, files_of_kinds, mixed_files
from tirtrack.pairs.recordings import Take, VideoTake
from tirtrack.pairs.stems import Matcher, matched_stems, natural_key

LAYOUT = (
    "put images with equal stems into rgb/ and tir/, or two videos rgb.mp4 and tir.mp4, or name "
    "the two cameras with --rgb NAME --tir NAME"
)


@dataclass(frozen=True)
class Cameras:
    """The layout of two cameras that are told apart by their names."""

    name: str = "cameras"
    looked_for: str = "rgb/ and tir/, rgb.mp4 and tir.mp4, or *_rgb.* and *_tir.*, in any spelling"

    def holds(self, folder: Path, pairing: Pairing) -> bool:
        """Whether recordings of both cameras lie in this very folder, or of one of them under an
        unambiguous camera name.
        """
        return folder.is_dir() and _holds_recording(folder, pairing)

    def takes(self, place: Path, name: str, pairing: Pairing) -> list[Take]:
        """The recordings of a place."""
        return open_takes(place, name, pairing)


CAMERAS = Cameras()


def is_tir_half(folder: Path, pairing: Pairing) -> bool:
    """Whether a folder of :class:`Cameras` holds the TIR camera and nothing else that has frames,
    no picture named like the RGB camera either, and the user named no RGB camera.
    """
    sides = _sides(folder, pairing)
    frames = [path for path in folders_and_videos(folder) if has_frames(path)]
    is_half = bool(sides["tir"]) and not sides["rgb"] and frames == sides["tir"]
    return is_half and pairing.rgb is None and not _rgb_pictures(folder)


def open_takes(folder: Path, name: str, pairing: Pairing) -> list[Take]:
    """The recordings in a folder of :class:`Cameras`, or, with ``pairing.tir_alone``, at a place
    of :func:`~tirtrack.pairs.layouts.tir_alone.find_tir`.

    Args:
        folder: folder that holds at least one recording, or a TIR video.
        name: name of the recording; several videos in one folder add their shared name.
        pairing: settings by which the user names the cameras.

    Raises:
        PairsError: a modality is missing or found twice, both do not match, or a file is damaged.
    """
    if folder.is_file():
        return takes_of_two((folder, folder), name, pairing, folder.parent)
    sides = _sides(folder, pairing)
    pictures = [] if sides["rgb"] or pairing.tir_alone else _rgb_pictures(folder)
    is_one_file = bool(pictures) and all(one.suffix.lower() == ".cptv" for one in sides["tir"])
    if is_one_file or not any(sides.values()):  # a CPTV file may hold one frame, and be a picture
        return _takes_of_mixed_files(folder, name, pairing)
    if pictures and sides["tir"]:
        alone = shown(sides["tir"][0])
        raise PairsError(
            f"of RGB there is the picture {pictures[0].name} alone, and TIR is {alone}",
            folder,
            f"give RGB in the same way, or {alone} itself to train on TIR alone",
        )
    if several := _several(sides):
        return [
            take
            for key, pair in several.items()
            for take in takes_of_two(pair, f"{name}/{key}", pairing, folder)
        ]
    tir = _only(folder, "tir", sides["tir"])
    rgb = tir if pairing.tir_alone else _only(folder, "rgb", sides["rgb"])
    return takes_of_two((rgb, tir), name, pairing, folder)


def takes_of_two(
    sides: tuple[Path, Path],
    name: str,
    pairing: Pairing,
    folder: Path,
    *,
    match: Matcher = matched_stems,
    assumed: str | None = None,
) -> list[Take]:
    """The recording, or recordings, of two folders or videos.

    Args:
        sides: the RGB and the TIR folder or video.
        name: name of the recording, or what the names of several begin with.
        pairing: settings by which the user names the cameras.
        folder: folder that holds both, for messages.
        match: rule that matches the stems of images.
        assumed: what was assumed about names; ``None``: which name is which camera's.

    Raises:
        PairsError: both are of different kinds, frames do not match, or a file is damaged.
    """
    rgb, tir = sides = (sides[1], sides[1]) if pairing.tir_alone else sides
    if rgb.is_dir() != tir.is_dir():
        raise PairsError(
            "one modality is a folder of images, the other a video",
            folder,
            "give both as images or both as videos",
        )
    if assumed is None:
        assumed = _which_is_which(rgb, tir, name, pairing)
    if not rgb.is_dir():
        return [VideoTake(name, None if pairing.tir_alone else rgb, tir, pairing, assumed=assumed)]
    below = [folders_with_frames(one) for one in sides]
    if not all(below) or any(map(has_frames, sides)):
        return _takes_of_folders(sides, name, pairing, folder, assumed, match)
    if alone := sorted(below[0].keys() ^ below[1].keys()):
        raise PairsError(
            f"{len(alone)} folders are in one of {shown(rgb)} and {shown(tir)} only "
            f"({', '.join(alone[:LISTED])})",
            folder,
            "give both cameras a folder for each recording, or remove those without a partner",
        )
    return [
        take
        for key in sorted(below[0], key=natural_key)
        for take in _takes_of_folders(
            (below[0][key], below[1][key]), f"{name}/{key}", pairing, folder / key, assumed, match
        )
    ]


def _which_is_which(rgb: Path, tir: Path, name: str, pairing: Pairing) -> str:
    if pairing.tir_alone:
        which = "" if name.endswith((tir.name, bare(tir))) else f"{shown(tir)} "
        return "" if bare(tir) == "tir" else f"{which}taken for TIR alone"
    usual = (bare(rgb), bare(tir)) == MODALITIES
    return "" if usual else f"{shown(rgb)} is RGB, {shown(tir)} is TIR"


def _takes_of_folders(
    sides: tuple[Path, Path],
    name: str,
    pairing: Pairing,
    folder: Path,
    assumed: str,
    match: Matcher,
) -> list[Take]:
    """The recording of two folders of images, or the recordings of two folders of videos."""
    videos = [files_of_kinds(one, VIDEO_KINDS) for one in sides]
    pictures = IMAGE_KINDS.keys() - VIDEO_KINDS
    if all(videos) and not any(files_of_kinds(one, pictures) for one in sides):
        named_videos = [[(file.stem, file) for file in side] for side in videos]
        return video_takes(name, named_videos, pairing, folder, assumed)
    images = [list(images_by_stem(one).items()) for one in sides]
    return [image_take(name, images, pairing, folder, assumed, match)]


def _holds_recording(folder: Path, pairing: Pairing) -> bool:
    sides = _sides(folder, pairing)
    return any(sides.values()) or mixed_files(folder, pairing) is not None


def _sides(folder: Path, pairing: Pairing) -> dict[str, list[Path]]:
    """The folders and videos that may be each camera; none at all if the only one has an ambiguous
    spelling (``vis``, ``t``).
    """
    inside = folders_and_videos(folder)
    sides = {modality: _candidates(inside, modality, pairing) for modality in MODALITIES}
    sure = any(_is_sure(path, one, pairing) for one, paths in sides.items() for path in paths)
    return sides if sure or all(sides.values()) else {modality: [] for modality in MODALITIES}


def _candidates(inside: Sequence[Path], modality: str, pairing: Pairing) -> list[Path]:
    """Those named like the camera; else folders with such a word in their names, or, if the user
    gave a part of file names, those with a usual name whose files have that part.
    """
    if found := named(inside, modality, pairing):
        return [one for one in found if _is_sure(one, modality, pairing) or _may_be_camera(one)]
    folders = [path for path in inside if path.is_dir() and has_frames(path)]
    if pairing.name_of(modality) is None:
        return [path for path in folders if _word(path, modality)]
    return [
        path for path in named(folders, modality, Pairing()) if _all_carry(path, modality, pairing)
    ]


def _rgb_pictures(folder: Path) -> list[Path]:
    """The pictures that have the RGB camera's name and no other word."""
    pictures = files_of_kinds(folder, IMAGE_KINDS.keys() - VIDEO_KINDS)
    return [one for one in pictures if one.stem.casefold() in SPELLINGS["rgb"]]


def _word(folder: Path, modality: str) -> bool:
    """Whether a word of more than one letter in a folder's name is a spelling of the camera."""
    found = camera_stem(folder.name, modality, Pairing())
    return found is not None and sum(letter.isalpha() for letter in found.part) > 1


def _all_carry(folder: Path, modality: str, pairing: Pairing) -> bool:
    """Whether the name that the user gave occurs in the names of all frames of a folder."""
    frames = files_of_kinds(folder, {*IMAGE_KINDS, *VIDEO_KINDS})
    return all(camera_stem(frame.stem, modality, pairing) for frame in frames)


def _is_sure(path: Path, modality: str, pairing: Pairing) -> bool:
    return pairing.name_of(modality) is not None or bare(path).casefold() in MODALITIES


def _may_be_camera(path: Path) -> bool:
    """Whether it holds frames, or folders of frames that are no recordings of both cameras."""
    if has_frames(path):
        return True
    return bool(folders_with_frames(path)) and not _holds_recording(path, Pairing())


def _several(sides: Mapping[str, Sequence[Path]]) -> dict[str, tuple[Path, Path]]:
    """Folders of several recordings side by side (``yard_rgb`` and ``yard_tir``), by the part that
    the two names share; empty if there is one of each, or nothing is shared.
    """
    keyed = []
    for modality in MODALITIES:
        stems = [camera_stem(path.name, modality, Pairing()) for path in sides[modality]]
        keyed.append(
            {stem.key: path for stem, path in zip(stems, sides[modality], strict=True) if stem}
        )
    rgb, tir = keyed
    one_each = all(len(rgb) == len(sides[modality]) for modality in MODALITIES)
    if len(rgb) < 2 or rgb.keys() != tir.keys() or not one_each:
        return {}
    return {key: (rgb[key], tir[key]) for key in rgb}


def _only(folder: Path, modality: str, found: Sequence[Path]) -> Path:
    if not found:
        other = next(one for one in MODALITIES if one != modality)
        alone = "; to train on TIR alone, give its folder itself" if other == "tir" else ""
        fix = f"{LAYOUT}{beside(folder)}{alone}"
        raise PairsError(f"holds {other} and no {modality}", folder, fix)
    if len(found) > 1:
        names = " and ".join(shown(path) for path in found)
        raise PairsError(
            f"holds {modality} more than once: {names}",
            folder,
            f"say which with --{modality} {found[0].name}, or keep one of them",
        )
    return found[0]


def no_takes(folder: Path) -> PairsError:
    """The error for a folder without any recording; lists its content."""
    if refused := refused_recording(folder):
        return refused
    if not any(folder.iterdir()):
        return PairsError("no pairs found, the folder is empty", folder, "check the path")
    return PairsError(
        "no pairs found in this folder or below",
        folder,
        f"{LAYOUT}{beside(folder)}; for TIR alone, give each folder of frames or video by itself",
    )


def _takes_of_mixed_files(folder: Path, name: str, pairing: Pairing) -> list[Take]:
    """The recordings of a folder that holds the files of both cameras."""
    found = mixed_files(folder, pairing)
    if found is None:
        if pairing.tir_alone:
            return takes_of_two((folder, folder), name, pairing, folder.parent)
        raise no_takes(folder)
    found.check_one_each(folder)
    files = [found.files["tir" if pairing.tir_alone else modality] for modality in MODALITIES]
    if files[0][0][1].suffix.lower() in VIDEO_KINDS:
        return video_takes(name, files, pairing, folder, found.said)
    return [image_take(name, files, pairing, folder, found.said)]
