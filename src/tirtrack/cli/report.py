"""``tirtrack report``: one HTML page from evaluation folders."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from tirtrack.cli.options import AsJson, Force, named_path, print_json


def command(
    folders: Annotated[
        list[Path],
        typer.Argument(
            parser=named_path,
            metavar="DIR...",
            help="Folders written by evaluate or score, or by a demo.",
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Folder of the data set, for film strips (default: where it was evaluated)."
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="The tracker to compare the others with (default: the first)."),
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
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """One HTML page from evaluation folders, with the same numbers as JSON beside it.

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
        reference=baseline,
        title=title,
        command=_line(folders, dataset, baseline),
        force=force,
    )
    if as_json:
        print_json({"page": str(page), "numbers": str(page.with_name(RESULT_NAME))})
    else:
        print(page)


def _line(folders: list[Path], dataset: str | None, baseline: str | None) -> str:
    words = ["tirtrack", "report", *map(str, folders)]
    words += ["--dataset", dataset] if dataset else []
    words += ["--baseline", baseline] if baseline else []
    return shlex.join(words)
