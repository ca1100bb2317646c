"""How long a default distillation takes on this machine: ``python -m benchmarks.distil_speed``.

The recipe ``mixed`` (200 steps of 16, a pool of 1,000) on the pairs of the demo's world, from a
cache that is empty, so that proposals and features are made anew. Prints seconds by stage.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from pathlib import Path

import tirtrack
from tirtrack.files import write_json
from tirtrack.identity import versions
from tirtrack.synthetic import cached_world


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distil_speed", description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    world = cached_world("demo", workers=os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TIRTRACK_CACHE"] = folder
        run = tirtrack.distill(world / "pairs", "nano-rgb", Path(folder) / "speed.safetensors")
    if run.summary is None:
        raise SystemExit("the distillation left no summary")
    for stage, seconds in run.summary.seconds.items():
        print(f"{stage:12s} {seconds:6.1f} s")
    kept = ("features", "teacher", "training")
    total = sum(run.summary.seconds[stage] for stage in kept)
    print(f"features, teacher's check and 200 steps: {total:.1f} s")
    if options.out:
        facts = {"cores": os.cpu_count(), "machine": platform.machine(), "versions": versions()}
        write_json(options.out, {**facts, "seconds": run.summary.seconds})


if __name__ == "__main__":
    main()
