"""``train``: an RGB baseline from labelled RGB, from scratch or continued.

The loss is that of ``cross_supervision`` with the annotation instead of the pseudo-box. A share of
the pictures and sequences is held out. If one-step localisation there is not better than with the
start weights, the start weights are kept, and the summary says so.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tirtrack.devices import checked_device
from tirtrack.distillation.batch import Batch
from tirtrack.distillation.crop_specs import CropRules
from tirtrack.distillation.cross_modal import label_loss, respond
from tirtrack.distillation.diagnostics import HELD_BACK_SEED, RESAMPLING_SEED, interval
from tirtrack.distillation.engine import Step, check_components, train_steps
from tirtrack.distillation.folder import (
    as_run_errors,
    begin_run,
    check_out,
    check_seed,
    inherited_calibration,
    made_with,
)
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
from tirtrack.distillation.proposal_draws import draw_rule
from tirtrack.distillation.recipe import recipe_of_kind
from tirtrack.distillation.run_files import SUMMARY
from tirtrack.distillation.settings import Direction, Keep, Photometric, SupervisedRecipe
from tirtrack.errors import RequestError, WeightsError
from tirtrack.files import fingerprint, write_json
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.progress import Progress, silent
from tirtrack.read_options import AS_STORED, ReadOptions, as_typed
from tirtrack.versions import versions

if TYPE_CHECKING:
    from tirtrack.weights.card import Card
    from tirtrack.weights.store import Weights

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """One-step localisation on held-out labels: mean IoU of the best cell's box.

    Attributes:
        samples: number of samples.
        items: number of pictures and sequences that they come from.
        before: mean IoU of the start weights.
        after: mean IoU of the trained weights.
        low: lower end of the 95 % interval of the difference, over items.
        high: upper end of that interval.
    """

    samples: int
    items: int
    before: float
    after: float
    low: float
    high: float


@dataclass(frozen=True)
class TrainingSummary:
    """Summary of a supervised run; ``summary.json`` holds the same. ``source_lines`` describe the
    folders of data, one line each.
    """

    recipe: str
    seed: int
    data: dict[str, int]
    steps: int
    held_out: HeldOut | None
    kept: str
    verdict: str
    seconds: dict[str, float]
    weights: str
    fingerprint: str
    versions: dict[str, str]
    command: str
    source_lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingRun:
    """A finished training: weights, run folder, and summary (``None`` if finished before)."""

    weights: Path
    folder: Path
    summary: TrainingSummary | None


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
) -> TrainingRun:
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
    draw_rule(settings.estimator, before.box_kind)
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
    if begin_run(file, settings, identity, force=force, resume=resume):
        return TrainingRun(file, folder, None)
    for line in opened.source_lines:
        _log.info(line)
    began = time.perf_counter()
    with as_run_errors():
        trained = train_network(
            before, kept, settings, folder, identity=identity, seed=seed,
            device=trained_on, resume=resume, progress=progress,
        )  # fmt: skip
        spent = {"training": round(time.perf_counter() - began, 3)}
        compared = compare_held_out(before, trained, held, settings, progress=progress)
    has_backbone = start is not None or "backbone" in settings.training.components
    is_kept = not is_continued or keeps_trained(compared, settings.keep)
    summary = TrainingSummary(
        recipe=settings.name,
        seed=seed,
        data={"stills": len(kept.stills), "videos": len(kept.videos), "held out": len(held)},
        steps=settings.training.steps,
        held_out=compared,
        kept="trained" if is_kept else "start",
        verdict=("" if has_backbone else _RANDOM_BACKBONE) + _verdict(compared, is_kept=is_kept),
        seconds=spent,
        weights=file.name,
        fingerprint=fingerprint(identity),
        versions=versions(),
        command=command,
        source_lines=list(opened.source_lines),
    )
    card = _card(file.stem, architecture, start, opened, settings, summary, licences or {})
    write_json(folder / SUMMARY, asdict(summary))
    store.write(file, trained if is_kept else before, card)
    return TrainingRun(file, folder, summary)


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
    labelled: Labelled,
    recipe: SupervisedRecipe,
    folder: Path,
    *,
    identity: Mapping[str, str],
    seed: int,
    device: torch.device,
    resume: bool = False,
    progress: Progress = silent,
) -> TwoBranchNetwork:
    """A trained copy of a network, in eval mode on the CPU; the network itself is not changed."""
    student = copy.deepcopy(network).to(device)
    batch = recipe.training.batch
    steps_each = max(recipe.pool // batch, 1)
    keeps_features = recipe.pools is not None and "backbone" not in recipe.training.components
    pool_cache = PoolCache(
        labelled,
        recipe,
        CropRules.of(network),
        size=steps_each * batch,
        seed=seed,
        engine=TorchFeatures(copy.deepcopy(network).eval(), device) if keeps_features else None,
        key=f"{identity['data']} {backbone_hash(network)}" if keeps_features else "",
    )
    rule = draw_rule(recipe.estimator, network.box_kind)

    def loss_of(step: int) -> Step:
        epoch, inside = divmod(step, steps_each)
        pool = pool_cache.pool(epoch)
        draws = plan_labelled(pool, recipe, epoch=epoch, step=inside, seed=seed)
        batch = pool.batch(draws, rule=rule, seed=[seed, step], device=device)
        return _labelled_step(student, batch)

    train_steps(
        student,
        loss_of,
        recipe.training,
        folder,
        identity=identity,
        resume=resume,
        progress=progress,
    )
    return student.cpu()


def _labelled_step(student: TwoBranchNetwork, batch: Batch) -> Step:
    given = respond(student, batch, Direction.RGB_TO_RGB)
    classification, box = label_loss(given, batch.test.boxes_patch, batch.present)
    parts = {"classification": classification.detach(), "box": box.detach()}
    return Step(classification + box, parts, list(batch.keys))


# --- selection -----------------------------------------------------------------------------------


def compare_held_out(
    before: TwoBranchNetwork,
    after: TwoBranchNetwork,
    held: Labelled,
    recipe: SupervisedRecipe,
    *,
    progress: Progress = silent,
) -> HeldOut | None:
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
    scores = []
    for done, network in enumerate((before, after), start=1):
        scores.append(one_step_iou(network, pool))
        progress("held out", done, 2)
    items = [sample.item.name for sample in samples]
    low, high = interval(scores[1] - scores[0], items, seed=RESAMPLING_SEED)
    return HeldOut(
        count, len(set(items)), float(scores[0].mean()), float(scores[1].mean()), low, high
    )


def keeps_trained(found: HeldOut | None, keep: Keep) -> bool:
    """Whether the trained weights are kept, by the recipe's rule and the held-out samples."""
    if found is None or keep == "always":
        return True
    return found.after > found.before if keep == "if_better" else found.high >= 0


