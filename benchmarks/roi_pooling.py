"""Speed of RoI pooling beside its plain form, on one thread, in one run.

    python -m benchmarks.roi_pooling [--out roi_pooling.json]

What a tracker does in a frame: 30 boxes, about a quarter of the patch a side, are refined in 10
steps; each step pools 256 channels of both maps of a 288 px patch (36x36 cells into 5x5 bins, 18x18
into 3x3) and takes the gradient by the boxes. The head between the two is left out: a fixed random
weight for each pooled value stands in its place.
The plain form multiplies with matrices over the whole map and leaves the gradient to automatic
differentiation; the forms take turns. "channels last" is ours on features that lie so in memory,
which saves a copy. The ratio is that of the medians; the spread is the middle half of the rounds.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from tirtrack.files import write_json
from tirtrack.networks.roi_pooling import precise_roi_pool

PATCH = 288
CHANNELS = 256
MAPS = ((36, 5), (18, 3))  # cells a side, bins a side
BOXES = 30
STEPS = 10
WARM_UP = 3
BUSY = 1.2  # time by the clock over processor time: above, the machine was not ours

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


class Row:
    """One form: its name, its pooling, the features as it gets them, and its times."""

    def __init__(self, name: str, pool: Pool, maps: list[Tensor]) -> None:
        self.name = name
        self.pool = pool
        self.maps = maps
        self.times_ms: list[float] = []
        self.processor_ms: list[float] = []

    def run(self, rois: Tensor, head: list[Tensor], *, keep: bool) -> None:
        """Refine once; remember how long it took."""
        begin, begin_processor = time.perf_counter(), time.process_time()
        refine(self.pool, self.maps, rois, head)
        if keep:
            self.processor_ms.append((time.process_time() - begin_processor) * 1e3)
            self.times_ms.append((time.perf_counter() - begin) * 1e3)

    def summary(self) -> dict[str, float]:
        """Median and quartiles."""
        low, middle, high = statistics.quantiles(self.times_ms, n=4)
        return {
            "median_ms": round(middle, 2),
            "quartile_low_ms": round(low, 2),
            "quartile_high_ms": round(high, 2),
            "processor_ms": round(statistics.median(self.processor_ms), 2),
        }


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


def main() -> None:
    """Time, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    maps, rois, head = inputs()
    last = [features.contiguous(memory_format=torch.channels_last) for features in maps]
    rows = [
        Row("plain, whole map", plain_roi_pool, maps),
        Row("tirtrack", precise_roi_pool, maps),
        Row("tirtrack, channels last", precise_roi_pool, last),
    ]
    for turn in range(WARM_UP + arguments.rounds):
        for row in rows:
            row.run(rois, head, keep=turn >= WARM_UP)
    _report(rows, arguments)


def _report(rows: list[Row], arguments: argparse.Namespace) -> None:
    summaries = {row.name: row.summary() for row in rows}
    plain = summaries[rows[0].name]
    print(f"{'':26}  median ms  (middle half)     processor ms  share of plain (processor)")
    for name, found in summaries.items():
        for key, share in (("median_ms", "share"), ("processor_ms", "processor_share")):
            found[share] = round(found[key] / plain[key], 2)
        spread = f"({found['quartile_low_ms']:.1f} - {found['quartile_high_ms']:.1f})"
        line = f"{name:26}  {found['median_ms']:9.1f}  {spread:15}  {found['processor_ms']:12.1f}"
        print(f"{line}  {found['share']:14.2f} ({found['processor_share']:.2f})")
    if any(found["median_ms"] > BUSY * found["processor_ms"] for found in summaries.values()):
        print("other work held the processor: only processor times and their ratio count")
    if arguments.out is not None:
        versions = {name: version(name) for name in ("tirtrack", "torch")}
        machine = {"python": platform.python_version(), "machine": platform.processor()}
        content = {
            "boxes": BOXES,
            "steps": STEPS,
            "channels": CHANNELS,
            "threads": 1,
            "rounds": arguments.rounds,
            "rows": summaries,
            "versions": {**versions, **machine},
        }
        write_json(arguments.out, content)


if __name__ == "__main__":
    main()
