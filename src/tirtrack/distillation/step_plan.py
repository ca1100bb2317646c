"""Which samples of a pool a step takes; each draw is a pure function of seed, step and position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tirtrack.distillation.clips import serves_direction
from tirtrack.distillation.samples import Sample, Stream
from tirtrack.distillation.settings import CrossModalRecipe, Direction, SupervisedRecipe
from tirtrack.errors import TrainingError

MAX_SCENE_DRAWS = 20


@dataclass(frozen=True)
class Draw:
    """One training example of a step.

    Attributes:
        direction: direction, with the modality that each branch of the student sees.
        reference: row of the sample whose reference patch is used.
        test: row of the sample whose test patch is used; another scene in a negative pair.
        away: whether the test patch is cut beside the box in the same frame.
    """

    direction: Direction
    reference: int
    test: int
    away: bool = False

    @property
    def is_positive(self) -> bool:
        """Whether the test patch shows the target of the reference patch."""
        return self.reference == self.test and not self.away


@dataclass(frozen=True)
class Stock:
    """The samples that a step may draw.

    Attributes:
        scenes: scene of every sample of the pool.
        serving: rows of the samples that may be used, by direction.
        has_away: ``[n]`` bool; whether the frame has room for a patch beside the box.
    """

    scenes: Sequence[str]
    serving: Mapping[Direction, np.ndarray]
    has_away: np.ndarray


def stock_of(
    samples: Sequence[Sample],
    usable: np.ndarray,
    has_away: np.ndarray,
    recipe: CrossModalRecipe,
) -> Stock:
    """The samples that may be used, by direction.

    Args:
        samples: samples of the pool.
        usable: ``[n]`` bool; whether the teacher's check lets the sample be used.
        has_away: ``[n]`` bool, as in :class:`Stock`.
        recipe: recipe with the directions, and which boxes serve them.

    Raises:
        TrainingError: a direction has no sample.
    """
    serving = {}
    for direction in recipe.directions:
        fits = np.array(
            [serves_direction(sample.found_in, direction, recipe.boxes) for sample in samples]
        )
        serving[direction] = np.flatnonzero(usable & fits)
        if not len(serving[direction]):
            raise TrainingError(
                f"no sample of {len(samples)} is left for {direction} ({int(usable.sum())} passed "
                "the teacher)",
                fix="give more pairs, another way of proposing, or a recipe without this direction",
            )
    return Stock([sample.scene for sample in samples], serving, has_away)


def plan_step(stock: Stock, recipe: CrossModalRecipe, *, seed: int, step: int) -> list[Draw]:
    """The samples of a step; each is a pure function of seed, step and position.

    Every direction gets its share of every step (systematic sampling: exact up to one sample).
    """
    directions = sorted(recipe.directions)
    shares = np.array([recipe.directions[direction] for direction in directions])
    ends = np.cumsum(shares / shares.sum())
    offset = np.random.default_rng([seed, Stream.DIRECTIONS, step]).random()
    batch = recipe.training.batch
    draws = []
    for position in range(batch):
        which = int(np.searchsorted(ends, (position + offset) / batch, side="right"))
        direction = directions[min(which, len(directions) - 1)]
        rng = np.random.default_rng([seed, Stream.STEP, step, position])
        draws.append(_draw(stock, direction, recipe.negatives, rng))
    return draws


def _draw(stock: Stock, direction: Direction, negatives: float, rng: np.random.Generator) -> Draw:
    serving = stock.serving[direction]
    is_negative = rng.random() < negatives
    reference = int(serving[rng.integers(len(serving))])
    if not is_negative:
        return Draw(direction, reference, reference)
    if stock.has_away[reference]:
        return Draw(direction, reference, reference, away=True)
    for test in serving[rng.integers(len(serving), size=MAX_SCENE_DRAWS)]:
        if stock.scenes[test] != stock.scenes[reference]:
            return Draw(direction, reference, int(test))
    return Draw(direction, reference, reference)  # one scene only, and no room beside the box


def plan_labelled_step(
    samples: Sequence[Sample], recipe: SupervisedRecipe, *, epoch: int, step: int, seed: int
) -> list[Draw]:
    """The samples of a step of an epoch; every epoch takes each row once, in its own order."""
    batch, count = recipe.training.batch, len(samples)
    order = np.random.default_rng([seed, Stream.LABELLED_ORDER, epoch]).permutation(count)
    draws = []
    for row in order[step * batch : (step + 1) * batch]:
        rng = np.random.default_rng([seed, Stream.LABELLED_NEGATIVE, samples[row].number])
        test = row
        if rng.random() < recipe.negatives:
            other = int(rng.integers(count))
            if samples[other].clip != samples[row].clip:
                test = other
        draws.append(Draw(Direction.RGB_TO_RGB, int(row), int(test)))
    return draws
