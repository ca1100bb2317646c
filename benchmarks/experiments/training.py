"""Trains one row of the table with one seed; a worker process imports this module."""

from __future__ import annotations

import argparse

import torch

import tirtrack
from benchmarks.evidence.plan import UNREGISTERED
from benchmarks.experiments import data
from benchmarks.experiments.rows import Row
from tirtrack.distillation.recipe import load_recipe
from tirtrack.distillation.settings import Recipe, SupervisedRecipe


def models_of(row: Row) -> list[str]:
    """One name per seed."""
    stem = row.name.replace(" ", "_").replace(",", "").replace("(", "").replace(")", "")
    return [stem] if row.recipe is None else [f"{stem}-{seed}" for seed in range(row.seeds)]


def recipe_of(row: Row) -> Recipe:
    """The recipe of a row that is trained; pairs are read as they lie.

    Raises:
        ValueError: the row is not trained.
    """
    if row.recipe is None:
        raise ValueError(f"{row.name} is not trained")
    recipe = load_recipe(row.recipe, changes=row.changes)
    if isinstance(recipe, SupervisedRecipe):
        return recipe
    return load_recipe(row.recipe, changes={**row.changes, **UNREGISTERED})


def train_row(row: Row, seed: int, options: argparse.Namespace) -> str:
    """Train one row with one seed, unless its weights exist."""
    model = models_of(row)[seed]
    out = options.out / "models" / f"{model}.safetensors"
    if out.is_file():
        return model
    torch.set_num_threads(1)
    recipe = recipe_of(row)
    if isinstance(recipe, SupervisedRecipe):
        stills = options.shared / "data" / "rgb" / "stills"
        tirtrack.train(
            [stills], out=out, initial=options.baseline, recipe=recipe, seed=seed, force=True
        )
    else:
        pairs = data.training_pairs(options.shared, row.pairs, options.world, options.out)
        held = data.held_back_pairs(options.shared)
        tirtrack.distill(
            pairs, options.baseline, out, recipe=recipe, held_back=held, seed=seed, force=True,
            licence=data.LICENCES[row.pairs],
        )  # fmt: skip
    return model
