"""Times in names, and frames matched by them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirtrack.pairs.timestamps import default_gap_s, matched_by_time, seconds_of

NOON = datetime(2024, 1, 1, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("20240101_120000", NOON, id="date and time"),
        pytest.param("20240101T120000.250Z", NOON + 0.25, id="iso"),
        pytest.param("2024-01-01_12-00-00_500", NOON + 0.5, id="with dashes"),
        pytest.param("20240101120000125", NOON + 0.125, id="seventeen digits"),
        pytest.param("cam_20240101_120000", NOON, id="with a word in front"),
        pytest.param("1704110400", 1704110400.0, id="seconds since 1970"),
        pytest.param("1704110400.175304", 1704110400.175304, id="with decimals"),
        pytest.param("1704110400_175304000", 1704110400.175304, id="seconds and nanoseconds"),
        pytest.param("1704110400175", 1704110400.175, id="milliseconds"),
        pytest.param("1704110400175304", 1704110400.175304, id="microseconds"),
        pytest.param("1704110400175304000", 1704110400.175304, id="nanoseconds"),
        pytest.param("12.5", 12.5, id="seconds of a recording"),
        pytest.param("000017", None, id="a number of a frame"),
        pytest.param("20241301_120000", None, id="month 13"),
        pytest.param("DJI_0001", None, id="a counter"),
        pytest.param("0000000017", None, id="a number of ten digits"),
        pytest.param("DJI_20240101120000_0001", None, id="a date and a counter"),
        pytest.param("scene", None, id="no digit"),
    ],
)
def test_names_say_their_time_in_seconds(name, expected):
    assert seconds_of(name) == (None if expected is None else pytest.approx(expected, abs=1e-6))


def test_the_nearest_frames_are_matched_once_each():
    rgb = [k / 30 for k in range(30)]
    tir = [k / 9 + 0.004 for k in range(9)]
    pairs = matched_by_time(rgb, tir, default_gap_s(rgb, tir))
    assert [place for _, place in pairs] == list(range(9))
    assert all(abs(rgb[a] - tir[b]) <= 1 / 60 for a, b in pairs)
    assert default_gap_s(rgb, tir) == pytest.approx(1 / 60)


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=20, unique=True),
    st.lists(st.floats(0, 100), min_size=1, max_size=20, unique=True),
    st.floats(0.01, 5),
)
def test_no_frame_is_used_twice_and_no_gap_is_exceeded(rgb, tir, gap):
    pairs = matched_by_time(rgb, tir, gap)
    for side in (0, 1):
        assert len({pair[side] for pair in pairs}) == len(pairs)
    assert all(abs(rgb[a] - tir[b]) <= gap + 1e-5 for a, b in pairs)
    swapped = {(b, a) for a, b in matched_by_time(tir, rgb, gap)}
    assert len(swapped) == len(pairs)


def test_a_frame_without_a_partner_is_left_out():
    assert matched_by_time([0.0, 1.0, 2.0], [1.01, 2.4], 0.1) == [(1, 0)]
    assert matched_by_time([], [1.0], 0.1) == []
