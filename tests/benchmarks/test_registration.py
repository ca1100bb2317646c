"""Errors of time offsets are counted at both ends of a recording and between them."""

from __future__ import annotations

import pytest

from benchmarks import registration
from benchmarks.registration import LATE_FRAMES, LateRecording, time_row
from tirtrack.pairs.rig import TimeOffset

KNOWN = LateRecording("a", (), first_frames=2.0, last_frames=3.0)


def test_errors_are_those_at_the_ends_and_in_the_middle(monkeypatch):
    drift = 1000 * 0.7 / (LATE_FRAMES - 1)
    found = TimeOffset(frames=2.1, drift_per_1000=drift)
    monkeypatch.setattr(registration, "measure_time_offset", lambda _: found)
    row = time_row(KNOWN)
    assert row["told"]
    assert row["drift_per_minute"] == 1.0
    assert row["error_at_ends_frames"] == pytest.approx(0.2)
    assert row["error_frames"] == pytest.approx(0.05)
    assert row["error_per_minute"] == pytest.approx(0.3)


def test_an_offset_that_is_not_told_has_no_error(monkeypatch):
    monkeypatch.setattr(registration, "measure_time_offset", lambda _: None)
    row = time_row(KNOWN)
    assert not row["told"]
    assert "error_frames" not in row
