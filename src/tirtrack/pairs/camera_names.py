"""How a rig names its two cameras: in folders, in videos, and in parts of file names.

Holds the table of known spellings, and the settings by which a user names cameras that it lacks.
No file is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from tirtrack.errors import RequestError, did_you_mean
from tirtrack.pairs.rig import Rig
from tirtrack.read_options import AS_STORED, ReadOptions

MODALITIES = ("rgb", "tir")
SPELLINGS = {
    "rgb": frozenset({
        "rgb", "visible", "vis", "vi", "v", "visual", "color", "colour", "optical", "opt", "eo",
        "co", "w", "wide", "z", "zoom", "r",
    }),
    "tir": frozenset({
        "tir", "ir", "infrared", "thermal", "therm", "th", "t", "lwir", "mwir", "fir", "i", "inf",
    }),
}  # fmt: skip
_SEPARATORS = "_-. "
_OF_TIR = ("no_data", "channel", "byte_order", "picture", "palette")
_PIECES = re.compile(r"[^\W\d_]+|\d+|[\W_]+")


class Match(StrEnum):
    """How the frames of two cameras are matched."""

    NAME = "name"
    TIME = "time"


@dataclass(frozen=True)
class Pairing:
    """What a user states about the two cameras where the files do not tell.

    Attributes:
        rgb: name of the RGB camera's folder or video, or the part of its file names that means it
            (``_V``); ``None``: the usual spellings.
        tir: the same for the TIR camera.
        match: ``name`` or ``time``; ``None``: by name, and by time where all names are time stamps.
        max_gap_s: the longest time between the frames of a pair that are matched by time, in
            seconds; ``None``: half a frame interval of the faster camera.
        delay_frames: number N of frames by which TIR is late: TIR frame k + N belongs to RGB frame
            k; negative: TIR comes early. It replaces a rig's time offset; ``None``: that of the
            rig, if it has one.
        tir_options: options for reading TIR where the files leave it open: value without
            measurement, sample of each pixel, byte order, part of a radiometric JPEG, palette.
        tir_alone: whether RGB is left unread where there is any, and may be missing.
        layout: name of the layout (``tirtrack.pairs.layouts``); ``None``: as the folder suggests.
        rig: map from RGB to TIR pixels and time offset of videos, as ``tirtrack pairs register``
            finds them; ``None``: both cameras show the same field of view.
        any_aspect: whether TIR of another aspect ratio than RGB is stretched onto it, so that pairs
            can be read before they are registered.

    Raises:
        RequestError: a name is empty, both names are equal, the gap is not positive or given
            with ``match=name``, or a reading option has no meaning for pairs.
    """

    rgb: str | None = None
    tir: str | None = None
    match: Match | str | None = None
    max_gap_s: float | None = None
    delay_frames: int | None = None
    tir_options: ReadOptions = AS_STORED
    tir_alone: bool = False
    layout: str | None = None
    rig: Rig | None = None
    any_aspect: bool = False

    def __post_init__(self) -> None:
        for modality in MODALITIES:
            name = self.name_of(modality)
            if name is not None and not name.strip(_SEPARATORS):
                raise RequestError(
                    f'"{name}" is not a name', f"--{modality}", "name a folder, a video or a suffix"
                )
        if self.rgb is not None and self.name_of("rgb") == self.name_of("tir"):
            raise RequestError(
                f'RGB and TIR are both "{self.rgb}"', "--rgb and --tir", "name two cameras"
            )
        if self.match is not None and self.match not in list(Match):
            raise RequestError(
                f'no way to match frames is called "{self.match}"',
                "--match",
                did_you_mean(self.match, list(Match)),
            )
        if self.max_gap_s is not None and not 0 < self.max_gap_s < float("inf"):
            raise RequestError(
                f"the gap must be above 0 seconds, got {self.max_gap_s:g}",
                "--max-gap",
                "give seconds, such as 0.02",
            )
        if self.max_gap_s is not None and self.match == Match.NAME:
            raise RequestError(
                "a gap in time says nothing where frames are matched by name",
                "--max-gap",
                "give --match time, or leave it out",
            )
        if self.tir_options.no_data == "none":
            raise RequestError(
                "in pairs, what is not a measurement is found in every frame",
                "--no-data none",
                "name a value, or leave it out",
            )
        for field in fields(ReadOptions):
            if field.name not in _OF_TIR and getattr(self.tir_options, field.name) is not None:
                raise RequestError(
                    f'the reading option "{field.name}" has no meaning for pairs',
                    "tir_options",
                    f"known are {', '.join(_OF_TIR)}",
                )

    @property
    def by_time(self) -> bool:
        """Whether to match by time; a given gap implies it."""
        return self.match == Match.TIME or self.max_gap_s is not None

    @property
    def used_rig(self) -> Rig | None:
        """The rig; without its time offset where a delay was given."""
        if self.rig is None or self.delay_frames is None:
            return self.rig
        return self.rig.model_copy(update={"time": None})

    def late_frames(self, *, is_video: bool) -> int | None:
        """Number of frames by which TIR is taken later: the delay, or a rig's time offset;
        ``None`` where that drifts.

        Args:
            is_video: whether a rig's time offset moves the recording.
        """
        if self.delay_frames is not None:
            return self.delay_frames
        time = None if self.rig is None else self.rig.time
        if time is None or not is_video:
            return 0
        return None if time.drift_per_1000 else time.whole_frames(0)

    def name_of(self, modality: str) -> str | None:
        """The name that the user gave, without the blanks around it."""
        name = self.rgb if modality == "rgb" else self.tir
        return None if name is None else name.strip()


def named(paths: Iterable[Path], modality: str, pairing: Pairing) -> list[Path]:
    """The folders or videos that have a camera's name.

    A name that the user gave is tried as written, then in any case, then without a video's suffix:
    so ``rgb.mp4`` means the video and not the folder ``rgb``.
    """
    paths = list(paths)
    wanted = pairing.name_of(modality)
    if wanted is None:
        return [path for path in paths if _bare(path).casefold() in SPELLINGS[modality]]
    folded = wanted.casefold()
    ways = (
        [path for path in paths if path.name == wanted],
        [path for path in paths if path.name.casefold() == folded],
        [path for path in paths if _bare(path).casefold() == folded],
    )
    return next((found for found in ways if found), [])


def _bare(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


@dataclass(frozen=True)
class CameraStem:
    """A stem split into the camera's part and the rest.

    Attributes:
        part: the part that names the camera, as written, such as ``_V``.
        key: the rest, which both cameras share.
    """

    part: str
    key: str


def camera_stem(stem: str, modality: str, pairing: Pairing) -> CameraStem | None:
    """The stem without the part that names the camera; ``None`` if no part does.

    A spelling must be a whole word: the last word is tried first, then the first, then the others.
    A single letter counts only at an end.

    >>> camera_stem("DJI_20240101_0001_V", "rgb", Pairing())
    CameraStem(part='_V', key='DJI_20240101_0001')
    >>> camera_stem("00001i", "tir", Pairing()), camera_stem("20240101T0900", "tir", Pairing())
    (CameraStem(part='i', key='00001'), None)
    """
    wanted = pairing.name_of(modality)
    if wanted is not None:
        return _without_given(stem, wanted)
    pieces = _PIECES.findall(stem)
    words = [place for place, piece in enumerate(pieces) if piece[0].isalpha()]
    ends = [place for place in (len(pieces) - 1, 0) if place in words]
    inner = [place for place in words if place not in ends and len(pieces[place]) > 1]
    for place in (*ends, *inner):
        if pieces[place].casefold() in SPELLINGS[modality]:
            return _without(pieces, place)
    return None


def _without(pieces: Sequence[str], place: int) -> CameraStem:
    """The pieces without a word and one of the separators beside it."""
    before, after = list(pieces[:place]), list(pieces[place + 1 :])
    part = pieces[place]
    if before and _separates(before[-1]):
        part = before.pop() + part
    elif after and _separates(after[0]):
        part += after.pop(0)
    return CameraStem(part, "".join((*before, *after)))


def _separates(piece: str) -> bool:
    return all(letter in _SEPARATORS for letter in piece)


def _without_given(stem: str, wanted: str) -> CameraStem | None:
    """The stem without the user's suffix or prefix, in any case."""
    folded, size = stem.casefold(), len(wanted)
    for written in (wanted.casefold(), wanted.casefold().strip(_SEPARATORS)):
        size = len(written)
        if folded.endswith(written):
            return _trimmed(stem[-size:], stem[:-size], at_end=True)
        if folded.startswith(written):
            return _trimmed(stem[:size], stem[size:], at_end=False)
    return None


def _trimmed(part: str, key: str, *, at_end: bool) -> CameraStem:
    bare = key.rstrip(_SEPARATORS) if at_end else key.lstrip(_SEPARATORS)
    between = key[len(bare) :] if at_end else key[: len(key) - len(bare)]
    return CameraStem(between + part if at_end else part + between, bare)


def without_common_ends(stems: Sequence[str]) -> tuple[list[str], str]:
    """Stems without their common beginning and end, digits kept; and the removed text.

    >>> without_common_ends(["left_098", "left_101"])
    (['098', '101'], 'left_')
    """
    head = re.sub(r"\d+$", "", _common_prefix(stems))
    tails = [stem[len(head) :] for stem in stems]
    tail = re.sub(r"^\d+", "", _common_prefix([one[::-1] for one in tails])[::-1])
    keys = [one[: len(one) - len(tail)] for one in tails]
    return keys, f"{head}...{tail}" if tail else head


def _common_prefix(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    equal = next((k for k, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]),
                 min(len(first), len(last)))  # fmt: skip
    return first[:equal]
