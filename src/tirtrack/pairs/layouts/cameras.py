"""How recordings of a rig lie on disk, detected from the names of files and folders.

Layouts::

    SEQ/rgb/STEM.jpg  SEQ/tir/STEM.png      images, matched by their stems or by time
    SEQ/rgb.mp4       SEQ/tir.mp4           two videos, frame k is one instant
    SEQ/STEM_V.jpg    SEQ/STEM_T.jpg        both cameras in one folder, images or videos
    A_rgb/  A_tir/  B_rgb/  B_tir/          recordings side by side
    rgb/SEQ/STEM.jpg  tir/SEQ/STEM.png      recordings below the cameras
    FOLDER/.../SEQ                          any number of these, up to four levels down

Where nothing pairs and no name is a spelling of RGB, images in a folder and videos are recordings
of TIR alone; with ``Pairing.tir_alone`` the TIR half of a recording is one as well.
``visible`` and ``infrared``, ``VIS`` and ``IR`` and the other spellings of ``camera_names`` mean
the same as ``rgb`` and ``tir``, also as words of a folder's name (``thermal_8_bit``); the user
gives any other names. Two candidates for a camera are an error. Only images and videos of the two
cameras are ever opened: a label file beside them, or among them, never is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tirtrack.errors import PairsError
from tirtrack.images import IMAGE_KINDS, frame_files, pixel_header
from tirtrack.pairs.camera_names import MODALITIES, Pairing, camera_stem, named
from tirtrack.pairs.mixed_files import Named, files_of_kinds, mixed_files
from tirtrack.pairs.recordings import ImageTake, Take, VideoTake
from tirtrack.pairs.spreading import spread
from tirtrack.pairs.stems import MatchedFrames, counts_up, matched_stems, natural_key
from tirtrack.video import VIDEO_SUFFIXES

MAX_DEPTH = 4
MAX_VIDEO_INTERVAL_S = 0.5
LAYOUT = (
    "put images with equal stems into rgb/ and tir/, or two videos rgb.mp4 and tir.mp4, or name "
    "the two cameras with --rgb NAME --tir NAME"
)
_LISTED = 8
_HEADERS = 16


def find_takes(folder: Path, pairing: Pairing, depth: int = MAX_DEPTH) -> list[Path]:
    """The folders at or below ``folder`` that hold recordings of both cameras, or of one of them
    under an unambiguous camera name, in natural order.
    """
    if _holds_recording(folder, pairing):
        return [folder]
    if depth == 0:
        return []
    below = sorted((path for path in folder.iterdir() if path.is_dir()), key=natural_key)
    return [take for path in below for take in find_takes(path, pairing, depth - 1)]


def is_tir_half(folder: Path, pairing: Pairing) -> bool:
    """Whether a folder of :func:`find_takes` holds the TIR camera and nothing else that has frames,
    and the user named no RGB camera.
    """
    sides = _sides(folder, pairing)
    frames = [path for path in _folders_and_videos(folder) if _has_frames(path)]
    is_half = bool(sides["tir"]) and not sides["rgb"] and frames == sides["tir"]
    return is_half and pairing.rgb is None


def find_tir(folder: Path, pairing: Pairing, depth: int = MAX_DEPTH) -> list[Path]:
    """The folders with frames at or below ``folder``, or the video itself, as recordings of TIR
    alone: none if the user named an RGB camera, if a name is a spelling of one, or, unless TIR
    alone is asked for, where two folders or videos side by side may be two cameras.
    """
    if pairing.rgb is not None or _names_rgb(folder):
        return []
    if folder.is_file():
        return [folder] if folder.suffix.lower() in VIDEO_SUFFIXES else []
    if not pairing.tir_alone and _may_be_two_cameras(_folders_and_videos(folder)):
        return []
    if _has_frames(folder):
        return [folder]
    below = sorted((path for path in folder.iterdir() if path.is_dir()), key=natural_key)
    if depth == 0 or any(map(_names_rgb, below)):
        return []
    return [take for path in below for take in find_tir(path, pairing, depth - 1)]


def _may_be_two_cameras(paths: Sequence[Path]) -> bool:
    """Whether these are two videos, or two folders with frames of the same names."""
    if len(paths) != 2 or paths[0].is_dir() != paths[1].is_dir():
        return False
    if paths[0].is_file():
        return True
    stems = [{file.stem for file in files_of_kinds(path, IMAGE_KINDS)} for path in paths]
    return bool(stems[0]) and stems[0] == stems[1]


def _names_rgb(path: Path) -> bool:
    """Whether the name of a folder or video, or that of each frame in it, has the spelling of an
    RGB camera.
    """
    frames = files_of_kinds(path, {*IMAGE_KINDS, *VIDEO_SUFFIXES}) if path.is_dir() else []
    stems = [_bare(path)], [frame.stem for frame in frames]
    return any(
        bool(names) and all(camera_stem(name, "rgb", Pairing()) for name in names)
        for names in stems
    )


def open_takes(folder: Path, name: str, pairing: Pairing) -> list[Take]:
    """The recordings in a folder of :func:`find_takes`, or, with ``pairing.tir_alone``, at a place
    of :func:`find_tir`.

    Args:
        folder: folder that holds at least one recording, or a TIR video.
        name: name of the recording; several videos in one folder add their shared name.
        pairing: settings by which the user names the cameras.

    Raises:
        PairsError: a modality is missing or found twice, both do not match, or a file is damaged.
    """
    if folder.is_file():
        return _takes_of_two((folder, folder), name, pairing, folder.parent)
    sides = _sides(folder, pairing)
    if not any(sides.values()):
        return _takes_of_mixed_files(folder, name, pairing)
    if several := _several(sides):
        return [
            take
            for key, pair in several.items()
            for take in _takes_of_two(pair, f"{name}/{key}", pairing, folder)
        ]
    tir = _only(folder, "tir", sides["tir"])
    rgb = tir if pairing.tir_alone else _only(folder, "rgb", sides["rgb"])
    return _takes_of_two((rgb, tir), name, pairing, folder)


def _takes_of_two(
    sides: tuple[Path, Path], name: str, pairing: Pairing, folder: Path
) -> list[Take]:
    """The recording, or recordings, of two folders or videos."""
    rgb, tir = sides = (sides[1], sides[1]) if pairing.tir_alone else sides
    if rgb.is_dir() != tir.is_dir():
        raise PairsError(
            "one modality is a folder of images, the other a video",
            folder,
            "give both as images or both as videos",
        )
    usual = (_bare(rgb), _bare(tir)) == MODALITIES
    assumed = "" if usual else f"{_shown(rgb)} is RGB, {_shown(tir)} is TIR"
    if pairing.tir_alone:
        which = "" if name.endswith((tir.name, _bare(tir))) else f"{_shown(tir)} "
        assumed = "" if _bare(tir) == "tir" else f"{which}taken for TIR alone"
    if not rgb.is_dir():
        return [VideoTake(name, None if pairing.tir_alone else rgb, tir, pairing, assumed=assumed)]
    below = [_folders_with_frames(one) for one in sides]
    if not all(below) or any(map(_has_frames, sides)):
        return _takes_of_folders(sides, name, pairing, folder, assumed)
    if alone := sorted(below[0].keys() ^ below[1].keys()):
        raise PairsError(
            f"{len(alone)} folders are in one of {_shown(rgb)} and {_shown(tir)} only "
            f"({', '.join(alone[:_LISTED])})",
            folder,
            "give both cameras a folder for each recording, or remove those without a partner",
        )
    return [
        take
        for key in sorted(below[0], key=natural_key)
        for take in _takes_of_folders(
            (below[0][key], below[1][key]), f"{name}/{key}", pairing, folder / key, assumed
        )
    ]


def _takes_of_folders(
    sides: tuple[Path, Path], name: str, pairing: Pairing, folder: Path, assumed: str
) -> list[Take]:
    """The recording of two folders of images, or the recordings of two folders of videos."""
    videos = [files_of_kinds(one, VIDEO_SUFFIXES) for one in sides]
    if all(videos) and not any(files_of_kinds(one, IMAGE_KINDS) for one in sides):
        named_videos = [[(file.stem, file) for file in side] for side in videos]
        return _video_takes(name, named_videos, pairing, folder, assumed)
    images = [list(_images_by_stem(one).items()) for one in sides]
    return [_image_take(name, images, pairing, folder, assumed)]


# --- which folders and files are the cameras' ----------------------------------------------------


def _holds_recording(folder: Path, pairing: Pairing) -> bool:
    sides = _sides(folder, pairing)
    return any(sides.values()) or mixed_files(folder, pairing) is not None


def _sides(folder: Path, pairing: Pairing) -> dict[str, list[Path]]:
    """The folders and videos that may be each camera; none at all if the only one has an ambiguous
    spelling (``vis``, ``t``).
    """
    inside = _folders_and_videos(folder)
    sides = {modality: _candidates(inside, modality, pairing) for modality in MODALITIES}
    sure = any(_is_sure(path, one, pairing) for one, paths in sides.items() for path in paths)
    return sides if sure or all(sides.values()) else {modality: [] for modality in MODALITIES}


def _folders_and_videos(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() or (path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    ]


def _candidates(inside: Sequence[Path], modality: str, pairing: Pairing) -> list[Path]:
    """Those named like the camera; else folders with such a word in their names, or, if the user
    gave a part of file names, those with a usual name whose files have that part.
    """
    if found := named(inside, modality, pairing):
        return [one for one in found if _is_sure(one, modality, pairing) or _may_be_camera(one)]
    folders = [path for path in inside if path.is_dir() and _has_frames(path)]
    if pairing.name_of(modality) is None:
        return [path for path in folders if _word(path, modality)]
    return [
        path for path in named(folders, modality, Pairing()) if _all_carry(path, modality, pairing)
    ]


def _word(folder: Path, modality: str) -> bool:
    """Whether a word of more than one letter in a folder's name is a spelling of the camera."""
    found = camera_stem(folder.name, modality, Pairing())
    return found is not None and sum(letter.isalpha() for letter in found.part) > 1


