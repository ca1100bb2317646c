"""Whether a demo run left what it promised: a self-contained page, and the same numbers as JSON.

The page is also opened in a browser, where there is one (``browser.py`` beside this file).
"""

from __future__ import annotations

import json
import re
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

SCORES = ("success", "precision", "norm_precision")


def check(report: Path) -> str:
    """One line about the demo whose page is ``report``, with ``result.json`` beside it.

    Raises:
        ValueError: something that was promised is not there; says what.
    """
    if report.name != "report.html":
        raise ValueError(f"the last line of the demo is not the path of a report: {report}")
    for path in (report, report.with_name("result.json")):
        if not path.is_file():
            raise ValueError(f"the demo left no {path}")
    page = report.read_text(encoding="utf-8")
    result = json.loads(report.with_name("result.json").read_text(encoding="utf-8"))
    outside = re.findall(r'(?:src|href)="(?:https?:)?//[^"]+"', page)
    if outside:
        raise ValueError(f"{report} loads {outside[0]} from outside")
    trackers = check_numbers(result, page)
    names = " and ".join(tracker["name"] for tracker in trackers)
    count = len(trackers[0]["sequences"])
    return f"demo: {names}, {count} sequences, report {len(page) // 1024} kB"


def check_numbers(result: dict[str, Any], page: str) -> list[dict[str, Any]]:
    """The three trackers of a ``result.json``, after checking their scores, their differences and
    the sentences about them.

    Raises:
        ValueError: a number is missing, impossible, or not on the page.
    """
    evaluations = result.get("evaluations", [])
    if len(evaluations) != 1:
        raise ValueError(f"result.json holds {len(evaluations)} evaluations, one was expected")
    trackers: list[dict[str, Any]] = evaluations[0]["trackers"]
    names = [tracker["name"] for tracker in trackers]
    if len(names) != 3:
        raise ValueError(
            f"result.json compares {names}, baseline, student and control were expected"
        )
    for tracker in trackers:
        for score in SCORES:
            _check_score(tracker["name"], score, tracker["values"][score], page)
    differences = evaluations[0]["differences"]
    pairs = sorted({tuple(sorted((one["a"], one["b"]))) for one in differences})
    if pairs != sorted(combinations(sorted(names), 2)):
        raise ValueError(f"the differences are of {pairs}, not of all two of {names}")
    for one in differences:
        if not one["low"] <= one["mean"] <= one["high"]:
            raise ValueError(f"the interval of a difference does not hold its mean: {one}")
    if len(result["verdicts"]) != 3:
        raise ValueError(
            f"result.json has {len(result['verdicts'])} sentences, three were expected"
        )
    return trackers


def _check_score(name: str, score: str, value: float, page: str) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} has a {score} of {value}")
    if f"{value:.3f}" not in page:
        raise ValueError(f"{score} {value:.3f} of {name} is in result.json but not on the page")


if __name__ == "__main__":
    import browser

    try:
        for look in (check, browser.check):
            sys.stdout.write(look(Path(sys.argv[1])) + "\n")
    except ValueError as error:
        sys.exit(str(error))
