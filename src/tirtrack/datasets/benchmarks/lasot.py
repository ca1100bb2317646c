"""LaSOT: 1400 sequences, ``CLASS/SEQUENCE/groundtruth.txt`` beside ``img/`` and absence flags.

The flags of ``full_occlusion.txt`` and ``out_of_view.txt`` say where the target is absent.
"""

from __future__ import annotations

from dataclasses import replace

from tirtrack.datasets.benchmark import Benchmark, KnownError, published
from tirtrack.datasets.folders import sequence_readers
from tirtrack.datasets.sequence_layouts import LASOT

_SOURCE = "github.com/HengLan/LaSOT_Evaluation_Toolkit"
WHOLE = Benchmark(
    name="lasot",
    title="LaSOT (all 1400)",
    described=_SOURCE,
    protocol="lasot",
    reader=sequence_readers,
    layout=replace(LASOT, needs=()),
    count=1400,
    sequences=published("lasot"),
    errors=(
        KnownError(
            "67783 absent frames carry a box (not used), and 7 other frames a box with a value of "
            "0 or less (misses in success, hits in precision)",
            _SOURCE,
        ),
    ),
)
TEST = replace(
    WHOLE,
    name="lasot-test",
    title="LaSOT (testing set)",
    count=280,
    sequences=published("lasot", only="in_test"),
    folder="lasot",
    errors=(),
)
BENCHMARKS = (WHOLE, TEST)
