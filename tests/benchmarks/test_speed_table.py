"""Two runs become a table only where the second repeats the first an hour later or more."""

from __future__ import annotations

import copy
import json
import re
import sys
from dataclasses import asdict

import pytest

from benchmarks import speed_table
from benchmarks.command import ends
from benchmarks.interleaved import BothClocks, Spread
from benchmarks.speed_goals import Case, Row, goals
from benchmarks.speed_table import HEAD, check_runs, markdown
from benchmarks.start_up import StartUp
from tirtrack.errors import RequestError


def run(time: str, ahead: float = 1.6) -> dict:
    """A run as its file holds it."""
    ms = BothClocks(Spread(4.0, 3.9, 4.4), Spread(4.1, 4.0, 4.5))
    ratio = BothClocks(Spread(ahead, ahead - 0.1, ahead + 0.1), Spread(ahead, 1.0, 2.0))
    rows = [
        Row(Case("TrackerNano V2", "OpenCV", 1, "colour"), ms, ahead=ratio),
        Row(Case("nano-rgb", "openvino", 1, "colour"), ms, ahead=ratio),
        Row(Case("nano-rgb", "openvino", 2, "colour", 4), ms, times_one=ratio),
    ]
    starts = [StartUp("nano-rgb", "openvino", 3.5, 0.4, 210)]
    found = [asdict(one) | {"is_reached": one.is_reached} for one in goals(rows, starts)]
    return {
        "time": time, "processor": "Xeon", "cores": 2, "revision": "abc",
        "versions": {"torch": "2"}, "rounds": 20, "frames_a_round": 20, "goals": found,
        "rows": [asdict(row) for row in rows], "starts": [asdict(one) for one in starts],
    }  # fmt: skip


FIRST, SECOND = run("2026-01-01T10:00:00+00:00"), run("2026-01-01T11:00:00+00:00", 1.4)


def test_runs_an_hour_apart_are_accepted():
    check_runs([FIRST, SECOND])


BROKEN = {
    "too soon": ({"time": "2026-01-01T10:59:00+00:00"}, "59 minutes apart, at least 60 are needed"),
    "another processor": ({"processor": "Epyc"}, "differ in processor: Xeon and Epyc"),
    "another revision": ({"revision": "abd"}, "differ in revision: abc and abd"),
    "other versions": ({"versions": {"torch": "3"}}, "differ in versions"),
    "other rows": ({"rows": []}, "have not timed the same engines and networks"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_run_that_is_no_repetition_is_refused(name):
    changes, message = BROKEN[name]
    with pytest.raises(RequestError, match=re.escape(message)):
        check_runs([FIRST, SECOND | changes])


def test_code_without_a_revision_is_refused():
    dirty = {"revision": "abc-dirty"}
    with pytest.raises(RequestError, match="differs from abc-dirty; commit it first"):
        check_runs([FIRST | dirty, SECOND | dirty])


def test_the_table_has_both_runs_and_says_what_was_reached_in_both():
    head, rule, opencv, one, four, empty, *said = markdown([FIRST, SECOND])
    assert head == HEAD
    assert {line.count("|") for line in (head, rule, opencv, one, four)} == {11}
    assert one == (
        "| `nano-rgb` | openvino | 1 | colour | 1 | 4.00 / 4.10 and 4.00 / 4.10 "
        "| 1.60 (1.50 to 1.70) and 1.40 (1.30 to 1.50) "
        "| 1.60 (1.00 to 2.00) and 1.40 (1.00 to 2.00) "
        "| 3.50 / 0.40 and 3.50 / 0.40 | 210 and 210 |"
    )
    assert empty == ""
    assert [line.rpartition(": ")[2] for line in said] == [
        "missed", "not measured", "reached", "reached", "reached",
    ]  # fmt: skip
    assert said[0].endswith("1.60 and 1.40, at least 1.5: missed")


def test_two_files_become_one_in_the_order_of_their_time(tmp_path, monkeypatch, capsys):
    files = [tmp_path / "later.json", tmp_path / "earlier.json"]
    for file, one in zip(files, (SECOND, FIRST), strict=True):
        file.write_text(json.dumps(one))
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["speed_table", *map(str, files), "--out", str(out)])
    assert ends("speed_table", speed_table.main) == 0
    assert capsys.readouterr().out.startswith(HEAD)
    assert json.loads(out.read_text())["runs"] == [FIRST, SECOND]


def test_what_is_no_run_is_refused_and_nothing_written(tmp_path, monkeypatch, capsys):
    no_run = copy.copy(FIRST)
    del no_run["processor"]
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, one in zip(files, (FIRST, no_run), strict=True):
        file.write_text(json.dumps(one))
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["speed_table", *map(str, files), "--out", str(out)])
    assert ends("speed_table", speed_table.main) == 2
    assert "b.json: was not written by python -m benchmarks.track_speed" in capsys.readouterr().err
    assert not out.exists()
