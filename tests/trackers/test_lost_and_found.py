"""The command that measures the limits of "no confidence" and "no recovery": counts, limits, words.

What it measures of the shipped weights is in ``test_absence.py`` and ``test_redetection.py``.
"""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest

from benchmarks import lost_and_found
from benchmarks.lost_and_found import LIMITS, WITH, WITHOUT, beyond, counted_absences, is_unsettled
from tirtrack.boxes import Box
from tirtrack.synthetic.clips import ABSENCE_FRAMES, BACK, GONE, LEFT
from tirtrack.trackers.base import Reason, Status, TrackState

AT_THE_LIMIT = {
    WITHOUT: {"called": 0.9, "false_before": 0.02, "roc_area": 0.9, "again": 16},
    WITH: {
        **{"called": 0.9, "false_of_all": 0.02, "roc_area": 0.9, "again": 19},
        **{"found": 9, "taken": 1, "unsettled": 0},
    },
}
WORSE = {"false_before": 0.001, "false_of_all": 0.001, "taken": 1, "unsettled": 1}
WORSE |= {"called": -0.05, "roc_area": -0.001, "again": -1, "found": -1}


def in_frames(*spans):
    """``[T-1]`` bool: whether a frame is in one of the spans; the first frame of a clip is none."""
    frames = np.arange(1, ABSENCE_FRAMES)
    return np.any([(frames >= first) & (frames < last) for first, last in spans], axis=0)


def test_what_was_said_is_counted_as_the_table_says():
    visible = in_frames((1, GONE.start), (GONE.stop, ABSENCE_FRAMES))
    sixth_last = ABSENCE_FRAMES - 6
    said = [
        in_frames((5, 8), (GONE.start + 9, GONE.stop)),  # three false before, called at the last
        in_frames((GONE.start + 10, GONE.stop + 10)),  # a frame late; those after it do not count
        in_frames((GONE.start, sixth_last + 2)),  # till the fifth frame from the end
        in_frames((GONE.start, GONE.stop), (sixth_last, sixth_last + 1)),  # and once more
    ]
    scores = [np.where(visible, 0.8, 0.2)] * 3 + [np.full(len(visible), 0.8)]
    found = counted_absences(said, scores, [visible] * 4)
    before, afterwards = GONE.start - 1, ABSENCE_FRAMES - GONE.stop - 10
    assert found.called == 3 / 4
    assert found.false_before == 3 / (4 * before)
    assert found.false_of_all == (3 + afterwards - 4 + 1) / (4 * (before + afterwards))
    assert found.again == 3
    # one in four absent frames scores as the visible ones do: half of that quarter is lost
    assert found.roc_area == pytest.approx(1 - 1 / 8)


def test_limits_hold_at_themselves_and_are_named_one_step_beyond():
    for mode, figures in AT_THE_LIMIT.items():
        assert beyond(figures, LIMITS[mode]) == {}
        for key in figures:
            worse = {**figures, key: figures[key] + WORSE[key]}
            assert beyond(worse, LIMITS[mode]) == {key: worse[key]}
            assert beyond({**figures, key: float("nan")}, LIMITS[mode]).keys() == {key}


@pytest.mark.parametrize(
    ("followed_until", "last", "is_so"),
    [
        (LEFT + 10, Status.LOST, False),
        (LEFT + 11, Status.LOST, True),
        (LEFT, Status.UNCERTAIN, True),
    ],
    ids=["lost in time", "followed for too long", "not lost at the end"],
)
def test_a_clip_is_unsettled_if_something_is_followed_or_nothing_is_lost(
    followed_until, last, is_so
):
    statuses = [Status.TRACKING if t <= followed_until else Status.LOST for t in range(1, BACK)]
    box = Box(0.0, 0.0, 9.0, 9.0)
    gone = [
        TrackState(box=box, measured=False, score=0.0, status=status, reason=Reason.NONE)
        for status in [*statuses[:-1], last]
    ]
    assert is_unsettled(gone) is is_so


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nano-tir", "nano-tirr"], 'no weights are called "nano-tirr" .*did you mean "nano-tir"'),
        (["away/mine.safetensors"], "away/mine.safetensors: no such file"),
        (["nano-tir", "--preset", "defualt"], '"defualt".*did you mean "default"'),
    ],
    ids=["name", "file", "preset"],
)
def test_a_wrong_request_is_one_sentence_and_starts_nothing(words, sentence, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lost_and_found", *words])
    assert lost_and_found.main() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(f"lost_and_found: .*{sentence}.*\n", printed.err)


def test_the_table_has_two_rows_a_tracker_and_the_file_holds_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(lost_and_found, "ABSENCE_CLIPS", 1)
    monkeypatch.setattr(lost_and_found, "RETURN_CLIPS", 1)
    out = tmp_path / "figures.json"
    words = ["nano-tir", "--preset", "published", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["lost_and_found", *words])
    assert lost_and_found.main() == 0
    head, *lines = capsys.readouterr().out.splitlines()
    rows = [(name, mode) for name in ("limits", "nano-tir") for mode in (WITHOUT, WITH)]
    assert [tuple(line.split()[:2]) for line in lines] == rows
    (row,) = json.loads(out.read_text())["rows"]
    assert row["preset"] == "published"
    shown = lines[2][head.index("again") :].split()[0]  # of one clip not enough for the limit
    assert shown == f"{row['figures'][WITHOUT]['again']}*"
    assert row["figures"][WITH].keys() == lost_and_found.COLUMNS.keys()
