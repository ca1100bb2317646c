"""Clips: frames on one pixel grid and the boxes of targets in them, from which samples are drawn.

A :class:`Clip` is a recording of unlabelled pairs with the boxes of its targets, whose origin is a
proposal or a track; neither pairs, proposers nor trackers can return a label. Labelled clips are
another type and made in ``tirtrack.datasets`` alone: :class:`LabelledFootage` says what training on
them needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np

from tirtrack.boxes import Box, iou
from tirtrack.crops import Frame
from tirtrack.distillation.settings import Boxes, CrossModalRecipe, Direction, Modality
from tirtrack.errors import PairsError
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet
from tirtrack.pairs.source import PairSource, Recording, unit_of
from tirtrack.pairs.tracklets import Track


class Footage(Protocol):
    """Frames of one recording, video, or still."""

    @property
    def name(self) -> str:
        """Name that is unique among the clips of a training."""

    @property
    def is_video(self) -> bool:
        """Whether all frames may show the same target; else each frame is a scene of its own."""

    def frames(
        self, wanted: Collection[int]
    ) -> Iterator[tuple[int, np.ndarray | None, Frame | None]]:
        """The wanted frames in order: index, RGB ``[H,W,3]`` uint8, and TIR ``[H,W]`` as stored,
        with the map of its rig where it was registered; ``None`` for a modality that is missing.
        """


class LabelledFootage(Footage, Protocol):
    """Frames with annotated boxes."""

    @property
    def boxes(self) -> np.ndarray:
        """``[K,T,4]`` xywh of K targets in T frames; a NaN row is a box that cannot be used."""

    @property
    def source(self) -> str:
        """Name of the collection that it comes from, for the card."""

    def stamp(self) -> str:
        """A text that changes when the content of the frames' files does, or how they are read."""


@dataclass(frozen=True)
class Target:
    """A target of a clip.

    Attributes:
        boxes: its box by frame: in one frame for a proposal, in several for a track, or for
            proposals that a track joins.
        found_in: modality in which it was proposed.
        way: name of the proposer, or ``track`` if a tracker gave the boxes.
        weight: how often it is drawn, relative to the others of its frame; of a track by the
            proposal that it began with.
    """

    boxes: Mapping[int, Box]
    found_in: FoundIn
    way: str
    weight: float


@dataclass(frozen=True)
class Clip:
    """A recording of unlabelled pairs, with the boxes of its targets.

    Attributes:
        name: name of the recording.
        is_video: whether neighbours are neighbours in time.
        source: pairs that the recording belongs to.
        indices: indices of its pairs in the source.
        targets: targets by frame in which they have a box, for frames that have any.
    """

    name: str
    is_video: bool
    source: PairSource
    indices: Sequence[int]
    targets: Mapping[int, Sequence[Target]]

    def frames(self, wanted: Collection[int]) -> Iterator[tuple[int, np.ndarray | None, Frame]]:
        """As in :class:`Footage`."""
        for frame in sorted(wanted):
            pair = self.source[self.indices[frame]]
            yield frame, pair.rgb, pair.tir_frame


def clips_of(
    source: PairSource,
    found: Mapping[int, ProposalSet],
    recipe: CrossModalRecipe,
    tracks: Mapping[str, Sequence[Track]] | None = None,
) -> list[Clip]:
    """The recordings that have boxes which the recipe can use.

    Args:
        source: pairs; only the names of recordings are read, no pixels.
        found: proposals of the pairs that may be used, by index.
        recipe: recipe with the settings of boxes.
        tracks: tracks by name of the recording; where there is an entry, the targets are its
            trusted tracks, or the proposals that these join (each counted once in its frame, and
            the others left out), elsewhere the proposals.

    Raises:
        PairsError: no pair has a box that the recipe can use, no track is trusted, or none joins
            proposals.
    """
    clips = []
    for recording in source.recordings().values():
        if tracks is not None and recording.name in tracks:
            targets = _followed(recording, tracks[recording.name], found, recipe)
        else:
            targets = _proposed(recording, found, recipe)
        if targets:
            clips.append(
                Clip(recording.name, recording.is_video, source, recording.indices, targets)
            )
    if not clips:
        raise _no_target(source, found, tracks)
    return clips


def _proposed(
    recording: Recording, found: Mapping[int, ProposalSet], recipe: CrossModalRecipe
) -> dict[int, list[Target]]:
    """The usable proposals by frame, a target each."""
    return {
        frame: [
            Target({frame: one.box}, one.found_in, one.way, _weight(one, recipe)) for one in usable
        ]
        for frame, index in enumerate(recording.indices)
        if index in found and (usable := usable_proposals(found[index], recipe))
    }


def _weight(proposal: Proposal, recipe: CrossModalRecipe) -> float:
    """How often a proposal is drawn, relative to the others of its pair."""
    if recipe.boxes.calibrated:
        return proposal.quality
    return recipe.boxes.quality[proposal.found_in]


def _followed(
    recording: Recording,
    tracks: Sequence[Track],
    found: Mapping[int, ProposalSet],
    recipe: CrossModalRecipe,
) -> dict[int, list[Target]]:
    """The trusted tracks by frame, or the proposals that these join."""
    frame_of = {index: frame for frame, index in enumerate(recording.indices)}
    targets: dict[int, list[Target]] = {}
    for track in tracks:
        boxes, way = track.trusted(), "track"
        if recipe.boxes.join_iou is not None:
            boxes, way = joined_proposals(track, found, recipe), track.proposal.way
        by_frame = {frame_of[index]: box for index, box in boxes.items()}
        for frame in by_frame:
            first = track.proposal
            target = Target(by_frame, first.found_in, way, _weight(first, recipe))
            targets.setdefault(frame, []).append(target)
    if recipe.boxes.join_iou is not None:
        targets = {frame: _distinct(inside, frame) for frame, inside in targets.items()}
    return dict(sorted(targets.items()))


