"""``tirtrack train``: an RGB baseline from labelled RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tirtrack.cli.options import (
    AsJson,
    ByteOrder,
    Changes,
    Channel,
    Device,
    Force,
    Order,
    Picture,
    PixelFormat,
    RecipeName,
    Resume,
    Seed,
    command_line,
    named_path,
    read_options,
)
from tirtrack.errors import RequestError


def command(
    data: Annotated[
        list[Path],
        typer.Argument(
            parser=named_path,
            metavar="DATA...",
            help="Folders of labelled stills (instances.json) or of labelled sequences.",
        ),
    ],
    network: Annotated[
        str | None,
        typer.Option(help="Architecture (default: that of --initial, or nanotrack-v3)."),
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(
            help="Start weights by name or file (default: random). From a backbone, or from "
            "weights of another architecture, only the backbone is used."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=named_path,
            metavar="PATH",
            help="The weights file to write (default: runs/train-RECIPE.safetensors).",
        ),
    ] = None,
    recipe: RecipeName = "baseline",
    set_: Changes = None,
    still_sources: Annotated[
        str | None, typer.Option(metavar="A,B", help="Use only the stills of these sources.")
    ] = None,
    order: Order = None,
    channel: Channel = None,
    byte_order: ByteOrder = None,
    picture: Picture = None,
    pixel_format: PixelFormat = None,
    licence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LICENCE",
            help="Licence of a source or sequence, for the card; may be repeated.",
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    resume: Resume = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train or continue an RGB baseline on labelled RGB.

    A share of the data is held back. Where the trained weights are not better there, the start
    weights are written, and the summary says so.
    """
    from tirtrack.cli.distill import changes_of, report_run
    from tirtrack.cli.progress_line import progress
    from tirtrack.verbs import train

    options = read_options(
        order=order, channel=channel, byte_order=byte_order, picture=picture,
        pixel_format=pixel_format,
    )  # fmt: skip
    file = out or Path("runs") / f"train-{Path(recipe).stem}.safetensors"
    with progress() as live:
        run = train(
            data,
            file,
            network=network,
            initial=initial,
            recipe=recipe,
            changes=changes_of(set_ or []),
            still_sources=still_sources.split(",") if still_sources else None,
            options=options,
            licences=_licences(licence or []),
            seed=seed,
            device=device,
            resume=resume,
            force=force,
            command=command_line(),
            progress=live,
        )
    report_run(run, as_json=as_json)


def _licences(texts: list[str]) -> dict[str, str]:
    """``NAME=LICENCE`` texts by name."""
    parts = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, parts, strict=True):
        if not equals or not name:
            raise RequestError(f'"{text}" names no licence', "--licence", "write NAME=LICENCE")
    return {name: value for name, _, value in parts}
