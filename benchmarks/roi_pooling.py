"""Speed of RoI pooling beside its plain form, on one thread, in one run.

    python -m benchmarks.roi_pooling [--out roi_pooling.json]

What a tracker does in a frame: 30 boxes, about a quarter of the patch a side, are refined in 10
steps; each step pools 256 channels of both maps of a 288 px patch (36x36 cells into 5x5 bins, 18x18
into 3x3) and takes the gradient by the boxes. The head between the two is left out: a fixed random
weight for each pooled value stands in its place.
The plain form multiplies with matrices over the whole map and leaves the gradient to automatic
differentiation; the forms take turns. "channels last" is ours on features that lie so in memory,
which saves a copy. The share of the plain form's time is that of the same round; beside its median
stands the range from its 10th to its 90th percentile. The command refuses to give figures while
other processes work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.command import ends
from benchmarks.interleaved import Contender, Pace, in_turn, milliseconds, ratio, table
from tirtrack.files import write_json
from tirtrack.networks.roi_pooling import precise_roi_pool

PATCH = 288
CHANNELS = 256
MAPS = ((36, 5), (18, 3))  # cells a side, bins a side
BOXES = 30
STEPS = 10
WARM_UP = 3
COMMAND = "python -m benchmarks.roi_pooling"

Pool = Callable[[Tensor, Tensor, tuple[int, int], float], Tensor]


def plain_roi_pool(
    features: Tensor, rois: Tensor, size_hw: tuple[int, int], scale: float
) -> Tensor:
    """:func:`precise_roi_pool` written as its equation: sums over all cells."""
    corners = rois[:, 1:] * scale
    x0, y0, x1, y1 = corners.unbind(1)
    rows = _bin_weights(y0, y1, size_hw[0], features.shape[2])
    columns = _bin_weights(x0, x1, size_hw[1], features.shape[3])
    full = ((x1 > x0) & (y1 > y0))[:, None, None, None]
    image = rois[:, 0].long()
    if features.shape[0] == 1:  # no copy of the map for each box
        pooled = torch.einsum("rpy,cyx,rqx->rcpq", rows, features[0], columns)
    else:
        pooled = torch.einsum("rpy,rcyx,rqx->rcpq", rows, features[image], columns)
    return torch.where(full, pooled, torch.zeros_like(pooled))


def _bin_weights(low: Tensor, high: Tensor, bins: int, cells: int) -> Tensor:
    """``[R,bins,cells]``: differences of the integral of the hat, over the length of a bin."""
    length = (high - low).clamp(min=0) / bins
    edges = low[:, None] + length[:, None] * torch.arange(bins + 1, dtype=low.dtype)
    t = (edges[:, :, None] - torch.arange(cells, dtype=low.dtype)).clamp(-1, 1)
    integral = torch.where(t < 0, (t + 1) ** 2 / 2, 1 - (1 - t) ** 2 / 2)
    length = torch.where(length > 0, length, torch.ones_like(length))
    return (integral[:, 1:] - integral[:, :-1]) / length[:, None, None]


def refine(pool: Pool, maps: list[Tensor], rois: Tensor, head: list[Tensor]) -> Tensor:
    """The boxes ``[R,5]`` after all steps up the gradient of the weighted pooled features."""
    for _ in range(STEPS):
        rois = rois.detach().requires_grad_()
        energy = sum(
            (pool(features, rois, (bins, bins), cells / PATCH) * weights).sum()
            for features, weights, (cells, bins) in zip(maps, head, MAPS, strict=True)
        )
        (slope,) = torch.autograd.grad(energy, rois)
        rois = rois + 0.1 * slope / slope.abs().max()
    return rois.detach()


def inputs() -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """Features ``[1,C,H,W]`` of both maps, boxes ``[R,5]`` and the weights in the head's place."""
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(1, CHANNELS, n, n, generator=generator) for n, _ in MAPS]
    head = [torch.randn(BOXES, CHANNELS, k, k, generator=generator) for _, k in MAPS]
    centres = PATCH / 2 + 10 * torch.randn(BOXES, 2, generator=generator)
    sizes = PATCH / 4 * (1 + 0.1 * torch.randn(BOXES, 2, generator=generator))
    corners = [centres - sizes / 2, centres + sizes / 2]
    return maps, torch.cat([torch.zeros(BOXES, 1), *corners], dim=1), head


def main() -> Iterable[str]:
    """Time, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="rounds, at least 15")
    parser.add_argument("--out", type=Path)
    machine.add_watch_option(parser)
    arguments = parser.parse_args()

    watch = machine.Watch(assume_idle=arguments.assume_idle)
    maps, rois, head = inputs()
    last = [features.contiguous(memory_format=torch.channels_last) for features in maps]
    forms = [
        ("plain, whole map", plain_roi_pool, maps),
        ("tirtrack", precise_roi_pool, maps),
        ("tirtrack, channels last", precise_roi_pool, last),
    ]
    plain, *ours = [
        Contender(name, lambda _, pool=pool, features=features: refine(pool, features, rois, head))
        for name, pool, features in forms
    ]
    times = in_turn([plain, *ours], Pace(arguments.rounds, 1, WARM_UP), watch)
    others = watch.check()
    figures = {plain.name: [milliseconds(times[plain.name])]}
    for one in ours:
        own = times[one.name]
        figures[one.name] = [milliseconds(own), ratio(own, times[plain.name])]
    print("median (10th to 90th percentile) over the rounds; share: of the plain form's time")
    for line in table(figures, "share"):
        print(line)
    if arguments.out is not None:
        sizes = {"boxes": BOXES, "steps": STEPS, "channels": CHANNELS, "rounds": arguments.rounds}
        rows = {name: [asdict(one) for one in both] for name, both in figures.items()}
        content = {**machine.facts(COMMAND, others), **sizes, "ms_and_share_of_plain": rows}
        write_json(arguments.out, content)
    return ()


if __name__ == "__main__":
    sys.exit(ends("roi_pooling", main))
