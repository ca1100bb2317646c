"""``tirtrack pairs``: look at unlabelled RGB-TIR pairs, register and store them, propose boxes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tirtrack.cli.options import (
    AsJson,
    Baseline,
    Changes,
    Cluster,
    Force,
    PairFolders,
    Resume,
    Seed,
    Workers,
    named_path,
    named_place,
    print_json,
    takes_pairing,
)

if TYPE_CHECKING:
    from tirtrack.pairs import Pairing
    from tirtrack.pairs.inspection_folder import Inspection, RecordingFacts
    from tirtrack.pairs.registration import OffsetSummary
    from tirtrack.pairs.shard_models import ShardIndex

app = typer.Typer(
    help="Look at unlabelled RGB-TIR pairs, register them, or mine them into shards.",
    add_completion=False,
)

_LISTED = 10


class Way(StrEnum):
    """How boxes are proposed."""

    SALIENCY = "saliency"
    REGIONS = "regions"
    CENTRE = "centre"
    RANDOM = "random"
    DETECTOR = "detector"


@app.callback()
def _group() -> None:
    """Look at unlabelled RGB-TIR pairs, register them, or mine them into shards."""


@app.command("inspect")
@takes_pairing()
def inspect(
    paths: PairFolders,
    *,
    way: Annotated[Way, typer.Option(help="How to propose boxes.")] = Way.SALIENCY,
    boxes: Annotated[
        Path | None, typer.Option(help="For detector: a .csv table or a folder of text files.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="For detector: an ONNX file.")] = None,
    pairs: Annotated[
        int,
        typer.Option(min=1, help="Number of pairs, spread evenly, that get an offset and boxes."),
    ] = 60,
    tiles: Annotated[int, typer.Option(min=1, help="Number of pairs on the contact sheet.")] = 8,
    pairing: Pairing,
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
    from tirtrack.pairs import proposer
    from tirtrack.pairs.inspect import inspect_pairs
    from tirtrack.pairs.inspection_folder import SHEET_NAME

    options = {"boxes": boxes, "model": model}
    given = {name: value for name, value in options.items() if value is not None}
    proposes = proposer(way.value, **given)
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


@app.command("register")
@takes_pairing(without=["rig"])
def register(
    paths: PairFolders,
    *,
    out: Annotated[
        Path, typer.Option(parser=named_path, metavar="FILE", help="JSON file for the rig.")
    ],
    pairing: Pairing,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Find the map from RGB to TIR pixels of two cameras that are fixed together, and how late TIR
    is in their videos.

    All recordings must be of this rig. distill, inspect and mine take the file after --rig. A map
    that cannot be trusted is not written.
    """
    from tirtrack.cli.progress_line import progress
    from tirtrack.pairs import register_pairs

    with progress() as live:
        rig = register_pairs(
            paths,
            out,
            pairing=pairing,
            force=force,
            progress=live,
        )
    if as_json:
        print_json(rig.model_dump(mode="json"))
    else:
        print(f"{_count(len(rig.residuals), 'pair')}: {rig.in_words()}")
    print(f"written: {out}", file=sys.stderr)


