"""What is known of the unlabelled pairs: an inspection, a run's harvest, the contact sheet.

``tirtrack pairs inspect`` leaves ``inspection.json`` and ``contact_sheet.png``; a distillation
leaves counts over all pairs that it trained on. Either alone is enough.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from tirtrack.distillation.summary import RunSummary, read_summary
from tirtrack.errors import DatasetError
from tirtrack.pairs.inspection_folder import SHEET_NAME, Inspection, read_inspection
from tirtrack.pairs.registration import OffsetSummary
from tirtrack.report.content import PairsSection, Picture
from tirtrack.report.training import MODALITY, listed

FOLDER = "pairs"
SHEET_WIDTH = 1140


def pairs_section(folders: Iterable[Path]) -> PairsSection | None:
    """The part of the page about pairs, from the first inspection and the first run at hand.

    Args:
        folders: folders of an inspection or a run; others are skipped.

    Returns:
        ``None`` if there is neither.

    Raises:
        DatasetError: a file is damaged.
    """
    looked_in = list(folders)
    inspection = next((found for f in looked_in if (found := read_inspection(f))), None)
    summary = next((stored for f in looked_in if (stored := read_summary(f))), None)
    sheets = [f / SHEET_NAME for f in looked_in if (f / SHEET_NAME).is_file()]
    if inspection is None and summary is None and not sheets:
        return None
    counted, rejections = _rejections(inspection, summary)
    unit = _unit(inspection, summary)
    return PairsSection(
        unit=unit,
        facts=_inspected(inspection) | _harvested(summary),
        rejections=rejections,
        counted_over=counted,
        sheets=tuple(_sheet(file, unit) for file in sheets[:1]),
        cautions=() if inspection is None else tuple(inspection.warnings),
    )


def _unit(inspection: Inspection | None, summary: RunSummary | None) -> str:
    """What was searched; of a sheet without any findings pairs are assumed."""
    if summary is not None:
        return summary.harvest.unit
    return "pair" if inspection is None else inspection.unit


def _rejections(
    inspection: Inspection | None, summary: RunSummary | None
) -> tuple[str, dict[str, int]]:
    """The pairs that were counted, in words, and reasons with their counts, most frequent first."""
    if summary is not None and summary.harvest.pairs:
        harvest = summary.harvest
        over, counts = f"{harvest.pairs} {harvest.unit}s to train on", harvest.rejected
    elif inspection is not None and inspection.proposals is not None:
        rates = inspection.proposals
        over, counts = f"{rates.pairs} {inspection.unit}s, spread evenly", rates.rejected
    else:
        return "", {}
    return over, dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _inspected(inspection: Inspection | None) -> dict[str, str]:
    if inspection is None:
        return {}
    recordings = inspection.recordings
    sizes = Counter[str]()
    depths = Counter[str]()
    for one in recordings:
        sizes.update(one.sizes)
        depths.update(one.tir_depths)
    unit = inspection.unit
    facts = {
        "source": inspection.name,
        f"{unit}s": f"{inspection.pairs} in {len(recordings)} recordings, "
        f"{inspection.usable_pairs} of them readable",
        "sizes": _most(sizes),
        "TIR samples": _most(depths),
    }
    if inspection.offset.tested:
        facts["offset between the modalities"] = _offset(inspection.offset)
    if inspection.proposals is not None:
        rates = inspection.proposals
        kept, rejected = sum(rates.kept.values()), sum(rates.rejected.values())
        facts[f"boxes by {rates.way}"] = (
            f"{kept} of {kept + rejected} kept in {rates.pairs} {unit}s that were looked at closely"
        )
    return facts


def _offset(offset: OffsetSummary) -> str:
    if not offset.usable:
        return f"not measurable in any of {offset.tested} pairs"
    return (
        f"{offset.median_length:.1f} px (median), measurable in {offset.usable} of "
        f"{offset.tested} pairs"
    )


def _most(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} ({count})" for name, count in ranked[:3])
    more = len(ranked) - 3
    return f"{shown} and {more} others" if more > 0 else shown


def _harvested(summary: RunSummary | None) -> dict[str, str]:
    if summary is None or not summary.harvest.pairs:
        return {}
    harvest = summary.harvest
    unit = harvest.unit
    facts = {
        f"{unit}s to train on": str(harvest.pairs),
        "boxes kept there": listed(
            {f"in {MODALITY.get(k, k)}": n for k, n in harvest.boxes.items()}
        ),
    }
    if harvest.fallback_pairs:
        facts[f"{unit}s with random boxes"] = str(harvest.fallback_pairs)
    if harvest.unreadable_pairs:
        facts[f"unreadable {unit}s"] = str(harvest.unreadable_pairs)
    for rate in summary.tracks:
        rejected = _most(rate.rejected)
        facts[f"tracks in {MODALITY[rate.modality]}"] = (
            f"{rate.kept} of {rate.followed} trusted, with {rate.boxes} boxes"
            f"{f'; rejected: {rejected}' if rejected else ''}"
        )
    return facts


def _sheet(file: Path, unit: str) -> Picture:
    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot be read ({error})", file, "take the file out") from error
    width = min(image.width, 2 * SHEET_WIDTH)
    height = max(round(image.height * width / image.width), 1)
    buffer = io.BytesIO()
    image.resize((width, height)).save(buffer, "JPEG", quality=85, subsampling=0)
    shown = min(width, SHEET_WIDTH)
    return Picture(
        buffer.getvalue(),
        "jpeg",
        f"Contact sheet of {unit}s with the boxes that were proposed and rejected",
        shown,
        max(round(height * shown / width), 1),
        f"Up to half of the {unit}s were chosen because a box was rejected in them; the reason "
        "stands at the dashed box.",
    )
