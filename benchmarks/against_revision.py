"""Speed of trackers beside that of another revision, in one run.

    git worktree add ../before REVISION
    python -m benchmarks.against_revision ../before/src [NETWORK ...]
        [--engine onnx] [--threads 1 2] [--out speed.json]

Each revision has a process of its own, and the two take turns, a round of frames each. Networks,
frames and times are those of ``benchmarks.track_speed``; both get the same weights. The ratio says
how many times as fast this revision is. ``--engine`` is that of this revision, the other one takes
its default. Threads that wait for each other use processor time as well: with more than one, read
the time by the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.command import ROOT, ends
from benchmarks.interleaved import BothClocks, Pace, Times, milliseconds, ratio, table
from benchmarks.track_speed import ALWAYS_FOUND, FRAMES_A_ROUND, Network, network_of
from tirtrack.files import write_json

NETWORKS = ("nano-rgb", "dimp-lite", "dimp18", "prdimp18", "atom18")
COMMAND = "python -m benchmarks.against_revision"


@dataclass(frozen=True)
class Side:
    """One of the two: the package's folder, and the engine, ``None`` for the default."""

    source: Path
    engine: str | None

    def process(self, network: Network, threads: int, steps: int) -> subprocess.Popen[str]:
        """A process that tracks a round of frames for every line that it is sent."""
        given = {
            "weights": network.weights,
            "engine": self.engine,
            "threads": threads,
            "overrides": ALWAYS_FOUND if network.is_random else {},
            "steps": steps,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.one_revision", json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(self.source.resolve()), str(ROOT)]),
                "OMP_NUM_THREADS": str(threads),
            },
        )


@dataclass(frozen=True)
class Compared:
    """Times of the other revision and of this one, and how far their boxes lie apart.

    Attributes:
        times: times of the other revision, then of this one.
        difference_px: largest difference of the boxes' numbers after a round, pixels.
    """

    times: tuple[Times, Times]
    difference_px: float

    def figures(self) -> list[BothClocks]:
        """Milliseconds of the other revision, of this one, and how many times as fast this is."""
        other, this = self.times
        return [milliseconds(other), milliseconds(this), ratio(other, this)]


def compared(network: Network, sides: Sequence[Side], threads: int, pace: Pace) -> Compared:
    """Let two revisions take turns.

    Args:
        network: weights of both.
        sides: the other revision, then this one.
        threads: threads of each.
        pace: number of rounds; the first one more is not counted.

    Raises:
        RuntimeError: a process ended early; its reason stands on stderr.
    """
    with ExitStack() as stack:
        both = [stack.enter_context(side.process(network, threads, pace.steps)) for side in sides]
        rounds = [[_turn(one) for one in both] for _ in range(pace.rounds + 1)][1:]
        for one in both:
            one.communicate()
    ms = np.array([[side["ms"] for side in one] for one in rounds])  # [rounds,2,2 clocks]
    boxes = np.array([[side["box"] for side in one] for one in rounds])
    other, this = (Times(*ms[:, side].T) for side in range(2))
    return Compared((other, this), float(np.abs(boxes[:, 0] - boxes[:, 1]).max()))


def _turn(one: subprocess.Popen[str]) -> dict[str, Any]:
    if one.stdin is None or one.stdout is None:
        raise RuntimeError("a process without pipes")
    one.stdin.write("\n")
    one.stdin.flush()
    answer = one.stdout.readline()
    if not answer:
        raise RuntimeError("a process ended early")
    told: dict[str, Any] = json.loads(answer)
    return told


def main() -> Iterable[str]:
    """Time, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="src folder of the other revision")
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=NETWORKS)
    parser.add_argument("--engine")
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=15, help="rounds, at least 15")
    parser.add_argument("--out", type=Path)
    machine.add_watch_option(parser)
    given = parser.parse_args()
    watch = machine.Watch(assume_idle=given.assume_idle)
    pace = Pace(given.rounds, FRAMES_A_ROUND, FRAMES_A_ROUND)
    sides = [Side(given.other, None), Side(ROOT / "src", given.engine)]
    found: dict[str, Compared] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in given.networks:
            network = network_of(name, Path(folder))
            for threads in given.threads:
                found[f"{name}, threads {threads}"] = compared(network, sides, threads, pace)
                watch.check()
    others = watch.check()
    figures = {name: one.figures() for name, one in found.items()}
    shown = {name: [this, faster] for name, (_, this, faster) in figures.items()}
    print(*table(shown, "times as fast"), sep="\n")
    if given.out is not None:
        rows = {
            name: {"other, this, times as fast": [asdict(figure) for figure in figures[name]],
                   "largest_difference_px": one.difference_px}
            for name, one in found.items()
        }  # fmt: skip
        facts = {**machine.facts(COMMAND, others), "engine": given.engine}
        write_json(given.out, {**facts, "rounds": pace.rounds, "rows": rows})
    return ()


if __name__ == "__main__":
    sys.exit(ends("against_revision", main))