_RANDOM_BACKBONE = (
    "the backbone has random weights, and the recipe does not train it: begin with --initial, or "
    "add it to training.components; "
)


def _verdict(found: HeldOut | None, *, is_kept: bool) -> str:
    if found is None:
        return "nothing was held out, so nothing can be said; the trained weights are kept"
    numbers = (
        f"one-step IoU on {found.samples} held-out samples of {found.items} pictures and "
        f"sequences: {found.before:.3f} before, {found.after:.3f} after (95 % interval of the "
        f"difference {found.low:+.3f} to {found.high:+.3f})"
    )
    if not is_kept:
        return f"training did not help, the start weights are kept; {numbers}"
    if found.low > 0:
        return f"the trained weights are better on held-out labels; {numbers}"
    if found.high < 0:
        return f"the trained weights are kept, though they are worse; {numbers}"
    return f"the trained weights are kept, no better and no worse that one can tell; {numbers}"


def _card(
    name: str,
    architecture: str,
    start: Weights | None,
    labelled: Labelled,
    recipe: SupervisedRecipe,
    summary: TrainingSummary,
    licences: Mapping[str, str],
) -> Card:
    """The card of the baseline: start weights, data by source with licences, scores."""
    from tirtrack.weights.card import Card, StartedFrom, TrainingSource

    started = []
    if start is not None:
        card = start.card
        used = "; ".join(f"{part.name} ({part.licence})" for part in card.training_data)
        started = [
            StartedFrom(
                name=card.name, sha256=start.sha256, licence=card.licence, training_data=used
            ),
            *card.started_from,
        ]
    sources = sorted({item.still.source or "stills" for item in labelled.stills})
    sources += sorted(item.name for item in labelled.videos)
    scores = {}
    if summary.held_out is not None:
        scores = {
            "held-out one-step IoU": round(summary.held_out.after, 4),
            "held-out one-step IoU, start": round(summary.held_out.before, 4),
        }
    return Card(
        name=name,
        architecture=architecture,
        modality="rgb",
        licence="unknown" if start is None else start.card.licence,
        summary=f"trained on labelled RGB by recipe {recipe.name}; {summary.verdict}",
        started_from=started,
        training_data=[
            TrainingSource(
                name=source,
                licence=licences.get(source, "not stated"),
                role=f"labelled RGB, recipe {recipe.name}",
            )
            for source in sources
        ],
        calibration=(
            inherited_calibration(start.card)
            if start is not None and start.card.architecture == architecture
            else None
        ),
        scores=scores,
        made_with=made_with(summary),
    )
