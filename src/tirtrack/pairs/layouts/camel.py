"""CAMEL: ``Sequence-N/`` with a folder of frames for each camera.

Labels are ``SeqN-Vis.txt`` and ``SeqN-IR.txt``. No public reader was found that names both folders
of frames, so the usual spellings are taken.
"""

from __future__ import annotations

from pathlib import Path

from tirtrack.pairs.layouts.base import DataSet, holds_file


def _marked(folder: Path) -> bool:
    return holds_file(folder, r"(?i)Seq\d+-(IR|Vis)\.txt")


CAMEL = DataSet(
    name="camel",
    title="CAMEL",
    looked_for="Sequence-N/Visual/*.jpg and Sequence-N/IR/*.jpg",
    rgb=("Visual", "Vis", "Visible", "RGB"),
    tir=("IR", "Infrared", "Thermal"),
    marked=_marked,
)
