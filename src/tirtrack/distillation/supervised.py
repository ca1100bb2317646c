"""Training on labelled RGB: the network that it begins with, its batches, and what it is worth.

The loss is that of ``cross_supervision`` with the annotation instead of the pseudo-box.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tirtrack.distillation.clips import LabelledFootage
from tirtrack.distillation.frozen_backbone import backbone_hash, torch_engine
from tirtrack.distillation.one_step import one_step_iou, one_step_rule
from tirtrack.distillation.pool import Pool
from tirtrack.distillation.pool_making import build_pool
from tirtrack.distillation.proposal_draws import draw_rule
from tirtrack.distillation.run_folder import Run
from tirtrack.distillation.samples import draw_labelled, long_enough
from tirtrack.distillation.settings import Photometric, SupervisedRecipe
from tirtrack.distillation.summary import HeldBackComparison
from tirtrack.distillation.train_student import train_student
from tirtrack.distillation.validation import HELD_BACK_SEED, Validator
from tirtrack.errors import WeightsError
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.progress import Progress, silent

if TYPE_CHECKING:
    from tirtrack.weights.store import Weights


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
    run: Run[SupervisedRecipe],
) -> TwoBranchNetwork:
    """A trained copy of a network, in eval mode on the CPU; the network itself is not changed."""
    student = copy.deepcopy(network).to(run.device)
    train_student(student, None, pools_of(network, clips, run), run)
    return student.cpu()


def pools_of(
    network: TwoBranchNetwork,
    clips: Sequence[LabelledFootage],
    run: Run[SupervisedRecipe],
) -> Callable[[int], Pool]:
    """The pool of a step; every epoch has one of its own, until the pools repeat."""
    recipe, seed, device = run.recipe, run.seed, run.device
    steps_each = max(recipe.pool // recipe.training.batch, 1)
    size = steps_each * recipe.training.batch
    keeps_features = recipe.pools is not None and "backbone" not in recipe.training.components
    engine = torch_engine(copy.deepcopy(network).eval(), device) if keeps_features else None
    cache_key = f"{run.identity['data']} {backbone_hash(network)}" if keeps_features else None

    def make(number: int) -> Pool:
        numbers = range(number * size, (number + 1) * size)
        return build_pool(
            clips,
            draw_labelled(clips, recipe, numbers, network=network, seed=seed),
            recipe,
            seed=seed,
            engine=engine,
            proposals=draw_rule(recipe.estimator, network.box_kind),
            cache_key=cache_key,
        )

    opened: dict[int, Pool] = {}

    def pool_of(step: int) -> Pool:
        epoch = step // steps_each
        number = epoch if recipe.pools is None else epoch % recipe.pools
        if number not in opened:
            opened.clear()  # free the last one before the next one is made
            opened[number] = make(number)
        return opened[number]

    return pool_of


# --- held-back labels -----------------------------------------------------------------------------


def compare_held_back(
    before: TwoBranchNetwork,
    after: TwoBranchNetwork,
    held: Sequence[LabelledFootage],
    recipe: SupervisedRecipe,
    *,
    progress: Progress = silent,
) -> HeldBackComparison | None:
    """Both networks on the same held-back samples, plain crops; ``None`` if nothing is held back.

    The measure is the IoU with the annotation after one step of localisation (``one_step``).
    """
    count = recipe.held_back.samples
    if not held or not count:
        return None
    plain = recipe.model_copy(update={"augmentation": Photometric(), "references": 1, "tests": 1})
    clips = long_enough(held, plain)
    samples = draw_labelled(clips, plain, range(count), network=before, seed=HELD_BACK_SEED)
    pool = build_pool(clips, samples, plain, seed=HELD_BACK_SEED, proposals=one_step_rule(before))

    def measure(network: TwoBranchNetwork) -> dict[str, np.ndarray]:
        return {"with_label": one_step_iou(network, pool)}

    validator = Validator(before, measure, [sample.scene for sample in samples])
    progress("held back", 1, 2)
    compared = validator.comparison(after)
    progress("held back", 2, 2)
    return compared
