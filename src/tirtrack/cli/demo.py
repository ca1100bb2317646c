"""``tirtrack demo``: the whole story on the embedded world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tirtrack.cli.options import (
    AsJson,
    Baseline,
    Force,
    RecipeName,
    Seed,
    Workers,
    command_line,
    named_path,
    print_file,
)


def command(
    out: Annotated[
        Path | None,
        typer.Option(
            parser=named_path, metavar="PATH", help="New folder (default: runs/demo-NNN)."
        ),
    ] = None,
    seed: Seed = 0,
    baseline: Baseline = "nano-rgb",
    recipe: RecipeName = "mixed",
    world: Annotated[
        str,
        typer.Option(help="Size of the synthetic world: small (takes two minutes), demo or study."),
    ] = "demo",
    workers: Workers = 2,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """The whole story on the embedded world; ends with the path of one HTML report.

    Makes the synthetic RGB-TIR world, proposes boxes in its unlabelled pairs, distils the RGB
    baseline into a TIR tracker, trains its control on the TIR half of the pairs alone, tracks
    sequences that were not in the pairs with all three, and writes report.html and result.json.
    It only calls what the other commands call.
    """
    from tirtrack.cli.progress_line import progress
    from tirtrack.demo import run_demo
    from tirtrack.evaluation.comparison import RESULT_NAME

    with progress() as live:
        page = run_demo(
            out,
            baseline=baseline,
            recipe=recipe,
            seed=seed,
            world=world,
            workers=workers,
            force=force,
            command=command_line(),
            progress=live,
        )
    if as_json:
        print_file(page.with_name(RESULT_NAME))
    else:
        print(page)
