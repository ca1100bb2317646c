"""The stages from pairs to a trained student, for any two-branch network; no weights files here.

Read :func:`distil_network` first: it is the order of the stages. The stages without a file of their
own follow below it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from tirtrack.distillation.batch import Batch
from tirtrack.distillation.clips import Clip, clips_of, read_frames
from tirtrack.distillation.crop_specs import CropRules
from tirtrack.distillation.cross_modal import respond
from tirtrack.distillation.engine import batch_norms
from tirtrack.distillation.foreign_teacher import can_match, judge_boxes
from tirtrack.distillation.frozen_backbone import FeatureEngine, frozen_copy
from tirtrack.distillation.pair_warnings import (
    doubt_warnings,
    harvest_warnings,
    masked_warnings,
    rate_warnings,
    split_warnings,
)
from tirtrack.distillation.pool import CHUNK, Checks, Pool
from tirtrack.distillation.pool_making import Levels, build_pool
from tirtrack.distillation.proposal_draws import draw_rule
from tirtrack.distillation.samples import Sample, Stream, draw_samples
from tirtrack.distillation.settings import (
    Augmentation,
    CrossModalRecipe,
    Direction,
    Modality,
    Proposals,
)
from tirtrack.distillation.sources import Sources, Split
from tirtrack.distillation.step_plan import Draw, plan_step
from tirtrack.distillation.summary import RunSummary, harvest, pass_rates
from tirtrack.distillation.train_student import Batches, Setup, timed, train_student
from tirtrack.distillation.validation import HELD_BACK_SEED, Agreement, Validator, verdict
from tirtrack.errors import PairsError
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.proposals.base import ProposalSet, Proposer
from tirtrack.pairs.proposals.tracklet import Follower
from tirtrack.pairs.source import Manifest, PairSource, assumptions
from tirtrack.progress import Progress

PairSetup = Setup[CrossModalRecipe]


def distil_network(
    network: TwoBranchNetwork,
    sources: Sources,
    setup: PairSetup,
    *,
    teacher: TwoBranchNetwork | None = None,
    engine: FeatureEngine | None,
    follower: Follower | None = None,
) -> tuple[TwoBranchNetwork, RunSummary]:
    """The stages from pairs to a trained student; ``network`` itself is not changed.

    Args:
        network: baseline.
        sources: pairs to train on, and held-back pairs.
        setup: recipe, folder, seed and device.
        teacher: network that teaches; ``None``: the baseline.
        engine: feature engine of the frozen backbone; ``None`` if the backbone is trained.
        follower: tracker of RGB frames, for recipes with a ``max_gap``.

    Returns:
        The student in eval mode on the CPU, and the summary, without what every run has.
    """
    recipe, device = setup.recipe, setup.device
    seconds: dict[str, float] = {}
    baseline = frozen_copy(network).to(device)
    teaching = baseline if teacher is None else frozen_copy(teacher).to(device)
    student = copy.deepcopy(network).to(device)
    with timed(seconds, "proposals"):
        found = propose(sources, setup)
        leave_contact_sheet(setup, sources.train, found)
    clips = clips_of(sources.train, found.split.train, found.train, recipe)
    with timed(seconds, "features"):
        pool = training_pool(network, clips, setup, engine, follower)
    with timed(seconds, "teacher"):
        if can_match(teaching, network):
            pool.check(teaching, recipe, device=device)
        else:
            check_by_foreigner(teaching, pool, clips, setup)
        rates = pass_rates(pool)
    with timed(seconds, "pairs"):
        warnings = [
            *harvest_warnings(found.train, found.held_back, recipe),
            *masked_warnings([*found.train, *found.held_back]),
            *rate_warnings(rates, recipe),
            *split_warnings(sources, recipe),
            *doubt_warnings(sources, clips, pool, setup.progress),
        ]
    with timed(seconds, "held back"):
        held_back: list[Clip] = []
        try:
            held_back = validation_clips(sources, found, recipe)
        except PairsError as error:
            warnings.append(f"held-back pairs: {error.what}")
        validator = validator_on(held_back, baseline, setup, engine) if held_back else None
    with timed(seconds, "training"):
        train_student(
            student,
            teaching,
            batches_of(pool, setup),
            setup,
            validator=validator,
            validate_every=recipe.held_back.validate_every,
        )
        if recipe.training.batch_norm in ("adapt", "re_estimate"):
            re_estimate(student, clips, pool, setup)
    with timed(seconds, "held back"):
        compared = None if validator is None else validator.comparison(student)
    return student.cpu(), RunSummary(
        recipe=recipe.name,
        steps=recipe.training.steps,
        held_back=compared,
        verdict=verdict(compared),
        split=found.split.how,
        harvest=harvest(found.train, recipe.proposals.way),
        pass_rates=tuple(rates),
        samples=_counted(pool, recipe),
        assumed=tuple(assumptions(sources.train.recordings().values())),
        warnings=tuple(warnings),
        seconds=seconds,
    )


def proposer_of(settings: Proposals) -> Proposer:
    """The proposer that a recipe names, which sees the modalities that it names."""
    from tirtrack.pairs.proposals.registry import proposer
    from tirtrack.pairs.proposals.single_modality import SingleModality

    return SingleModality(proposer(settings.way, **settings.options), settings.modalities)


def levels_of(recipe: CrossModalRecipe) -> Levels:
    """Grey levels of stored TIR frames ``[H,W]``; each frame by itself, so in any order."""
    from tirtrack.thermal import ThermalNormaliser, normaliser

    chosen = normaliser(recipe.normaliser)
    return lambda frame: ThermalNormaliser(chosen)(frame)


# --- proposals -----------------------------------------------------------------------------------


def thinned(indices: Sequence[int], count: int, seed: int) -> tuple[int, ...]:
    """At most ``count`` of the pairs, drawn at random: more pairs than samples are no use."""
    if len(indices) <= count:
        return tuple(indices)
    rng = np.random.default_rng([seed, Stream.PAIRS])
    return tuple(sorted(int(indices[place]) for place in rng.permutation(len(indices))[:count]))


@dataclass(frozen=True)
class ProposedPairs:
    """The pairs that are used, and the proposals of those to train on and of those held back."""

    split: Split
    train: list[ProposalSet]
    held_back: list[ProposalSet]


def propose(sources: Sources, setup: PairSetup) -> ProposedPairs:
    """Propose boxes in at most as many pairs as there will be samples."""
    from tirtrack.pairs.proposals.proposal_cache import kept_proposals

    recipe, whole, way = setup.recipe, sources.split, proposer_of(setup.recipe.proposals)
    train = thinned(whole.train, recipe.pool, setup.seed)
    held_back = thinned(whole.held_back, recipe.held_back.samples, HELD_BACK_SEED)

    def boxes_of(
        source: PairSource, manifest: Manifest, indices: Sequence[int], seed: int
    ) -> list[ProposalSet]:
        return kept_proposals(source, way, seed, setup.progress, indices=indices, manifest=manifest)

    if sources.held_back is sources.train:
        both = boxes_of(sources.train, sources.manifest, (*train, *held_back), setup.seed)
        found, held = both[: len(train)], both[len(train) :]
    else:
        found = boxes_of(sources.train, sources.manifest, train, setup.seed)
        held = (
            boxes_of(sources.held_back, sources.held_back_manifest, held_back, HELD_BACK_SEED)
            if held_back
            else []
        )
    return ProposedPairs(replace(whole, train=train, held_back=held_back), found, held)


def leave_contact_sheet(setup: PairSetup, source: PairSource, found: ProposedPairs) -> None:
    """Write a picture of proposed and rejected boxes in some of the pairs."""
    from tirtrack.pairs.inspection_folder import write_contact_sheet

    chosen = dict(zip(found.split.train, found.train, strict=True))
    write_contact_sheet(setup.folder, source, chosen)


# --- features and training -----------------------------------------------------------------------


def training_pool(
    network: TwoBranchNetwork,
    clips: Sequence[Clip],
    setup: PairSetup,
    engine: FeatureEngine | None,
    follower: Follower | None,
) -> Pool:
    """The pool to train on, with features if the backbone is frozen."""
    recipe, seed, identity = setup.recipe, setup.seed, setup.identity
    samples = draw_samples(
        clips,
        recipe,
        _reported(recipe.pool, setup.progress) if follower else range(recipe.pool),
        rules=CropRules.of(network),
        seed=seed,
        follower=follower,
    )
    return build_pool(
        clips,
        samples,
        recipe,
        levels=levels_of(recipe),
        seed=seed,
        engine=engine,
        proposals=draw_rule(recipe.estimator, network.box_kind),
        cache_key=f"{identity['pairs']} {recipe.normaliser} {identity['baseline']}",
        progress=setup.progress,
    )


def _reported(count: int, progress: Progress) -> Iterator[int]:
    """Numbers of samples whose boxes are followed, which takes a while."""
    for number in range(count):
        progress("tracks", number, count)
        yield number
    progress("tracks", count, count)


def check_by_foreigner(
    teacher: TwoBranchNetwork, pool: Pool, clips: Sequence[Clip], setup: PairSetup
) -> None:
    """Check every sample with a teacher of another family, which sees the RGB frames."""
    strict, count = setup.recipe.teacher.box_check, len(pool)
    overlap, confidence = np.zeros(count), np.zeros(count)
    passed = np.zeros(count, dtype=bool)
    rows: dict[tuple[int, int], list[int]] = {}
    for row, sample in enumerate(pool.samples):
        rows.setdefault((sample.clip, sample.tests[0].frame), []).append(row)
    for at, rgb, _ in read_frames(clips, rows):
        for row in rows[at]:
            sample = pool.samples[row]
            least = strict.min_iou_by_way.get(sample.way, strict.min_iou)
            limits = strict.model_copy(update={"min_iou": least})
            rng = np.random.default_rng([setup.seed, Stream.TEACHER, sample.number])
            (checked,) = judge_boxes(teacher, rgb, [sample.tests[0].box], limits, rng=rng)
            overlap[row], passed[row] = checked.overlap, checked.passed
            confidence[row] = checked.found.confidence
    pool.checks = Checks(np.zeros(count), overlap, confidence, passed)


def batches_of(pool: Pool, setup: PairSetup) -> Batches:
    """The samples of a step, drawn from a checked pool."""
    recipe, stock = setup.recipe, pool.stock(setup.recipe)

    def batches(step: int) -> list[tuple[Direction, Batch]]:
        draws = plan_step(stock, recipe, seed=setup.seed, step=step)
        return [
            (direction, pool.batch(chosen, device=setup.device, visit=step))
            for direction in sorted(recipe.directions)
            if (chosen := [draw for draw in draws if draw.direction is direction])
        ]

    return batches


# --- after the last step -------------------------------------------------------------------------


def re_estimate(
    student: TwoBranchNetwork, clips: Sequence[Clip], pool: Pool, setup: PairSetup
) -> None:
    """Re-estimate batch norm statistics on TIR crops: cumulative means, no gradient."""
    training = setup.recipe.training
    modules = (
        [student]
        if training.batch_norm == "re_estimate"
        else [module for name in training.components for module in student.modules_of(name)]
    )
    patches = _tir_pool(student, clips, pool.samples[: training.batch_norm_samples], setup)
    norms = [norm for module in modules for norm in batch_norms(module)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    with torch.no_grad():
        for rows in _chunks(patches):
            draws = [Draw(Direction.TIR_TO_TIR, row, row) for row in rows]
            respond(student, patches.batch(draws, device=setup.device), Direction.TIR_TO_TIR)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    student.eval()


def _tir_pool(
    student: TwoBranchNetwork, clips: Sequence[Clip], samples: Sequence[Sample], setup: PairSetup
) -> Pool:
    """Plain TIR patches of both branches."""
    recipe = setup.recipe.model_copy(
        update={
            "directions": {Direction.TIR_TO_TIR: 1.0},
            "augmentation": Augmentation(),
            "negatives": 0.0,
            "teacher": setup.recipe.teacher.model_copy(update={"modality": Modality.TIR}),
            "as_published": [one for one in setup.recipe.as_published if one == "canvas"],
        }
    )
    return build_pool(
        clips,
        samples,
        recipe,
        levels=levels_of(recipe),
        seed=setup.seed,
        proposals=draw_rule(recipe.estimator, student.box_kind),
        stage="batch norm",
        progress=setup.progress,
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


# --- held-back pairs -----------------------------------------------------------------------------


def validation_clips(
    sources: Sources, found: ProposedPairs, recipe: CrossModalRecipe
) -> list[Clip]:
    """The held-back clips; empty if nothing is held back.

    Raises:
        PairsError: no held-back pair has a box that the recipe can use.
    """
    if not found.split.held_back or not recipe.held_back.samples:
        return []
    return clips_of(
        sources.held_back, found.split.held_back, found.held_back, validation_recipe(recipe)
    )


def validator_on(
    clips: Sequence[Clip],
    baseline: TwoBranchNetwork,
    setup: PairSetup,
    engine: FeatureEngine | None,
) -> Validator:
    """Validates students on samples of held-back clips, the same for every training seed; those
    count in which the baseline finds the box on RGB.

    Stored features serve all networks, unless the student's backbone will change.
    """
    recipe, count = validation_recipe(setup.recipe), setup.recipe.held_back.samples
    will_change = recipe.training.batch_norm == "re_estimate"
    pool = build_pool(
        clips,
        draw_samples(
            clips, recipe, range(count), rules=CropRules.of(baseline), seed=HELD_BACK_SEED
        ),
        recipe,
        levels=levels_of(recipe),
        seed=HELD_BACK_SEED,
        engine=None if will_change else engine,
        proposals=draw_rule(recipe.estimator, baseline.box_kind),
        stage="held back",
        progress=setup.progress,
    )
    pool.check(baseline, recipe, device=setup.device)
    measure = Agreement(baseline, pool, device=setup.device)
    return Validator(baseline, measure, measure.scenes, teacher_centre=measure.teacher_centre)


def validation_recipe(recipe: CrossModalRecipe) -> CrossModalRecipe:
    """The recipe of validation samples: boxes as in training, both modalities, plain crops without
    a canvas, every box used; the baseline checks on RGB, as strictly as a teacher.
    """
    on_rgb = {"weights": None, "modality": Modality.RGB, "require": True, "tir_boxes_on_tir": False}
    return recipe.model_copy(
        update={
            "directions": {Direction.TIR_TO_TIR: 1.0, Direction.RGB_TO_RGB: 1.0},
            "augmentation": Augmentation(),
            "negatives": 0.0,
            "boxes": recipe.boxes.model_copy(
                update={"only_where_found": False, "by_source": False}
            ),
            "teacher": recipe.teacher.model_copy(update=on_rgb),
            "as_published": [one for one in recipe.as_published if one == "first_box"],
        }
    )


def _counted(pool: Pool, recipe: CrossModalRecipe) -> dict[str, int]:
    """Numbers of samples, as in :class:`RunSummary`."""
    usable = int(pool.checks.passed.sum()) if pool.checks and recipe.teacher.require else len(pool)
    return {"pool": len(pool), "usable": usable, "outside": pool.centres_outside()}
