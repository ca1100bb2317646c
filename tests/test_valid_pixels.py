"""Pixels that are no measurement: what is masked, and what is a cold sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage

from tirtrack.valid_pixels import (
    LARGEST,
    doubtful_value,
    filled,
    marked,
    masked_note,
    share_text,
    valid_mask,
)

SHAPE = (120, 160)
LEFT = np.s_[:, :20]


def scene(low: float, high: float, *, shape=SHAPE, seed=0) -> np.ndarray:
    """A smooth scene with the noise of a sensor and a hot thing in it, float64."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 8)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    smooth[50:62, 70:80] = 1.0
    return low + (high - low) * smooth.clip(0, 1) + rng.normal(0, 0.003 * (high - low), shape)


def counts(low=6700, high=8000, **more) -> np.ndarray:
    return np.round(scene(low, high, **more)).clip(0, 65535).astype(np.uint16)


def celsius(low=12.0, high=31.0, **more) -> np.ndarray:
    return scene(low, high, **more).astype(np.float32)


def with_value(frame: np.ndarray, value: float, where=LEFT) -> np.ndarray:
    changed = frame.copy()
    changed[where] = value
    return changed


def rotated(frame: np.ndarray, degrees: float, *, order: int) -> np.ndarray:
    """As a warp leaves it: zeros where the frame does not reach."""
    turned = ndimage.rotate(
        frame.astype(np.float64),
        degrees,
        reshape=False,
        order=order,
        cval=0.0,
        mode="grid-constant",
        prefilter=False,
    )
    return np.round(turned).clip(0, 65535).astype(frame.dtype)


def telemetry(frame: np.ndarray, rows, seed=1) -> np.ndarray:
    """Counters, a serial number and words that are not used, in rows that are no picture."""
    rng = np.random.default_rng(seed)
    changed = frame.copy()
    words = np.zeros_like(changed[rows])
    words[..., : words.shape[-1] // 3] = rng.integers(0, 65536, words[..., ::3].shape[-1])[
        : words.shape[-1] // 3
    ]
    words[..., 5] = 7100
    changed[rows] = words
    return changed


@dataclass(frozen=True)
class Case:
    """A frame, and where it is no measurement."""

    frame: np.ndarray
    masked: tuple

    def is_masked(self) -> np.ndarray:
        mask = np.zeros(self.frame.shape[:2], bool)
        mask[self.masked] = True
        return mask


