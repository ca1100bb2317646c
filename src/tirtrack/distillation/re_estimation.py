"""Statistics of batch norm on TIR, taken anew after the last step; no gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tirtrack.distillation.clips import Clip
from tirtrack.distillation.cross_modal import respond
from tirtrack.distillation.engine import batch_norms
from tirtrack.distillation.pool import CHUNK, Draw, Pool
from tirtrack.distillation.pool_making import build_pool
from tirtrack.distillation.proposal_draws import draw_rule
from tirtrack.distillation.run_folder import Run
from tirtrack.distillation.samples import Sample
from tirtrack.distillation.settings import Augmentation, CrossModalRecipe, Direction, Modality
from tirtrack.networks.two_branch import TwoBranchNetwork


def re_estimate(
    student: TwoBranchNetwork,
    clips: Sequence[Clip],
    samples: Sequence[Sample],
    run: Run[CrossModalRecipe],
) -> None:
    """Re-estimate batch norm statistics on TIR crops: cumulative means.

    Args:
        student: network, changed in place.
        clips: clips of the samples.
        samples: samples of the training, of which the recipe takes the first ones.
        run: recipe, seed and device.
    """
    training = run.recipe.training
    modules = (
        [student]
        if training.batch_norm == "re_estimate"
        else [module for name in training.components for module in student.modules_of(name)]
    )
    patches = _tir_pool(student, clips, samples[: training.batch_norm_samples], run)
    norms = [norm for module in modules for norm in batch_norms(module)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    with torch.no_grad():
        for rows in _chunks(patches):
            draws = [Draw(Direction.TIR_TO_TIR, row, row) for row in rows]
            respond(student, patches.batch(draws, device=run.device), Direction.TIR_TO_TIR)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    student.eval()


def _tir_pool(
    student: TwoBranchNetwork,
    clips: Sequence[Clip],
    samples: Sequence[Sample],
    run: Run[CrossModalRecipe],
) -> Pool:
    """Plain TIR patches of both branches."""
    recipe = run.recipe.model_copy(
        update={
            "directions": {Direction.TIR_TO_TIR: 1.0},
            "augmentation": Augmentation(),
            "negatives": 0.0,
            "teacher": run.recipe.teacher.model_copy(update={"modality": Modality.TIR}),
            "as_published": [one for one in run.recipe.as_published if one == "canvas"],
        }
    )
    return build_pool(
        clips,
        samples,
        recipe,
        seed=run.seed,
        proposals=draw_rule(recipe.estimator, student.box_kind),
        stage="batch norm",
        progress=run.progress,
    )


def _chunks(pool: Pool) -> list[list[int]]:
    """The rows of a pool in order of clips and frames, in parts of two or more: batch norm needs
    two samples.
    """

    def place(row: int) -> tuple[int, int, int]:
        sample = pool.samples[row]
        return sample.clip, sample.tests[0].frame, row

    rows = sorted(range(len(pool)), key=place)
    chunks = [rows[begin : begin + CHUNK] for begin in range(0, len(rows), CHUNK)]
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [chunks[-2] + chunks[-1]]
    return chunks
