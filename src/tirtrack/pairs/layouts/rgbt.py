"""RGBT210 and RGBT234: ``SEQ/visible/NNNNNv.jpg`` and ``SEQ/infrared/NNNNNi.jpg``.

Labels are ``init.txt`` (RGBT210), ``visible.txt`` and ``infrared.txt`` (RGBT234).
"""

from __future__ import annotations

from pathlib import Path

from tirtrack.pairs.layouts.base import DataSet, frames_fit
from tirtrack.pairs.stems import matched_in_order


def _marked_210(folder: Path) -> bool:
    has_label = (folder / "init.txt").is_file() and not (folder / "visible.txt").is_file()
    return has_label and frames_fit(folder / "visible", r"\d+v")


def _marked_234(folder: Path) -> bool:
    return (folder / "visible.txt").is_file() and frames_fit(folder / "visible", r"\d+v")


RGBT210 = DataSet(
    name="rgbt210",
    title="RGBT210",
    looked_for="SEQ/visible/*v.jpg and SEQ/infrared/*i.jpg",
    rgb=("visible",),
    tir=("infrared",),
    marked=_marked_210,
    is_video=True,
    match=matched_in_order,
)
RGBT234 = DataSet(
    name="rgbt234",
    title="RGBT234",
    looked_for="SEQ/visible/*v.jpg and SEQ/infrared/*i.jpg",
    rgb=("visible",),
    tir=("infrared",),
    marked=_marked_234,
    is_video=True,
    match=matched_in_order,
)
