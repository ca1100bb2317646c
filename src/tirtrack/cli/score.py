"""``tirtrack score``: score result files that exist already."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tirtrack.cli.labelled import (
    AnnotationFiles,
    Base,
    ColumnNames,
    Dataset,
    FrameFiles,
    open_labelled,
)
from tirtrack.cli.options import AsJson, Force, Seed, command_line, named_path, print_json
from tirtrack.errors import RequestError


class Length(StrEnum):
    """What to do with a result of another length than the annotation."""

    STRICT = "strict"
    TRUNCATE = "truncate"
    PAD_LAST = "pad_last"
    PAD_ZERO = "pad_zero"


class Missing(StrEnum):
    """What to do when a sequence has no result."""

    ERROR = "error"
    SKIP = "skip"


def command(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULTS...",
            help="Folders of SEQUENCE.txt or SEQUENCE_TRACKER.mat, at any depth.",
        ),
    ],
    dataset: Dataset = None,
    annotation: AnnotationFiles = None,
    frames: FrameFiles = None,
    columns: ColumnNames = None,
    base: Base = None,
    result_columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Columns of results in text (default: by the first line, or by their number).",
        ),
    ] = None,
    result_base: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1,
            help="Whether results count pixels from 0 or from 1 (default: as the run that wrote "
            "them says, or as the annotation).",
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="How to score; repeat for several side by side."),
    ] = None,
    length: Annotated[
        Length, typer.Option(help="Results of another length than the annotation.")
    ] = Length.STRICT,
    missing: Annotated[Missing, typer.Option(help="Sequences without a result.")] = Missing.ERROR,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=named_path,
            metavar="PATH",
            help="Also write result.json into this new folder (one per protocol).",
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Score result files that exist already; the frames of the data set are not needed.

    With --json one document is printed, or a list of them for several protocols.
    """
    from tirtrack.cli.score_table import print_comparison
    from tirtrack.datasets.columns import parse_columns
    from tirtrack.datasets.dataset_line import annotation_line
    from tirtrack.evaluation import protocols
    from tirtrack.evaluation.comparison import RESULT_NAME
    from tirtrack.evaluation.scoring import read_runs, score_runs
    from tirtrack.files import new_folder
    from tirtrack.stored import write_stored

    asked = [protocols.get(name) for name in protocol or ()]
    opened = open_labelled(
        dataset, annotation, frames=frames, columns=columns, base=base, with_frames=False
    )
    line = f"{annotation_line(opened)}; frames are not read"
    print(f"tirtrack: {opened.name}: {line}", file=sys.stderr)
    rules = asked or [protocols.get(opened.protocol)]
    written_as = (
        None if result_columns is None else parse_columns(result_columns, "--result-columns")
    )
    folders = [_folder(text) for text in results]
    runs = read_runs(folders, opened, columns=written_as, base=result_base)
    told = {"source_line": line, "command": command_line()}
    comparisons = [
        score_runs(
            runs, opened, one, length=length.value, missing=missing.value, seed=seed
        ).model_copy(update=told)
        for one in rules
    ]
    if out is not None:
        folder = new_folder(out, force=force)
        for one in comparisons:
            part = folder / one.protocol if len(comparisons) > 1 else folder
            write_stored(part / RESULT_NAME, one)
    if as_json:
        documents = [one.model_dump(mode="json") for one in comparisons]
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    for one in comparisons:
        print_comparison(one)


def _folder(text: str) -> Path:
    """The folder that an argument names; an empty one would be the current folder."""
    if not text:
        raise RequestError("an empty name of a result folder", fix="give a folder of result files")
    return Path(text)
