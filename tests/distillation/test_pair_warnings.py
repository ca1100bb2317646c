"""What a distillation says against its pairs."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from tirtrack.boxes import Box
from tirtrack.distillation.pair_warnings import delay_warnings, doubt_warnings, track_warnings
from tirtrack.distillation.pool import Pool, PoolArrays
from tirtrack.distillation.sources import Split
from tirtrack.pairs.proposals.base import FoundIn, Proposal
from tirtrack.pairs.source import Manifest, Pair, Recording
from tirtrack.pairs.track_delay import TrackDelay
from tirtrack.pairs.tracklets import Track, TrackFault, Tracklet
from tirtrack.progress import silent


@pytest.fixture
def run(tiny, tmp_path):
    """Distils a source with all samples of the teacher counted; gives the warnings."""

    def warnings_of(source, **changes):
        recipe = tiny.recipe_of("mixed", **changes)
        _, summary = tiny.run_tiny(recipe, tmp_path / "run", source=source)
        return summary

    return warnings_of


def _changed(tiny, change, recordings=3):
    """Tiny pairs of which ``change`` makes other pairs."""

    class Changed(tiny.TinyPairs):
        def __getitem__(self, index):
            return change(super().__getitem__(index))

    return Changed(recordings=recordings, frames=3)


def test_good_pairs_are_not_warned_of(tiny, run):
    summary = run(_changed(tiny, lambda pair: pair))
    assert not [one for one in summary.warnings if "compared" in one or "look swapped" in one]
    assert summary.assumed == ()


def test_a_copy_in_place_of_tir_is_in_the_summary(tiny, run):
    copied = _changed(tiny, lambda pair: replace(pair, tir=pair.rgb[:, :, 1].copy()))
    warnings = run(copied).warnings
    assert any(one.startswith("RGB and TIR are the same picture") for one in warnings)


def test_of_a_blind_recording_the_samples_that_the_teacher_passed_are_said(tiny, run):
    """Whichever recordings are held back, those trained on carry the teacher's count."""

    def blind(pair):
        rng = np.random.default_rng(pair.position)
        return replace(pair, rgb=rng.integers(90, 96, pair.rgb.shape, np.uint8))

    summary = run(_changed(tiny, blind))
    (said,) = [one for one in summary.warnings if one.startswith("RGB and TIR share no outlines")]
    counts = re.findall(r"RGB nearly without contrast, the teacher passed (\d+) of (\d+)", said)
    passed, asked = (sum(int(one[side]) for one in counts) for side in (0, 1))
    assert asked == sum(rate.samples for rate in summary.pass_rates) == 12
    assert passed == sum(rate.passed for rate in summary.pass_rates)
    assert 2 * passed != asked, "the test would not tell passed from not passed"


def test_few_recordings_are_in_the_summary(tiny, run):
    summary = run(tiny.TinyPairs(recordings=2, frames=3))
    (said,) = [one for one in summary.warnings if one.startswith("recordings are few or unequal")]
    assert "1 of 2 recordings (3 of 6 pairs) are held back: take" in said


def test_what_was_assumed_is_in_the_summary(tiny, run):
    class Assuming(tiny.TinyPairs):
        def recordings(self):
            return {
                name: replace(one, assumed="visible/ is RGB, infrared/ is TIR")
                for name, one in super().recordings().items()
            }

    assert run(Assuming()).assumed == ("take0, take1, take2: visible/ is RGB, infrared/ is TIR",)


def _track(fault):
    box = Box(10.0, 10.0, 20.0, 20.0)
    proposal = Proposal(box, FoundIn.BOTH, 1.0, "saliency")
    return Track(proposal, "rgb", (0,), Tracklet((box,), (True,), fault))


@pytest.mark.parametrize(
    ("tracks", "warnings"),
    [
        (None, []),
        ({}, ["there is no video in which boxes could be followed: only stills are trained on"]),
        ({"a": []}, ["no box was found to follow: no video is trained on, only stills"]),
        (
            {"a": [], "b": [_track(TrackFault.TOO_SHORT)] * 2},
            ["none of 2 tracks is trusted: no video is trained on, only stills"],
        ),
        ({"a": [], "b": [_track(TrackFault.TOO_SHORT), _track(None)]}, []),
    ],
    ids=["no tracks asked for", "no video", "no box", "none trusted", "one trusted"],
)
def test_a_recipe_with_tracks_that_trains_on_stills_alone_is_warned_of(tracks, warnings):
    assert track_warnings(tracks) == warnings


@pytest.mark.parametrize(
    ("frames", "given", "said"),
    [
        (2.9, 0, "TIR is 2.9 frames late; take TIR that much later with --delay 3"),
        (-1.0, 0, "TIR is 1.0 frames early; take TIR that much earlier with --delay -1"),
        (2.0, 5, "take TIR that much later with --delay 7 in place of 5"),
        (-2.0, 2, "take TIR that much earlier with --delay 0 in place of 2"),
        (
            2.0,
            None,
            "register the rig on this recording (`tirtrack pairs register`) and give that --rig",
        ),
        (0.7, 0, ""),
        (0.0, 5, ""),
    ],
)
def test_tir_that_is_late_by_its_tracks_is_said_with_the_option(frames, given, said):
    warnings = delay_warnings(TrackDelay(frames, 14), given)
    assert bool(warnings) is bool(said)
    assert all(one.endswith(said) and "14 targets" in one for one in warnings)
    assert delay_warnings(None, given) == []


class Late:
    """A camera that shakes, TIR late by a number of frames that may grow."""

    name = "late"

    def __init__(self, drift_per_1000: float) -> None:
        rng = np.random.default_rng(0)
        world = ndimage.gaussian_filter(rng.random((160, 200)), 3)
        world = 255 * (world - world.min()) / np.ptp(world)

        def seen(instant: float) -> np.ndarray:
            down, right = (
                8 * np.sin(instant / 11),
                9 * np.sin(instant / 7) + 5 * np.sin(instant / 17),
            )
            return ndimage.shift(world, (down, right), order=1)[20:140, 20:180]

        self.rgb = [seen(k).astype(np.uint8) for k in range(320)]
        self.tir = [seen(k - 4 - drift_per_1000 * k / 1000) for k in range(320)]

    def __len__(self) -> int:
        return len(self.rgb)

    def __getitem__(self, index: int) -> Pair:
        tir = (128 + 90 * np.sin(self.tir[index] / 255 * np.pi * 1.5 + 1)).astype(np.uint8)
        rgb = np.repeat(self.rgb[index][..., None], 3, axis=2)
        return Pair(f"late/{index:06d}", "late", index, rgb, tir)

    def recordings(self) -> dict[str, Recording]:
        return {"late": Recording("late", range(len(self)), is_video=True)}

    def manifest(self) -> Manifest:
        return Manifest("late", "own", [])


@pytest.mark.parametrize("drift", [0.0, 4.0])
def test_a_delay_that_drifts_is_never_answered_with_a_constant_one(drift):
    """Neither where outlines notice it nor where tracks do."""
    source = Late(drift)
    split = Split(source, (0,), source, (), "whole")
    pool = Pool([], PoolArrays({}, {}, np.zeros(0, bool)), are_features=False)
    for delay in (None, TrackDelay(4.6, 9)):
        said = [
            one
            for one in doubt_warnings(split, [], pool, silent, delay)
            if "not of one instant" in one
        ]
        assert len(said) == 1
        assert ("take TIR that much later with --delay" in said[0]) is (drift == 0)
        assert ("register the rig on this recording" in said[0]) is (drift != 0)
