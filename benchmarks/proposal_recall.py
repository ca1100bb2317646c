"""How often a proposed box is the annotated target: recall at IoU 0.5, the best of ten boxes.

    python -m benchmarks.proposal_recall ../shared/data/rgb/video_train
    python -m benchmarks.proposal_recall WORLD/validation WORLD/validation_rgb --every 30
    python -m benchmarks.proposal_recall FOLDER... --fit

A frame counts as found if one of the boxes proposed in it has IoU >= 0.5 with the annotation; every
tenth frame is measured; a sequence's share is averaged over sequences, and sequences over the
folder. Annotated targets are not all that stands out, so 1 is out of reach. ``--fit`` fits the
weights of the ranking anew (logistic regression, all folders weighted equally) and reports their
recall on sequences left out. Only data that may be tuned on
belongs here: never ``tir_video`` or ``rgb/video_test``.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy

from tirtrack.boxes import iou, suppress_overlapping
from tirtrack.datasets import LabelledSequence, open_dataset
from tirtrack.files import write_json
from tirtrack.pairs.proposals import saliency
from tirtrack.pairs.proposals.motion import motion_plane
from tirtrack.pairs.proposals.registry import neighbour_positions

COUNT = 10
MIN_IOU = 0.5
EVERY_FRAMES = 10
MAX_IOU = 0.4
# The annotation of these is 1.2 to 3 times as large as the object: they count little.
LOOSE_PREFIX, LOOSE_SHARE, PLAIN_SHARE = "drone_v_", 0.3, 0.3
FOLDS = 5


@dataclass(frozen=True)
class Sample:
    """One frame with its neighbours and the target's box (xywh, 0-based)."""

    image: np.ndarray
    neighbours: list[np.ndarray]
    target: np.ndarray


@dataclass(frozen=True)
class Measured:
    """All candidates of one frame: boxes ``[n,4]`` and measures ``[n,F]``, and their overlap with
    the target ``[n]``.
    """

    boxes: np.ndarray
    measures: np.ndarray
    overlap: np.ndarray


def samples(sequence: LabelledSequence, every: int) -> Iterator[Sample]:
    """Every ``every``-th frame in which the target is present."""
    frames = [np.array(frame) for frame in sequence.open_frames()]
    for position in range(0, len(frames), every):
        target = sequence.boxes[position]
        if np.isfinite(target).all() and target[2:].min() > 0:
            near = [frames[place] for place in neighbour_positions(position, len(frames))]
            yield Sample(frames[position], near, target)


def recall(sequence: LabelledSequence, every: int, *, motion: bool) -> tuple[float, list[float]]:
    """Share of the frames in which the target is among the boxes, and milliseconds a frame."""
    found, spent_ms = [], []
    for sample in samples(sequence, every):
        start = time.perf_counter()
        boxes = saliency.salient_boxes(
            sample.image, sample.neighbours if motion else (), count=COUNT
        )
        spent_ms.append(1e3 * (time.perf_counter() - start))
        overlaps = [float(iou(box.array(), sample.target)) for box, _ in boxes]
        found.append(max(overlaps, default=0.0) >= MIN_IOU)
    return float(np.mean(found)) if found else float("nan"), spent_ms


def measured(sample: Sample) -> Measured:
    """All candidates of a frame, measured."""
    planes, factor = saliency.working_planes(sample.image)
    near = [saliency.brightness(other) for other in sample.neighbours]
    motion = motion_plane(planes[0], near) if near else None
    boxes, fill = saliency.candidates(planes, motion)
    columns = saliency.measures(planes, motion, boxes, fill)
    return Measured(boxes, columns, iou(boxes * factor, sample.target))


def fit(sequences: Sequence[list[Measured]], share: Sequence[float]) -> np.ndarray:
    """Weights ``[F]`` of a logistic regression; each sequence counts by its share, half of it for
    boxes on the target, half for the others. A box is on the target from IoU 0.4 (not at all) to
    0.9 (wholly).
    """
    rows, hits, misses = [], [], []
    for frames, weight in zip(sequences, share, strict=True):
        overlap = np.concatenate([frame.overlap for frame in frames])
        rows.append(np.concatenate([frame.measures for frame in frames]))
        on_target = np.clip((overlap - 0.4) / 0.5, 0.0, 1.0)
        hits.append(0.5 * weight * on_target / max(on_target.sum(), 20.0))
        misses.append(0.5 * weight * (1 - on_target) / max((1 - on_target).sum(), 1.0))
    x, hit, miss = np.concatenate(rows), np.concatenate(hits), np.concatenate(misses)
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    theta, ridge = np.zeros(z.shape[1]), 0.01 * (hit + miss).sum()
    for _ in range(20):
        p = 1 / (1 + np.exp(-z @ theta))
        gradient = z.T @ ((hit + miss) * p - hit) + ridge * theta
        bend = (hit + miss) * p * (1 - p)
        curvature = (z * bend[:, None]).T @ z + ridge * np.eye(len(theta))
        theta -= np.linalg.solve(curvature, gradient)
    return theta[:-1] / spread


