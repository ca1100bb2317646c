"""The training of both verbs: what a run is told, and the loss of its steps.

Which pool a step draws from, the caller says; ``step_plan`` says which samples, ``cross_modal`` has
the loss, ``engine`` the loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from tirtrack.distillation.cross_modal import StepLoss, step_loss
from tirtrack.distillation.engine import Probe, backbone_norms, train_steps
from tirtrack.distillation.pool import Pool
from tirtrack.distillation.settings import CrossModalRecipe, Direction, SupervisedRecipe
from tirtrack.distillation.step_plan import plan_step
from tirtrack.distillation.validation import Validator
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.progress import Progress, silent

AnyRecipe = TypeVar("AnyRecipe", CrossModalRecipe, SupervisedRecipe)


@dataclass(frozen=True)
class Setup(Generic[AnyRecipe]):
    """What a run is told, apart from its networks and its data.

    Attributes:
        recipe: complete recipe.
        folder: run folder.
        identity: fingerprints of all inputs of the run, by name.
        seed: seed of all random draws.
        device: device of the networks in training.
        resume: continue from the folder's checkpoint.
        progress: callback that is told of every stage.
    """

    recipe: AnyRecipe
    folder: Path
    identity: Mapping[str, str]
    _: KW_ONLY
    seed: int = 0
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    resume: bool = False
    progress: Progress = silent


def train_student(
    student: TwoBranchNetwork,
    teacher: TwoBranchNetwork | None,
    pool_of: Callable[[int], Pool],
    setup: Setup[AnyRecipe],
    *,
    validator: Validator | None = None,
    validate_every: int = 0,
) -> None:
    """Train the student in place.

    Args:
        student: network to train, on the device of the setup.
        teacher: frozen network; ``None`` if no term needs it.
        pool_of: function that gives the pool of a step by its number.
        setup: recipe, folder, seed and device.
        validator: validates the student during the training; ``None``: not validated.
        validate_every: number of steps from one validation to the next; 0: none.
    """
    recipe = setup.recipe
    moving = "bn1_train" in recipe.as_published

    def loss_of(step: int) -> StepLoss:
        if moving:  # the first batch norm, missing in the published list of frozen layers
            backbone_norms(student)[0].train()
        pool = pool_of(step)
        draws = plan_step(pool, recipe, seed=setup.seed, step=step)
        groups = [
            (direction, pool.batch(chosen, device=setup.device, visit=step))
            for direction in sorted(Direction)
            if (chosen := [draw for draw in draws if draw.direction is direction])
        ]
        return step_loss(
            student, teacher, groups, recipe.terms, teacher_modality=recipe.teacher.modality
        )

    probe = None
    if validator is not None and validate_every:
        probe = Probe(validate_every, lambda: validator.numbers(student))
    train_steps(
        student,
        loss_of,
        recipe.training,
        setup.folder,
        identity=setup.identity,
        resume=setup.resume,
        progress=setup.progress,
        probe=probe,
    )


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Context that adds its duration to the seconds of a stage."""
    began = time.perf_counter()
    yield
    seconds[stage] = round(seconds.get(stage, 0.0) + time.perf_counter() - began, 3)
