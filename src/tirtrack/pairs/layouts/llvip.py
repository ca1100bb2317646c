"""LLVIP: ``{visible,infrared}/{train,test}/NNNNNN.jpg``; the first two digits are the place.

One frame a second was kept, so frames are stills; each place is a recording. Labels stand in
``Annotations/``.
"""

from __future__ import annotations

from pathlib import Path

from tirtrack.pairs.layouts.base import DataSet, frames_fit

_STEM = r"\d{6}"


def _marked(folder: Path) -> bool:
    return any(frames_fit(folder / "visible" / split, _STEM) for split in ("train", "test"))


def _place(stem: str) -> str:
    return stem[:2]


LLVIP = DataSet(
    name="llvip",
    title="LLVIP",
    looked_for="visible/{train,test}/NNNNNN.jpg and infrared/{train,test}/NNNNNN.jpg",
    rgb=("visible",),
    tir=("infrared",),
    marked=_marked,
    is_video=False,
    scene=_place,
)
