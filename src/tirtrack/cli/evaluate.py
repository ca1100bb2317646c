"""``tirtrack evaluate``: run trackers over a labelled data set and score them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def command(
    trackers: Annotated[
        list[str],
        typer.Argument(
            metavar="TRACKER...", help="Weights by name or file; NAME@PRESET for another preset."
        ),
    ],
    dataset: Annotated[Path, typer.Option("--dataset", "-d", help="Folder of labelled sequences.")],
    protocol: Annotated[
        str | None,
        typer.Option(help="How to score: lsotb-tir, lsotb-tir-119, ptb-tir; the data set's own."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Online settings of all trackers, such as default or published."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes, one thread each.")] = 1,
    seed: Annotated[int, typer.Option(help="Of trackers and of the bootstrap.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="New folder; runs/evaluate-DATASET by default."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at --out.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a stopped run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json.")] = False,
) -> None:
    """Run trackers over a labelled data set and score them."""
    from tirtrack.cli.live import progress
    from tirtrack.cli.score_table import print_comparison
    from tirtrack.datasets import open_dataset
    from tirtrack.evaluation.result_json import RESULT_NAME
    from tirtrack.evaluation.runner import TrackerSpec, evaluate

    specs = [TrackerSpec.of(text, preset=preset) for text in trackers]
    opened = open_dataset(dataset)
    folder = out or Path("runs") / f"evaluate-{opened.name}"
    with progress() as live:
        comparison = evaluate(
            specs,
            opened,
            folder,
            protocol=protocol,
            workers=workers,
            progress=live,
            seed=seed,
            force=force,
            resume=resume,
            command=shlex.join(["tirtrack", *sys.argv[1:]]),
        )
    if as_json:
        print(json.dumps(json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))))
        return
    print_comparison(comparison)
    print(f"written: {folder / RESULT_NAME}", file=sys.stderr)
