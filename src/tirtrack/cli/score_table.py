"""A comparison as tables on the terminal, for ``evaluate`` and ``score``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tirtrack.cli.options import rate
from tirtrack.evaluation.repeats import Spread, spreads
from tirtrack.evaluation.scoring import Comparison, TrackerScores
from tirtrack.evaluation.statistics import Difference
from tirtrack.report.verdict import FEWEST_SEQUENCES

PLAIN_WIDTH = 140  # where the output is no terminal: nothing is cut or wrapped for a screen

_HEADINGS = {
    "success": "success",
    "precision": "precision",
    "norm_precision": "norm. precision",
    "op50": "overlap > 0.5",
}


def print_comparison(comparison: Comparison) -> None:
    """Scores with their second line of visible frames, differences, and what a reader must know."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    console.print(_scores(comparison))
    if repeats := spreads(comparison.trackers):
        console.print(_spreads(repeats))
    if comparison.differences:
        console.print(_differences(comparison))
    console.print(footnote(comparison), markup=False, soft_wrap=True)
    console.print(coordinates(comparison), markup=False, soft_wrap=True)


def _scores(comparison: Comparison) -> Table:
    frames = sum(map(len, comparison.dataset.sequences))
    table = Table(
        title=f"{comparison.dataset.name}, {comparison.protocol}: "
        f"{len(comparison.dataset.sequences)} sequences, {frames} frames",
        title_justify="left",
    )
    names = list(comparison.trackers[0].scores.values)
    table.add_column("tracker", overflow="fold")
    for name in [*(_HEADINGS.get(name, name) for name in names), "frames/s", "score AUC, ECE"]:
        table.add_column(name, justify="right")
    for one in comparison.trackers:
        row = _row(one.scores.values, names)
        table.add_row(one.runs.name, *row, _speed(one), _quality(one))
        table.add_row("  visible frames", *_row(one.scores.visible_values, names), style="dim")
    return table


def _row(values: Mapping[str, float], names: Sequence[str]) -> list[str]:
    return [f"{values[name]:.3f}" for name in names]


def _speed(one: TrackerScores) -> str:
    return "" if one.speed is None else rate(one.speed.total)


def _quality(one: TrackerScores) -> str:
    if one.quality is None:
        return ""
    numbers = (one.quality.roc_auc, one.quality.calibration_error)
    return ", ".join("-" if number is None else f"{number:.3f}" for number in numbers)


def _spreads(repeats: Sequence[Spread]) -> Table:
    table = Table(title="mean and standard deviation over runs", title_justify="left")
    table.add_column("tracker", overflow="fold")
    for name in ["runs", *(_HEADINGS.get(name, name) for name in repeats[0].means)]:
        table.add_column(name, justify="right")
    for one in repeats:
        cells = [f"{one.means[name]:.3f} ± {one.deviations[name]:.3f}" for name in one.means]
        table.add_row(one.tracker, str(one.runs), *cells)
    return table


def _differences(comparison: Comparison) -> Table:
    table = Table(title="differences, 95 % paired bootstrap over sequences", title_justify="left")
    for name in ("a - b", "score"):
        table.add_column(name, overflow="fold")
    for name in ("mean", "interval", "p", "wins/ties/losses"):
        table.add_column(name, justify="right")
    for one in comparison.differences:
        d = one.difference
        table.add_row(
            f"{one.a} - {one.b}",
            _HEADINGS.get(one.score, one.score),
            f"{d.mean:+z.3f}",
            f"{d.low:+.3f} to {d.high:+.3f}",
            _chance(d),
            f"{d.wins}/{d.ties}/{d.losses}",
        )
    if any(one.difference.n < FEWEST_SEQUENCES for one in comparison.differences):
        table.caption = f"fewer than {FEWEST_SEQUENCES} sequences cannot decide; they have no p"
        table.caption_justify = "left"
    return table


def _chance(d: Difference) -> str:
    if d.n < FEWEST_SEQUENCES:
        return "-"
    return "<0.001" if d.p < 0.001 else f"{d.p:.3f}"


def footnote(comparison: Comparison) -> str:
    """Absent frames, repaired rows and missing runs, in one line."""
    repaired = sum(
        sequence.repaired_rows for one in comparison.trackers for sequence in one.scores.sequences
    )
    parts = [
        f"{comparison.absent_frames} frames without a valid annotation (each counts as a miss of "
        "success and a hit of precision)",
        f"{repaired} result rows repaired",
        f"{len(comparison.missing)} runs missing",
    ]
    return "; ".join(parts)


def coordinates(comparison: Comparison) -> str:
    """From what the coordinates count, and how the annotation was read, in one line."""
    dataset = comparison.dataset
    layout = f" (layout {dataset.layout})" if dataset.layout else ""
    others = [
        f"those of {one.runs.name} from {base}"
        for one in comparison.trackers
        if (base := one.runs.facts.get("base", dataset.file_base)) != dataset.file_base
    ]
    base = f"coordinates of annotation and results count from {dataset.file_base}{layout}"
    return "; ".join([base, *others, *dataset.remarks])
