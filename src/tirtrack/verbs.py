"""``distill`` and ``train`` as users call them: what ``distillation`` may not import is added here.

Boxes are followed by a tracker of the baseline; labels are opened and handed down as clips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from tirtrack.datasets.labelled_clips import open_labelled
from tirtrack.distillation import run, supervised
from tirtrack.distillation.recipe import recipe_of_kind
from tirtrack.distillation.run_folder import Run
from tirtrack.distillation.settings import SupervisedRecipe
from tirtrack.progress import Progress, silent
from tirtrack.read_options import AS_STORED, ReadOptions, as_typed
from tirtrack.trackers.base import Tracker

P = ParamSpec("P")


def _follower(baseline: str | Path) -> Tracker:
    from tirtrack.trackers.loading import load_tracker

    return load_tracker(baseline)


def _with_follower(distil: Callable[P, Run]) -> Callable[P, Run]:
    @wraps(distil)
    def with_follower(*given: P.args, **named: P.kwargs) -> Run:
        named.setdefault("follower", _follower)
        return distil(*given, **named)

    return with_follower


distill = _with_follower(run.distill)


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
) -> Run:
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
    settings = recipe_of_kind(SupervisedRecipe, recipe, changes)  # its errors come first
    clips, lines = open_labelled(data, still_sources, options)
    return supervised.train(
        clips,
        out,
        network=network,
        initial=initial,
        recipe=settings,
        source_lines=lines,
        read_as=as_typed(options),
        licences=licences,
        seed=seed,
        device=device,
        resume=resume,
        force=force,
        command=command,
        progress=progress,
    )