def _all_carry(folder: Path, modality: str, pairing: Pairing) -> bool:
    """Whether the name that the user gave occurs in the names of all frames of a folder."""
    frames = files_of_kinds(folder, {*IMAGE_KINDS, *VIDEO_SUFFIXES})
    return all(camera_stem(frame.stem, modality, pairing) for frame in frames)


def _is_sure(path: Path, modality: str, pairing: Pairing) -> bool:
    return pairing.name_of(modality) is not None or _bare(path).casefold() in MODALITIES


def _has_frames(path: Path) -> bool:
    kinds = {*IMAGE_KINDS, *VIDEO_SUFFIXES}
    return path.is_file() or any(one.suffix.lower() in kinds for one in path.iterdir())


def _may_be_camera(path: Path) -> bool:
    """Whether it holds frames, or folders of frames that are no recordings of both cameras."""
    if _has_frames(path):
        return True
    return bool(_folders_with_frames(path)) and not _holds_recording(path, Pairing())


def _folders_with_frames(folder: Path) -> dict[str, Path]:
    return {
        path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and _has_frames(path)
    }


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
        fix = f"{LAYOUT}{_beside(folder)}{alone}"
        raise PairsError(f"holds {other} and no {modality}", folder, fix)
    if len(found) > 1:
        names = " and ".join(_shown(path) for path in found)
        raise PairsError(
            f"holds {modality} more than once: {names}",
            folder,
            f"say which with --{modality} {found[0].name}, or keep one of them",
        )
    return found[0]


