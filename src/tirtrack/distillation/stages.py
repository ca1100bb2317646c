"""The stages from pairs to a trained student, for any two-branch network; no weights files here.

Read :func:`distil_network` first: it is the order of the stages. What stands above it is what a
stage needs, what stands below is the stages that have no file of their own.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tirtrack.distillation.batches import Stream, ViewKey, cut_views, draw_samples, plan_step
from tirtrack.distillation.cross_modal import step_loss
from tirtrack.distillation.diagnostics import (
    HELD_BACK_SEED,
    Agreement,
    Split,
    agreement,
    hold_back,
    verdict,
)
from tirtrack.distillation.engine import Step, batch_norms, check_components, train_steps
from tirtrack.distillation.pair_batch import Branch, PairBatch, View
from tirtrack.distillation.pool import (
    CHUNK,
    FeatureEngine,
    Pool,
    as_patches,
    build_pool,
    frozen_copy,
)
from tirtrack.distillation.settings import (
    Augmentation,
    CrossModalRecipe,
    Direction,
    Modality,
    Teacher,
)
from tirtrack.distillation.summary import PassRate, Summary, harvest, pass_rates
from tirtrack.errors import PairsError
from tirtrack.files import fingerprint
from tirtrack.pairs.proposals.base import FoundIn, ProposalSet, Proposer
from tirtrack.pairs.source import Manifest, Pair, PairSource
from tirtrack.progress import Progress


@dataclass(frozen=True)
class Sources:
    """The pairs, and which of them are trained on."""

    train: PairSource
    held_back: PairSource
    split: Split
    manifest: Manifest

    @classmethod
    def open(cls, pairs: Any, held_back: Any, recipe: CrossModalRecipe, licence: str) -> Sources:
        """Open and split.

        Raises:
            PairsError: a folder cannot be used.
        """
        train = _opened(pairs, licence)
        if held_back is None:
            split = hold_back(train, recipe.held_back.share)
            return cls(train, train, split, train.manifest())
        other = _opened(held_back, licence)
        split = Split(tuple(range(len(train))), tuple(range(len(other))), f"given: {other.name}")
        return cls(train, other, split, train.manifest())

    def held_back_identity(self) -> str:
        """A hash of the held-back pairs where they were given; a share of the others says so."""
        if self.held_back is self.train:
            return "of the pairs"
        return fingerprint(asdict(self.held_back.manifest()))


def _opened(pairs: Any, licence: str) -> PairSource:
    from tirtrack.pairs import open_pairs

    return pairs if isinstance(pairs, PairSource) else open_pairs(pairs, licence=licence)


@dataclass
class _Clock:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        spent = time.perf_counter() - began
        self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)


class Job:
    """A recipe with what it needs made ready: proposer, normaliser, device."""

    def __init__(
        self, recipe: CrossModalRecipe, *, seed: int, device: torch.device, progress: Progress
    ) -> None:
        from tirtrack.pairs.proposals import registry
        from tirtrack.thermal import normaliser

        self.recipe = recipe
        self.seed = seed
        self.device = device
        self.progress = progress
        self.clock = _Clock()
        self.warnings: list[str] = []
        self._normaliser = normaliser(recipe.normaliser)
        self.way: Proposer = OneEyed(
            registry.proposer(recipe.proposals.way, **recipe.proposals.options),
            recipe.proposals.modalities,
        )

    @property
    def trains_backbone(self) -> bool:
        """Whether features cannot be kept."""
        return "backbone" in self.recipe.training.components

    def levels(self, frame: np.ndarray) -> np.ndarray:
        """TIR as stored to grey levels; every frame for itself, since samples are in no order."""
        from tirtrack.thermal import ThermalNormaliser

        return ThermalNormaliser(self._normaliser)(frame)

    def check(self, network: Any) -> None:
        """Refuse terms and components that the network cannot serve, before any work.

        Raises:
            RecipeError: names the term or component.
        """
        check_components(network, self.recipe.training)
        blank = _blank_batch(network)
        groups = [(direction, blank) for direction in self.recipe.directions]
        if self.recipe.terms:
            with torch.no_grad():
                step_loss(network, network, groups, self.recipe.terms)

    def warn(self, sentence: str) -> None:
        """Keep a sentence for the summary."""
        self.warnings.append(sentence)


def distil_network(
    network: Any,
    sources: Sources,
    job: Job,
    folder: Path,
    *,
    identity: Mapping[str, str],
    engine: FeatureEngine | None,
    resume: bool = False,
) -> tuple[Any, Summary]:
    """The stages from pairs to a trained student; ``network`` itself stays as it is.

    Args:
        network: the baseline, and the teacher.
        sources: pairs to train on and held back.
        job: recipe, seed, device, progress.
        folder: of the run.
        identity: what the run depends on.
        engine: of the frozen backbone; ``None`` when it is trained.
        resume: go on from the folder's checkpoint.

    Returns:
        The student in eval mode on the CPU, and what there is to say of it.
    """
    recipe, clock = job.recipe, job.clock
    teacher = frozen_copy(network).to(job.device)
    student = copy.deepcopy(network).to(job.device)
    with clock.stage("proposals"):
        split, proposals, held_proposals = propose(sources, job)
        sources = replace(sources, split=split)
        _warn_of_harvest(proposals, held_proposals, job)
        leave_contact_sheet(folder, sources.train, split.train, proposals)
    with clock.stage("features"):
        samples = draw_samples(
            sources.train,
            sources.split.train,
            proposals,
            recipe,
            count=recipe.pool,
            seed=job.seed,
        )
        pool = build_pool(
            sources.train,
            samples,
            recipe,
            levels=job.levels,
            seed=job.seed,
            engine=engine,
            cache_key=None if engine is None else f"{identity['pairs']} {identity['baseline']}",
            progress=job.progress,
        )
    with clock.stage("teacher"):
        pool.check(teacher, recipe, device=job.device)
        rates = pass_rates(pool)
        stock = pool.stock(recipe)
    _warn_of_rates(rates, job)

    def loss_of(step: int) -> Step:
        draws = plan_step(stock, recipe, seed=job.seed, step=step)
        groups = [
            (direction, pool.batch(chosen, device=job.device))
            for direction in sorted(recipe.directions)
            if (chosen := [draw for draw in draws if draw.direction is direction])
        ]
        loss = step_loss(
            student,
            teacher,
            groups,
            recipe.terms,
            teacher_modality=recipe.teacher.modality,
        )
        return Step(loss.total, loss.parts, [key for _, batch in groups for key in batch.keys])

    with clock.stage("training"):
        outcome = train_steps(
            student,
            loss_of,
            recipe.training,
            folder,
            identity=identity,
            resume=resume,
            progress=job.progress,
        )
        if recipe.training.batch_norm in ("adapt", "re_estimate"):
            re_estimate(student, sources.train, pool, job)
    with clock.stage("held back"):
        found = look_at_held_back(student, teacher, sources, held_proposals, job, engine=engine)
    usable = int(pool.checks.passed.sum()) if pool.checks and recipe.teacher.require else len(pool)
    summary = Summary(
        recipe=recipe.name,
        seed=job.seed,
        split=sources.split.how,
        harvest=harvest(proposals, recipe.proposals.way),
        pass_rates=rates,
        samples={"pool": len(pool), "usable": usable},
        steps=outcome.last_step,
        held_back=found,
        verdict=verdict(found),
        warnings=list(job.warnings),
        seconds=dict(clock.seconds),
        weights="",
        fingerprint=fingerprint(dict(identity)),
        versions={},
        command="",
    )
    return student.cpu(), summary


def _blank_batch(network: Any) -> PairBatch:
    """One black sample of the network's sizes, to see what kinds of answers it gives."""
    branches = []
    for side in (network.reference_side, network.test_side):
        view = View(patches=torch.zeros(1, 1, 3, side, side))
        box = torch.tensor([side / 4, side / 4, side / 2, side / 2])
        branches.append(Branch(box.expand(1, 1, 4), view, view))
    yes = torch.ones(1, dtype=torch.bool)
    return PairBatch(branches[0], branches[1], torch.ones(1), yes, yes, ("blank",))


