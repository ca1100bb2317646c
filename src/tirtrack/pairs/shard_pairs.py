"""Shards as pairs: the very pairs of the folders that were mined.

The files of a sample are unpacked, under the names that they had, into a temporary folder and read
by the same code as those of a recording in a folder: so every reader works, none knows of
shards, and the pixels are the same. It costs a copy: of two images for each pair that is read, of
two videos whenever another recording is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tirtrack.errors import PairsError
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.layouts.split import SPLITS, SplitImages, SplitTake, SplitVideo
from tirtrack.pairs.likeness import Unusable
from tirtrack.pairs.one_grid import fitted
from tirtrack.pairs.recordings import ImageTake, Take, VideoTake
from tirtrack.pairs.rig import Rig
from tirtrack.pairs.shard_models import Role, ShardIndex, StoredRecording, StoredSplit
from tirtrack.pairs.shards import ShardFolder, read_index
from tirtrack.pairs.source import Manifest, Pair, Recording, SourceFile
from tirtrack.pairs.unpacked import PairKeys, Unpacked, UnpackedPaths
from tirtrack.read_options import ReadOptions, as_typed
from tirtrack.remote import AnyPath


class ShardPairs:
    """A :class:`~tirtrack.pairs.source.PairSource` over a folder of shards.

    Args:
        folder: the folder, on the disk or at an address.
        tir_alone: leave RGB in the shards.
        rig: rig of all recordings that were mined without one, whose time offset takes no other
            frames; ``None``: they stay as they are.
        any_aspect: whether TIR of another aspect ratio is stretched onto the RGB grid.

    Raises:
        PairsError: mining was not finished, the index is damaged, a rig is given and the shards
            have one already, or it would pair other frames. Or frames of videos were paired by a
            rule that is no more.
    """

    def __init__(
        self,
        folder: AnyPath,
        *,
        tir_alone: bool = False,
        rig: Rig | None = None,
        any_aspect: bool = False,
    ) -> None:
        self._folder = folder
        self._tir_alone, self._any_aspect = tir_alone, any_aspect
        index = read_index(self._folder)
        _check_rule(index, self._folder, tir_alone=tir_alone)
        self.name = index.name
        self._licence = index.licence
        self._is_judged = index.judged
        self._recordings = index.recordings
        self._by_name = {one.name: one for one in index.recordings}
        self._rigs = {} if tir_alone else _rigs(index, rig, self._folder)
        self._starts = np.cumsum([0, *(one.pairs for one in index.recordings)])
        self._shards = ShardFolder(self._folder, index)
        self._unpacked = Unpacked(self._shards)
        self._open: tuple[int, Take] | None = None

    @property
    def folder(self) -> AnyPath:
        """Where the shards lie."""
        return self._folder

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self._folder, self._tir_alone, self._rigs, self._any_aspect)

    def registered(self, rigs: Mapping[str, Rig]) -> ShardPairs:
        """The same pairs, those of some recordings registered."""
        opened = ShardPairs(self._folder, tir_alone=self._tir_alone, any_aspect=self._any_aspect)
        opened._rigs = {**self._rigs, **rigs}
        return opened

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Pair:
        """One pair, both modalities on the RGB grid.

        Raises:
            PairsError: a shard or a file in it is damaged, or the pair could not be used when it
                was mined.
            IndexError: out of range.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)} in {self.name}")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        recording, position = self._recordings[number], index - int(self._starts[number])
        try:
            take = self._opened(number)
            pair = fitted(
                take,
                position,
                *take.read(position),
                recording.no_data,
                rig=self._rigs.get(recording.name),
                any_aspect=self._any_aspect,
            )
        except PairsError as error:
            where = f"{self._folder}, pair {position} of {recording.name}"
            raise PairsError(error.what, where, error.fix) from error
        if pair.tir_depth != recording.tir_depth:
            raise PairsError(
                f"TIR is {pair.tir_depth}, the first of its recording {recording.tir_depth}",
                f"{self._folder}, {pair.key}",
                "keep one bit depth in a recording: split the folder, or convert the odd files",
            )
        return pair

    def is_judged(self, recording: str) -> bool:
        """Whether the pairs of a recording were judged when they were mined, with the same RGB and
        the same rig.
        """
        mined = self._by_name[recording]
        rig, is_blind = self._rigs.get(recording), self._tir_alone and mined.has_rgb
        return self._is_judged and not is_blind and rig == mined.rig

    def judged(self, index: int) -> Unusable | None:
        """Why a pair cannot be used, as judged when it was mined; ``None`` if it can.

        Raises:
            PairsError: it could not be read when it was mined, or the index of its shard is
                damaged.
        """
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        recording, place = self._recordings[number], index - int(self._starts[number])
        samples = _samples(recording)
        sample = self._shards.sample(samples[0] if recording.holds_videos else samples[place])
        place = place if recording.holds_videos else 0
        if place in sample.faults:
            raise PairsError(sample.faults[place], f"{recording.name}/{sample.keys[place]}")
        return sample.unusable.get(place)

    def recordings(self) -> Mapping[str, Recording]:
        """The recordings by name, as they were mined."""
        found = {}
        for one, start in zip(self._recordings, self._starts[:-1], strict=True):
            matched = _matched_alone(one) if self._tir_alone else one.matched
            found[one.name] = Recording(
                one.name,
                range(int(start), int(start) + one.pairs),
                one.is_video,
                matched if one.split is not None else one.assumed,
                matched,
                one.frames_per_s,
                () if self._tir_alone else one.warnings,
                _without_rgb(one.description) if self._tir_alone else one.description,
                as_typed(ReadOptions(**one.pairing.tir_options)),
                one.has_rgb and not self._tir_alone,
                _late_frames(one),
                self._rigs[one.name].identity if one.name in self._rigs else "",
            )
        return found

    def manifest(self) -> Manifest:
        """The files that were mined, in the order of their folders, from the indices alone."""
        files = [
            SourceFile(file.name, file.size_bytes, file.sha256)
            for recording in self._recordings
            for role in self._roles(recording)
            for number in _samples(recording)
            if (file := self._shards.sample(number).files.get(role)) is not None
        ]
        return Manifest(self.name, self._licence, files)

    def _roles(self, recording: StoredRecording) -> tuple[Role, ...]:
        if recording.split is not None:
            return ("both",)
        return ("rgb", "tir") if recording.has_rgb and not self._tir_alone else ("tir",)

    def _opened(self, number: int) -> Take:
        if self._open is None or self._open[0] != number:
            if self._open is not None:
                self._open[1].close()
            self._open = None
            self._open = number, self._take(self._recordings[number])
        return self._open[1]

    def _take(self, recording: StoredRecording) -> Take:
        """The recording, its files unpacked as they are asked for."""
        roles = self._roles(recording)
        pairing = _pairing(recording, tir_alone=self._tir_alone or not recording.has_rgb)
        if recording.split is not None:
            return self._split_take(recording, recording.split, pairing)
        if recording.holds_videos:
            first = recording.first_sample
            paths = {one: self._unpacked.path(first, one) for one in roles}
            frames = [tir for _, tir in self._shards.sample(first).places]
            take = VideoTake(
                recording.name,
                paths.get("rgb"),
                paths["tir"],
                pairing,
                frames=None if "rgb" in paths else frames,
            )
            if len(take) != recording.pairs:
                raise PairsError(f"holds {len(take)} pairs, {recording.pairs} were mined")
            return take
        numbers = _samples(recording)
        every = {one: UnpackedPaths(self._unpacked, numbers, one) for one in roles}
        return ImageTake(
            recording.name,
            every.get("rgb", ()),
            every["tir"],
            PairKeys(self._shards, numbers),
            recording.is_video,
            tir_options=pairing.tir_options,
        )

    def _split_take(
        self, recording: StoredRecording, split: StoredSplit, pairing: Pairing
    ) -> SplitTake:
        frames: SplitVideo | SplitImages
        if recording.holds_videos:
            frames = SplitVideo(self._unpacked.path(recording.first_sample, "both"))
        else:
            numbers = _samples(recording)
            frames = SplitImages(
                Path(str(self._folder)),  # for messages
                PairKeys(self._shards, numbers),
                UnpackedPaths(self._unpacked, numbers, "both"),
                recording.is_video,
            )
        take = SplitTake(recording.name, frames, SPLITS[split.layout], split.rgb_half, pairing)
        if len(take) != recording.pairs:
            raise PairsError(f"holds {len(take)} pairs, {recording.pairs} were mined")
        return take


