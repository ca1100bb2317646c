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
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tirtrack.devices import checked_device
from tirtrack.distillation.batch import Batch
from tirtrack.distillation.clips import LabelledFootage
from tirtrack.distillation.crop_specs import CropRules
from tirtrack.distillation.engine import check_components
from tirtrack.distillation.frozen_backbone import TorchFeatures, backbone_hash
from tirtrack.distillation.one_step import one_step_iou, one_step_rule
from tirtrack.distillation.pool import Pool
from tirtrack.distillation.pool_making import Pools, build_pool
from tirtrack.distillation.proposal_draws import draw_rule
from tirtrack.distillation.run_folder import Result, Run, check_out, check_seed, run
from tirtrack.distillation.samples import draw_labelled, long_enough
from tirtrack.distillation.settings import Direction, Photometric, SupervisedRecipe
from tirtrack.distillation.sources import hold_out
from tirtrack.distillation.step_plan import plan_labelled_step
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
from tirtrack.source_line import counted

if TYPE_CHECKING:
    from tirtrack.weights.card import Card
    from tirtrack.weights.store import Weights

_log = logging.getLogger(__name__)


def train(
    clips: Sequence[LabelledFootage],
    out: str | Path,
    *,
    network: str | None = None,
    initial: str | Path | None = None,
    recipe: SupervisedRecipe,
    source_lines: Sequence[str] = (),
    read_as: str = "",
    licences: Mapping[str, str] | None = None,
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    force: bool = False,
    command: str = "",
    progress: Progress = silent,
) -> Run:
    """Train or continue an RGB baseline on labelled clips; ``tirtrack.train`` opens them.

    Args:
        clips: stills and sequences with usable boxes.
        out: the weights file to write, ``NAME.safetensors``; the run folder is beside it.
        network: architecture; by default that of the start weights, or ``nanotrack-v3``.
        initial: name or file of the start weights; never changed. From a backbone's file, and from
            weights of another architecture, only the backbone is used.
        recipe: complete recipe.
        source_lines: descriptions of the folders of data, one line each.
        read_as: options with which frames are read, as typed; part of the run's identity.
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

    check_seed(seed)
    file, trained_on = Path(out), checked_device(device)
    found = None if initial is None else store.find(initial)
    folder = check_out(file, found, force=force, resume=resume)
    start = None if found is None else store.read(found)
    architecture = network or _architecture(start)
    is_continued = start is not None and start.card.architecture == architecture
    before = begin_network(architecture, start, seed)
    check_components(before, recipe.training)
    draw_rule(recipe.estimator, before.box_kind)
    usable, lines = long_enough(clips, recipe), list(source_lines)
    if short := len(clips) - len(usable):
        lines.append(f"not used: {counted(short, 'sequence')} too short for causal samples")
    kept, held = hold_out(usable, recipe.held_out.share)
    identity = {
        "recipe": fingerprint(recipe.model_dump(mode="json")),
        "data": fingerprint([[clip.name, clip.boxes.tolist()] for clip in usable]),
        "start weights": "none" if start is None else start.sha256,
        "network": architecture,
        "seed": str(seed),
        **({"way of reading frames": read_as} if read_as else {}),
    }
    setup = Setup(
        recipe, folder, identity, seed=seed, device=trained_on, resume=resume, progress=progress
    )
    card = _card(file.stem, architecture, start, usable, recipe, licences or {})

    def work() -> Result:
        for line in lines:
            _log.info(line)
        seconds: dict[str, float] = {}
        with timed(seconds, "training"):
            trained = train_network(before, kept, setup)
        compared = compare_held_out(before, trained, held, recipe, progress=progress)
        is_kept = not is_continued or keeps_trained(compared, recipe.keep)
        has_backbone = start is not None or "backbone" in recipe.training.components
        said = verdict_by_labels(compared, is_kept=is_kept)
        summary = RunSummary(
            recipe=recipe.name,
            held_back=compared,
            verdict=said if has_backbone else _RANDOM_BACKBONE + said,
            kept="trained" if is_kept else "start",
            data={
                "stills": sum(not clip.is_video for clip in kept),
                "videos": sum(clip.is_video for clip in kept),
                "held out": len(held),
            },
            seconds=seconds,
            source_lines=lines,
        )
        return Result(trained if is_kept else before, card, summary)

    return run(file, setup, work, start=start, force=force, command=command)


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
    network: TwoBranchNetwork,
    clips: Sequence[LabelledFootage],
    setup: Setup[SupervisedRecipe],
) -> TwoBranchNetwork:
    """A trained copy of a network, in eval mode on the CPU; the network itself is not changed."""
    student = copy.deepcopy(network).to(setup.device)
    train_student(student, None, batches_of(network, clips, setup), setup)
    return student.cpu()


def batches_of(
    network: TwoBranchNetwork,
    clips: Sequence[LabelledFootage],
    setup: Setup[SupervisedRecipe],
) -> Batches:
    """The samples of a step; every epoch has a pool of its own, until the pools repeat."""
    recipe, seed, device = setup.recipe, setup.seed, setup.device
    steps_each = max(recipe.pool // recipe.training.batch, 1)
    size = steps_each * recipe.training.batch
    keeps_features = recipe.pools is not None and "backbone" not in recipe.training.components
    engine = TorchFeatures(copy.deepcopy(network).eval(), device) if keeps_features else None
    rules, cache_key = CropRules.of(network), f"{setup.identity['data']} {backbone_hash(network)}"

    def make(number: int) -> Pool:
        numbers = range(number * size, (number + 1) * size)
        return build_pool(
            clips,
            draw_labelled(clips, recipe, numbers, rules=rules, seed=seed),
            recipe,
            seed=seed,
            engine=engine,
            proposals=draw_rule(recipe.estimator, network.box_kind),
            cache_key=cache_key,
        )

    pools = Pools(make, recipe.pools)

    def batches(step: int) -> list[tuple[Direction, Batch]]:
        epoch, inside = divmod(step, steps_each)
        pool = pools.pool(epoch)
        draws = plan_labelled_step(pool.samples, recipe, epoch=epoch, step=inside, seed=seed)
        return [(Direction.RGB_TO_RGB, pool.batch(draws, device=device, visit=step))]

    return batches


# --- selection -----------------------------------------------------------------------------------


def compare_held_out(
    before: TwoBranchNetwork,
    after: TwoBranchNetwork,
    held: Sequence[LabelledFootage],
    recipe: SupervisedRecipe,
    *,
    progress: Progress = silent,
) -> Comparison | None:
    """Both networks on the same held-out samples, plain crops; ``None`` if nothing is held out.

    The measure is the IoU with the annotation after one step of localisation (``one_step``).
    """
    count = recipe.held_out.samples
    if not held or not count:
        return None
    plain = recipe.model_copy(update={"augmentation": Photometric(), "references": 1, "tests": 1})
    clips = long_enough(held, plain)
    rules = CropRules.of(before)
    samples = draw_labelled(clips, plain, range(count), rules=rules, seed=HELD_BACK_SEED)
    pool = build_pool(clips, samples, plain, seed=HELD_BACK_SEED, proposals=one_step_rule(before))

    def measure(network: TwoBranchNetwork) -> dict[str, np.ndarray]:
        return {"with_label": one_step_iou(network, pool)}

    validator = Validator(before, measure, [sample.scene for sample in samples])
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
