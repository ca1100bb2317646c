"""``distill``: unlabelled pairs and an RGB tracker in, a TIR tracker and a run folder out.

Everything that can be checked is checked before the first stage (``stages.py``). The weights file
is written last, so it exists only for a finished run.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tirtrack.devices import checked_device
from tirtrack.distillation.folder import (
    as_run_errors,
    begin_run,
    check_out,
    check_seed,
    inherited_calibration,
    made_with,
)
from tirtrack.distillation.frozen_backbone import FeatureEngine, OneTap, TorchFeatures
from tirtrack.distillation.job import Job, Pairs, Sources
from tirtrack.distillation.recipe import (
    default_recipe,
    recipe_of_kind,
)
from tirtrack.distillation.run_files import SUMMARY
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.distillation.stages import distil_network
from tirtrack.distillation.summary import Summary
from tirtrack.errors import RecipeError
from tirtrack.files import fingerprint, write_json
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.cameras import Pairing
from tirtrack.pairs.inspection_folder import MANIFEST_NAME, write_manifest
from tirtrack.pairs.proposals.tracklet import Follower
from tirtrack.pairs.source import Manifest, pairs_line
from tirtrack.progress import Progress, silent
from tirtrack.versions import versions

if TYPE_CHECKING:
    from tirtrack.weights.card import Card
    from tirtrack.weights.store import Weights


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DistillationRun:
    """A finished distillation.

    Attributes:
        weights: weights file of the student.
        folder: folder with recipe, log, manifest, summary, checkpoint and contact sheet.
        summary: summary as in ``summary.json``; ``None`` if the run was finished before.
    """

    weights: Path
    folder: Path
    summary: Summary | None


def distill(
    pairs: Pairs,
    baseline: str | Path,
    out: str | Path,
    *,
    recipe: str | Path | CrossModalRecipe | None = None,
    changes: Mapping[str, Any] | None = None,
    held_back: Pairs | None = None,
    hold_back: Sequence[str] = (),
    pairing: Pairing = Pairing(),  # noqa: B008 - frozen
    licence: str = "not stated",
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    force: bool = False,
    command: str = "",
    progress: Progress = silent,
    follower: Callable[[str | Path], Follower] | None = None,
) -> DistillationRun:
    """Distil an RGB tracker into a TIR tracker, from unlabelled pairs.

    Args:
        pairs: folder, folders, or an opened source.
        baseline: name or file of the RGB weights; never changed.
        out: the weights file to write, ``NAME.safetensors``; the run folder is beside it.
        recipe: name, file, or a recipe; by default ``mixed`` for Siamese networks,
            ``distill_dimp`` for the DiMP family and ``distill_atom`` for ATOM.
        changes: further settings by dotted name, such as ``{"training.steps": 400}``.
        held_back: pairs for the diagnostics; without them a share of ``pairs`` is held back.
        hold_back: names of recordings of ``pairs`` to hold back instead of that share.
        pairing: names of the two cameras and how frames are matched, if ``pairs`` are folders.
        licence: licence of the pairs, for manifest and card.
        seed: seed of all random draws.
        device: torch device of the training.
        resume: resume a stopped run; without a checkpoint the run starts.
        force: replace an existing result.
        command: the command line, for the card.
        progress: callback that is told of every stage.
        follower: function that makes a tracker of RGB frames from ``baseline``, for recipes with a
            ``max_gap``; ``tirtrack.distill`` has one.

    Raises:
        RequestError: something in the request does not exist or does not fit; nothing was written
            (subclasses name the subject).
        RunError: the pairs are damaged, or hold no usable box.
        TrainingError: no usable sample is left, or a loss is not finite.
        StorageError: a file could not be written.
    """
    from tirtrack.weights import store

    given = None if recipe is None else recipe_of_kind(CrossModalRecipe, recipe, changes)
    check_seed(seed)
    file, trained_on = Path(out), checked_device(device)
    found = store.find(baseline)
    folder = check_out(file, found, force=force, resume=resume)
    weights = store.read(found)
    network = store.network_of(weights)
    settings = given or recipe_of_kind(CrossModalRecipe, default_recipe(network), changes)
    taught_by, teacher = None, None
    if settings.teacher.weights is not None:
        taught_by = store.read(store.find(settings.teacher.weights))
        teacher = store.network_of(taught_by)
    sources = Sources.open(pairs, held_back, settings, licence, pairing=pairing, named=hold_back)
    job = Job(settings, seed=seed, device=trained_on, progress=progress)
    job.teacher = teacher
    job.check(network)
    if settings.max_gap and follower is None:
        raise RecipeError(
            f"max_gap is {settings.max_gap}, and there is no tracker to follow boxes",
            "max_gap",
            "give a follower, or max_gap: 0",
        )
    identity = {
        "recipe": fingerprint(settings.model_dump(mode="json")),
        **sources.identity(),
        "way of proposing": fingerprint(job.way.identity()),
        "baseline": weights.sha256,
        "seed": str(seed),
        **({"teacher": taught_by.sha256} if taught_by else {}),
    }
    if begin_run(file, settings, identity, force=force, resume=resume):
        return DistillationRun(file, folder, None)
    source_line = pairs_line(sources.train)
    _log.info("%s: %s", sources.train.name, source_line)
    held_back_line = ""
    if sources.held_back is not sources.train:
        held_back_line = pairs_line(sources.held_back)
        _log.info("held back, %s: %s", sources.held_back.name, held_back_line)
    if not (folder / MANIFEST_NAME).is_file():
        write_manifest(folder, sources.manifest, proposals=job.way.identity())
    engine = None if job.trains_backbone else feature_engine(network, trained_on)
    with as_run_errors():
        student, summary = distil_network(
            network,
            sources,
            job,
            folder,
            identity=identity,
            engine=engine,
            resume=resume,
            follower=follower(baseline) if follower and settings.max_gap else None,
        )
    summary = replace(
        summary,
        weights=file.name,
        versions=versions(),
        command=command,
        source_line=source_line,
        held_back_line=held_back_line,
    )
    card = _card(file.stem, weights, sources.manifest, settings, summary)
    write_json(folder / SUMMARY, asdict(summary))
    store.write(file, student, card)
    return DistillationRun(file, folder, summary)


def recipe_for(baseline: str | Path) -> str:
    """The default recipe of a baseline.

    Raises:
        WeightsError: there are no such weights.
    """
    from tirtrack.networks import registry
    from tirtrack.weights import store

    return default_recipe(registry.build(store.card_of(store.find(baseline)).architecture))


def feature_engine(network: TwoBranchNetwork, device: torch.device) -> FeatureEngine:
    """The frozen backbone: the fast graph if there is one, else torch."""
    from tirtrack.networks.siamese import SiameseNetwork
    from tirtrack.weights.graphs import OnnxBackbone, graphs_of_network

    if isinstance(network, SiameseNetwork):
        return OneTap(OnnxBackbone(graphs_of_network(network)))
    return TorchFeatures(copy.deepcopy(network), device)


def _card(
    name: str, baseline: Weights, manifest: Manifest, recipe: CrossModalRecipe, summary: Summary
) -> Card:
    """The student's card: its origin, its training data, its scores."""
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
        calibration=inherited_calibration(card),
        scores=scores,
        made_with=made_with(summary),
    )
