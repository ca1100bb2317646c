"""How often a proposed box is the annotated target: recall at IoU 0.5, the best of ten boxes.

    python -m benchmarks.proposal_recall ../shared/data/rgb/video_train
    python -m benchmarks.proposal_recall WORLD/validation WORLD/validation_rgb --every 30
    python -m benchmarks.proposal_recall --way regions --world 201 202
    python -m benchmarks.proposal_recall --way regions --stills SHARED/tir_video/hit_uav_stills
    python -m benchmarks.proposal_recall FOLDER... --fit
    python -m benchmarks.proposal_recall --way regions --world 1001 --count 48 --fit

A frame counts as found if one of the boxes proposed in it has IoU >= 0.5 with the annotation; every
tenth frame is measured; a sequence's share is averaged over sequences, and sequences over the
folder. Annotated targets are not all that stands out, so 1 is out of reach. ``--world`` draws
sequences of worlds with these seeds, seven frames ten ticks apart, of which three are measured, and
measures pairs too: ten boxes of both modalities together, against the target's box in each, and the
processor time that they take. ``--stills``
counts every annotated object by itself. ``--fit`` fits the weights of the ranking anew (logistic
regression, all folders weighted equally) and reports their recall on sequences left out. Only data
that may be tuned on belongs there: never ``tir_video``, ``rgb/video_test``, or a world seed that a
figure is reported on.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from tirtrack.boxes import Box, iou, suppress_overlapping
from tirtrack.datasets import LabelledSequence, open_dataset
from tirtrack.datasets.stills import open_stills
from tirtrack.files import write_json
from tirtrack.pairs.proposals import proposer, region_measures, regions, saliency
from tirtrack.pairs.proposals.motion import motion_plane
from tirtrack.pairs.proposals.registry import NEIGHBOUR_STEP_FRAMES, neighbour_positions
from tirtrack.pairs.source import Pair
from tirtrack.synthetic import SyntheticSequence, render_sequence

COUNT = 10
MIN_IOU = 0.5
EVERY_FRAMES = 10
MAX_IOU = 0.4
# The annotation of these is 1.2 to 3 times as large as the object: they count little.
LOOSE_PREFIX, LOOSE_SHARE, PLAIN_SHARE = "drone_v_", 0.3, 0.3
FOLDS = 5
VALIDATION_SPLIT = 2
DRAWN_FRAMES, DRAWN_EVERY = 7, 3  # of a sequence of a world: frames, and which are measured


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


@dataclass(frozen=True)
class Way:
    """A proposer whose recall is measured.

    Attributes:
        boxes: function of a frame and its neighbours that returns boxes with scores.
        measured: function that returns all candidates of a frame.
        weights: ``[F]`` weights of the measures, by whether a frame has neighbours.
        names: names of the measures.
    """

    boxes: Callable[..., list[tuple[Box, float]]]
    measured: Callable[[Sample], Measured]
    weights: dict[bool, np.ndarray]
    names: Sequence[str]


def samples(sequence: LabelledSequence, every: int) -> Iterator[Sample]:
    """Every ``every``-th frame in which the target is present."""
    frames = [np.array(frame) for frame in sequence.open_frames()]
    for position in range(0, len(frames), every):
        target = sequence.boxes[position]
        if _is_present(target):
            near = [frames[place] for place in neighbour_positions(position, len(frames))]
            yield Sample(frames[position], near, target)


def recall(
    way: Way, sequence: LabelledSequence, every: int, *, motion: bool
) -> tuple[float, list[float]]:
    """Share of the frames in which the target is among the boxes, and milliseconds a frame."""
    found, spent_ms = [], []
    for sample in samples(sequence, every):
        start = time.perf_counter()
        boxes = way.boxes(sample.image, sample.neighbours if motion else (), count=COUNT)
        spent_ms.append(1e3 * (time.perf_counter() - start))
        found.append(_is_found([box for box, _ in boxes], sample.target))
    return float(np.mean(found)) if found else float("nan"), spent_ms


def _is_present(target: np.ndarray) -> bool:
    return bool(np.isfinite(target).all() and target[2:].min() > 0)


def _is_found(boxes: Sequence[Box], target: np.ndarray) -> bool:
    return any(float(iou(box.array(), target)) >= MIN_IOU for box in boxes)


def of_pairs(name: str, seed: int, count: int) -> dict[str, Any]:
    """Recall of the target in TIR and in RGB among ten boxes of the pair, and the processor time of
    a pair, over the drawn sequences of a world.
    """
    way = proposer(name, count=COUNT)
    found: dict[str, list[float]] = {"tir": [], "rgb": []}
    spent_ms = []
    for shown in drawn(seed, count):
        pairs = [
            Pair(f"drawn/{k}", "drawn", k, *one)
            for k, one in enumerate(zip(shown.rgb, shown.tir, strict=True))
        ]
        hits: dict[str, list[bool]] = {"tir": [], "rgb": []}
        for k in range(0, len(pairs), DRAWN_EVERY):
            near = [pairs[place] for place in neighbour_positions(k, len(pairs))]
            start = time.process_time()
            kept = way.propose(pairs[k], near, np.random.default_rng(0)).kept[:COUNT]
            spent_ms.append(1e3 * (time.process_time() - start))
            boxes = [one.box for one in kept]
            for modality, targets in (
                ("tir", shown.facts.boxes_tir),
                ("rgb", shown.facts.boxes_rgb),
            ):
                if _is_present(targets[k]):
                    hits[modality].append(_is_found(boxes, targets[k]))
        for modality, some in hits.items():
            found[modality] += [float(np.mean(some))] if some else []
    mean = {f"recall_{modality}": float(np.mean(some)) for modality, some in found.items()}
    quartiles = [float(value) for value in np.percentile(spent_ms, [25, 50, 75])]
    return {"world": seed, "sequence_count": count, **mean, "ms_a_pair": quartiles}


def of_stills(way: Way, folder: Path) -> dict[str, Any]:
    """Share of all annotated objects that are among ten boxes of their picture, and share of the
    pictures in which one is.
    """
    objects, pictures = [], []
    for still in open_stills(folder).stills:
        boxes = [box for box, _ in way.boxes(np.asarray(still.image()), count=COUNT)]
        hits = [_is_found(boxes, target) for target in still.boxes]
        objects += hits
        pictures += [any(hits)] if hits else []
    return {
        "folder": folder.name,
        "picture_count": len(pictures),
        "object_count": len(objects),
        "recall": float(np.mean(objects)),
        "pictures_with_one": float(np.mean(pictures)),
    }


def salient(sample: Sample) -> Measured:
    """All candidates of ``saliency`` in a frame, measured."""
    planes, factor = saliency.working_planes(sample.image)
    near = [saliency.brightness(other) for other in sample.neighbours]
    motion = motion_plane(planes[0], near) if near else None
    boxes, fill = saliency.candidates(planes, motion)
    columns = saliency.measures(planes, motion, boxes, fill)
    return Measured(boxes, columns, iou(boxes * factor, sample.target))


def of_regions(sample: Sample) -> Measured:
    """All candidates of ``regions`` in a frame, measured."""
    picture = regions.seen(sample.image, sample.neighbours)
    boxes, fill = regions.candidates(picture)
    columns = region_measures.measures(picture, boxes, fill)
    return Measured(boxes, columns, iou(boxes * picture.factor, sample.target))


_SALIENCY = np.array(list(saliency.MEASURES.values()))
_REGIONS = np.array(list(region_measures.MEASURES.values()))
WAYS = {
    "saliency": Way(
        saliency.salient_boxes,
        salient,
        {True: _SALIENCY, False: _SALIENCY},
        list(saliency.MEASURES),
    ),
    "regions": Way(
        regions.region_boxes,
        of_regions,
        {True: _REGIONS[:, 0], False: _REGIONS[:, 1]},
        list(region_measures.MEASURES),
    ),
}


def fit(sequences: Sequence[list[Measured]], share: Sequence[float]) -> tuple[np.ndarray, float]:
    """Weights ``[F]`` of a logistic regression, and its constant; each sequence counts by its
    share, half of it for boxes on the target, half for the others. A box is on the target from IoU
    0.4 (not at all) to 0.9 (wholly).
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
    weights = theta[:-1] / spread
    return weights, float(theta[-1] - mean @ weights)


