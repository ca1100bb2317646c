"""Question 5: whether the gain of ``dimp-lite`` is confirmed on data that is new to it.

    python -m benchmarks.dimp_lite --stage pseudo --out runs/dimp-lite
    python -m benchmarks.evidence.lite --out runs/dimp-lite

Three baselines of three seeds, each trained further by the rows of ``real.yaml``, and all of them
evaluated on ``tir_hard/camel``. A row is compared with the baselines, and with its best control;
runs are averaged in a sequence first, then recordings are drawn. Parts
are kept in ``docs/figures/evidence/lite`` as they end, the answer in ``answer.json`` there.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tirtrack
from benchmarks.command import ROOT, ends
from benchmarks.dimp_lite import baseline_file, make_baseline
from benchmarks.evidence.cached_parts import PartResults, cached_part, run_all
from benchmarks.evidence.plan import BASELINE, UNREGISTERED, Plan, read_plan
from benchmarks.evidence.real_plan import Lite, read_real_plan
from benchmarks.evidence.score_rows import Rows, measured, numbers, over_recordings, sha256_of
from benchmarks.experiments import data
from benchmarks.experiments.rows import STUDIES, Row
from benchmarks.experiments.table import interval, markdown_table
from tirtrack.datasets import open_dataset
from tirtrack.errors import RequestError
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.files import sha256, write_json
from tirtrack.synthetic import cached_world
from tirtrack.synthetic.writing import cached_name

WORLD = "study"
CAMEL = "data/tir_hard/camel"


@dataclass(frozen=True)
class LiteFolders:
    """Where question 5 reads and writes.

    Attributes:
        shared: folder of the shared data.
        out: where baselines, models and evaluations are kept; with ``pseudo/`` of
            ``benchmarks.dimp_lite``.
        figures: folder of the results.
    """

    shared: Path
    out: Path
    figures: Path

    @property
    def answer(self) -> Path:
        """The file of the answer."""
        return self.figures / "answer.json"

    def baseline(self, lite: Lite, seed: int) -> Path:
        """The weights of a baseline."""
        return baseline_file(self.out, lite.baseline, seed)


def row_called(name: str) -> Row:
    """A row of the study ``dimp-lite``.

    Raises:
        ValueError: there is no such row.
    """
    found = {row.name: row for row in STUDIES["dimp-lite"].rows}
    if name not in found:
        raise ValueError(f'no row is called "{name}"; there are {", ".join(found)}')
    return found[name]


def train_baseline(
    lite: Lite, seed: int, place: LiteFolders, kept_sha256: str | None = None
) -> PartResults:
    """The hash of a baseline, which is trained on labelled RGB unless its weights are there.

    Args:
        lite: plan of question 5.
        seed: seed of the baseline.
        place: where question 5 reads and writes.
        kept_sha256: hash of the baseline that kept results are of.

    Raises:
        RequestError: there are no pseudo-boxes to train it on, or kept results are of another one.
    """
    file = place.baseline(lite, seed)
    if not file.is_file():
        check_pseudo(place)
        make_baseline(place.shared, place.out, lite.baseline, seed=seed)
    found = sha256(file)
    if kept_sha256 not in (None, found):
        raise RequestError(
            f"this baseline is {found[:12]}, the kept results are of {str(kept_sha256)[:12]}",
            file,
            f"restore it, or remove the results of seed {seed} in {place.figures}",
        )
    return {"weights_sha256": found}


def check_pseudo(place: LiteFolders) -> None:
    """Refuse to train baselines without pseudo-boxes.

    Raises:
        RequestError: there are none.
    """
    if not (place.out / "pseudo").is_dir():
        raise RequestError(
            "there are no pseudo-boxes",
            place.out / "pseudo",
            f"run python -m benchmarks.dimp_lite --stage pseudo --out {place.out}",
        )


def train_row(name: str, baseline: Path, seed: int, place: LiteFolders) -> Path:
    """The weights of a row that begins with a baseline; resumed where that was stopped."""
    row = row_called(name)
    out = place.out / "models" / f"{slug(name)}-{seed}.safetensors"
    tirtrack.distill(
        data.training_pairs(place.shared, row.pairs, cached_world(WORLD), place.out),
        baseline,
        out,
        recipe=row.recipe,
        changes={**row.changes, **UNREGISTERED},
        held_back=data.held_back_pairs(place.shared),
        licence=data.LICENCES[row.pairs],
        seed=seed,
        resume=True,
    )
    return out


def slug(name: str) -> str:
    """The name of a row as a file name."""
    return name.replace(",", "").replace(" ", "_")


def lite_parts(lite: Lite) -> list[tuple[str, int]]:
    """File name and seed of all parts."""
    return [(slug(name), seed) for name in (BASELINE, *lite.trained()) for seed in lite.seeds]


def part_file(place: LiteFolders, name: str, seed: int) -> Path:
    """The file of a part's results."""
    return place.figures / f"{slug(name)}-{seed}.json"


