"""The files of an inspection of pairs: findings, contact sheet, manifest.

``tirtrack pairs inspect``, the demo and a distillation write the same files under the same names;
the report reads them back. The defaults of the findings are what older files mean that lack an
entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import Field, SkipValidation

from tirtrack.files import atomic_path, write_json
from tirtrack.pairs.contact_sheet import contact_sheet
from tirtrack.pairs.doubts import RecordingDoubts
from tirtrack.pairs.proposals.base import ProposalSet
from tirtrack.pairs.registration import OffsetSummary
from tirtrack.pairs.rig import TimeOffset
from tirtrack.pairs.source import Manifest, PairSource
from tirtrack.pairs.tracklets import Track
from tirtrack.stored import Stored, read_stored, write_stored

SHEET_NAME = "contact_sheet.png"
INSPECTION_NAME = "inspection.json"
MANIFEST_NAME = "manifest.json"
TILES = 8


class RecordingFacts(Stored):
    """One recording.

    Attributes:
        name: name in the source.
        pairs: number of pairs.
        is_video: whether neighbours are neighbours in time.
        sizes: number of pairs by size of the common grid, ``WIDTHxHEIGHT``.
        tir_depths: number of pairs by type of the TIR samples.
        tir_resampled_from: size of TIR as stored, if it was resampled onto the RGB grid.
        tir_masked_pairs: number of pairs with TIR pixels that hold no measurement.
        tir_masked_share: share of such pixels in these pairs, on average.
        offset: offset between the modalities, pixels of the frame.
        assumed: assumptions about names and time; empty if none.
        description: layout with the rule of matching, size and depth of RGB, those of TIR with the
            maker of its camera, and rate, a phrase each; empty where nothing is known.
        judged: number of sampled pairs of which it was judged whether they can be used.
        unusable: number of these that cannot be used, by reason; they got no boxes.
        doubts: measured doubts that its pairs are real pairs.
        time: time offset of TIR in its pairs; ``None`` where it cannot be told.
    """

    name: str
    pairs: int
    is_video: bool = False
    sizes: Mapping[str, int] = {}
    tir_depths: Mapping[str, int] = {}
    tir_resampled_from: str | None = None
    tir_masked_pairs: int = 0
    tir_masked_share: float = 0.0
    offset: OffsetSummary = OffsetSummary()
    assumed: str = ""
    description: Sequence[str] = ()
    judged: int = 0
    unusable: Mapping[str, int] = {}
    doubts: RecordingDoubts = RecordingDoubts()
    time: TimeOffset | None = None


class Damage(Stored):
    """A pair that cannot be used, and why."""

    index: int
    message: str


class ProposalRates(Stored):
    """How many boxes a proposer yields.

    Attributes:
        way: name of the proposer.
        pairs: number of pairs that were tried.
        kept: number of kept boxes, by the modality in which they were found.
        rejected: number of rejected boxes, by reason.
        fallback_pairs: number of pairs that got random boxes because it found nothing usable.
        empty_pairs: number of pairs without any usable box.
        accepted: share of the proposed boxes that were kept; 0 where none was proposed.
    """

    way: str
    pairs: int = 0
    kept: Mapping[str, int] = {}
    rejected: Mapping[str, int] = {}
    fallback_pairs: int = 0
    empty_pairs: int = 0
    accepted: float = 0.0


class Inspection(Stored):
    """Everything that :func:`tirtrack.pairs.inspect.inspect_pairs` found; ``inspection.json`` holds
    the same, without the boxes.

    Attributes:
        format: version of the file format.
        name: name of the source.
        source_line: the source in one line.
        unit: what the source holds, ``pair``, or ``TIR frame`` without RGB.
        pairs: number of pairs, damaged ones included.
        usable_pairs: number of pairs that are not damaged.
        recordings: facts of each recording.
        damaged: all pairs that cannot be used.
        unusable_recordings: recordings that cannot be used, not counted above, and why.
        offset: offset between the modalities, over all sampled pairs.
        proposals: counts of the proposals in the sampled pairs.
        registration: recordings whose modalities lay apart, and how they were registered or why
            not, one sentence for each; ``offset`` is what remains.
        assumed: assumptions about names and time, one sentence each.
        warnings: advice and facts for the user, one sentence each.
        boxes: proposals in the sampled pairs, by index; for the contact sheet.
    """

    format: Literal[1] = 1
    name: str
    source_line: str = ""
    unit: str = "pair"
    pairs: int
    usable_pairs: int
    recordings: Sequence[RecordingFacts] = ()
    damaged: Sequence[Damage] = ()
    unusable_recordings: Sequence[str] = ()
    offset: OffsetSummary = OffsetSummary()
    proposals: ProposalRates | None = None
    registration: Sequence[str] = ()
    assumed: Sequence[str] = ()
    warnings: Sequence[str] = ()
    boxes: SkipValidation[Mapping[int, ProposalSet]] = Field({}, exclude=True, repr=False)


def read_inspection(folder: Path) -> Inspection | None:
    """The inspection in a folder; ``None`` without one.

    Raises:
        DatasetError: the file is damaged.
    """
    return read_stored(
        folder / INSPECTION_NAME,
        Inspection,
        called="inspection of pairs",
        fix="run tirtrack pairs inspect again",
    )


def write_inspection(
    folder: Path, source: PairSource, found: Inspection, *, tiles: int = TILES
) -> None:
    """Write what an inspection found, with a contact sheet of ``tiles`` pairs.

    Raises:
        StorageError: a file could not be written.
    """
    write_contact_sheet(folder, source, found.boxes, tiles=tiles)
    write_stored(folder / INSPECTION_NAME, found)
    write_manifest(folder, source.manifest())


def write_contact_sheet(
    folder: Path,
    source: PairSource,
    proposals: Mapping[int, ProposalSet],
    tracks: Sequence[Track] = (),
    *,
    tiles: int = TILES,
) -> None:
    """Write a picture of some pairs, if any can be read.

    Args:
        folder: target folder; made if missing.
        source: the pairs.
        proposals: proposals by index in the source.
        tracks: tracks of which some are shown as well.
        tiles: largest number of pairs on the picture.

    Raises:
        StorageError: it could not be written.
    """
    if all(one.fault is not None for one in proposals.values()):
        return
    sheet = Image.fromarray(contact_sheet(source, proposals, tracks, count=tiles))
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
