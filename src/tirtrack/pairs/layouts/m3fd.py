"""M3FD: ``Vis/NNNNN.png`` and ``Ir/NNNNN.png``, stills whose numbers count up all the same.

Labels stand in ``Annotation/``.
"""

from __future__ import annotations

from pathlib import Path

from tirtrack.pairs.layouts.base import DataSet, frames_fit


def _marked(folder: Path) -> bool:
    is_set = "m3fd" in folder.name.casefold() or (folder / "Annotation").is_dir()
    return is_set and frames_fit(folder / "Vis", r"\d{5}")


M3FD = DataSet(
    name="m3fd",
    title="M3FD",
    looked_for="Vis/NNNNN.png and Ir/NNNNN.png",
    rgb=("Vis",),
    tir=("Ir",),
    marked=_marked,
    is_video=False,
)
