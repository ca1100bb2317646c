"""RGBT210: 210 RGB-T sequences with one annotation for both modalities, ``init.txt``."""

from __future__ import annotations

from tirtrack.datasets.benchmark import Benchmark
from tirtrack.datasets.folders import sequence_readers
from tirtrack.datasets.sequence_layouts import RGBT210

BENCHMARKS = (
    Benchmark(
        name="rgbt210",
        title="RGBT210",
        described="github.com/mmic-lcl/Datasets-and-benchmark-code",
        protocol="rgbt210",
        reader=sequence_readers,
        layout=RGBT210,
        count=210,
        has_absent=False,
    ),
)
