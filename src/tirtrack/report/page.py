"""The page: :class:`~tirtrack.report.content.ReportContent` in, one HTML file out.

Everything is inside the file: no request leaves it, no script runs in it. Names of trackers,
sequences and files are untrusted and escaped.
"""

from __future__ import annotations

import math

from jinja2 import Environment, PackageLoader, StrictUndefined

from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.report.content import ANNOTATION_COLOUR, ReportContent
from tirtrack.report.verdict import FEWEST_SEQUENCES, interval, signed

TEMPLATE = "report.html.j2"


def render(content: ReportContent) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("tirtrack.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        three=three,
        signed=signed,
        chance=chance,
        interval=interval,
        seconds=seconds,
        bar=bar_percent,
    )
    return environment.get_template(TEMPLATE).render(
        content=content,
        annotation_colour=ANNOTATION_COLOUR,
        fewest_sequences=FEWEST_SEQUENCES,
    )


def three(value: float | None) -> str:
    """Three decimals, a dash where there is no number.

    >>> three(0.54321), three(None)
    ('0.543', '–')
    """
    return "–" if value is None or not math.isfinite(value) else f"{value:.3f}"


def chance(difference: ScoreDifference) -> str:
    """The p of a difference; never printed as zero, and a dash for too few sequences.

    >>> of = ScoreDifference(a="a", b="b", score="x", mean=0.1, low=0.1, high=0.1, p=0.0002, n=6)
    >>> chance(of), chance(of.model_copy(update={"n": 5}))
    ('<0.001', '–')
    """
    if difference.drawn < FEWEST_SEQUENCES:
        return "–"
    p = difference.p
    return "<0.001" if p is not None and p < 0.001 else three(p)


def seconds(value: float) -> str:
    """Seconds, finer when few.

    >>> seconds(3.21), seconds(125.4)
    ('3.2 s', '125 s')
    """
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def bar_percent(value: float | None, full: float) -> float:
    """Length of the bar of a difference, in percent of half the cell; full at ``full``."""
    return 0.0 if value is None else round(min(abs(value) / full, 1.0) * 50, 2)
