"""A comparison as tables on the terminal, for ``evaluate`` and ``score``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tirtrack.cli.options import rate
from tirtrack.evaluation.comparison import RESULT_NAME, Comparison, Spread, TrackerResult
from tirtrack.evaluation.statistics import ScoreDifference, ScoreInterval
from tirtrack.report.verdict import FEWEST_SEQUENCES, interval, no_means, pooled_over_runs
from tirtrack.source_line import counted

PLAIN_WIDTH = 180  # where the output is no terminal: nothing is cut or wrapped for a screen
FEW = 5  # of more trackers each has one row, so that all fit on a screen
SPEED, QUALITY = "frames/s", "score AUC, ECE, F"
CHANCE, SIGNS = "p", "wins/ties/ losses"
_HEADING_WIDTH = 8


def print_comparison(comparison: Comparison, *, pairs: bool = False) -> None:
    """Scores, differences to one tracker, and what a reader must know.

    Up to five trackers have a second line of visible frames and their differences in every score.
    Of more each has one line, the best first, with its difference in the primary score.

    Args:
        comparison: the comparison.
        pairs: whether the differences of all pairs are printed instead.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=PLAIN_WIDTH)
    few = len(comparison.trackers) <= FEW
    console.print(_few_scores(comparison) if few else _many_scores(comparison, console))
    if comparison.runs:
        console.print(_spreads(comparison))
    shown = comparison.differences if pairs else _to_one(comparison) if few else ()
    if shown:
        console.print(_differences(comparison, shown))
    console.print(footnote(comparison), soft_wrap=True)
    console.print(coordinates(comparison), soft_wrap=True)


def _table(comparison: Comparison, title: str, *notes: str) -> Table:
    """A table without columns, with notes and what is missing below it."""
    said = "\n".join(filter(None, [*notes, comparison.missing_line()]))
    return Table(title=title, title_justify="left", caption=said or None, caption_justify="left")


def _titled(comparison: Comparison, *notes: str) -> Table:
    starts = f", {comparison.starts} starts a sequence" if comparison.starts > 1 else ""
    return _table(
        comparison,
        f"{comparison.dataset}, {comparison.protocol}: "
        f"{counted(comparison.sequences, 'sequence')}, "
        f"{counted(comparison.frames, 'frame')}{starts}",
        *notes,
    )


def _few_scores(comparison: Comparison) -> Table:
    table = _titled(comparison)
    table.add_column("tracker", overflow="fold")
    for name in [*_headings(comparison), *_extra_headings(comparison)]:
        table.add_column(name, justify="right")
    for one in comparison.trackers:
        table.add_row(one.name, *_cells(comparison, one.values), *_extra_cells(comparison, one))
        if one.visible_values:
            visible = _cells(comparison, one.visible_values)
            table.add_row("  visible frames", *visible, style="dim")
    return table


def _many_scores(comparison: Comparison, console: Console) -> Table:
    """One line a tracker, the best first, with its difference in the primary score.

    Columns that the screen is too narrow for are left out, the least needed first.
    """
    ranked = sorted(comparison.trackers, key=comparison.rank, reverse=True)
    rows = {one.name: _row(comparison, one) for one in ranked}
    shown = list(next(iter(rows.values())))
    wide = console.options.update(width=PLAIN_WIDTH)
    for left_out in (None, _interval_heading(comparison), SIGNS, QUALITY, SPEED, CHANCE):
        shown = [heading for heading in shown if heading != left_out]
        table = _lines(comparison, rows, shown)
        if console.measure(table, options=wide).maximum <= console.width:
            break
    return table


