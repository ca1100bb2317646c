"""How boxes are compared with the truth, and ways that are measured beside the package's."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.evidence import boxes
from benchmarks.evidence.box_ways import trusted_boxes, weighted
from benchmarks.evidence.boxes import compared, markdown, recipe_with, summary_of
from tirtrack.boxes import Box
from tirtrack.pairs.proposals import FoundIn, Proposal
from tirtrack.pairs.tracklets import Track, TrackFault, Tracklet

HIDDEN = [np.nan] * 4
TRUTH = np.array([[[0.0, 0, 10, 10], HIDDEN], [[40.0, 0, 10, 10], [50.0, 0, 10, 10]], [HIDDEN] * 2])


def test_a_frame_counts_once_however_many_boxes_it_has():
    right, half, wrong = Box(0.0, 0, 10, 10), Box(40.0, 0, 10, 5), Box(80.0, 0, 10, 10)
    sums = compared({0: [(right, 0.5), (half, 0.5)], 1: [(wrong, 0.5)]}, TRUTH)
    assert (sums["frames"], sums["drawn"]) == (2, 0.75)
    assert (sums["boxes"], sums["overlap"], sums["on"], sums["overlap_on"]) == (3, 1.5, 2, 1.5)


def test_boxes_count_by_the_weight_by_which_they_are_drawn():
    boxes = {0: [(Box(0.0, 0, 10, 10), 1.0), (Box(80.0, 0, 10, 10), 0.5)]}
    assert compared(boxes, TRUTH)["drawn"] == pytest.approx(2 / 3, abs=1e-4)


def test_a_target_is_reached_once_and_hidden_ones_are_none():
    boxes = {f: [(Box(40.0 + 10 * f, 0, 10, 10), 0.5)] for f in (0, 1)}
    sums = compared(boxes, TRUTH)
    assert (sums["reached"], sums["targets"]) == (1, 2)


def test_a_box_on_a_hidden_target_lies_on_none():
    assert compared({1: [(Box(0.0, 0, 10, 10), 0.5)]}, TRUTH)["on"] == 0


def test_figures_are_ratios_of_sums_over_recordings():
    many = compared({0: [(Box(0.0, 0, 10, 10), 0.5)], 1: [(Box(50.0, 0, 10, 10), 0.5)]}, TRUTH)
    few = compared({0: [(Box(0.0, 0, 10, 5), 0.5)]}, TRUTH)
    recordings = {name: {"ways": {"a": sums}} for name, sums in (("x", many), ("y", few))}
    row = summary_of(recordings)["a"]
    assert row["boxes"] == 3
    assert row["mean IoU as drawn"] == {"mean": round(2.5 / 3, 3), "low": 0.5, "high": 1.0}
    assert "| a | 3 | 0.833 [0.500, 1.000] |" in markdown({"a": row})


def test_a_way_without_boxes_has_zeros():
    row = summary_of({"x": {"ways": {"a": compared({}, TRUTH)}}})["a"]
    assert row["mean IoU as drawn"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_ways_begin_alike():
    recipe = recipe_with({"tracks.modalities": ["tir"]})
    assert (recipe.tracks.every, recipe.tracks.boxes) == (48, 5)


def track(counts: tuple[bool, ...], fault: TrackFault | None = None) -> Track:
    box = Box(1.0, 2.0, 3.0, 4.0)
    proposal = Proposal(box, FoundIn.TIR, 1.0, "saliency")
    tracklet = Tracklet((box,) * len(counts), counts, fault)
    return Track(proposal, "tir", tuple(range(len(counts))), tracklet)


def test_rejected_tracks_have_no_boxes_and_doubtful_ones_little_weight():
    tracks = [track((True, True)), track((True, False)), track((True,), TrackFault.STILL)]
    assert [len(boxes) for boxes in trusted_boxes(tracks).values()] == [2, 1]
    assert [weight for _, weight in weighted(None, tracks)[0]] == [1.0, 0.5**4]


def test_a_difference_of_two_ways_is_of_the_same_recordings():
    def sums(drawn):
        return {**dict.fromkeys(boxes.NUMBERS, 10.0), "drawn": drawn}

    ways = {name for pair in boxes.COMPARED for name in pair}
    first, second = boxes.COMPARED[0]
    recordings = {
        str(k): {"ways": {**dict.fromkeys(ways, sums(0.0)), first: sums(k + 1.0), second: sums(k)}}
        for k in range(4)
    }
    found = boxes.differences_of(recordings)[f"{first} minus {second}"]["mean IoU as drawn"]
    assert found == {"mean": 0.1, "low": 0.1, "high": 0.1}
    alone = boxes.summary_of(recordings)[first]["mean IoU as drawn"]
    assert alone["low"] < alone["high"]
