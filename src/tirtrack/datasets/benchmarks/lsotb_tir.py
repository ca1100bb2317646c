"""LSOTB-TIR: 2020 with 120 sequences (119 in its first release), and the two parts of 2023.

``anno/SEQUENCE.txt`` with ``x,y,w,h`` that nominally count from 1, 16 attributes in
``anno/att/SEQUENCE.txt``, frames below the sequence's name. The letter in a name (V, D, S, H) is
the scenario, which is the subset.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tirtrack.datasets.anno_layout import sequence_readers
from tirtrack.datasets.benchmark import Benchmark, KnownError, published

_SOURCE = "github.com/QiaoLiuHit/LSOTB-TIR"
_SWAPPED = KnownError(
    "some releases pack this sequence as car_D_001, which no list has",
    f"{_SOURCE}, issue 4",
    "cat_D_001",
)

LSOTB_TIR = Benchmark(
    name="lsotb-tir",
    title="LSOTB-TIR (2020, all 120)",
    described=_SOURCE,
    protocol="lsotb-tir",
    reader=sequence_readers,
    count=120,
    sequences=published("lsotb_tir"),
    attribute_names=(
        "deformation",
        "occlusion",
        "distractor",
        "background clutter",
        "out of view",
        "scale variation",
        "fast motion",
        "motion blur",
        "thermal crossover",
        "intensity variation",
        "low resolution",
        "aspect ratio variation",
        "vehicle-mounted",
        "drone-mounted",
        "surveillance",
        "hand-held",
    ),
    subset=re.compile(r"_([VDSH])_\d+$"),
    has_absent=False,
    errors=(_SWAPPED,),
)
LSOTB_TIR_119 = replace(
    LSOTB_TIR,
    name="lsotb-tir-119",
    title="LSOTB-TIR (2020, first release, without cat_D_001)",
    protocol="lsotb-tir-119",
    count=119,
    sequences=published("lsotb_tir", without="cat_D_001"),
    folder="lsotb-tir",
    errors=(),
)
SHORT = replace(
    LSOTB_TIR,
    name="lsotb-tir-2023-short",
    title="LSOTB-TIR (2023, short-term)",
    protocol="lsotb-tir-2023-short",
    count=100,
    sequences=published("lsotb_tir_2023_short"),
    errors=(),
)
LONG = replace(
    SHORT,
    name="lsotb-tir-2023-long",
    title="LSOTB-TIR (2023, long-term)",
    protocol="lsotb-tir-2023-long",
    count=11,
    sequences=published("lsotb_tir_2023_long"),
    errors=(
        KnownError(
            "absent targets are 0,0,0,0: misses in success, hits in precision, whatever is tracked",
            f"{_SOURCE}, annotation of 2023",
        ),
    ),
)
BENCHMARKS = (LSOTB_TIR, LSOTB_TIR_119, SHORT, LONG)