def plain_frames(way: Way, count: int = 40) -> list[list[Measured]]:
    """One uniform rectangle on a noisy background, which must never be missed."""
    frames = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        x, y, w, h = (int(rng.integers(10, limit)) for limit in (180, 130, 60, 60))
        ground = 70 + rng.normal(0, 3, (200, 260))
        ground[y : y + h, x : x + w] = (0, 150, 255)[seed % 3]
        image = np.clip(ground, 0, 255).astype(np.uint8)
        sample = Sample(image, [], np.array([x, y, w, h], dtype=np.float64))
        frames.append([way.measured(sample)])
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


def drawn(seed: int, count: int) -> Iterator[SyntheticSequence]:
    """Sequences of a world, of seven frames as far apart as neighbours are."""
    for index in range(count):
        yield render_sequence(
            (seed, VALIDATION_SPLIT, index), DRAWN_FRAMES, spacing=NEIGHBOUR_STEP_FRAMES
        )


def world_samples(seed: int, count: int) -> dict[str, list[list[Sample]]]:
    """Frames of the drawn sequences of a world in TIR and in RGB, with their neighbours."""
    found: dict[str, list[list[Sample]]] = {"worlds, TIR": [], "worlds, RGB": []}
    for shown in drawn(seed, count):
        of_modality = (shown.tir, shown.facts.boxes_tir), (shown.rgb, shown.facts.boxes_rgb)
        for group, (frames, targets) in zip(found, of_modality, strict=True):
            some = []
            for k in range(0, DRAWN_FRAMES, DRAWN_EVERY):
                if _is_present(targets[k]):
                    near = [frames[place] for place in neighbour_positions(k, DRAWN_FRAMES)]
                    some.append(Sample(frames[k], near, targets[k]))
            found[group] += [some] if some else []
    return found


