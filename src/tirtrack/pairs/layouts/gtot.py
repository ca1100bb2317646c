"""GTOT: ``SEQ/v/NNNNNv.png`` and ``SEQ/i/NNNNNi.png``.

Labels are ``groundTruth_v.txt``, ``groundTruth_i.txt`` and ``init.txt``.
"""

from __future__ import annotations

from pathlib import Path

from tirtrack.pairs.layouts.base import DataSet
from tirtrack.pairs.stems import matched_in_order


def _marked(folder: Path) -> bool:
    return (folder / "groundTruth_v.txt").is_file() and (folder / "groundTruth_i.txt").is_file()


GTOT = DataSet(
    name="gtot",
    title="GTOT",
    looked_for="SEQ/v/*.png and SEQ/i/*.png",
    rgb=("v",),
    tir=("i",),
    marked=_marked,
    is_video=True,
    match=matched_in_order,
)
