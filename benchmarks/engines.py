"""The full check of an engine, run before a release: ``python -m benchmarks.engines [WEIGHTS...]``.

At first use an engine is compared with torch on one random patch. This is the longer comparison,
with the reference engine: every box within 0.5 px on 200 rendered frames, half of them grey and
half in colour, and the success on ``synthetic-validation`` within 0.005. Ends with 1 if an engine
is further off or cannot run. The times are those of the trial at first use: processor time of one
search on one thread, all engines in turn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.evidence.parts import ends
from benchmarks.machine import facts
from benchmarks.rendered_clips import GONE, absence_clip
from tirtrack.boxes import Box
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.files import write_json
from tirtrack.trackers.loading import load_tracker
from tirtrack.weights import store
from tirtrack.weights.engine_choice import REFERENCE, checked_graphs, engine_trials
from tirtrack.weights.runtimes import RUNTIMES

MOST_PX = 0.5
MOST_SUCCESS = 0.005
CLIPS = 5  # of 40 frames before the target goes
TINT = np.array([1.0, 0.9, 0.75])
COMMAND = "python -m benchmarks.engines"


def main() -> Iterator[str]:
    """Compare, print a table, write JSON; give a line for each engine that is further off."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("weights", nargs="*", default=["nano-rgb", "nano-tir"])
    parser.add_argument("--dataset", default="synthetic-validation", help="none: boxes alone")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [row for weights in options.weights for row in compared(weights, options)]
    print(f"{'weights':<10} {'engine':<9} {'px':>8} {'success':>8} {'colour ms':>9} {'grey ms':>8}")
    for row in rows:
        success = "" if row["success"] is None else f"{row['success']:8.4f}"
        times = f"{row['colour_ms'] or 0:9.2f} {row['grey_ms'] or 0:8.2f}"
        print(f"{row['weights']:<10} {row['engine']:<9} {row['px']:8.5f} {success:>8} {times}")
    if options.out is not None:
        write_json(options.out, {**facts(COMMAND, None), "rows": rows})
    for row in rows:
        if not row["passed"]:
            yield f"{row['weights']} by {row['engine']}: not within {MOST_PX} px and {MOST_SUCCESS}"


def compared(weights: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each engine, the reference first."""
    path = store.find(weights)
    graphs, *_ = (checked_graphs(path, engine) for engine in RUNTIMES)
    trials = engine_trials(graphs)
    success = {} if options.dataset == "none" else _success(weights, options)
    right = boxes_by(weights, REFERENCE)
    for engine in RUNTIMES:
        worst = float(np.abs(boxes_by(weights, engine) - right).max())
        off = abs(success[engine] - success[REFERENCE]) if success else 0.0
        yield {
            "weights": Path(weights).stem,
            "engine": engine,
            "px": worst,
            "success": success.get(engine),
            "passed": worst <= MOST_PX and off <= MOST_SUCCESS,
            **asdict(trials[engine]),
        }


def boxes_by(weights: str, engine: str) -> np.ndarray:
    """Measured boxes ``[200,4]`` xywh of one engine on the rendered frames, all clips in turn."""
    tracker = load_tracker(weights, engine=engine)
    boxes = []
    for seed in range(CLIPS):
        frames, truth = absence_clip(seed)
        for t in range(GONE.start):
            frame = _tinted(frames[t]) if seed % 2 else frames[t]
            state = tracker.update(frame) if t else tracker.init(frame, Box.of(truth[0]))
            boxes.append(state.measured_box.array())
    return np.array(boxes)


def _tinted(frame: np.ndarray) -> np.ndarray:
    return (frame[..., None] * TINT).astype(np.uint8)


def _success(weights: str, options: argparse.Namespace) -> dict[str, float]:
    """Success by engine."""
    specs = {one: TrackerSpec(one, weights, engine=one) for one in RUNTIMES}
    with TemporaryDirectory() as folder:
        comparison = evaluate(
            list(specs.values()), options.dataset, Path(folder) / "out", workers=options.workers
        )
    score = comparison.primary.id
    return {one.tracker: float(one.values[score] or 0.0) for one in comparison.trackers}


if __name__ == "__main__":
    sys.exit(ends("engines", main))
