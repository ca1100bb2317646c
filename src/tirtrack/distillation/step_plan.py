"""Which samples of a pool a step takes; each draw is a pure function of seed, step and position."""

from __future__ import annotations

import numpy as np

from tirtrack.distillation.clips import serves_direction
from tirtrack.distillation.pool import Draw, Pool
from tirtrack.distillation.samples import Stream
from tirtrack.distillation.settings import CrossModalRecipe, Direction, Recipe, SupervisedRecipe
from tirtrack.errors import TrainingError
from tirtrack.pairs.proposals.base import FoundIn

MAX_SCENE_DRAWS = 20


def plan_step(pool: Pool, recipe: Recipe, *, seed: int, step: int) -> list[Draw]:
    """The samples of a step: of pairs by direction, drawn from those that serve it; of labels each
    one once an epoch.

    Args:
        pool: pool to draw from, of the step's epoch.
        recipe: recipe with directions, negatives and the size of a batch.
        seed: seed of all random draws.
        step: number of the step, 0-based.
    """
    if isinstance(recipe, SupervisedRecipe):
        return _next_of_epoch(pool, recipe, seed=seed, step=step)
    return _by_direction(pool, recipe, seed=seed, step=step)


def rows_serving(pool: Pool, direction: Direction, recipe: CrossModalRecipe) -> np.ndarray:
    """The rows of the samples that a step may draw in a direction."""
    serving = [one for one in FoundIn if serves_direction(one, direction, recipe.boxes)]
    return np.flatnonzero(pool.usable(recipe) & np.isin(pool.found_in, serving))


def check_directions(pool: Pool, recipe: CrossModalRecipe) -> None:
    """Refuse a checked pool that cannot serve a direction of the recipe.

    Raises:
        TrainingError: a direction has no sample.
    """
    for direction in recipe.directions:
        if not len(rows_serving(pool, direction, recipe)):
            raise TrainingError(
                f"no sample of {len(pool)} is left for {direction} "
                f"({int(pool.usable(recipe).sum())} passed the teacher)",
                fix="give more scenes, another way of proposing, or a recipe without it",
            )


def _by_direction(pool: Pool, recipe: CrossModalRecipe, *, seed: int, step: int) -> list[Draw]:
    """Every direction gets its share of each step (systematic sampling: exact up to one sample)."""
    directions = sorted(recipe.directions)
    rows = [rows_serving(pool, direction, recipe) for direction in directions]
    shares = np.array([recipe.directions[direction] for direction in directions])
    ends = np.cumsum(shares / shares.sum())
    offset = np.random.default_rng([seed, Stream.DIRECTIONS, step]).random()
    batch = recipe.training.batch
    draws = []
    for position in range(batch):
        place = int(np.searchsorted(ends, (position + offset) / batch, side="right"))
        which = min(place, len(directions) - 1)
        rng = np.random.default_rng([seed, Stream.STEP, step, position])
        draws.append(_drawn(pool, directions[which], rows[which], recipe.negatives, rng))
    return draws


def _drawn(
    pool: Pool, direction: Direction, rows: np.ndarray, negatives: float, rng: np.random.Generator
) -> Draw:
    is_negative = rng.random() < negatives
    reference = int(rows[rng.integers(len(rows))])
    if not is_negative:
        return Draw(direction, reference, reference)
    if pool.has_away[reference]:
        return Draw(direction, reference, reference, away=True)
    for test in rows[rng.integers(len(rows), size=MAX_SCENE_DRAWS)]:
        if pool.samples[test].scene != pool.samples[reference].scene:
            return Draw(direction, reference, int(test))
    return Draw(direction, reference, reference)  # one scene only, and no room beside the box


def _next_of_epoch(pool: Pool, recipe: SupervisedRecipe, *, seed: int, step: int) -> list[Draw]:
    """The next samples of the epoch; every epoch takes each row once, in its own order."""
    batch, count = recipe.training.batch, len(pool)
    epoch, inside = divmod(step, count // batch)
    order = np.random.default_rng([seed, Stream.LABELLED_ORDER, epoch]).permutation(count)
    draws = []
    for row in order[inside * batch : (inside + 1) * batch]:
        sample, test = pool.samples[row], row
        rng = np.random.default_rng([seed, Stream.LABELLED_NEGATIVE, sample.number])
        if rng.random() < recipe.negatives:
            other = int(rng.integers(count))
            if pool.samples[other].clip != sample.clip:
                test = other
        draws.append(Draw(Direction.RGB_TO_RGB, int(row), int(test)))
    return draws
