"""Clips: frames on one pixel grid and the boxes of targets in them, from which samples are drawn.

A :class:`Clip` is a recording of unlabelled pairs with the boxes of its targets, whose origin is a
proposal or a track; neither pairs, proposers nor trackers can return a label. Labelled clips are
another type and made in ``tirtrack.datasets`` alone: :class:`LabelledFootage` says what training on
them needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from tirtrack.boxes import Box
from tirtrack.distillation.settings import Boxes, CrossModalRecipe, Direction, Modality
from tirtrack.errors import FrameError, PairsError
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet
from tirtrack.pairs.proposals.tracklet import Follower, agreed_tracklet
from tirtrack.pairs.source import PairSource, unit_of
from tirtrack.progress import Progress, silent


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
    ) -> Iterator[tuple[int, np.ndarray | None, np.ndarray | None]]:
        """The wanted frames in order: index, RGB ``[H,W,3]`` uint8, and TIR ``[H,W]`` as stored;
        ``None`` for a modality that is missing.
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
        """A text that changes when the files of the frames do, or how they are read."""


Target = tuple[int, Proposal]
"""A target of a clip: the frame in which it was proposed, and its box there."""


@dataclass(frozen=True)
class Clip:
    """A recording of unlabelled pairs, with the boxes of its targets.

    Attributes:
        name: name of the recording.
        is_video: whether neighbours are neighbours in time.
        source: pairs that the recording belongs to.
        indices: indices of its pairs in the source.
        boxes: usable proposals by frame, for frames that have any.
        tracks: boxes of a target in other frames, to which a tracker followed it.
    """

    name: str
    is_video: bool
    source: PairSource
    indices: Sequence[int]
    boxes: Mapping[int, Sequence[Proposal]]
    tracks: Mapping[Target, Mapping[int, Box]] = field(default_factory=dict)

    def frames(
        self, wanted: Collection[int]
    ) -> Iterator[tuple[int, np.ndarray | None, np.ndarray]]:
        """As in :class:`Footage`."""
        for frame in sorted(wanted):
            pair = self.source[self.indices[frame]]
            yield frame, pair.rgb, pair.tir


def clips_of(
    source: PairSource, found: Mapping[int, ProposalSet], recipe: CrossModalRecipe
) -> list[Clip]:
    """The recordings that have boxes which the recipe can use.

    Args:
        source: pairs; only the names of recordings are read, no pixels.
        found: proposals of the pairs that may be used, by index.
        recipe: recipe with the settings of boxes.

    Raises:
        PairsError: no pair has a box that the recipe can use.
    """
    usable = {index: usable_proposals(one, recipe) for index, one in found.items()}
    clips = []
    for recording in source.recordings().values():
        boxes = {
            frame: usable[index]
            for frame, index in enumerate(recording.indices)
            if usable.get(index)
        }
        if boxes:
            clips.append(Clip(recording.name, recording.is_video, source, recording.indices, boxes))
    if not clips:
        raise PairsError(
            f"no box that the recipe can use was proposed in {len(found)} {unit_of(source)}s",
            source.name,
            "look at them with `tirtrack pairs inspect`, or choose another way of proposing",
        )
    return clips


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


def uses_rgb(found_in: FoundIn, recipe: CrossModalRecipe) -> bool:
    """Whether RGB counts for a box: it was found there, the teacher checks it there, or a direction
    that it serves shows it.
    """
    if not recipe.reads_rgb:
        return False
    on_tir = recipe.teacher.tir_boxes_on_tir and found_in is FoundIn.TIR
    seen = {Modality.TIR if on_tir else recipe.teacher.modality}
    for direction in recipe.directions:
        if serves_direction(found_in, direction, recipe.boxes):
            seen |= {direction.reference, direction.test}
    return found_in is not FoundIn.TIR or Modality.RGB in seen


def with_tracks(
    clips: Sequence[Clip],
    wanted: Collection[tuple[int, Target, int]],
    follower: Follower,
    progress: Progress = silent,
) -> list[Clip]:
    """The clips with tracks of targets as well, as far as a follower agrees with itself.

    Args:
        clips: clips of proposals.
        wanted: (index of the clip, target, frame) of every box to find.
        follower: tracker of RGB frames; its state is overwritten.
        progress: callback that is told of every box.
    """
    tracks: list[dict[Target, dict[int, Box]]] = [{} for _ in clips]
    for done, (index, target, frame) in enumerate(wanted):
        progress("tracks", done, len(wanted))
        known = tracks[index].setdefault(target, {})
        if frame not in known and (box := _followed(clips[index], target, frame, follower)):
            known[frame] = box
    progress("tracks", len(wanted), len(wanted))
    return [replace(clip, tracks=found) for clip, found in zip(clips, tracks, strict=True)]


def _followed(clip: Clip, target: Target, frame: int, follower: Follower) -> Box | None:
    """The target's box in another frame: a follower carries it there through the RGB frames, and
    back as a check; ``None`` where that fails.
    """
    begin, proposal = target
    if frame == begin:
        return None
    between = range(min(begin, frame), max(begin, frame) + 1)
    try:
        frames = [rgb for _, rgb, _ in clip.frames(between) if rgb is not None]
        track = agreed_tracklet(frames[:: 1 if frame >= begin else -1], proposal.box, [follower])
    except (FrameError, PairsError):
        return None
    return None if track is None else track.boxes[-1]


def read_frames(
    clips: Sequence[Footage], wanted: Collection[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], np.ndarray | None, np.ndarray | None]]:
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
