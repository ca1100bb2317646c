"""Anti-UAV (RGB-T videos, test part) and Anti-UAV410 (TIR images, test part).

JSON with ``exist`` and ``gt_rect``, which count from 0: ``SEQUENCE/infrared.json`` beside
``infrared.mp4``, ``SEQUENCE/IR_label.json`` beside the images.
"""

from __future__ import annotations

from dataclasses import replace

from tirtrack.datasets.benchmark import Benchmark
from tirtrack.datasets.folders import sequence_readers
from tirtrack.datasets.sequence_layouts import ANTI_UAV, ANTI_UAV410

RGBT = Benchmark(
    name="anti-uav",
    title="Anti-UAV (RGB-T, test)",
    described="github.com/ZhaoJ9014/Anti-UAV",
    protocol="antiuav-2020",
    reader=sequence_readers,
    layout=ANTI_UAV,
    count=91,
)
TIR_410 = replace(
    RGBT,
    name="anti-uav410",
    title="Anti-UAV410 (test)",
    described="github.com/HwangBo94/Anti-UAV410",
    protocol="antiuav410",
    layout=ANTI_UAV410,
    count=120,
)
BENCHMARKS = (RGBT, TIR_410)
