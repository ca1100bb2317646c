"""Clips: frames on one pixel grid and the boxes of targets in them, from which samples are drawn.

A :class:`Clip` is a recording of unlabelled pairs with the boxes that were proposed in it; neither
pairs nor proposers can return a label. Labelled clips are another type and made in
``tirtrack.datasets`` alone: :class:`LabelledFootage` says what training on them needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tirtrack.boxes import Box
from tirtrack.distillation.settings import Boxes, CrossModalRecipe, Direction, Modality
from tirtrack.errors import FrameError, PairsError
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet
from tirtrack.pairs.proposals.tracklet import Follower, agreed_tracklet
from tirtrack.pairs.source import PairSource


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
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
        """The wanted frames in order: index, RGB ``[H,W,3]`` uint8, and TIR ``[H,W]`` as stored,
        or ``None`` without TIR.
        """


class LabelledFootage(Footage, Protocol):
    """Frames with annotated boxes."""

    @property
    def boxes(self) -> np.ndarray:
        """``[K,T,4]`` xywh of K targets in T frames; a NaN row is a box that cannot be used."""

    @property
    def source(self) -> str:
        """Name of the collection that it comes from, for the card."""


@dataclass(frozen=True)
class Clip:
    """A recording of unlabelled pairs, with proposed boxes.

    Attributes:
        name: name of the recording.
        is_video: whether neighbours are neighbours in time.
        source: pairs that the recording belongs to.
        indices: indices of its pairs in the source.
        boxes: usable proposals by frame, for frames that have any.
    """

    name: str
    is_video: bool
    source: PairSource
    indices: Sequence[int]
    boxes: Mapping[int, Sequence[Proposal]]

    def frames(self, wanted: Collection[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """As in :class:`Footage`."""
        for frame in sorted(wanted):
            pair = self.source[self.indices[frame]]
            yield frame, pair.rgb, pair.tir


def clips_of(
    source: PairSource,
    indices: Sequence[int],
    proposals: Sequence[ProposalSet],
    recipe: CrossModalRecipe,
) -> list[Clip]:
    """The recordings that have boxes which the recipe can use.

    Args:
        source: pairs; only the names of recordings are read, no pixels.
        indices: indices of the pairs that may be used.
        proposals: proposals of these pairs, in the same order.
        recipe: recipe with the settings of boxes.

    Raises:
        PairsError: no pair has a box that the recipe can use.
    """
    usable = {
        index: usable_proposals(found, recipe)
        for index, found in zip(indices, proposals, strict=True)
    }
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
            f"no box that the recipe can use was proposed in {len(indices)} pairs",
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


def follow(clip: Clip, frame: int, box: Box, gap: int, follower: Follower) -> tuple[int, Box]:
    """A frame ``gap`` frames away, and the box there: a follower carries it through the RGB frames,
    and back as a check. Where that fails, the given frame and box. Frames before the first and
    after the last one with boxes are never read: they may be held back.

    Args:
        clip: video.
        frame: frame of the box.
        box: box to follow.
        gap: number of frames, negative for earlier ones.
        follower: tracker; its state is overwritten.
    """
    there = min(max(frame + gap, min(clip.boxes)), max(clip.boxes))
    between = range(min(frame, there), max(frame, there) + 1)
    try:
        frames = [rgb for _, rgb, _ in clip.frames(between)]
        track = agreed_tracklet(frames[:: 1 if there >= frame else -1], box, [follower])
    except (FrameError, PairsError):
        return frame, box
    return (frame, box) if track is None else (there, track.boxes[-1])


def read_frames(
    clips: Sequence[Footage], wanted: Collection[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray | None]]:
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
