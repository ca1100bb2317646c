"""Reader of LSOTB-TIR (2020: 120 sequences, 16 attributes) and of data sets in its layout."""

from __future__ import annotations

import re
from pathlib import Path

from tirtrack.datasets.anno_layout import Benchmark, open_benchmark
from tirtrack.datasets.sequence import LabelledDataset

LSOTB_TIR = Benchmark(
    protocol="lsotb-tir",
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
)


def open_lsotb_tir(root: Path, *, with_frames: bool = True) -> LabelledDataset:
    """LSOTB-TIR at ``root``; the letter in a name (V, D, S, H) is its scenario and subset.

    Raises:
        DatasetError: as :func:`tirtrack.datasets.anno_layout.open_benchmark`.
    """
    return open_benchmark(root, LSOTB_TIR, with_frames=with_frames)
