"""The full check of an engine, run before a release: ``python -m benchmarks.engines [WEIGHTS...]``.

At first use an engine is compared with torch on one random patch. This is the longer comparison,
with the reference engine: every box within 0.5 px on 200 rendered frames, 120 of them grey and
80 in colour, and the success on ``synthetic-validation`` within 0.005. Engines in int8 are compared
where ``tirtrack weights quantise`` was run; one that failed there has a row and is not used. Ends
with 1 if an engine that may be used is further off or cannot run. The times are those of the trial
at first use: processor time of one search on one thread, all engines in turn; they are printed
only. What the shipped weights' last check found ships beside them: ``--out
src/tirtrack/weights/shipped/engine_check.json``, after ``tirtrack weights quantise`` for each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import ends
from benchmarks.machine import facts
from tirtrack.evaluation.engine_check import CHECKED_ON, boxes_on_clips, success_by
from tirtrack.files import sha256, write_json
from tirtrack.trackers.loading import load_tracker
from tirtrack.weights import int8, store
from tirtrack.weights.engine_choice import REFERENCE, EngineTrial, checked_graphs, engine_trials
from tirtrack.weights.int8 import MOST_PX, MOST_SUCCESS
from tirtrack.weights.runtimes import RUNTIMES, GraphEngineName, runtime_of, runtime_version

COMMAND = "python -m benchmarks.engines"
_WRITTEN = ("weights", "sha256", "engine", "version", "px", "success", "used", "passed")


def main() -> Iterator[str]:
    """Compare, print a table, write JSON; give a line for each engine that is further off."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("weights", nargs="*", default=["nano-rgb", "nano-tir"])
    parser.add_argument("--dataset", default=CHECKED_ON, help="none: boxes alone")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [row for weights in options.weights for row in compared(weights, options)]
    print(
        f"{'weights':<10} {'engine':<13} {'px':>8} {'success':>8} {'colour ms':>9} {'grey ms':>8}"
    )
    for row in rows:
        px, success, colour_ms, grey_ms = (
            "" if row[key] is None else f"{row[key]:.{digits}f}"
            for key, digits in (("px", 5), ("success", 4), ("colour_ms", 2), ("grey_ms", 2))
        )
        unused = "" if row["used"] else "  not used"
        named = f"{row['weights']:<10} {row['engine']:<13}"
        print(f"{named} {px:>8} {success:>8} {colour_ms:>9} {grey_ms:>8}{unused}")
    if options.out is not None:
        found = [{key: row[key] for key in _WRITTEN} for row in rows]
        write_json(options.out, {**facts(COMMAND, None), "rows": found})
    for row in rows:
        if row["used"] and not row["passed"]:
            yield f"{row['weights']} by {row['engine']}: not within {MOST_PX} px and {MOST_SUCCESS}"


def compared(weights: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each engine, the reference first; those in int8 only where graphs were made, and
    of those that are not used what was found as they were made.
    """
    path = store.find(weights)
    graphs, *_ = (checked_graphs(path, engine) for engine in RUNTIMES)
    small = int8.kept(graphs.weights_hash)
    checks = {} if small is None else {one: small.check_here(one) for one in small.checks}
    used = [*RUNTIMES, *(one for one, check in checks.items() if check and check.boxes_pass)]
    trials = engine_trials(graphs)
    success = {}
    if options.dataset != "none":
        success = success_by(weights, used, options.dataset, workers=options.workers)
    modality = store.card_of(path).modality
    boxes = {one: boxes_on_clips(load_tracker(weights, engine=one), modality) for one in used}
    known = {"weights": path.stem, "sha256": sha256(path)}
    for engine in used:
        worst = float(np.abs(boxes[engine] - boxes[REFERENCE]).max())
        off = abs(success[engine] - success[REFERENCE]) if success else 0.0
        found = {"px": worst, "success": success.get(engine), "used": True}
        passed = worst <= MOST_PX and off <= MOST_SUCCESS
        yield {**known, **_engine(engine, trials), **found, "passed": passed}
    for engine, check in checks.items():
        if check and not check.boxes_pass:
            found = {"px": check.px, "success": None, "used": False}
            yield {**known, **_engine(engine, trials), **found, "passed": False}


def _engine(engine: GraphEngineName, trials: Mapping[Any, EngineTrial]) -> dict[str, Any]:
    """An engine, its version, and the times of its trial if it had one."""
    trial = trials.get(engine, EngineTrial(runtime_version(runtime_of(engine))))
    named = {"engine": engine, "version": trial.version}
    return {**named, "colour_ms": trial.colour_ms, "grey_ms": trial.grey_ms}


if __name__ == "__main__":
    sys.exit(ends("engines", main))