def of_world(way: Way, seed: int, count: int) -> list[dict[str, Any]]:
    """Recall in the drawn sequences of a world, TIR and RGB each by itself."""
    rows = []
    for group, sequences in world_samples(seed, count).items():
        means = []
        for motion in (True, False):
            shares = [
                np.mean([_hit(way, sample, motion=motion) for sample in some]) for some in sequences
            ]
            means.append(float(np.mean(shares)))
        name = group.removeprefix("worlds, ")
        print(f"world {seed}, {name}: recall {means[0]:.3f}, without motion {means[1]:.3f}")
        counted = {"world": seed, "modality": name, "sequence_count": len(sequences)}
        rows.append({**counted, "recall": means[0], "without_motion": means[1]})
    return rows


def _hit(way: Way, sample: Sample, *, motion: bool) -> bool:
    found = way.boxes(sample.image, sample.neighbours if motion else (), count=COUNT)
    return _is_found([box for box, _ in found], sample.target)


def print_fit(
    way: Way, folders: list[Path], worlds: Sequence[int], count: int, every: int, *, motion: bool
) -> None:
    """Fit on everything, and with every fifth sequence left out in turn, and print both."""

    def one(sample: Sample) -> Measured:
        return way.measured(sample if motion else replace(sample, neighbours=[]))

    has_own = way.weights[True] is not way.weights[False]  # weights for frames with neighbours
    groups: dict[str, list[list[Measured]]] = {}
    if not (has_own and motion):
        groups["plain"] = plain_frames(way)
    for seed in worlds:
        for group, sequences in world_samples(seed, count).items():
            groups.setdefault(group, []).extend([one(s) for s in some] for some in sequences)
    for folder in folders:
        for sequence in open_dataset(folder).sequences:
            loose = sequence.name.startswith(LOOSE_PREFIX)
            group = f"{folder.name}, loose boxes" if loose else folder.name
            found = [one(sample) for sample in samples(sequence, every)]
            if found:
                groups.setdefault(group, []).append(found)
    shares = {group: 1.0 for group in groups} | {"plain": PLAIN_SHARE}
    shares |= {group: LOOSE_SHARE for group in groups if group.endswith("loose boxes")}

    def fitted(left_out: int | None) -> tuple[np.ndarray, float]:
        chosen = [
            (frames, shares[group] / len(sequences))
            for group, sequences in groups.items()
            for index, frames in enumerate(sequences)
            if left_out is None or index % FOLDS != left_out
        ]
        return fit([frames for frames, _ in chosen], [share for _, share in chosen])

    folds, now = [fitted(fold)[0] for fold in range(FOLDS)], way.weights[motion]
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
    weights, constant = fitted(None)
    for name, value in zip(way.names, weights, strict=True):
        print(f'    "{name}": {value:.2f},')
    print(f"constant {constant:.2f}")


