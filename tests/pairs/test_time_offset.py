"""An offset and a drift are told to parts of a frame where something moves unevenly, else not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from scipy import ndimage

from tirtrack.errors import PairsError
from tirtrack.pairs.rig import TimeOffset
from tirtrack.pairs.source import Manifest, Pair, Recording
from tirtrack.pairs.time_offset import (
    LEAST_FRAMES,
    MOST_DAMAGED,
    WINDOW,
    Window,
    _line,
    _Measure,
    common_time_offset,
    measure_time_offset,
)

HEIGHT, WIDTH = 60, 80
GROUND = 120 + 400 * ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(160, 160)), 2)

Camera = Callable[[float, int], np.ndarray]


def wandering(instant: float) -> np.ndarray:
    """Where something is that changes its pace and never comes back the same way, (x, y)."""
    x = 11 * np.sin(instant / 9) + 7 * np.sin(instant / 23 + 1) + 4 * np.sin(instant / 5.3)
    return np.array([x, 6 * np.sin(instant / 13) + 3 * np.sin(instant / 6.1 + 2)])


def moving_camera(instant: float, side: int) -> np.ndarray:
    """A camera that shakes and turns; TIR shows other levels."""
    x, y = wandering(instant)
    picture = ndimage.shift(GROUND, (y, x), order=1, mode="wrap")[40 : 40 + HEIGHT, 40 : 40 + WIDTH]
    return picture if side == 0 else 200 - 0.6 * picture


def standing_camera(
    instant: float, side: int, shift: float = 3.0, at: Callable[[float], np.ndarray] = wandering
) -> np.ndarray:
    """A camera that stands still before something that moves; TIR lies some pixels to the right."""
    x, y = at(instant) + np.array([40 + shift * side, 30])
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    thing = 1 / (1 + np.exp(np.maximum(np.abs(columns - x) - 6, np.abs(rows - y) - 8)))
    return GROUND[40 * side : 40 * side + HEIGHT, :WIDTH] + (60 + 40 * side) * thing


def late(
    camera: Camera, frames: float, drift: float = 0.0, *, windows: int = 4, length: int = WINDOW
) -> list[Window]:
    """Windows from 900 frames of a scene, whose TIR is late by a number of frames."""
    rng = np.random.default_rng(3)
    found = []
    for start in np.linspace(0, 900 - length, windows).astype(int):
        ks = np.arange(start, start + length)
        rgb = np.stack([camera(float(k), 0) for k in ks])
        tir = np.stack([camera(k - frames - drift * k / 1000, 1) for k in ks])
        noisy = [side + rng.normal(0, 1.5, side.shape) for side in (rgb, tir)]
        found.append(Window(int(start), *noisy))
    return found


@pytest.mark.parametrize("camera", [moving_camera, standing_camera], ids=["moves", "stands"])
@pytest.mark.parametrize("frames", [3.4, -7.6, 10.0, 0.0])
def test_an_offset_is_found_to_a_quarter_of_a_frame(camera, frames):
    found = measure_time_offset(late(camera, frames))
    assert found is not None
    assert found.frames == pytest.approx(frames, abs=0.25)
    assert found.drift_per_1000 == 0.0
    assert found.error_frames <= 0.25


@pytest.mark.parametrize("camera", [moving_camera, standing_camera], ids=["moves", "stands"])
@pytest.mark.parametrize("drift", [2.0, -1.0])
def test_a_drift_is_told_with_its_error(camera, drift):
    found = measure_time_offset(late(camera, -2.0, drift, windows=6))
    assert found is not None
    assert found.drift_per_1000 == pytest.approx(drift, abs=0.5)
    assert found.frames == pytest.approx(-2.0, abs=0.35)
    assert found.drift_error_per_1000 is not None
    assert found.drift_error_per_1000 < abs(drift) / 3


def test_an_even_motion_before_a_shifted_camera_tells_nothing():
    """Two pixels to the right and four frames later look the same."""

    def even(instant: float, side: int) -> np.ndarray:
        return standing_camera(
            instant, side, 2.0, lambda now: np.array([0.4 * (now % 225) - 45.0, 0.0])
        )

    assert measure_time_offset(late(even, 0.0)) is None


def test_where_nothing_moves_nothing_is_told():
    still = late(lambda _, side: standing_camera(0.0, side), 4.0)
    assert measure_time_offset(still) is None
    frozen = [
        Window(one.start, one.rgb, np.repeat(one.tir[:1], len(one.tir), axis=0))
        for one in late(moving_camera, 4.0)
    ]
    assert measure_time_offset(frozen) is None
    blank = Window(0, np.zeros((WINDOW, HEIGHT, WIDTH)), np.zeros((WINDOW, HEIGHT, WIDTH)))
    assert measure_time_offset([blank]) is None


def test_unrelated_frames_have_no_offset():
    one, two = late(moving_camera, 0.0), late(moving_camera, 0.0, windows=5)
    mixed = [Window(a.start, a.rgb, b.tir) for a, b in zip(one, two[1:], strict=True)]
    assert measure_time_offset(mixed[:3]) is None


def test_recordings_that_do_not_agree_have_no_common_offset():
    windows = [late(moving_camera, frames)[k] for k, frames in enumerate([-6.0, 2.0, 7.0, 0.0])]
    assert measure_time_offset(windows) is None


def test_one_window_that_is_wrong_is_outvoted():
    windows = late(standing_camera, 3.4, windows=5)
    windows[2] = late(standing_camera, -5.0, windows=5)[2]
    found = measure_time_offset(windows)
    assert found is not None
    assert found.frames == pytest.approx(3.4, abs=0.25)


@pytest.mark.parametrize(
    ("error", "frames", "drift"),
    [pytest.param(0.05, 1.0, 0.8, id="clear"), pytest.param(0.3, 1.12, 0.0, id="within its error")],
)
def test_a_drift_is_told_only_where_it_is_clear(error, frames, drift):
    found = _line([_Measure(100.0 * k, 1 + 0.08 * k, error) for k in range(4)])
    assert found is not None
    assert found.drift_per_1000 == pytest.approx(drift)
    assert found.frames == pytest.approx(frames)


def test_an_offset_that_is_not_known_to_a_quarter_of_a_frame_is_not_told():
    assert _line([_Measure(0.0, 1.0, 0.3), _Measure(100.0, 1.0, 0.3)]) is not None
    assert _line([_Measure(0.0, 1.0, 0.4), _Measure(100.0, 1.0, 0.4)]) is None


def test_a_few_frames_tell_nothing_and_unequal_shapes_are_refused():
    few = late(moving_camera, 1.0, windows=1, length=LEAST_FRAMES - 1)
    assert measure_time_offset(few) is None
    assert measure_time_offset([]) is None
    enough = late(moving_camera, 1.0, windows=1, length=LEAST_FRAMES)
    assert measure_time_offset(enough) is not None
    with pytest.raises(ValueError, match="shapes must be equal"):
        measure_time_offset([Window(0, enough[0].rgb, enough[0].tir[1:])])


class _Damaged:
    """A video of a camera that moves, with some pairs in every window that cannot be read."""

    name = "in memory"

    def __init__(self, damaged: int) -> None:
        self._damaged = range(10, 10 + 9 * damaged, 9)

    def __len__(self) -> int:
        return 4 * WINDOW

    def __getitem__(self, index: int) -> Pair:
        if index % WINDOW in self._damaged:
            raise PairsError("is empty", f"{index}.png")
        rgb, tir = (
            moving_camera(float(at), side).clip(0, 255).astype(np.uint8)
            for side, at in ((0, index), (1, index - 2))
        )
        return Pair(f"a/{index}", "a", index, np.repeat(rgb[..., None], 3, axis=2), tir)

    def recordings(self) -> Mapping[str, Recording]:
        return {"a": Recording("a", range(len(self)), is_video=True)}

    def manifest(self) -> Manifest:
        return Manifest(self.name, "own", [])


def test_a_few_pairs_that_cannot_be_read_leave_a_window_and_more_do_not():
    found = common_time_offset(_Damaged(MOST_DAMAGED))
    assert MOST_DAMAGED == 3
    assert found is not None
    assert found.frames == pytest.approx(2.0, abs=0.25)
    assert common_time_offset(_Damaged(4)) is None


def test_whole_frames_follow_offset_and_drift():
    time = TimeOffset(frames=2.4, drift_per_1000=1.0)
    assert [time.whole_frames(k) for k in (0, 99, 101, 1101)] == [2, 2, 3, 4]
    assert time.moves(1)
    small = TimeOffset(frames=0.3, drift_per_1000=1.0)
    assert not small.moves(200)
    assert small.moves(202)


def test_an_offset_is_said_with_its_error():
    said = TimeOffset(
        frames=-3.42,
        drift_per_1000=0.67,
        error_frames=0.06,
        drift_error_per_1000=0.12,
        measures=9,
    ).in_words()
    assert said == (
        "TIR 3.4 frames early (error 0.06), +0.67 later after each 1000 (error 0.12 in 1000)"
    )
    unknown = TimeOffset(frames=1.0, error_frames=0.1, measures=2)
    assert unknown.in_words() == "TIR 1.0 frames late (error 0.10)"
    assert TimeOffset(frames=5.0).in_words() == "TIR 5.0 frames late (as given)"
