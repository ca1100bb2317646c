"""``distill`` and ``train`` as users call them; they stand above ``distillation``.

``distill`` adds what ``distillation`` must not know, a tracker that follows boxes. ``train`` makes
an RGB baseline from labelled RGB, which ``distillation`` cannot open by itself, from scratch or
continued. A share of the pictures and sequences is held back. If one-step localisation there is not
better than with the start weights, the start weights are kept, and the summary says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tirtrack.datasets.labelled_clips import open_labelled
from tirtrack.devices import checked_device
from tirtrack.distillation.clips import LabelledFootage
from tirtrack.distillation.engine import check_components
from tirtrack.distillation.proposal_draws import draw_rule
from tirtrack.distillation.recipe import recipe_of_kind
from tirtrack.distillation.run import distill as _distill
from tirtrack.distillation.run import propose_boxes as _propose_boxes
from tirtrack.distillation.run_folder import (
    Run,
    as_run_errors,
    begin,
    check_out,
    check_seed,
    finish,
    recipe_identity,
)
from tirtrack.distillation.samples import long_enough
from tirtrack.distillation.settings import SupervisedRecipe
from tirtrack.distillation.sources import hold_back_clips
from tirtrack.distillation.summary import RunSummary
from tirtrack.distillation.supervised import begin_network, compare_held_back, train_network
from tirtrack.distillation.train_student import timed
from tirtrack.distillation.validation import keeps_trained, verdict_by_labels
from tirtrack.errors import RecipeError, RequestError
from tirtrack.files import fingerprint
from tirtrack.progress import Progress, silent
from tirtrack.read_options import AS_STORED, ReadOptions, as_typed
from tirtrack.source_line import counted

if TYPE_CHECKING:
    from tirtrack.trackers.base import Tracker
    from tirtrack.weights.card import Card
    from tirtrack.weights.store import Weights

_log = logging.getLogger(__name__)

DEFAULT_NETWORK = "nanotrack-v3"
_RANDOM_BACKBONE = (
    "the backbone has random weights, and the recipe does not train it: begin with --initial, or "
    "add it to training.components; "
)

P = ParamSpec("P")
AnyResult = TypeVar("AnyResult")


def _follower(baseline: str | Path) -> Tracker:
    from tirtrack.trackers.loading import load_tracker

    return load_tracker(baseline)


def _with_follower(verb: Callable[P, AnyResult]) -> Callable[P, AnyResult]:
    @wraps(verb)
    def with_follower(*given: P.args, **named: P.kwargs) -> AnyResult:
        named.setdefault("follower", _follower)
        return verb(*given, **named)

    return with_follower


distill = _with_follower(_distill)
propose_boxes = _with_follower(_propose_boxes)


def train(
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    network: str | None = None,
    initial: str | Path | None = None,
    recipe: str | Path | SupervisedRecipe = "baseline",
    changes: Mapping[str, Any] | None = None,
    still_sources: Sequence[str] | None = None,
    options: ReadOptions = AS_STORED,
    licences: Mapping[str, str] | None = None,
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    force: bool = False,
    command: str = "",
    progress: Progress = silent,
) -> Run[SupervisedRecipe]:
    """Train or continue an RGB baseline on labelled RGB.

    Args:
        data: folders of labelled stills (with ``instances.json``) or of labelled sequences.
        out: the weights file to write, ``NAME.safetensors``; the run folder is beside it.
        network: architecture; by default that of the start weights, or ``nanotrack-v3``.
        initial: name or file of the start weights; never changed. From a backbone's file, and from
            weights of another architecture, only the backbone is used.
        recipe: name, file, or a recipe of kind supervised.
        changes: further settings by dotted name.
        still_sources: sources of the stills that may be used; all by default.
        options: read options for frames and pictures that do not state their format.
        licences: licences of the data by folder name or source, for the card.
        seed: seed of all random draws.
        device: torch device.
        resume: resume a stopped run; without a checkpoint the run starts.
        force: replace an existing result.
        command: the command line, for the card.
        progress: callback that is told of every stage.

    Raises:
        RequestError: something in the request does not exist or does not fit; nothing was
            written.
        RunError: a picture is damaged.
        TrainingError: a loss is not finite; names the samples.
        StorageError: a file could not be written.
    """
    from tirtrack.weights import store

    settings = recipe_of_kind(SupervisedRecipe, recipe, changes)  # its errors come first
    check_seed(seed)
    file, trained_on = Path(out), checked_device(device)
    found = None if initial is None else store.find(initial)
    folder = check_out(file, found, force=force, resume=resume)
    start = None if found is None else store.read(found)
    clips, lines = open_labelled(data, still_sources, options)
    architecture = network or _architecture(start)
    is_continued = start is not None and start.card.architecture == architecture
    _check_average(settings, is_continued=is_continued)
    before = begin_network(architecture, start, seed)
    check_components(before, settings.training)
    draw_rule(settings.estimator, before.box_kind)
    usable = long_enough(clips, settings)
    if short := len(clips) - len(usable):
        lines.append(f"not used: {counted(short, 'sequence')} too short for causal samples")
    kept, held = hold_back_clips(usable, settings.held_back.share)
    identity = {
        "recipe": recipe_identity(settings),
        **({"way of reading frames": given} if (given := as_typed(options)) else {}),
        "data": fingerprint([[clip.name, clip.boxes.tolist(), clip.stamp()] for clip in usable]),
        "start weights": "none" if start is None else start.sha256,
        "network": architecture,
        "seed": str(seed),
    }
    run = Run(
        file,
        folder,
        settings,
        identity,
        seed=seed,
        device=trained_on,
        resume=resume,
        progress=progress,
    )
    card = _card(file.stem, architecture, start, usable, settings, licences or {})
    if not begin(run, force=force):
        return run
    for line in lines:
        _log.info(line)
    seconds: dict[str, float] = {}
    with as_run_errors():
        with timed(seconds, "training"):
            trained = train_network(before, kept, run)
        compared = compare_held_back(before, trained, held, settings, progress=progress)
    is_kept = not is_continued or keeps_trained(compared, settings.keep)
    has_backbone = start is not None or "backbone" in settings.training.components
    said = verdict_by_labels(compared, is_kept=is_kept)
    summary = RunSummary(
        recipe=settings.name,
        held_back=compared,
        verdict=said if has_backbone else _RANDOM_BACKBONE + said,
        kept="trained" if is_kept else "start",
        data={
            "stills": sum(not clip.is_video for clip in kept),
            "videos": sum(clip.is_video for clip in kept),
            "held back": len(held),
        },
        seconds=seconds,
        source_lines=tuple(lines),
    )
    student = trained if is_kept else before
    return finish(run, student, card, summary, start=start, command=command)


def _check_average(recipe: SupervisedRecipe, *, is_continued: bool) -> None:
    """Refuse to average with random weights."""
    if recipe.training.average and not is_continued:
        raise RecipeError(
            f"the finished weights are to hold {recipe.training.average:g} of the start weights, "
            "and this training begins with random ones",
            "training.average",
            "continue weights of the same architecture with --initial, or leave it out",
        )


def _architecture(start: Weights | None) -> str:
    """Architecture of the start weights; those of a backbone alone do not determine one."""
    from tirtrack.networks import registry

    if start is None:
        return DEFAULT_NETWORK
    if start.card.architecture in registry.backbone_names():
        raise RequestError(
            f"is a backbone ({start.card.architecture}), which serves several networks",
            start.path,
            "name one with --network",
        )
    return start.card.architecture


def _card(
    name: str,
    architecture: str,
    start: Weights | None,
    clips: Sequence[LabelledFootage],
    recipe: SupervisedRecipe,
    licences: Mapping[str, str],
) -> Card:
    """The card of the baseline with its data by source, without what every run adds."""
    from tirtrack.weights.card import Card, TrainingSource

    sources = sorted({clip.source for clip in clips if not clip.is_video})
    sources += sorted(clip.source for clip in clips if clip.is_video)
    return Card(
        name=name,
        architecture=architecture,
        modality="rgb",
        licence="unknown" if start is None else start.card.licence,
        summary=f"trained on labelled RGB by recipe {recipe.name}",
        training_data=[
            TrainingSource(
                name=source,
                licence=licences.get(source, "not stated"),
                role=f"labelled RGB, recipe {recipe.name}",
            )
            for source in sources
        ],
    )
