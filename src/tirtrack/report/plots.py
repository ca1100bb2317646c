"""Curves as pictures that are embedded in the page.

Figures are made without ``pyplot``, so nothing of matplotlib's global state is touched, and
without dates, so that the same numbers give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tirtrack.evaluation.comparison import TrackerResult
from tirtrack.evaluation.protocols.base import CurveAxes, ScoreDescription
from tirtrack.report.content import TRACKER_COLOURS, Picture

SIZE_INCHES = (4.4, 3.7)
CSS_PX_PER_INCH = 96
INK = "#222222"
FAINT = "#d9d9d9"
PAPER = "#ffffff"
_COLOURS = (
    f"svg{{--ink:{INK};--faint:{FAINT};--paper:{PAPER}}}"
    "@media screen and (prefers-color-scheme:dark)"
    "{svg{--ink:#e8e8ec;--faint:#45454c;--paper:#17171a}}"
)
_KINDS = {
    "svg": (FigureCanvasSVG, ("Date", "Creator")),
    "pdf": (FigureCanvasPdf, ("CreationDate", "Creator", "Producer")),
}
_STYLES = ("-", "-.", ":")  # of trackers that share a colour
_HANDLE_INCHES, _LETTER_INCHES, _LINE_INCHES = 0.6, 0.08, 0.19  # of a legend in 9 points


def curve_plots(
    scores: Sequence[ScoreDescription],
    trackers: Sequence[TrackerResult],
    colours: Mapping[str, str],
    *,
    caption: str = "",
) -> tuple[Picture, ...]:
    """The plots of the scores that have a curve, as far as the trackers have it.

    Args:
        scores: scores of the protocol.
        trackers: trackers to draw, the one with the dashed curve first.
        colours: colours by name of the tracker.
        caption: a line below each plot, or empty.
    """
    plots = []
    for score in scores:
        having = [one for one in trackers if len(one.curves.get(score.id, [])) > 1]
        if score.curve is not None and having:
            plots.append(
                _curve_plot(
                    score, score.curve, having, colours, dashed=trackers[0].name, caption=caption
                )
            )
    return tuple(plots)


def _curve_plot(
    score: ScoreDescription,
    curve: CurveAxes,
    trackers: Sequence[TrackerResult],
    colours: Mapping[str, str],
    *,
    dashed: str,
    caption: str,
) -> Picture:
    title = score.title[0].upper() + score.title[1:]
    figure, axes = new_axes(title, curve.x_label, curve.y_label)
    ranked = sorted(trackers, key=lambda one: -score.gain(one.values.get(score.id) or 0.0))
    for one in ranked:
        points = np.asarray(one.curves[score.id], dtype=np.float64)
        label = legend_label(one.name, one.values.get(score.id))
        before = trackers[: trackers.index(one)]
        again = sum(colours[other.name] == colours[one.name] for other in before)
        style = "--" if one.name == dashed else _STYLES[again % len(_STYLES)]
        x = np.linspace(0.0, curve.x_end, len(points))
        axes.plot(x, points, style, color=colours[one.name], linewidth=2.0, label=label)
    axes.set_xlim(0.0, curve.x_end)
    axes.set_ylim(0.0, 1.0)
    add_legend(figure, title=curve.reading)
    numbers = ", ".join(legend_label(one.name, one.values.get(score.id)) for one in ranked)
    return as_picture(figure, f"{title} plot: {numbers}", name=f"curve_{score.id}", caption=caption)


def legend_label(name: str, score: float | None) -> str:
    """Name and score as the toolkits print them.

    >>> legend_label("nano-rgb", 0.54321)
    'nano-rgb [0.543]'
    """
    short = name if len(name) <= 28 else f"{name[:12]}…{name[-15:]}"
    return short if score is None else f"{short} [{score:.3f}]"


def loss_plot(
    steps: Sequence[int], losses: Sequence[float], terms: Mapping[str, Sequence[float | None]]
) -> Picture:
    """The loss by step: faint as logged, strong as a running mean, one line per term.

    Args:
        steps: the step of each row of the log.
        losses: the loss of each row.
        terms: values of each term by its name, one per row, ``None`` where it was not drawn.
    """
    figure, axes = new_axes("Loss", "step", "loss")
    _smoothed(axes, np.asarray(steps), np.asarray(losses, dtype=np.float64), INK, "loss")
    if len(terms) > 1:
        for k, (name, values) in enumerate(terms.items()):
            points = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
            _smoothed(
                axes, np.asarray(steps), points, TRACKER_COLOURS[k % len(TRACKER_COLOURS)], name
            )
    axes.set_xlim(steps[0], max(steps[-1], steps[0] + 1))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylim(bottom=0.0)
    add_legend(figure)
    ends = f"from {losses[0]:.3f} at step {steps[0]} to {losses[-1]:.3f} at step {steps[-1]}"
    return as_picture(figure, f"Loss by step, {ends}", name="loss")


def held_back_plot(
    steps: Sequence[int], numbers: Mapping[str, Sequence[float]], *, y_label: str
) -> Picture:
    """Validation of the student on held-back pairs during training, one line per number.

    Args:
        steps: training steps before each validation.
        numbers: values of each number by its label, one per validation.
        y_label: label of the y axis.
    """
    figure, axes = new_axes("Held back", "steps done", y_label)
    for k, (name, values) in enumerate(numbers.items()):
        colour = TRACKER_COLOURS[k % len(TRACKER_COLOURS)]
        axes.plot(
            steps,
            values,
            "o-",
            color=colour,
            linewidth=2.0,
            markersize=4.0,
            label=name,
            clip_on=False,
            zorder=3,
        )
    axes.set_xlim(0, max(steps[-1], 1))
    axes.xaxis.get_major_locator().set_params(integer=True)
    add_legend(figure)
    ends = "; ".join(f"{name} {one[0]:.3f} to {one[-1]:.3f}" for name, one in numbers.items())
    alt = f"Held back, from step {steps[0]} to {steps[-1]}: {ends}"
    return as_picture(figure, alt, name=f"held_back_{next(iter(y_label.split()))}")


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of the last ``width`` finite values at each place; NaN before the first.

    Args:
        values: values ``[n]``, NaN where there is none.
        width: number of values to average, at least 1.
    """
    known = np.isfinite(values)
    sums = np.cumsum(np.where(known, values, 0.0))
    counts = np.cumsum(known)
    sums[width:] = sums[width:] - sums[:-width].copy()
    counts[width:] = counts[width:] - counts[:-width].copy()
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _smoothed(axes: Any, steps: np.ndarray, values: np.ndarray, colour: str, label: str) -> None:
    axes.plot(steps, values, color=colour, alpha=0.25, linewidth=1.0)
    width = max(len(values) // 20, 1)
    axes.plot(steps, running_mean(values, width), color=colour, linewidth=2.0, label=label)


def new_axes(
    title: str, x_label: str, y_label: str, *, size: tuple[float, float] = SIZE_INCHES
) -> tuple[Figure, Any]:
    """A figure and its axes, in the manner of all figures of a page; size in inches."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, color=INK, fontweight="bold")
    axes.set_xlabel(x_label, fontsize=10, color=INK)
    axes.set_ylabel(y_label, fontsize=10, color=INK)
    axes.tick_params(labelsize=9, colors=INK, length=0)
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    return figure, axes


def add_legend(figure: Figure, *, title: str = "") -> None:
    """A legend below all else in a figure, which grows by it, so that it hides nothing."""
    _, labels = figure.axes[0].get_legend_handles_labels()
    width = _HANDLE_INCHES + _LETTER_INCHES * max(map(len, labels))
    columns = min(max(int(figure.get_figwidth() / width), 1), len(labels))
    lines = -(-len(labels) // columns) + bool(title)
    figure.set_figheight(figure.get_figheight() + _LINE_INCHES * lines)
    legend = figure.legend(
        loc="outside lower center",
        ncols=columns,
        title=title,
        fontsize=9,
        title_fontsize=9,
        alignment="left",
        edgecolor="none",
        facecolor=PAPER,
        labelcolor=INK,
    )
    legend.get_title().set_color(INK)


def as_picture(figure: Figure, alt: str, *, name: str, caption: str = "") -> Picture:
    """The figure as an SVG that is light or dark as the page is."""
    text = drawn(figure, "svg").decode("utf-8")
    for plain, colour in ((INK, "ink"), (FAINT, "faint"), (PAPER, "paper")):
        text = text.replace(plain, f"var(--{colour})")
    root = text.index(">", text.index("<svg")) + 1
    width, height = (round(float(side) * CSS_PX_PER_INCH) for side in figure.get_size_inches())
    content = f"{text[:root]}<style>{_COLOURS}</style>{text[root:]}".encode()
    return Picture(content, "svg+xml", alt, width, height, caption, name, figure)


def drawn(figure: Figure, kind: str) -> bytes:
    """The figure as a file of that kind, ``svg`` or ``pdf``: dark on white, for paper.

    It holds no date, and the same numbers give the same bytes.
    """
    canvas, dates = _KINDS[kind]
    canvas(figure)
    buffer = io.BytesIO()
    settings: Any = {"svg.hashsalt": "tirtrack", "svg.fonttype": "path", "pdf.fonttype": 42}
    with mpl.rc_context(settings):
        figure.savefig(buffer, format=kind, metadata=dict.fromkeys(dates))
    return buffer.getvalue()
