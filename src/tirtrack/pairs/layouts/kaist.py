"""KAIST multispectral pedestrians: ``setNN/VNNN/{visible,lwir}/INNNNN.jpg``, 20 frames a second.

Labels stand in ``annotations/setNN/VNNN/`` beside the sets.
"""

from __future__ import annotations

import re
from pathlib import Path

from tirtrack.pairs.layouts.base import DataSet


def _marked(folder: Path) -> bool:
    return bool(re.fullmatch(r"set\d\d/V\d\d\d", f"{folder.parent.name}/{folder.name}"))


KAIST = DataSet(
    name="kaist",
    title="KAIST",
    looked_for="setNN/VNNN/visible/*.jpg and setNN/VNNN/lwir/*.jpg",
    rgb=("visible",),
    tir=("lwir",),
    marked=_marked,
    frames_per_s=20.0,
)