def _distinct(targets: Sequence[Target], frame: int) -> list[Target]:
    """A target for each box of a frame: of those that share it, the one with the most boxes."""
    longest: dict[Box, Target] = {}
    for target in sorted(targets, key=lambda one: len(one.boxes)):
        longest[target.boxes[frame]] = target
    return list(longest.values())


def joined_proposals(
    track: Track, found: Mapping[int, ProposalSet], recipe: CrossModalRecipe
) -> dict[int, Box]:
    """The proposals that a trusted track joins, by index of their pair: in every pair the one that
    overlaps it most, by ``boxes.join_iou`` at least. None if there are fewer than two.

    A proposal that was found in one modality joins no track of a box that was found elsewhere.
    """
    sees = (FoundIn.BOTH, track.proposal.found_in)
    boxes = {}
    for index, box in track.trusted().items():
        usable = usable_proposals(found[index], recipe) if index in found else []
        near = [one.box for one in usable if one.found_in in sees]
        overlaps = [float(iou(one.array(), box.array())) for one in near]
        if overlaps and max(overlaps) >= (recipe.boxes.join_iou or 0.0):
            boxes[index] = near[int(np.argmax(overlaps))]
    return boxes if len(boxes) > 1 else {}


def _no_target(
    source: PairSource,
    found: Mapping[int, ProposalSet],
    tracks: Mapping[str, Sequence[Track]] | None,
) -> PairsError:
    every = list(chain.from_iterable((tracks or {}).values()))
    if not every:
        return PairsError(
            f"no box that the recipe can use was proposed in {len(found)} {unit_of(source)}s",
            source.name,
            "look at them with `tirtrack pairs inspect`, or choose another way of proposing",
        )
    stills, more = _why_no_stills(source, found)
    if trusted := sum(one.tracklet.fault is None for one in every):
        return PairsError(
            f"none of {trusted} trusted tracks joins two proposals, and {stills}",
            source.name,
            f"{more}lower boxes.join_iou, or take the boxes of the tracks (boxes.join_iou: null)",
        )
    rejected = Counter(str(one.tracklet.fault) for one in every)
    why = ", ".join(f"{reason}: {number}" for reason, number in rejected.most_common())
    return PairsError(
        f"none of {len(every)} tracks is trusted, and {stills} ({why})",
        source.name,
        f"{more}give longer recordings in which something moves, or train on proposals with tracks "
        "switched off (tracks.modalities: [])",
    )


def _why_no_stills(source: PairSource, found: Mapping[int, ProposalSet]) -> tuple[str, str]:
    """Why no stills are trained on, and the beginning of what to do about it."""
    stills = [one for one in source.recordings().values() if not one.is_video]
    if not stills:
        return "there are no stills", ""
    if found.keys().isdisjoint(chain.from_iterable(one.indices for one in stills)):
        return "all stills are held back", "hold another recording back (--hold-back NAME), or "
    return "the stills have no box that the recipe can use", ""


def usable_proposals(found: ProposalSet, recipe: CrossModalRecipe) -> list[Proposal]:
    """The boxes of a pair that the recipe can use."""
    return [
        proposal
        for proposal in found.kept
        if (proposal.way == recipe.proposals.way or recipe.boxes.fallback)
        and proposal.found_in in recipe.boxes.found_in
        and recipe.boxes.quality.get(proposal.found_in, 0.0) > 0
        and any(
            serves_direction(proposal.found_in, direction, recipe.boxes)
            for direction in recipe.directions
        )
    ]


def serves_direction(found_in: FoundIn, direction: Direction, boxes: Boxes) -> bool:
    """Whether a box may be used in a direction. By default a box found in one modality needs a
    branch that sees that modality; ``by_source`` asks for the reference branch.
    """
    if found_in is FoundIn.BOTH:
        return True
    modality = Modality(found_in.value)
    if boxes.by_source:
        return modality is direction.reference
    return not boxes.only_where_found or modality in (direction.reference, direction.test)


def uses_rgb(found_in: FoundIn, recipe: CrossModalRecipe, *, has_foreign_teacher: bool) -> bool:
    """Whether RGB counts for a box: it was found there, the teacher checks it there (one of another
    family checks every box in its own modality), or a direction that it serves shows it.
    """
    if not recipe.reads_rgb:
        return False
    may_be_on_tir = recipe.teacher.tir_boxes_on_tir and not has_foreign_teacher
    on_tir = may_be_on_tir and found_in is FoundIn.TIR
    seen = {Modality.TIR if on_tir else recipe.teacher.modality}
    for direction in recipe.directions:
        if serves_direction(found_in, direction, recipe.boxes):
            seen |= {direction.reference, direction.test}
    return found_in is not FoundIn.TIR or Modality.RGB in seen


def read_frames(
    clips: Sequence[Footage], wanted: Collection[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], np.ndarray | None, Frame | None]]:
    """Frames of several clips, each read once and in order.

    Args:
        clips: clips to read from.
        wanted: (index of the clip, frame) of every frame to read.

    Yields:
        One of ``wanted``, with its RGB and TIR as :meth:`Footage.frames` gives them.
    """
    by_clip: dict[int, set[int]] = {}
    for clip, frame in wanted:
        by_clip.setdefault(clip, set()).add(frame)
    for clip in sorted(by_clip):
        for frame, rgb, tir in clips[clip].frames(by_clip[clip]):
            yield (clip, frame), rgb, tir
