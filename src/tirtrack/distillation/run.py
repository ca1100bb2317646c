"""``distill``: unlabelled pairs and an RGB tracker in, a TIR tracker and a run folder out.

Everything that can be checked is checked before the first stage (``stages.py``). The weights file
is written last, so it exists only for a finished run.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tirtrack.cache import recorded_values
from tirtrack.devices import checked_device
from tirtrack.distillation.frozen_backbone import FeatureEngine, torch_engine
from tirtrack.distillation.recipe import (
    default_recipe,
    recipe_of_kind,
)
from tirtrack.distillation.recipe_check import check_recipe
from tirtrack.distillation.run_folder import (
    Run,
    as_run_errors,
    begin,
    check_out,
    check_seed,
    finish,
    recipe_identity,
)
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.distillation.shard_boxes import take_boxes, write_boxes
from tirtrack.distillation.sources import Pairs, Split, open_split
from tirtrack.distillation.stages import distil_network, follow_all, propose
from tirtrack.errors import PairsError, RecipeError
from tirtrack.files import fingerprint
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.folder import lacks_rgb
from tirtrack.pairs.inspection_folder import MANIFEST_NAME, write_manifest
from tirtrack.pairs.proposals.registry import identity_of, proposer
from tirtrack.pairs.shards import is_shards
from tirtrack.pairs.source import Manifest, pairs_line
from tirtrack.pairs.tracklets import Follower
from tirtrack.progress import Progress, silent
from tirtrack.remote import AnyPath, any_path
from tirtrack.workers import check_workers

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
    workers: int = 1,
    resume: bool = False,
    force: bool = False,
    command: str = "",
    progress: Progress = silent,
    follower: Callable[[str | Path], Follower] | None = None,
) -> Run[CrossModalRecipe]:
    """Distil an RGB tracker into a TIR tracker, from unlabelled pairs or TIR alone.

    Args:
        pairs: folder or folders of pairs, TIR frames or videos, or an opened source. RGB is read if
            the recipe needs it.
        baseline: name or file of the RGB weights; never changed.
        out: the weights file to write, ``NAME.safetensors``; the run folder is beside it.
        recipe: name, file, or a recipe; by default ``mixed`` for Siamese networks,
            ``distill_`` and the name of the family, such as ``distill_dimp``, for the others;
            without any RGB ``tir_only``, or ``tir_only_dimp``.
        changes: further settings by dotted name, such as ``{"training.steps": 400}``.
        held_back: pairs to validate on; without them a share of ``pairs`` is held back.
        hold_back: names of recordings of ``pairs`` to hold back instead of that share.
        pairing: names of the two cameras and how frames are matched, if ``pairs`` are folders.
        licence: licence of the pairs, for manifest and card.
        seed: seed of all random draws.
        device: torch device of the training.
        workers: number of processes that propose and follow boxes; the result does not depend on
            it. With more than one, a script must guard its main part with
            ``if __name__ == "__main__"``, and a source, detector or follower that cannot be pickled
            is used in this process.
        resume: resume a stopped run; without a checkpoint the run starts.
        force: replace an existing result.
        command: the command line, for the card.
        progress: callback that is told of every stage.
        follower: function that makes a tracker from ``baseline``, for recipes with tracks;
            ``tirtrack.distill`` has one. A run resumes only with the same one.

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
    check_workers(workers)
    file, trained_on = Path(out), checked_device(device)
    found = store.find(baseline)
    folder = check_out(file, found, force=force, resume=resume)
    weights = store.read(found)
    network = store.network_of(weights)
    settings = given or _default(network, pairs, pairing, changes)
    taught_by, teacher = None, None
    if settings.teacher.weights is not None:
        taught_by = store.read(store.find(settings.teacher.weights))
        teacher = store.network_of(taught_by)
    split = open_split(
        pairs, held_back, settings, licence, pairing=pairing, named=hold_back, progress=progress
    )
    check_recipe(settings, network, teacher)
    make_follower = _follower(follower, settings, baseline)
    boxes = settings.proposals
    way = identity_of(proposer(boxes.way, **boxes.options), boxes.modalities)
    identity = {
        "recipe": recipe_identity(settings),
        **split.identity(),
        "way of proposing": fingerprint(way),
        "baseline": weights.sha256,
        "seed": str(seed),
        **({"teacher": taught_by.sha256} if taught_by else {}),
        **({"follower": fingerprint(make_follower().origin)} if make_follower else {}),
    }
    run = Run(
        file,
        folder,
        settings,
        identity,
        seed=seed,
        device=trained_on,
        workers=workers,
        resume=resume,
        progress=progress,
    )
    if not begin(run, force=force):
        return run
    with as_run_errors():
        lines = _source_lines(split)
        if taken := take_boxes(split.source, identity["pairs"]):
            _log.info("%s: %d boxes and tracks came with its shards", split.source.name, taken)
        if not (folder / MANIFEST_NAME).is_file():
            write_manifest(folder, split.manifest, proposals=way)
        student, summary = distil_network(
            network,
            split,
            run,
            teacher=teacher,
            engine=None if settings.trains_backbone else feature_engine(network, trained_on),
            follower=make_follower,
        )
    card = _card(file.stem, weights.card, split.manifest, settings)
    more = {"source_lines": tuple(lines), "registered": split.registered}
    summary = summary.model_copy(update=more)
    return finish(run, student, card, summary, start=weights, command=command)


