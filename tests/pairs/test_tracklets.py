"""Tracks: kept only where the ways there and back agree; they end where the video is broken."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.boxes import Box, iou
from tirtrack.crops import MappedFrame
from tirtrack.errors import FrameError, PairsError
from tirtrack.pairs.proposals.base import FoundIn, Proposal
from tirtrack.pairs.source import Pair, Recording
from tirtrack.pairs.tracklets import (
    TrackFault,
    TrackSettings,
    follow,
    starts_of,
    tracks_from,
    unbroken,
)

FRAMES = [np.full((60, 80), t, np.uint8) for t in range(6)]
START = Box(10.0, 20.0, 16.0, 12.0)
ALL = TrackSettings(min_frames=6)


@dataclass
class State:
    box: Box
    measured: bool = True


def path(t):
    return Box(START.x + 3.0 * t, START.y, START.w, START.h)


class Scripted:
    """Follows ``path`` by the number that a frame shows, ``wrong(t, t of its first frame)`` off."""

    def __init__(self, wrong=lambda t, begun: 0.0, measured=lambda t: True):
        self.wrong, self.measured, self.begun, self.looks = wrong, measured, None, 0

    def init(self, frame, box):
        self.begun = int(frame[0, 0])

    def update(self, frame):
        self.looks += 1
        t = int(frame[0, 0])
        box = path(t)
        return State(Box(box.x + self.wrong(t, self.begun), box.y, box.w, box.h), self.measured(t))


def test_what_both_follow_alike_is_kept_with_boxes_midway():
    tracklet = follow(FRAMES, START, (Scripted(lambda t, b: 2.0), Scripted()), ALL)
    assert tracklet.boxes[0] == START
    assert tracklet.boxes[1:] == tuple(
        Box(path(t).x + 1.0, START.y, START.w, START.h) for t in range(1, 6)
    )
    assert tracklet.counts == (True,) * 6
    assert tracklet.fault is None


@pytest.mark.parametrize(
    ("first", "second", "looks"),
    [
        (Scripted(), Scripted(lambda t, b: 8.0 * (t == 3)), 3),
        (Scripted(lambda t, b: 8.0 * (t == 2)), Scripted(), 2),
        (Scripted(), Scripted(measured=lambda t: t != 4), 4),
        # both drift alike on the way there, and do not come back by the same way
        (Scripted(lambda t, b: 8.0 * (b == 5)), Scripted(lambda t, b: 8.0 * (b == 5)), 6),
        (Scripted(), Scripted(lambda t, b: 8.0 * (b == 5 and t == 0)), 10),
    ],
    ids=["second drifts", "first drifts", "lost", "another way back", "misses the start"],
)
def test_where_all_frames_must_count_work_ends_at_the_first_doubt(first, second, looks):
    assert follow(FRAMES, START, (first, second), ALL).fault is not None
    assert first.looks == second.looks == looks


def test_the_least_agreement_is_the_callers_to_choose():
    pair = Scripted(lambda t, b: 4.0), Scripted()
    shifted = path(1).array() + np.array([4, 0, 0, 0])
    assert float(iou(shifted, path(1).array())) == pytest.approx(0.6)
    assert follow(FRAMES, START, pair, ALL.model_copy(update={"min_iou": 0.59})).fault is None
    assert follow(FRAMES, START, pair, ALL.model_copy(update={"min_iou": 0.61})).fault is not None


def test_one_frame_is_its_box_and_none_is_refused():
    settings = TrackSettings(min_frames=1)
    tracklet = follow(FRAMES[:1], START, (Scripted(), Scripted()), settings)
    assert (tracklet.boxes, tracklet.counts, tracklet.fault) == ((START,), (True,), None)
    with pytest.raises(ValueError, match="at least one"):
        follow([], START, (Scripted(), Scripted()), settings)


# --- which frames count, and which tracks --------------------------------------------------------


def test_frames_in_which_the_ways_differ_do_not_count_and_the_others_do():
    follower = Scripted(lambda t, begun: 5.0 * (begun == 5 and t in (2, 3)))
    tracklet = follow(FRAMES, START, [follower], TrackSettings(min_frames=4))
    assert tracklet.counts == (True, True, False, False, True, True)
    assert tracklet.fault is None


def test_a_frame_in_which_the_way_back_is_lost_does_not_count():
    class Blinking(Scripted):
        def update(self, frame):
            state = super().update(frame)
            return replace(state, measured=self.begun == 0 or frame[0, 0] != 2)

    tracklet = follow(FRAMES, START, [Blinking()], TrackSettings(min_frames=4))
    assert tracklet.counts == (True, True, False, True, True, True)


def test_a_track_of_which_too_few_frames_count_is_rejected():
    follower = Scripted(lambda t, begun: 5.0 * (begun == 5 and t in (2, 3)))
    tracklet = follow(FRAMES, START, [follower], TrackSettings(min_frames=5))
    assert tracklet.fault is TrackFault.TOO_FEW


@pytest.mark.parametrize(("off", "fault"), [(5.0, None), (6.0, TrackFault.NO_RETURN)])
def test_a_track_must_come_back_to_its_box_by_half(off, fault):
    follower = Scripted(lambda t, begun: off * (begun == 5 and t == 0))
    tracklet = follow(FRAMES, START, [follower], TrackSettings(min_frames=5))
    back = Box(START.x + off, START.y, START.w, START.h)
    assert (float(iou(START.array(), back.array())) > 0.5) is (fault is None)
    assert (tracklet.counts[0], tracklet.fault) == (False, fault)


def test_a_track_ends_where_the_follower_says_lost():
    follower = Scripted(measured=lambda t: t < 4)
    tracklet = follow(FRAMES, START, [follower], TrackSettings(min_frames=4))
    assert len(tracklet.boxes) == 4
    assert tracklet.fault is None
    shorter = follow(FRAMES, START, [follower], TrackSettings(min_frames=5))
    assert shorter.fault is TrackFault.TOO_SHORT


def test_a_track_ends_where_the_target_leaves_the_frame():
    frames = [frame[:, :30] for frame in FRAMES]  # the centre of path(5) lies outside
    tracklet = follow(frames, START, [Scripted()], TrackSettings(min_frames=3))
    assert tracklet.boxes == (START, path(1), path(2), path(3), path(4))
    assert tracklet.fault is None


def test_a_box_with_which_a_follower_cannot_begin_is_no_error():
    class Refusing(Scripted):
        def init(self, frame, box):
            raise FrameError("too small")

    assert follow(FRAMES, START, [Refusing()], ALL).fault is TrackFault.REFUSED


# --- where a video is broken ---------------------------------------------------------------------


def picture(scene: int, shift: int) -> np.ndarray:
    """A scene of coarse spots that moves by ``shift`` pixels."""
    spots = np.random.default_rng(scene).integers(40, 200, (8, 16))
    whole = np.kron(spots, np.ones((10, 10)))
    return whole[:, shift : shift + 80].astype(np.uint8)


def pair_of(position: int, *, rgb=0, tir=0, name=None) -> Pair:
    """A pair in which both cameras pan; 0 is the first scene."""
    colour = np.repeat(picture(rgb, position)[..., None], 3, axis=2)
    return Pair(
        f"take/{name or f'{position:06d}'}", "take", position, colour, picture(7 + tir, position)
    )


PAN = [pair_of(position) for position in range(8)]


@pytest.mark.parametrize("modality", ["rgb", "tir"])
def test_a_pan_is_not_broken(modality):
    assert list(unbroken(PAN, modality)) == PAN


@pytest.mark.parametrize(
    ("other", "broken"),
    [
        (pair_of(4, rgb=1, tir=1), {"rgb", "tir"}),
        (pair_of(4, rgb=1), {"rgb"}),
        (pair_of(4, tir=1), {"tir"}),
        (replace(PAN[4], tir=PAN[3].tir), {"rgb", "tir"}),
        (replace(PAN[4], rgb=PAN[3].rgb), {"rgb", "tir"}),
        (replace(PAN[4], rgb=PAN[3].rgb, tir=PAN[3].tir), {"rgb", "tir"}),
        (replace(PAN[4], tir=np.zeros_like(PAN[4].tir)), {"tir"}),
    ],
    ids=[
        "another scene",
        "another scene in RGB",
        "another scene in TIR",
        "TIR is frozen",
        "RGB is frozen",
        "both are frozen",
        "TIR black",
    ],
)
@pytest.mark.parametrize("modality", ["rgb", "tir"])
def test_a_scene_ends_in_its_modality_and_a_frozen_frame_breaks_both(other, broken, modality):
    whole = [*PAN[:4], other, *PAN[5:]]
    assert list(unbroken(whole, modality)) == (PAN[:4] if modality in broken else whole)


def test_a_modality_that_is_blank_breaks_nothing():
    blank = [replace(one, rgb=np.zeros_like(one.rgb)) for one in PAN]
    assert list(unbroken(blank, "rgb")) == blank
    assert list(unbroken(blank, "tir")) == blank


@pytest.mark.parametrize(
    "names",
    [
        ["000000", "000001", "000002", "000003", "000014", "000015", "000016"],
        ["000000", "000004", "000008", "000012", "000020", "000024", "000028"],
        [f"1700000000.{n}" for n in (100, 200, 300, 400, 800, 900, 999)],
    ],
    ids=["numbers", "every fourth frame", "times"],
)
def test_a_gap_in_the_names_breaks_a_video(names):
    pairs = [pair_of(position, name=name) for position, name in enumerate(names)]
    assert list(unbroken(pairs, "rgb")) == pairs[:4]


def test_numbers_of_a_camera_matched_to_a_slower_one_break_nothing():
    numbers = [number for number in range(9) if number != 5]
    pairs = [pair_of(position, name=f"{number:06d}") for position, number in enumerate(numbers)]
    assert list(unbroken(pairs, "rgb")) == pairs


def test_names_without_a_number_break_nothing():
    pairs = [pair_of(position, name="abcdefgh"[position]) for position in range(8)]
    assert list(unbroken(pairs, "rgb")) == pairs


# --- the tracks of a recording -------------------------------------------------------------------


class Panned:
    """Pairs of the pan; a follower of them knows where a box lies by the picture alone."""

    name = "panned"

    def __init__(self, count=8, damaged=(), frozen=()):
        self.count, self.damaged, self.frozen, self.read = count, damaged, frozen, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        if index in self.damaged:
            raise PairsError("damaged")
        shown = pair_of(index)
        return replace(shown, tir=pair_of(index - 1).tir) if index in self.frozen else shown

    def recordings(self):
        return {"take": Recording("take", range(self.count), is_video=True)}


class Panning:
    """Moves its box by one pixel a frame, back again when begun at a later frame."""

    def __init__(self):
        self.saw = []

    def init(self, frame, box):
        self.saw.append(frame.ndim)
        self.box, self.step = box, -1.0 if len(self.saw) % 2 else 1.0

    def update(self, frame):
        self.box = Box(self.box.x + self.step, self.box.y, self.box.w, self.box.h)
        return State(self.box)


def proposed(found_in: FoundIn) -> Proposal:
    return Proposal(Box(30.0, 20.0, 16.0, 12.0), found_in, 1.0, "saliency")


def tracks_of(source, indices, proposals, follower, settings):
    """All tracks of a recording."""
    read = lru_cache(settings.frames)(source.__getitem__)
    starts = starts_of(indices, proposals, settings)
    return [one for start in starts for one in tracks_from(start, read, follower, settings)]


def found_tracks(source, follower, *, begins=(0,), found_in=FoundIn.BOTH, boxes=1, **settings):
    proposals = {index: [proposed(found_in)] * boxes for index in begins}
    given = TrackSettings(**{"modalities": ["rgb"], "min_frames": 4, **settings})
    return tracks_of(source, range(len(source)), proposals, follower, given)


@pytest.mark.parametrize(
    ("fit", "backgrounds"),
    [([], [(), (), ()]), (["tir"], [tuple(range(8)), *[tuple(range(2, 10))] * 2])],
    ids=["not fitted", "fitted"],
)
def test_boxes_that_are_fitted_have_a_whole_window_as_background(fit, backgrounds):
    settings = TrackSettings(modalities=["tir"], frames=8, fit=fit)
    proposals = {begin: [proposed(FoundIn.TIR)] for begin in (0, 4, 8)}
    starts = starts_of(range(10), proposals, settings)
    assert [one.background for one in starts] == backgrounds


def test_a_track_holds_a_box_for_every_pair_that_counts():
    (track,) = found_tracks(Panned(), Panning())
    assert track.trusted() == {index: Box(30.0 - index, 20.0, 16.0, 12.0) for index in range(8)}


@pytest.mark.parametrize(
    ("modalities", "found_in", "seen"),
    [
        (["rgb"], FoundIn.BOTH, ["rgb"]),
        (["tir"], FoundIn.BOTH, ["tir"]),
        (["rgb", "tir"], FoundIn.BOTH, ["rgb", "tir"]),
        (["rgb", "tir"], FoundIn.TIR, ["tir"]),
        (["rgb"], FoundIn.TIR, []),
    ],
    ids=["in RGB", "in TIR", "in both", "found in TIR alone", "found in TIR, followed in RGB"],
)
def test_a_box_is_followed_where_it_was_found(modalities, found_in, seen):
    follower = Panning()
    tracks = found_tracks(Panned(), follower, found_in=found_in, modalities=modalities)
    assert [track.modality for track in tracks] == seen
    assert follower.saw == [{"rgb": 3, "tir": 2}[one] for one in seen for _ in range(2)]


def test_tracks_are_as_many_and_as_long_as_the_settings_say():
    proposals = {index: [proposed(FoundIn.BOTH)] * 3 for index in (0, 3)}
    settings = TrackSettings(modalities=["rgb"], boxes=2, frames=4, min_frames=4)
    tracks = tracks_of(Panned(), range(8), proposals, Panning(), settings)
    assert [track.indices for track in tracks] == [(0, 1, 2, 3)] * 2 + [(3, 4, 5, 6)] * 2


def test_the_best_boxes_that_a_modality_shows_are_followed():
    found = [proposed(one) for one in (FoundIn.TIR, FoundIn.RGB, FoundIn.BOTH, FoundIn.RGB)]
    settings = TrackSettings(modalities=["rgb"], boxes=2, min_frames=4)
    tracks = tracks_of(Panned(), range(8), {0: found}, Panning(), settings)
    assert [track.proposal for track in tracks] == found[1:3]


def test_a_rejected_track_has_no_trusted_box_though_frames_count():
    class Stuck(Panning):
        def update(self, frame):
            self.step *= len(self.saw) % 2  # there, and not back
            return super().update(frame)

    (track,) = found_tracks(Panned(), Stuck(), min_frames=2)
    assert sum(track.tracklet.counts) > 2
    assert track.tracklet.fault is TrackFault.NO_RETURN
    assert track.trusted() == {}


def test_a_track_ends_before_a_damaged_pair():
    (track,) = found_tracks(Panned(damaged=[5]), Panning())
    assert sorted(track.trusted()) == [0, 1, 2, 3, 4]


def test_a_damaged_pair_begins_no_track():
    assert found_tracks(Panned(damaged=[0]), Panning()) == []


def test_three_frames_give_no_trusted_track():
    (track,) = found_tracks(Panned(3), Panning())
    assert track.tracklet.fault is TrackFault.TOO_SHORT
    assert track.trusted() == {}


@pytest.mark.parametrize("modality", ["rgb", "tir"])
@pytest.mark.parametrize(
    ("break_at", "fault"), [(2, TrackFault.BROKEN), (4, None)], ids=["too early", "late enough"]
)
def test_a_track_that_a_broken_recording_cuts_short_says_so(break_at, fault, modality):
    (track,) = found_tracks(Panned(frozen=[break_at]), Panning(), modalities=[modality])
    assert track.indices == tuple(range(break_at))
    assert track.tracklet.fault is fault


def test_every_pair_is_read_once_however_many_tracks_show_it():
    source = Panned()
    found_tracks(source, Panning(), begins=(0, 2, 4), boxes=2)
    assert source.read == list(range(8))


# --- registered TIR ------------------------------------------------------------------------------


class Registered(Panned):
    """Pairs whose TIR is stored at half the size, moved; its copy on the RGB grid stands still."""

    def __getitem__(self, index):
        pair = super().__getitem__(index)
        stored = pair.tir[::2, ::2] + np.uint8(index)
        mapped = MappedFrame(stored, lambda points: points / 2 + [3.0, 4.0], pair.tir.shape)
        return replace(pair, tir_mapped=mapped)


def test_registered_tir_is_followed_as_it_is_stored():
    """No follower sees the copy that was resampled onto the RGB grid; boxes are of that grid."""
    saw = []

    class Watched(Panning):
        def init(self, frame, box):
            super().init(frame, box)
            saw.append((frame, box))

        def update(self, frame):
            saw.append((frame, None))
            return super().update(frame)

    source = Registered()
    (track,) = found_tracks(source, Watched(), found_in=FoundIn.TIR, modalities=["tir"])
    stored = [source[index].tir_mapped.pixels for index in range(8)]
    assert len(saw) == 16
    for (frame, _), wanted in zip(saw, [*stored, *reversed(stored)], strict=True):
        assert_array_equal(frame, wanted)
    assert saw[0][1] == Box(18.0, 14.0, 8.0, 6.0)
    found = np.array([box.array() for box in track.tracklet.boxes])
    assert_allclose(found, [[30.0 - 2 * k, 20.0, 16.0, 12.0] for k in range(8)], atol=1e-9)
    assert all(track.tracklet.counts)


def test_a_registered_track_ends_where_the_target_leaves_the_rgb_grid():
    """Though TIR shows more."""
    source = Registered()
    begin = Proposal(Box(1.0, 20.0, 16.0, 12.0), FoundIn.TIR, 1.0, "saliency")
    settings = TrackSettings(modalities=["tir"], min_frames=2)
    (track,) = tracks_of(source, range(8), {0: [begin]}, Panning(), settings)
    assert len(track.tracklet.boxes) == 5, "the centre is at 9 px and moves by 2 px"


def test_rgb_of_registered_pairs_is_followed_as_before():
    plain, registered = (found_tracks(one, Panning()) for one in (Panned(), Registered()))
    assert plain == registered
