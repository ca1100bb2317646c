"""VOT-TIR 2015 and 2016, VOT-RGBT 2019 and 2020, as the VOT toolkits store them.

``SEQUENCE/groundtruth.txt`` with boxes or corner polygons that count from 0, ``list.txt`` beside
the sequences; frames in ``SEQUENCE/`` (TIR), in ``SEQUENCE/ir/`` beside ``color/`` (RGBT).
"""

from __future__ import annotations

from dataclasses import replace

from tirtrack.datasets.benchmark import Benchmark
from tirtrack.datasets.folders import sequence_readers
from tirtrack.datasets.sequence_layouts import PLAIN, VOT_RGBT

TIR_2015 = Benchmark(
    name="vot-tir2015",
    title="VOT-TIR2015",
    described="www.votchallenge.net/vot2015 (data: LTIR, Linkoping University)",
    protocol="vot-supervised",
    reader=sequence_readers,
    layout=PLAIN,
    count=20,
    list_file="list.txt",
)
TIR_2016 = replace(
    TIR_2015,
    name="vot-tir2016",
    title="VOT-TIR2016",
    described="www.votchallenge.net/vot2016/dataset.html",
    count=25,
)
RGBT_2019 = replace(
    TIR_2015,
    name="vot-rgbt2019",
    title="VOT-RGBT2019",
    described="www.votchallenge.net/vot2019/dataset.html",
    protocol="vot-multistart",
    layout=replace(VOT_RGBT, needs=("ir",)),
    count=60,
)
RGBT_2020 = replace(
    RGBT_2019,
    name="vot-rgbt2020",
    title="VOT-RGBT2020",
    described="www.votchallenge.net/vot2020/dataset.html",
)
BENCHMARKS = (TIR_2015, TIR_2016, RGBT_2019, RGBT_2020)
