"""What tracks say of themselves, and what the truth says of them."""

from __future__ import annotations

import numpy as np

from benchmarks.evidence.trust_facts import track_facts
from benchmarks.evidence.trust_rules import share
from tirtrack.boxes import Box
from tirtrack.pairs.proposals import FoundIn, Proposal
from tirtrack.pairs.tracklets import Track, TrackFault, Tracklet

TRUTH = np.array([[[0.0, 0, 10, 10]] * 4, [[40.0, 0, 10, 10]] * 2 + [[np.nan] * 4] * 2])


def track(box: Box, counts: tuple[bool, ...], fault: TrackFault | None = None) -> Track:
    proposal = Proposal(box, FoundIn.TIR, 1.0, "saliency")
    tracklet = Tracklet((box,) * len(counts), counts, fault)
    return Track(proposal, "tir", tuple(range(len(counts))), tracklet)


def test_rejected_tracks_are_followed_and_nothing_more():
    on, off = Box(0.0, 0, 10, 10), Box(80.0, 0, 10, 10)
    tracks = [
        track(on, (True, True, False, True)),
        track(off, (True, True)),
        track(on, (True, False), TrackFault.STILL),
    ]
    found = track_facts(tracks, TRUTH)
    assert (found["followed"], found["trusted"], found["on_target"]) == (3, 2, 1)
    assert found["counts"] == 0.75 + 1.0 + 0.5
    assert (found["frames"], found["drawn"], found["boxes"]) == (3, 2.0, 5)


def test_a_track_of_a_target_that_is_hidden_half_of_the_time_lies_on_it_for_the_other_half_alone():
    both = track(Box(40.0, 0, 10, 10), (True,) * 4)
    assert track_facts([both], TRUTH)["on_target"] == 1
    later = track(Box(40.0, 0, 10, 10), (True, False, True, True))
    assert track_facts([later], TRUTH)["on_target"] == 0


def test_no_tracks_have_no_facts_and_no_share():
    found = track_facts([], TRUTH)
    assert set(found.values()) == {0}
    assert share(found) == 0.0
