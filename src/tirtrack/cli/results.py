"""``tirtrack results``: compare two evaluations, convert result files, pack an upload."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tirtrack.cli.dataset_options import (
    AnnotationFiles,
    Base,
    ColumnNames,
    Dataset,
    ResultBase,
    ResultColumns,
    open_labelled,
)
from tirtrack.cli.dataset_options import Root as DatasetRoot
from tirtrack.cli.options import AsJson, Force, named_path, print_json

app = typer.Typer(help="Compare, convert, and pack result folders.", add_completion=False)

Results = Annotated[
    Path, typer.Argument(metavar="RESULTS", parser=named_path, help="Folder of result files.")
]
Root = Annotated[
    Path | None,
    typer.Option(
        parser=named_path,
        metavar="PATH",
        help="Folder of the test sequences, to check numbers of frames and first boxes.",
    ),
]


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(parser=named_path, help="Folder with result.json.")],
    b: Annotated[Path, typer.Argument(parser=named_path, help="The other one.")],
    as_json: AsJson = False,
) -> None:
    """Say in which settings two evaluations differ."""
    from tirtrack.evaluation.run_settings import compare_settings

    found = compare_settings(a, b)
    if as_json:
        print_json([{"setting": name, "a": one, "b": other} for name, one, other in found])
        return
    for name, one, other in found:
        print(f"{name}: {_said(one)} | {_said(other)}")
    if not found:
        print("no setting differs")


def _said(value: object) -> str:
    return "-" if value is None or value == "" else str(value)


@app.command()
def convert(
    results: Results,
    to: Annotated[str, typer.Option(metavar="got10k|json|text|vot", help="Form to write.")],
    out: Annotated[Path, typer.Option(parser=named_path, metavar="PATH", help="New folder.")],
    dataset: Dataset = None,
    root: DatasetRoot = None,
    annotation: AnnotationFiles = None,
    columns: ColumnNames = None,
    base: Base = None,
    result_columns: ResultColumns = None,
    result_base: ResultBase = None,
    force: Force = False,
) -> None:
    """Write results in the form of another toolkit; what is missing stays missing."""
    from tirtrack.datasets import parse_columns
    from tirtrack.evaluation.result_forms import convert as write
    from tirtrack.evaluation.score_files import read_runs
    from tirtrack.source_line import counted

    opened = open_labelled(
        dataset, annotation, root=root, columns=columns, base=base, with_frames=False
    )
    written_as = (
        None if result_columns is None else parse_columns(result_columns, "--result-columns")
    )
    runs = read_runs([results], opened, columns=written_as, base=result_base)
    count = write(runs, opened, to, out, force=force)
    print(f"{out}: {counted(count, 'result')} as {to}")


@app.command()
def pack(
    results: Annotated[
        Path, typer.Argument(metavar="TRACKER", parser=named_path, help="Results of one tracker.")
    ],
    out: Annotated[Path, typer.Option(parser=named_path, metavar="FILE.zip", help="New file.")],
    root: Root = None,
    force: Force = False,
) -> None:
    """Pack the results of a tracker on the test sequences of GOT-10k for its server."""
    from tirtrack.evaluation.got10k_upload import pack as write

    print(write(results, out, root=root, force=force))


@app.command()
def validate(
    upload: Annotated[
        Path, typer.Argument(metavar="FILE.zip", parser=named_path, help="Upload for GOT-10k.")
    ],
    root: Root = None,
) -> None:
    """Check an upload for GOT-10k; every fault is a line, and any ends with exit code 1."""
    from tirtrack.errors import RunError
    from tirtrack.evaluation.got10k_upload import faults_of_upload
    from tirtrack.source_line import counted

    faults = faults_of_upload(upload, root=root)
    print(*(faults or [f"{upload}: 180 sequences, no fault"]), sep="\n")
    if faults:
        raise RunError(counted(len(faults), "fault"), upload, "repair before the upload")
