"""Whether the score of a tracker tells right boxes from wrong ones, on sets of labelled TIR.

    python -m benchmarks.score_quality --out docs/figures/score_quality.json

Every sequence of a set is evaluated as ``tirtrack evaluate`` does. A box is right above an overlap
of 0.5. Printed are the area under the ROC curve (the chance that a right frame scores above a wrong
one) and the expected calibration error. The sets of the shared data are for tests: nothing is
fitted here. Boxes of ``drone_dataset`` are too large for a meaningful overlap.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tirtrack
from benchmarks.shipped_weights import ROOT
from tirtrack.files import write_json
from tirtrack.identity import versions

SETS = (
    *("tir_video/m3svd", "tir_video/cptv", "tir_video/ltir", "tir_video/ptb_tir"),
    *("tir_hard/camel", "tir_hard/antiuav"),
)


def quality(weights: str, folder: Path) -> Mapping[str, Any]:
    """Both measures and their frames on one set."""
    with tempfile.TemporaryDirectory() as out:
        (scored,) = tirtrack.evaluate([weights], folder, Path(out) / "run").trackers
    if scored.score_quality is None:
        raise SystemExit(f"{weights} gives no score on {folder}")
    return asdict(scored.score_quality)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.score_quality")
    parser.add_argument("weights", nargs="?", default="nano-tir")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    sets = {}
    print(f"{'set':24} {'frames':>7} {'right':>7} {'AUC':>6} {'ECE':>6}")
    for name in SETS:
        one = sets[name] = quality(given.weights, given.shared / "data" / name)
        area = "-" if one["roc_auc"] is None else f"{one['roc_auc']:.3f}"
        counts = f"{one['frames']:>7} {one['correct']:>7}"
        print(f"{name:24} {counts} {area:>6} {one['calibration_error']:.3f}", flush=True)
    if given.out:
        facts = {"command": parser.prog, "weights": given.weights, "versions": versions()}
        write_json(given.out, {**facts, "sets": sets})


if __name__ == "__main__":
    main()
