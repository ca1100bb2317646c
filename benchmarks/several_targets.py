"""Processor time of several DiMP targets whose work is done together, beside one by one.

    python -m benchmarks.several_targets [--networks dimp-lite dimp18] [--blocks 20] [--threads 2]

Four targets are followed in the same 640x480 frames twice: by one tracker that shares the
backbone's pass, the refinement of boxes and the learning of filters (``trackers/steps.py``), and by
one in which each target is alone. The two take turns, a block of frames each, and change the order
from block to block, so that other load on the machine affects both alike. Weights are random and no
peak is too low, so that every target is refined and learns in every frame in which it may.
The ratio is the geometric mean over pairs of blocks; its 95 % interval is the bootstrap's over the
pairs. Processor time counts all threads; while other work holds the cores, threads that wait for
each other count too, and only ``--threads 1`` is meaningful.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from benchmarks.track_speed import FRAMES, Row, _first_box, _frames, _versions
from tirtrack.boxes import Box
from tirtrack.evaluation.statistics import Interval, bootstrap_indices, bootstrap_interval
from tirtrack.files import write_json
from tirtrack.networks import registry
from tirtrack.trackers.dimp import DimpTracker
from tirtrack.trackers.dimp_presets import preset
from tirtrack.trackers.multi import MultiTracker
from tirtrack.trackers.online_engine import OnlineEngine
from tirtrack.trackers.peak_score import family_peak_calibration

NETWORKS = ("dimp-lite", "dimp18")
TARGETS = 4
FRAMES_A_BLOCK = 20  # the filter learns once in a block
COMMAND = "python -m benchmarks.several_targets"


def tracker_of(network: str) -> DimpTracker:
    """A tracker with random weights for which every target is found."""
    made = registry.build(network).eval().requires_grad_(requires_grad=False)
    settings = preset("default", network).model_copy(update={"target_not_found_threshold": -1e9})
    return DimpTracker(OnlineEngine(made), settings, family_peak_calibration(made.score_kind))


def row(prototype: DimpTracker, frames: list[np.ndarray], *, batched: bool) -> Row:
    """The targets together or each alone, from the first frame on."""
    tracker = MultiTracker(prototype, batched=batched)
    x, y, w, h = map(float, _first_box())
    for number in range(TARGETS):
        tracker.add(number, Box(x + 2.0 * number, y, w, h), frames[0])
    return Row(str(batched), lambda t: tracker.update(frames[(t + 1) % FRAMES]))


def block_ms(network: str, frames: list[np.ndarray], *, blocks: int) -> np.ndarray:
    """Processor milliseconds ``[blocks,2]``, together and one by one; a first block warms up."""
    prototype = tracker_of(network)
    rows = [row(prototype, frames, batched=batched) for batched in (True, False)]
    for block in range(blocks + 1):
        for one in rows if block % 2 else reversed(rows):
            one.run(FRAMES_A_BLOCK, start=block * FRAMES_A_BLOCK, keep=block > 0)
    return np.stack([np.reshape(one.processor_ms, (blocks, -1)).sum(axis=1) for one in rows], 1)


def ratio_of(times_ms: np.ndarray) -> Interval:
    """Together over one by one, from times ``[n,2]`` of pairs of blocks."""
    logs = np.log(times_ms[:, 0] / times_ms[:, 1])
    found = bootstrap_interval(logs, bootstrap_indices(len(logs), np.random.default_rng(0)))
    return Interval(*map(math.exp, (found.mean, found.low, found.high)))


def main() -> None:
    """Time, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    frames, found = _frames(), {}
    print(f"{TARGETS} targets, processor ms a frame  together  one by one  ratio (95 %)")
    for network in arguments.networks:
        times_ms = block_ms(network, frames, blocks=arguments.blocks)
        together, alone = np.median(times_ms, axis=0) / FRAMES_A_BLOCK
        ratio = ratio_of(times_ms)
        found[network] = {
            "together_ms": round(float(together), 2),
            "one_by_one_ms": round(float(alone), 2),
            "ratio": [round(value, 3) for value in (ratio.mean, ratio.low, ratio.high)],
        }
        print(
            f"{network:30}  {together:8.1f}  {alone:10.1f}  "
            f"{ratio.mean:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]",
            flush=True,
        )
    if arguments.out is not None:
        content = {
            "command": COMMAND,
            "targets": TARGETS,
            "threads": arguments.threads,
            "blocks": arguments.blocks,
            "frames_a_block": FRAMES_A_BLOCK,
            "rows": found,
            "versions": _versions(with_opencv=False),
        }
        write_json(arguments.out, content)


if __name__ == "__main__":
    main()
