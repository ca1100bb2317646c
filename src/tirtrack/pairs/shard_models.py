"""What the JSON files of shards say: ``index.json``, and the file beside each shard.

Everything is checked when it is read, since shards may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from tirtrack.errors import RequestError
from tirtrack.pairs.camera_names import Match
from tirtrack.pairs.likeness import Unusable
from tirtrack.pairs.rig import Rig
from tirtrack.read_options import ReadOptions
from tirtrack.stored import Stored


def plain_name(name: str) -> str:
    """A name that means a file in the folder where it is put, once its colons are replaced.

    Raises:
        ValueError: it is a path, holds a character that no printed name has, or is no Unicode.
    """
    if name.strip(". ") == "" or any(letter in "/\\" or letter < " " for letter in name):
        raise ValueError(f"{name!r} is no plain file name")
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise ValueError(f"{name!r} is no Unicode")
    return name


Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**60)]
PlainName = Annotated[str, Field(max_length=255), AfterValidator(plain_name)]
Role = Literal["rgb", "tir", "both"]
"""Camera of a file; both, if its pictures hold both."""


class StoredFile(Stored):
    """A source file in a shard.

    Attributes:
        name: name that it had in its folder.
        size_bytes: its size.
        sha256: hash of its content.
        offset: where its first byte lies in the tar.
    """

    name: PlainName
    size_bytes: Count
    sha256: Hash
    offset: Count = 0


class Sample(Stored):
    """A pair of images, or a recording of videos.

    Attributes:
        recording: name of the recording.
        position: place of the first pair in the recording.
        keys: names of its pairs inside the recording.
        places: numbers of the RGB and the TIR frame of each pair of videos; empty for images.
        files: its files by camera; one that could not be read is missing.
        faults: why pairs cannot be read, by their place in the sample.
        unusable: what is wrong with what readable pairs show, by their place in the sample, if they
            were judged.
    """

    recording: str
    position: Count
    keys: Sequence[str]
    places: Sequence[tuple[Count, Count]] = ()
    files: Mapping[Role, StoredFile] = {}
    faults: Mapping[Count, str] = {}
    unusable: Mapping[Count, Unusable] = {}

    @model_validator(mode="after")
    def _of_its_pairs(self) -> Sample:
        count = len(self.keys)
        last = max((*self.faults, *self.unusable), default=0)
        if not count or len(self.places) not in (0, count) or last >= count:
            raise ValueError(f"a sample of {count} pairs, with places or faults of others")
        return self


class ShardContent(Stored):
    """The samples of one shard; the file beside the tar.

    Attributes:
        format: version of the format.
        name: name of the tar.
        size_bytes: its size.
        sha256: hash of its content.
        samples: samples in the order in which they lie in it.
    """

    format: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^shard-[0-9]{6,9}-[0-9a-f]{16}\.tar$")]
    size_bytes: Count
    sha256: Hash
    samples: tuple[Sample, ...]


class ShardEntry(Stored):
    """One shard in the index of all.

    Attributes:
        name: name of the tar.
        size_bytes: its size.
        sha256: hash of its content.
        content_sha256: hash of the file beside it.
        samples: number of its samples.
    """

    name: Annotated[str, Field(pattern=r"^shard-[0-9]{6,9}-[0-9a-f]{16}\.tar$")]
    size_bytes: Count
    sha256: Hash
    content_sha256: Hash
    samples: Count


def _options(given: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        ReadOptions(**given)
    except (TypeError, RequestError) as error:
        raise ValueError(str(error)) from error
    return given


class StoredPairing(Stored):
    """How the frames of a recording were paired and are read: what was asked for at mining."""

    match: Match | None = None
    max_gap_s: float | None = None
    delay_frames: int = 0
    tir_options: Annotated[Mapping[str, Any], AfterValidator(_options)] = {}


class StoredSplit(Stored):
    """How pictures that hold both cameras are cut.

    Attributes:
        layout: name of the layout, which names the halves.
        rgb_half: number of the half that is RGB, 0 for the left or top one.
    """

    layout: Literal["side-by-side", "stacked"]
    rgb_half: Literal[0, 1]


class StoredRecording(Stored):
    """A recording: what :class:`~tirtrack.pairs.source.Recording` says of it, and where it lies.

    Attributes:
        pairs: number of its pairs.
        first_sample: number of its first sample.
        holds_videos: whether it is one sample of whole videos, or a sample for each pair.
        split: how its pictures are cut, if they hold both cameras.
        tir_depth: type of its TIR samples.
        no_data: value of TIR pixels without a measurement.
        rig: map from its RGB to its TIR pixels, if it was registered.
    """

    name: str
    pairs: Count
    first_sample: Count
    holds_videos: bool
    is_video: bool
    assumed: str = ""
    matched: str = ""
    frames_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    warnings: tuple[str, ...] = ()
    description: tuple[str, ...] = ()
    has_rgb: bool = True
    pairing: StoredPairing = StoredPairing()
    split: StoredSplit | None = None
    tir_depth: str
    no_data: float | None = None
    rig: Rig | None = None


class Fault(Stored):
    """A pair that cannot be used, and why."""

    pair: str
    why: str


class ShardIndex(Stored):
    """``index.json``: all that is known of the shards without opening one.

    Attributes:
        format: version of the format.
        name: name of the source that was mined.
        licence: licence under which its files are held.
        recordings: its recordings, in order.
        shards: the shards, in order; samples are numbered through all of them.
        faults: pairs that cannot be read.
        judged: whether the others were judged (``unusable`` of their samples).
        unusable: number of pairs by what is wrong with them, for each recording that has any, if
            they were judged; they are stored like all others.
        unusable_recordings: recordings that were left out, and why.
    """

    format: Literal[1] = 1
    name: str
    licence: str = "not stated"
    recordings: tuple[StoredRecording, ...]
    shards: tuple[ShardEntry, ...]
    faults: tuple[Fault, ...] = ()
    judged: bool = False
    unusable: Mapping[str, Mapping[Unusable, Count]] = {}
    unusable_recordings: tuple[str, ...] = ()

    @property
    def pairs(self) -> int:
        """Number of pairs, those that cannot be used included."""
        return sum(one.pairs for one in self.recordings)