@app.command("mine")
@takes_pairing()
def mine(
    paths: PairFolders,
    *,
    out: Annotated[
        Path,
        typer.Option(
            parser=named_place, metavar="PATH", help="New folder or address for the shards."
        ),
    ],
    pairing: Pairing,
    licence: Annotated[
        str, typer.Option(help="Licence under which you hold the files, for the index.")
    ] = "not stated",
    shard_mb: Annotated[int, typer.Option(min=1, help="Size of a shard, megabytes.")] = 256,
    max_bad: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of pairs, and of recordings, that may be unusable."),
    ] = 0.001,
    judge: Annotated[
        bool,
        typer.Option(
            "--judge",
            help="Judge whether pairs can be used (blank, shutter frames, different scenes, ...), "
            "for distill --set unusable=leave_out; all are stored.",
        ),
    ] = False,
    workers: Workers = 1,
    cluster: Cluster = None,
    resume: Resume = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Read every pair once, and put the files of all into shards: tar files with an index.

    distill and inspect take the folder of shards in place of the folders that were mined.
    """
    from tirtrack.cli.progress_line import progress
    from tirtrack.pairs import mine_pairs

    with progress() as live:
        index = mine_pairs(
            paths,
            out,
            pairing=pairing,
            licence=licence,
            shard_mb=shard_mb,
            max_bad=max_bad,
            judge=judge,
            workers=workers,
            cluster=cluster,
            resume=resume,
            force=force,
            progress=live,
        )
    if as_json:
        print_json(index.model_dump(mode="json"))
    else:
        for line in mined_lines(index):
            print(line)
    print(f"written: {out}", file=sys.stderr)


@app.command("propose")
def propose(
    shards: Annotated[
        Path,
        typer.Argument(parser=named_place, metavar="SHARDS", help="Folder or address of shards."),
    ],
    baseline: Baseline = "nano-rgb",
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="A recipe's name or YAML file."),
    ] = None,
    set_: Changes = None,
    seed: Seed = 0,
    workers: Workers = 1,
) -> None:
    """Propose the boxes of a distillation once, and put them and their tracks beside the shards.

    distill with the same recipe, baseline and seed reads them in place of making its own.
    """
    from tirtrack.cli.distill import changes_of
    from tirtrack.cli.progress_line import progress
    from tirtrack.verbs import propose_boxes

    with progress() as live:
        file = propose_boxes(
            shards,
            baseline,
            recipe=recipe,
            changes=changes_of(set_ or []),
            seed=seed,
            workers=workers,
            progress=live,
        )
    print(f"written: {file}", file=sys.stderr)


def mined_lines(index: ShardIndex) -> list[str]:
    """What was mined, as text, with what was assumed and what files alone tell against it."""
    from tirtrack.pairs.doubt_sentences import sentences
    from tirtrack.pairs.doubts import RecordingDoubts
    from tirtrack.pairs.source import assumptions

    unit = "pair" if any(one.has_rgb for one in index.recordings) else "TIR frame"
    size_mb = sum(one.size_bytes for one in index.shards) / 1e6
    lines = [
        f"{index.name}: {_count(index.pairs, unit)} in "
        f"{_count(len(index.recordings), 'recording')}, {_count(len(index.shards), 'shard')} of "
        f"{size_mb:.1f} MB in all"
    ]
    assumed = assumptions(index.recordings)
    lines += [f"  assumed: {said}" for said in assumed[:_LISTED]]
    if len(assumed) > _LISTED:
        lines += [f"  and {len(assumed) - _LISTED} more assumptions, all in index.json"]
    doubts = [
        RecordingDoubts(one.name, clocks=one.warnings, tir_depth=one.tir_depth)
        for one in index.recordings
    ]
    lines += [f"warning: {said}" for said in sentences(doubts)]
    faults = [f"{one.pair}: {one.why}" for one in index.faults]
    lines += _unusable("recordings", index.unusable_recordings, "index.json")
    lines += _unusable(f"{unit}s", faults, "index.json")
    if index.judged:
        lines += ["", *_judged_lines(index, unit)]
    return lines


def _judged_lines(index: ShardIndex, unit: str) -> list[str]:
    """What was judged, as text: the number of pairs that cannot be used, recording by recording."""
    from tirtrack.pairs.doubt_sentences import reasons

    listed = [
        f"  {name}: {reasons({str(why): number for why, number in counts.items()})}"
        for name, counts in index.unusable.items()
    ]
    total = sum(sum(counts.values()) for counts in index.unusable.values())
    said = f"judged: {_count(total, unit)} of {index.pairs} cannot be used"
    said += ", and `distill --set unusable=leave_out` leaves them out" if total else ""
    more = len(listed) - _LISTED
    rest = [f"  and {more} more recordings, all in index.json"] if more > 0 else []
    return [said, *listed[:_LISTED], *rest]


def report_lines(found: Inspection) -> list[str]:
    """The findings as text."""
    from tirtrack.pairs.inspection_folder import INSPECTION_NAME

    count = _count(found.pairs, found.unit)
    lines = [f"{found.name}: {count} in {_count(len(found.recordings), 'recording')}"]
    layouts = {tuple(facts.description[:1]) for facts in found.recordings}
    lines += [
        f"  {_recording_line(facts, found.unit, with_layout=len(layouts) > 1)}"
        for facts in found.recordings
    ]
    lines += [f"  {said}" for said in found.registration[:_LISTED]]
    lines += [f"  assumed: {assumed}" for assumed in found.assumed[:_LISTED]]
    lines += ["", *_proposal_lines(found)]
    if found.warnings:
        lines += ["", *(f"warning: {warning}" for warning in found.warnings)]
    lines += _unusable("recordings", found.unusable_recordings, INSPECTION_NAME)
    damaged = [damage.message for damage in found.damaged]
    lines += _unusable(f"{found.unit}s", damaged, INSPECTION_NAME)
    return lines


def _unusable(what: str, reasons: Sequence[str], file: str) -> list[str]:
    if not reasons:
        return []
    lines = ["", f"{what} that cannot be used:", *(f"  {one}" for one in reasons[:_LISTED])]
    more = len(reasons) - _LISTED
    return [*lines, f"  and {more} more, all in {file}"] if more > 0 else lines


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
    time = "" if facts.time is None else f"; {facts.time.in_words()}"
    layout = f"; {facts.description[0]}" if with_layout and facts.description else ""
    return (
        f"{facts.name}: {_count(facts.pairs, unit)} {kind}, {_listed(facts.sizes)}, TIR "
        f"{_listed(facts.tir_depths)}{measured}{time}{layout}"
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