def _matched_alone(recording: StoredRecording) -> str:
    """The rule that chose the TIR frames of a recording whose RGB is left out."""
    if recording.split is None or recording.pairing.delay_frames:
        return recording.matched
    if recording.rig is not None and recording.rig.time is not None:  # it may have chosen others
        return recording.matched
    return f"{SPLITS[recording.split.layout].halves[1 - recording.split.rgb_half]} half is TIR"


def _without_rgb(description: Sequence[str]) -> tuple[str, ...]:
    """What describes a recording without the phrase on RGB, the second one."""
    return *description[:1], "", *description[2:]


def _reopen(
    folder: AnyPath,
    tir_alone: bool,  # noqa: FBT001 - as pickled
    rigs: Mapping[str, Rig],
    any_aspect: bool,  # noqa: FBT001 - as pickled
) -> ShardPairs:
    opened = ShardPairs(folder, tir_alone=tir_alone, any_aspect=any_aspect)
    opened._rigs = dict(rigs)
    return opened


def _rigs(index: ShardIndex, given: Rig | None, folder: AnyPath) -> dict[str, Rig]:
    """The rig of each recording that is registered, by its name."""
    stored = {one.name: one.rig for one in index.recordings if one.rig is not None}
    if given is None:
        return stored
    if stored:
        raise PairsError(
            "the shards were mined with a rig", folder, "leave out --rig, or mine the pairs again"
        )
    for one in index.recordings:
        given.check_paired(one.name, one.pairs, is_video=one.is_video and one.has_rgb)
    return {one.name: given for one in index.recordings if one.has_rgb}


