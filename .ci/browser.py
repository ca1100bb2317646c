"""A report in headless Chromium: nothing on the console, every picture drawn, nothing cut off.

Chromium is found on the path; ``.ci/run`` installs it. The tests of the report look at their own
pages through this file, ``.ci/check_demo.py`` at the page of a demo.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "chromium is not installed; .ci/run installs it"
WIDTHS = (390, 1400)
SMALLEST_TEXT = 12
SMALLEST_PICTURE = 100
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
    "--window-size=1500,1000",
    "--virtual-time-budget=5000",
)

# A window cannot be narrower than about 500 px, so each width is an iframe in a page of our own.
# ``srcdoc`` keeps it in the same origin, where the outer script may look at it and act on it.
PROBE = """<!DOCTYPE html><meta charset="utf-8"><body>
<iframe id="page" style="width:{width}px;height:900px;border:0" srcdoc="{source}"></iframe>
<script>
const frame = document.getElementById("page");
frame.addEventListener("load", () => {{
  const view = frame.contentWindow, inner = frame.contentDocument, root = inner.documentElement;
  const seen = (() => {{ {script} }})();
  const out = document.createElement("pre");
  out.id = "seen";
  out.textContent = JSON.stringify(seen);
  document.body.appendChild(out);
}});
</script></body>"""

# What stands in a box that scrolls by itself may be wider than the page.
LOOK = """
const text = [...inner.querySelectorAll("p, td, dd, li, h1, h2, h3")]
  .filter(e => e.checkVisibility());
const cut = e => !e.closest(".scroll, pre")
  && e.getBoundingClientRect().right > view.innerWidth + 0.5;
return {
  width: view.innerWidth,
  overflow: Math.max(root.scrollWidth - root.clientWidth,
    inner.body.scrollWidth - inner.body.clientWidth),
  pictures: [...inner.images].map(p => [p.complete ? p.naturalWidth : 0, p.clientWidth]),
  requests: view.performance.getEntriesByType("resource")
    .map(entry => entry.name).filter(name => !name.startsWith("data:")),
  smallest: Math.min(...text.map(e => parseFloat(view.getComputedStyle(e).fontSize))),
  cut: [...text, ...inner.images].filter(cut).length,
};
"""


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page.

    Attributes:
        width: of the page, pixels.
        overflow: pixels by which the page is wider than that.
        pictures: width as stored (0 where it could not be drawn) and as shown, of each.
        requests: addresses that were asked for.
        smallest: font size, pixels.
        cut: pictures and texts that end right of the page.
        console: lines that were written there.
    """

    width: int
    overflow: float
    pictures: list[tuple[int, int]]
    requests: list[str]
    smallest: float
    cut: int
    console: list[str]

    def faults(self) -> list[str]:
        """What a reader would stumble over, a sentence each."""
        found = {
            f"the console says {self.console[:1]}": bool(self.console),
            f"it asks for {self.requests[:1]}": bool(self.requests),
            "it has no picture": not self.pictures,
            "a picture is not drawn": any(stored == 0 for stored, _ in self.pictures),
            "a picture is too small to see": any(
                0 < shown <= SMALLEST_PICTURE for _, shown in self.pictures
            ),
            f"it is {self.overflow} px too wide": self.overflow > 0,
            f"{self.cut} parts are cut off": self.cut > 0,
            f"a text is {self.smallest} px high": self.smallest < SMALLEST_TEXT,
        }
        return [f"at {self.width} px {text}" for text, is_there in found.items() if is_there]


def ask(
    page: Path, script: str, *, width: int = WIDTHS[1], dark: bool = False
) -> tuple[Any, list[str]]:
    """What a script returns that looks at a page and acts on it, and the lines on the console.

    Args:
        page: the page.
        script: body of a function of ``inner`` (the document), ``root`` (its element) and ``view``
            (its window).
        width: of the page, pixels.
        dark: whether the reader prefers dark pages.

    Raises:
        ValueError: the browser says nothing of the page.
    """
    source = html.escape(page.read_text(encoding="utf-8"), quote=True)
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.html"
        text = PROBE.format(width=width, source=source, script=script)
        probe.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [
                str(CHROMIUM),
                *FLAGS,
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                f"--user-data-dir={folder}/profile",
                "--dump-dom",
                probe.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    if not found:
        raise ValueError(f"chromium could not open {page}: {done.stderr[-2000:]}")
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found.group(1))), console


def look(page: Path, width: int, *, dark: bool = False) -> Seen:
    """Open a page at a width in pixels.

    Raises:
        ValueError: the browser says nothing of the page.
    """
    seen, console = ask(page, LOOK, width=width, dark=dark)
    return Seen(**seen, console=console)


def check(page: Path) -> str:
    """One line about a page as a reader sees it.

    Raises:
        ValueError: something is wrong with it; says what.
    """
    if CHROMIUM is None:
        return f"browser: skipped, {MISSING}"
    looks = [look(page, width) for width in WIDTHS]
    faults = [fault for seen in looks for fault in seen.faults()]
    if faults:
        raise ValueError(f"{page}: {'; '.join(faults)}")
    widths = " and ".join(map(str, WIDTHS))
    return f"browser: {len(looks[0].pictures)} pictures drawn, whole at {widths} px"
