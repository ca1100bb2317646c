"""Tables of an evaluation's runs: sequences, failures, the trackers' own scores, speed."""

from __future__ import annotations

from collections.abc import Sequence

from tirtrack.evaluation.comparison import SequenceResult
from tirtrack.evaluation.failures import (
    FEWEST_FRAMES,
    LOST_OVERLAP,
    SURVIVAL_AT,
    restricted_mean,
    survival,
)
from tirtrack.evaluation.protocols.base import ScoreDescription
from tirtrack.report.content import EvaluationSection
from tirtrack.report.table import NO_NUMBER, Cell, Column, Table, count, number
from tirtrack.report.verdict import sequence_differences, signed

MISSING = Cell("missing", (None,))
TRACKER = Column("tracker", is_text=True)
_FULL_BAR = 0.5  # difference whose bar is full; the largest one where the score has a unit


def tracker_cell(section: EvaluationSection, name: str) -> Cell:
    """A tracker's name with its colour."""
    return Cell(name, colour=section.colours.get(name, ""))


def sequence_table(section: EvaluationSection) -> Table:
    """Every sequence: its scores, and the differences to the reference."""
    result, rows = section.result, section.rows
    has_subset = len({row.subset for row in rows}) > 1
    has_attributes = any(_attributes(row.trackers) for row in rows)
    others = section.trackers[1:]
    changes = {
        one.name: sequence_differences(result, one.name, section.reference, result.primary.id)
        for one in others
    }
    full = _FULL_BAR
    if result.primary.unit:
        full = max((abs(v) for row in changes.values() for v in row.values()), default=0.0) or 1.0
    columns = [Column("sequence", is_text=True)]
    columns += [Column("subset", is_text=True)] * has_subset
    columns += [Column("attributes", is_text=True)] * has_attributes
    columns += [Column("frames"), Column("absent")]
    columns += [
        Column(score.heading(short=True), one.name, section.colours[one.name])
        for one in section.trackers
        for score in section.row_scores
    ]
    columns += [
        Column(f"{one.name} minus {section.reference}", result.primary.heading()) for one in others
    ]
    filled = []
    for row in rows:
        cells = [Cell(row.name)]
        cells += [Cell(row.subset)] * has_subset
        cells += [Cell(", ".join(_attributes(row.trackers)))] * has_attributes
        cells += [count(row.frames), count(row.absent)]
        for one in row.trackers:
            cells += [
                MISSING if one is None else number(one.values.get(score.id))
                for score in section.row_scores
            ]
        cells += [_change(result.primary, changes[one.name].get(row.name), full) for one in others]
        filled.append(tuple(cells))
    return Table(
        "sequences",
        "Every sequence" + (f", the largest gain of {others[0].name} first" if others else ""),
        tuple(columns),
        tuple(filled),
        result.missing_line(),
        is_wide=True,
    )


def _attributes(trackers: Sequence[SequenceResult | None]) -> tuple[str, ...]:
    return next((one.attributes for one in trackers if one is not None), ())


def _change(score: ScoreDescription, difference: float | None, full: float) -> Cell:
    if difference is None:
        return Cell(NO_NUMBER, (None,))
    bar = max(-1.0, min(score.gain(difference) / full, 1.0))
    return Cell(signed(difference), (difference,), bar=bar)


def failure_table(section: EvaluationSection) -> Table | None:
    """How long trackers stay on their targets; ``None`` where failures are not known."""
    rows = []
    for one in section.trackers:
        known = [row for row in one.sequences if row.failures is not None]
        if not known:
            continue
        failed = [bool(row.failures) for row in known]
        times = [row.failures[0][0] if row.failures else row.frames for row in known]
        through = survival(times, failed)
        mean = restricted_mean(times, failed)
        rows.append(
            (
                tracker_cell(section, one.name),
                count(len(failed)),
                count(sum(failed)),
                *(number(share) for share in through),
                Cell(NO_NUMBER if mean is None else f"{mean:.0f}", (mean,)),
            )
        )
    if not rows:
        return None
    return Table(
        "off_target",
        "Share of sequences without a failure after a number of frames (Kaplan-Meier); a failure "
        f"is {FEWEST_FRAMES} annotated frames or more in a row with an overlap of at most "
        f"{LOST_OVERLAP}",
        (
            TRACKER,
            Column("sequences"),
            Column("with a failure"),
            *(Column(f"after {frames}") for frames in SURVIVAL_AT),
            Column(f"mean frames, of {SURVIVAL_AT[-1]}"),
        ),
        tuple(rows),
        section.result.missing_line(),
        ("A dash stands where no sequence is long enough to tell.",),
    )


def score_quality_table(section: EvaluationSection) -> Table | None:
    """What the trackers' own scores say; ``None`` where no tracker has any."""
    rows = []
    for one in section.trackers:
        found = section.result.score_quality(one.name)
        if found is None:
            continue
        best = found.presence
        numbers = [found.roc_auc, found.lost_auc, found.calibration_error]
        numbers += (
            [None] * 4 if best is None else [best.f, best.precision, best.recall, best.threshold]
        )
        rows.append(
            (
                tracker_cell(section, one.name),
                count(found.frames),
                *(number(value) for value in numbers),
            )
        )
    if not rows:
        return None
    over = "; frames of all runs" if section.result.runs else ""
    return Table(
        "score_quality",
        "What each tracker's own score says: AUC of right boxes (overlap above 0.5) against wrong "
        "ones and of boxes that touch the target against lost ones, expected calibration error, "
        f"and the largest F over thresholds below which no box is reported{over}",
        (
            TRACKER,
            Column("frames"),
            Column("AUC right"),
            Column("AUC not lost"),
            Column("ECE (less is better)"),
            Column("presence F"),
            Column("its precision"),
            Column("its recall"),
            Column("at score"),
        ),
        tuple(rows),
        section.result.missing_line(),
    )


def speed_table(section: EvaluationSection) -> Table | None:
    """Frames a second, averaged in three ways; ``None`` where times are unknown."""
    rows = tuple(
        (
            tracker_cell(section, one.name),
            Cell(one.engine or NO_NUMBER),
            *(
                Cell(_rate(value), (value,))
                for value in (
                    one.fps,
                    *((None, None) if one.speed is None else (one.speed.sequence, one.speed.frame)),
                )
            ),
        )
        for one in section.trackers
        if one.fps
    )
    if not rows:
        return None
    busy = (
        "Frames/s are of this run, one tracker after the other on a machine that may have been "
        "busy; compare speeds on a machine that does nothing else."
    )
    return Table(
        "speed",
        "Frames a second: all frames over all seconds, mean over sequences, mean over frames",
        (
            TRACKER,
            Column("engine", is_text=True),
            Column("frames/s"),
            Column("by sequence"),
            Column("by frame"),
        ),
        rows,
        section.result.missing_line(),
        (busy,) * (len(rows) > 1),
    )


def _rate(value: float | None) -> str:
    if not value:
        return NO_NUMBER
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def missing_table(section: EvaluationSection) -> Table | None:
    """The results that are missing; ``None`` if none is."""
    if not section.result.missing:
        return None
    return Table(
        "missing",
        "Results that are missing, and why",
        tuple(Column(title, is_text=True) for title in ("tracker", "sequence", "reason")),
        tuple(
            (Cell(one.tracker), Cell(one.sequence), Cell(one.reason))
            for one in section.result.missing
        ),
    )
