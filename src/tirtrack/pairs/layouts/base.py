"""What every layout promises, and the published data sets, which differ in names and few facts.

A layout knows places from the names of files and folders alone; only frames are ever opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tirtrack.errors import PairsError
from tirtrack.images import IMAGE_KINDS
from tirtrack.pairs.camera_names import MODALITIES, Pairing
from tirtrack.pairs.layouts.cameras import takes_of_two
from tirtrack.pairs.layouts.listing import beside
from tirtrack.pairs.layouts.matched_files import of_one_size
from tirtrack.pairs.mixed_files import files_of_kinds
from tirtrack.pairs.recordings import ImageTake, Take, VideoTake
from tirtrack.pairs.stems import Matcher, counts_up, matched_stems, natural_key


class Layout(Protocol):
    """One way in which recordings lie on disk."""

    @property
    def name(self) -> str:
        """Name by which the user asks for it."""

    @property
    def looked_for(self) -> str:
        """Files and folders that it consists of, for messages."""

    def holds(self, folder: Path, pairing: Pairing) -> bool:
        """Whether recordings of this layout lie in this very folder."""

    def takes(self, place: Path, name: str, pairing: Pairing) -> list[Take]:
        """The recordings of a place.

        Args:
            place: folder of which :meth:`holds` is true.
            name: name of the recording, or what the names of several begin with.
            pairing: settings by which the user names the cameras.

        Raises:
            PairsError: a camera is missing, frames do not match, or a file is damaged.
        """


@dataclass(frozen=True)
class DataSet:
    """A published data set, whose cameras have a folder each.

    Attributes:
        name: name by which the user asks for it.
        title: its own name.
        looked_for: its folders, for messages.
        rgb: folders that may be the RGB camera's, below a place; the first that is there counts.
        tir: the same for the TIR camera.
        marked: whether a folder with both cameras is of this data set and of no other rig, by
            names alone; it is not called where the user asks for the layout.
        is_video: whether frames of one size are those of a video, whatever their names say;
            ``None``: names decide.
        frames_per_s: pairs per second of its videos, if they are published at one rate.
        match: rule that matches stems, if not the usual one.
        scene: the recording that a stem belongs to, where a folder holds several.
    """

    name: str
    title: str
    looked_for: str
    rgb: Sequence[str]
    tir: Sequence[str]
    marked: Callable[[Path], bool]
    is_video: bool | None = None
    frames_per_s: float | None = None
    match: Matcher = matched_stems
    scene: Callable[[str], str] | None = None

    def holds(self, folder: Path, pairing: Pairing) -> bool:
        """Whether both cameras lie here; if the user asked for this layout, one suffices."""
        sides = self._sides(folder, pairing)
        if pairing.layout == self.name:
            return any(sides.values())
        return all(sides.values()) and self.marked(folder)

    def takes(self, place: Path, name: str, pairing: Pairing) -> list[Take]:
        """The recordings of a place."""
        sides = self._sides(place, pairing)
        rgb, tir = sides["tir" if pairing.tir_alone else "rgb"], sides["tir"]
        if rgb is None or tir is None:
            missing, other = MODALITIES if rgb is None else MODALITIES[::-1]
            raise PairsError(
                f"holds {other} and no {missing} of {self.title}",
                place,
                f"looked for {self.looked_for}{beside(place)}",
            )
        said = "" if pairing.layout == self.name else f"laid out as {self.title}"
        found = takes_of_two((rgb, tir), name, pairing, place, match=self.match, assumed=said)
        return [one for take in found for one in self._described(take)]

    def _sides(self, folder: Path, pairing: Pairing) -> dict[str, Path | None]:
        """The folder of each camera; a name that the user gave replaces those of the data set."""
        given = {modality: pairing.name_of(modality) for modality in MODALITIES}
        names = {
            modality: usual if (one := given[modality]) is None else (one,)
            for modality, usual in (("rgb", self.rgb), ("tir", self.tir))
        }
        return {
            modality: next((folder / one for one in some if (folder / one).is_dir()), None)
            for modality, some in names.items()
        }

    def _described(self, take: Take) -> Sequence[Take]:
        """The recording, or those that it consists of, with what is known of the data set."""
        if isinstance(take, VideoTake):
            take.layout = f"{self.title}, {take.layout}"
        if not isinstance(take, ImageTake):
            return [take]
        scenes = [take] if self.scene is None else _scenes(take, self.scene)
        return [self._with_facts(one) for one in scenes]

    def _with_facts(self, take: ImageTake) -> ImageTake:
        is_video = take.is_video
        if self.is_video is not None:
            is_video = self.is_video and of_one_size(take.files_tir)
        rate = take.frames_per_s or self.frames_per_s
        return replace(
            take,
            is_video=is_video,
            frames_per_s=rate if is_video else None,
            laid_out_as=self.title,
        )


def _scenes(take: ImageTake, scene: Callable[[str], str]) -> list[ImageTake]:
    """The recordings that the frames of one folder belong to."""
    places: dict[str, list[int]] = {}
    for place, key in enumerate(take.keys):
        places.setdefault(scene(key), []).append(place)
    return [_part(take, name, places[name]) for name in sorted(places, key=natural_key)]


def _part(take: ImageTake, name: str, places: Sequence[int]) -> ImageTake:
    keys = tuple(take.keys[place] for place in places)
    files_tir = tuple(take.files_tir[place] for place in places)
    return replace(
        take,
        name=f"{take.name}/{name}",
        files_rgb=tuple(take.files_rgb[place] for place in places) if take.files_rgb else (),
        files_tir=files_tir,
        keys=keys,
        is_video=counts_up(keys) and of_one_size(files_tir),
    )


def holds_file(folder: Path, pattern: str) -> bool:
    """Whether the whole name of a file or folder in a folder fits a regular expression."""
    return folder.is_dir() and any(re.fullmatch(pattern, one.name) for one in folder.iterdir())


def frames_fit(folder: Path, pattern: str) -> bool:
    """Whether the stems of all images in a folder fit a regular expression, and there are some."""
    frames = files_of_kinds(folder, IMAGE_KINDS) if folder.is_dir() else []
    return bool(frames) and all(re.fullmatch(pattern, frame.stem) for frame in frames)
