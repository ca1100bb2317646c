"""Time of several targets whose work is done together, beside one by one.

    python -m benchmarks.several_targets [NETWORK ...] [--targets 1 2 4 8] [--threads 2]

Targets are followed in the same 640x480 frames twice: by one tracker that shares the backbone's
pass, the refinement of boxes and the learning of filters (``trackers/steps.py``), or follows
targets of the Siamese family at the same time in threads, and by one in which each target is alone
and waits for the others. Networks are named as for ``benchmarks.track_speed``, and times and
ratios are taken in the same way. Threads that wait for each other use processor time as well: with
more than one, read the time by the clock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks import machine
from benchmarks.command import ends
from benchmarks.interleaved import BothClocks, Pace, in_turn, milliseconds, ratio, table
from benchmarks.moving_target import moving_target
from benchmarks.speed_goals import SEVERAL
from benchmarks.track_speed import (
    FRAMES_A_ROUND,
    WARM_UP,
    Network,
    network_of,
    several_targets,
    usable_engines,
)
from tirtrack.files import write_json

NETWORKS = ("dimp-lite", "dimp18")
COMMAND = "python -m benchmarks.several_targets"


def times_of(
    network: Network, counts: list[int], threads: int, pace: Pace, watch: machine.Watch
) -> dict[str, list[BothClocks]]:
    """For each number of targets the milliseconds one by one, those together, and their ratio."""
    (engine, *_), _ = usable_engines(network)
    frames = moving_target()
    kinds = {"one by one": False, "together": True}
    contenders = [
        several_targets(f"{network.name}, {count} targets {kind}",
                        (network.prototype if batched else network.tracker)(engine, threads),
                        frames, count, threads=threads, batched=batched)
        for count in counts
        for kind, batched in kinds.items()
    ]  # fmt: skip
    times = in_turn(contenders, pace, watch)
    figures = {name: [milliseconds(one)] for name, one in times.items()}
    names = list(times)
    for alone, together in zip(names[::2], names[1::2], strict=True):
        figures[together].append(ratio(times[together], times[alone]))
    return figures


def main() -> Iterable[str]:
    """Time, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=NETWORKS)
    parser.add_argument("--targets", nargs="+", type=int, default=[SEVERAL])
    parser.add_argument("--rounds", type=int, default=20, help="rounds, at least 15")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    machine.add_watch_option(parser)
    arguments = parser.parse_args()
    watch = machine.Watch(assume_idle=arguments.assume_idle)
    pace = Pace(arguments.rounds, FRAMES_A_ROUND, WARM_UP)
    figures: dict[str, list[BothClocks]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.networks:
            network = network_of(name, Path(folder))
            figures |= times_of(network, arguments.targets, arguments.threads, pace, watch)
    others = watch.check()
    print(*table(figures, "ratio"), sep="\n")
    if arguments.out is not None:
        facts = {**machine.facts(COMMAND, others), "threads": arguments.threads}
        rows = {name: [asdict(one) for one in both] for name, both in figures.items()}
        paced = {"rounds": pace.rounds, "frames_a_round": pace.steps}
        write_json(arguments.out, {**facts, **paced, "ms_and_ratio": rows})
    return ()


if __name__ == "__main__":
    sys.exit(ends("several_targets", main))
