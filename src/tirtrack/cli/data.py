"""``tirtrack data``: the data sets that are known by name, and whether one on disk is whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tirtrack.cli.options import AsJson, Workers, print_json

if TYPE_CHECKING:
    from tirtrack.datasets import Verification

app = typer.Typer(help="List published data sets, check one on disk.", add_completion=False)
_LISTED = 20


@app.command("list")
def show_all(as_json: AsJson = False) -> None:
    """The data sets that are known by name, and where TIRTRACK_DATA says that they are."""
    from tirtrack.datasets import list_datasets

    found = list_datasets()
    if as_json:
        print_json(found)
        return
    for one in found:
        count = f"{one['sequences']} sequences" if one["sequences"] else ""
        place = one["root"] or "no folder named"
        there = "" if one["there"] or not one["root"] else " (not there)"
        print(f"{one['name']:<21} {count:<15} {one['title']}")
        print(f"{'':<21} {place}{there}; described: {one['described']}")


@app.command()
def verify(
    name: Annotated[
        str, typer.Argument(help="A name from the list; folder for any labelled sequences.")
    ],
    root: Annotated[
        str | None,
        typer.Argument(help="Folder of the data set (default: where TIRTRACK_DATA says)."),
    ] = None,
    images: Annotated[
        str,
        typer.Option(
            metavar="all|first|none",
            help="Images to decode: all, the first of each sequence, or none.",
        ),
    ] = "all",
    workers: Workers = 1,
    as_json: AsJson = False,
) -> None:
    """Check names, counts, annotation and images of a data set; nothing is written.

    Ends with 1 if anything is missing or damaged.
    """
    from tirtrack.cli.progress_line import progress
    from tirtrack.datasets import verify_dataset

    with progress() as live:
        found = verify_dataset(name, root, images=images, workers=workers, progress=live)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        for line in report_lines(found):
            print(line)
    if not found.whole:
        raise typer.Exit(1)


def report_lines(found: Verification) -> Iterator[str]:
    """What was found, as text."""
    from tirtrack.source_line import counted

    of = f" of {found.published}" if found.published else ""
    names = f"names by {_list(found.names_from)}" if found.names_from else "no list of names"
    yield f"{found.title} in {found.root}"
    yield (
        f"  {found.sequences}{of} sequences read, {found.frames} annotated frames, "
        f"{found.images} images decoded; {names}"
    )
    yield f"  described: {found.described}"
    yield from _some("not on the list, not used", list(found.unlisted))
    known = [f"{one.sequence}: {one.what}" if one.sequence else one.what for one in found.known]
    sources = dict.fromkeys(one.source for one in found.known)
    yield from _some("known of the published data", known)
    if sources:
        yield f"  documented in: {', '.join(sources)}"
    faults = [
        f"{one.sequence + ': ' if one.sequence else ''}{one.where}: {one.what}; {one.fix}"
        for one in found.findings
    ]
    yield from _some("missing or damaged", faults)
    yield "whole" if found.whole else f"not whole: {counted(len(found.findings), 'finding')}"


def _list(name: str) -> str:
    return "the published list" if name == "published" else name


def _some(title: str, lines: list[Any]) -> Iterator[str]:
    """The first lines under a title; all of them are in the JSON."""
    if not lines:
        return
    yield f"  {title}:"
    yield from (f"    {line}" for line in lines[:_LISTED])
    if len(lines) > _LISTED:
        yield f"    and {len(lines) - _LISTED} more (--json prints all)"
