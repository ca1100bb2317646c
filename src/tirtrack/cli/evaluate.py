"""``tirtrack evaluate``: run trackers over a labelled data set and score them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tirtrack.cli.dataset_options import (
    AnnotationFiles,
    Base,
    ColumnNames,
    Dataset,
    FrameFiles,
    Root,
    open_labelled,
)
from tirtrack.cli.options import (
    AsJson,
    ByteOrder,
    Channel,
    Cluster,
    Force,
    Group,
    NoData,
    Order,
    Picture,
    PixelFormat,
    Preset,
    Resume,
    Seed,
    Size,
    Starts,
    Workers,
    command_line,
    named_path,
    print_file,
    read_options,
)
from tirtrack.evaluation import protocols


def command(
    trackers: Annotated[
        list[str],
        typer.Argument(
            metavar="TRACKER...",
            help="Weights by name or file, NAME@PRESET for another preset; or from outside: "
            "MODULE:FACTORY, got10k:MODULE:FACTORY, opencv:NAME, program:COMMAND, trax:COMMAND; "
            "NAME= before it names it.",
        ),
    ],
    dataset: Dataset = None,
    root: Root = None,
    annotation: AnnotationFiles = None,
    frames: FrameFiles = None,
    columns: ColumnNames = None,
    base: Base = None,
    order: Order = None,
    channel: Channel = None,
    byte_order: ByteOrder = None,
    picture: Picture = None,
    no_data: NoData = None,
    size: Size = None,
    pixel_format: PixelFormat = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help=f"Protocol: {', '.join(protocols.names())} (default: the data set's own)."
        ),
    ] = None,
    preset: Preset = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="onnx|openvino|torch",
            help="What runs the network; openvino needs the extra fast, onnx-int8 and "
            "openvino-int8 tirtrack weights quantise. Default: onnx for "
            "Siamese networks, torch for others.",
        ),
    ] = None,
    workers: Workers = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
    runs: Annotated[
        int, typer.Option(min=1, help="Number of runs of each tracker, with consecutive seeds.")
    ] = 1,
    starts: Starts = 1,
    group: Group = None,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Longest wait for an answer of a tracker from outside."
        ),
    ] = 60.0,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=named_path, metavar="PATH", help="New folder; runs/evaluate-DATASET by default."
        ),
    ] = None,
    force: Force = False,
    resume: Resume = False,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="Evaluate what can be: leave out sequences that cannot be read, and say which "
            "results are missing.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run trackers over a labelled data set and score them."""
    from tirtrack.cli.progress_line import progress
    from tirtrack.cli.score_table import print_comparison
    from tirtrack.evaluation.comparison import RESULT_NAME
    from tirtrack.evaluation.runner import evaluate, missing_runs

    if protocol is not None:
        protocols.get(protocol)
    reading = read_options(
        order=order, channel=channel, byte_order=byte_order, picture=picture, no_data=no_data,
        size=size, pixel_format=pixel_format,
    )  # fmt: skip
    opened = open_labelled(
        dataset,
        annotation,
        root=root,
        frames=frames,
        columns=columns,
        base=base,
        reading=reading,
        partial=partial,
    )
    folder = out or Path("runs") / f"evaluate-{opened.name}"
    with progress() as live:
        comparison = evaluate(
            trackers,
            opened,
            folder,
            protocol=protocol,
            preset=preset,
            engine=engine,
            workers=workers,
            cluster=cluster,
            progress=live,
            seed=seed,
            runs=runs,
            starts=starts,
            group=group,
            force=force,
            resume=resume,
            missing="skip",
            partial=partial,
            timeout=timeout,
            command=command_line(),
        )
    if as_json:
        print_file(folder / RESULT_NAME)
    else:
        print_comparison(comparison)
        print(f"written: {folder / RESULT_NAME}", file=sys.stderr)
    if comparison.missing and not partial:
        raise missing_runs(comparison, folder)