def of_folder(way: Way, folder: Path, every: int) -> dict[str, Any]:
    """Recall in each sequence of a folder, with neighbours in time and without, and its mean."""
    rows, spent_ms = [], []
    for sequence in open_dataset(folder).sequences:
        moving, spent = recall(way, sequence, every, motion=True)
        still, _ = recall(way, sequence, every, motion=False)
        print(f"{sequence.name[:40]:40} {moving:6.2f}  without motion {still:6.2f}", flush=True)
        rows.append({"sequence": sequence.name, "recall": moving, "without_motion": still})
        spent_ms += spent
    mean = {
        key: float(np.nanmean([row[key] for row in rows])) for key in ("recall", "without_motion")
    }
    quartiles = [float(value) for value in np.percentile(spent_ms, [25, 50, 75])]
    print(
        f"{folder.name}: recall {mean['recall']:.3f}, without motion "
        f"{mean['without_motion']:.3f}, {quartiles[1]:.0f} ms a frame "
        f"({quartiles[0]:.0f} to {quartiles[2]:.0f})"
    )
    counted = {"folder": folder.name, "sequence_count": len(rows)}
    return {**counted, **mean, "ms_a_frame": quartiles, "sequences": rows}


def main() -> None:
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.proposal_recall", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folders", nargs="*", type=Path, help="labelled sequences, any layout")
    parser.add_argument("--way", choices=sorted(WAYS), default="saliency")
    parser.add_argument("--every", type=int, default=EVERY_FRAMES)
    parser.add_argument("--world", nargs="+", type=int, default=[], help="seeds of worlds")
    parser.add_argument("--count", type=int, default=24, help="sequences of each world")
    parser.add_argument("--stills", nargs="+", type=Path, default=[], help="labelled stills")
    parser.add_argument("--fit", action="store_true", help="fit the weights of the ranking")
    parser.add_argument("--without-motion", action="store_true", help="fit those for stills")
    parser.add_argument("--out", type=Path, help="write the table as JSON")
    arguments = parser.parse_args()
    if arguments.fit:
        print_fit(
            WAYS[arguments.way],
            arguments.folders,
            arguments.world,
            arguments.count,
            arguments.every,
            motion=not arguments.without_motion,
        )
        return
    measure(parser.prog, arguments)


def measure(command: str, arguments: argparse.Namespace) -> None:
    """Measure all that is asked for, print and write it."""
    way = WAYS[arguments.way]
    results = [of_folder(way, folder, arguments.every) for folder in arguments.folders]
    pairs = []
    for seed in arguments.world:
        results += of_world(way, seed, arguments.count)
        found = of_pairs(arguments.way, seed, arguments.count)
        pairs.append(found)
        print(
            f"pairs of world {seed}: recall in TIR {found['recall_tir']:.3f}, in RGB "
            f"{found['recall_rgb']:.3f}, {found['ms_a_pair'][1]:.0f} ms of a core a pair"
        )
    stills = [of_stills(way, folder) for folder in arguments.stills]
    for row in stills:
        print(
            f"{row['folder']}: recall {row['recall']:.3f} of {row['object_count']} objects, one "
            f"found in {row['pictures_with_one']:.3f} of the pictures"
        )
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
                "command": command,
                "way": arguments.way,
                "every": arguments.every,
                "count": COUNT,
                "versions": versions,
                "results": results,
                **({"pairs": pairs} if pairs else {}),
                **({"stills": stills} if stills else {}),
            },
        )


if __name__ == "__main__":
    main()
