"""VTUAV: ``SEQ/{rgb,ir}/NNNNNN.jpg``, 30 frames a second; labels are ``rgb.txt`` and ``ir.txt``."""

from __future__ import annotations

from pathlib import Path

from tirtrack.pairs.layouts.base import DataSet


def _marked(folder: Path) -> bool:
    return (folder / "rgb.txt").is_file() and (folder / "ir.txt").is_file()


VTUAV = DataSet(
    name="vtuav",
    title="VTUAV",
    looked_for="SEQ/rgb/*.jpg and SEQ/ir/*.jpg",
    rgb=("rgb",),
    tir=("ir",),
    marked=_marked,
    frames_per_s=30.0,
)
