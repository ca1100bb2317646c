"""MSRS: ``{train,test}/{vi,ir}/NNNNND.png`` by day and ``NNNNNN.png`` by night, stills.

Labels stand in ``Segmentation_labels/`` beside them.
"""

from __future__ import annotations

from pathlib import Path

from tirtrack.pairs.layouts.base import DataSet, frames_fit


def _marked(folder: Path) -> bool:
    return frames_fit(folder / "vi", r"\d{5}[DN]")


MSRS = DataSet(
    name="msrs",
    title="MSRS",
    looked_for="{train,test}/vi/NNNNN[DN].png and {train,test}/ir/NNNNN[DN].png",
    rgb=("vi",),
    tir=("ir",),
    marked=_marked,
    is_video=False,
)
