"""What the demo gains and what it costs: ``python -m benchmarks.demo``.

    OMP_NUM_THREADS=1 python -m benchmarks.demo --out docs/figures/demo.json

Runs what ``tirtrack demo`` runs, in a cache of its own, so that rendering the world counts. The
last digits of a training depend on the number of threads of torch, so that number is in the file;
``OMP_NUM_THREADS=1`` sets it to one. Beside the duration stands the processor time of all
processes, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.compared import comparison_figures
from tirtrack.cli.progress_line import progress
from tirtrack.demo import run_demo
from tirtrack.evaluation.comparison import EVALUATION_FOLDER, read_result
from tirtrack.files import write_json


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, progress() as live:
        os.environ["TIRTRACK_CACHE"] = str(Path(folder) / "cache")
        run_demo(Path(folder) / "demo", workers=2, progress=live)
        evaluated = Path(folder) / "demo" / EVALUATION_FOLDER
        figures, primary = comparison_figures(evaluated), read_result(evaluated).primary
    spent = {"seconds": time.perf_counter() - began, "processor_seconds": processor_seconds()}
    for name, values in figures["values"].items():
        print(f"{name:12} {primary.title} {values[primary.id]:.3f}")
    for one in figures["differences"]:
        interval = f"{one['mean']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
        print(f"{one['a']} minus {one['b']}, {one['score']}: {interval}")
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"threads: {torch.get_num_threads()}; memory at most: {peak_gb:.2f} GB")
    print(", ".join(f"{name}: {value:.0f}" for name, value in spent.items()))
    if options.out:
        facts = {"command": parser.prog, "threads": torch.get_num_threads(), "memory_gb": peak_gb}
        write_json(options.out, {**facts, **spent, **figures})


def processor_seconds() -> float:
    """Processor time of this process and of its finished workers."""
    each = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in each)


if __name__ == "__main__":
    main()
