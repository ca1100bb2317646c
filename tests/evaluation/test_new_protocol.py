"""A protocol with scores of its own is its file and a line of the registry: table and page follow.

The protocol of these tests has what no built-in one has: a unit, less is better, nothing about
visible frames, and a second score without a curve.
"""

from __future__ import annotations

import ast
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import tirtrack
from tirtrack.cli.app import run
from tirtrack.evaluation import protocols
from tirtrack.evaluation.comparison import read_result
from tirtrack.evaluation.overlap import center_error
from tirtrack.evaluation.protocols.base import (
    CurveAxes,
    ScoreDescription,
    Scores,
    SequenceScores,
)
from tirtrack.report import build_report

NAME = "centre-error"
COUNT = 7
THRESHOLDS = np.arange(11.0)


class CentreError:
    """Mean centre error in pixels, and how many frames are off by more than 5 px."""

    name = NAME
    absent_rule = ""
    as_stored = False
    by_flags = False
    needs = ()
    scores = (
        ScoreDescription(
            id="mean_error",
            title="mean centre error",
            unit="px",
            higher_is_better=False,
            curve=CurveAxes(
                x_label="centre error (px)", y_label="share of frames", x_end=10.0, reading="mean"
            ),
        ),
        ScoreDescription(id="far", title="far frames", short="far", higher_is_better=False),
    )

    def includes(self, sequence: str) -> bool:
        return True

    def score_sequence(
        self, name, boxes, annotation, *, length="strict", facts=None
    ) -> SequenceScores:
        valid = np.isfinite(annotation).all(axis=1)
        errors = center_error(boxes[valid], annotation[valid])
        return SequenceScores(
            name=name,
            frames=len(boxes),
            visible_frames=int(valid.sum()),
            curves={"mean_error": (errors[:, None] <= THRESHOLDS).mean(axis=0)},
            values={"mean_error": float(errors.mean()), "far": float((errors > 5).sum())},
        )

    def average(self, sequences) -> Scores:
        curves = {"mean_error": np.mean([one.curves["mean_error"] for one in sequences], axis=0)}
        values = {
            score.id: float(np.mean([one.values[score.id] for one in sequences]))
            for score in self.scores
        }
        return Scores(curves, values)


@pytest.fixture
def registered(monkeypatch):
    """The protocol as a file beside the others, and its line in the registry."""
    file = types.ModuleType("centre_error")
    file.PROTOCOL = CentreError()
    monkeypatch.setitem(sys.modules, f"{protocols.__name__}.centre_error", file)
    monkeypatch.setitem(protocols._FILES, NAME, "centre_error")


@pytest.fixture
def scored(registered, tmp_path: Path, capsys) -> tuple[Path, str]:
    """What ``score`` writes and prints: ``near`` is 1 px off, ``far`` 4 px and more."""
    world = tmp_path / "world"
    for number in range(COUNT):
        name = f"s{number}_V_001"
        (world / "anno").mkdir(parents=True, exist_ok=True)
        rows = np.array([[10.0 + frame, 20, 30, 40] for frame in range(6)])
        if number == 0:
            rows[3] = np.nan  # absent
        np.savetxt(world / "anno" / f"{name}.txt", rows, "%.0f", delimiter=",")
        for tracker, shift in (("far", 4.0 + number / 2), ("near", 1.0)):
            folder = tmp_path / "results" / tracker
            folder.mkdir(parents=True, exist_ok=True)
            np.savetxt(
                folder / f"{name}.txt", rows + np.array([shift, 0, 0, 0]), "%.2f", delimiter=","
            )
    out = tmp_path / "out"
    words = ["score", str(tmp_path / "results"), "--dataset", str(world), "--protocol", NAME]
    assert run([*words, "--out", str(out)]) == 0
    return out, capsys.readouterr().out


def test_the_table_shows_its_scores_and_no_others(scored) -> None:
    _, printed = scored
    assert "mean centre error (px, less is better)" in printed
    assert "far (less is better)" in printed
    row = next(line for line in printed.splitlines() if "far - near" in line and "mean" in line)
    assert "+4.500" in row
    assert f"0/0/{COUNT}" in row, "less is better, so every sequence is lost"
    assert not re.search("success|precision|visible frames|counts as", printed)


def test_the_page_is_made_of_its_scores_alone(scored, tmp_path: Path) -> None:
    out, _ = scored
    page = build_report([out], tmp_path / "page.html").read_text(encoding="utf-8")
    words = re.sub(r"(?s)<style>.*?</style>|data:image[^\"]*|<[^>]*>", " ", page)
    assert "near is better than far on this data: -4.500 px mean centre error" in words
    assert ">mean centre error (px, less is better)</th>" in page
    assert 'alt="Mean centre error plot: near [1.000], far [5.500]"' in page
    assert page.count('class="gain"') == COUNT
    assert {'style="width:50.0%"', 'style="width:25.0%"'} <= set(re.findall(r'style="w.*?"', page))
    assert "1 of the 42 frames without a valid annotated box" in words
    first, last = (
        page.index(f'<tr><td class="text short">s{number}_V_001') for number in (COUNT - 1, 0)
    )
    assert first < last, "the largest gain comes first"
    assert not re.search("success|precision|visible|This protocol counts", words)


def test_its_result_describes_itself_when_the_protocol_is_not_at_hand(
    scored, tmp_path: Path, monkeypatch
) -> None:
    out, _ = scored
    with_it = build_report([out], tmp_path / "a.html").read_bytes()
    monkeypatch.delitem(protocols._FILES, NAME)
    assert build_report([out], tmp_path / "b" / "b.html").read_bytes() == with_it
    assert read_result(out).scores == CentreError.scores


def test_no_other_file_knows_a_score_by_name() -> None:
    root = Path(tirtrack.__file__).parent
    known = {score.id for name in protocols.names() for score in protocols.get(name).scores}
    named = set()
    for file in root.rglob("*.py"):
        if "protocols" not in file.parts:
            strings = (
                node.value
                for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
                if isinstance(node, ast.Constant)
            )
            named |= {(file.name, one) for one in strings if one in known}
    page = (root / "report" / "templates" / "report.html.j2").read_text(encoding="utf-8")
    assert named == set()
    assert not re.search(rf"\b({'|'.join(known)})\b", page)
