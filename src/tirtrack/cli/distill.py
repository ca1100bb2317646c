"""``tirtrack distill``: an RGB tracker and unlabelled pairs in, a TIR tracker out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tirtrack.cli.options import (
    AsJson,
    Baseline,
    Changes,
    Device,
    Force,
    Resume,
    Seed,
    command_line,
    print_file,
)
from tirtrack.errors import RequestError


def command(
    pairs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PAIRS...", help="Folders of recordings, each with rgb/ and tir/ (or videos)."
        ),
    ],
    baseline: Baseline = "nano-rgb",
    out: Annotated[
        Path | None,
        typer.Option(help="The weights file to write (default: runs/distill-RECIPE.safetensors)."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="A recipe's name or YAML file."),
    ] = None,
    set_: Changes = None,
    held_back: Annotated[
        list[Path] | None,
        typer.Option(help="Folders for the diagnostics (default: a share of PAIRS)."),
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the pairs; goes into the card.")] = "not stated",
    seed: Seed = 0,
    device: Device = "cpu",
    resume: Resume = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Distil an RGB tracker into a TIR tracker, from unlabelled pairs.

    Nobody has to draw a box: boxes are proposed, a frozen teacher checks them on RGB, and the
    student learns to find the same things on TIR. The RGB weights stay as they are. The run folder
    beside the result holds recipe, log, pass rates and what held-back pairs say. Without --recipe
    it is mixed for Siamese trackers, distill for the DiMP family.
    """
    from tirtrack.cli.live import progress
    from tirtrack.distillation.run import distill, recipe_for

    recipe = recipe or recipe_for(baseline)
    file = out or Path("runs") / f"distill-{Path(recipe).stem}.safetensors"
    with progress() as live:
        run = distill(
            pairs,
            baseline,
            file,
            recipe=recipe,
            changes=changes_of(set_ or []),
            held_back=held_back or None,
            licence=licence,
            seed=seed,
            device=device,
            resume=resume,
            force=force,
            command=command_line(),
            progress=live,
        )
    report_run(run.weights, run.folder, run.summary, as_json=as_json)


def changes_of(texts: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts as settings; values are read as in a recipe file.

    Raises:
        RequestError: a text has no ``=``, or its value is not plain YAML.
    """
    from tirtrack.distillation.recipe import parse_value

    changes = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise RequestError(f'"{text}" sets nothing', "--set", "write it as KEY=VALUE")
        changes[key] = parse_value(value)
    return changes


def report_run(weights: Path, folder: Path, summary: Any, *, as_json: bool) -> None:
    """The end of a training command: path of the weights on stdout, the verdict on stderr."""
    from tirtrack.distillation.run_files import SUMMARY

    if as_json:
        print_file(folder / SUMMARY)
        return
    if summary is None:
        print("was finished before; nothing to do", file=sys.stderr)
    else:
        for sentence in (*getattr(summary, "warnings", ()), summary.verdict):
            print(sentence, file=sys.stderr)
    print(f"run folder: {folder}", file=sys.stderr)
    print(weights)
