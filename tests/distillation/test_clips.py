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
from tirtrack.distillation.clips import Clip, Target, clips_of, read_frames
from tirtrack.distillation.foreign_teacher import check_pool
from tirtrack.distillation.re_estimation import re_estimate
from tirtrack.distillation.run_folder import Run
from tirtrack.distillation.samples import draw_samples
from tirtrack.distillation.sources import Split
from tirtrack.distillation.summary import TrackRate, read_summary, track_rates_of
from tirtrack.errors import PairsError
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet
from tirtrack.pairs.tracklets import Track, TrackFault, Tracklet

BOX = Box(40.0, 30.0, 24.0, 20.0)


def found(*ways: str) -> ProposalSet:
    return ProposalSet([Proposal(BOX, FoundIn.BOTH, 1.0, way) for way in ways], [])


def test_a_clip_has_no_field_for_an_annotation():
    fields = {"name", "is_video", "source", "indices", "targets"}
    assert set(Clip.__dataclass_fields__) == fields
    assert get_type_hints(Clip)["targets"] == Mapping[int, Sequence[Target]]
    assert get_type_hints(clips_of)["tracks"] == Mapping[str, Sequence[Track]] | None
    assert not issubclass(LabelledClip, Clip)


@pytest.mark.parametrize(
    "function",
    [
        draw_samples,
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
    assert [{frame: len(boxes) for frame, boxes in clip.targets.items()} for clip in clips] == [
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


# --- tracks --------------------------------------------------------------------------------------


@pytest.fixture
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / "cache"))


pytestmark = pytest.mark.usefixtures("_own_cache")


class Finder:
    """Finds the square of the tiny pairs by its brightness; it loses it in some frame, if told."""

    origin = "finder"

    def __init__(self, *, lost_at: int | None = None) -> None:
        self.begun: list[Box] = []
        self._lost_at = lost_at

    def init(self, frame, box):
        self.begun.append(box)
        self._steps = 0

    def update(self, frame):
        self._steps += 1
        grey = frame if frame.ndim == 2 else frame[..., 0]
        rows, columns = np.nonzero(grey >= 200)
        box = Box(float(columns.min()), float(rows.min()), 24.0, 20.0)
        return SimpleNamespace(box=box, measured=self._steps != self._lost_at)


TRACKS = {
    "tracks.modalities": ["rgb"],
    "tracks.every": 1,
    "tracks.frames": 6,
    "tracks.min_frames": 3,
}


def square(index: int, frames: int) -> Box:
    take, position = divmod(index, frames)
    return Box(40.0 + 6 * position, 30.0 + 5 * take, 24.0, 20.0)


def squares(source, frames: int, found_in: FoundIn = FoundIn.BOTH) -> dict[int, ProposalSet]:
    """A proposal of the square in every pair."""
    return {
        index: ProposalSet([Proposal(square(index, frames), found_in, 1.0, "saliency")], [])
        for index in range(len(source))
    }


def followed_clips(tiny, tmp_path, follower, *, source=None, train=None, frames=6, **changes):
    source = source or tiny.TinyPairs(recordings=2, frames=frames)
    given = {key.replace(".", "__"): value for key, value in {**TRACKS, **changes}.items()}
    recipe = tiny.recipe_of("mixed", **given)
    train = tuple(range(len(source))) if train is None else train
    split = Split(source, train, source, (), "by hand")
    run = Run(tmp_path / "a.safetensors", tmp_path, recipe, {"pairs": "squares"}, seed=0)
    found = {index: one for index, one in squares(source, frames).items() if index in train}
    tracks = stages.follow_all(split, found, run, lambda: follower)
    return clips_of(source, found, recipe, tracks), recipe


def samples_of(clips, recipe):
    network = SimpleNamespace(reference_crop=CropRule(127), test_crop=CropRule(255))
    return draw_samples(clips, recipe, range(60), network=network, seed=0)


def shots(sample):
    (reference,), (test,) = sample.references, sample.tests
    return reference, test


@pytest.mark.parametrize("modality", ["rgb", "tir"])
def test_both_patches_show_one_track_in_frames_up_to_the_gap_apart(tiny, tmp_path, modality):
    changes = {"max_gap": 2, "tracks.modalities": [modality]}
    clips, recipe = followed_clips(tiny, tmp_path, Finder(), **changes)
    gaps = set()
    for sample in samples_of(clips, recipe):
        reference, test = shots(sample)
        for shot in (reference, test):
            assert shot.box == square(6 * sample.clip + shot.frame, 6)
        gaps.add(test.frame - reference.frame)
        assert sample.way == "track"
    assert gaps == {-2, -1, 0, 1, 2}


def test_without_a_gap_both_patches_of_a_track_show_one_frame(tiny, tmp_path):
    clips, recipe = followed_clips(tiny, tmp_path, Finder())
    pairs = [shots(sample) for sample in samples_of(clips, recipe)]
    assert all(reference.frame == test.frame for reference, test in pairs)
    assert {test.frame for _, test in pairs} == set(range(6))


def test_a_video_of_which_no_track_is_trusted_has_no_clip(tiny, tmp_path):
    class Confused(Finder):
        def update(self, frame):
            state = super().update(frame)
            is_second = state.box.y > 32
            return SimpleNamespace(box=state.box, measured=not is_second)

    clips, _ = followed_clips(tiny, tmp_path, Confused())
    assert [clip.name for clip in clips] == ["take0"]


def test_a_run_without_a_trusted_track_says_why(tiny, tmp_path):
    with pytest.raises(PairsError, match=r"none of 12 tracks is trusted.*ends too early: 12"):
        followed_clips(tiny, tmp_path, Finder(lost_at=1))


def test_a_run_in_which_no_box_was_found_to_follow_says_so(tiny):
    source = tiny.TinyPairs(recordings=2, frames=6)
    recipe = tiny.recipe_of("mixed")
    with pytest.raises(PairsError, match="no box that the recipe can use was proposed in 3 pairs"):
        clips_of(source, dict.fromkeys(range(3), ProposalSet([], [])), recipe, {"take0": []})


class Stills:
    """Pairs of which some recordings are unrelated pictures."""

    def __init__(self, pairs, names):
        self._pairs, self._names = pairs, names
        self.name = pairs.name

    def __len__(self):
        return len(self._pairs)

    def __getitem__(self, index):
        return self._pairs[index]

    def recordings(self):
        return {
            name: replace(one, is_video=name not in self._names)
            for name, one in self._pairs.recordings().items()
        }


def test_boxes_in_stills_are_used_as_proposed(tiny, tmp_path):
    follower = Finder()
    source = Stills(tiny.TinyPairs(recordings=2, frames=6), ["take1"])
    clips, recipe = followed_clips(tiny, tmp_path, follower, source=source, max_gap=2)
    ways = {(sample.clip, sample.way) for sample in samples_of(clips, recipe)}
    assert ways == {(0, "track"), (1, "saliency")}
    assert {box.y for box in follower.begun} == {30.0}


def test_stills_alone_are_trained_on_where_no_track_is_trusted(tiny, tmp_path):
    source = Stills(tiny.TinyPairs(recordings=2, frames=6), ["take1"])
    clips, _ = followed_clips(tiny, tmp_path, Finder(lost_at=1), source=source)
    assert [clip.name for clip in clips] == ["take1"]


def test_frames_that_are_held_back_are_never_read(tiny, tmp_path):
    read = []

    class Watched(tiny.TinyPairs):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    source = Watched(recordings=1, frames=8)
    (clip,), _ = followed_clips(
        tiny, tmp_path, Finder(), source=source, train=(0, 1, 2, 3, 4), frames=8
    )
    assert set(read) == set(clip.targets) == {0, 1, 2, 3, 4}


def test_tracks_are_followed_once(tiny, tmp_path):
    followers = [Finder(), Finder(), Finder()]
    first, _ = followed_clips(tiny, tmp_path, followers[0])
    second, _ = followed_clips(tiny, tmp_path, followers[1])
    followed_clips(tiny, tmp_path, followers[2], **{"tracks.min_iou": 0.7})
    assert [one.targets for one in first] == [one.targets for one in second]
    assert [bool(one.begun) for one in followers] == [True, False, True]


def test_a_stopped_run_keeps_the_tracks_of_finished_recordings(tiny, tmp_path):
    class Stopped(Finder):
        def init(self, frame, box):
            super().init(frame, box)
            if box.y > 32:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        followed_clips(tiny, tmp_path, Stopped())
    again = Finder()
    followed_clips(tiny, tmp_path, again)
    assert {box.y for box in again.begun} == {35.0}


def test_tracks_of_another_follower_are_made_anew(tiny, tmp_path):
    followed_clips(tiny, tmp_path, Finder())
    other = Finder()
    other.origin = "another finder"
    followed_clips(tiny, tmp_path, other)
    assert other.begun


def test_tracks_of_a_follower_of_unknown_origin_are_not_kept(tiny, tmp_path):
    followers = [Finder(), Finder()]
    for follower in followers:
        follower.origin = None
        followed_clips(tiny, tmp_path, follower)
    assert all(one.begun for one in followers)


JOINED = {**TRACKS, "tracks.modalities": ["tir"], "boxes.join_iou": 0.5}


def shifted(index: int, by: float, found_in: FoundIn = FoundIn.TIR) -> ProposalSet:
    """A proposal beside the square of a recording of 6 frames."""
    box = square(index, 6)
    return ProposalSet([Proposal(replace(box, x=box.x + by), found_in, 1.0, "saliency")], [])


def joined_clips(tiny, found, counts=(True,) * 6, begins=(0,)):
    """The clips of one recording with TIR tracks of the square that begin in some frames."""
    source = tiny.TinyPairs(recordings=1, frames=6)
    recipe = tiny.recipe_of("mixed", **{k.replace(".", "__"): v for k, v in JOINED.items()})
    boxes = tuple(square(index, 6) for index in range(6))
    first = Proposal(boxes[0], FoundIn.TIR, 1.0, "saliency")
    tracks = [
        Track(first, "tir", tuple(range(begin, 6)), Tracklet(boxes[begin:], counts[begin:]))
        for begin in begins
    ]
    return clips_of(source, found, recipe, {"take0": tracks})


def test_a_track_joins_the_proposals_that_it_overlaps(tiny):
    beside = {0: 2.0, 2: 3.0, 3: 30.0, 5: 4.0}
    found = {index: shifted(index, by) for index, by in beside.items()}
    found[5].kept.insert(0, shifted(5, 7.0).kept[0])
    (clip,) = joined_clips(tiny, found)
    assert list(clip.targets) == [0, 2, 5]
    (target,) = clip.targets[2]
    assert {frame: box.x - square(frame, 6).x for frame, box in target.boxes.items()} == {
        0: 2.0,
        2: 3.0,
        5: 4.0,
    }
    assert (target.found_in, target.way) == (FoundIn.TIR, "saliency")


@pytest.mark.parametrize("begins", [(0, 2, 3), (3, 2, 0)])
def test_a_box_that_several_tracks_join_is_one_target_of_its_frame(tiny, begins):
    found = {index: shifted(index, 2.0) for index in (0, 3, 4, 5)}
    (clip,) = joined_clips(tiny, found, begins=begins)
    assert {frame: [[*one.boxes] for one in inside] for frame, inside in clip.targets.items()} == {
        frame: [[0, 3, 4, 5]] for frame in found
    }


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        pytest.param({4: shifted(4, 30.0)}, (True,) * 6, id="no overlap"),
        pytest.param({4: shifted(4, 0.0, FoundIn.RGB)}, (True,) * 6, id="other modality"),
        pytest.param({4: shifted(4, 0.0)}, (True,) * 4 + (False,) * 2, id="not trusted there"),
        pytest.param({}, (True,) * 6, id="one proposal"),
    ],
)
def test_what_a_track_does_not_join_is_no_target(tiny, changed, counts):
    with pytest.raises(PairsError, match="none of 1 trusted tracks joins two proposals"):
        joined_clips(tiny, {0: shifted(0, 0.0), **changed}, counts)


