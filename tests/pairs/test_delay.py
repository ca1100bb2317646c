"""A delay is found where it explains the frames, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tirtrack.pairs import open_pairs
from tirtrack.pairs.delay import measure_delay
from tirtrack.pairs.doubts import DELAY_SIDE
from tirtrack.pairs.likeness import thumbnail

HEIGHT, WIDTH = 48, 64


def _ground(seed: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(HEIGHT, width))
    return 120 + 60 * ndimage.gaussian_filter(noise, 2) / 0.15


def _pan(count: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """A camera that pans: outlines are shared, brightness is not."""
    wide = _ground(0, WIDTH + int(step * count) + 1)
    places = [int(step * k) for k in range(count)]
    rgb = np.stack([wide[:, x : x + WIDTH] for x in places])
    return rgb, 200 - 0.7 * rgb + np.random.default_rng(3).normal(0, 4, rgb.shape)


def _passing(count: int) -> tuple[np.ndarray, np.ndarray]:
    """A camera that stands still, and something that passes with uneven steps."""
    sides = []
    for seed, level in ((1, 40.0), (2, 90.0)):
        frames = np.repeat(_ground(seed, WIDTH)[None], count, axis=0)
        for k in range(count):
            x = int(4 + 0.9 * k + 6 * np.sin(k / 3))
            frames[k, 18:30, max(x, 0) : x + 9] += level
        sides.append(frames + np.random.default_rng(seed + 10).normal(0, 1, frames.shape))
    return sides[0], sides[1]


def _late(frames: tuple[np.ndarray, np.ndarray], delay: int) -> tuple[np.ndarray, np.ndarray]:
    """TIR frame k + delay shows what RGB frame k shows."""
    rgb, tir = frames
    return (
        (rgb[delay:], tir[:-delay])
        if delay > 0
        else (rgb[:delay], tir[-delay:])
        if delay
        else frames
    )


@pytest.mark.parametrize("delay", [2, 3, 7, -5, 15, 25, -25])
@pytest.mark.parametrize("world", [_passing, lambda count: _pan(count, 2.0)], ids=["still", "pan"])
def test_the_delay_comes_out_with_its_sign(world, delay):
    found = measure_delay(*_late(world(90), delay))
    assert found is not None
    assert found.frames == pytest.approx(delay, abs=1)
    assert found.after > found.before


@pytest.mark.parametrize("world", [_passing, lambda count: _pan(count, 2.0)], ids=["still", "pan"])
def test_frames_of_one_instant_have_no_delay(world):
    assert measure_delay(*world(90)) is None


def test_nothing_that_changes_shows_no_delay():
    still = np.repeat(_ground(0, WIDTH)[None], 30, axis=0)
    rng = np.random.default_rng(0)
    assert measure_delay(still + rng.normal(0, 2, still.shape), still[::-1]) is None
    assert measure_delay(np.zeros((30, 48, 64)), np.zeros((30, 48, 64))) is None


def test_half_a_frame_is_no_delay():
    """Cameras that are triggered together still differ by as much."""
    rgb, tir = _passing(90)
    between = (tir[:-1] + tir[1:]) / 2
    assert measure_delay(rgb[:-1], between) is None
    assert measure_delay(rgb[1:], between) is None


def test_unrelated_frames_have_no_delay():
    rgb, _ = _pan(60, 2.0)
    other = np.stack([_ground(50 + k, WIDTH) for k in range(60)])
    assert measure_delay(rgb, other) is None


def test_too_few_frames_say_nothing_and_unequal_shapes_are_refused():
    rgb, tir = _pan(7, 2.0)
    assert measure_delay(rgb, tir) is None
    with pytest.raises(ValueError, match="shapes must be equal"):
        measure_delay(rgb, tir[1:])


@pytest.mark.parametrize("name", ["m3svd_video/0111_1716", "m3svd/0111_1753", "vtuav/bus1"])
def test_real_frames_have_no_delay_until_they_get_one(shared, name):
    source = open_pairs(shared / "data" / "pairs" / name)
    pairs = [source[index] for index in range(min(len(source), 60))]
    rgb, tir = (
        np.stack([thumbnail(getattr(pair, one), DELAY_SIDE) for pair in pairs])
        for one in ("rgb", "tir")
    )
    assert measure_delay(rgb, tir) is None
    if not name.startswith("vtuav"):  # it moves as evenly as its modalities lie apart
        found = measure_delay(*_late((rgb, tir), 6))
        assert found is not None
        assert found.frames == pytest.approx(6, abs=1)


@pytest.mark.parametrize("delay", [2, 3])
@pytest.mark.parametrize("name", ["0111_1716", "0111_1753", "0115_1831", "0115_1834"])
def test_two_and_three_frames_are_noticed_in_real_frames(shared, name, delay):
    source = open_pairs(shared / "data" / "pairs" / "m3svd" / name)
    rgb, tir = (
        np.stack([thumbnail(getattr(pair, one), DELAY_SIDE) for pair in source])
        for one in ("rgb", "tir")
    )
    found = measure_delay(*_late((rgb, tir), delay))
    assert found is not None
    assert found.frames == pytest.approx(delay, abs=1)
