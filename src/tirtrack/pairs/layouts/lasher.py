"""LasHeR: ``SEQ/{visible,infrared}/*.jpg``, whose names follow no single rule.

Its readers take frame k of both cameras in order of their names; so does this one where names do
not match. Labels are ``visible.txt``, ``infrared.txt`` and ``init.txt``.
"""

from __future__ import annotations

from pathlib import Path

from tirtrack.pairs.layouts.base import DataSet
from tirtrack.pairs.stems import matched_in_order


def _marked(folder: Path) -> bool:
    return (folder / "visible.txt").is_file() and (folder / "infrared.txt").is_file()


LASHER = DataSet(
    name="lasher",
    title="LasHeR",
    looked_for="SEQ/visible/*.jpg and SEQ/infrared/*.jpg",
    rgb=("visible",),
    tir=("infrared",),
    marked=_marked,
    is_video=True,
    match=matched_in_order,
)
