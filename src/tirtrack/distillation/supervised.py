"""``train``: an RGB baseline from labelled RGB, from scratch or continued.

The loss is that of ``cross_supervision`` with the annotation instead of the pseudo-box. A share of
the pictures and sequences is held out. If one-step localisation there is not better than with the
start weights, the start weights are kept, and the summary says so.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tirtrack.devices import checked_device
from tirtrack.distillation.batch import Batch
from tirtrack.distillation.crop_specs import CropRules
from tirtrack.distillation.engine import check_components
from tirtrack.distillation.frozen_backbone import TorchFeatures, backbone_hash
from tirtrack.distillation.labelled import (
    Labelled,
    cut_labelled,
    draw_labelled,
    hold_out,
    plan_labelled,
)
from tirtrack.distillation.labelled_folders import open_labelled
from tirtrack.distillation.one_step import one_step_iou
from tirtrack.distillation.pool_cache import PoolCache
from tirtrack.distillation.proposal_draws import DrawRule, draw_rule
from tirtrack.distillation.recipe import recipe_of_kind
from tirtrack.distillation.run_folder import Result, Run, check_out, check_seed, run
from tirtrack.distillation.settings import Direction, Photometric, SupervisedRecipe
from tirtrack.distillation.summary import Comparison, RunSummary
from tirtrack.distillation.train_student import Batches, Setup, timed, train_student
from tirtrack.distillation.validation import (
    HELD_BACK_SEED,
    Validator,
    keeps_trained,
    verdict_by_labels,
)
from tirtrack.errors import RequestError, WeightsError
from tirtrack.files import fingerprint
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.progress import Progress, silent
from tirtrack.read_options import AS_STORED, ReadOptions, as_typed

if TYPE_CHECKING:
    from tirtrack.weights.card import Card
    from tirtrack.weights.store import Weights

_log = logging.getLogger(__name__)


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
    from tirtrack.weights import store

    settings = recipe_of_kind(SupervisedRecipe, recipe, changes)  # its errors come first
    check_seed(seed)
    file, trained_on = Path(out), checked_device(device)
    found = None if initial is None else store.find(initial)
    folder = check_out(file, found, force=force, resume=resume)
    start = None if found is None else store.read(found)
    opened = open_labelled(data, still_sources, options)
    architecture = network or _architecture(start)
    is_continued = start is not None and start.card.architecture == architecture
    before = begin_network(architecture, start, seed)
    check_components(before, settings.training)
    _proposal_rule(settings, before)
    opened = opened.serving(settings)
    kept, held = hold_out(opened, settings.held_out.share)
    identity = {
        "recipe": fingerprint(settings.model_dump(mode="json")),
        "data": fingerprint([[item.name, item.boxes.tolist()] for item in opened.items]),
        "start weights": "none" if start is None else start.sha256,
        "network": architecture,
        "seed": str(seed),
        **({"way of reading frames": given} if (given := as_typed(options)) else {}),
    }
    setup = Setup(
        settings, folder, identity, seed=seed, device=trained_on, resume=resume, progress=progress
    )
    card = _card(file.stem, architecture, start, opened, settings, licences or {})

    def work() -> Result:
        for line in opened.source_lines:
            _log.info(line)
        seconds: dict[str, float] = {}
        with timed(seconds, "training"):
            trained = train_network(before, kept, setup)
        compared = compare_held_out(before, trained, held, settings, progress=progress)
        is_kept = not is_continued or keeps_trained(compared, settings.keep)
        has_backbone = start is not None or "backbone" in settings.training.components
        summary = RunSummary(
            recipe=settings.name,
            held_back=compared,
            verdict=("" if has_backbone else _RANDOM_BACKBONE)
            + verdict_by_labels(compared, is_kept=is_kept),
            kept="trained" if is_kept else "start",
            data={"stills": len(kept.stills), "videos": len(kept.videos), "held out": len(held)},
            seconds=seconds,
            source_lines=list(opened.source_lines),
        )
        return Result(trained if is_kept else before, card, summary)

    return run(file, setup, work, start=start, force=force, command=command)


def _proposal_rule(recipe: SupervisedRecipe, network: TwoBranchNetwork) -> DrawRule | None:
    kind = network.energy_kind
    return None if kind is None else draw_rule(recipe.estimator, kind)


DEFAULT_NETWORK = "nanotrack-v3"


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


def begin_network(architecture: str, start: Weights | None, seed: int) -> TwoBranchNetwork:
    """The network that training begins with: with the start weights, or with random weights and,
    if start weights of another architecture are given, their backbone.

    Raises:
        WeightsError: the network is unknown, or the backbone of the start weights does not fit it.
    """
    from tirtrack.networks import registry
    from tirtrack.weights import store

    if start is not None and start.card.architecture == architecture:
        return store.network_of(start)
    network = registry.build(architecture, seed=seed).eval()
    if start is not None:
        _take_backbone(network, architecture, start)
    return network


def _take_backbone(network: TwoBranchNetwork, architecture: str, start: Weights) -> None:
    from tirtrack.networks import registry
    from tirtrack.weights import store

    state: Mapping[str, torch.Tensor] = start.state
    if start.card.architecture not in registry.backbone_names():
        state = _backbone(store.network_of(start)).state_dict()
    backbone = _backbone(network)
    wanted = {key: value for key, value in backbone.state_dict().items() if registry.is_stored(key)}
    unfit = [key for key in wanted if key not in state or state[key].shape != wanted[key].shape]
    if unfit:
        raise WeightsError(
            f"its backbone is not that of {architecture}: {len(unfit)} tensors are missing or of "
            f"another shape, first {', '.join(unfit[:5])}",
            start.path,
            "give weights with the same backbone",
        )
    backbone.load_state_dict({key: state[key] for key in wanted}, strict=False)


def _backbone(network: TwoBranchNetwork) -> nn.Module:
    """The backbone as one module; some networks (FEAR) have it in parts."""
    parts = network.modules_of("backbone")
    return parts[0] if len(parts) == 1 else nn.ModuleList(parts)


# --- training ------------------------------------------------------------------------------------


def train_network(
    network: TwoBranchNetwork, labelled: Labelled, setup: Setup[SupervisedRecipe]
) -> TwoBranchNetwork:
    """A trained copy of a network, in eval mode on the CPU; the network itself is not changed."""
    student = copy.deepcopy(network).to(setup.device)
    train_student(student, None, batches_of(network, labelled, setup), setup)
    return student.cpu()


def batches_of(
    network: TwoBranchNetwork, labelled: Labelled, setup: Setup[SupervisedRecipe]
) -> Batches:
    """The samples of a step; every epoch has a pool of its own, until the pools repeat."""
    recipe, seed, device = setup.recipe, setup.seed, setup.device
    steps_each = max(recipe.pool // recipe.training.batch, 1)
    keeps_features = recipe.pools is not None and "backbone" not in recipe.training.components
    pool_cache = PoolCache(
        labelled,
        recipe,
        CropRules.of(network),
        size=steps_each * recipe.training.batch,
        seed=seed,
        engine=TorchFeatures(copy.deepcopy(network).eval(), device) if keeps_features else None,
        key=f"{setup.identity['data']} {backbone_hash(network)}" if keeps_features else "",
    )
    rule = _proposal_rule(recipe, network)

    def batches(step: int) -> list[tuple[Direction, Batch]]:
        epoch, inside = divmod(step, steps_each)
        pool = pool_cache.pool(epoch)
        draws = plan_labelled(pool, recipe, epoch=epoch, step=inside, seed=seed)
        batch = pool.batch(draws, rule=rule, seed=[seed, step], device=device)
        return [(Direction.RGB_TO_RGB, batch)]

    return batches


# --- selection -----------------------------------------------------------------------------------


def compare_held_out(
    before: TwoBranchNetwork,
    after: TwoBranchNetwork,
    held: Labelled,
    recipe: SupervisedRecipe,
    *,
    progress: Progress = silent,
) -> Comparison | None:
    """Both networks on the same held-out samples, plain crops; ``None`` if nothing is held out.

    The metric is the IoU with the annotation after one step of localisation (``one_step``).
    """
    count = recipe.held_out.samples
    if not len(held) or not count:
        return None
    plain = recipe.model_copy(update={"augmentation": Photometric(), "references": 1, "tests": 1})
    held = held.serving(plain)
    rules = CropRules.of(before)
    samples = [
        draw_labelled(held, plain, number, rules=rules, seed=HELD_BACK_SEED)
        for number in range(count)
    ]
    pool = cut_labelled(samples, plain, seed=HELD_BACK_SEED)

    def measure(network: TwoBranchNetwork) -> dict[str, np.ndarray]:
        return {"with_label": one_step_iou(network, pool)}

    validator = Validator(before, measure, [sample.item.name for sample in samples])
    progress("held out", 1, 2)
    compared = validator.comparison(after)
    progress("held out", 2, 2)
    return compared


_RANDOM_BACKBONE = (
    "the backbone has random weights, and the recipe does not train it: begin with --initial, or "
    "add it to training.components; "
)


def _card(
    name: str,
    architecture: str,
    start: Weights | None,
    labelled: Labelled,
    recipe: SupervisedRecipe,
    licences: Mapping[str, str],
) -> Card:
    """The card of the baseline with its data by source, without what every run adds."""
    from tirtrack.weights.card import Card, TrainingSource

    sources = sorted({item.still.source or "stills" for item in labelled.stills})
    sources += sorted(item.name for item in labelled.videos)
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
