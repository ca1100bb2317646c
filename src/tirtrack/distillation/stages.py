"""The stages from pairs to a trained student, for any two-branch network; no weights files here.

Read :func:`distil_network` first: it is the order of the stages. Those without a file of their own
follow below it, in the same order.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice

import numpy as np

from tirtrack.distillation.clips import Clip, clips_of, usable_proposals, uses_rgb
from tirtrack.distillation.foreign_teacher import can_match, check_pool
from tirtrack.distillation.frozen_backbone import FeatureEngine, frozen_copy
from tirtrack.distillation.pair_warnings import (
    doubt_warnings,
    harvest_warnings,
    masked_warnings,
    rate_warnings,
    split_warnings,
    track_warnings,
    unusable_warnings,
)
from tirtrack.distillation.pool import Pool
from tirtrack.distillation.pool_making import build_pool
from tirtrack.distillation.proposal_draws import draw_rule
from tirtrack.distillation.re_estimation import re_estimate
from tirtrack.distillation.run_folder import Run
from tirtrack.distillation.samples import Stream, draw_samples
from tirtrack.distillation.settings import Augmentation, CrossModalRecipe, Direction, Modality
from tirtrack.distillation.sources import Split
from tirtrack.distillation.step_plan import check_directions
from tirtrack.distillation.summary import (
    SUMMARY,
    RunSummary,
    harvest_of,
    pass_rates_of,
    track_rates_of,
)
from tirtrack.distillation.train_student import timed, train_student
from tirtrack.distillation.unusable_pairs import leave_out_unusable, usable_frames
from tirtrack.distillation.validation import HELD_BACK_SEED, Agreement, Validator, verdict
from tirtrack.errors import PairsError, TrainingError
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.doubts import counted_reasons
from tirtrack.pairs.following import Following, kept_tracks
from tirtrack.pairs.inspection_folder import write_contact_sheet
from tirtrack.pairs.proposals.base import ProposalSet
from tirtrack.pairs.proposals.proposal_cache import kept_proposals
from tirtrack.pairs.proposals.registry import Proposing, check_any_box, proposer
from tirtrack.pairs.source import PairSource, assumptions, unit_of
from tirtrack.pairs.track_delay import measure_track_delay
from tirtrack.pairs.tracklets import Follower, Track, TrackSettings, starts_of
from tirtrack.stored import write_stored

_log = logging.getLogger(__name__)

PairRun = Run[CrossModalRecipe]
Found = dict[int, ProposalSet]
"""Proposals of pairs by their index in the source."""


def distil_network(
    network: TwoBranchNetwork,
    split: Split,
    run: PairRun,
    *,
    teacher: TwoBranchNetwork | None = None,
    engine: FeatureEngine | None,
    follower: Callable[[], Follower] | None = None,
) -> tuple[TwoBranchNetwork, RunSummary]:
    """The stages from pairs to a trained student; ``network`` itself is not changed.

    Args:
        network: baseline.
        split: pairs to train on, and held-back pairs.
        run: recipe, folder, seed and device.
        teacher: network that teaches; ``None``: the baseline.
        engine: feature engine of the frozen backbone; ``None`` if the backbone is trained.
        follower: function that makes the tracker that follows boxes; ``None`` for a recipe without
            tracks.

    Returns:
        The student in eval mode on the CPU, and the summary, without what every run has.
    """
    recipe, device, unit = run.recipe, run.device, unit_of(split.source)
    seconds: dict[str, float] = {}
    baseline = frozen_copy(network).to(device)
    teaching = baseline if teacher is None else frozen_copy(teacher).to(device)
    student = copy.deepcopy(network).to(device)
    with timed(seconds, "proposals"):
        found, held_back = propose(split, run)
        left, held_left = leave_out_unusable(split, found, held_back, run)
        write_contact_sheet(run.folder, split.source, found)
    tracks = None
    if follower is not None:
        with timed(seconds, "tracks"):
            tracks = follow_all(split, found, run, follower)
            tracks, left = usable_frames(split.source, tracks, left, run)
            write_contact_sheet(
                run.folder, split.source, found, list(chain.from_iterable(tracks.values()))
            )
    delay = measure_track_delay(chain.from_iterable((tracks or {}).values()))
    unusable = counted_reasons([*left.values(), *held_left.values()])
    summary = RunSummary(
        recipe=recipe.name,
        seed=run.seed,
        split=split.how,
        harvest=harvest_of(list(found.values()), recipe.proposals.way, unit),
        unusable=unusable,
        tracks=track_rates_of(chain.from_iterable((tracks or {}).values())),
        delay_frames=None if delay is None else delay.frames,
        delay_targets=0 if delay is None else delay.targets,
        assumed=tuple(assumptions(split.source.recordings().values())),
        seconds=seconds,
    )
    with summary_on_failure(run, summary):
        check_boxes(split, found, held_back)
        clips = clips_of(split.source, found, recipe, tracks)
    with timed(seconds, "features"):
        pool = training_pool(network, clips, run, engine)
    with timed(seconds, "teacher"):
        is_foreign = not can_match(teaching, network)
        if is_foreign:
            check_pool(teaching, pool, clips, recipe, seed=run.seed)
        else:
            pool.check(teaching, recipe, device=device)
        rates = pass_rates_of(pool)
    with timed(seconds, "pairs"):
        proposals, others = list(found.values()), list(held_back.values())
        warnings = [
            *harvest_warnings(proposals, others, recipe, unit),
            *unusable_warnings(unusable, unit),
            *masked_warnings([*proposals, *others], unit),
            *track_warnings(tracks),
            *rate_warnings(rates, recipe),
            *split_warnings(split, recipe),
            *doubt_warnings(split, clips, pool, run.progress, delay),
        ]
    summary = summary.model_copy(
        update={
            "pass_rates": tuple(rates),
            "samples": _counted(pool, recipe, has_foreign_teacher=is_foreign),
            "warnings": tuple(warnings),
        }
    )
    with summary_on_failure(run, summary):
        check_directions(pool, recipe)
    with timed(seconds, "held back"):
        held_clips: list[Clip] = []
        if held_back:
            try:
                held_clips = clips_of(split.held_back_source, held_back, validation_recipe(recipe))
            except PairsError as error:
                warnings.append(f"held-back {unit}s: {error.what}")
        validator = validator_on(held_clips, baseline, run, engine) if held_clips else None
    with timed(seconds, "training"):
        train_student(
            student,
            teaching,
            lambda _: pool,
            run,
            validator=validator,
            validate_every=recipe.held_back.validate_every,
        )
        if recipe.training.batch_norm in ("adapt", "re_estimate"):
            re_estimate(student, clips, pool.samples, run)
    with timed(seconds, "held back"):
        compared = None if validator is None else validator.comparison(student)
    trained = {
        "held_back": compared,
        "verdict": verdict(compared, is_held_back=bool(held_back)),
        "warnings": tuple(warnings),
        "seconds": seconds,
    }
    return student.cpu(), summary.model_copy(update=trained)


@contextmanager
def summary_on_failure(run: PairRun, summary: RunSummary) -> Iterator[None]:
    """Context in which pairs without anything to train on leave a summary that says so; its
    warnings, which may say why, are logged.
    """
    try:
        yield
    except (PairsError, TrainingError) as error:
        for warning in summary.warnings:
            _log.warning("%s", warning)
        said = {"verdict": f"nothing was trained: {error.what}"}
        write_stored(run.folder / SUMMARY, summary.model_copy(update=said))
        raise


# --- proposals -----------------------------------------------------------------------------------


def propose(split: Split, run: PairRun) -> tuple[Found, Found]:
    """Boxes of the pairs to train on and of those held back: in at most as many pairs as there will
    be samples. In videos whose boxes will be followed, those in which tracks begin, and the others
    only if tracks join proposals.
    """
    recipe, seed, content = run.recipe, run.seed, run.identity["pairs"]
    train = _to_propose_in(split, recipe, seed)
    held_back = thinned(split.held_back, recipe.held_back.samples, HELD_BACK_SEED)
    if split.has_two_sources:
        other, its_content = split.held_back_source, run.identity["held-back pairs"]
        return (
            _boxes_of(split.source, content, train, run, seed),
            _boxes_of(other, its_content, held_back, run, HELD_BACK_SEED),
        )
    found = _boxes_of(split.source, content, [*train, *held_back], run, seed)
    return {index: found[index] for index in train}, {index: found[index] for index in held_back}


def _to_propose_in(split: Split, recipe: CrossModalRecipe, seed: int) -> tuple[int, ...]:
    if not recipe.tracks.modalities:
        return thinned(split.train, recipe.pool, seed)
    starts = _track_starts(split, recipe)
    if recipe.boxes.join_iou is not None:
        return tuple(sorted({*starts, *thinned(split.train, recipe.pool, seed)}))
    followed = {index for one in training_videos(split).values() for index in one}
    stills = [index for index in split.train if index not in followed]
    return tuple(sorted([*starts, *thinned(stills, recipe.pool, seed)]))


def _track_starts(split: Split, recipe: CrossModalRecipe) -> list[int]:
    """The pairs of all videos in which tracks begin."""
    videos = training_videos(split).values()
    return [index for one in videos for index in _starts(one, recipe.tracks)]


def _starts(video: Sequence[int], settings: TrackSettings) -> Sequence[int]:
    """The pairs in which tracks begin: those after which enough frames follow, at least one."""
    last = max(len(video) - settings.min_frames, 0)
    return video[: last + 1 : settings.every]


def _boxes_of(
    source: PairSource, content: str, indices: Sequence[int], run: PairRun, seed: int
) -> Found:
    if not indices:
        return {}
    settings = run.recipe.proposals
    way = proposer(settings.way, **settings.options)
    found = kept_proposals(
        Proposing(source, way, seed, settings.modalities),
        indices,
        content=content,
        workers=run.workers,
        progress=run.progress,
    )
    return dict(zip(indices, found, strict=True))


def check_boxes(split: Split, found: Found, held_back: Found) -> None:
    """Refuse a source in which not one box was proposed, held-back pairs of it included.

    Raises:
        PairsError: names the source.
    """
    if split.has_two_sources:
        check_any_box(split.source, list(found.values()))
        check_any_box(split.held_back_source, list(held_back.values()))
    else:
        check_any_box(split.source, [*found.values(), *held_back.values()])


def thinned(indices: Sequence[int], count: int, seed: int) -> tuple[int, ...]:
    """At most ``count`` of the pairs, drawn at random: more pairs than samples are no use."""
    if len(indices) <= count:
        return tuple(indices)
    rng = np.random.default_rng([seed, Stream.PAIRS])
    return tuple(sorted(int(indices[place]) for place in rng.permutation(len(indices))[:count]))


# --- tracks --------------------------------------------------------------------------------------


def training_videos(split: Split) -> dict[str, list[int]]:
    """Indices of the pairs to train on, for every video that has any, by its name."""
    train = set(split.train)
    recordings = split.source.recordings().values()
    videos = {
        one.name: [index for index in one.indices if index in train]
        for one in recordings
        if one.is_video
    }
    return {name: indices for name, indices in videos.items() if indices}


def follow_all(
    split: Split, found: Found, run: PairRun, follower: Callable[[], Follower]
) -> dict[str, list[Track]]:
    """The tracks of every video to train on, rejected ones included; held-back pairs are not
    read.
    """
    recipe = run.recipe
    begin = found if recipe.boxes.join_iou is None else _track_starts(split, recipe)
    usable = {index: usable_proposals(found[index], recipe) for index in begin}
    starts = {
        name: starts_of(indices, usable, recipe.tracks)
        for name, indices in training_videos(split).items()
    }
    following = Following(split.source, follower, recipe.tracks, run.identity["pairs"])
    every = list(chain.from_iterable(starts.values()))
    made = iter(kept_tracks(following, every, workers=run.workers, progress=run.progress))
    return {
        name: list(chain.from_iterable(islice(made, len(ones)))) for name, ones in starts.items()
    }


# --- pool ----------------------------------------------------------------------------------------


def training_pool(
    network: TwoBranchNetwork,
    clips: Sequence[Clip],
    run: PairRun,
    engine: FeatureEngine | None,
) -> Pool:
    """The pool to train on, with features if the backbone is frozen."""
    recipe, seed, identity = run.recipe, run.seed, run.identity
    numbers = range(recipe.pool)
    return build_pool(
        clips,
        draw_samples(clips, recipe, numbers, network=network, seed=seed),
        recipe,
        seed=seed,
        engine=engine,
        proposals=draw_rule(recipe.estimator, network.box_kind),
        cache_key=f"{identity['pairs']} {recipe.normaliser} {identity['baseline']}",
        progress=run.progress,
    )


def _counted(pool: Pool, recipe: CrossModalRecipe, *, has_foreign_teacher: bool) -> dict[str, int]:
    """Numbers of samples, as in :class:`RunSummary`."""
    usable = np.flatnonzero(pool.usable(recipe))
    found_in = [pool.samples[place].found_in for place in usable]
    return {
        "pool": len(pool),
        "usable": len(usable),
        "outside": pool.centres_outside(),
        "with_rgb": sum(
            uses_rgb(one, recipe, has_foreign_teacher=has_foreign_teacher) for one in found_in
        ),
    }


# --- held-back pairs -----------------------------------------------------------------------------


def validator_on(
    clips: Sequence[Clip],
    baseline: TwoBranchNetwork,
    run: PairRun,
    engine: FeatureEngine | None,
) -> Validator:
    """Validates students on samples of held-back clips, the same for every training seed; those
    count in which the baseline finds the box on RGB, or on TIR if the recipe reads no RGB.

    Stored features serve all networks, unless the student's backbone will change.
    """
    recipe, seed = validation_recipe(run.recipe), HELD_BACK_SEED
    numbers = range(recipe.held_back.samples)
    will_change = recipe.training.batch_norm == "re_estimate"
    pool = build_pool(
        clips,
        draw_samples(clips, recipe, numbers, network=baseline, seed=seed),
        recipe,
        seed=seed,
        engine=None if will_change else engine,
        proposals=draw_rule(recipe.estimator, baseline.box_kind),
        stage="held back",
        progress=run.progress,
    )
    pool.check(baseline, recipe, device=run.device)
    teacher = baseline if run.recipe.reads_rgb else None
    measure = Agreement(teacher, pool, device=run.device)
    return Validator(baseline, measure, measure.scenes, teacher_centre=measure.teacher_centre)


def validation_recipe(recipe: CrossModalRecipe) -> CrossModalRecipe:
    """The recipe of validation samples: boxes as in training, the modalities that it reads, plain
    crops without a canvas, every box used; the baseline checks on RGB, or on TIR alone, as strictly
    as a teacher.
    """
    directions, modality = {Direction.TIR_TO_TIR: 1.0}, Modality.TIR
    if recipe.reads_rgb:
        directions, modality = {**directions, Direction.RGB_TO_RGB: 1.0}, Modality.RGB
    check = {"weights": None, "modality": modality, "require": True, "tir_boxes_on_tir": False}
    return recipe.model_copy(
        update={
            "directions": directions,
            "augmentation": Augmentation(),
            "negatives": 0.0,
            "boxes": recipe.boxes.model_copy(
                update={"only_where_found": False, "by_source": False}
            ),
            "teacher": recipe.teacher.model_copy(update=check),
            "as_published": [one for one in recipe.as_published if one == "first_box"],
        }
    )