ISLAND = np.s_[70:90, 100:130]
TWO_SIDES = with_value(with_value(celsius(), -9999.0), np.nan, np.s_[:, -9:])
MASKED = {
    "NaN stripe": Case(with_value(celsius(), np.nan), LEFT),
    "NaN island": Case(with_value(celsius(), np.nan, ISLAND), ISLAND),
    "infinite": Case(with_value(celsius(), -np.inf), LEFT),
    "lowest float": Case(with_value(celsius(), np.finfo(np.float32).min), LEFT),
    "1e38": Case(with_value(celsius(), 1e38), LEFT),
    "-9999": Case(with_value(celsius(), -9999.0), LEFT),
    "-9999 island": Case(with_value(celsius(), -9999.0, ISLAND), ISLAND),
    "-9999 among kelvin": Case(with_value(celsius(285, 304), -9999.0, ISLAND), ISLAND),
    "-9999 among counts as floats": Case(with_value(celsius(6700, 8000), -9999.0), LEFT),
    "-32768 of int16": Case(with_value(celsius(1200, 3100), -32768.0), LEFT),
    "the largest of 32 bits": Case(with_value(scene(7000, 7400), 4294967295.0), LEFT),
    "the lowest of int32, island": Case(with_value(scene(7000, 7400), -(2.0**31), ISLAND), ISLAND),
    "a fill below absolute zero": Case(with_value(celsius(), -1000.0), LEFT),
    "-9999 in all but a tenth": Case(with_value(celsius(), -9999.0, np.s_[12:]), np.s_[12:]),
    "0 K as celsius": Case(with_value(celsius(), -273.15), LEFT),
    "0 K": Case(with_value(celsius(285, 304), 0.0), LEFT),
    "float64": Case(with_value(scene(12, 31), -9999.0), LEFT),
    "0 of 14-bit counts": Case(with_value(counts(), 0), LEFT),
    "0 of centikelvin": Case(with_value(counts(28500, 30400), 0), LEFT),
    "65535": Case(with_value(counts(), 65535, np.s_[-15:]), np.s_[-15:]),
    "-9999 as counts": Case(with_value(counts(), 55537), LEFT),
    "most of the frame": Case(with_value(counts(), 0, np.s_[:, :100]), np.s_[:, :100]),
    "0 K inside, as NaN was replaced": Case(with_value(celsius(285, 304), 0.0, ISLAND), ISLAND),
    "-1 among counts of floats": Case(with_value(celsius(7000, 7400), -1.0, ISLAND), ISLAND),
    "Seek 208x156, two columns of counters": Case(
        telemetry(counts(shape=(208, 156)), np.s_[-2:]).T, np.s_[:, -2:]
    ),
    "Boson on its side": Case(
        telemetry(counts(shape=(258, 320)), np.s_[:2]).T[::-1], np.s_[:, :2]
    ),
    "dead column": Case(with_value(counts(), 0, np.s_[:, 77]), np.s_[:, 77]),
    "dead column, stuck inside the range": Case(
        with_value(counts(), 7300, np.s_[:, 77]), np.s_[:, 77]
    ),
    "two dead rows": Case(with_value(counts(), 65535, np.s_[30:32]), np.s_[30:32]),
    "dead row of floats": Case(with_value(celsius(), 90.0, np.s_[44]), np.s_[44]),
    "Lepton 3, 160x122, footer": Case(
        telemetry(counts(shape=(122, 160)), np.s_[-2:]), np.s_[-2:]
    ),
    "Lepton 3, 160x120, header in place of rows": Case(telemetry(counts(), np.s_[:2]), np.s_[:2]),
    "Lepton 2, 80x63, footer": Case(telemetry(counts(shape=(63, 80)), np.s_[-3:]), np.s_[-3:]),
    "Boson 320x258, header": Case(telemetry(counts(shape=(258, 320)), np.s_[:2]), np.s_[:2]),
    "Boson 640x514, footer, centikelvin": Case(
        telemetry(counts(29000, 30500, shape=(514, 640)), np.s_[-2:]), np.s_[-2:]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKED)
def test_what_is_no_measurement_is_masked_and_nothing_else(name):
    case = MASKED[name]
    before = case.frame.copy()
    valid = valid_mask(case.frame)
    assert valid is not None
    assert_array_equal(~valid, case.is_masked())
    assert_array_equal(case.frame, before)


def test_two_kinds_of_fill_in_one_frame_are_both_masked():
    valid = valid_mask(TWO_SIDES)
    assert valid is not None
    assert_array_equal(valid[0], (np.arange(160) >= 20) & (np.arange(160) < 151))


def sky(frame: np.ndarray, value: float, *, blur=0.0) -> np.ndarray:
    """A constant sky over a wavy skyline; the optics may blur its edge."""
    skyline = 40 + 8 * np.sin(np.arange(frame.shape[1]) / 15)
    is_sky = np.arange(len(frame))[:, None] < skyline
    if not blur:
        return np.where(is_sky, frame.dtype.type(value), frame)
    share = ndimage.gaussian_filter(is_sky.astype(float), blur)
    mixed = share * value + (1 - share) * frame.astype(float)
    mixed[share > 0.99] = value
    return np.round(mixed).astype(frame.dtype) if frame.dtype.kind == "u" else mixed.astype(
        frame.dtype
    )  # fmt: skip


def blurred_corner(frame: np.ndarray, value: float) -> np.ndarray:
    """A saturated thing that leaves the frame at a corner, as optics show it."""
    share = np.zeros(frame.shape)
    share[:24, :24] = 1.0
    share = ndimage.gaussian_filter(share, 1.6, mode="nearest")
    return np.round(share * value + (1 - share) * frame).astype(frame.dtype)


def two_things_on_a_flat_ground() -> np.ndarray:
    frame = with_value(np.full(SHAPE, 7000, np.uint16), 7300, np.s_[40:60, 50:60])
    return with_value(frame, 7300, np.s_[61:80, 50:60])


MEASURED = {
    "saturated in a corner, blurred": blurred_corner(counts(), 65535),
    "a row between two things on a flat ground": two_things_on_a_flat_ground(),
    "black border of 8 bits in 16": with_value(counts(110, 180), 0),
    "cold sky in the first rows": with_value(
        celsius(), np.random.default_rng(2).normal(-40, 0.1, (3, 160)), np.s_[:3]
    ),
    "no special pixel, counts": counts(),
    "no special pixel, celsius": celsius(),
    "sky at the lowest count of the scene": sky(counts(), 6650),
    "sky far below the scene": sky(counts(), 3000),
    "sky at the lower end of 14 bits, scene close to it": sky(counts(20, 3000), 0),
    "scene that reaches down to 0": sky(counts(0, 900), 0),
    "sky of 0 whose edge is blurred": sky(counts(3000, 4000), 0, blur=3.0),
    "sky of -40 Celsius": sky(celsius(), -40.0),
    "sky of -40 Celsius, little contrast below": sky(celsius(14.0, 16.0), -40.0),
    "sky of 0.0 Celsius": sky(celsius(), 0.0),
    "sky of 230 K": sky(celsius(285, 304), 230.0),
    "saturated, blurred": sky(counts(5000, 9000), 65535, blur=3.0),
    "saturated inside, floats": with_value(celsius(5000, 9000), 65535.0, ISLAND),
    "0 Celsius inside": with_value(celsius(12, 31), 0.0, ISLAND),
    "a cold pole among floats from 0 to 1": with_value(celsius(0.2, 1.0), 0.0, ISLAND),
    "saturated at 14 bits": sky(counts(), 16383),
    "black": np.zeros(SHAPE, np.uint16),
    "constant": np.full(SHAPE, 7000, np.uint16),
    "constant float": np.full(SHAPE, -9999.0, np.float32),
    "a hot thing on nothing": with_value(np.zeros(SHAPE, np.uint16), 4000, ISLAND),
    "one dead pixel": with_value(counts(), 0, np.s_[40, 0]),
    "differences of counts": celsius(-900, 900),
    "a cold thing among differences": with_value(celsius(-50, 50), -3000.0, ISLAND),
    "rows of a gradient": np.repeat(np.arange(7000, 7120, dtype=np.uint16)[:, None], 160, axis=1),
    "a flat scene with one square": with_value(np.full(SHAPE, 7000, np.uint16), 7200, ISLAND),
    "cold rows of sky, all of one value": with_value(celsius(), -40.0, np.s_[:3]),
    "a bar of one value over the whole width": with_value(counts(), 8100, np.s_[60:70]),
    "8 bit with a black border": with_value(counts(60, 200).astype(np.uint8), 0),
    "8 bit colour": np.repeat(with_value(counts(60, 200).astype(np.uint8), 0)[..., None], 3, 2),
    "warmer than 65535 in floats": celsius(60000, 70000),
}


@pytest.mark.parametrize("name", MEASURED)
def test_what_may_be_a_measurement_is_not_masked(name):
    assert valid_mask(MEASURED[name]) is None


@pytest.mark.parametrize("degrees", [-17.0, 0.8, 5.0, 30.0])
@pytest.mark.parametrize("order", [0, 1, 3], ids=["nearest", "linear", "cubic"])
def test_the_border_that_a_warp_leaves_is_masked_with_its_blended_edge(degrees, order):
    frame = rotated(counts(shape=(256, 320)), degrees, order=order)
    reached = rotated(np.full((256, 320), 60000, np.uint16), degrees, order=1) > 59000
    valid = valid_mask(frame)
    assert valid is not None
    assert (valid == reached).mean() > 0.985
    assert (frame[valid] < 6000).mean() < (0.005 if order == 3 else 0.001)
    assert valid[ndimage.binary_erosion(reached, iterations=3)].all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_a_named_value_is_masked_wherever_it_lies_and_whatever_the_depth(dtype):
    frame = with_value(counts(60, 200), 17, ISLAND).astype(dtype)
    assert valid_mask(frame) is None
    assert_array_equal(~valid_mask(frame, 17.0), Case(frame, ISLAND).is_masked())
    colour = np.repeat(frame[..., None], 3, axis=2)
    colour[0, 0] = (17, 200, 17)
    assert_array_equal(~valid_mask(colour, 17), Case(frame, ISLAND).is_masked())


@pytest.mark.parametrize("value", [-9999.0, 70000.0, 17.5, np.nan, np.inf, -3.4e38])
def test_a_named_value_that_counts_cannot_have_masks_nothing(value):
    for dtype in (np.uint8, np.uint16):
        assert valid_mask(counts(100, 200).astype(dtype), value) is None


def test_colour_of_many_bits_is_masked_where_all_channels_are():
    grey = with_value(counts(), 0)
    colour = np.stack([grey, grey, counts()], axis=2)
    assert valid_mask(colour) is None
    assert_array_equal(~valid_mask(colour[..., [0, 1, 1]]), Case(grey, LEFT).is_masked())


@pytest.mark.parametrize("other", [-9999.0, np.inf, -1e30, -32768.0])
def test_which_value_fills_a_region_does_not_matter(other):
    one, two = with_value(celsius(), np.nan), with_value(celsius(), other)
    assert_array_equal(valid_mask(one), valid_mask(two))
    assert_array_equal(filled(one, valid_mask(one)), filled(two, valid_mask(two)))


def test_filled_pixels_have_the_mean_of_the_others():
    frame = with_value(counts(), 0)
    valid = valid_mask(frame)
    assert filled(frame, valid)[0, 0] == round(frame[:, 20:].mean())
    assert_array_equal(filled(frame, valid)[:, 20:], frame[:, 20:])
    assert filled(frame, valid).dtype == np.uint16
    assert not filled(frame, np.zeros(SHAPE, bool)).any()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NaN stripe", "12 % of the pixels hold no measurement (value nan)"),
        ("-9999 island", "3 % of the pixels hold no measurement (value -9999)"),
        ("0 of 14-bit counts", "12 % of the pixels hold no measurement (value 0)"),
        ("dead column", "0.6 % of the pixels hold no measurement (value 0)"),
    ],
)
def test_what_was_masked_is_said_with_its_share_and_value(name, said):
    frame = MASKED[name].frame
    assert masked_note(frame, valid_mask(frame)) == said