def _adds_delays(recording: StoredRecording) -> bool:
    """Whether a delay was added to its rig's time offset, as an earlier version did; since then
    it replaces it.
    """
    has_time = recording.rig is not None and recording.rig.time is not None
    return bool(recording.pairing.delay_frames) and has_time


def _check_rule(index: ShardIndex, folder: AnyPath, *, tir_alone: bool) -> None:
    """Refuse videos whose frames would be paired otherwise than when they were mined."""
    for one in index.recordings:
        stays = not one.holds_videos or (tir_alone and one.split is None)  # frames are listed
        if _adds_delays(one) and not stays:
            raise PairsError(
                f"{one.name} was mined by an earlier version, which added --delay "
                f"{one.pairing.delay_frames} to the time offset of --rig; now a delay replaces it, "
                "and other frames would belong together",
                folder,
                "mine the pairs again",
            )


def _late_frames(recording: StoredRecording) -> int | None:
    """By how many frames TIR was taken later; ``None`` where that drifts."""
    delay = recording.pairing.delay_frames
    if not _adds_delays(recording):
        return _pairing(recording, tir_alone=False).late_frames(is_video=recording.is_video)
    late = Pairing(rig=recording.rig).late_frames(is_video=recording.is_video)
    return None if late is None else delay + late


def _samples(recording: StoredRecording) -> range:
    first = recording.first_sample
    return range(first, first + (1 if recording.holds_videos else recording.pairs))


def _pairing(recording: StoredRecording, *, tir_alone: bool) -> Pairing:
    stored = recording.pairing
    options = ReadOptions(**stored.tir_options)
    if tir_alone and recording.split is not None:
        return Pairing(
            delay_frames=stored.delay_frames or None,
            tir_options=options,
            tir_alone=True,
            rig=recording.rig,
        )
    if tir_alone:
        return Pairing(tir_options=options, tir_alone=True)
    return Pairing(
        match=stored.match,
        max_gap_s=stored.max_gap_s,
        delay_frames=stored.delay_frames or None,
        tir_options=options,
        rig=recording.rig,
    )
