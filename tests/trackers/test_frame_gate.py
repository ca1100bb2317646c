"""The gate: which frames say nothing, and that living ones pass."""

import numpy as np
import pytest

from tirtrack.errors import FrameError
from tirtrack.trackers.base import Reason
from tirtrack.trackers.frame_gate import FrameGate, as_picture
from tirtrack.valid_pixels import valid_mask


def noise(seed=0, shape=(48, 64), dtype=np.uint8, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def coloured(red, green, blue, dtype=np.uint8, levels_noise=1):
    """One colour all over, with less noise than a living sensor has."""
    return np.array([red, green, blue], dtype) + noise(5, (48, 64, 3), dtype, high=levels_noise)


BAD = {
    "blue: no signal": (coloured(0, 0, 255), Reason.CONSTANT_FRAME),
    "blue, compressed": (coloured(9, 12, 240, levels_noise=4), Reason.CONSTANT_FRAME),
    "blue of 16 bit": (coloured(0, 0, 60000, np.uint16), Reason.CONSTANT_FRAME),
    "blue of floats": (coloured(0, 0, 0.7, np.float32), Reason.CONSTANT_FRAME),
    "black in colour": (coloured(0, 3, 9, levels_noise=4), Reason.BLACK_FRAME),
    "a channel of NaN": (coloured(90, 80, np.nan, np.float32), Reason.NO_MEASUREMENT),
    "black": (np.zeros((48, 64), np.uint8), Reason.BLACK_FRAME),
    "black with noise": (noise(low=0, high=4), Reason.BLACK_FRAME),
    "saturated": (np.full((48, 64), 255, np.uint8), Reason.CONSTANT_FRAME),
    "grey shutter": (noise(low=90, high=94), Reason.CONSTANT_FRAME),
    "black counts": (np.zeros((48, 64), np.uint16), Reason.BLACK_FRAME),
    "constant counts": (np.full((48, 64), 7123, np.uint16), Reason.CONSTANT_FRAME),
    "constant kelvin": (np.full((48, 64), 293.15, np.float32), Reason.CONSTANT_FRAME),
    "NaN": (np.full((48, 64), np.nan, np.float32), Reason.NO_MEASUREMENT),
    "NaN but for a stripe": (
        np.where(np.arange(64) > 60, noise() + 290.0, np.nan),
        Reason.NO_MEASUREMENT,
    ),
    "constant beside NaN": (
        np.where(np.arange(64) > 40, np.nan, np.full((48, 64), 290.0)),
        Reason.CONSTANT_FRAME,
    ),
    "black beside a fill": (
        np.where(np.arange(64) > 40, -9999.0, np.zeros((48, 64))),
        Reason.BLACK_FRAME,
    ),
    "infinite": (np.full((48, 64), np.inf, np.float32), Reason.NO_MEASUREMENT),
}


@pytest.mark.parametrize("name", BAD)
def test_frames_that_say_nothing_are_named(name):
    frame, reason = BAD[name]
    assert FrameGate().check(frame, valid=valid_mask(frame)) is reason


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_living_frames_pass(dtype):
    gate = FrameGate()
    for seed in range(3):
        assert gate.check(noise(seed, dtype=dtype)) is Reason.NONE


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_one_living_channel_is_enough(dtype, channel):
    frame = coloured(0, 60, 255, dtype)
    frame[..., channel] = noise(dtype=dtype)
    assert FrameGate().check(frame) is Reason.NONE


@pytest.mark.parametrize("columns", [4, 40], ids=["dead pixels", "a stripe"])
def test_pixels_without_measurement_are_no_fault_and_do_not_hide_a_repeated_frame(columns):
    gate, said = FrameGate(), []
    for filler in (np.nan, np.nan, np.inf):  # the same picture, whatever stands in its holes
        frame = noise().astype(np.float32)
        frame[3:40, 5 : 5 + columns] = filler
        said.append(gate.check(frame, valid=valid_mask(frame)))
    assert said == [Reason.NONE, Reason.FROZEN_FRAME, Reason.FROZEN_FRAME]


def test_one_small_thing_in_an_empty_sky_is_no_constant_frame():
    sky = np.full((480, 640), 120, np.uint8)
    sky[231:234, 305:308] = 140  # between the rows that are looked at first
    assert FrameGate().check(sky) is Reason.NONE


def test_a_repeated_frame_is_frozen_and_the_next_new_one_passes():
    gate = FrameGate()
    first, second = noise(1), noise(2)
    said = [gate.check(frame) for frame in (first, first.copy(), first, second, second)]
    none, frozen = Reason.NONE, Reason.FROZEN_FRAME
    assert said == [none, frozen, frozen, none, frozen]


def test_one_pixel_makes_a_new_frame():
    gate = FrameGate()
    first = noise(1)
    second = first.copy()
    second[7, 9] ^= 1
    assert [gate.check(first), gate.check(second)] == [Reason.NONE, Reason.NONE]


def test_within_the_region_one_pixel_counts_and_elsewhere_a_thing_of_sixteen_rows():
    still = noise(1, (64, 64))
    near, far, large = still.copy(), still.copy(), still.copy()
    near[21, 31] ^= 1
    far[50, 3] ^= 1
    large[40:56, 3] ^= 1
    for changed, said in (
        (near, Reason.NONE),
        (far, Reason.FROZEN_FRAME),
        (large, Reason.NONE),
    ):
        gate = FrameGate()
        gate.check(still, (slice(20, 30), slice(30, 40)))
        assert gate.check(changed) is said


def test_a_reused_buffer_is_not_taken_for_a_repeated_frame():
    gate = FrameGate()
    buffer = noise(1)
    assert gate.check(buffer) is Reason.NONE
    buffer[9, 9] ^= 1
    assert gate.check(buffer) is Reason.NONE


@pytest.mark.parametrize(
    "other", [noise(2, (48, 63)), noise(2, dtype=np.uint16), noise(2, (48, 64, 3))]
)
def test_another_size_type_or_channel_count_is_damaged_and_changes_nothing(other):
    gate = FrameGate()
    gate.check(noise(1))
    assert gate.check(other) is Reason.DAMAGED_FRAME
    assert gate.check(noise(1)) is Reason.FROZEN_FRAME
    assert gate.check(noise(3)) is Reason.NONE


def test_a_second_good_frame_of_the_same_other_size_is_an_error_until_the_old_size_is_back():
    gate, saved = FrameGate(), FrameGate()
    gate.check(noise(1))
    black = np.zeros((48, 63), np.uint8)
    for other in (noise(2, (48, 63)), noise(2, (47, 63)), black, noise(3, (47, 63)), black, black):
        assert gate.check(other) is Reason.DAMAGED_FRAME
    assert gate.check(noise(4, (48, 63))) is Reason.DAMAGED_FRAME
    saved.load_state_dict(gate.state_dict())
    for one in (gate, saved):
        with pytest.raises(
            FrameError, match=r"of \[48, 64\] uint8 have become .* \[48, 63\] uint8"
        ):
            one.check(noise(5, (48, 63)))
        assert one.check(noise(6)) is Reason.NONE
        assert one.check(noise(5, (48, 63))) is Reason.DAMAGED_FRAME


def test_a_saved_gate_knows_the_last_frame():
    gate, other = FrameGate(), FrameGate()
    gate.check(noise(1))
    other.load_state_dict(gate.state_dict())
    gate.check(noise(2))
    assert other.check(noise(1)) is Reason.FROZEN_FRAME


def test_pictures_lose_an_axis_of_one_and_alpha():
    assert as_picture(np.zeros((4, 5, 1), np.uint8)).shape == (4, 5)
    assert as_picture(np.zeros((4, 5, 4), np.float32)).shape == (4, 5, 3)
    assert as_picture(np.zeros((4, 5), np.uint16)).shape == (4, 5)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((4, 5, 2), np.uint8), r"shape \[4, 5, 2\] is no picture; give \[H,W\]"),
        (np.zeros(7, np.uint8), r"shape \[7\] is no picture"),
        (np.zeros((0, 5), np.uint8), r"shape \[0, 5\] has no pixels"),
        (np.zeros((4, 5), np.int32), "a frame of int32 cannot be used; give uint8, uint16"),
        (np.zeros((4, 5), bool), "a frame of bool cannot be used"),
        ("frame.png", "no picture"),
    ],
)
def test_what_is_no_picture_is_refused(frame, message):
    with pytest.raises(FrameError, match=message):
        as_picture(frame)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_that_no_arithmetic_is_safe_with_are_not_finite(dtype):
    frame = np.random.default_rng(0).random((20, 30)).astype(dtype)
    frame[3, 4], frame[5, 6] = np.finfo(dtype).max, -np.inf
    picture = as_picture(frame)
    assert picture.dtype == dtype
    assert np.isnan(picture[[3, 5], [4, 6]]).all()
    assert np.isnan(picture).sum() == 2
    assert frame[3, 4] == np.finfo(dtype).max
    assert FrameGate().check(picture, valid=valid_mask(picture)) is Reason.NONE
