"""What skipped frames cost a tracker, and how much it helps to tell it of them.

    python -m benchmarks.skipped_frames [WEIGHTS] [--out docs/figures/skipped_frames.json]

On ``rgb/video_train``, which may be tuned on, a tracker sees every n-th of the first 300 frames.
Printed is the mean success (overlap of the boxes in the frames that it saw, mean of the sequences)
where it is told of the others (:meth:`tirtrack.trackers.base.Tracker.skip`) and where it is not.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.shipped_weights import ROOT
from tirtrack.boxes import Box, iou
from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.files import write_json
from tirtrack.identity import versions
from tirtrack.trackers.base import Tracker
from tirtrack.trackers.loading import load_tracker

STEPS = (1, 3, 6, 10, 20)
LAST = 300


def mean_overlap(
    tracker: Tracker, sequence: LabelledSequence, step: int, *, is_told: bool
) -> float:
    """Mean over the annotated frames that the tracker saw, without the first."""
    boxes = sequence.boxes
    overlaps = []
    for index, frame in enumerate(sequence.open_frames()):
        if index == 0:
            tracker.init(frame, Box.of(boxes[index]))
        elif index >= LAST:
            break
        elif index % step == 0:
            if is_told:
                tracker.skip(step - 1)
            box = tracker.update(frame).box
            if np.isfinite(boxes[index]).all():
                overlaps.append(float(iou(box.array(), boxes[index])))
    return float(np.mean(overlaps))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skipped_frames")
    parser.add_argument("weights", nargs="?", default="nano-rgb")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    sequences = open_dataset(given.shared / "data" / "rgb" / "video_train").sequences
    tracker = load_tracker(given.weights)
    rows = []
    print("every n-th   told   not told")
    for step in STEPS:
        told, untold = (
            float(np.mean([mean_overlap(tracker, one, step, is_told=is_told) for one in sequences]))
            for is_told in (True, False)
        )
        print(f"{step:>10}  {told:.3f}  {untold:.3f}", flush=True)
        rows.append({"every": step, "told": told, "not_told": untold})
    if given.out:
        facts = {"command": parser.prog, "weights": given.weights, "versions": versions()}
        write_json(given.out, {**facts, "rows": rows})


if __name__ == "__main__":
    main()
