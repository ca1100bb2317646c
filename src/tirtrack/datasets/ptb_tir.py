"""Reader of PTB-TIR (60 sequences, 10 attributes)."""

from __future__ import annotations

from pathlib import Path

from tirtrack.datasets.anno_layout import Benchmark, open_benchmark
from tirtrack.datasets.sequence import LabelledDataset

PTB_TIR = Benchmark(
    protocol="ptb-tir",
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
)


def open_ptb_tir(root: Path, *, with_frames: bool = True) -> LabelledDataset:
    """PTB-TIR at ``root``.

    Raises:
        DatasetError: as :func:`tirtrack.datasets.anno_layout.open_benchmark`.
    """
    return open_benchmark(root, PTB_TIR, with_frames=with_frames)