def part_of_baseline(plan: Plan, lite: Lite, seed: int, place: LiteFolders) -> PartResults:
    """Rows of a baseline on ``camel``, and its hash; it is trained first if need be."""

    def make() -> PartResults:
        train_baseline(lite, seed, place)
        return rows_on_camel(plan, place.baseline(lite, seed), f"{BASELINE}-{seed}", place)

    initial = sha256(place.shared / data.V3)
    made_of = {"trained on": lite.baseline, "seed": seed, "initial_sha256": initial}
    return cached_part(part_file(place, BASELINE, seed), identity_of(plan, made_of), make)


def part_of_row(
    plan: Plan, lite: Lite, name: str, seed: int, place: LiteFolders, *, baseline_sha256: str
) -> PartResults:
    """Rows of a training on ``camel``, from the baseline with that hash."""

    def make() -> PartResults:
        weights = train_row(name, place.baseline(lite, seed), seed, place)
        return rows_on_camel(plan, weights, f"{slug(name)}-{seed}", place)

    row = row_called(name)
    training = {
        "recipe": row.recipe,
        "changes": dict(row.changes),
        "pairs": row.pairs,
        "world": cached_name(WORLD),
    }
    identity = identity_of(plan, {"seed": seed, "sha256": baseline_sha256}, training)
    return cached_part(part_file(place, name, seed), identity, make)


