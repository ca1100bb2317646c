"""How often a proposed box is an object, beside its quality: pairs of the synthetic world.

    python -m benchmarks.proposal_quality --world 301 302 --fit
    python -m benchmarks.proposal_quality --world 401 402 --out quality.json
    python -m benchmarks.proposal_quality --world 301 --detector yolox.onnx --fit

A box is an object if it overlaps the silhouette of any actor by half or more (IoU >= 0.5), in the
modality in which it was found; of both, in TIR. ``--fit`` prints slope and offset of each way and
modality for ``tirtrack.pairs.proposals.quality``; report on other seeds. The error is the mean
distance of quality and share of objects over ten groups of equal size.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.boxes import iou_matrix
from tirtrack.files import write_json
from tirtrack.identity import versions
from tirtrack.pairs.proposals import FoundIn, Proposal, Proposer, proposer
from tirtrack.pairs.proposals.quality import logit
from tirtrack.pairs.proposals.registry import neighbour_positions
from tirtrack.pairs.source import Pair
from tirtrack.synthetic import actor_extents, render_sequence, world_size

MIN_IOU = 0.5
MIN_INSIDE = 0.5  # share of a silhouette inside the frame
MIN_SIDE = 4.0
GROUPS = 10
PAIRS_SPLIT = 1
EVERY_PAIRS = 3
WAYS = ("centre", "random", "saliency", "regions")


@dataclass(frozen=True)
class Scene:
    """One pair, its neighbours, and what it shows: ``[n,4]`` xywh in each modality."""

    pair: Pair
    neighbours: list[Pair]
    objects: dict[FoundIn, np.ndarray]


@dataclass(frozen=True)
class Judged:
    """A proposal, and whether it is an object."""

    proposal: Proposal
    is_object: bool


def scenes(seeds: Sequence[int], count: int) -> Iterator[Scene]:
    """Pairs of the recordings of worlds, as ``tirtrack distill`` would see them."""
    size = world_size("study")
    for seed in seeds:
        for index in range(count):
            shown = render_sequence(
                (seed, PAIRS_SPLIT, index, 0), size.pairs_each, spacing=size.spacing_frames
            )
            name = f"{seed}/{index}"
            rgb = shown.rgb if shown.rgb is not None else [None] * len(shown.tir)
            pairs = [
                Pair(f"{name}/{k}", name, k, *one)
                for k, one in enumerate(zip(rgb, shown.tir, strict=True))
            ]
            for k in range(0, len(pairs), EVERY_PAIRS):
                near = [pairs[place] for place in neighbour_positions(k, len(pairs))]
                tick = shown.plan.ticks[k]
                in_tir = inside(actor_extents(shown.plan, tick, tir=True), pairs[k].tir.shape)
                in_rgb = inside(actor_extents(shown.plan, tick, tir=False), pairs[k].tir.shape)
                objects = {FoundIn.TIR: in_tir, FoundIn.BOTH: in_tir, FoundIn.RGB: in_rgb}
                yield Scene(pairs[k], near, objects)


def inside(boxes: np.ndarray, shape_hw: tuple[int, ...]) -> np.ndarray:
    """Boxes ``[n,4]`` cut at the frame, without those of which less than half remains."""
    height, width = shape_hw[:2]
    low = np.maximum(boxes[:, :2], 0.0)
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], [width, height])
    cut = np.concatenate([low, np.maximum(high - low, 0.0)], axis=1)
    whole = boxes[:, 2:].prod(axis=1)
    good = cut[:, 2:].prod(axis=1) >= MIN_INSIDE * whole
    return cut[good & (cut[:, 2:].min(axis=1) >= MIN_SIDE)]


def judged(way: Proposer, scene: Scene, number: int) -> list[Judged]:
    """The proposals of a pair."""
    found = way.propose(scene.pair, scene.neighbours, np.random.default_rng([0, number]))
    rows = []
    for one in found.kept:
        overlap = iou_matrix(one.box.array()[None], scene.objects[one.found_in])
        rows.append(Judged(one, bool(overlap.max(initial=0.0) >= MIN_IOU)))
    return rows


def fitted(scores: np.ndarray, is_object: np.ndarray) -> tuple[float, float]:
    """Slope (0 or more) and offset of a logistic regression on the logits of scores.

    Platt's targets, which keep the probabilities away from 0 and 1.
    """
    hits = is_object.sum()
    wanted = np.where(is_object, (hits + 1) / (hits + 2), 1 / (len(is_object) - hits + 2))
    rate = float(np.clip(wanted.mean(), 1e-3, 1 - 1e-3))
    theta = np.array([0.0, logit(rate)])
    x = np.stack([[logit(score) for score in scores], np.ones(len(scores))], axis=1)
    if x[:, 0].std() < 1e-6:
        return 0.0, float(theta[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ theta))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2)
        theta = theta - np.linalg.solve(curvature, x.T @ (p - wanted))
    return (float(theta[0]), float(theta[1])) if theta[0] > 0 else (0.0, logit(rate))


def row_of(name: str, rows: Sequence[Judged]) -> dict[str, Any]:
    """How well the quality of some proposals says how often they are objects."""
    quality = np.array([one.proposal.quality for one in rows])
    is_object = np.array([one.is_object for one in rows])
    order = np.argsort(quality, kind="stable")
    parts = [part for part in np.array_split(order, GROUPS) if len(part)]
    off = [abs(quality[part].mean() - is_object[part].mean()) for part in parts]
    sizes = [len(part) for part in parts]
    return {
        "name": name,
        "count": len(rows),
        "objects": float(is_object.mean()),
        "quality": float(quality.mean()),
        "error": float(np.average(off, weights=sizes)),
        "lowest": float(is_object[parts[0]].mean()),
        "highest": float(is_object[parts[-1]].mean()),
    }


def main() -> None:
    """Parse, propose, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.proposal_quality", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--world", nargs="+", type=int, required=True, help="seeds of worlds")
    parser.add_argument("--count", type=int, default=80, help="recordings of each world")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--detector", type=Path, help="an ONNX detector, measured too")
    parser.add_argument("--fit", action="store_true", help="print slopes and offsets")
    parser.add_argument("--out", type=Path, help="write the table as JSON")
    arguments = parser.parse_args()
    ways = {name: proposer(name) for name in arguments.ways}
    if arguments.detector:
        ways["detector"] = proposer("detector", model=arguments.detector, min_score=0.05)
    found: dict[str, list[Judged]] = defaultdict(list)
    for number, scene in enumerate(scenes(arguments.world, arguments.count)):
        for name, way in ways.items():
            found[name] += judged(way, scene, number)
    rows = [row_of(name, found[name]) for name in ways if found[name]]
    for row in rows:
        print(
            f"{row['name']:10} {row['count']:6} boxes, {row['objects']:.3f} are objects, quality "
            f"{row['quality']:.3f}, error {row['error']:.3f}, lowest tenth {row['lowest']:.3f}, "
            f"highest {row['highest']:.3f}"
        )
    if arguments.fit:
        for name in ways:
            for kind in FoundIn:
                some = [one for one in found[name] if one.proposal.found_in is kind]
                if some:
                    scores = np.array([one.proposal.score for one in some])
                    slope, offset = fitted(scores, np.array([one.is_object for one in some]))
                    print(f"{name:10} {kind:5} {len(some):6} boxes: ({slope:.2f}, {offset:.2f})")
    if arguments.out:
        settings = {"worlds": arguments.world, "recordings": arguments.count}
        content = {"command": parser.prog, **settings, "versions": versions(), "rows": rows}
        write_json(arguments.out, content)


if __name__ == "__main__":
    main()
