"""``tirtrack demo``: the whole story on the embedded world."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[
        Path | None,
        typer.Option(help="New folder [default: runs/demo-NNN]."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that draws.")] = 0,
    baseline: Annotated[
        str, typer.Option(help="The RGB tracker to distil: a name or a .safetensors file.")
    ] = "nano-rgb",
    recipe: Annotated[str, typer.Option(help="A recipe's name or file.")] = "mixed",
    world: Annotated[
        str, typer.Option(help="How much of the world: small (a minute), demo, or study.")
    ] = "demo",
    workers: Annotated[
        int, typer.Option(help="Processes that render and track; the result is the same.")
    ] = 2,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json.")] = False,
) -> None:
    """The whole story on the embedded world; ends with the path of one HTML report.

    Makes the synthetic RGB-TIR world, proposes boxes in its unlabelled pairs, distils the RGB
    baseline into a TIR tracker, tracks sequences that were not in the pairs with both, and writes
    report.html and result.json. It only calls what the other commands call.
    """
    from tirtrack.cli.live import progress
    from tirtrack.demo import DemoSettings, run_demo
    from tirtrack.evaluation.result_json import RESULT_NAME
    from tirtrack.files import new_folder, numbered_folder

    settings = DemoSettings(
        baseline=baseline, recipe=recipe, seed=seed, world=world, workers=workers
    )
    settings.check()
    folder = numbered_folder(Path("runs"), "demo") if out is None else new_folder(out, force=force)
    with progress() as live:
        page = run_demo(
            folder,
            settings,
            command=shlex.join(["tirtrack", *sys.argv[1:]]),
            progress=live,
        )
    if as_json:
        print(json.dumps(json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))))
    else:
        print(page)
