"""Clips of pairs cannot hold a label; frames of clips are read once and in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import get_type_hints

import numpy as np
import pytest
import torch

from tirtrack.boxes import Box
from tirtrack.crops import CropRule
from tirtrack.datasets.labelled_clips import LabelledClip
from tirtrack.distillation import stages
from tirtrack.distillation.clips import Clip, clips_of, read_frames, with_tracks
from tirtrack.distillation.foreign_teacher import check_pool
from tirtrack.distillation.re_estimation import re_estimate
from tirtrack.distillation.samples import draw_samples, draw_targets
from tirtrack.errors import FrameError
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet

BOX = Box(40.0, 30.0, 24.0, 20.0)


def found(*ways: str) -> ProposalSet:
    return ProposalSet([Proposal(BOX, FoundIn.BOTH, 1.0, 1.0, way) for way in ways], [])


def test_a_clip_has_no_field_for_an_annotation():
    fields = {"name", "is_video", "source", "indices", "boxes", "tracks"}
    assert set(Clip.__dataclass_fields__) == fields
    assert get_type_hints(Clip)["boxes"] == Mapping[int, Sequence[Proposal]]
    assert get_type_hints(Clip)["tracks"] == Mapping[tuple[int, Proposal], Mapping[int, Box]]
    assert not issubclass(LabelledClip, Clip)


@pytest.mark.parametrize(
    "function",
    [
        draw_samples,
        draw_targets,
        with_tracks,
        stages.training_pool,
        check_pool,
        re_estimate,
    ],
)
def test_what_distils_takes_clips_of_pairs_alone(function):
    assert get_type_hints(function)["clips"] == Sequence[Clip]


def test_a_clip_holds_the_usable_boxes_of_a_recording_by_frame(tiny):
    source = tiny.TinyPairs(recordings=3, frames=3)
    proposals = [found("saliency", "random"), found(), found("random"), found("saliency")]
    clips = clips_of(
        source, dict(zip([1, 4, 6, 8], proposals, strict=True)), tiny.recipe_of("mixed")
    )
    assert [clip.name for clip in clips] == ["take0", "take2"]
    assert [{frame: len(boxes) for frame, boxes in clip.boxes.items()} for clip in clips] == [
        {1: 1},
        {2: 1},
    ]
    ((frame, rgb, tir),) = clips[1].frames({2})
    np.testing.assert_array_equal(rgb, source[8].rgb)
    np.testing.assert_array_equal(tir, source[8].tir)
    assert frame == 2


def test_frames_of_clips_are_read_once_and_in_order():
    read = []

    def clip(name: str) -> LabelledClip:
        def frames():
            for index in range(5):
                read.append((name, index))
                yield np.full((4, 4), index, np.uint8)

        return LabelledClip(name, True, np.zeros((1, 5, 4)), frames, name)

    clips = [clip("a"), clip("b"), clip("c")]
    given = list(read_frames(clips, [(2, 1), (0, 3), (2, 0), (0, 3)]))
    assert [at for at, _, _ in given] == [(0, 3), (2, 0), (2, 1)]
    assert [rgb[0, 0, 0] for _, rgb, _ in given] == [3, 0, 1]
    assert all(tir is None for _, _, tir in given)
    assert read == [*(("a", index) for index in range(4)), ("c", 0), ("c", 1)]


# --- boxes in other frames -----------------------------------------------------------------------


class Finder:
    """Finds the square of the tiny pairs by its colour; from some frame on it finds nothing."""

    def __init__(self, *, lost_after: int = 100) -> None:
        self.begun: list[Box] = []
        self._lost_after = lost_after
        self._steps = 0

    def init(self, frame, box):
        self.begun.append(box)

    def update(self, frame):
        self._steps += 1
        rows, columns = np.nonzero(frame[..., 0] == 200)
        box = Box(float(columns.min()), float(rows.min()), 24.0, 20.0)
        return SimpleNamespace(box=box, measured=self._steps <= self._lost_after)


def followed_samples(tiny, follower, *, max_gap=2, found_in=FoundIn.BOTH, pairs=None, frames=6):
    source = pairs or tiny.TinyPairs(recordings=2, frames=frames)
    proposals = [
        ProposalSet([Proposal(square(index, frames), found_in, 1.0, 1.0, "saliency")], [])
        for index in range(len(source))
    ]
    recipe = tiny.recipe_of("mixed", max_gap=max_gap)
    clips = clips_of(source, dict(enumerate(proposals)), recipe)
    clips = with_tracks(clips, list(draw_targets(clips, recipe, range(60), seed=0)), follower)
    network = SimpleNamespace(reference_crop=CropRule(127), test_crop=CropRule(255))
    return draw_samples(clips, recipe, range(60), network=network, seed=0)


def square(index: int, frames: int) -> Box:
    take, position = divmod(index, frames)
    return Box(40.0 + 6 * position, 30.0 + 5 * take, 24.0, 20.0)


def shots(sample):
    (reference,), (test,) = sample.references, sample.tests
    return reference, test


def test_a_followed_box_is_sought_in_frames_up_to_the_gap_away(tiny):
    gaps = set()
    for sample in followed_samples(tiny, Finder()):
        reference, test = shots(sample)
        for shot in (reference, test):
            assert shot.box == square(6 * sample.clip + shot.frame, 6)
        gaps.add(test.frame - reference.frame)
    assert gaps == {-2, -1, 0, 1, 2}


def test_a_box_that_is_lost_on_the_way_is_sought_in_its_own_frame(tiny):
    for sample in followed_samples(tiny, Finder(lost_after=0)):
        reference, test = shots(sample)
        assert (test.frame, test.box) == (reference.frame, reference.box)


def test_a_box_that_a_follower_cannot_begin_with_is_sought_in_its_own_frame(tiny):
    class Refusing(Finder):
        def init(self, frame, box):
            raise FrameError("too small")

    samples = followed_samples(tiny, Refusing())
    assert all(shots(sample)[0].frame == shots(sample)[1].frame for sample in samples)


class Stills:
    """Pairs that are unrelated pictures."""

    def __init__(self, pairs):
        self._pairs = pairs
        self.name = pairs.name

    def __len__(self):
        return len(self._pairs)

    def recordings(self):
        return {
            name: replace(one, is_video=False) for name, one in self._pairs.recordings().items()
        }


@pytest.mark.parametrize("what", ["boxes found in TIR alone", "stills"])
def test_what_no_follower_can_see_in_another_frame_is_not_followed(tiny, what):
    follower = Finder()
    pairs = Stills(tiny.TinyPairs(recordings=2, frames=6)) if what == "stills" else None
    found_in = FoundIn.BOTH if pairs else FoundIn.TIR
    samples = followed_samples(tiny, follower, found_in=found_in, pairs=pairs)
    assert follower.begun == []
    assert all(shots(sample)[0].frame == shots(sample)[1].frame for sample in samples)


def test_frames_outside_of_those_with_boxes_are_never_read(tiny):
    """They may be held back, as the last frames of a single recording are."""
    read = []

    class Watched(tiny.TinyPairs):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    source = Watched(recordings=1, frames=8)
    proposals = {
        index: ProposalSet([Proposal(square(index, 8), FoundIn.BOTH, 1.0, 1.0, "saliency")], [])
        for index in (2, 5)
    }
    recipe = tiny.recipe_of("mixed", max_gap=4)
    clips = clips_of(source, proposals, recipe)
    drawn = list(draw_targets(clips, recipe, range(60), seed=0))
    assert {(frame, other) for _, (frame, _), other in drawn} == {
        *((2, other) for other in range(2, 6)),
        *((5, other) for other in range(2, 6)),
    }
    (clip,) = with_tracks(clips, drawn, Finder())
    assert {frame: sorted(track) for (frame, _), track in clip.tracks.items()} == {
        2: [3, 4, 5],
        5: [2, 3, 4],
    }
    assert set(read) == {2, 3, 4, 5}


def test_samples_of_one_target_share_its_track(tiny):
    follower = Finder()
    samples = followed_samples(tiny, follower)
    drawn = {(one.clip, shots(one)[0].frame, shots(one)[1].frame) for one in samples}
    there_and_back = 2 * sum(frame != other for _, frame, other in drawn)
    assert len(follower.begun) == there_and_back


class Standing:
    """Leaves the box where it is."""

    def init(self, frame, box):
        self.state = SimpleNamespace(box=box, measured=True)

    def update(self, frame):
        return self.state


def test_a_run_with_a_gap_trains_on_boxes_in_other_frames(tiny, tmp_path):
    source = tiny.TinyPairs(recordings=3, frames=4)
    recipe = tiny.recipe_of("mixed", max_gap=3)
    students = [
        tiny.run_tiny(recipe, tmp_path / str(n), source=source, follower=follower)[0].state_dict()
        for n, follower in enumerate((None, Standing(), Standing()))
    ]
    same = [
        all(torch.equal(value, other[key]) for key, value in students[1].items())
        for other in (students[0], students[2])
    ]
    assert same == [False, True]