def test_proposals_to_join_are_sought_between_the_starts_of_tracks(tiny, tmp_path):
    source = tiny.TinyPairs(recordings=1, frames=6)
    changes = {**JOINED, "tracks.every": 4, "pool": 3}
    recipe = tiny.recipe_of("mixed", **{k.replace(".", "__"): v for k, v in changes.items()})
    run = Run(tmp_path / "a.safetensors", tmp_path, recipe, {"pairs": "a"}, seed=0)
    split = Split(source, tuple(range(6)), source, (), "by hand")
    found, _ = stages.propose(split, run)
    assert sorted(found) == sorted({0, *stages.thinned(range(6), 3, 0)})
    tracks = stages.follow_all(split, squares(source, 6), run, Finder)
    assert [track.indices[0] for track in tracks["take0"]] == [0]


@pytest.mark.parametrize(
    ("min_frames", "starts"),
    [(2, [0, 4]), (3, [0]), (16, [0])],
    ids=["enough frames follow", "too few follow the second", "too few follow any"],
)
def test_boxes_are_proposed_where_tracks_begin_and_in_stills(tiny, tmp_path, min_frames, starts):
    source = Stills(tiny.TinyPairs(recordings=2, frames=6), ["take1"])
    given = {"tracks__modalities": ["rgb"], "tracks__every": 4, "tracks__min_frames": min_frames}
    recipe = tiny.recipe_of("mixed", **given)
    run = Run(tmp_path / "a.safetensors", tmp_path, recipe, {"pairs": "a"}, seed=0)
    found, _ = stages.propose(Split(source, tuple(range(12)), source, (), "by hand"), run)
    assert sorted(found) == [*starts, 6, 7, 8, 9, 10, 11]


