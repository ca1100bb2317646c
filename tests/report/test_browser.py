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
        f"browser: {3 + 1 + 3 * 6 + 1} pictures drawn, whole at 390 and 1400 px"
    )
    for width in browser.WIDTHS:
        assert browser.look(page, width, dark=True).faults() == []


@pytest.fixture
def scored(made, tmp_path) -> Path:
    """A page with every kind of figure and table."""
    folder = made.scored(tmp_path / "e", without=[("distilled", "person_03")])
    return build_report([folder], tmp_path / "report.html")


@needs_chromium
def test_every_kind_of_figure_is_whole_and_readable(scored):
    assert browser.check(scored) == "browser: 8 pictures drawn, whole at 390 and 1400 px"


SEQUENCES = """
const table = [...inner.querySelectorAll("table.sortable")]
  .find(one => one.caption.textContent.startsWith("Every sequence"));
const rows = () => [...table.tBodies[0].rows].filter(row => !row.hidden);
const column = number => rows().map(row => row.cells[number].textContent);
const head = number => table.tHead.querySelector(`th[data-column="${number}"]`);
"""


@needs_chromium
def test_tables_are_sorted_by_buttons_and_say_so(scored):
    seen, console = browser.ask(
        scored,
        SEQUENCES
        + """
const button = head(4).querySelector("button"), last = head(8).querySelector("button");
const states = [[head(4).ariaSort, column(4)]];
for (const one of [button, button, last]) {
  one.click();
  states.push([head(4).ariaSort, head(8).ariaSort, column(4), column(8)]);
}
head(0).querySelector("button").click();
return {states, names: column(0), focusable: button.tabIndex, focused: (button.focus(),
  inner.activeElement === button), buttons: table.tHead.querySelectorAll("button").length,
  columns: table.tBodies[0].rows[0].cells.length};
""",
    )
    assert console == []
    first, second, third, fourth = seen["states"]
    assert first[0] is None
    assert (second[0], third[0]) == ("descending", "ascending")
    numbers = list(map(float, first[1]))
    assert list(map(float, second[2])) == sorted(numbers, reverse=True)
    assert list(map(float, third[2])) == sorted(numbers)
    assert fourth[:2] == [None, "descending"]
    *known, missing = fourth[3]
    assert missing == "missing"  # what has no number comes last, either way round
    assert list(map(float, known)) == sorted(map(float, known), reverse=True)
    assert seen["names"] == [f"person_{k:02d}" for k in range(12)]
    assert (seen["focusable"], seen["focused"]) == (0, True)
    assert seen["buttons"] == seen["columns"]


@needs_chromium
def test_rows_are_filtered_by_all_words(scored):
    seen, console = browser.ask(
        scored,
        SEQUENCES
        + """
const label = table.closest(".scroll").previousElementSibling;
const field = label.querySelector("input"), said = label.querySelector("output");
const states = [];
for (const text of ["blur", "BLUR occlusion", "nothing", ""]) {
  field.value = text;
  field.dispatchEvent(new view.Event("input"));
  states.push([column(0).sort(), said.value]);
}
return {states, name: label.textContent.trim().startsWith("Filter rows")};
""",
    )
    assert console == []
    assert seen["name"]
    three = ["person_00", "person_01", "person_02"]
    assert seen["states"][:3] == [[three, "3 of 12"], [three[::2], "2 of 12"], [[], "0 of 12"]]
    assert (len(seen["states"][3][0]), seen["states"][3][1]) == (12, "")


@needs_chromium
def test_page_is_dark_where_the_reader_prefers_that(scored):
    script = """
const style = view.getComputedStyle(inner.body);
return [style.backgroundColor, style.color].map(one => one.match(/\\d+/g).map(Number));
"""
    for dark in (False, True):
        (paper, ink), _ = browser.ask(scored, script, dark=dark)
        assert (max(paper) < 64, min(ink) > 192) == (dark, dark)


