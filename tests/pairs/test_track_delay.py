"""A delay is measured from what moves unevenly in both modalities, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tirtrack.boxes import Box
from tirtrack.pairs.proposals.base import FoundIn, Proposal
from tirtrack.pairs.track_delay import measure_track_delay
from tirtrack.pairs.tracklets import Track, TrackFault, Tracklet
from tirtrack.synthetic import WorldSettings
from tirtrack.synthetic.render import render_sequence

HAND_HELD = WorldSettings(camera_weights=(0.0, 1.0, 0.0, 0.0), sixteen_bit_share=0.0)
FRAMES, MOST = 26, 3  # frames of a recording, and by how many TIR is moved at most


def track(
    modality: str, boxes: np.ndarray, start: int, *, fault: TrackFault | None = None
) -> Track:
    """A track of boxes ``[T,4]``; NaN rows do not count."""
    counts = tuple(bool(one) for one in np.isfinite(boxes).all(axis=1))
    whole = tuple(Box.of(one) for one in np.nan_to_num(boxes, nan=1.0))
    indices = tuple(range(start, start + len(boxes)))
    proposal = Proposal(whole[0], FoundIn.BOTH, 1.0, "saliency")
    return Track(proposal, modality, indices, Tracklet(whole, counts, fault))


@pytest.fixture(scope="module")
def world() -> list[tuple[np.ndarray, np.ndarray]]:
    """``[T,4]`` boxes in RGB and TIR of the targets of a hand-held rig, loose by 2 % of a side."""
    rng = np.random.default_rng(0)
    targets = []
    for number in range(5):
        facts = render_sequence((3, number), FRAMES, spacing=2, settings=HAND_HELD).facts
        sides = [one + rng.normal(0, 0.02, one.shape) * np.sqrt(one[:, 2:3] * one[:, 3:])
                 for one in (facts.boxes_rgb, facts.boxes_tir)]  # fmt: skip
        targets.append((sides[0], sides[1]))
    return targets


def delayed(world: list[tuple[np.ndarray, np.ndarray]], frames: int) -> list[Track]:
    """Tracks of pairs in which TIR is late by ``frames``."""
    tracks = []
    for number, (rgb, tir) in enumerate(world):
        start, shown = 100 * number, FRAMES - 2 * MOST
        tracks.append(track("rgb", rgb[MOST : MOST + shown], start))
        tracks.append(track("tir", tir[MOST - frames : MOST - frames + shown], start))
    return tracks


@pytest.mark.parametrize("frames", [-3, -1, 0, 1, 2, 3])
def test_the_delay_of_the_world_comes_out_with_its_sign(world, frames):
    found = measure_track_delay(delayed(world, frames))
    assert found.frames == pytest.approx(frames, abs=0.3)
    assert found.targets >= 3


def test_modalities_that_lie_apart_are_not_delayed(world):
    apart = [(rgb, tir + np.array([0.1 * tir[0, 2], 0, 0, 0])) for rgb, tir in world]
    assert measure_track_delay(delayed(apart, 0)).frames == pytest.approx(0, abs=0.3)


def path(x: np.ndarray) -> np.ndarray:
    return np.stack([x, np.full_like(x, 20.0), np.full_like(x, 20.0), np.full_like(x, 20.0)], 1)


TIMES = np.arange(24.0)
SWAYING = path(40 + 30 * np.sin(TIMES / 3))


def targets(rgb: np.ndarray, tir: np.ndarray, count: int = 3, **more) -> list[Track]:
    return [
        track(modality, boxes, 100 * number, **more)
        for number in range(count)
        for modality, boxes in (("rgb", rgb), ("tir", tir))
    ]


@pytest.mark.parametrize(
    "boxes", [path(np.full(24, 40.0)), path(10 + 3 * TIMES)], ids=["still", "even"]
)
def test_targets_that_do_not_change_their_step_say_nothing(boxes):
    assert measure_track_delay(targets(boxes, boxes)) is None


def test_fractions_of_a_frame_are_measured():
    late = path(40 + 30 * np.sin((TIMES - 1.4) / 3))
    assert measure_track_delay(targets(SWAYING, late)).frames == pytest.approx(1.4, abs=0.05)


def test_frames_that_are_not_trusted_do_not_count():
    wrong = SWAYING.copy()
    wrong[5:8] = np.nan
    assert measure_track_delay(targets(wrong, SWAYING)).frames == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    "tracks",
    [
        [],
        targets(SWAYING, SWAYING, 2),
        targets(SWAYING, SWAYING, fault=TrackFault.NO_RETURN),
        targets(SWAYING, SWAYING + np.array([40.0, 0, 0, 0])),
        [one for one in targets(SWAYING, SWAYING) if one.modality == "rgb"],
        [replace(one, indices=tuple(k + 7 * (one.modality == "tir") for k in one.indices))
         for one in targets(SWAYING, SWAYING)],
    ],
    ids=["none", "two targets", "rejected", "other targets", "RGB alone", "other starts"],
)  # fmt: skip
def test_without_three_targets_that_are_trusted_in_both_modalities_nothing_is_said(tracks):
    assert measure_track_delay(tracks) is None


def followed_anew(boxes: np.ndarray, *starts: int) -> list[Track]:
    """Tracks of one target in both modalities, begun in several pairs; 24 pairs each."""
    return [
        track(modality, boxes[start : start + 24], start)
        for start in starts
        for modality in ("rgb", "tir")
    ]


LONG = path(40 + 30 * np.sin(np.arange(56.0) / 3))


@pytest.mark.parametrize("starts", [(0, 16, 32), (0, 0, 0)], ids=["anew", "three boxes of it"])
def test_a_target_that_was_followed_several_times_counts_once(starts):
    assert measure_track_delay(followed_anew(LONG, *starts)) is None


def test_targets_in_one_frame_count_each():
    beside = [LONG + np.array([0, 60.0 * number, 0, 0]) for number in range(3)]
    tracks = [one for boxes in beside for one in followed_anew(boxes, 0, 16)]
    assert measure_track_delay(tracks).targets == 3


def test_targets_that_disagree_say_nothing():
    late = [path(40 + 30 * np.sin((TIMES - frames) / 3)) for frames in (0, 2, 4)]
    tracks = [
        track(modality, boxes, 100 * number)
        for number, tir in enumerate(late)
        for modality, boxes in (("rgb", SWAYING), ("tir", tir))
    ]
    assert measure_track_delay(tracks) is None