def _beside(folder: Path) -> str:
    """The folders and videos in a folder, for a user who has to name the cameras."""
    names = [
        _shown(path)
        for path in sorted(folder.iterdir(), key=natural_key)
        if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES
    ]
    more = ", ..." if len(names) > _LISTED else ""
    return f" (there are {', '.join(names[:_LISTED])}{more})" if names else ""


def no_takes(folder: Path) -> PairsError:
    """The error for a folder without any recording; lists its content."""
    if not any(folder.iterdir()):
        return PairsError("no pairs found, the folder is empty", folder, "check the path")
    return PairsError(
        "no pairs found in this folder or below",
        folder,
        f"{LAYOUT}{_beside(folder)}; for TIR alone, give each folder of frames or video by itself",
    )


def _bare(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _shown(path: Path) -> str:
    return f"{path.name}/" if path.is_dir() else path.name


# --- recordings of matched files -----------------------------------------------------------------


def _takes_of_mixed_files(folder: Path, name: str, pairing: Pairing) -> list[Take]:
    """The recordings of a folder that holds the files of both cameras."""
    found = mixed_files(folder, pairing)
    if found is None:
        if pairing.tir_alone:
            return _takes_of_two((folder, folder), name, pairing, folder.parent)
        raise no_takes(folder)
    found.check_one_each(folder)
    files = [found.files["tir" if pairing.tir_alone else modality] for modality in MODALITIES]
    if files[0][0][1].suffix.lower() in VIDEO_SUFFIXES:
        return _video_takes(name, files, pairing, folder, found.said)
    return [_image_take(name, files, pairing, folder, found.said)]


def _video_takes(
    name: str, videos: Sequence[Named], pairing: Pairing, folder: Path, assumed: str
) -> list[Take]:
    """One recording for every two videos whose names differ only in the camera."""
    rgb, tir = videos
    by_name = Pairing(pairing.rgb, pairing.tir)
    matched = matched_stems([key for key, _ in rgb], [key for key, _ in tir], by_name, folder)
    return [
        VideoTake(
            f"{name}/{key}",
            None if pairing.tir_alone else rgb[a][1],
            tir[b][1],
            pairing,
            assumed=assumed,
        )
        for (a, b), key in zip(matched.places, matched.keys, strict=True)
    ]


def _image_take(
    name: str, images: Sequence[Named], pairing: Pairing, where: Path, assumed: str
) -> ImageTake:
    rgb, tir = images
    matched = matched_stems([key for key, _ in rgb], [key for key, _ in tir], pairing, where)
    matched = matched.shifted(pairing.delay_frames, where)
    files_rgb = tuple(rgb[place][1] for place, _ in matched.places)
    return ImageTake(
        name,
        () if pairing.tir_alone else files_rgb,
        tuple(tir[place][1] for _, place in matched.places),
        matched.keys,
        _neighbours_in_time(matched) and _of_one_size(files_rgb),
        ", ".join(filter(None, (assumed, matched.said))),
        1 / matched.interval_s if matched.interval_s else None,
        matched_by="time" if matched.by_time else "name",
        tir_options=pairing.tir_options,
        delay_frames=pairing.delay_frames,
    )


def _neighbours_in_time(matched: MatchedFrames) -> bool:
    if counts_up(matched.keys):
        return True
    step = matched.interval_s
    return step is not None and len(matched.keys) > 2 and step <= MAX_VIDEO_INTERVAL_S


def _of_one_size(files: Sequence[Path]) -> bool:
    """Whether images have one size, by the headers of some of them."""
    first: str | None = None
    for file in spread(files, _HEADERS):
        header = pixel_header(file)
        size = None if header is None else header.split()[0]
        if size is not None and size != (first := first or size):
            return False
    return True


def _images_by_stem(folder: Path) -> dict[str, Path]:
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
        inside = _beside(folder)
        fix = f"supported: {' '.join(sorted(IMAGE_KINDS))}"
        if inside:
            fix += f"; frames are not looked for in folders of it{inside}"
        raise PairsError("holds no image", folder, fix)
    return images