def test_telemetry_has_no_value_in_common():
    frame = np.arange(160 * 120, dtype=np.uint16).reshape(SHAPE)
    valid = np.ones(SHAPE, bool)
    valid[:2] = False
    assert masked_note(frame, valid) == (
        "2 % of the pixels hold no measurement (telemetry or dead lines)"
    )
    assert share_text(0.00002) == "under 0.1 %"


@pytest.mark.parametrize("name", ["0 of 14-bit counts", "-9999 island", "dead column"])
def test_marked_pixels_are_found_without_a_value(name):
    case = MASKED[name]
    frame = marked(case.frame, None)
    assert_array_equal(np.isnan(frame), case.is_masked())
    assert_array_equal(frame[~case.is_masked()], case.frame[~case.is_masked()])
    assert_array_equal(~valid_mask(frame), case.is_masked())


def test_8_bits_are_filled_with_what_lies_nearest_by_a_named_value_only():
    frame = with_value(counts(60, 200).astype(np.uint8), 0)
    assert marked(frame, None) is frame
    assert marked(frame, 0).dtype == np.uint8
    assert_array_equal(marked(frame, 0)[:, :20], np.repeat(frame[:, 20:21], 20, axis=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [("sky of -40 Celsius", -40.0), ("sky far below the scene", 3000.0),
     ("saturated at 14 bits", 16383.0), ("scene that reaches down to 0", 0.0)],
)  # fmt: skip
def test_what_can_be_either_is_named_with_its_value(name, value):
    frame = MEASURED[name]
    found, share = doubtful_value(frame, valid_mask(frame))
    assert found == value
    assert share == pytest.approx((frame == value).mean())


@pytest.mark.parametrize("value", [0, 65535])
def test_an_end_of_the_range_of_counts_is_named_inside_the_frame_too(value):
    frame = counts(7000, 8000)
    frame[20:40, 30:60] = value
    assert doubtful_value(frame, valid_mask(frame)) == (value, pytest.approx(600 / frame.size))


@pytest.mark.parametrize(
    "name", ["no special pixel, celsius", "8 bit with a black border", "one dead pixel", "constant"]
)
def test_frames_without_a_region_of_one_value_are_in_no_doubt(name):
    assert doubtful_value(MEASURED[name], None) is None


def test_neither_masked_pixels_nor_coarsely_rounded_noise_are_in_doubt():
    frame = MASKED["0 of 14-bit counts"].frame
    assert doubtful_value(frame, valid_mask(frame)) is None
    assert doubtful_value(np.random.default_rng(0).integers(60, 70, SHAPE) / 10, None) is None


@pytest.mark.parametrize("name", MASKED)
def test_where_every_pixel_is_a_measurement_only_what_is_no_number_is_masked(name):
    frame = MASKED[name].frame
    with np.errstate(invalid="ignore"):
        numbers = np.isfinite(frame) & (np.abs(frame.astype(np.float64)) <= LARGEST)
    valid = valid_mask(frame, "none")
    if numbers.all():
        assert valid is None
    else:
        np.testing.assert_array_equal(valid, numbers)
