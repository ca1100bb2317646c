"""The files of an inspection of pairs: contact sheet, findings, manifest.

``tirtrack pairs inspect``, the demo and a distillation write the same files under the same names;
the report reads them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tirtrack.files import atomic_path, write_json
from tirtrack.pairs.contact_sheet import contact_sheet
from tirtrack.pairs.proposals.base import ProposalSet
from tirtrack.pairs.source import Manifest, PairSource

if TYPE_CHECKING:
    from tirtrack.pairs.inspect import Inspection

SHEET_NAME = "contact_sheet.png"
INSPECTION_NAME = "inspection.json"
MANIFEST_NAME = "manifest.json"
TILES = 8


def write_inspection(
    folder: Path, source: PairSource, found: Inspection, *, tiles: int = TILES
) -> None:
    """Write what an inspection found, with a contact sheet of ``tiles`` pairs.

    Raises:
        StorageError: a file could not be written.
    """
    write_contact_sheet(folder, source, found.proposals, tiles=tiles)
    write_json(folder / INSPECTION_NAME, found.document())
    write_manifest(folder, source.manifest())


def write_contact_sheet(
    folder: Path, source: PairSource, proposals: Mapping[int, ProposalSet], *, tiles: int = TILES
) -> None:
    """Write a picture of some pairs, if any can be read.

    Args:
        folder: target folder; made if missing.
        source: the pairs.
        proposals: proposals by index in the source.
        tiles: largest number of pairs on the picture.

    Raises:
        StorageError: it could not be written.
    """
    if all(one.fault is not None for one in proposals.values()):
        return
    sheet = Image.fromarray(contact_sheet(source, proposals, count=tiles))
    with atomic_path(folder / SHEET_NAME) as partial:
        sheet.save(partial, compress_level=3)


def write_manifest(
    folder: Path, manifest: Manifest, *, proposals: Mapping[str, Any] | None = None
) -> None:
    """Write the list of source files, with their hashes and licence.

    Args:
        folder: target folder; made if missing.
        manifest: manifest of the source.
        proposals: identity of the proposer, if one was used.

    Raises:
        StorageError: it could not be written.
    """
    proposed = {} if proposals is None else {"proposals": dict(proposals)}
    write_json(folder / MANIFEST_NAME, {"format": 1, **asdict(manifest), **proposed})
