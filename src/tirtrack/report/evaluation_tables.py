"""The tables of an evaluation as values: here scores and differences, overall and by subset.

Each is left out where the result has nothing for it. Headings come from the descriptions of the
protocol's scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tirtrack.evaluation.bootstrap import FEWEST_IN_SUBSET
from tirtrack.evaluation.comparison import Comparison, Spread, TrackerResult
from tirtrack.evaluation.protocols.base import ScoreDescription
from tirtrack.evaluation.repeats import averaged
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.report.content import EvaluationSection
from tirtrack.report.published import PublishedRow, published_rows, published_sequences
from tirtrack.report.run_tables import (
    MISSING,
    TRACKER,
    failure_table,
    missing_table,
    score_quality_table,
    sequence_table,
    speed_table,
    tracker_cell,
)
from tirtrack.report.table import INTERVAL, NO_NUMBER, Cell, Column, Table, count, number, three
from tirtrack.report.verdict import FEWEST_SEQUENCES, bounds, no_means, pooled_over_runs, signed

_SIGNS = ("(better)", "(equal)", "(worse)")


def evaluation_tables(section: EvaluationSection) -> tuple[Table, ...]:
    """All tables of an evaluation, in the order of the page."""
    found = [
        _scores(section),
        _runs(section),
        _differences(section),
        _published(section),
        *(_subset(section, score) for score in section.row_scores),
        *(_subset_differences(section, score) for score in section.row_scores),
        _part_differences(section),
        sequence_table(section),
        failure_table(section),
        score_quality_table(section),
        speed_table(section),
        missing_table(section),
    ]
    return tuple(one for one in found if one is not None)


def _score_columns(scores: Sequence[ScoreDescription]) -> tuple[Column, ...]:
    return tuple(Column(one.heading(), parts=INTERVAL) for one in scores)


def _scores(section: EvaluationSection) -> Table:
    scores, rows = section.result.scores, []
    for one in section.trackers:
        found = (section.result.interval(one.name, score.id) for score in scores)
        ends = [(None, None) if each is None else (each.low, each.high) for each in found]
        if section.result.runs:
            ends = [(None, None)] * len(scores)  # the intervals are of the means over runs
        cells = (
            number(one.values.get(score.id), low=low, high=high)
            for score, (low, high) in zip(scores, ends, strict=True)
        )
        rows.append((tracker_cell(section, one.name), Cell("all"), *cells))
        if one.visible_values and section.result.absent_frames:
            visible = (number(one.visible_values.get(score.id)) for score in scores)
            rows.append((tracker_cell(section, one.name), Cell("visible only"), *visible))
    first = ", first run of each tracker" if section.result.runs else ""
    known = "" if first or not section.result.intervals else ", with 95 % bootstrap intervals"
    return Table(
        "scores",
        f"Scores over all sequences{first}{known}",
        (TRACKER, Column("frames", is_text=True), *_score_columns(scores)),
        tuple(rows),
        section.result.missing_line(),
    )


def _runs(section: EvaluationSection) -> Table | None:
    if not section.result.runs:
        return None
    scores = section.result.scores
    rows = tuple(
        (
            tracker_cell(section, one.tracker),
            count(one.runs),
            *(_spread(section.result, one, score.id) for score in scores),
        )
        for one in section.result.runs
    )
    return Table(
        "runs",
        "Mean ± standard deviation over runs with other seeds, with 95 % bootstrap intervals of "
        "the mean; the runs of a sequence are averaged first, for differences too",
        (
            TRACKER,
            Column("runs"),
            *(Column(one.heading(), parts=("", "deviation", "low", "high")) for one in scores),
        ),
        rows,
        section.result.missing_line(),
        (pooled,) if (pooled := pooled_over_runs(section.result)) else (),
    )


def _spread(result: Comparison, one: Spread, score: str) -> Cell:
    mean, deviation = one.means.get(score), one.deviations.get(score)
    found = result.interval(one.tracker, score)
    known = number(mean) if found is None else number(mean, low=found.low, high=found.high)
    low, high = (None, None) if found is None else (found.low, found.high)
    text = f"{three(mean)} ± {three(deviation)}"
    return Cell(text, (mean, deviation, low, high), known.interval)


def _differences(section: EvaluationSection) -> Table | None:
    found, result = section.differences, section.result
    if not found:
        return None
    first = found[0]
    over = f"{first.groups} {result.unit}s, each with all of its sequences"
    said = [f"paired bootstrap over {over if first.groups else f'{result.unit}s'}"]
    said += [f"{first.resamples} resamples"] if first.resamples else []
    said += [f"seed {first.seed}"] if first.seed is not None else []
    rows = tuple(
        (
            tracker_cell(section, one.a),
            Cell(one.b),
            Cell(result.score(one.score).heading()),
            _difference(one),
            Cell(signed(one.median), (one.median,)),
            Cell(sign_counts(one), (one.wins, one.ties, one.losses)),
            Cell(chance(one), (one.p if one.drawn >= FEWEST_SEQUENCES else None,)),
        )
        for one in found
    )
    return Table(
        "differences",
        f"Differences: {', '.join(said)}",
        (
            TRACKER,
            Column("minus", is_text=True),
            Column("score", is_text=True),
            Column("mean [95 % interval]", parts=INTERVAL),
            Column("median"),
            Column("better / equal / worse", parts=_SIGNS),
            Column("p"),
        ),
        rows,
        result.missing_line(),
        (_how_to_read(section, first),),
    )


def _how_to_read(section: EvaluationSection, one: ScoreDifference) -> str:
    unit = section.result.unit
    over = (
        f"Intervals are over {unit}s; sequences of one {unit} are not treated as independent, and "
        "each counts alike in the mean."
        if one.groups
        else "Sequences of one camera are treated as independent, so the intervals are rather too "
        "narrow."
    )
    apart = f" {no_means(section.result)}" if no_means(section.result) else ""
    few = f" Fewer than {FEWEST_SEQUENCES} {unit}s give no p." * (one.drawn < FEWEST_SEQUENCES)
    none = "An interval that holds zero shows no difference; it does not show that there is none."
    return f"{none} {over}{few}{apart}"


def _difference(one: ScoreDifference) -> Cell:
    return Cell(signed(one.mean), (one.mean, one.low, one.high), bounds(one))


def sign_counts(one: ScoreDifference) -> str:
    """Sequences that are better, equal and worse; a dash where they were not counted."""
    return NO_NUMBER if one.wins is None else f"{one.wins} / {one.ties} / {one.losses}"


def chance(difference: ScoreDifference) -> str:
    """The p of a difference; never printed as zero, and a dash for too few sequences.

    >>> of = ScoreDifference(a="a", b="b", score="x", mean=0.1, low=0.1, high=0.1, p=0.0002, n=6)
    >>> chance(of), chance(of.model_copy(update={"n": 5}))
    ('<0.001', '–')
    """
    if difference.drawn < FEWEST_SEQUENCES:
        return NO_NUMBER
    p = difference.p
    return "<0.001" if p is not None and p < 0.001 else three(p)


def why_no_published_rows(section: EvaluationSection) -> str:
    """Why printed scores of this protocol are not shown; empty if they are, or there are none."""
    result = section.result
    if not published_rows(result.protocol) or _published(section) is not None:
        return ""
    here, known = set(result.sequence_names()), published_sequences(result.protocol)
    if len(here) != len(known):
        cause = f"they are of {len(known)} sequences, this evaluation has {len(here)}"
    elif here != known:
        cause = f"they are of {len(known)} sequences of other names"
    elif result.missing:
        cause = "here results are missing"
    else:
        cause = "here each sequence is tracked several times"
    return f"Published scores under {result.protocol} are left out: {cause}."


def _published(section: EvaluationSection) -> Table | None:
    """Printed scores beside ours; only of the same protocol over the same sequences, one pass."""
    result, scores = section.result, section.row_scores
    printed, names = published_rows(result.protocol), result.sequence_names()
    if not printed or result.missing or result.starts > 1:
        return None
    if set(names) != published_sequences(result.protocol):
        return None
    every: list[TrackerResult | PublishedRow] = [*section.trackers, *printed]
    primary = result.primary
    every.sort(key=lambda one: -primary.gain(one.values.get(primary.id) or 0.0))
    return Table(
        "published",
        f"Published scores under {result.protocol} beside those of this evaluation; the published "
        "ones were not measured here",
        (
            TRACKER,
            Column("from", is_text=True),
            Column("sequences", is_text=True),
            *(Column(one.heading()) for one in scores),
        ),
        tuple(
            (
                Cell(one.tracker, colour=section.colours[one.name])
                if isinstance(one, TrackerResult)
                else Cell(one.tracker),
                Cell("this evaluation")
                if isinstance(one, TrackerResult)
                else Cell(f"published: {one.source}"),
                Cell(
                    str(len(names))
                    if isinstance(one, TrackerResult)
                    else str(one.sequences or "as cited")
                ),
                *(number(one.values.get(score.id)) for score in scores),
            )
            for one in every
        ),
    )


def _subset(section: EvaluationSection, score: ScoreDescription) -> Table | None:
    if not section.subsets:
        return None
    result = section.result
    rows = []
    for row in section.subsets:
        cells = []
        for one, cell in zip(section.trackers, row.trackers, strict=True):
            found = result.interval(one.name, score.id, row.name)
            if found is not None:
                cells.append(number(found.mean, low=found.low, high=found.high))
            else:
                cells.append(MISSING if cell is None else number(cell.values.get(score.id)))
        rows.append((Cell(row.name or "(no part)"), count(row.sequences or None), *cells))
    return Table(
        f"subsets_{score.id}",
        f"Subsets by {score.heading()}: parts of the data set and the sequences that have an "
        f"attribute; 95 % bootstrap intervals where there are at least {FEWEST_IN_SUBSET}",
        (
            Column("subset", is_text=True),
            Column("sequences"),
            *(
                Column(one.name, colour=section.colours[one.name], parts=INTERVAL)
                for one in section.trackers
            ),
        ),
        tuple(rows),
        result.missing_line(),
        is_wide=True,
    )


def _subset_differences(section: EvaluationSection, score: ScoreDescription) -> Table | None:
    members = section.result.subset_members()
    if not section.compared or not members:
        return None
    known = {(one.a, one.b, one.subset): one for one in section.subset_differences
             if one.score == score.id}  # fmt: skip
    rows = []
    for pair in section.compared:
        a, b = (averaged(section.result.runs_of(name), score) for name in pair)
        for subset, names in members.items():
            both = b.among(a.among(names).names).names
            found = known.get((*pair, subset))
            mean = a.among(both).mean - b.among(both).mean if both else None
            rows.append(
                (
                    Cell(subset or "(no part)"),
                    tracker_cell(section, pair[0]),
                    Cell(pair[1]),
                    count(len(both)),
                    Cell(signed(mean), (mean,)) if found is None else _difference(found),
                    Cell(NO_NUMBER) if found is None
                    else Cell(sign_counts(found), (found.wins, found.ties, found.losses)),
                )
            )  # fmt: skip
    return Table(
        f"subset_differences_{score.id}",
        f"Differences in {score.heading()}, subset by subset; fewer than {FEWEST_IN_SUBSET} "
        "sequences have no interval",
        (
            Column("subset", is_text=True),
            TRACKER,
            Column("minus", is_text=True),
            Column("sequences"),
            Column("mean [95 % interval]", parts=INTERVAL),
            Column("better / equal / worse", parts=_SIGNS),
        ),
        tuple(rows),
        section.result.missing_line(),
        (
            "Many subsets are many tries: with 20 of them one interval in 20 leaves zero out by "
            "chance. Nothing here corrects for that.",
        ),
    )


def _part_differences(section: EvaluationSection) -> Table | None:
    found = section.part_differences
    if not found:
        return None
    rows = {row.name: row for one in section.trackers for row in one.sequences}
    sizes = Counter(row.subset for row in rows.values())
    said = ", ".join(f"{part or '(no part)'} {size}" for part, size in sorted(sizes.items()))
    return Table(
        "part_differences",
        f"Differences with each sequence drawn from its own part of the data set ({said}), so "
        "that every resample has the same mix of parts (stratified bootstrap)",
        (
            TRACKER,
            Column("minus", is_text=True),
            Column("score", is_text=True),
            Column("mean [95 % interval]", parts=INTERVAL),
            Column("p"),
        ),
        tuple(
            (
                tracker_cell(section, one.a),
                Cell(one.b),
                Cell(section.result.score(one.score).heading()),
                _difference(one),
                Cell(chance(one), (one.p if one.drawn >= FEWEST_SEQUENCES else None,)),
            )
            for one in found
        ),
        section.result.missing_line(),
        (
            "They hold for data of this mix. The verdict rests on the intervals further up, in "
            "which the mix varies too.",
        ),
    )
