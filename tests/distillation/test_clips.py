"""Clips of pairs cannot hold a label; frames of clips are read once and in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_type_hints

import numpy as np
import pytest

from tirtrack.boxes import Box
from tirtrack.datasets.labelled_clips import LabelledClip
from tirtrack.distillation import stages
from tirtrack.distillation.clips import Clip, clips_of, read_frames
from tirtrack.distillation.samples import draw_samples
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet

BOX = Box(40.0, 30.0, 24.0, 20.0)


def found(*ways: str) -> ProposalSet:
    return ProposalSet([Proposal(BOX, FoundIn.BOTH, 1.0, 1.0, way) for way in ways], [])


def test_a_clip_has_no_field_for_an_annotation():
    assert set(Clip.__dataclass_fields__) == {"name", "is_video", "source", "indices", "boxes"}
    assert get_type_hints(Clip)["boxes"] == Mapping[int, Sequence[Proposal]]
    assert not issubclass(LabelledClip, Clip)


@pytest.mark.parametrize(
    "function", [draw_samples, stages.training_pool, stages.check_by_foreigner, stages.re_estimate]
)
def test_what_distils_takes_clips_of_pairs_alone(function):
    assert get_type_hints(function)["clips"] == Sequence[Clip]


def test_a_clip_holds_the_usable_boxes_of_a_recording_by_frame(tiny):
    source = tiny.TinyPairs(recordings=3, frames=3)
    proposals = [found("saliency", "random"), found(), found("random"), found("saliency")]
    clips = clips_of(source, [1, 4, 6, 8], proposals, tiny.recipe_of("mixed"))
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
