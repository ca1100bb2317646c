"""One folder with the files of both cameras, told apart by a part of their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tirtrack.errors import PairsError
from tirtrack.images import IMAGE_KINDS
from tirtrack.pairs.camera_names import MODALITIES, CameraStem, Pairing, camera_stem
from tirtrack.pairs.timestamps import stamps_of, ticks_of
from tirtrack.video import VIDEO_SUFFIXES

Named = Sequence[tuple[str, Path]]
"""Files, each with what names its pair."""
_LISTED = 3
_LETTERS = ("r", "t", "i")


@dataclass(frozen=True)
class MixedFiles:
    """The files of a folder by camera.

    Attributes:
        files: files by modality.
        parts: the part of a name that means the camera, by file; no entry if a file has none.
        others: files that name no camera.
    """

    files: Mapping[str, Named]
    parts: Mapping[Path, str]
    others: Sequence[Path]

    @property
    def said(self) -> str:
        """Which part of the names was taken for which camera, and which files are not used."""
        sides = []
        for modality in MODALITIES:
            parts = sorted({self.parts.get(file, "the rest") for _, file in self.files[modality]})
            sides.append(f"{' or '.join(parts)} is {modality.upper()}")
        if not self.others:
            return " and ".join(sides)
        first = ", ".join(path.name for path in self.others[:_LISTED])
        more = ", ..." if len(self.others) > _LISTED else ""
        count = len(self.others)
        noun = "file that names" if count == 1 else "files that name"
        return f"{' and '.join(sides)}, without {count} {noun} no camera ({first}{more})"

    def check_one_each(self, folder: Path) -> None:
        """Refuse two files of one camera for one instant, such as ``_W`` and ``_V``.

        Raises:
            PairsError: there are two; names both, and the option that decides.
        """
        for modality, files in self.files.items():
            first: dict[str, Path] = {}
            for key, file in files:
                if key in first:
                    raise PairsError(
                        f"{first[key].name} and {file.name} may both be {modality.upper()}",
                        folder,
                        f"say which with --{modality}, such as --{modality} "
                        f"{self.parts.get(file, file.stem)}",
                    )
                first[key] = file


VIDEO_KINDS = VIDEO_SUFFIXES | {".cptv"}
"""Suffixes of files that hold a recording of one camera; a CPTV file is one of a thermal camera."""


def files_of_kinds(folder: Path, kinds: Iterable[str]) -> list[Path]:
    """The files of a folder with one of the suffixes, by name."""
    found = (
        path
        for path in folder.iterdir()
        if path.suffix.lower() in kinds and not path.name.startswith(".")
    )
    return sorted(found, key=lambda path: path.name)


def mixed_files(folder: Path, pairing: Pairing) -> MixedFiles | None:
    """The files of a folder by camera, images before videos; ``None`` where no file of one camera
    has a partner of the other.
    """
    for kinds in (IMAGE_KINDS, VIDEO_KINDS):
        found = _by_camera(files_of_kinds(folder, kinds), pairing)
        keys = [{key for key, _ in found.files[modality]} for modality in MODALITIES]
        if all(keys) and (keys[0] & keys[1] or _are_times([*keys[0]], [*keys[1]])):
            return found
    return None


def _are_times(rgb: Sequence[str], tir: Sequence[str]) -> bool:
    return stamps_of(rgb, tir) is not None or ticks_of(rgb, tir) is not None


def _by_camera(files: Sequence[Path], pairing: Pairing) -> MixedFiles:
    sides: dict[str, list[tuple[str, Path]]] = {modality: [] for modality in MODALITIES}
    parts, others = {}, []
    for file in files:
        found = {one: camera_stem(file.stem, one, pairing) for one in MODALITIES}
        modality = _nearest_end(file.stem, found)
        stem = None if modality is None else found[modality]
        if modality is None or stem is None:
            others.append(file)
        else:
            sides[modality].append((stem.key, file))
            parts[file] = stem.part
    named = [modality for modality in MODALITIES if sides[modality]]
    if len(named) == 1:  # X.jpg beside X_visible.jpg, as FLIR names them, or beside X_ir.jpg
        plain = next(modality for modality in MODALITIES if modality not in named)
        sure = [key for key, file in sides[named[0]] if _is_word(parts[file])]
        sides[plain] = [(file.stem, file) for file in others if file.stem in sure]
        others = [file for file in others if file.stem not in sure]
    return MixedFiles(sides, parts, others)


def _is_word(part: str) -> bool:
    """Whether the camera's part has no other meaning, as single letters may have: ``_R`` also
    stands for radiometric and right.
    """
    return "".join(filter(str.isalpha, part)).casefold() not in _LETTERS


def _nearest_end(stem: str, found: Mapping[str, CameraStem | None]) -> str | None:
    """The camera that a stem names: the later one where both spellings occur in it."""
    places = {
        modality: stem.casefold().rfind(one.part.casefold())
        for modality, one in found.items()
        if one is not None
    }
    return max(places, key=lambda modality: places[modality], default=None)