def identity_of(
    plan: Plan, baseline: Mapping[str, Any], training: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a part depends on, but for the code: as JSON values."""
    return {
        "baseline": dict(baseline),
        "row": training and dict(training),
        "protocol": plan.protocol,
        "preset": plan.preset,
    }


def rows_on_camel(plan: Plan, weights: Path, name: str, place: LiteFolders) -> PartResults:
    """Rows of a tracker on ``camel``."""
    spec = TrackerSpec(name, str(weights), plan.preset)
    dataset, out = open_dataset(place.shared / CAMEL), place.out / "evaluations"
    rows = measured(spec, dataset, out, protocol=plan.protocol)
    return {"weights_sha256": sha256_of(spec), "camel": rows}


def row_gains(lite: Lite, parts: Mapping[str, PartResults]) -> PartResults:
    """What is confirmed or refuted, each row against the best of its controls.

    Args:
        lite: rows and seeds.
        parts: results of every row and seed, by ``ROW-SEED``.
    """
    runs = {
        name: [parts[f"{slug(name)}-{seed}"]["camel"] for seed in lite.seeds]
        for name in (BASELINE, *lite.trained())
    }
    success = {name: mean_of(one) for name, one in runs.items()}
    found: dict[str, Any] = {"success": success, "rows": {}}
    for name, controls in lite.rows.items():
        best = max(controls, key=lambda control: success[control])
        over = {
            other: over_recordings(runs[name], runs[other], "success")
            for other in (BASELINE, *controls)
        }
        found["rows"][name] = {
            "gain": gain_of(over[best], lite.refuted_below),
            "best_control": best,
            "over_controls": {control: numbers(over[control]) for control in controls},
            "over_baseline": numbers(over[BASELINE]),
        }
    return found


def mean_of(runs: Sequence[Rows]) -> float:
    """Mean success over runs and sequences."""
    return float(np.mean([row["success"] for rows in runs for row in rows.values()]))


def gain_of(difference: ScoreDifference, refuted_below: float) -> str:
    """Whether a gain over the best control is ``confirmed``, ``refuted`` or ``open``."""
    if difference.low > 0:
        return "confirmed"
    return "refuted" if difference.high < refuted_below else "open"


def run(plan: Plan, lite: Lite, place: LiteFolders, workers: int) -> list[str]:
    """Run the parts that are due, first those of the baselines, and write the answer.

    Returns:
        One line for each part that failed.
    """
    baselines, faults = run_all(
        {
            f"{BASELINE}-{seed}": functools.partial(part_of_baseline, plan, lite, seed, place)
            for seed in lite.seeds
        },
        workers,
    )
    if faults:
        return faults
    hashes = {seed: baselines[f"{BASELINE}-{seed}"]["weights_sha256"] for seed in lite.seeds}
    _, faults = run_all(
        {
            f"weights of {BASELINE}-{seed}": functools.partial(
                train_baseline, lite, seed, place, hashes[seed]
            )
            for seed in seeds_due(lite, place)
        },
        workers,
    )
    if faults:
        return faults
    rows, faults = run_all(
        {
            f"{slug(name)}-{seed}": functools.partial(
                part_of_row, plan, lite, name, seed, place, baseline_sha256=hashes[seed]
            )
            for name in lite.trained()
            for seed in lite.seeds
        },
        workers,
    )
    if not faults:
        found = row_gains(lite, {**baselines, **rows})
        command = "python -m benchmarks.evidence.lite"
        write_json(place.answer, {"command": command, **found})
    return faults


def seeds_due(lite: Lite, place: LiteFolders) -> list[int]:
    """The seeds of which a training has no results, so that their baselines are needed."""
    return [
        seed
        for seed in lite.seeds
        if not all(part_file(place, name, seed).is_file() for name in lite.trained())
    ]


def lite_text(lite: Lite, answer: Mapping[str, Any]) -> str:
    """What is confirmed or refuted: a row for each training in question.

    Args:
        lite: rows and rule.
        answer: what :func:`row_gains` gives.
    """
    controls = list(dict.fromkeys(name for inside in lite.rows.values() for name in inside))
    rows = []
    for name, row in answer["rows"].items():
        over = {BASELINE: row["over_baseline"], **row["over_controls"]}
        shown = [interval(over[one]) if one in over else "" for one in (BASELINE, *controls)]
        success = f"{answer['success'][name]:.3f}"
        rows.append([name, success, *shown, f"{row['gain']}, over `{row['best_control']}`"])
    others = [f"minus `{one}` [95 %]" for one in (BASELINE, *controls)]
    said = (
        "Success on `camel`, mean of the seeds. A gain is confirmed where the interval over the "
        "best control lies above zero, refuted where that interval ends below "
        f"{lite.refuted_below:+.2f}, and open otherwise."
    )
    head = ["training", "success", *others, "the gain is"]
    return f"{said}\n\n{markdown_table(head, rows)}"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence.lite")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "dimp-lite")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs/figures/evidence/lite")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    place = LiteFolders(options.shared, options.out, options.figures)
    return ends("lite", functools.partial(run_and_show, place, options.workers))


def run_and_show(place: LiteFolders, workers: int) -> list[str]:
    """Run what is due and print the answer; one line for each part that failed."""
    data.check_shared(place.shared)
    lite = read_real_plan().lite
    if faults := run(read_plan(), lite, place, workers):
        return faults
    print(lite_text(lite, json.loads(place.answer.read_text(encoding="utf-8"))))
    return []


if __name__ == "__main__":
    sys.exit(main())
