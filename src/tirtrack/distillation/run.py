"""``distill``: unlabelled pairs and an RGB tracker in, a TIR tracker and a run folder out.

Everything that can be checked is checked before the first stage (``stages.py``). The weights file
is written last, so it exists only for a finished run.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tirtrack.devices import checked_device
from tirtrack.distillation.frozen_backbone import FeatureEngine, OneTap, TorchFeatures
from tirtrack.distillation.recipe import (
    default_recipe,
    recipe_of_kind,
)
from tirtrack.distillation.recipe_check import check_recipe
from tirtrack.distillation.run_folder import Result, Run, carry_out, check_out, check_seed
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.distillation.sources import Pairs, Sources
from tirtrack.distillation.stages import distil_network, proposer_of
from tirtrack.distillation.train_student import Setup
from tirtrack.errors import RecipeError
from tirtrack.files import fingerprint
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.inspection_folder import MANIFEST_NAME, write_manifest
from tirtrack.pairs.proposals.tracklet import Follower
from tirtrack.pairs.source import Manifest, pairs_line
from tirtrack.progress import Progress, silent

if TYPE_CHECKING:
    from tirtrack.weights.card import Card


_log = logging.getLogger(__name__)


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
) -> Run:
    """Distil an RGB tracker into a TIR tracker, from unlabelled pairs.

    Args:
        pairs: folder, folders, or an opened source.
        baseline: name or file of the RGB weights; never changed.
        out: the weights file to write, ``NAME.safetensors``; the run folder is beside it.
        recipe: name, file, or a recipe; by default ``mixed`` for Siamese networks,
            ``distill_`` and the name of the family, such as ``distill_dimp``, for the others.
        changes: further settings by dotted name, such as ``{"training.steps": 400}``.
        held_back: pairs to validate on; without them a share of ``pairs`` is held back.
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
    check_recipe(settings, network, teacher)
    if settings.max_gap and follower is None:
        raise RecipeError(
            f"max_gap is {settings.max_gap}, and there is no tracker to follow boxes",
            "max_gap",
            "give a follower, or max_gap: 0",
        )
    way = proposer_of(settings.proposals)
    identity = {
        "recipe": fingerprint(settings.model_dump(mode="json")),
        **sources.identity(),
        "way of proposing": fingerprint(way.identity()),
        "baseline": weights.sha256,
        "seed": str(seed),
        **({"teacher": taught_by.sha256} if taught_by else {}),
    }
    setup = Setup(
        settings, folder, identity, seed=seed, device=trained_on, resume=resume, progress=progress
    )

    def work() -> Result:
        lines = _source_lines(sources)
        if not (folder / MANIFEST_NAME).is_file():
            write_manifest(folder, sources.manifest, proposals=way.identity())
        engine = None if settings.trains_backbone else feature_engine(network, trained_on)
        student, summary = distil_network(
            network,
            sources,
            setup,
            teacher=teacher,
            engine=engine,
            follower=follower(baseline) if follower and settings.max_gap else None,
        )
        card = _card(file.stem, weights.card, sources.manifest, settings)
        return Result(student, card, summary.model_copy(update={"source_lines": tuple(lines)}))

    return carry_out(file, setup, work, start=weights, force=force, command=command)


def _source_lines(sources: Sources) -> list[str]:
    """The pairs in one line, and pairs that were given to be held back; logged as well."""
    lines = [pairs_line(sources.train)]
    _log.info("%s: %s", sources.train.name, lines[0])
    if sources.held_back is not sources.train:
        lines.append(pairs_line(sources.held_back))
        _log.info("held back, %s: %s", sources.held_back.name, lines[1])
    return lines


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


def _card(name: str, baseline: Card, manifest: Manifest, recipe: CrossModalRecipe) -> Card:
    """The student's card, without what every run adds."""
    from tirtrack.weights.card import Card, TrainingSource

    return Card(
        name=name,
        architecture=baseline.architecture,
        modality="tir",
        licence=baseline.licence,
        summary=f"distilled from {baseline.name} by recipe {recipe.name}",
        preset=baseline.preset,
        normaliser=recipe.normaliser,
        training_data=[
            TrainingSource(
                name=manifest.name,
                licence=manifest.licence,
                role=f"unlabelled RGB-TIR pairs, recipe {recipe.name}",
            )
        ],
    )
