"""GTOT: 50 RGB-T sequences, ``groundTruth_v.txt`` and ``groundTruth_i.txt`` with corners."""

from __future__ import annotations

from tirtrack.datasets.benchmark import Benchmark, published
from tirtrack.datasets.folders import sequence_readers
from tirtrack.datasets.sequence_layouts import GTOT

BENCHMARKS = (
    Benchmark(
        name="gtot",
        title="GTOT",
        described="github.com/mmic-lcl/Datasets-and-benchmark-code",
        protocol="gtot",
        reader=sequence_readers,
        layout=GTOT,
        count=50,
        sequences=published("gtot"),
        has_absent=False,
    ),
)
