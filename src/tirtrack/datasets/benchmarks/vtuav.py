"""VTUAV: RGB-T sequences from a drone, ``SET/SEQUENCE/{rgb,ir}/`` with ``rgb.txt``, ``ir.txt``.

One row for ten frames. The root is the folder of one part, which holds ``test_ST_001/`` and so on.
The base of the coordinates is assumed: no source states it.
"""

from __future__ import annotations

from dataclasses import replace

from tirtrack.datasets.benchmark import Benchmark
from tirtrack.datasets.folders import PROTOCOL, sequence_readers
from tirtrack.datasets.sequence_layouts import VTUAV

SHORT = Benchmark(
    name="vtuav-short",
    title="VTUAV (short-term test)",
    described="zhang-pengyu.github.io/DUT-VTUAV",
    protocol=PROTOCOL,
    reader=sequence_readers,
    layout=VTUAV,
    count=176,
)
LONG = replace(SHORT, name="vtuav-long", title="VTUAV (long-term test)", count=74)
BENCHMARKS = (SHORT, LONG)
