"""All layouts by name, and which of them a folder follows.

The order counts: a published data set is recognised by names that no other rig has, and comes
before the names of any two cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tirtrack.errors import PairsError, RequestError
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.layouts.base import Layout
from tirtrack.pairs.layouts.camel import CAMEL
from tirtrack.pairs.layouts.cameras import CAMERAS
from tirtrack.pairs.layouts.flir_adas import FLIR_ADAS_V1, FLIR_ADAS_V2
from tirtrack.pairs.layouts.gtot import GTOT
from tirtrack.pairs.layouts.kaist import KAIST
from tirtrack.pairs.layouts.lasher import LASHER
from tirtrack.pairs.layouts.listing import MAX_DEPTH, beside
from tirtrack.pairs.layouts.llvip import LLVIP
from tirtrack.pairs.layouts.m3fd import M3FD
from tirtrack.pairs.layouts.m3svd import M3SVD
from tirtrack.pairs.layouts.msrs import MSRS
from tirtrack.pairs.layouts.rgbt import RGBT210, RGBT234
from tirtrack.pairs.layouts.roadscene import ROADSCENE
from tirtrack.pairs.layouts.split import SPLITS
from tirtrack.pairs.layouts.vt5000 import VT5000
from tirtrack.pairs.layouts.vtuav import VTUAV
from tirtrack.pairs.stems import natural_key

_DATA_SETS: tuple[Layout, ...] = (
    KAIST, FLIR_ADAS_V1, FLIR_ADAS_V2, LLVIP, M3FD, M3SVD, MSRS, ROADSCENE, VT5000, VTUAV, RGBT234,
    RGBT210, LASHER, GTOT, CAMEL,
)  # fmt: skip
LAYOUTS: dict[str, Layout] = {one.name: one for one in (*_DATA_SETS, CAMERAS, *SPLITS.values())}


@dataclass(frozen=True)
class Place:
    """A folder that holds recordings, and how they lie in it."""

    folder: Path
    layout: Layout


def find_places(folder: Path, pairing: Pairing) -> list[Place]:
    """Where recordings of both cameras lie, in natural order.

    Args:
        folder: looked through up to four levels down.
        pairing: the layout that the user asks for, and names of the cameras. Where these are named
            and no layout is, no data set is guessed.

    Raises:
        RequestError: no layout has this name.
        PairsError: nothing is laid out as the user says.
    """
    if pairing.layout is None:
        is_named = pairing.rgb is not None or pairing.tir is not None
        return _below(folder, (CAMERAS,) if is_named else (*_DATA_SETS, CAMERAS), pairing)
    layout = asked(pairing.layout)
    found = _below(folder, (layout,), pairing)
    if not found:
        raise PairsError(
            f"nothing here or below is laid out as {layout.name}",
            folder,
            f"looked for {layout.looked_for}{beside(folder) if folder.is_dir() else ''}; leave "
            "--layout out to have it guessed",
        )
    return found


def find_split(places: Sequence[Path]) -> list[Place]:
    """Places without partners as split pictures; none if those of the first do not hold both
    cameras.
    """
    found = next((one for one in SPLITS.values() if places and one.shows(places[0])), None)
    return [] if found is None else [Place(path, found) for path in places]


def asked(name: str) -> Layout:
    """A layout by name.

    Raises:
        RequestError: there is none; lists all names.
    """
    if name not in LAYOUTS:
        raise RequestError(
            f'no layout is called "{name}"', "--layout", f"known are {', '.join(LAYOUTS)}"
        )
    return LAYOUTS[name]


def _below(
    folder: Path, layouts: tuple[Layout, ...], pairing: Pairing, depth: int = MAX_DEPTH
) -> list[Place]:
    for layout in layouts:
        if layout.holds(folder, pairing):
            return [Place(folder, layout)]
    if depth == 0 or not folder.is_dir():
        return []
    inside = sorted((path for path in folder.iterdir() if path.is_dir()), key=natural_key)
    return [place for path in inside for place in _below(path, layouts, pairing, depth - 1)]
