"""``tirtrack report``: one HTML page from evaluation folders."""

from __future__ import annotations

import shlex
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from tirtrack.cli.dataset_options import Root
from tirtrack.cli.options import AsJson, Force, named_path, print_json


def command(
    folders: Annotated[
        list[Path],
        typer.Argument(
            parser=named_path,
            metavar="DIR...",
            help="Folders written by evaluate, score or a demo, or run folders of distill.",
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Folder or name of the data set, for film strips (default: where it was "
            "evaluated)."
        ),
    ] = None,
    root: Root = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="The tracker to compare the others with (default: the first)."),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(
            help="A second tracker to compare the others with, such as one trained on TIR alone."
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="The title of the page.")] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            parser=named_path,
            metavar="PATH",
            help="The HTML file to write (default: runs/report-NNN/report.html).",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            parser=named_path,
            metavar="PATH",
            help="A new folder for the figures as PDF and SVG, the tables as CSV and LaTeX.",
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """One HTML page from evaluations or distillations, with the same numbers as JSON beside it.

    The page holds everything in itself: plots, tables, film strips (where the frames are at
    hand), curves of distillations (where their run folders lie beside the evaluated weights or in
    DIR), and what was run.
    """
    from tirtrack.evaluation.comparison import RESULT_NAME
    from tirtrack.report import build_report

    page = build_report(
        folders,
        out,
        dataset=dataset,
        root=root,
        reference=baseline,
        control=control,
        title=title,
        command=_line(folders, dataset=dataset, root=root, baseline=baseline, control=control),
        export=export,
        force=force,
    )
    if as_json:
        exported = {} if export is None else {"export": str(export)}
        print_json({"page": str(page), "numbers": str(page.with_name(RESULT_NAME)), **exported})
    else:
        print(page)


def _line(folders: list[Path], **options: str | None) -> str:
    given = [(f"--{name}", value) for name, value in options.items() if value]
    return shlex.join(["tirtrack", "report", *map(str, folders), *chain.from_iterable(given)])
