"""The training of both verbs: the loss of the steps of a run.

Which pool a step draws from, the caller says; ``step_plan`` says which samples, ``cross_modal`` has
the loss, ``engine`` the loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tirtrack.distillation.cross_modal import StepLoss, step_loss
from tirtrack.distillation.engine import backbone_norms, train_steps
from tirtrack.distillation.pool import Pool
from tirtrack.distillation.run_folder import AnyRecipe, Run
from tirtrack.distillation.settings import Direction
from tirtrack.distillation.step_plan import plan_step
from tirtrack.distillation.validation import Validator
from tirtrack.networks.two_branch import TwoBranchNetwork


def train_student(
    student: TwoBranchNetwork,
    teacher: TwoBranchNetwork | None,
    pool_of: Callable[[int], Pool],
    run: Run[AnyRecipe],
    *,
    validator: Validator | None = None,
    validate_every: int = 0,
) -> None:
    """Train the student in place.

    Args:
        student: network to train, on the device of the run.
        teacher: frozen network; ``None`` if no term needs it.
        pool_of: function that gives the pool of a step by its number.
        run: recipe, folder, seed and device.
        validator: validates the student during the training; ``None``: not validated.
        validate_every: number of steps from one validation to the next; 0: none.
    """
    recipe = run.recipe
    moving = "bn1_train" in recipe.as_published

    def loss_of(step: int) -> StepLoss:
        if moving:  # the first batch norm, missing in the published list of frozen layers
            backbone_norms(student)[0].train()
        pool = pool_of(step)
        draws = plan_step(pool, recipe, seed=run.seed, step=step)
        groups = [
            (direction, pool.batch(chosen, device=run.device, visit=step))
            for direction in sorted(Direction)
            if (chosen := [draw for draw in draws if draw.direction is direction])
        ]
        return step_loss(
            student, teacher, groups, recipe.terms, teacher_modality=recipe.teacher.modality
        )

    train_steps(
        student,
        loss_of,
        run,
        validate=None if validator is None else lambda: validator.numbers(student),
        validate_every=validate_every,
    )


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Context that adds its duration to the seconds of a stage."""
    began = time.perf_counter()
    yield
    seconds[stage] = round(seconds.get(stage, 0.0) + time.perf_counter() - began, 3)
