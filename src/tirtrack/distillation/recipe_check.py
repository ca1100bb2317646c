"""Refuses a recipe that a network or its teacher cannot serve, before any work."""

from __future__ import annotations

import numpy as np
import torch

from tirtrack.distillation.batch import Batch, Branch, View
from tirtrack.distillation.cross_modal import needs_teacher, step_loss
from tirtrack.distillation.engine import backbone_norms, check_components
from tirtrack.distillation.foreign_teacher import can_match, check_can_teach
from tirtrack.distillation.proposal_draws import DrawRule, draw_for_batch, draw_rule
from tirtrack.distillation.recipe import check_network
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.errors import RecipeError
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.thermal import normaliser


def check_recipe(
    recipe: CrossModalRecipe, network: TwoBranchNetwork, teacher: TwoBranchNetwork | None = None
) -> None:
    """Refuse an unknown normaliser, and terms and components that the network does not support.

    Args:
        recipe: recipe of a distillation.
        network: baseline, a copy of which is trained.
        teacher: network that teaches; ``None``: the baseline itself.

    Raises:
        RecipeError: names the normaliser, term or component, or a recipe for this kind of network.
    """
    normaliser(recipe.normaliser)
    check_network(recipe, network)
    check_components(network, recipe.training)
    if "bn1_train" in recipe.as_published and not backbone_norms(network):
        raise RecipeError(
            "bn1_train lets the first batch norm of the backbone learn, and this network has none "
            "there",
            "as_published",
            "leave it out",
        )
    _check_batch(network, recipe)
    teacher = teacher or network
    if not can_match(teacher, network):
        _check_foreigner(teacher, recipe)
        teacher = network
    blank = _blank_batch(network, draw_rule(recipe.estimator, network.box_kind))
    groups = [(direction, blank) for direction in recipe.directions]
    if recipe.terms:
        with torch.no_grad():
            step_loss(network, teacher, groups, recipe.terms)


def _check_foreigner(teacher: TwoBranchNetwork, recipe: CrossModalRecipe) -> None:
    check_can_teach(teacher, str(recipe.teacher.weights))
    if matching := [term.name for term in recipe.terms if needs_teacher(term)]:
        raise RecipeError(
            f'term "{matching[0]}" matches the maps of the teacher, and {recipe.teacher.weights} '
            "has another backbone or other crops than the student",
            "terms",
            "let it check boxes alone (cross_supervision), or leave teacher.weights out",
        )


def _check_batch(network: TwoBranchNetwork, recipe: CrossModalRecipe) -> None:
    """Refuse batches that give a direction a single sample if batch norm takes its statistics from
    modulation vectors.
    """
    training, shares = recipe.training, recipe.directions.values()
    fewest = int(training.batch * min(shares) / sum(shares))
    learns = training.steps and training.batch_norm in ("adapt", "train")
    if learns and network.box_kind.rates_proposals and fewest < 2:
        raise RecipeError(
            f"of a batch of {training.batch} a direction gets {fewest}, and batch norm that is "
            "trained needs 2 samples",
            "training.batch",
            "give a larger batch, fewer directions, or batch_norm: frozen",
        )


def _blank_batch(network: TwoBranchNetwork, rule: DrawRule | None) -> Batch:
    """One black sample of the network's sizes, to find the kinds of its answers."""
    branches = []
    for side in (network.reference_side, network.test_side):
        view = View(patches=torch.zeros(1, 1, 3, side, side))
        box = torch.tensor([side / 4, side / 4, side / 2, side / 2]).expand(1, 1, 4)
        proposals = None
        if rule is not None:
            proposals = draw_for_batch(box.numpy(), [np.random.default_rng(0)], rule)
        branches.append(Branch(box, view, view, proposals))
    yes = torch.ones(1, dtype=torch.bool)
    return Batch(branches[0], branches[1], torch.ones(1), yes, yes, ("blank",))
