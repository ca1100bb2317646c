"""PTB-TIR: 60 sequences of pedestrians, 10 attributes, in the layout of LSOTB-TIR."""

from __future__ import annotations

from tirtrack.datasets.anno_layout import sequence_readers
from tirtrack.datasets.benchmark import Benchmark, published

PTB_TIR = Benchmark(
    name="ptb-tir",
    title="PTB-TIR (annotation of 2019-11-04)",
    described="github.com/QiaoLiuHit/PTB-TIR_Evaluation_toolkit",
    protocol="ptb-tir",
    reader=sequence_readers,
    count=60,
    sequences=published("ptb_tir"),
    attribute_names=(
        "deformation",
        "occlusion",
        "scale variation",
        "background clutter",
        "low resolution",
        "fast motion",
        "motion blur",
        "out of view",
        "intensity variation",
        "thermal crossover",
    ),
    has_absent=False,
)
BENCHMARKS = (PTB_TIR,)
