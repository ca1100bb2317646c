"""A comparison as tables on the terminal, for ``evaluate`` and ``score``."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from tirtrack.cli.options import rate
from tirtrack.evaluation.comparison import Comparison, TrackerResult
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.report.verdict import FEWEST_SEQUENCES

PLAIN_WIDTH = 140  # where the output is no terminal: nothing is cut or wrapped for a screen


def print_comparison(comparison: Comparison) -> None:
    """Scores with their second line of visible frames, differences, and what a reader must know."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    console.print(_scores(comparison))
    if comparison.runs:
        console.print(_spreads(comparison))
    if comparison.differences:
        console.print(_differences(comparison))
    console.print(footnote(comparison), markup=False, soft_wrap=True)
    console.print(coordinates(comparison), markup=False, soft_wrap=True)


def _scores(comparison: Comparison) -> Table:
    starts = f", {comparison.starts} starts a sequence" if comparison.starts > 1 else ""
    table = Table(
        title=f"{comparison.dataset}, {comparison.protocol}: "
        f"{comparison.sequences} sequences, {comparison.frames} frames{starts}",
        title_justify="left",
    )
    table.add_column("tracker", overflow="fold")
    for name in [*_headings(comparison), "frames/s", "score AUC, ECE"]:
        table.add_column(name, justify="right")
    for one in comparison.trackers:
        table.add_row(one.name, *_cells(comparison, one.values), _speed(one), _quality(one))
        if one.visible_values:
            visible = _cells(comparison, one.visible_values)
            table.add_row("  visible frames", *visible, style="dim")
    return table


def _headings(comparison: Comparison) -> list[str]:
    return [score.heading(short=True) for score in comparison.scores]


def _cells(comparison: Comparison, values: Mapping[str, float | None]) -> list[str]:
    return [_three(values.get(score.id)) for score in comparison.scores]


def _three(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"


def _speed(one: TrackerResult) -> str:
    return "" if one.fps is None else rate(one.fps)


def _quality(one: TrackerResult) -> str:
    if one.score_quality is None:
        return ""
    numbers = (one.score_quality.roc_auc, one.score_quality.calibration_error)
    return ", ".join(map(_three, numbers))


def _spreads(comparison: Comparison) -> Table:
    table = Table(title="mean and standard deviation over runs", title_justify="left")
    table.add_column("tracker", overflow="fold")
    for name in ["runs", *_headings(comparison)]:
        table.add_column(name, justify="right")
    for one in comparison.runs:
        columns = (_cells(comparison, one.means), _cells(comparison, one.deviations))
        cells = [f"{mean} ± {deviation}" for mean, deviation in zip(*columns, strict=True)]
        table.add_row(one.tracker, str(one.runs), *cells)
    return table


def _differences(comparison: Comparison) -> Table:
    table = Table(
        title=f"differences, 95 % paired bootstrap over {comparison.unit}s", title_justify="left"
    )
    for name in ("a - b", "score"):
        table.add_column(name, overflow="fold")
    for name in ("mean", "interval", "p", "wins/ties/losses"):
        table.add_column(name, justify="right")
    for d in comparison.differences:
        table.add_row(
            f"{d.a} - {d.b}",
            comparison.score(d.score).heading(short=True),
            f"{d.mean:+z.3f}",
            f"{d.low:+.3f} to {d.high:+.3f}",
            _chance(d),
            f"{d.wins}/{d.ties}/{d.losses}",
        )
    if any(one.drawn < FEWEST_SEQUENCES for one in comparison.differences):
        unit = comparison.unit
        table.caption = f"fewer than {FEWEST_SEQUENCES} {unit}s cannot decide; they have no p"
        table.caption_justify = "left"
    return table


def _chance(d: ScoreDifference) -> str:
    if d.drawn < FEWEST_SEQUENCES:
        return "-"
    return "<0.001" if d.p is not None and d.p < 0.001 else _three(d.p)


def footnote(comparison: Comparison) -> str:
    """Absent frames, repaired rows and missing runs, in one line."""
    rule = f" (each counts {comparison.absent_rule})" if comparison.absent_rule else ""
    parts = [
        f"{comparison.absent_frames} frames without a valid annotation{rule}",
        f"{comparison.repaired_rows} result rows repaired",
        f"{len(comparison.missing)} runs missing",
    ]
    return "; ".join(parts)


def coordinates(comparison: Comparison) -> str:
    """From what the coordinates count, and how the annotation was read, in one line."""
    layout = f" (layout {comparison.layout})" if comparison.layout else ""
    others = [
        f"those of {one.name} from {one.base}"
        for one in comparison.trackers
        if one.base != comparison.base
    ]
    base = f"coordinates of annotation and results count from {comparison.base}{layout}"
    return "; ".join([base, *others, *comparison.read_as])