def plain_frames(count: int = 40) -> list[list[Measured]]:
    """One uniform rectangle on a noisy background, which must never be missed."""
    frames = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        x, y, w, h = (int(rng.integers(10, limit)) for limit in (180, 130, 60, 60))
        ground = 70 + rng.normal(0, 3, (200, 260))
        ground[y : y + h, x : x + w] = (0, 150, 255)[seed % 3]
        image = np.clip(ground, 0, 255).astype(np.uint8)
        frames.append([measured(Sample(image, [], np.array([x, y, w, h], dtype=np.float64)))])
    return frames


def recall_of(frames: list[Measured], weights: np.ndarray) -> float:
    """Recall of a sequence with given weights."""
    hits = []
    for frame in frames:
        scores = frame.measures @ weights
        best = np.argsort(-scores, kind="stable")[: saliency.MEASURED]
        kept = suppress_overlapping(frame.boxes[best], scores[best], MAX_IOU, count=COUNT)
        hits.append(len(kept) > 0 and frame.overlap[best][kept].max() >= MIN_IOU)
    return float(np.mean(hits)) if hits else float("nan")


def print_fit(folders: list[Path], every: int) -> None:
    """Fit on everything, and with every fifth sequence left out in turn, and print both."""
    groups: dict[str, list[list[Measured]]] = {"plain": plain_frames()}
    for folder in folders:
        for sequence in open_dataset(folder).sequences:
            loose = sequence.name.startswith(LOOSE_PREFIX)
            group = f"{folder.name}, loose boxes" if loose else folder.name
            found = [measured(sample) for sample in samples(sequence, every)]
            if found:
                groups.setdefault(group, []).append(found)
    shares = {group: 1.0 for group in groups} | {"plain": PLAIN_SHARE}
    shares |= {group: LOOSE_SHARE for group in groups if group.endswith("loose boxes")}

    def fitted(left_out: int | None) -> np.ndarray:
        chosen = [
            (frames, shares[group] / len(sequences))
            for group, sequences in groups.items()
            for index, frames in enumerate(sequences)
            if left_out is None or index % FOLDS != left_out
        ]
        return fit([frames for frames, _ in chosen], [share for _, share in chosen])

    folds, now = [fitted(fold) for fold in range(FOLDS)], np.array(list(saliency.MEASURES.values()))
    print(f"{'recall':34} {'any box':>8} {'now':>8} {'left out':>8}")
    for group, sequences in groups.items():
        reachable = [
            np.mean([frame.overlap.max(initial=0.0) >= MIN_IOU for frame in frames])
            for frames in sequences
        ]
        current = [recall_of(frames, now) for frames in sequences]
        fair = [recall_of(frames, folds[k % FOLDS]) for k, frames in enumerate(sequences)]
        means = " ".join(f"{np.mean(row):8.3f}" for row in (reachable, current, fair))
        print(f"{group[:34]:34} {means}")
    for name, value in zip(saliency.MEASURES, fitted(None), strict=True):
        print(f'    "{name}": {value:.2f},')


def main() -> None:
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.proposal_recall", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folders", nargs="+", type=Path, help="labelled sequences, any layout")
    parser.add_argument("--every", type=int, default=EVERY_FRAMES)
    parser.add_argument("--fit", action="store_true", help="fit the weights of the ranking")
    parser.add_argument("--out", type=Path, help="write the table as JSON")
    arguments = parser.parse_args()
    if arguments.fit:
        print_fit(arguments.folders, arguments.every)
        return
    results = []
    for folder in arguments.folders:
        rows, spent_ms = [], []
        for sequence in open_dataset(folder).sequences:
            moving, spent = recall(sequence, arguments.every, motion=True)
            still, _ = recall(sequence, arguments.every, motion=False)
            print(f"{sequence.name[:40]:40} {moving:6.2f}  without motion {still:6.2f}", flush=True)
            rows.append({"sequence": sequence.name, "recall": moving, "without_motion": still})
            spent_ms += spent
        mean = {
            key: float(np.nanmean([row[key] for row in rows]))
            for key in ("recall", "without_motion")
        }
        quartiles = [float(value) for value in np.percentile(spent_ms, [25, 50, 75])]
        print(
            f"{folder.name}: recall {mean['recall']:.3f}, without motion "
            f"{mean['without_motion']:.3f}, {quartiles[1]:.0f} ms a frame "
            f"({quartiles[0]:.0f} to {quartiles[2]:.0f})"
        )
        counted = {"folder": folder.name, "sequence_count": len(rows)}
        results.append({**counted, **mean, "ms_a_frame": quartiles, "sequences": rows})
    if arguments.out:
        versions = {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "machine": platform.machine(),
            "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        }
        write_json(
            arguments.out,
            {
                "command": parser.prog,
                "every": arguments.every,
                "count": COUNT,
                "versions": versions,
                "results": results,
            },
        )


if __name__ == "__main__":
    main()