# --- proposals -----------------------------------------------------------------------------------


class OneEyed:
    """A proposer that sees some modalities alone; the others are blank to it."""

    def __init__(self, inner: Proposer, modalities: Sequence[Modality]) -> None:
        self.name = inner.name
        self._inner = inner
        self._modalities = frozenset(modalities)

    def propose(
        self, pair: Pair, neighbours: Sequence[Pair], rng: np.random.Generator
    ) -> ProposalSet:
        """The boxes of the modalities that are seen; see :class:`Proposer`."""
        if self._modalities == frozenset(Modality):
            return self._inner.propose(pair, neighbours, rng)
        seen = [self._blinded(neighbour) for neighbour in neighbours]
        found = self._inner.propose(self._blinded(pair), seen, rng)
        blind = {FoundIn(modality.value) for modality in frozenset(Modality) - self._modalities}
        kept = tuple(box for box in found.kept if box.found_in not in blind)
        return ProposalSet(kept, found.rejected, found.fault)

    def _blinded(self, pair: Pair) -> Pair:
        if Modality.RGB not in self._modalities:
            return replace(pair, rgb=np.zeros_like(pair.rgb))
        return replace(pair, tir=np.zeros_like(pair.tir))


class Chosen:
    """A proposer that looks at some pairs alone, named by recording and position."""

    def __init__(self, inner: Proposer, source: PairSource, indices: Sequence[int]) -> None:
        self.name = inner.name
        self._inner = inner
        wanted = set(indices)
        self._places = {
            (recording.name, position)
            for recording in source.recordings().values()
            for position, index in enumerate(recording.indices)
            if index in wanted
        }

    def propose(
        self, pair: Pair, neighbours: Sequence[Pair], rng: np.random.Generator
    ) -> ProposalSet:
        """The boxes of a chosen pair, none of any other; see :class:`Proposer`."""
        if (pair.recording, pair.position) in self._places:
            return self._inner.propose(pair, neighbours, rng)
        return ProposalSet((), ())


