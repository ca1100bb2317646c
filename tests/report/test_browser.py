"""The page in a real browser: a quiet console, every picture drawn, no sideways scrolling."""

from __future__ import annotations

import copy
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


A4_PX = {"landscape": 1047, "portrait": 703}  # between the margins, at 96 px an inch


def several(made, folder: Path, count: int) -> Path:
    """An evaluation folder of many trackers with long names, in two sets."""
    content = made.result()
    other = content["trackers"][1]
    for k in range(count - 2):
        one = {**copy.deepcopy(other), "name": f"a_long_name_of_a_tracker_{k}@k_stretch"}
        content["trackers"].append(one)
        content["differences"] += [{**row, "a": one["name"]} for row in content["differences"][:4]]
    for one in content["trackers"]:
        for k, row in enumerate(one["sequences"]):
            row["subset"] = ("drone_dataset", "m3svd")[k % 2]
        part = {"sequences": 2, "values": one["values"]}
        one["subsets"] = dict.fromkeys(("drone_dataset", "m3svd", "passes_full_cover"), part)
    return made.write(folder, content)


@needs_chromium
@pytest.mark.parametrize("count", [2, 5, 9, 15])
def test_nothing_is_cut_in_print_however_many_trackers(made, tmp_path, count):
    """The rules for print, applied to a page as wide as the paper; the wide table lies across."""
    built = build_report([several(made, tmp_path / "data", count)], tmp_path / "report.html")
    text = built.read_text(encoding="utf-8").replace("@media print {", "@media all {")
    across = tmp_path / "across.html"
    across.write_text(text, encoding="utf-8")
    assert browser.look(across, A4_PX["landscape"]).overflow == 0
    upright = tmp_path / "upright.html"
    upright.write_text(text.replace("</style>", ".wide { display: none; }</style>"), "utf-8")
    assert browser.look(upright, A4_PX["portrait"]).overflow == 0


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
