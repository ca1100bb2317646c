"""Options that say where labelled sequences are and how their annotation is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tirtrack.errors import RequestError

if TYPE_CHECKING:
    from tirtrack.datasets import LabelledDataset
    from tirtrack.read_options import ReadOptions

Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        "-d",
        help="Folder of labelled sequences, or a name (tirtrack data list; synthetic-test, "
        "synthetic-validation).",
    ),
]
Root = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of the data set that --dataset names (default: where TIRTRACK_DATA says).",
    ),
]
AnnotationFiles = Annotated[
    str | None,
    typer.Option(
        "--annotation",
        metavar="FILE",
        help="Boxes in any other layout, in place of --dataset; {sequence} stands for the "
        "name of a sequence.",
    ),
]
FrameFiles = Annotated[
    str | None,
    typer.Option(
        "--frames",
        metavar="FOLDER|VIDEO",
        help="Frames for --annotation; {sequence} stands for the name of a sequence.",
    ),
]
ColumnNames = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAMES",
        help="Columns of annotation in text, such as x1,y1,x2,y2 or frame,id,x,y,w,h,- (default: "
        "from the first line, or from their number).",
    ),
]
Base = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=1,
        help="Whether annotation counts pixels from 0 or from 1 (default: as the layout says).",
    ),
]
ResultColumns = Annotated[
    str | None,
    typer.Option(
        "--result-columns",
        metavar="NAMES",
        help="Columns of results in text (default: from the first line, or from their number).",
    ),
]
ResultBase = Annotated[
    int | None,
    typer.Option(
        "--result-base",
        min=0,
        max=1,
        help="Whether results count pixels from 0 or from 1 (default: as the run that wrote them "
        "says, or as the annotation).",
    ),
]


def open_labelled(
    dataset: str | None,
    annotation: str | None,
    *,
    root: str | None = None,
    frames: str | None = None,
    columns: str | None = None,
    base: int | None = None,
    reading: ReadOptions | None = None,
    with_frames: bool = True,
    partial: bool = False,
) -> LabelledDataset:
    """The labelled sequences that the options name.

    Raises:
        RequestError: neither a data set nor annotation is named, or both, or frames are missing.
        DatasetError: they cannot be read.
    """
    from tirtrack.datasets import AnnotationOptions, open_dataset, open_named_files
    from tirtrack.datasets.columns import parse_columns
    from tirtrack.read_options import AS_STORED

    named = None if columns is None else parse_columns(columns)
    options = AnnotationOptions(named, base, reading or AS_STORED, partial)
    if annotation is None:
        if frames is not None:
            raise RequestError("--frames needs --annotation", fix="name the file of the boxes")
        if dataset is None:
            raise RequestError("no labelled data", fix="give --dataset, or --annotation FILE")
        return open_dataset(dataset, root=root, with_frames=with_frames, options=options)
    if root is not None:
        raise RequestError("--root needs --dataset NAME", fix="drop it, or name the data set")
    if dataset is not None:
        raise RequestError("--dataset and --annotation exclude each other", fix="give one of them")
    if with_frames and frames is None:
        raise RequestError("--annotation needs --frames", fix="name the folder or video of frames")
    return open_named_files(annotation, frames, options=options)
