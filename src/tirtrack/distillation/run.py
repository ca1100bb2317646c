"""``distill``: unlabelled pairs and an RGB tracker in, a TIR tracker and a run folder out.

Everything that can be checked is checked before the first stage (``stages.py``); the weights file
gets its name last, so a file with that name is a finished run.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from tirtrack.distillation.pool import FeatureEngine
from tirtrack.distillation.recipe import dump_recipe, load_recipe
from tirtrack.distillation.settings import CrossModalRecipe, Recipe, SupervisedRecipe
from tirtrack.distillation.stages import Job, Sources, distil_network
from tirtrack.distillation.summary import Summary
from tirtrack.errors import RecipeError, RequestError
from tirtrack.files import fingerprint, new_file, new_folder, write_json, write_text
from tirtrack.pairs.source import Manifest, PairSource
from tirtrack.progress import Progress, silent

SUFFIX = ".safetensors"
SUMMARY = "summary.json"
RECIPE = "recipe.yaml"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class DistillationRun:
    """A finished distillation.

    Attributes:
        weights: the student's file.
        folder: with recipe, log, manifest, summary, checkpoint and contact sheet.
        summary: as in ``summary.json``; ``None`` when the run had been finished before.
    """

    weights: Path
    folder: Path
    summary: Summary | None


def run_folder(out: Path) -> Path:
    """The folder beside a weights file: ``NAME.run`` for ``NAME.safetensors``."""
    return Path(out).with_suffix(".run")


def distill(
    pairs: str | Path | Sequence[str | Path] | PairSource,
    baseline: str | Path,
    out: str | Path,
    *,
    recipe: str | Path | CrossModalRecipe = "mixed",
    changes: Mapping[str, Any] | None = None,
    held_back: str | Path | Sequence[str | Path] | PairSource | None = None,
    licence: str = "not stated",
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    force: bool = False,
    command: str = "",
    progress: Progress = silent,
) -> DistillationRun:
    """Distil an RGB tracker into a TIR tracker, from unlabelled pairs.

    Args:
        pairs: folder, folders, or an opened source.
        baseline: name or file of the RGB weights; never changed.
        out: the weights file to write, ``NAME.safetensors``; the run folder stands beside it.
        recipe: name, file, or a recipe.
        changes: further settings by dotted name, such as ``{"training.steps": 400}``.
        held_back: pairs for the diagnostics; without them a share of ``pairs`` is held back.
        licence: of the pairs; goes into manifest and card.
        seed: of every draw.
        device: torch device of the training.
        resume: go on with a run that was stopped; without a checkpoint it begins.
        force: replace an existing result.
        command: the command line, for the card.
        progress: told of every stage.

    Raises:
        RequestError: something that was asked for does not exist or does not fit; nothing was
            written (its children name the subject).
        TrainingError: no usable sample is left, or a loss is not finite.
        StorageError: a file could not be written.
    """
    from tirtrack.weights import store

    settings = _cross_modal(recipe, changes)
    file = Path(out)
    found = store.find(baseline)
    folder = check_out(file, found, force=force, resume=resume)
    if resume and file.exists():
        return DistillationRun(file, folder, None)
    weights = store.read(found)
    network = store.network_of(weights)
    sources = Sources.open(pairs, held_back, settings, licence)
    job = Job(settings, seed=seed, device=torch.device(device), progress=progress)
    job.check(network)
    if not (resume and folder.is_dir()):
        new_folder(folder, force=force)
    write_recipe(folder, settings, resume=resume)
    write_json(folder / MANIFEST, asdict(sources.manifest))
    identity = {
        "recipe": fingerprint(settings.model_dump(mode="json")),
        "pairs": fingerprint(asdict(sources.manifest)),
        "baseline": weights.sha256,
        "seed": str(seed),
    }
    engine = None if job.trains_backbone else _fast_engine(network)
    student, summary = distil_network(
        network, sources, job, folder, identity=identity, engine=engine, resume=resume
    )
    summary = replace(summary, weights=file.name, made_with=made_with(command))
    card = _card(file.stem, weights, sources.manifest, settings, summary)
    write_json(folder / SUMMARY, asdict(summary))
    store.write(file, student, card)
    return DistillationRun(file, folder, summary)


def _cross_modal(
    recipe: str | Path | CrossModalRecipe, changes: Mapping[str, Any] | None
) -> CrossModalRecipe:
    if isinstance(recipe, CrossModalRecipe):
        return recipe
    loaded: Recipe = load_recipe(recipe)
    if isinstance(loaded, CrossModalRecipe):
        return load_recipe(recipe, changes=changes)  # type: ignore[return-value]
    verb = "train" if isinstance(loaded, SupervisedRecipe) else "evaluate"
    raise RecipeError(
        f'recipe "{loaded.name}" is of kind {loaded.kind}, nothing is distilled by it',
        fix=f"give it to `tirtrack {verb}`",
    )


def check_out(file: Path, baseline: Path | None, *, force: bool, resume: bool) -> Path:
    """The run folder, after checking that the result may be written."""
    if file.suffix != SUFFIX:
        raise RequestError(f'"{file.name}" is no name for weights', fix=f"end --out with {SUFFIX}")
    if baseline is not None and file.resolve() == baseline.resolve():
        raise RequestError(
            "is the baseline, which is never overwritten", file, "choose another --out"
        )
    folder = run_folder(file)
    if not resume:
        new_file(file, force=force)
        if folder.exists() and not force:
            raise RequestError(
                "exists already", folder, "go on with --resume, or begin anew with --force"
            )
    return folder


def write_recipe(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Leave the resolved recipe; a run is not resumed with another one."""
    path = folder / RECIPE
    if resume and path.is_file():
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        changed = list(_differences(before, recipe.model_dump(mode="json")))
        if changed:
            raise RequestError(
                f"the run was begun with another recipe ({'; '.join(changed[:3])})",
                path,
                "repeat the settings of the first command, or begin anew with --force",
            )
    write_text(path, dump_recipe(recipe))


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield f"{path} was {before}, now {now}"