def thinned(indices: Sequence[int], count: int, seed: int) -> tuple[int, ...]:
    """At most ``count`` of the pairs, drawn: more pairs than samples would be looked at in vain."""
    if len(indices) <= count:
        return tuple(indices)
    rng = np.random.default_rng([seed, Stream.PAIRS])
    return tuple(sorted(int(indices[place]) for place in rng.permutation(len(indices))[:count]))


def propose(sources: Sources, job: Job) -> tuple[Split, list[ProposalSet], list[ProposalSet]]:
    """The pairs that are looked at, the proposals of those to train on, and of those held back."""
    from tirtrack.pairs.proposals.kept import kept_or_made
    from tirtrack.pairs.proposals.registry import propose_all

    recipe, whole = job.recipe, sources.split
    split = replace(
        whole,
        train=thinned(whole.train, recipe.pool, job.seed),
        held_back=thinned(whole.held_back, recipe.held_back.samples, HELD_BACK_SEED),
    )

    def boxes_of(source: PairSource, indices: Sequence[int], seed: int) -> list[ProposalSet]:
        way = job.way if len(indices) == len(source) else Chosen(job.way, source, indices)
        identity = {
            "files": [file.sha256 for file in source.manifest().files],
            "proposals": recipe.proposals.model_dump(mode="json"),
            "indices": list(indices),
            "seed": seed,
        }
        return kept_or_made(
            identity, len(source), lambda: propose_all(source, way, seed, job.progress)
        )

    if sources.held_back is sources.train:
        found = boxes_of(sources.train, (*split.train, *split.held_back), job.seed)
        held = found
    else:
        found = boxes_of(sources.train, split.train, job.seed)
        held = (
            boxes_of(sources.held_back, split.held_back, HELD_BACK_SEED) if split.held_back else []
        )
    return (
        split,
        [found[index] for index in split.train],
        [held[index] for index in split.held_back],
    )


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


