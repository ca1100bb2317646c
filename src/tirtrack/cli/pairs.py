"""``tirtrack pairs``: look at unlabelled RGB-TIR pairs before distilling from them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tirtrack.cli.options import (
    AsJson,
    ByteOrder,
    Channel,
    Delay,
    Force,
    LayoutName,
    MatchBy,
    MaxGap,
    NoData,
    PairFolders,
    Picture,
    RgbName,
    Seed,
    TirName,
    Workers,
    named_path,
    print_json,
    read_options,
)

if TYPE_CHECKING:
    from tirtrack.pairs.inspection_folder import Inspection, RecordingFacts
    from tirtrack.pairs.registration import OffsetSummary

app = typer.Typer(help="Look at unlabelled RGB-TIR pairs before distilling.", add_completion=False)

_LISTED = 10


class Way(StrEnum):
    """How boxes are proposed."""

    SALIENCY = "saliency"
    CENTRE = "centre"
    RANDOM = "random"
    DETECTOR = "detector"


@app.callback()
def _group() -> None:
    """Look at unlabelled RGB-TIR pairs before distilling."""


@app.command("inspect")
def inspect(
    paths: PairFolders,
    way: Annotated[Way, typer.Option(help="How to propose boxes.")] = Way.SALIENCY,
    boxes: Annotated[
        Path | None, typer.Option(help="For detector: a .csv table or a folder of text files.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="For detector: a YOLOX-type ONNX file.")
    ] = None,
    pairs: Annotated[
        int,
        typer.Option(min=1, help="Number of pairs, spread evenly, that get an offset and boxes."),
    ] = 60,
    tiles: Annotated[int, typer.Option(min=1, help="Number of pairs on the contact sheet.")] = 8,
    rgb: RgbName = None,
    tir: TirName = None,
    layout: LayoutName = None,
    match: MatchBy = None,
    max_gap: MaxGap = None,
    delay: Delay = 0,
    no_data: NoData = None,
    channel: Channel = None,
    byte_order: ByteOrder = None,
    picture: Picture = None,
    seed: Seed = 0,
    licence: Annotated[
        str, typer.Option(help="Licence under which you hold the files, for the manifest.")
    ] = "not stated",
    out: Annotated[
        Path | None,
        typer.Option(
            parser=named_path, metavar="PATH", help="New folder; runs/pairs-NAME by default."
        ),
    ] = None,
    workers: Workers = 1,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Check pairs: sizes, depths, damage, offset between the modalities, proposed boxes.

    Writes a contact sheet, the findings and a manifest of the files. Ends with 1 if a pair or a
    recording cannot be used.
    """
    from tirtrack.cli.progress_line import progress
    from tirtrack.pairs import Pairing, proposer
    from tirtrack.pairs.inspect import inspect_pairs
    from tirtrack.pairs.inspection_folder import SHEET_NAME

    options = {"boxes": boxes, "model": model}
    given = {name: value for name, value in options.items() if value is not None}
    proposes = proposer(way.value, **given)
    tir_options = read_options(
        no_data=no_data, channel=channel, byte_order=byte_order, picture=picture
    )
    pairing = Pairing(rgb, tir, match, max_gap, delay, tir_options, layout=layout)
    folder = out or Path("runs") / f"pairs-{paths[0].resolve().name}"
    with progress() as live:
        found = inspect_pairs(
            paths,
            proposes,
            pairing=pairing,
            licence=licence,
            seed=seed,
            sampled=pairs,
            out=folder,
            tiles=tiles,
            force=force,
            workers=workers,
            progress=live,
        )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        for line in report_lines(found):
            print(line)
    print(f"written: {folder / SHEET_NAME}", file=sys.stderr)
    if found.damaged or found.unusable_recordings:
        raise typer.Exit(1)


def report_lines(found: Inspection) -> list[str]:
    """The findings as text."""
    count = _count(found.pairs, found.unit)
    lines = [f"{found.name}: {count} in {_count(len(found.recordings), 'recording')}"]
    layouts = {tuple(facts.description[:1]) for facts in found.recordings}
    lines += [
        f"  {_recording_line(facts, found.unit, with_layout=len(layouts) > 1)}"
        for facts in found.recordings
    ]
    lines += [f"  assumed: {assumed}" for assumed in found.assumed[:_LISTED]]
    lines += ["", *_proposal_lines(found)]
    if found.warnings:
        lines += ["", *(f"warning: {warning}" for warning in found.warnings)]
    lines += _unusable("recordings", found.unusable_recordings)
    lines += _unusable(f"{found.unit}s", [damage.message for damage in found.damaged])
    return lines


def _unusable(what: str, reasons: Sequence[str]) -> list[str]:
    from tirtrack.pairs.inspection_folder import INSPECTION_NAME

    if not reasons:
        return []
    lines = ["", f"{what} that cannot be used:", *(f"  {one}" for one in reasons[:_LISTED])]
    more = len(reasons) - _LISTED
    return [*lines, f"  and {more} more, all in {INSPECTION_NAME}"] if more > 0 else lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _recording_line(facts: RecordingFacts, unit: str, *, with_layout: bool) -> str:
    kind = "of a video" if facts.is_video else "as stills"
    offset = facts.offset
    measured = ""
    if offset.tested:
        measured = f"; offset not measurable in any of {offset.tested}"
    if offset.usable:
        measured = f"; offset {_offset(offset)}, {offset.usable} of {offset.tested} usable"
    layout = f"; {facts.description[0]}" if with_layout and facts.description else ""
    return (
        f"{facts.name}: {_count(facts.pairs, unit)} {kind}, {_listed(facts.sizes)}, TIR "
        f"{_listed(facts.tir_depths)}{measured}{layout}"
    )


def _offset(offset: OffsetSummary) -> str:
    """The median vector with its length; the usual distance too, where pairs do not agree."""
    shift, typical = f"{offset.shift:.1f}", f"{offset.median_length:.1f}"
    vector = f"{shift} px ({offset.dx:+.1f}, {offset.dy:+.1f})"
    return vector if shift == typical else f"{vector} in the median, {typical} px in a typical pair"


def _listed(counts: Any) -> str:
    names = list(counts)
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} other sizes"


def _proposal_lines(found: Inspection) -> list[str]:
    rates = found.proposals
    if rates is None:
        return []
    kept = sum(rates.kept.values())
    total = kept + sum(rates.rejected.values())
    share = kept / total if total else 0.0
    by_modality = ", ".join(f"{count} in {name}" for name, count in rates.kept.items())
    lines = [
        f"boxes by {rates.way} in {_count(rates.pairs, found.unit)}: {kept} of {total} kept "
        f"({share:.0%}): {by_modality or 'none'}"
    ]
    for reason, count in rates.rejected.items():
        lines.append(f"  rejected, {reason}: {count} ({count / total:.1%})")
    if rates.fallback_pairs:
        lines.append(f"  random boxes instead: {_count(rates.fallback_pairs, found.unit)}")
    if rates.empty_pairs:
        lines.append(f"  no usable box: {_count(rates.empty_pairs, found.unit)}")
    return lines