@needs_chromium
def test_no_line_ends_inside_an_option(made, tmp_path):
    """The sentence on film strips names three of them; lines of any width end before one."""
    folder = made.scored(tmp_path / "e", sequences=2)
    page = build_report([folder], tmp_path / "report.html")
    lines, _ = browser.ask(
        page,
        """
const found = [];
for (let width = 200; width < 400; width += 3) {
  inner.body.style.width = `${width}px`;
  found.push(...[...inner.querySelectorAll(".whole")].map(one => one.getClientRects().length));
}
return found;
""",
        width=browser.WIDTHS[0],
    )
    assert lines == [1] * 3 * 67


@needs_chromium
def test_a_long_name_stays_in_its_column(made, tmp_path):
    names = ["nano-rgb", "a_tracker_with_a_long_name@default"]
    folder = made.scored(tmp_path / "e", names=names, sequences=2)
    page = build_report([folder], tmp_path / "report.html")
    script = """
return [...inner.querySelectorAll("td:first-child")].map(one => one.scrollWidth - one.clientWidth);
"""
    for width in browser.WIDTHS:
        over, _ = browser.ask(page, script, width=width)
        assert len(over) > 10
        assert max(over) <= 0


@needs_chromium
def test_no_script_but_ours_runs(made, tmp_path):
    folder = made.scored(tmp_path / "e", sequences=2)
    page = build_report([folder], tmp_path / "report.html")
    text = page.read_text(encoding="utf-8").replace(
        "<body>", "<body><script>document.title = 'changed'</script>"
    )
    page.write_text(text, encoding="utf-8")
    title, console = browser.ask(page, "return inner.title;")
    assert title != "changed"
    assert "Content Security Policy" in " ".join(console)


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


MANY = """
const box = inner.querySelector(".long"), head = box.querySelector("thead");
const place = () => head.getBoundingClientRect().top - box.getBoundingClientRect().top;
box.scrollTop = 2000;
const radar = [...inner.images].find(one => one.alt.includes("spoke"));
return {
  high: box.clientHeight / view.innerHeight, scrolled: box.scrollTop, head: place(),
  captions: [...inner.querySelectorAll("caption > span")].filter(one => one.checkVisibility())
    .map(one => one.getBoundingClientRect().right),
  radar: radar.getBoundingClientRect().right, screen: view.innerWidth,
  shown: [...inner.querySelectorAll(".verdict")].filter(one => one.checkVisibility())
    .map(one => one.textContent.trim()),
};
"""


@needs_chromium
@pytest.mark.parametrize("width", browser.WIDTHS)
def test_a_page_of_many_trackers_stays_short(made, tmp_path, width):
    names = [f"tracker_{k:02d}" for k in range(22)]
    folder = made.scored(tmp_path / "e", names=names, sequences=6)
    page = build_report([folder], tmp_path / "report.html")
    assert "tracker_01, tracker_02, tracker_03 and 18 more against" in page.read_text("utf-8")
    seen, console = browser.ask(page, MANY, width=width)
    assert console == []
    assert seen["high"] < 0.9  # 44 rows of scores scroll in a window of their own,
    assert seen["scrolled"] > 200
    assert abs(seen["head"]) < 2  # and their headings stay
    assert max(*seen["captions"], seen["radar"]) <= seen["screen"]
    (sentence,) = seen["shown"]
    assert sentence.startswith("21 trackers against tracker_00, by success: ")


@needs_chromium
def test_the_probe_sees_what_is_wrong(tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(
        "<!DOCTYPE html><body><p style='width:3000px;font-size:9px'>x</p>"
        "<img src='data:image/png;base64,AA'><script>console.error('loud')</script>",
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match=r"at 390 px the console says \[.*loud.*; at 1400 px"):
        browser.check(broken)
    said = " ".join(browser.look(broken, 390).faults())
    for fault in ("is not drawn", "px too wide", "1 parts are cut off", "a text is 9 px high"):
        assert fault in said


def test_without_a_browser_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(browser, "CHROMIUM", None)
    assert browser.check(tmp_path / "none.html").startswith("browser: skipped, chromium is not")