def _fast_engine(network: Any) -> FeatureEngine:
    from tirtrack.weights.graphs import OnnxBackbone, graphs_of_network

    return OnnxBackbone(graphs_of_network(network))


def made_with(command: str) -> dict[str, str]:
    """Versions of what has a say in the numbers, and the command line."""
    names = ("tirtrack", "torch", "numpy", "onnxruntime")
    versions = {name: importlib.metadata.version(name) for name in names}
    made = {**versions, "python": platform.python_version()}
    return {**made, "command": command} if command else made


def _card(
    name: str, baseline: Any, manifest: Manifest, recipe: CrossModalRecipe, summary: Summary
) -> Any:
    """The student's card: where it came from, what it was trained on, what is known of it."""
    from tirtrack.weights.card import Card, StartedFrom, TrainingSource

    card = baseline.card
    start = StartedFrom(
        name=card.name,
        sha256=baseline.sha256,
        licence=card.licence,
        training_data="; ".join(f"{part.name} ({part.licence})" for part in card.training_data),
    )
    scores = {}
    if summary.held_back is not None:
        scores = {
            "held-back overlap with teacher": round(summary.held_back.with_teacher.student, 4),
            "held-back overlap with teacher, baseline": round(
                summary.held_back.with_teacher.baseline, 4
            ),
        }
    return Card(
        name=name,
        architecture=card.architecture,
        modality="tir",
        licence=card.licence,
        summary=f"distilled from {card.name} by recipe {recipe.name}; {summary.verdict}",
        preset=card.preset,
        normaliser=recipe.normaliser,
        started_from=[start, *card.started_from],
        training_data=[
            TrainingSource(
                name=manifest.name,
                licence=manifest.licence,
                role=f"unlabelled RGB-TIR pairs, recipe {recipe.name}",
            )
        ],
        calibration=card.calibration,
        scores=scores,
        made_with={
            **summary.made_with,
            "seed": str(summary.seed),
            "recipe": recipe.name,
            "fingerprint": summary.fingerprint,
        },
    )
