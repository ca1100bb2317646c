"""The stages from pairs to a trained student, for any two-branch network; no weights files here.

Read :func:`distil_network` first: it is the order of the stages. The stages without a file of their
own follow below it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tirtrack.distillation.batch import Batch, Branch, View
from tirtrack.distillation.batches import (
    Cut,
    Sample,
    Stream,
    ViewKey,
    cut_views,
    draw_samples,
    plan_step,
)
from tirtrack.distillation.crop_specs import CropRules
from tirtrack.distillation.cross_modal import respond, step_loss
from tirtrack.distillation.diagnostics import HELD_BACK_SEED, Agreement, Split, Validator, verdict
from tirtrack.distillation.engine import Probe, Step, backbone_norms, batch_norms, train_steps
from tirtrack.distillation.foreign_teacher import judge_boxes
from tirtrack.distillation.frozen_backbone import FeatureEngine, as_patches, frozen_copy
from tirtrack.distillation.job import Job, Sources, can_match
from tirtrack.distillation.pair_warnings import warn_of_doubts, warn_of_split
from tirtrack.distillation.pool import CHUNK, Checks, Pool
from tirtrack.distillation.pool_making import build_pool, proposal_rule
from tirtrack.distillation.proposal_draws import DrawRule, draw_for_batch
from tirtrack.distillation.settings import (
    Augmentation,
    CrossModalRecipe,
    Direction,
    Modality,
)
from tirtrack.distillation.summary import PassRate, Summary, harvest, pass_rates
from tirtrack.errors import PairsError
from tirtrack.files import fingerprint
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.proposals.base import ProposalSet
from tirtrack.pairs.source import Manifest, PairSource, assumptions
from tirtrack.valid_pixels import share_text


def distil_network(
    network: TwoBranchNetwork,
    sources: Sources,
    job: Job,
    folder: Path,
    *,
    identity: Mapping[str, str],
    engine: FeatureEngine | None,
    resume: bool = False,
) -> tuple[TwoBranchNetwork, Summary]:
    """The stages from pairs to a trained student; ``network`` itself is not changed.

    Args:
        network: baseline, which is also the teacher unless the job has another one.
        sources: pairs to train on, and held-back pairs.
        job: recipe, seed, device and progress.
        folder: run folder.
        identity: fingerprints of all inputs of the run.
        engine: feature engine of the frozen backbone; ``None`` if the backbone is trained.
        resume: continue from the folder's checkpoint.

    Returns:
        The student in eval mode on the CPU, and the summary.
    """
    clock = job.clock
    baseline = frozen_copy(network).to(job.device)
    teacher = baseline if job.teacher is None else frozen_copy(job.teacher).to(job.device)
    student = copy.deepcopy(network).to(job.device)
    with clock.stage("proposals"):
        found = propose(sources, job)
        leave_contact_sheet(folder, sources.train, found.split.train, found.train)
    with clock.stage("features"):
        pool = training_pool(network, sources, found, job=job, identity=identity, engine=engine)
    with clock.stage("teacher"):
        if can_match(teacher, network):
            pool.check(teacher, job.recipe, device=job.device)
        else:
            check_by_foreigner(teacher, pool, sources.train, job)
        _warn_of_rates(pass_rates(pool), job)
    with clock.stage("pairs"):
        warn_of_split(sources, job)
        warn_of_doubts(sources, pool, job)
    with clock.stage("held back"):
        validator = validator_of_held_back(baseline, sources, found=found, job=job, engine=engine)
    with clock.stage("training"):
        train(
            student,
            teacher,
            pool,
            job=job,
            folder=folder,
            identity=identity,
            resume=resume,
            validator=validator,
        )
        if job.recipe.training.batch_norm in ("adapt", "re_estimate"):
            re_estimate(student, sources.train, pool, job)
    with clock.stage("held back"):
        agreed = None if validator is None else validator.agreement(student)
    summary = _summary(found, pool, agreed, job, identity=identity)
    assumed = assumptions(sources.train.recordings().values())
    return student.cpu(), replace(summary, assumed=assumed)


# --- proposals -----------------------------------------------------------------------------------


def thinned(indices: Sequence[int], count: int, seed: int) -> tuple[int, ...]:
    """At most ``count`` of the pairs, drawn at random: more pairs than samples are no use."""
    if len(indices) <= count:
        return tuple(indices)
    rng = np.random.default_rng([seed, Stream.PAIRS])
    return tuple(sorted(int(indices[place]) for place in rng.permutation(len(indices))[:count]))


@dataclass(frozen=True)
class Found:
    """The pairs that are used, and the proposals of those to train on and of those held back."""

    split: Split
    train: list[ProposalSet]
    held_back: list[ProposalSet]


def propose(sources: Sources, job: Job) -> Found:
    """Propose boxes in at most as many pairs as there will be samples."""
    from tirtrack.pairs.proposals.kept import kept_proposals

    recipe, whole = job.recipe, sources.split
    train = thinned(whole.train, recipe.pool, job.seed)
    held_back = thinned(whole.held_back, recipe.held_back.samples, HELD_BACK_SEED)

    def boxes_of(
        source: PairSource, manifest: Manifest, indices: Sequence[int], seed: int
    ) -> list[ProposalSet]:
        return kept_proposals(
            source, job.way, seed, job.progress, indices=indices, manifest=manifest
        )

    if sources.held_back is sources.train:
        both = boxes_of(sources.train, sources.manifest, (*train, *held_back), job.seed)
        found, held = both[: len(train)], both[len(train) :]
    else:
        found = boxes_of(sources.train, sources.manifest, train, job.seed)
        held = (
            boxes_of(sources.held_back, sources.held_back_manifest, held_back, HELD_BACK_SEED)
            if held_back
            else []
        )
    _warn_of_harvest(found, held, job)
    _warn_of_masked([*found, *held], job)
    return Found(replace(whole, train=train, held_back=held_back), found, held)


def _warn_of_harvest(
    trained: Sequence[ProposalSet], held_back: Sequence[ProposalSet], job: Job
) -> None:
    way = job.recipe.proposals.way
    for kind, proposals in (("", trained), ("held-back ", held_back)):
        found = harvest(proposals, way)
        if found.unreadable_pairs:
            job.warn(
                f"{found.unreadable_pairs} of {found.pairs} {kind}pairs could not be read and were "
                "left out; `tirtrack pairs inspect` names them"
            )
        if found.fallback_pairs:
            use = "are used" if job.recipe.boxes.fallback else "are not used"
            job.warn(
                f"in {found.fallback_pairs} of {found.pairs} {kind}pairs {way} found nothing; the "
                f"random boxes that stand in {use} (boxes.fallback)"
            )


def _warn_of_masked(found: Sequence[ProposalSet], job: Job) -> None:
    shares = [one.masked for one in found if one.masked]
    if shares:
        job.warn(
            f"{share_text(float(np.mean(shares)))} of the TIR pixels hold no measurement in "
            f"{len(shares)} of {len(found)} pairs; they are left out"
        )


def leave_contact_sheet(
    folder: Path, source: PairSource, indices: Sequence[int], proposals: Sequence[ProposalSet]
) -> None:
    """Write a picture of proposed and rejected boxes in some of the pairs."""
    from tirtrack.pairs.inspection_folder import write_contact_sheet

    write_contact_sheet(folder, source, dict(zip(indices, proposals, strict=True)))


# --- features and training -----------------------------------------------------------------------


def training_pool(
    network: TwoBranchNetwork,
    sources: Sources,
    found: Found,
    *,
    job: Job,
    identity: Mapping[str, str],
    engine: FeatureEngine | None,
) -> Pool:
    """The pool to train on, with features if the backbone is frozen."""
    recipe, seed = job.recipe, job.seed
    samples = draw_samples(
        sources.train,
        found.split.train,
        found.train,
        recipe,
        rules=CropRules.of(network),
        count=recipe.pool,
        seed=seed,
    )
    return build_pool(
        sources.train,
        samples,
        recipe,
        levels=job.levels,
        seed=seed,
        engine=engine,
        proposals=proposal_rule(recipe, network),
        cache_key=None if engine is None else f"{identity['pairs']} {identity['baseline']}",
        progress=job.progress,
    )


def check_by_foreigner(teacher: TwoBranchNetwork, pool: Pool, source: PairSource, job: Job) -> None:
    """Check every sample with a teacher of another family, which sees the RGB frames."""
    strict, count = job.recipe.teacher.box_check, len(pool)
    overlap, confidence = np.zeros(count), np.zeros(count)
    passed = np.zeros(count, dtype=bool)
    opened: tuple[int, np.ndarray] | None = None
    for place in sorted(range(count), key=lambda place: pool.samples[place].pair):
        sample = pool.samples[place]
        if opened is None or opened[0] != sample.pair:
            opened = sample.pair, source[sample.pair].rgb
        least = strict.min_iou_by_way.get(sample.way, strict.min_iou)
        limits = strict.model_copy(update={"min_iou": least})
        rng = np.random.default_rng([job.seed, Stream.TEACHER, sample.number])
        (judged,) = judge_boxes(teacher, opened[1], [sample.box], limits, rng=rng)
        overlap[place], passed[place] = judged.overlap, judged.passed
        confidence[place] = judged.found.confidence
    pool.checks = Checks(np.zeros(count), overlap, confidence, passed)


def _warn_of_rates(rates: Sequence[PassRate], job: Job) -> None:
    total = sum(rate.samples for rate in rates)
    passed = sum(rate.passed for rate in rates)
    if total and passed / total < job.recipe.teacher.warn_below:
        job.warn(
            f"the teacher finds only {passed} of {total} boxes again: many proposals are no "
            "objects, or the pairs are not registered; look at the contact sheet"
        )


def train(
    student: TwoBranchNetwork,
    teacher: TwoBranchNetwork,
    pool: Pool,
    *,
    job: Job,
    folder: Path,
    identity: Mapping[str, str],
    resume: bool,
    validator: Validator | None,
) -> None:
    """Train the student on a checked pool, in place."""
    recipe = job.recipe
    probe, every = None, recipe.held_back.validate_every
    if validator is not None and every:
        probe = Probe(every, lambda: validator.numbers(student))
    stock = pool.stock(recipe)
    moving = "bn1_train" in recipe.as_published

    def loss_of(step: int) -> Step:
        if moving:  # the first batch norm, missing in the published list of frozen layers
            backbone_norms(student)[0].train()
        draws = plan_step(stock, recipe, seed=job.seed, step=step)
        groups = [
            (direction, pool.batch(chosen, device=job.device, visit=step))
            for direction in sorted(recipe.directions)
            if (chosen := [draw for draw in draws if draw.direction is direction])
        ]
        loss = step_loss(
            student, teacher, groups, recipe.terms, teacher_modality=recipe.teacher.modality
        )
        return Step(loss.total, loss.parts, [key for _, batch in groups for key in batch.keys])

    train_steps(
        student,
        loss_of,
        recipe.training,
        folder,
        identity=identity,
        resume=resume,
        progress=job.progress,
        probe=probe,
    )


# --- after the last step -------------------------------------------------------------------------


def re_estimate(student: TwoBranchNetwork, source: PairSource, pool: Pool, job: Job) -> None:
    """Re-estimate batch norm statistics on TIR crops: cumulative means, no gradient."""
    training = job.recipe.training
    modules = (
        [student]
        if training.batch_norm == "re_estimate"
        else [module for name in training.components for module in student.modules_of(name)]
    )
    norms = [norm for module in modules for norm in batch_norms(module)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    with torch.no_grad():
        for batch in _tir_batches(
            student, source, pool.samples[: training.batch_norm_samples], job
        ):
            respond(student, batch, Direction.TIR_TO_TIR)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    student.eval()


def _tir_batches(
    student: TwoBranchNetwork, source: PairSource, samples: Sequence[Sample], job: Job
) -> Iterator[Batch]:
    """Plain TIR patches of both branches, a few samples at a time."""
    keys = [ViewKey("reference", Modality.TIR), ViewKey("test", Modality.TIR)]
    recipe = job.recipe
    rule = proposal_rule(recipe, student)
    cut = cut_views(source, samples, keys, recipe, levels=job.levels, seed=job.seed)
    waiting: list[Cut] = []
    for done, sample in enumerate(cut, start=1):
        waiting.append(sample)
        left = len(samples) - done
        if left == 0 or (len(waiting) >= CHUNK and left > 1):  # batch norm needs two samples
            yield _tir_batch(waiting, [samples[one.place] for one in waiting], rule, job)
            waiting = []
        job.progress("batch norm", done, len(samples))


def _tir_batch(
    cut: Sequence[Cut], samples: Sequence[Sample], rule: DrawRule | None, job: Job
) -> Batch:
    branches = []
    for name in ("reference", "test"):
        patches = np.stack([one.patches[ViewKey(name, Modality.TIR)] for one in cut])
        boxes = np.stack([one.boxes_patch[name] for one in cut])[None]
        generators = [
            np.random.default_rng([job.seed, Stream.PROPOSALS, sample.number]) for sample in samples
        ]
        branches.append(
            Branch(
                torch.from_numpy(boxes).to(job.device),
                None,
                View(as_patches(patches)[None].to(job.device)),
                None if rule is None else draw_for_batch(boxes, generators, rule).to(job.device),
            )
        )
    yes = torch.ones(len(cut), dtype=torch.bool)
    keys = tuple(sample.key for sample in samples)
    return Batch(branches[0], branches[1], torch.ones(len(cut)), yes, yes, keys)


# --- held-back pairs -----------------------------------------------------------------------------


def validator_of_held_back(
    baseline: TwoBranchNetwork,
    sources: Sources,
    *,
    found: Found,
    job: Job,
    engine: FeatureEngine | None,
) -> Validator | None:
    """Validates students on the held-back pairs; ``None`` if there are none.

    The samples are the same for every training seed; those count in which the baseline finds the
    box on RGB. Stored features serve all networks, unless the student's backbone will change.
    """
    count = job.recipe.held_back.samples
    if not found.split.held_back or not count:
        return None
    recipe = _validation_recipe(job)
    try:
        samples = draw_samples(
            sources.held_back,
            found.split.held_back,
            found.held_back,
            recipe,
            rules=CropRules.of(baseline),
            count=count,
            seed=HELD_BACK_SEED,
        )
    except PairsError as error:
        job.warn(f"held-back pairs: {error.what}")
        return None
    will_change = job.recipe.training.batch_norm == "re_estimate"
    pool = build_pool(
        sources.held_back,
        samples,
        recipe,
        levels=job.levels,
        seed=HELD_BACK_SEED,
        engine=None if will_change else engine,
        proposals=proposal_rule(recipe, baseline),
        stage="held back",
        progress=job.progress,
    )
    pool.check(baseline, recipe, device=job.device)
    return Validator(baseline, pool, device=job.device)


def _validation_recipe(job: Job) -> CrossModalRecipe:
    """The recipe of validation samples: boxes as in training, both modalities, plain crops without
    a canvas, every box used; the baseline checks on RGB, as strictly as a teacher.
    """
    recipe = job.recipe
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


def _summary(
    found: Found,
    pool: Pool,
    agreed: Agreement | None,
    job: Job,
    *,
    identity: Mapping[str, str],
) -> Summary:
    """The summary, without the name of the weights, versions and command."""
    recipe = job.recipe
    usable = int(pool.checks.passed.sum()) if pool.checks and recipe.teacher.require else len(pool)
    return Summary(
        recipe=recipe.name,
        seed=job.seed,
        split=found.split.how,
        harvest=harvest(found.train, recipe.proposals.way),
        pass_rates=pass_rates(pool),
        samples={"pool": len(pool), "usable": usable, "outside": pool.centres_outside()},
        steps=recipe.training.steps,
        held_back=agreed,
        verdict=verdict(agreed),
        warnings=list(job.warnings),
        seconds=dict(job.clock.seconds),
        weights="",
        fingerprint=fingerprint(dict(identity)),
        versions={},
        command="",
    )