GIVEN = {key.replace(".", "__"): value for key, value in TRACKS.items()}


def test_a_run_without_a_trusted_track_leaves_its_summary_and_contact_sheet(tiny, tmp_path):
    recipe = tiny.recipe_of("mixed", **GIVEN)
    source = tiny.TinyPairs(recordings=3, frames=4)
    with pytest.raises(PairsError, match="tracks is trusted"):
        tiny.run_tiny(recipe, tmp_path, source=source, follower=Finder(lost_at=1))
    summary = read_summary(tmp_path)
    assert summary.verdict.startswith("nothing was trained: none of")
    assert (summary.tracks[0].kept, summary.weights) == (0, "")
    assert (tmp_path / "contact_sheet.png").is_file()


def test_a_run_on_stills_alone_says_so_where_no_track_is_trusted(tiny, tmp_path):
    class SomeStills(Stills):
        def manifest(self):
            return self._pairs.manifest()

    recipe = tiny.recipe_of("mixed", **GIVEN)
    source = SomeStills(tiny.TinyPairs(recordings=3, frames=4), ["take0", "take1"])
    _, summary = tiny.run_tiny(recipe, tmp_path, source=source, follower=Finder(lost_at=1))
    followed = summary.tracks[0].followed
    said = f"none of {followed} tracks is trusted: no video is trained on, only stills"
    assert said in summary.warnings