def _lines(
    comparison: Comparison, rows: Mapping[str, Mapping[str, str]], shown: Sequence[str]
) -> Table:
    """The table of rows by tracker, with some of their columns; numbers are never wrapped."""
    table = _titled(
        comparison,
        f"difference: of {comparison.primary.title} to {comparison.compared_with}, 95 % paired "
        f"bootstrap over {comparison.unit}s; all pairs and scores: {RESULT_NAME}, or tirtrack "
        "score --pairs",
        _too_few(comparison, comparison.differences),
        no_means(comparison),
    )
    table.add_column("tracker", overflow="fold")
    for heading in shown:
        table.add_column(_wrapped(heading), justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(name, *[row[heading] for heading in shown])
    return table


def _row(comparison: Comparison, one: TrackerResult) -> dict[str, str]:
    """The cells of a tracker's line by their headings; later runs have no differences."""
    primary = comparison.primary.id
    row = dict(zip(_headings(comparison), _cells(comparison, one.values), strict=True))
    row |= zip(_extra_headings(comparison), _extra_cells(comparison, one), strict=True)
    own = None if comparison.runs else comparison.interval(one.tracker, primary)
    of_own = {_interval_heading(comparison): _ends(own)}
    found = comparison.difference(one.tracker, comparison.compared_with, primary)
    found = found if one.run == 1 else None
    return {
        **row,
        **(of_own if comparison.primary.is_mean and not comparison.runs else {}),
        "difference": "" if found is None else interval(found),
        CHANCE: "" if found is None else _chance(found),
        SIGNS: "" if found is None else _sign_counts(found),
    }


def _ends(found: ScoreInterval | None) -> str:
    return "" if found is None else f"{found.low:.3f} to {found.high:.3f}"


def _interval_heading(comparison: Comparison) -> str:
    return f"{comparison.primary.heading(short=True)}, 95 %"


def _wrapped(heading: str) -> str:
    """A heading in lines about as narrow as the numbers below it."""
    return "\n".join(textwrap.wrap(heading, _HEADING_WIDTH, break_long_words=False))


def _extra_headings(comparison: Comparison) -> list[str]:
    """Columns of speed and of the score's quality, where any tracker has them."""
    headings = {
        SPEED: any(one.fps is not None for one in comparison.trackers),
        QUALITY: any(one.score_quality is not None for one in comparison.trackers),
    }
    return [heading for heading, known in headings.items() if known]


def _extra_cells(comparison: Comparison, one: TrackerResult) -> list[str]:
    cells = {SPEED: _speed(one), QUALITY: _quality(one)}
    return [cells[heading] for heading in _extra_headings(comparison)]


def _headings(comparison: Comparison) -> list[str]:
    return [score.heading(short=True) for score in comparison.scores]


def _cells(comparison: Comparison, values: Mapping[str, float | None]) -> list[str]:
    return [_three(values.get(score.id)) for score in comparison.scores]


def _three(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"


def _speed(one: TrackerResult) -> str:
    return "" if one.fps is None else rate(one.fps)


def _quality(one: TrackerResult | Spread) -> str:
    quality = one.score_quality
    if quality is None:
        return ""
    f = None if quality.presence is None else quality.presence.f
    return ", ".join(map(_three, (quality.roc_auc, quality.calibration_error, f)))


def _spreads(comparison: Comparison) -> Table:
    table = _table(
        comparison, "mean and standard deviation over runs", pooled_over_runs(comparison)
    )
    primary, heading = comparison.primary, _interval_heading(comparison)
    intervals = {
        one.tracker: comparison.interval(one.tracker, primary.id) for one in comparison.runs
    }
    has_interval = any(one is not None for one in intervals.values())
    has_quality = any(one.score_quality is not None for one in comparison.runs)
    table.add_column("tracker", overflow="fold")
    headings = ["runs", *_headings(comparison), *[heading] * has_interval, *[QUALITY] * has_quality]
    for name in headings:
        table.add_column(name, justify="right")
    for one in comparison.runs:
        columns = (_cells(comparison, one.means), _cells(comparison, one.deviations))
        cells = [f"{mean} ± {deviation}" for mean, deviation in zip(*columns, strict=True)]
        cells += [_ends(intervals[one.tracker])] * has_interval
        cells += [_quality(one)] * has_quality
        table.add_row(one.tracker, str(one.runs), *cells)
    return table


def _to_one(comparison: Comparison) -> list[ScoreDifference]:
    """Every tracker minus the one that all are compared with, score by score."""
    reference = comparison.compared_with
    return [
        found
        for one in comparison.first_runs
        for score in comparison.scores
        if (found := comparison.difference(one.name, reference, score.id)) is not None
    ]


def _differences(comparison: Comparison, shown: Sequence[ScoreDifference]) -> Table:
    table = _table(
        comparison,
        f"differences, 95 % paired bootstrap over {comparison.unit}s",
        _too_few(comparison, shown),
        no_means(comparison),
    )
    for name in ("a - b", "score"):
        table.add_column(name, overflow="fold")
    for name in ("mean", "interval", "p", "wins/ties/losses"):
        table.add_column(name, justify="right", no_wrap=True)
    for d in shown:
        table.add_row(
            f"{d.a} - {d.b}",
            comparison.score(d.score).heading(short=True),
            f"{d.mean:+z.3f}",
            f"{d.low:+.3f} to {d.high:+.3f}",
            _chance(d),
            _sign_counts(d),
        )
    return table


def _too_few(comparison: Comparison, shown: Sequence[ScoreDifference]) -> str:
    if all(one.drawn >= FEWEST_SEQUENCES for one in shown):
        return ""
    return f"fewer than {FEWEST_SEQUENCES} {comparison.unit}s cannot decide; they have no p"


def _sign_counts(d: ScoreDifference) -> str:
    return f"{d.wins}/{d.ties}/{d.losses}"


def _chance(d: ScoreDifference) -> str:
    if d.drawn < FEWEST_SEQUENCES:
        return "-"
    return "<0.001" if d.p is not None and d.p < 0.001 else _three(d.p)


def footnote(comparison: Comparison) -> str:
    """Absent frames, repaired rows and missing runs, in one line."""
    rule = f" (each counts {comparison.absent_rule})" if comparison.absent_rule else ""
    parts = [
        f"{counted(comparison.absent_frames, 'frame')} without a valid annotation{rule}",
        f"{counted(comparison.repaired_rows, 'result row')} repaired",
        f"{counted(len(comparison.missing), 'run')} missing",
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
