"""M3SVD: ``{visible,infrared}/MMDD_HHMM`` as videos or as folders of frames; it has no labels."""

from __future__ import annotations

import re
from pathlib import Path

from tirtrack.pairs.layouts.base import DataSet


def _marked(folder: Path) -> bool:
    names = [one.stem for one in (folder / "visible").iterdir() if not one.name.startswith(".")]
    return bool(names) and all(re.fullmatch(r"\d{4}_\d{4}", one) for one in names)


M3SVD = DataSet(
    name="m3svd",
    title="M3SVD",
    looked_for="visible/MMDD_HHMM.mp4 and infrared/MMDD_HHMM.mp4, or folders of frames so named",
    rgb=("visible",),
    tir=("infrared",),
    marked=_marked,
)
