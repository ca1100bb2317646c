"""From tracks to the table: scores per sequence, the primary figure, intervals, and a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments.data import RGB_SET, group_of, primary_groups
from benchmarks.experiments.rows import Row, Study
from benchmarks.experiments.tracking import track_file
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.evaluation import protocols
from tirtrack.evaluation.results import read_track
from tirtrack.evaluation.statistics import ScoreDifference, Sets

PROTOCOL = "lsotb-tir"
PRIMARY = "norm_precision"  # its score is the area from 0 to 0.5
SCORES = ("norm_precision", "precision", "success")
TIGHT_SETS = ("m3svd", "cptv", "ltir+ptb")  # where success is meaningful
RESAMPLES_SEED = 0
Values = Mapping[str, Mapping[str, np.ndarray]]
"""score -> set -> ``[seeds,n]``."""


@dataclass(frozen=True)
class Scored:
    """A row with its scores per sequence."""

    row: Row
    values: Values

    def mean(self, score: str, group: str) -> float:
        """Mean over seeds and sequences of a set."""
        return float(self.values[score][group].mean())

    def primary(self) -> float:
        """Area of normalised precision, mean of the four set means."""
        return float(np.mean([self.mean(PRIMARY, group) for group in primary_groups()]))


def seen_by(row: Row, sequences: Sequence[LabelledSequence]) -> list[LabelledSequence]:
    """The test sequences that a row is tracked on."""
    return [one for one in sequences if row.sees_rgb or group_of(one) != RGB_SET]


def score_row(
    row: Row, models: Sequence[str], sequences: Sequence[LabelledSequence], out: Path
) -> Scored:
    """Scores of every seed on every sequence."""
    protocol = protocols.get(PROTOCOL)
    collected: dict[str, dict[str, list[list[float]]]] = {score: {} for score in SCORES}
    for sequence in seen_by(row, sequences):
        group = group_of(sequence)
        scored = [
            protocol.score_sequence(
                sequence.name,
                read_track(track_file(out, model, sequence)).boxes,
                sequence.annotation,
            )
            for model in models
        ]
        for score in SCORES:
            collected[score].setdefault(group, []).append([one.values[score] for one in scored])
    values = {
        score: {group: np.array(rows).T for group, rows in groups.items()}
        for score, groups in collected.items()
    }
    return Scored(row, values)


def compare(
    a: Scored, b: Scored, *, score: str = PRIMARY, groups: Sequence[str] | None = None
) -> ScoreDifference:
    """``a - b``: seeds averaged in a sequence first, sequences drawn within their set."""
    groups = primary_groups() if groups is None else groups
    of_a = {group: a.values[score][group] for group in groups}
    of_b = {group: b.values[score][group] for group in groups}
    sizes = {group: of_a[group].shape[1] for group in groups}
    return Sets.draw(sizes, np.random.default_rng(RESAMPLES_SEED)).difference(of_a, of_b)


def _numbers(found: ScoreDifference) -> dict[str, Any]:
    return found.model_dump(exclude_unset=True)


def table_json(
    scored: Sequence[Scored], sequences: Sequence[LabelledSequence], study: Study
) -> list[dict[str, Any]]:
    """The table as values, every sequence included."""
    baseline, ours = _row_called(study.baseline, scored), _row_called(study.ours, scored)
    rows = []
    for one in scored:
        per_sequence: dict[str, dict[str, list[float]]] = {}
        position: dict[str, int] = {}
        for sequence in seen_by(one.row, sequences):
            group = group_of(sequence)
            index = position.get(group, 0)
            position[group] = index + 1
            per_sequence[f"{sequence.subset}/{Path(sequence.name).name}"] = {
                score: [round(float(v), 5) for v in one.values[score][group][:, index]]
                for score in SCORES
            }
        rows.append(
            {
                "row": asdict(one.row),
                "primary": one.primary(),
                "primary_by_seed": _by_seed(one),
                "sets": {
                    group: {score: one.mean(score, group) for score in SCORES}
                    for group in one.values[PRIMARY]
                },
                "against_baseline": _numbers(compare(one, baseline)),
                "ours_against_it": _numbers(compare(ours, one)),
                "success_against_baseline": _numbers(
                    compare(one, baseline, score="success", groups=TIGHT_SETS)
                ),
                "rgb_against_baseline": _numbers(compare(one, baseline, groups=[RGB_SET]))
                if one.row.sees_rgb
                else None,
                "sequences": per_sequence,
            }
        )
    return rows


def _by_seed(one: Scored) -> list[float]:
    means = [one.values[PRIMARY][group].mean(axis=1) for group in primary_groups()]
    return [float(value) for value in np.mean(means, axis=0)]


def against_best_control(scored: Sequence[Scored], study: Study) -> dict[str, Any] | None:
    """Our row against the control with the highest primary figure, chosen on these very sets;
    ``None`` without a control.

    Choosing the best of several controls after the fact favours the controls a little: a gain that
    survives it is real.
    """
    controls = [one for one in scored if one.row.is_control]
    if not controls:
        return None
    best = max(controls, key=Scored.primary)
    return {"control": best.row.name, **_numbers(compare(_row_called(study.ours, scored), best))}


def _row_called(name: str, scored: Sequence[Scored]) -> Scored:
    return next(one for one in scored if one.row.name == name)


def markdown(rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None, ours: str) -> str:
    """The table as a page shows it, and our row against the best control below it."""
    groups = primary_groups()
    head = ["row", "**primary** (of each seed)", "minus baseline [95 %]",
            f"`{ours}` minus it [95 %]", *groups, "success, tight sets: minus baseline",
            "RGB test", "RGB test: minus baseline"]  # fmt: skip
    lines = []
    for row in rows:
        name = row["row"]["name"]
        shown = f"*{name}*" if row["row"]["is_control"] else name
        cells = [
            shown,
            _with_seeds(row),
            interval(row["against_baseline"]),
            interval(row["ours_against_it"]),
            *(f"{row['sets'][group][PRIMARY]:.3f}" for group in groups),
            interval(row["success_against_baseline"]),
            *_rgb_cells(row),
        ]
        lines.append(cells)
    text = markdown_table(head, lines)
    if best is not None:
        text += f"\n`{ours}` minus the best control (`{best['control']}`): {interval(best)}\n"
    return text


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown.

    Args:
        head: names of the columns.
        rows: cells of each row, one for each column.
    """
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join(lines) + "\n"


def _rgb_cells(row: Mapping[str, Any]) -> list[str]:
    if RGB_SET not in row["sets"]:
        return ["not tracked", ""]
    return [f"{row['sets'][RGB_SET][PRIMARY]:.3f}", interval(row["rgb_against_baseline"])]


def _with_seeds(row: Mapping[str, Any]) -> str:
    each = ", ".join(f"{value:.3f}" for value in row["primary_by_seed"])
    return f"{row['primary']:.3f}" + (f" ({each})" if row["row"]["seeds"] > 1 else "")


def interval(difference: Mapping[str, Any]) -> str:
    """A difference with its interval as a table shows it."""
    if difference["mean"] == difference["low"] == difference["high"] == 0:
        return "0"
    return f"{difference['mean']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]"
