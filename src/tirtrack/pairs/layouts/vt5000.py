"""VT5000: ``{Train,Test}/{RGB,T}/N.jpg``, stills; the masks in ``GT/`` are labels."""

from __future__ import annotations

from pathlib import Path

from tirtrack.pairs.layouts.base import DataSet


def _marked(folder: Path) -> bool:
    is_split = folder.name in ("Train", "Test")
    return is_split and ((folder / "GT").is_dir() or "VT5000" in folder.parent.name)


VT5000 = DataSet(
    name="vt5000",
    title="VT5000",
    looked_for="{Train,Test}/RGB/*.jpg and {Train,Test}/T/*.jpg",
    rgb=("RGB",),
    tir=("T",),
    marked=_marked,
    is_video=False,
)
