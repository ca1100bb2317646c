"""RGBT234: 234 RGB-T sequences, ``visible.txt`` and ``infrared.txt``."""

from __future__ import annotations

from tirtrack.datasets.benchmark import Benchmark, published
from tirtrack.datasets.folders import sequence_readers
from tirtrack.datasets.sequence_layouts import RGBT234

BENCHMARKS = (
    Benchmark(
        name="rgbt234",
        title="RGBT234",
        described="github.com/mmic-lcl/Datasets-and-benchmark-code",
        protocol="rgbt234",
        reader=sequence_readers,
        layout=RGBT234,
        count=234,
        sequences=published("rgbt234"),
        has_absent=False,
    ),
)