def test_a_summary_counts_tracks_and_why_others_were_rejected(tiny):
    def track(modality, counts, fault=None):
        boxes = tuple(square(index, 6) for index in range(len(counts)))
        proposal = Proposal(boxes[0], FoundIn.BOTH, 1.0, "saliency")
        return Track(proposal, modality, tuple(range(len(counts))), Tracklet(boxes, counts, fault))

    rates = track_rates_of(
        [
            track("tir", (True, True)),
            track("rgb", (True, False, True)),
            track("rgb", (True,), TrackFault.TOO_SHORT),
        ]
    )
    assert rates == (
        TrackRate(modality="rgb", followed=2, kept=1, boxes=2, rejected={"ends too early": 1}),
        TrackRate(modality="tir", followed=1, kept=1, boxes=2),
    )


class Standing:
    """Leaves the box where it is."""

    origin = "standing"

    def init(self, frame, box):
        self.state = SimpleNamespace(box=box, measured=True)

    def update(self, frame):
        return self.state


def test_a_run_trains_on_the_boxes_of_its_tracks(tiny, tmp_path):
    source = tiny.TinyPairs(recordings=3, frames=4)
    recipes = [tiny.recipe_of("mixed", **GIVEN, max_gap=gap) for gap in (0, 3, 3)]
    runs = [
        tiny.run_tiny(recipe, tmp_path / str(n), source=source, follower=Standing())
        for n, recipe in enumerate(recipes)
    ]
    assert all(summary.tracks[0].kept > 0 for _, summary in runs)
    students = [student.state_dict() for student, _ in runs]
    same = [
        all(torch.equal(value, other[key]) for key, value in students[1].items())
        for other in (students[0], students[2])
    ]
    assert same == [False, True]
