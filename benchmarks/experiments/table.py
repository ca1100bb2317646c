"""From tracks to the table: scores a sequence, the primary figure, intervals, and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments.data import RGB_SET, group_of, primary_groups
from benchmarks.experiments.rows import Row
from benchmarks.experiments.tracking import track_file
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.evaluation import protocols
from tirtrack.evaluation.results import read_track
from tirtrack.evaluation.statistics import Difference, Sets

PROTOCOL = "lsotb-tir"
PRIMARY = "norm_precision"  # its score is the area from 0 to 0.5
SCORES = ("norm_precision", "precision", "success")
TIGHT_SETS = ("m3svd", "cptv", "ltir+ptb")  # where success means something
RESAMPLES_SEED = 0

Values = Mapping[str, Mapping[str, np.ndarray]]
"""score -> set -> ``[seeds,n]``."""


@dataclass(frozen=True)
class Scored:
    """A row with its scores a sequence."""

    row: Row
    values: Values

    def mean(self, score: str, group: str) -> float:
        """Mean over seeds and sequences of a set."""
        return float(self.values[score][group].mean())

    def primary(self) -> float:
        """Area of normalised precision, mean of the four set means."""
        return float(np.mean([self.mean(PRIMARY, group) for group in primary_groups()]))


def score_row(
    row: Row, models: Sequence[str], sequences: Sequence[LabelledSequence], out: Path
) -> Scored:
    """Scores of every seed on every sequence."""
    protocol = protocols.get(PROTOCOL)
    collected: dict[str, dict[str, list[list[float]]]] = {score: {} for score in SCORES}
    for sequence in sequences:
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
) -> Difference:
    """``a - b``: seeds averaged in a sequence first, sequences drawn within their set."""
    groups = primary_groups() if groups is None else groups
    of_a = {group: a.values[score][group] for group in groups}
    of_b = {group: b.values[score][group] for group in groups}
    sizes = {group: of_a[group].shape[1] for group in groups}
    return Sets.draw(sizes, np.random.default_rng(RESAMPLES_SEED)).difference(of_a, of_b)


def table_json(
    scored: Sequence[Scored], sequences: Sequence[LabelledSequence]
) -> list[dict[str, Any]]:
    """The table as values, every sequence included."""
    baseline = next(one for one in scored if one.row.name.startswith("nano-rgb"))
    rows = []
    for one in scored:
        per_sequence: dict[str, dict[str, list[float]]] = {}
        position: dict[str, int] = {}
        for sequence in sequences:
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
                    for group in [*primary_groups(), RGB_SET]
                },
                "against_baseline": asdict(compare(one, baseline)),
                "success_against_baseline": asdict(
                    compare(one, baseline, score="success", groups=TIGHT_SETS)
                ),
                "rgb_against_baseline": asdict(compare(one, baseline, groups=[RGB_SET])),
                "sequences": per_sequence,
            }
        )
    return rows


def _by_seed(one: Scored) -> list[float]:
    means = [one.values[PRIMARY][group].mean(axis=1) for group in primary_groups()]
    return [float(value) for value in np.mean(means, axis=0)]


def against_best_control(scored: Sequence[Scored], name: str) -> dict[str, Any]:
    """A row against the control with the highest primary figure, chosen on these very sets.

    Choosing the best of several controls after the fact favours the controls a little: a gain that
    survives it is one.
    """
    ours = next(one for one in scored if one.row.name == name)
    controls = [one for one in scored if one.row.is_control]
    best = max(controls, key=Scored.primary)
    return {"row": name, "control": best.row.name, **asdict(compare(ours, best))}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as a page shows it."""
    groups = primary_groups()
    head = ["row", "seeds", "**primary**", "difference to baseline [95 %]", *groups,
            "success, tight sets: difference", "RGB test", "RGB test: difference"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        name = row["row"]["name"]
        shown = f"*{name}*" if row["row"]["is_control"] else name
        cells = [
            shown,
            str(row["row"]["seeds"]),
            f"{row['primary']:.3f}",
            _interval(row["against_baseline"]),
            *(f"{row['sets'][group][PRIMARY]:.3f}" for group in groups),
            _interval(row["success_against_baseline"]),
            f"{row['sets'][RGB_SET][PRIMARY]:.3f}",
            _interval(row["rgb_against_baseline"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _interval(difference: Mapping[str, Any]) -> str:
    if difference["mean"] == difference["low"] == difference["high"] == 0:
        return "0"
    return f"{difference['mean']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]"
