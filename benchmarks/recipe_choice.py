"""The recipes on the sequences that the default was chosen by.

    python -m benchmarks.recipe_choice --models runs/experiments/models \
        --out docs/figures/recipe_choice.json

The first seed of every recipe below, as ``python -m benchmarks.experiments`` trains it, beside
``nano-rgb`` on the validation split of the study world, which may be tuned on.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.compared import comparison_figures
from benchmarks.experiments.table import PROTOCOL
from benchmarks.shipped_weights import ROOT
from tirtrack.cli.progress_line import progress
from tirtrack.datasets import open_dataset
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.files import write_json
from tirtrack.synthetic import cached_world

BASELINE = "nano-rgb"
RECIPES = ("mixed", "published", "distill", "control_rgb_only", "tir_only")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe_choice", description=__doc__)
    parser.add_argument("--models", type=Path, default=ROOT / "runs" / "experiments" / "models")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    trained = [TrackerSpec(name, str(options.models / f"{name}-0.safetensors")) for name in RECIPES]
    with tempfile.TemporaryDirectory() as folder, progress() as live:
        evaluate(
            [TrackerSpec.of(BASELINE), *trained],
            open_dataset(cached_world("study", workers=options.workers) / "validation"),
            Path(folder) / "run",
            protocol=PROTOCOL,
            workers=options.workers,
            progress=live,
        )
        figures = comparison_figures(Path(folder) / "run")
    against = [one for one in figures["differences"] if one["b"] == BASELINE]
    for name, values in figures["values"].items():
        means = "  ".join(f"{score} {value:.3f}" for score, value in values.items())
        print(f"{name:10} {means}")
    for one in against:
        interval = f"{one['mean']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
        print(f"{one['a']} minus {BASELINE}, {one['score']}: {interval}")
    if options.out:
        write_json(options.out, {"command": parser.prog, **figures, "differences": against})


if __name__ == "__main__":
    main()
