"""The page in a real browser: a quiet console, every picture drawn, no sideways scrolling."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from tirtrack.report import build_report

FILE = Path(__file__).resolve().parents[2] / ".ci" / "browser.py"
specification = importlib.util.spec_from_file_location("ci_browser", FILE)
browser = importlib.util.module_from_spec(specification)
sys.modules["ci_browser"] = browser  # where its data class looks for its types
specification.loader.exec_module(browser)

needs_chromium = pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.MISSING)


@pytest.fixture
def page(made, tmp_path) -> Path:
    """A page with all that an evaluation folder and a run folder can bring, and hard names."""
    folder = made.evaluated(tmp_path / "data", tmp_path / "evaluation")
    run = folder / "distilled.run"
    run.mkdir()
    (run / "manifest.json").touch()
    rows = [{"step": k, "loss": 1 / (k + 1), "terms": {"a": 0.5, "b": 0.2}} for k in range(40)]
    (run / "log.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    long_word = "tirtrack evaluate " + "a_very_long_path_without_a_break_" * 8
    return build_report([folder], tmp_path / "report.html", command=long_word)


@needs_chromium
def test_the_page_is_whole_and_readable(page):
    assert browser.check(page) == (
        f"browser: {3 + 3 * 6 + 1} pictures drawn, whole at 400 and 1400 px"
    )


@needs_chromium
def test_the_probe_sees_what_is_wrong(tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(
        "<!DOCTYPE html><body><p style='width:3000px;font-size:9px'>x</p>"
        "<img src='data:image/png;base64,AA'><script>console.error('loud')</script>",
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match=r"at 400 px the console says \[.*loud.*; at 1400 px"):
        browser.check(broken)
    said = " ".join(browser.look(broken, 400).faults())
    for fault in ("is not drawn", "px too wide", "1 parts are cut off", "a text is 9 px high"):
        assert fault in said


def test_without_a_browser_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(browser, "CHROMIUM", None)
    assert browser.check(tmp_path / "none.html").startswith("browser: skipped, chromium is not")
