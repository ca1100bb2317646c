"""The figure of the page: every arm minus the baseline with its interval, as an SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from tirtrack.evaluation.statistics import ScoreDifference

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 760, 20, 250, 30, 34, 26  # pixels
COLOURS = {"tir": "#1f77b4", "rgb": "#d95f02", "truth": "#666666"}
LEGEND = {"tir": "TIR alone", "rgb": "with RGB", "truth": "true boxes"}
TICK = 0.02


@dataclass(frozen=True)
class Bar:
    """One row of the figure.

    Attributes:
        name: name of the arm.
        sees: most that its training sees, which decides on the colour.
        gain: its difference to the baseline.
    """

    name: str
    sees: str
    gain: ScoreDifference


@dataclass(frozen=True)
class Axis:
    """The axis from ``low`` to ``high``, whole ticks both."""

    low: float
    high: float

    def x(self, value: float) -> str:
        """Where a value lies, pixels."""
        share = (value - self.low) / (self.high - self.low)
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * share:.1f}"


def forest(bars: Sequence[Bar], title: str) -> str:
    """An SVG with a row for each bar: a point with its interval, and a line at zero.

    Args:
        bars: rows, from top to bottom; at least one.
        title: what the axis shows.
    """
    height = TOP + ROW * len(bars) + BOTTOM
    axis = Axis(
        TICK * math.floor(min(0.0, *(bar.gain.low for bar in bars)) / TICK),
        TICK * math.ceil(max(TICK, *(bar.gain.high for bar in bars)) / TICK),
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="20">{escape(title)}</text>',
        *_legend(),
        *_ticks(axis, height),
        *(_row(bar, axis, TOP + ROW * row + ROW // 2) for row, bar in enumerate(bars)),
    ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _ticks(axis: Axis, height: int) -> Iterator[str]:
    for step in range(round((axis.high - axis.low) / TICK) + 1):
        value = axis.low + step * TICK
        is_zero = abs(value) < TICK / 2
        colour, label = ("#000000", "0") if is_zero else ("#dddddd", f"{value:+.2f}")
        yield (
            f'<path d="M{axis.x(value)} {TOP}V{height - BOTTOM}" stroke="{colour}"/>'
            f'<text x="{axis.x(value)}" y="{height - 8}" text-anchor="middle">{label}</text>'
        )


def _row(bar: Bar, axis: Axis, y: int) -> str:
    gain, colour = bar.gain, COLOURS[bar.sees]
    return (
        f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{escape(bar.name)}</text>'
        f'<path d="M{axis.x(gain.low)} {y}H{axis.x(gain.high)}" stroke="{colour}" '
        f'stroke-width="2"/><circle cx="{axis.x(gain.mean)}" cy="{y}" r="4" fill="{colour}"/>'
    )


def _legend() -> Iterator[str]:
    for place, (sees, text) in enumerate(LEGEND.items()):
        x = 450 + 100 * place
        yield (
            f'<circle cx="{x}" cy="16" r="4" fill="{COLOURS[sees]}"/>'
            f'<text x="{x + 8}" y="20">{text}</text>'
        )
