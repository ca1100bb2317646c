"""How recordings of a rig lie on the disk, found by looking.

Layouts::

    SEQ/rgb/STEM.jpg  SEQ/tir/STEM.png      images, matched by their stems or by time
    SEQ/rgb.mp4       SEQ/tir.mp4           two videos, frame k is one instant
    SEQ/STEM_V.jpg    SEQ/STEM_T.jpg        both cameras in one folder, images or videos
    FOLDER/.../SEQ                          any number of these, up to four levels down

``visible`` and ``infrared``, ``VIS`` and ``IR`` and the other spellings of ``cameras`` count as
``rgb`` and ``tir`` do; what is called otherwise is named by the user. Two candidates for a camera
are an error. Only images and videos of the two cameras are ever opened: a label file that lies
beside them, or among them, is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tirtrack.errors import PairsError
from tirtrack.images import IMAGE_KINDS, pixel_header
from tirtrack.pairs.cameras import MODALITIES, CameraStem, Pairing, camera_stem, named
from tirtrack.pairs.spreading import spread
from tirtrack.pairs.stems import MatchedFrames, counts_up, matched_stems, natural_key
from tirtrack.pairs.takes import ImageTake, Take, VideoTake
from tirtrack.video import VIDEO_SUFFIXES

MAX_DEPTH = 4
MAX_VIDEO_INTERVAL_S = 0.5
LAYOUT = (
    "put images with equal stems into rgb/ and tir/, or two videos rgb.mp4 and tir.mp4, or name "
    "the two cameras with --rgb NAME --tir NAME"
)
_OWN = frozenset(MODALITIES)
_LISTED = 8
_HEADERS = 16


def find_takes(folder: Path, pairing: Pairing, depth: int = MAX_DEPTH) -> list[Path]:
    """The folders at or below ``folder`` that hold recordings of both cameras, or one of them
    under a name that is surely a camera's, in natural order.
    """
    if _holds_recording(folder, pairing):
        return [folder]
    if depth == 0:
        return []
    below = sorted((path for path in folder.iterdir() if path.is_dir()), key=natural_key)
    return [take for path in below for take in find_takes(path, pairing, depth - 1)]


def open_takes(folder: Path, name: str, pairing: Pairing) -> list[Take]:
    """The recordings in a folder of :func:`find_takes`.

    Args:
        folder: holds at least one of both modalities.
        name: name of the recording; several videos in one folder add what they share.
        pairing: what the user said of the cameras.

    Raises:
        PairsError: a modality is missing or there twice, both do not match, or a file is damaged.
    """
    sides = _sides(folder, pairing)
    if not any(sides.values()):
        return _takes_in_one_folder(folder, name, pairing)
    chosen = {modality: _only(folder, modality, found) for modality, found in sides.items()}
    rgb, tir = (chosen[modality] for modality in MODALITIES)
    if rgb.is_dir() != tir.is_dir():
        raise PairsError(
            "one modality is a folder of images, the other a video",
            folder,
            "give both as images or both as videos",
        )
    assumed = "" if (_bare(rgb), _bare(tir)) == MODALITIES else (
        f"{_shown(rgb)} is RGB, {_shown(tir)} is TIR"
    )  # fmt: skip
    if not rgb.is_dir():
        return [VideoTake(name, rgb, tir, pairing, assumed=assumed)]
    images = [_files(one, IMAGE_KINDS) for one in (rgb, tir)]
    if not any(images):
        videos = [_files(one, VIDEO_SUFFIXES) for one in (rgb, tir)]
        if all(videos):
            return _video_takes(name, (videos[0], videos[1]), pairing, folder, assumed)
    return [_image_take(name, (rgb, tir), pairing, folder, assumed)]


# --- which folders and files are the cameras' ----------------------------------------------------


def _holds_recording(folder: Path, pairing: Pairing) -> bool:
    sides = _sides(folder, pairing)
    return any(sides.values()) or _one_folder(folder, pairing) is not None


def _sides(folder: Path, pairing: Pairing) -> dict[str, list[Path]]:
    """The folders and videos that may be each camera; none at all where a spelling that may mean
    something else (``vis``, ``t``) stands alone.
    """
    children = sorted(folder.iterdir())
    inside = [
        path
        for path in children
        if path.is_dir() or (path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    ]
    found = {modality: named(inside, modality, pairing) for modality in MODALITIES}
    sides = {
        modality: [path for path in paths if _is_sure(path, modality, pairing) or _has_frames(path)]
        for modality, paths in found.items()
    }
    sure = any(_is_sure(path, one, pairing) for one, paths in sides.items() for path in paths)
    return sides if sure or all(sides.values()) else {modality: [] for modality in MODALITIES}


def _is_sure(path: Path, modality: str, pairing: Pairing) -> bool:
    return pairing.name_of(modality) is not None or _bare(path).casefold() in _OWN


def _has_frames(path: Path) -> bool:
    kinds = {*IMAGE_KINDS, *VIDEO_SUFFIXES}
    return path.is_file() or any(one.suffix.lower() in kinds for one in path.iterdir())


def _only(folder: Path, modality: str, found: Sequence[Path]) -> Path:
    if not found:
        other = next(one for one in MODALITIES if one != modality)
        raise PairsError(f"holds {other} and no {modality}", folder, f"{LAYOUT}{_beside(folder)}")
    if len(found) > 1:
        names = " and ".join(_shown(path) for path in found)
        raise PairsError(
            f"holds {modality} more than once: {names}",
            folder,
            f"say which with --{modality} {found[0].name}, or keep one of them",
        )
    return found[0]


def _beside(folder: Path) -> str:
    """The folders and videos in a folder, for whoever has to name the cameras."""
    names = [
        _shown(path)
        for path in sorted(folder.iterdir(), key=natural_key)
        if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES
    ]
    more = ", ..." if len(names) > _LISTED else ""
    return f" (there are {', '.join(names[:_LISTED])}{more})" if names else ""


def no_takes(folder: Path) -> PairsError:
    """The error for a folder without any recording; says what lies in it."""
    return PairsError(
        "no pairs found in this folder or below", folder, f"{LAYOUT}{_beside(folder)}"
    )


def _bare(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _shown(path: Path) -> str:
    return f"{path.name}/" if path.is_dir() else path.name


def _files(folder: Path, kinds: Iterable[str]) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in kinds and not path.name.startswith(".")
    ]


# --- both cameras in one folder ------------------------------------------------------------------


@dataclass(frozen=True)
class _OneFolder:
    """Files of one folder by camera, what names the cameras in them, and files of neither."""

    rgb: list[Path]
    tir: list[Path]
    parts: Mapping[str, Sequence[str]]
    others: list[Path]


def _one_folder(folder: Path, pairing: Pairing) -> _OneFolder | None:
    """The files of a folder by camera; ``None`` where no file of one has a partner."""
    for kinds in (IMAGE_KINDS, VIDEO_SUFFIXES):
        found = _by_camera(_files(folder, kinds), pairing)
        if found is not None:
            return found
    return None


def _by_camera(files: Sequence[Path], pairing: Pairing) -> _OneFolder | None:
    sides: dict[str, list[Path]] = {modality: [] for modality in MODALITIES}
    parts: dict[str, Counter[str]] = {modality: Counter() for modality in MODALITIES}
    keys: dict[str, set[str]] = {modality: set() for modality in MODALITIES}
    others = []
    for file in files:
        found = {one: camera_stem(file.stem, one, pairing) for one in MODALITIES}
        modality = _nearest_end(file.stem, found)
        stem = None if modality is None else found[modality]
        if modality is None or stem is None:
            others.append(file)
            continue
        sides[modality].append(file)
        parts[modality][stem.part] += 1
        keys[modality].add(stem.key)
    if sides["rgb"] and not sides["tir"]:  # as FLIR names them: X.jpg beside X_visible.jpg
        partners = [file for file in others if file.stem in keys["rgb"]]
        sides["tir"], keys["tir"] = partners, {file.stem for file in partners}
        others = [file for file in others if file not in partners]
    stamped = all(sides.values()) and pairing.by_time
    if not keys["rgb"] & keys["tir"] and not stamped and not _all_stamped(keys):
        return None
    shown = {modality: sorted(counts) for modality, counts in parts.items()}
    return _OneFolder(sides["rgb"], sides["tir"], shown, others)


def _all_stamped(keys: Mapping[str, set[str]]) -> bool:
    from tirtrack.pairs.timestamps import seconds_of

    return all(side and all(seconds_of(key) is not None for key in side) for side in keys.values())


def _nearest_end(stem: str, found: Mapping[str, CameraStem | None]) -> str | None:
    """The camera that a stem names: the later one where both spellings occur in it."""
    places = {
        modality: stem.casefold().rfind(one.part.casefold())
        for modality, one in found.items()
        if one is not None
    }
    return max(places, key=lambda modality: places[modality], default=None)


def _takes_in_one_folder(folder: Path, name: str, pairing: Pairing) -> list[Take]:
    found = _one_folder(folder, pairing)
    if found is None:
        raise no_takes(folder)
    _check_one_each(found, pairing, folder)
    assumed = " and ".join(
        f"{' or '.join(found.parts[one]) or 'the rest'} is {one.upper()}" for one in MODALITIES
    )
    if found.others:
        first = ", ".join(path.name for path in found.others[:3])
        more = ", ..." if len(found.others) > 3 else ""
        assumed += f", {len(found.others)} files that name no camera are not used ({first}{more})"
    if found.rgb[0].suffix.lower() in VIDEO_SUFFIXES:
        return _video_takes(name, (found.rgb, found.tir), pairing, folder, assumed)
    return [_matched_images(name, (found.rgb, found.tir), pairing, folder, assumed)]


def _check_one_each(found: _OneFolder, pairing: Pairing, folder: Path) -> None:
    """Refuse two files of one camera for one instant, such as ``_W`` and ``_V``."""
    for modality, files in (("rgb", found.rgb), ("tir", found.tir)):
        first: dict[str, Path] = {}
        for file in files:
            stem = camera_stem(file.stem, modality, pairing)
            key = file.stem if stem is None else stem.key
            if key in first:
                part = "NAME" if stem is None else stem.part
                raise PairsError(
                    f"{first[key].name} and {file.name} may both be {modality.upper()}",
                    folder,
                    f"say which with --{modality}, such as --{modality} {part}",
                )
            first[key] = file


def _video_takes(
    name: str,
    videos: tuple[Sequence[Path], Sequence[Path]],
    pairing: Pairing,
    folder: Path,
    assumed: str,
) -> list[Take]:
    """A recording of every two videos that share their name but for the camera."""
    stems = [[file.stem for file in side] for side in videos]
    by_name = Pairing(pairing.rgb, pairing.tir)
    matched = matched_stems(stems[0], stems[1], by_name, folder)
    return [
        VideoTake(f"{name}/{key}", videos[0][rgb], videos[1][tir], pairing, assumed=assumed)
        for (rgb, tir), key in zip(matched.places, matched.keys, strict=True)
    ]


# --- images --------------------------------------------------------------------------------------


def _image_take(
    name: str, folders: tuple[Path, Path], pairing: Pairing, where: Path, assumed: str
) -> ImageTake:
    rgb, tir = (_images_by_stem(one) for one in folders)
    return _matched_images(name, (list(rgb.values()), list(tir.values())), pairing, where, assumed)


def _matched_images(
    name: str,
    files: tuple[Sequence[Path], Sequence[Path]],
    pairing: Pairing,
    where: Path,
    assumed: str,
) -> ImageTake:
    stems = [[file.stem for file in side] for side in files]
    matched = matched_stems(stems[0], stems[1], pairing, where)
    matched = matched.shifted(pairing.lag_frames, where)
    rgb = tuple(files[0][place] for place, _ in matched.places)
    tir = tuple(files[1][place] for _, place in matched.places)
    return ImageTake(
        name,
        rgb,
        tir,
        matched.keys,
        _neighbours_in_time(matched) and _of_one_size(rgb),
        ", ".join(filter(None, (assumed, matched.said))),
        1 / matched.interval_s if matched.interval_s else None,
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
    for path in _files(folder, IMAGE_KINDS):
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
