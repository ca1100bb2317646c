"""The figure of the page: every arm minus the baseline with its interval, as an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from tirtrack.evaluation.statistics import ScoreDifference

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 760, 20, 250, 20, 34, 26  # pixels
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


def forest(bars: Sequence[Bar], axis: str) -> str:
    """An SVG with a row for each bar: a point with its interval, and a line at zero.

    Args:
        bars: rows, from top to bottom; at least one.
        axis: what the axis shows.
    """
    low = TICK * np.floor(min(0.0, *(bar.gain.low for bar in bars)) / TICK)
    high = TICK * np.ceil(max(TICK, *(bar.gain.high for bar in bars)) / TICK)
    height = TOP + ROW * len(bars) + BOTTOM

    def x(value: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low):.1f}"

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{escape(axis)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *_legend(axis),
    ]
    for step in range(round((high - low) / TICK) + 1):
        value = low + step * TICK
        colour = "#000000" if abs(value) < TICK / 2 else "#dddddd"
        lines.append(
            f'<path d="M{x(value)} {TOP}V{height - BOTTOM}" stroke="{colour}"/>'
            f'<text x="{x(value)}" y="{height - 8}" text-anchor="middle">{value:+.2f}</text>'
        )
    for row, bar in enumerate(bars):
        y, colour = TOP + ROW * row + ROW // 2, COLOURS[bar.sees]
        lines.append(
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{escape(bar.name)}</text>'
            f'<path d="M{x(bar.gain.low)} {y}H{x(bar.gain.high)}" stroke="{colour}" '
            f'stroke-width="2"/><circle cx="{x(bar.gain.mean)}" cy="{y}" r="4" fill="{colour}"/>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _legend(axis: str) -> list[str]:
    lines = [f'<text x="8" y="20">{escape(axis)}</text>']
    for place, (sees, text) in enumerate(LEGEND.items()):
        x = 450 + 100 * place
        lines.append(
            f'<circle cx="{x}" cy="16" r="4" fill="{COLOURS[sees]}"/>'
            f'<text x="{x + 8}" y="20">{text}</text>'
        )
    return lines
