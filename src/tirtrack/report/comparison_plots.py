"""Figures of an evaluation beside its curves: subsets, wins and losses, failures, own scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tirtrack.evaluation.comparison import SequenceResult, TrackerResult
from tirtrack.report.content import TRACKER_COLOURS, EvaluationSection, Picture
from tirtrack.report.plots import (
    FAINT,
    INK,
    SIZE_INCHES,
    add_legend,
    as_picture,
    legend_label,
    new_axes,
)
from tirtrack.report.verdict import sequence_differences, signed

SHOWN_TRACKERS = len(TRACKER_COLOURS)
SHOWN_CURVES = 12
SHOWN_SEQUENCES = 40
_FEWEST_SPOKES = 3
_WIDE = 9.0


def left_out(section: EvaluationSection, most: int = SHOWN_TRACKERS) -> str:
    """Which trackers such a figure shows; empty if all."""
    others = len(section.trackers) - 1
    return (
        "" if others < most else f"{section.reference} and the best {most - 1} of {others} others"
    )


def subset_plots(section: EvaluationSection) -> tuple[Picture, ...]:
    """The deciding score by subset: a radar of three or more, and bars with intervals."""
    names = [row.name for row in section.subsets]
    values = {
        one.name: [_subset_value(section, one, name) for name in names]
        for one in section.trackers[:SHOWN_TRACKERS]
    }
    if not names:
        return ()
    plots = [_subset_bars(section, names, values)]
    whole = all(np.isfinite(row).all() for row in map(np.asarray, values.values()))
    if len(names) >= _FEWEST_SPOKES and whole and not section.result.primary.unit:
        plots.insert(0, _radar(section, names, values))
    return tuple(plots)


def _subset_value(section: EvaluationSection, tracker: TrackerResult, subset: str) -> float:
    """What the table of subsets shows; NaN where there is no number."""
    primary = section.result.primary.id
    found = section.result.interval(tracker.name, primary, subset)
    if found is not None:
        return found.mean
    cell = tracker.subsets.get(subset)
    value = None if cell is None else cell.values.get(primary)
    return float("nan") if value is None else value


def _titled(section: EvaluationSection, what: str) -> str:
    title = section.result.primary.heading()
    return f"{title[0].upper()}{title[1:]} {what}"


def _radar(
    section: EvaluationSection, names: Sequence[str], values: dict[str, list[float]]
) -> Picture:
    figure = Figure(figsize=(SIZE_INCHES[0] + 0.6, SIZE_INCHES[1] + 0.3), layout="constrained")
    axes: Any = figure.add_subplot(projection="polar")
    title = _titled(section, "by subset")
    axes.set_title(title, loc="left", fontsize=12, color=INK, fontweight="bold", pad=14)
    turns = np.linspace(0, 2 * np.pi, len(names), endpoint=False)
    for name, row in values.items():
        style = "--" if name == section.reference else "-"
        closed = np.append(row, row[0])
        axes.plot(
            np.append(turns, turns[0]), closed, style, color=section.colours[name], label=name
        )
        axes.fill(turns, row, color=section.colours[name], alpha=0.06)
    counts = {row.name: row.sequences for row in section.subsets}
    labels = [f"{_short(name)}\n({counts[name]})" for name in names]
    _, spokes = axes.set_thetagrids(np.degrees(turns), labels)
    for spoke, turn in zip(spokes, turns, strict=True):  # each grows away from the circle
        side = round(float(np.sin(turn)), 6)
        spoke.set_ha("center" if not side else "left" if side > 0 else "right")
    axes.set_theta_offset(np.pi / 2)
    axes.set_theta_direction(-1)
    axes.set_rlabel_position(180.0 / len(names))  # between two spokes
    top = max(float(np.ceil(max(map(max, values.values())) * 10) / 10), 0.1)
    axes.set_ylim(0, top)
    step = 0.2 if top > 0.5 else 0.1
    axes.set_yticks(np.arange(step, top + step / 2, step))
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(color=FAINT, linewidth=0.8)
    axes.spines["polar"].set_visible(False)
    add_legend(figure)
    alt = f"{title}, one spoke a subset; the numbers stand in the table of subsets"
    return as_picture(figure, alt, name="subset_radar", caption=left_out(section))


def _short(name: str, longest: int = 18) -> str:
    name = name or "(no part)"
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _subset_bars(
    section: EvaluationSection, names: Sequence[str], values: dict[str, list[float]]
) -> Picture:
    title = _titled(section, "by subset, 95 % intervals")
    height = 0.7 + len(names) * (0.12 + 0.14 * len(values))
    figure, axes = new_axes(title, section.result.primary.heading(), "", size=(_WIDE, height))
    thick = 0.8 / len(values)
    for k, (name, row) in enumerate(values.items()):
        places = np.arange(len(names)) + (k - (len(values) - 1) / 2) * thick
        axes.barh(places, row, thick, color=section.colours[name], label=name)
        for place, subset in zip(places, names, strict=True):
            found = section.result.interval(name, section.result.primary.id, subset)
            if found is not None:
                axes.plot([found.low, found.high], [place, place], color=INK, linewidth=1.0)
    counts = {row.name: row.sequences for row in section.subsets}
    axes.set_yticks(range(len(names)), [f"{_short(name, 28)} ({counts[name]})" for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0.0)
    add_legend(figure)
    alt = f"{title}; the numbers stand in the table of subsets"
    return as_picture(figure, alt, name="subset_bars", caption=left_out(section))


def win_plots(section: EvaluationSection) -> tuple[Picture, ...]:
    """Differences to the reference in the deciding score, sequence by sequence, in order."""
    primary = section.result.primary
    rows = {
        one.name: np.array(
            sorted(
                sequence_differences(
                    section.result, one.name, section.reference, primary.id
                ).values(),
                key=lambda value: -primary.gain(value),
            )
        )
        for one in section.trackers[1:SHOWN_TRACKERS]
    }
    rows = {name: row for name, row in rows.items() if len(row)}
    if not rows:
        return ()
    title = "Wins and losses by sequence"
    label = f"{primary.heading()}, minus {_short(section.reference)}"
    figure, axes = new_axes(title, "sequences, from the largest gain on", label)
    said = []
    for name, row in rows.items():
        gains = np.array([primary.gain(value) for value in row])
        counts = f"{(gains > 0).sum()} / {(gains == 0).sum()} / {(gains < 0).sum()}"
        said.append(f"{name} {counts}, from {signed(row[0])} to {signed(row[-1])}")
        edges = np.arange(len(row) + 1)
        axes.stairs(
            row, edges, color=section.colours[name], linewidth=2.0, fill=len(rows) == 1,
            label=f"{_short(name, 28)} [{counts}]", baseline=0.0,
        )  # fmt: skip
    axes.axhline(0.0, color=INK, linewidth=1.0)
    axes.set_xlim(0, max(map(len, rows.values())))
    axes.xaxis.get_major_locator().set_params(integer=True)
    add_legend(figure, title="better / equal / worse")
    return (
        as_picture(figure, f"{title}: {'; '.join(said)}", name="wins", caption=left_out(section)),
    )


def failure_plots(section: EvaluationSection) -> tuple[Picture, ...]:
    """A line for each sequence in which any tracker fails, with the stretches off the target."""
    trackers = section.trackers[:SHOWN_TRACKERS]
    by_tracker = {
        one.name: {row.name: row for row in one.sequences if row.failures is not None}
        for one in trackers
    }
    known = {name: row for rows in by_tracker.values() for name, row in rows.items()}
    lost = {
        name: sum(_lost_frames(rows[name]) for rows in by_tracker.values() if name in rows)
        for name in known
    }
    failed = sorted((name for name in known if lost[name]), key=lambda name: -lost[name])
    if not failed:
        return ()
    shown = failed[:SHOWN_SEQUENCES]
    title = "Where trackers are off their targets"
    thick = 0.8 / len(trackers)
    size = (_WIDE, 0.7 + len(shown) * (0.1 + 0.06 * len(trackers)))
    figure, axes = new_axes(title, "frame from the start on", "", size=size)
    for line, name in enumerate(shown):
        axes.broken_barh([(0, known[name].frames)], (line - 0.44, 0.88), color=FAINT, alpha=0.5)
        for k, (tracker, rows) in enumerate(by_tracker.items()):
            spans = rows[name].failures if name in rows else ()
            bars = [(first, end - first) for first, end in spans or ()]
            place = line + (k - (len(trackers) - 1) / 2) * thick - thick / 2
            label = tracker if line == 0 else None
            axes.broken_barh(bars, (place, thick), color=section.colours[tracker], label=label)
    axes.set_yticks(range(len(shown)), [_short(name, 28) for name in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0)
    add_legend(figure)
    count = f"{len(failed)} of {len(known)} sequences have a failure"
    kept = "" if shown == failed else f"; the {len(shown)} with most such frames are shown"
    caption = "; ".join(filter(None, [f"{count}{kept}", left_out(section)]))
    return (as_picture(figure, f"{title}: {count}", name="off_target", caption=caption),)


def _lost_frames(row: SequenceResult) -> int:
    return sum(end - first for first, end in row.failures or ())


def quality_plots(section: EvaluationSection) -> tuple[Picture, ...]:
    """The reliability curve of each tracker's own score."""
    having = {
        one.name: found
        for one in section.trackers[:SHOWN_TRACKERS]
        if (found := section.result.score_quality(one.name)) is not None and found.reliability
    }
    if not having:
        return ()
    title = "Reliability of the trackers' scores"
    figure, axes = new_axes(title, "score", "share of right boxes (overlap > 0.5)")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=2.0)
    said = []
    for name, found in having.items():
        label = legend_label(name, found.calibration_error)
        said.append(label)
        axes.plot(
            [one.score for one in found.reliability],
            [one.correct for one in found.reliability],
            "o--" if name == section.reference else "o-",
            color=section.colours[name],
            markersize=4.0,
            label=label,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    add_legend(figure, title="calibration error")
    return (
        as_picture(
            figure,
            f"{title}, with calibration errors: {', '.join(said)}",
            name="reliability",
            caption=left_out(section),
        ),
    )
