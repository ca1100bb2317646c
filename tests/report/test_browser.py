"""The page in a real browser: nothing on the console, every picture drawn, no sideways scrolling.

Chromium is found on the path; the continuous run installs it (``.ci/run``).
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tirtrack.report import build_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed; .ci/run installs it and runs this"
)

# A window cannot be narrower than about 500 px, so each width is an iframe in a page of the test's.
# ``srcdoc`` keeps it in the same origin, where the outer script may look at it.
PROBE = """<!DOCTYPE html><meta charset="utf-8"><body>
<iframe id="page" style="width:{width}px;height:900px;border:0" srcdoc="{source}"></iframe>
<script>
const frame = document.getElementById("page");
frame.addEventListener("load", () => {{
  const inner = frame.contentDocument, root = inner.documentElement;
  const text = [...inner.querySelectorAll("p, td, dd, li, h1, h2, h3")];
  const seen = {{
    width: frame.contentWindow.innerWidth,
    overflow: root.scrollWidth - root.clientWidth,
    bodyOverflow: inner.body.scrollWidth - inner.body.clientWidth,
    pictures: [...inner.images].map(p => [p.complete, p.naturalWidth, p.clientWidth]),
    requests: frame.contentWindow.performance.getEntriesByType("resource")
      .map(entry => entry.name).filter(name => !name.startsWith("data:")),
    smallest: Math.min(
      ...text.map(e => parseFloat(frame.contentWindow.getComputedStyle(e).fontSize))),
    outside: text.filter(e => !e.closest(".scroll, pre"))
      .filter(e => e.getBoundingClientRect().right > frame.contentWindow.innerWidth + 0.5).length,
  }};
  const out = document.createElement("pre");
  out.id = "seen";
  out.textContent = JSON.stringify(seen);
  document.body.appendChild(out);
}});
</script></body>"""


def look(page: Path, width: int, tmp_path: Path) -> tuple[dict, list[str]]:
    """What a browser sees at that width, and what it says on its console."""
    source = html.escape(page.read_text(encoding="utf-8"), quote=True)
    probe = tmp_path / f"probe-{width}.html"
    probe.write_text(PROBE.format(width=width, source=source), encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={tmp_path / f'profile-{width}'}",
            "--window-size=1500,1000",
            "--virtual-time-budget=5000",
            "--dump-dom",
            probe.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found.group(1))), console


@pytest.fixture
def page(made, tmp_path) -> Path:
    """A page with all that an evaluation folder and a run folder can bring, and hard names."""
    folder = made.evaluated(tmp_path / "data", tmp_path / "evaluation")
    run = folder / "distilled.run"
    run.mkdir()
    rows = [{"step": k, "loss": 1 / (k + 1), "terms": {"a": 0.5, "b": 0.2}} for k in range(40)]
    (run / "log.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    long_word = "tirtrack evaluate " + "a_very_long_path_without_a_break_" * 8
    return build_report([folder], tmp_path / "report.html", command=long_word)


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_is_whole_and_readable(page, width, tmp_path):
    seen, console = look(page, width, tmp_path)
    assert console == []
    assert seen["width"] == width
    assert seen["requests"] == []
    assert len(seen["pictures"]) == 3 + 3 * 6 + 1
    for complete, natural, shown in seen["pictures"]:
        assert complete
        assert natural > 0
        assert 100 < shown <= width
    assert seen["overflow"] <= 0
    assert seen["bodyOverflow"] <= 0
    assert seen["outside"] == 0
    assert seen["smallest"] >= 12


def test_the_probe_sees_what_is_wrong(tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(
        "<!DOCTYPE html><body><p style='width:3000px'>x</p><img src='data:image/png;base64,AA'>"
        "<script>console.error('loud')</script>",
        encoding="utf-8",
    )
    seen, console = look(broken, 400, tmp_path)
    assert any("loud" in line for line in console)
    assert seen["overflow"] > 0
    assert seen["pictures"][0][1] == 0
