"""Trains every row, tracks every test sequence, prints the table.

    python -m benchmarks.experiments --shared ../shared --out runs/experiments

What is finished is kept: a second call goes on where the first one stopped. The table and the
scores of every sequence are written to ``OUT/table.md`` and ``OUT/table.json``, and with
``--figures docs/figures/experiments.json`` to where the checks of the pages look for it.
"""

from __future__ import annotations

import argparse
import functools
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.experiments import data, table
from benchmarks.experiments.rows import EVERYTHING, STUDIES, Row
from benchmarks.experiments.tracking import drop_stale, test_sequences, track_all
from benchmarks.experiments.training import models_of, train_row
from benchmarks.in_parallel import in_parallel
from tirtrack.errors import RequestError, TirtrackError, did_you_mean
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.files import write_json, write_text
from tirtrack.identity import versions


def spec_of(row: Row, model: str, options: argparse.Namespace) -> TrackerSpec:
    """How a model is tracked: by preset ``default`` where the row is not a control of it."""
    if row.recipe is not None:
        weights = str(options.out / "models" / f"{model}.safetensors")
    elif row.weights == "v3":
        weights = str(
            options.shared / "data" / "weights" / "nanotrack" / "nanotrack_v3.safetensors"
        )
    else:
        weights = options.baseline
    return TrackerSpec(model, weights, row.preset)


def run(options: argparse.Namespace) -> None:
    """All stages."""
    data.check_shared(options.shared)
    study = STUDIES[options.study]
    if options.against:
        if options.against not in (known := [row.name for row in study.rows]):
            fix = did_you_mean(options.against, known)
            raise RequestError(f'no row is called "{options.against}"', fix=fix)
        study = replace(study, ours=options.against)
    wanted = {*options.only, study.baseline, study.ours}
    rows = [row for row in study.rows if not options.only or row.name in wanted]
    rows = [row for row in rows if not (options.skip_everything and row.pairs == EVERYTHING)]
    trained = [(row, seed) for row in rows if row.recipe for seed in range(row.seeds)]
    in_parallel(
        [functools.partial(train_row, row, seed, options) for row, seed in trained],
        options.workers,
        "train",
    )
    sequences = test_sequences(options.shared)
    specs = {row.name: [spec_of(row, model, options) for model in models_of(row)] for row in rows}
    for spec in chain.from_iterable(specs.values()):
        drop_stale(options.out, spec)
    longest_first = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
    in_parallel(
        [functools.partial(track_all, options.out, options.shared, index, [
            spec for row in rows if table.seen_by(row, [sequences[index]])
            for spec in specs[row.name]])
         for index in longest_first],
        options.workers,
        "track",
    )  # fmt: skip
    scored = [table.score_row(row, models_of(row), sequences, options.out) for row in rows]
    content: dict[str, Any] = {
        "command": f"python -m benchmarks.experiments --study {options.study}",
        "study": options.study,
        "versions": versions(),
        "protocol": table.PROTOCOL,
        "sequences": len(sequences),
        "frames": sum(map(len, sequences)),
        "weights": {
            spec.name: spec.facts()["sha256"] for spec in chain.from_iterable(specs.values())
        },
        "best_control": table.against_best_control(scored, study),
        "rows": table.table_json(scored, sequences, study),
    }  # fmt: skip
    for path in filter(None, (options.out / "table.json", options.figures)):
        write_json(path, content)
    page = table.markdown(content["rows"], content["best_control"], study.ours)
    write_text(options.out / "table.md", page)
    print(page)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.experiments", description=__doc__)
    root = Path(__file__).resolve().parent.parent.parent
    parser.add_argument("--shared", type=Path, default=root.parent / "shared")
    parser.add_argument("--out", type=Path, default=root / "runs" / "experiments")
    parser.add_argument("--world", type=Path, help="a rendered world; default: the study world")
    parser.add_argument("--study", choices=sorted(STUDIES), default="nano")
    parser.add_argument("--baseline", help="start weights; default: those of the study")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--only", nargs="*", default=[], help="rows by name, beside the baseline and ours"
    )
    parser.add_argument("--against", help="compare every row with this one, not with ours")
    parser.add_argument("--figures", type=Path, help="write the table there as well")
    parser.add_argument("--skip-everything", action="store_true", help="leave out all-pairs rows")
    options = parser.parse_args()
    options.baseline = options.baseline or STUDIES[options.study].start
    try:
        data.check_shared(options.shared)
        if options.world is None:
            from tirtrack.synthetic import cached_world

            options.world = cached_world("study")
        run(options)
    except TirtrackError as error:
        print(f"experiments: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, RequestError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
