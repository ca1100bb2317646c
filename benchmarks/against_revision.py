"""Speed of the trackers that learn online, beside that of another revision, in one run.

    git worktree add ../before REVISION
    python -m benchmarks.against_revision ../before/src [--networks dimp-lite dimp18]
        [--engine onnx] [--threads 1 2] [--rounds 15] [--out online_speed.json]

Each revision has a process of its own, and the two take turns, a round of frames each, so that
other load on the machine affects both alike. Both follow the same target in the same 640x480
frames, with the same random weights; no peak is too low, so that every frame is refined and learnt
from. ``--engine`` is that of this revision, the other one takes its default.
The ratio is the other revision's time over that of this one, round by round, with its middle half.
While other work holds the cores, threads that wait for each other count as processor time, so that
figures of two threads need an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.track_speed import FRAMES, Row, _first_box, _frames
from tirtrack.boxes import Box
from tirtrack.files import write_json
from tirtrack.networks import registry
from tirtrack.trackers.loading import load_tracker
from tirtrack.weights import store
from tirtrack.weights.card import Card

NETWORKS = ("dimp-lite", "dimp18", "prdimp18", "atom18")
FRAMES_A_ROUND = 20  # the filter of DiMP learns once in a round
HERE = Path(__file__).resolve().parents[1]


def work(weights: Path, engine: str | None, threads: int) -> None:
    """Track a round of frames for every line of the input; print times and the last box."""
    import torch

    torch.set_num_threads(threads)
    found = {"target_not_found_threshold": -1e9}
    tracker = load_tracker(weights, engine=engine, threads=threads, overrides=found)
    frames = _frames()
    tracker.init(frames[0], Box(*map(float, _first_box())))
    boxes = []
    row = Row("", lambda t: boxes.append(tracker.update(frames[(t + 1) % FRAMES]).box))
    for turn, _ in enumerate(sys.stdin):
        row.times_ms, row.processor_ms = [], []
        row.run(FRAMES_A_ROUND, start=turn * FRAMES_A_ROUND, keep=True)
        times = {"processor": sum(row.processor_ms), "clock": sum(row.times_ms)}
        times = {clock: total / FRAMES_A_ROUND for clock, total in times.items()}
        print(json.dumps({**times, "box": [*map(float, boxes[-1].array())]}), flush=True)


def process(source: Path, weights: Path, engine: str | None, threads: int) -> subprocess.Popen[str]:
    """A process of the package in a folder, which tracks when it is told to."""
    command = [sys.executable, "-m", "benchmarks.against_revision", "--work", str(weights)]
    command += ["--threads", str(threads), *(["--engine", engine] if engine else [])]
    paths = os.pathsep.join([str(source), str(HERE)])
    surroundings = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": str(threads)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env=surroundings, cwd=source
    )


def turn(one: subprocess.Popen[str]) -> dict[str, Any]:
    """What a process tells of its next round."""
    if one.stdin is None or one.stdout is None:
        raise RuntimeError("a process without pipes")
    one.stdin.write("\n")
    one.stdin.flush()
    told: dict[str, Any] = json.loads(one.stdout.readline())
    return told


def compared(network: str, other: Path, engine: str | None, threads: int, rounds: int) -> dict:
    """Medians of both revisions, the ratio with its quartiles, by both clocks, and the largest
    difference of a box, pixels.
    """
    with TemporaryDirectory() as folder:
        weights = Path(folder) / f"{network}.safetensors"
        card = Card(name=network, architecture=network, modality="rgb", licence="none")
        store.write(weights, registry.build(network, seed=0), card)
        both = [
            process(other, weights, None, threads),
            process(HERE / "src", weights, engine, threads),
        ]
        told = [[turn(one) for one in both] for _ in range(rounds + 1)][1:]
        for one in both:
            one.communicate()
    found: dict[str, Any] = {}
    for clock in ("processor", "clock"):
        times = np.array([[one[clock] for one in pair] for pair in told])
        ratios = (times[:, 0] / times[:, 1]).tolist()
        found[f"{clock}_ms"] = [round(float(value), 1) for value in np.median(times, axis=0)]
        found[f"{clock}_ratio"] = [round(value, 2) for value in statistics.quantiles(ratios, n=4)]
    boxes = np.array([[one["box"] for one in pair] for pair in told])
    found["largest_difference_px"] = float(np.abs(boxes[:, 0] - boxes[:, 1]).max())
    return found


def main() -> None:
    """Time, print a table, write JSON; or be one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", nargs="?", type=Path, help="src folder of the other revision")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--engine")
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.engine, arguments.threads[0])
        return
    if arguments.other is None:
        parser.error("name the src folder of the other revision")
    rows = []
    for network in arguments.networks:
        for threads in arguments.threads:
            other = arguments.other.resolve()
            found = compared(network, other, arguments.engine, threads, arguments.rounds)
            rows.append({"network": network, "threads": threads, **found})
            print(json.dumps(rows[-1]), flush=True)
    if arguments.out is not None:
        write_json(arguments.out, {"engine": arguments.engine, "rows": rows})


if __name__ == "__main__":
    main()
