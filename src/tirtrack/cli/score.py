"""``tirtrack score``: score result files that exist already."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tirtrack.cli.dataset_options import (
    AnnotationFiles,
    Base,
    ColumnNames,
    Dataset,
    FrameFiles,
    ResultBase,
    ResultColumns,
    Root,
    open_labelled,
)
from tirtrack.cli.options import (
    AsJson,
    Force,
    Group,
    Seed,
    Starts,
    command_line,
    named_path,
    print_json,
)


class Length(StrEnum):
    """What to do with a result of another length than the annotation."""

    STRICT = "strict"
    TRUNCATE = "truncate"
    PAD_LAST = "pad_last"
    PAD_ZERO = "pad_zero"


def command(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULTS...",
            help="Folders of SEQUENCE.txt or SEQUENCE_TRACKER.mat, at any depth.",
        ),
    ],
    dataset: Dataset = None,
    root: Root = None,
    annotation: AnnotationFiles = None,
    frames: FrameFiles = None,
    columns: ColumnNames = None,
    base: Base = None,
    result_columns: ResultColumns = None,
    result_base: ResultBase = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="Protocol (default: the data set's own); repeat for several side by side."
        ),
    ] = None,
    length: Annotated[
        Length, typer.Option(help="What to do with results of another length than the annotation.")
    ] = Length.STRICT,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Score the runs that are there; say what is missing or unreadable."
        ),
    ] = False,
    starts: Starts = 1,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Tracker that the others are compared with (default: the best)."
        ),
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Print the differences of all pairs in all scores.")
    ] = False,
    group: Group = None,
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
    from tirtrack.datasets import parse_columns
    from tirtrack.evaluation import protocols
    from tirtrack.evaluation.score_files import score

    for name in protocol or ():
        protocols.get(name)
    opened = open_labelled(
        dataset,
        annotation,
        root=root,
        frames=frames,
        columns=columns,
        base=base,
        with_frames=False,
        partial=partial,
    )
    written_as = (
        None if result_columns is None else parse_columns(result_columns, "--result-columns")
    )
    comparisons = score(
        results,
        opened,
        protocols=protocol or (),
        columns=written_as,
        base=result_base,
        length=length.value,
        partial=partial,
        starts=starts,
        reference=reference,
        group=group,
        seed=seed,
        out=out,
        force=force,
        command=command_line(),
    )
    if as_json:
        documents = [one.model_dump(mode="json") for one in comparisons]
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    for one in comparisons:
        print_comparison(one, pairs=pairs)
    if out is not None:
        print(f"written: {out}", file=sys.stderr)
