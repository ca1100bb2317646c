"""Whether what tracks say of themselves is compared with the truth as it should be."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks.evidence.blind_rgb import BLIND, write_blinded
from benchmarks.evidence.boxes import world_of_boxes
from benchmarks.evidence.trust import (
    RULES,
    SIGNS,
    by_ratio,
    by_truth,
    first_of_each_hour,
    order_of,
    share,
    track_facts,
    worth_of,
)
from benchmarks.evidence.truth import scene_of
from tirtrack.boxes import Box
from tirtrack.pairs.proposals import FoundIn, Proposal
from tirtrack.pairs.tracklets import Track, TrackFault, Tracklet

TRUTH = np.array([[[0.0, 0, 10, 10]] * 4, [[40.0, 0, 10, 10]] * 2 + [[np.nan] * 4] * 2])


def track(box: Box, counts: tuple[bool, ...], fault: TrackFault | None = None) -> Track:
    proposal = Proposal(box, FoundIn.TIR, 0.5, 1.0, "saliency")
    tracklet = Tracklet((box,) * len(counts), counts, fault)
    return Track(proposal, "tir", tuple(range(len(counts))), tracklet)


def facts(trusted: int, iou: float, followed: int = 10, frames: int = 10) -> dict[str, float]:
    said = {"followed": followed, "trusted": trusted, "counts": float(trusted)}
    return {**said, "on_target": 0, "frames": frames, "drawn": iou * frames, "boxes": 5 * trusted}


def recording(rgb: dict[str, float], tir: dict[str, float]) -> dict[str, dict[str, float]]:
    return {"rgb": rgb, "tir": tir, "both": tir}


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


def test_a_sign_is_right_where_it_prefers_the_modality_that_is_closer_to_the_truth():
    each = [
        recording(facts(2, 0.3), facts(8, 0.6)),
        recording(facts(9, 0.8), facts(4, 0.5)),
        recording(facts(9, 0.1), facts(7, 0.4)),
        recording(facts(5, 0.2), facts(5, 0.4)),
        recording(facts(0, 0.0), facts(5, 0.4)),
    ]
    found = order_of(each, share)
    assert (found["recordings"], found["told"], found["right"]) == (4, 3, 2)
    assert found["TIR is closer"] == 2
    assert 0 < found["rank correlation"]["mean"] < 1


def test_where_nothing_differs_there_is_no_rank_correlation():
    found = order_of([recording(facts(5, 0.5), facts(5, 0.5))] * 2, share)
    assert found["rank correlation"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


@pytest.mark.parametrize(
    ("rgb", "tir", "used"),
    [(4, 10, "tir"), (10, 4, "rgb"), (5, 10, "both"), (10, 5, "both"), (0, 0, "both")],
)
def test_a_modality_below_the_ratio_of_the_other_is_left_out(rgb, tir, used):
    assert by_ratio(recording(facts(rgb, 0.5), facts(tir, 0.5)), 0.5) == used


def test_the_better_by_truth_is_the_modality_that_is_closer_to_the_truth():
    assert by_truth(recording(facts(9, 0.2), facts(1, 0.3))) == "tir"


def test_a_rule_is_worth_what_its_boxes_are_above_those_of_both():
    each = [{**recording(facts(3, 0.2), facts(4, 0.6)), "both": facts(7, 0.4, frames=20)}] * 3
    found = worth_of(each, RULES["TIR"])
    assert (found["tracks"], found["mean IoU as drawn"]) == (12, 0.6)
    assert found["above both"] == {"mean": 0.2, "low": 0.2, "high": 0.2}
    assert worth_of(each, RULES["both"])["above both"]["mean"] == 0.0


def test_every_sign_is_higher_where_more_tracks_are_trusted():
    assert all(sign(facts(8, 0.5)) > sign(facts(2, 0.5)) for sign in SIGNS.values())


@pytest.mark.parametrize("kind", BLIND)
def test_rgb_that_shows_nothing_has_no_edge_of_a_target(kind):
    one, next_one = (BLIND[kind]((96, 128, 3), number) for number in (0, 1))
    smooth = one.astype(float).reshape(12, 8, 16, 8, 3).mean(axis=(1, 3, 4))
    assert np.abs(np.diff(smooth, axis=0)).max() < 20
    assert not np.array_equal(one, next_one)


def test_the_first_recordings_of_each_hour_are_measured():
    world = world_of_boxes()
    first, two = (first_of_each_hour(world, count) for count in (1, 2))
    hours = [scene_of(world, index).light.daylight for index in two]
    assert sorted(hours) == sorted(2 * [scene_of(world, index).light.daylight for index in first])
    assert len(first) == len(set(hours)) == 5
    assert first == [two[hours.index(hour)] for hour in dict.fromkeys(hours)]


def test_a_copy_that_was_begun_is_written_anew(tmp_path):
    for modality in ("rgb", "tir"):
        folder = tmp_path / "whole" / modality
        folder.mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "000000.png")

    def stopped(shape: tuple[int, ...], number: int) -> np.ndarray:
        raise KeyboardInterrupt

    copy = tmp_path / "copy"
    with pytest.raises(KeyboardInterrupt):
        write_blinded(tmp_path / "whole", copy, stopped)
    write_blinded(tmp_path / "whole", copy, BLIND["darkness"])
    assert Image.open(copy / "rgb" / "000000.png").getextrema() != ((0, 0),) * 3
    assert (copy / "tir" / "000000.png").is_file()