def propose_boxes(
    shards: str | AnyPath,
    baseline: str | Path = "nano-rgb",
    *,
    recipe: str | Path | CrossModalRecipe | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = silent,
    follower: Callable[[str | Path], Follower] | None = None,
) -> AnyPath:
    """Propose and follow the boxes that a distillation needs, and put them beside its shards.

    ``distill`` with the same recipe, baseline and seed reads them on any machine and with the same
    version of tirtrack; with others it makes its own.

    Args:
        shards: folder or address of shards.
        baseline: name or file of the RGB weights that will be distilled, which follow boxes.
        recipe: recipe, as for ``distill``.
        changes: further settings of it by dotted name.
        seed: seed of all random draws.
        workers: number of processes; the result does not depend on it.
        progress: callback that is told of every pair and start of tracks.
        follower: function that makes a tracker from ``baseline``; ``tirtrack.propose_boxes`` has
            one.

    Returns:
        The file that was written.

    Raises:
        RequestError: something in the request does not exist or does not fit, or these are no
            shards.
        RunError: the pairs are damaged.
        StorageError: the file could not be written.
    """
    from tirtrack.weights import store

    check_seed(seed)
    check_workers(workers)
    network = store.network_of(store.read(store.find(baseline)))
    given = None if recipe is None else recipe_of_kind(CrossModalRecipe, recipe, changes)
    settings = given or _default(network, shards, Pairing(), changes)
    folder = any_path(shards)
    if not is_shards(folder):
        raise PairsError("holds no shards", folder, "mine the pairs first: tirtrack pairs mine")
    split = open_split(folder, None, settings, "not stated")
    make_follower = _follower(follower, settings, baseline)
    here = Path(str(folder))  # no stage of these writes there
    run = Run(here, here, settings, split.identity(), seed=seed, workers=workers, progress=progress)
    with as_run_errors(), recorded_values() as values:
        found, _ = propose(split, run)
        if make_follower is not None:
            follow_all(split, found, run, make_follower)
    return write_boxes(folder, values)


def _default(
    network: TwoBranchNetwork, pairs: Pairs, pairing: Pairing, changes: Mapping[str, Any] | None
) -> CrossModalRecipe:
    """The default recipe; logged if it was chosen for the lack of RGB."""
    tir_alone = lacks_rgb(pairs, pairing)
    name = default_recipe(network, tir_alone=tir_alone)
    if tir_alone:
        _log.info("there is TIR alone, so the recipe is %s", name)
    return recipe_of_kind(CrossModalRecipe, name, changes)


def _follower(
    make: Callable[[str | Path], Follower] | None, recipe: CrossModalRecipe, baseline: str | Path
) -> Callable[[], Follower] | None:
    """Makes the tracker that follows boxes; ``None`` for a recipe without tracks."""
    if not (modalities := recipe.tracks.modalities):
        return None
    if make is None:
        raise RecipeError(
            f"boxes are to be followed in {' and '.join(modalities)}, and there is no tracker",
            "tracks.modalities",
            "give a follower, or tracks.modalities: []",
        )
    return partial(make, baseline)


def _source_lines(split: Split) -> list[str]:
    """The pairs in one line, and pairs that were given to be held back; logged as well."""
    lines = [pairs_line(split.source)]
    _log.info("%s: %s", split.source.name, lines[0])
    if split.has_two_sources:
        lines.append(pairs_line(split.held_back_source))
        _log.info("held back, %s: %s", split.held_back_source.name, lines[1])
    for said in split.registered:
        _log.info("%s", said)
    return lines


def recipe_for(
    baseline: str | Path,
    pairs: Pairs,
    pairing: Pairing = Pairing(),  # noqa: B008 - frozen
) -> str:
    """The default recipe of a baseline for some pairs; no frame is read.

    Raises:
        WeightsError: there are no such weights.
        PairsError: no folder was given.
    """
    from tirtrack.networks import registry
    from tirtrack.weights import store

    network = registry.build(store.card_of(store.find(baseline)).architecture)
    return default_recipe(network, tir_alone=lacks_rgb(pairs, pairing))


def feature_engine(network: TwoBranchNetwork, device: torch.device) -> FeatureEngine:
    """The frozen backbone: the fast graph if there is one, else torch."""
    from tirtrack.networks.siamese import SiameseNetwork
    from tirtrack.weights.graphs import graph_engine

    if isinstance(network, SiameseNetwork):
        return graph_engine(network)
    return torch_engine(copy.deepcopy(network), device)


def _card(name: str, baseline: Card, manifest: Manifest, recipe: CrossModalRecipe) -> Card:
    """The student's card, without what every run adds."""
    from tirtrack.weights.card import Card, TrainingSource

    read = "RGB-TIR pairs" if recipe.reads_rgb else "TIR"
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
                role=f"unlabelled {read}, recipe {recipe.name}",
            )
        ],
    )
