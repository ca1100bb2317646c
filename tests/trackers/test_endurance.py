"""What long runs leave in memory, and say; ``make test-slow`` runs it.

That they do not slow down is measured by ``python -m benchmarks.track_speed --after 20000``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tirtrack.boxes import Box, iou
from tirtrack.trackers.base import Status
from tirtrack.trackers.loading import load_tracker

pytestmark = pytest.mark.slow

SIDE = 96
FRAMES = 10_000
WARM_UP = 1_500  # frames before, in which what comes once still comes
FRAMES_OF_TINY = 2_500
BLOCK = 500
SEQUENCES = 200
STATUS = Path("/proc/self/statm")


def truth(t: int) -> Box:
    return Box(40.0 + round(20 * np.sin(t / 40)), 40.0 + round(15 * np.cos(t / 55)), 12.0, 14.0)


@pytest.fixture(scope="module")
def scene():
    """Frame ``t``, ``[96,96]`` uint8: a warm thing that wanders before a floor that shakes."""
    floor = np.random.default_rng(0).integers(60, 90, (SIDE + 8, SIDE + 8), dtype=np.uint8)

    def frame(t: int) -> np.ndarray:
        image = floor[t % 8 :, t // 8 % 8 :][:SIDE, :SIDE].copy()
        box = truth(t)
        image[int(box.y) : int(box.y + box.h), int(box.x) : int(box.x + box.w)] = 200
        return image

    return frame


def resident_mb() -> float:
    """Memory of this process now; its peak would hide behind that of earlier tests."""
    if not STATUS.is_file():
        pytest.skip("only Linux tells the resident memory of a process")
    return int(STATUS.read_text().split()[1]) * 4096 / 1e6


def overlap(box: Box, t: int) -> float:
    return float(iou(box.array(), truth(t).array()))


@pytest.mark.timeout(3600)
def test_long_runs_do_not_grow(scene):
    """By less than 200 bytes a frame, and by less than one Python object in ten frames."""
    tracker = load_tracker("nano-tir")
    tracker.init(scene(0), truth(0))
    memory, objects = [], []
    for t in range(1, WARM_UP + FRAMES + 1):
        state = tracker.update(scene(t))
        if t % BLOCK == 0:
            assert overlap(state.box, t) > 0.5, f"frame {t}: {state}"
        if t % BLOCK == 0 and t > WARM_UP:
            memory.append(resident_mb())
            objects.append(sys.getallocatedblocks())
    assert max(memory) - memory[0] < 2
    assert max(objects) - objects[0] < FRAMES / 10


# What is of one family with another of these, and differs from it in settings or size alone.
LIKE_ANOTHER = {
    *("fear-xs published", "nanotrack-v1", "nanotrack-v2", "nanotrack-v2 published"),
    *("nanotrack-v3 floor10", "superdimp50"),
}
FAMILIES = (
    *("fear-xs", "nanotrack-v3", "nanotrack-v3 published", "dimp18", "prdimp18", "dimp-lite"),
    *("atom18", "joint-lite", *sorted(LIKE_ANOTHER)),
)


def test_no_family_is_left_out(families):
    assert {*FAMILIES} == {*families}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "one_family",
    [
        pytest.param(name, marks=pytest.mark.release if name in LIKE_ANOTHER else ())
        for name in FAMILIES
    ],
    indirect=True,
)
def test_no_family_grows(scene, one_family):
    name, prototype = one_family
    tracker = prototype.twin("long")
    first = np.repeat(scene(0)[..., None], 3, axis=2)
    tracker.init(first, truth(0))
    memory = []
    for t in range(1, FRAMES_OF_TINY):
        tracker.update(np.repeat(scene(t)[..., None], 3, axis=2))
        if t % BLOCK == 0:
            memory.append(resident_mb())
    assert max(memory) - memory[0] < 10, name


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", ["nanotrack-v3", "dimp18"])
def test_many_sequences_in_one_process_leave_nothing_behind(scene, families, family):
    """Each with a tracker of its own and frames of another size."""
    memory = []
    for number in range(SEQUENCES):
        first, second = (
            np.repeat(scene(t)[: SIDE - number % 9, :, None], 3, axis=2)
            for t in (number, number + 1)
        )
        tracker = families[family].twin(f"sequence {number}")
        tracker.init(first, truth(number))
        tracker.update(second)
        memory.append(resident_mb())
    assert memory[-1] - memory[SEQUENCES // 10] < 30


BAD = {
    "black": (500, lambda last: np.zeros_like(last)),
    "saturated": (500, lambda last: np.full_like(last, 255)),
    "not finite": (500, lambda last: np.full(last.shape, np.nan, np.float32)),
    "duplicate": (100, lambda last: last),
}


def test_long_faults_in_mid_stream_change_nothing(scene):
    tracker = load_tracker("nano-tir")
    tracker.init(scene(0), truth(0))
    t = 0
    memory = None
    for name, (count, spoilt) in BAD.items():
        for _ in range(100):
            t += 1
            good = tracker.update(scene(t))
        memory = memory or resident_mb()
        for _ in range(count):
            box = tracker.update(spoilt(scene(t))).box
            assert np.isfinite(box.array()).all(), name
            assert box.w * box.h == pytest.approx(good.box.w * good.box.h, rel=0.05), name
        after = [tracker.update(scene(t + k)) for k in range(1, 6)]
        assert after[-1].status is Status.TRACKING, name
        assert overlap(after[-1].box, t + 5) > 0.5, name
        t += 5
    assert resident_mb() - memory < 20
