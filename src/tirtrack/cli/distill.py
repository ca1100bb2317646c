"""``tirtrack distill``: an RGB tracker and unlabelled pairs in, a TIR tracker out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tirtrack.cli.options import (
    AsJson,
    Baseline,
    Changes,
    Device,
    Force,
    HeldBackFolders,
    PairFolders,
    Resume,
    Seed,
    Workers,
    command_line,
    named_path,
    print_file,
    takes_pairing,
)
from tirtrack.errors import RequestError

if TYPE_CHECKING:
    from tirtrack.distillation.run_folder import Run
    from tirtrack.pairs import Pairing


@takes_pairing()
def command(
    pairs: PairFolders,
    *,
    baseline: Baseline = "nano-rgb",
    out: Annotated[
        Path | None,
        typer.Option(
            parser=named_path,
            metavar="PATH",
            help="The weights file to write (default: runs/distill-RECIPE.safetensors).",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="A recipe's name or YAML file."),
    ] = None,
    set_: Changes = None,
    held_back: HeldBackFolders = None,
    hold_back: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name of a recording of PAIRS to validate on, not to train on; may be repeated.",
        ),
    ] = None,
    pairing: Pairing,
    licence: Annotated[
        str, typer.Option(help="Licence of the pairs, for the card.")
    ] = "not stated",
    seed: Seed = 0,
    device: Device = "cpu",
    workers: Workers = 1,
    resume: Resume = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Distil an RGB tracker into a TIR tracker, from unlabelled pairs or TIR alone.

    Nobody has to draw a box: boxes are proposed, a frozen teacher checks them on RGB, and the
    student learns to find the same things on TIR. The RGB weights stay as they are. The run folder
    beside the result holds recipe, log, pass rates and what held-back pairs say. Without --recipe
    it is mixed for Siamese trackers, distill_ and the family for the others (distill_dimp); where
    there is no RGB at all, tir_only (tir_only_dimp).
    """
    from tirtrack.cli.progress_line import progress
    from tirtrack.distillation.run import recipe_for
    from tirtrack.verbs import distill

    named = recipe or ("" if out else recipe_for(baseline, pairs, pairing))
    file = out or Path("runs") / f"distill-{Path(named).stem}.safetensors"
    with progress() as live:
        run = distill(
            pairs,
            baseline,
            file,
            recipe=recipe,
            changes=changes_of(set_ or []),
            held_back=held_back or None,
            hold_back=hold_back or (),
            pairing=pairing,
            licence=licence,
            seed=seed,
            device=device,
            workers=workers,
            resume=resume,
            force=force,
            command=command_line(),
            progress=live,
        )
    report_run(run, as_json=as_json, advice=cannot_tell(baseline, run.weights))


def cannot_tell(baseline: str, student: Path) -> str:
    """The sentence that no comparison without labels tells which of two trackers is better, with
    the command that can.
    """
    words = ["tirtrack", "evaluate", baseline, str(student), "--dataset", "DIR"]
    return (
        "without labels distill cannot tell which of the two tracks better, labelled TIR can: "
        f"{shlex.join(words)}"
    )


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
            raise RequestError(f'expected KEY=VALUE, got "{text}"', "--set")
        changes[key] = parse_value(value)
    return changes


def report_run(run: Run[Any], *, as_json: bool, advice: str = "") -> None:
    """The end of a training command: path of the weights on stdout, the verdict and what to do
    about it on stderr.
    """
    from tirtrack.distillation.summary import SUMMARY

    if as_json:
        print_file(run.folder / SUMMARY)
        return
    if run.summary is None:
        print("the run is finished already; nothing to do", file=sys.stderr)
    else:
        for sentence in filter(None, (*run.summary.warnings, run.summary.verdict, advice)):
            print(sentence, file=sys.stderr)
    print(f"run folder: {run.folder}", file=sys.stderr)
    print(run.weights)
