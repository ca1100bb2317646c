"""The whole pipeline on the embedded world: pairs, proposals, distillation, evaluation, report.

Beside the student stands its control, which is trained by the same recipe on the TIR half of the
same recordings alone. Has no code path of its own: every stage is the call that a command makes, on
ordinary folders. Only the evaluation of the test sequences reads the world's boxes, and nothing
before it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tirtrack.datasets import open_dataset
from tirtrack.distillation.recipe import check_network, on_tir_alone, recipe_of_kind
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.errors import RequestError
from tirtrack.evaluation.comparison import EVALUATION_FOLDER
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.files import new_folder, numbered_folder
from tirtrack.pairs import open_pairs
from tirtrack.pairs.inspect import inspect_pairs
from tirtrack.progress import Progress, silent
from tirtrack.report.build import PAGE_NAME, evaluation_section, write_report
from tirtrack.report.content import ReportContent
from tirtrack.report.pairs import FOLDER, pairs_section
from tirtrack.report.provenance import provenance
from tirtrack.report.training import distillation_section, resolved_recipes
from tirtrack.synthetic import cached_world, world_size
from tirtrack.verbs import distill
from tirtrack.weights import store
from tirtrack.workers import check_workers

PROTOCOL = "lsotb-tir"
DISTILLED = "distilled"
CONTROL = "tir_only"
SAMPLED_PAIRS = 24
LICENCE = "Apache-2.0 (rendered by tirtrack)"
OF_THE_CONTROL = (
    "{control} is the control: trained by the same recipe, on the same recordings and with as many "
    "steps, but proposer, teacher and both branches see TIR alone; not one RGB file was opened for "
    "it. Each draws as many samples, of which its own teacher passes more or fewer. A gain over "
    "{baseline} can come from any further training on these recordings; to RGB is due only what "
    "{student} gains over {control}."
)
NOTES = (
    "The world on this page is synthetic: it shows that the whole chain works, and how its result "
    "is read. It says nothing about your camera; run the same commands on your own pairs.",
    "The boxes of the pairs were proposed, never read: distillation cannot see an annotation. The "
    "sentences above rest on the annotation of the test sequences, which are not in the pairs.",
    "Subsets of the sequences say how the camera moves: S fixed, H in the hand, V panning, D "
    "following.",
)


class StageTimes:
    """Seconds by stage, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block under that name."""
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


def run_demo(
    out: str | Path | None = None,
    *,
    baseline: str = "nano-rgb",
    recipe: str = "mixed",
    seed: int = 0,
    world: str = "demo",
    workers: int = 1,
    force: bool = False,
    command: str = "tirtrack demo",
    progress: Progress = silent,
) -> Path:
    """Make the synthetic world, distil the baseline on its pairs and, as a control, on their TIR
    alone, evaluate all three, write the page.

    Args:
        out: a new folder for ``report.html``, ``result.json``, the distilled weights and those of
            the control with their run folders, and the evaluation; by default ``runs/demo-NNN``.
        baseline: name or file of the RGB tracker that is distilled.
        recipe: name or file of the recipe; one that reads no RGB has no control.
        seed: seed of all random draws.
        world: size of the synthetic world: ``small``, ``demo`` or ``study``.
        workers: number of processes that render, propose and follow boxes, and track; the result
            does not depend on it.
        force: replace what is at ``out``.
        command: command line that does the same, for the page.
        progress: callback that is told of every stage.

    Returns:
        The page's path.

    Raises:
        RequestError: the baseline, recipe or world is unknown, damaged or does not fit, or ``out``
            exists; nothing was written.
        TirtrackError: the error of the stage that failed.
    """
    recipes = _checked_recipes(baseline, recipe, world, workers)
    folder = (
        numbered_folder(Path("runs"), "demo") if out is None else new_folder(Path(out), force=force)
    )
    times = StageTimes()
    with times.stage("synthetic world (or its cache)"):
        rendered = cached_world(world, workers=workers, progress=progress)
    with times.stage("looking at the pairs"):
        pairs = open_pairs(rendered / "pairs", licence=LICENCE)
        inspect_pairs(
            pairs,
            seed=seed,
            sampled=SAMPLED_PAIRS,
            out=folder / FOLDER,
            workers=workers,
            progress=progress,
        )
    runs = {}
    for name, one in recipes.items():
        with times.stage(f"distillation by {one.name}"):
            runs[name] = distill(
                rendered / "pairs",
                baseline,
                folder / f"{name}.safetensors",
                recipe=one,
                licence=LICENCE,
                seed=seed,
                workers=workers,
                command=command,
                progress=progress,
            )
    dataset = open_dataset(rendered / "test")
    before = TrackerSpec.of(baseline)
    evaluated = folder / EVALUATION_FOLDER
    with times.stage("tracking and scoring the test sequences"):
        evaluate(
            [before, *(TrackerSpec(name, str(run.weights)) for name, run in runs.items())],
            dataset,
            evaluated,
            protocol=PROTOCOL,
            workers=workers,
            progress=progress,
            seed=seed,
            command=command,
        )
    with times.stage("report"):
        control = CONTROL if CONTROL in runs else None
        section = evaluation_section(
            evaluated, dataset=dataset, reference=before.name, control=control
        )
        parts = ReportContent(
            title=f"{before.name}, before and after distillation",
            lead="Unlabelled RGB-TIR pairs went in, a TIR tracker came out; tested on TIR "
            "sequences that were not in the pairs.",
            notes=(*_note_of(control, before.name), *NOTES),
            evaluations=(section,),
            pairs=pairs_section([folder / FOLDER, runs[DISTILLED].folder]),
            distillations=tuple(distillation_section(run.folder) for run in runs.values()),
        )
    made = provenance(
        [section.result],
        command=command,
        seed=seed,
        stages=times.seconds,
        settings=resolved_recipes({run.folder.name: run.folder for run in runs.values()}),
    )
    return write_report(replace(parts, provenance=made), folder / PAGE_NAME)


def _checked_recipes(
    baseline: str, recipe: str, world: str, workers: int
) -> dict[str, CrossModalRecipe]:
    """The recipes of student and control by the names of their weights, after refusing what cannot
    work, before anything is written.
    """
    world_size(world)
    check_workers(workers)
    network = store.network_of(store.read(store.find(baseline)))
    # the world is registered to a few pixels, and figures of the demo are published
    asked = recipe_of_kind(CrossModalRecipe, recipe, {"registration": False})
    check_network(asked, network)
    recipes = {DISTILLED: asked}
    if asked.reads_rgb:
        recipes[CONTROL] = on_tir_alone(asked)
    if (name := TrackerSpec.of(baseline).name) in recipes:
        raise RequestError(
            f'the baseline is called "{name}", as a result will be', "--baseline", "rename its file"
        )
    return recipes


def _note_of(control: str | None, baseline: str) -> list[str]:
    if control is None:
        return []
    return [OF_THE_CONTROL.format(student=DISTILLED, control=control, baseline=baseline)]
