"""How sure a teacher of another family is of right boxes, and of wrong ones.

    python -m benchmarks.foreign_teacher

On labelled RGB that may be tuned on (``rgb/video_train``): each box is sought around a place that
is off by up to half its sides, with its own template (right) and with that of another frame's
target (wrong). Printed is the share of each that lies on the annotated box (IoU over 0.5) with more
than the given probability.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.shipped_weights import ROOT
from tirtrack.boxes import Box, iou
from tirtrack.datasets import open_dataset
from tirtrack.distillation.foreign_teacher import OneStep, one_step_box
from tirtrack.weights import store

TEACHERS = ("nanotrack/nanotrack_v2", "nanotrack/nanotrack_v3", "fear/fear_xs")
PROBABILITIES = (0.98, 0.99, 0.995, 0.998)
EVERY, LAST, SHIFT = 20, 120, 0.5  # frames; shift in sides of the box


def labelled_frames(shared: Path) -> list[tuple[np.ndarray, Box]]:
    """Frames ``[H,W,3]`` and their boxes: the first of every sequence, 20 apart."""
    found = []
    for sequence in open_dataset(shared / "data" / "rgb" / "video_train").sequences:
        boxes = sequence.boxes
        for index, frame in enumerate(sequence.open_frames()):
            if index >= LAST:
                break
            if index % EVERY == 0 and np.isfinite(boxes[index]).all():
                found.append((frame, Box.of(boxes[index])))
    return found


def judged(found: OneStep, box: Box) -> tuple[float, float]:
    """Overlap with the annotated box, and the probability."""
    return float(iou(found.box.array(), box.array())), found.confidence


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.foreign_teacher")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    shared = parser.parse_args().shared
    frames = labelled_frames(shared)
    print(f"{len(frames)} frames")
    for name in TEACHERS:
        weights = shared / "data" / "weights" / f"{name}.safetensors"
        network = store.network_of(store.read(weights))
        rng = np.random.default_rng(0)
        right, wrong = [], []
        for index, (frame, box) in enumerate(frames):
            dx, dy = rng.uniform(-SHIFT, SHIFT, 2) * (box.w, box.h)
            around = Box(box.x + float(dx), box.y + float(dy), box.w, box.h)
            right.append(judged(one_step_box(network, frame, box, around=around), box))
            other, its_box = frames[(index + len(frames) // 2) % len(frames)]
            seen = one_step_box(network, other, its_box, around=around, test_frame=frame)
            wrong.append(judged(seen, box))
        for least in PROBABILITIES:
            shares = [
                np.mean([overlap > 0.5 and sure > least for overlap, sure in one])
                for one in (right, wrong)
            ]
            print(f"{name} over {least}: right {shares[0]:.2f}, wrong {shares[1]:.2f}")


if __name__ == "__main__":
    main()
