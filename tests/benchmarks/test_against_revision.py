"""Two revisions take turns in processes of their own."""

from __future__ import annotations

from benchmarks.against_revision import Side, compared
from benchmarks.command import ROOT
from benchmarks.interleaved import Pace
from benchmarks.track_speed import network_of


def test_a_revision_beside_itself_answers_the_same_round_by_round(tmp_path):
    sides = [Side(ROOT / "src", None), Side(ROOT / "src", "onnx")]
    found = compared(network_of("nano-rgb", tmp_path), sides, 1, Pace(15, 1, 1))
    other, this, faster = found.figures()
    assert found.difference_px == 0
    assert all(len(times.wall_ms) == 15 for times in found.times)
    assert other.wall.median > 0
    assert this.wall.median > 0
    assert faster.wall.low < faster.wall.high
