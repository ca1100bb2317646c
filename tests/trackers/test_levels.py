"""Grey levels of a stream: 8 bits untouched, one curve for all channels, state kept."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.thermal import normaliser
from tirtrack.trackers.levels import GreyLevels, stretch_levels


def counts(seed, shape=(40, 50), *, low=7000, high=9000):
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint16)


def test_eight_bits_stay_the_same_array():
    for shape in ((40, 50), (40, 50, 3)):
        frame = np.zeros(shape, np.uint8)
        assert GreyLevels(None, stretch=False)(frame) is frame


def test_counts_become_levels_by_the_named_normaliser():
    levels = GreyLevels(normaliser("fixed:7000:9000"), stretch=False)
    assert_array_equal(levels(np.array([[7000, 8000, 9500]], np.uint16)), [[0.0, 127.5, 255.0]])


def test_colour_of_many_bits_is_mapped_by_one_curve():
    levels = GreyLevels(normaliser("fixed:0:1000"), stretch=False)
    frame = np.array([[[0, 500, 1000]]], np.uint16)
    assert_array_equal(levels(frame), [[[0.0, 127.5, 255.0]]])


@pytest.mark.parametrize("name", ["adaptive", "percentile"])
def test_equal_channels_are_the_grey_frame_to_the_bit(name):
    grey, colour = (GreyLevels(normaliser(name), stretch=False) for _ in range(2))
    for seed in range(4):
        frame = counts(seed, high=8000 + 500 * seed)
        three = np.repeat(frame[..., None], 3, axis=2)
        assert_array_equal(colour(three), np.repeat(grey(frame)[..., None], 3, axis=2))


def test_a_saved_stream_goes_on_as_the_unbroken_one_and_reset_begins_anew():
    one, two = (GreyLevels(None, stretch=False) for _ in range(2))
    for seed in range(3):
        one(counts(seed))
    two.load_state_dict(one.state_dict())
    warm = counts(9, high=12000)
    expected = one(warm)
    assert_array_equal(two(warm), expected)
    one.reset()
    assert (one(warm) != expected).any()
    two.load_state_dict({"normaliser": None})
    assert_array_equal(two(warm), GreyLevels(None, stretch=False)(warm))


def test_inverted_eight_bits_are_turned_round_in_every_shape():
    levels = GreyLevels(normaliser("adaptive", invert=True), stretch=False)
    assert_array_equal(levels(np.full((3, 4), 5, np.uint8)), 250)
    assert_array_equal(levels(np.full((3, 4, 3), 5, np.uint8)), 250)


def test_stretch_spreads_from_the_first_to_the_last_percentile_and_clips():
    frame = np.arange(101, dtype=np.uint8).reshape(1, -1)
    stretched = stretch_levels(frame)
    assert_array_equal(stretched[0, [0, 1, 99, 100]], [0.0, 0.0, 255.0, 255.0])
    assert stretched[0, 50] == pytest.approx(127.5)
    assert_array_equal(stretch_levels(np.full((4, 5), 9, np.uint8)), 9.0)


HOLE = np.s_[:, :12]


@pytest.mark.parametrize("stretch", [False, True])
@pytest.mark.parametrize("channels", [None, 1, 3], ids=["grey", "equal channels", "colour"])
def test_levels_are_those_of_the_measured_pixels(channels, stretch):
    grey = counts(3, shape=(40, 60))
    frame = grey if channels is None else np.stack([grey, grey, grey], axis=2)
    if channels == 3:
        frame[..., 1] += 40
    holed = frame.copy()
    holed[HOLE] = 0
    levels = GreyLevels(normaliser("percentile"), stretch=stretch)
    out = levels(holed, levels.valid(holed))
    alone = levels(frame[:, 12:])
    assert np.abs(out[:, 12:] - alone).max() < 4  # other samples of the same scene
    assert np.ptp(out[HOLE], axis=(0, 1)).max() == 0
    assert_allclose(out[0, 0], out[:, 12:].mean(axis=(0, 1)), atol=1e-3)


def test_8_bits_have_the_mean_where_a_value_is_named():
    frame = np.random.default_rng(0).integers(10, 200, (40, 60, 3), dtype=np.uint8)
    frame[HOLE] = 255
    levels = GreyLevels(normaliser("adaptive", no_data=255), stretch=False)
    out = levels(frame, levels.valid(frame))
    assert out.dtype == np.uint8
    assert_array_equal(out[0, 0], np.rint(frame[:, 12:].mean(axis=(0, 1))))
    assert_array_equal(out[:, 12:], frame[:, 12:])