def _warn_of_rates(rates: Sequence[PassRate], job: Job) -> None:
    total = sum(rate.samples for rate in rates)
    passed = sum(rate.passed for rate in rates)
    if total and passed / total < job.recipe.teacher.warn_below:
        job.warn(
            f"the teacher finds only {passed} of {total} boxes again: many proposals are no "
            "objects, or the pairs are not registered; look at the contact sheet"
        )


def leave_contact_sheet(
    folder: Path, source: PairSource, indices: Sequence[int], proposals: Sequence[ProposalSet]
) -> None:
    """A picture of what was proposed and rejected in some of the pairs."""
    from tirtrack.pairs.inspection_folder import write_contact_sheet

    write_contact_sheet(folder, source, dict(zip(indices, proposals, strict=True)))


# --- after the last step -------------------------------------------------------------------------


def re_estimate(student: Any, source: PairSource, pool: Pool, job: Job) -> None:
    """Statistics of batch norm anew on TIR crops: cumulative means, no gradient (g_bn)."""
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
    samples = pool.samples[: training.batch_norm_samples]
    keys = [ViewKey("reference", Modality.TIR), ViewKey("test", Modality.TIR)]
    cut = cut_views(source, samples, keys, job.recipe, levels=job.levels, seed=job.seed)
    waiting: list[dict[ViewKey, np.ndarray]] = []
    with torch.no_grad():
        for done, (_, patches) in enumerate(cut, start=1):
            waiting.append(patches)
            if len(waiting) == CHUNK or done == len(samples):
                views = [
                    as_patches(np.stack([item[key] for item in waiting]))[None].to(job.device)
                    for key in keys
                ]
                target = student.reference(views[0], views[0].new_zeros(1, len(waiting), 4))
                student.respond(target, views[1])
                waiting = []
            job.progress("batch norm", done, len(samples))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    student.eval()


def look_at_held_back(
    student: Any,
    teacher: Any,
    sources: Sources,
    proposals: Sequence[ProposalSet],
    job: Job,
    *,
    engine: FeatureEngine | None,
) -> Agreement | None:
    """Agreement on the held-back pairs; ``None`` where there is nothing to look at.

    The samples are the same for every seed of the training, and counted where the teacher finds the
    box on RGB. Kept features serve both networks, unless the student's backbone has changed.
    """
    count = job.recipe.held_back.samples
    if not sources.split.held_back or not count:
        return None
    recipe = job.recipe.model_copy(
        update={
            "directions": {Direction.TIR_TO_TIR: 1.0, Direction.RGB_TO_RGB: 1.0},
            "augmentation": Augmentation(),
            "negatives": 0.0,
            "boxes": job.recipe.boxes.model_copy(update={"only_where_found": False}),
            "teacher": Teacher(tir_boxes_on_tir=False),
        }
    )
    try:
        samples = draw_samples(
            sources.held_back,
            sources.split.held_back,
            proposals,
            recipe,
            count=count,
            seed=HELD_BACK_SEED,
        )
    except PairsError as error:
        job.warn(f"held-back pairs: {error.what}")
        return None
    is_changed = job.recipe.training.batch_norm == "re_estimate"
    pool = build_pool(
        sources.held_back,
        samples,
        recipe,
        levels=job.levels,
        seed=HELD_BACK_SEED,
        engine=None if is_changed else engine,
        stage="held back",
        progress=job.progress,
    )
    pool.check(teacher, recipe, device=job.device)
    return agreement(student, teacher, pool, device=job.device)
