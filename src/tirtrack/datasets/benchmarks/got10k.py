"""GOT-10k: ``GOT-10k_Val_000001/`` with images, ``groundtruth.txt``, ``cover.label`` and more.

The root is the folder of one part or the one around it. Of the test part only the first boxes are
published; its other frames are read as frames without a target, so that trackers run over it for an
upload, and its scores say nothing.
"""

from __future__ import annotations

from dataclasses import replace

from tirtrack.datasets.benchmark import Benchmark, ListedSequence
from tirtrack.datasets.folders import PROTOCOL, sequence_readers
from tirtrack.datasets.sequence_layouts import GOT10K


def _part(part: str, count: int, title: str) -> Benchmark:
    names = (f"GOT-10k_{part}_{number:06d}" for number in range(1, count + 1))
    flags = () if part == "Test" else GOT10K.flags
    return Benchmark(
        name=f"got10k-{part.lower()}",
        title=title,
        described="github.com/got-10k/toolkit",
        protocol=PROTOCOL if part == "Test" else "got10k",
        reader=sequence_readers,
        layout=replace(GOT10K, needs=(), first_only=part == "Test", flags=flags),
        count=count,
        sequences=tuple(ListedSequence(name) for name in names),
        folder="got10k",
    )


BENCHMARKS = (
    _part("Train", 9335, "GOT-10k (training)"),
    _part("Val", 180, "GOT-10k (validation)"),
    _part("Test", 180, "GOT-10k (test, first boxes only)"),
)
