"""LasHeR: RGB-T sequences in the layout of RGBT234; 245 for tests, 979 for training."""

from __future__ import annotations

from dataclasses import replace

from tirtrack.datasets.benchmark import Benchmark, KnownError, published
from tirtrack.datasets.folders import sequence_readers
from tirtrack.datasets.sequence_layouts import RGBT234

TEST = Benchmark(
    name="lasher",
    title="LasHeR (testing set)",
    described="github.com/BUGPLEASEOUT/LasHeR",
    protocol="lasher",
    reader=sequence_readers,
    layout=RGBT234,
    count=245,
    sequences=published("lasher_test"),
    has_absent=False,
    errors=(
        KnownError(
            "the toolkit's annotation has a value of 0 or less in 1260 frames of 52 sequences: "
            "misses in success, hits in precision",
            "github.com/opacity-black/RGBT_toolkit",
        ),
    ),
)
TRAIN = replace(
    TEST,
    name="lasher-train",
    title="LasHeR (training set)",
    count=979,
    sequences=(),
    errors=(
        KnownError(
            "three frames of this sequence are damaged in the published archive",
            "github.com/mmic-lcl/Datasets-and-benchmark-code, issue 11",
            "blueboy85",
        ),
    ),
)
BENCHMARKS = (TEST, TRAIN)
