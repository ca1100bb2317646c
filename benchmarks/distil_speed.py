"""How long a default distillation takes on this machine: ``python -m benchmarks.distil_speed``.

The recipe ``mixed`` (200 steps of 16, a pool of 1,000) on the pairs of the demo's world, from a
cache that is empty, so that proposals and features are made anew. Prints seconds by stage, by the
clock, and the processor time of all processes; refuses to while other processes work.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import tirtrack
from benchmarks import machine
from benchmarks.command import ends
from benchmarks.demo import processor_seconds
from benchmarks.evidence.plan import UNREGISTERED
from tirtrack.files import write_json
from tirtrack.synthetic import cached_world

COMMAND = "python -m benchmarks.distil_speed"


def main() -> Iterable[str]:
    """The command."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--out", type=Path)
    machine.add_watch_option(parser)
    options = parser.parse_args()
    world = cached_world("demo", workers=os.cpu_count() or 1)
    watch, before = machine.Watch(assume_idle=options.assume_idle), processor_seconds()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TIRTRACK_CACHE"] = folder
        out = Path(folder) / "speed.safetensors"
        run = tirtrack.distill(world / "pairs", "nano-rgb", out, changes=UNREGISTERED)
    others = watch.check()
    if run.summary is None:
        return ("the distillation left no summary",)
    seconds = {**run.summary.seconds, "processor": processor_seconds() - before}
    for stage, spent in seconds.items():
        print(f"{stage:12s} {spent:6.1f} s")
    kept = ("features", "teacher", "training")
    total = sum(seconds[stage] for stage in kept)
    print(f"features, teacher's check and 200 steps: {total:.1f} s")
    if options.out:
        write_json(options.out, {**machine.facts(COMMAND, others), "seconds": seconds})
    return ()


if __name__ == "__main__":
    sys.exit(ends("distil_speed", main))
