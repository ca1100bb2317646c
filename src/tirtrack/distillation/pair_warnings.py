"""Warnings about the pairs of a distillation: an uneven split, and doubtful pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tirtrack.distillation.clips import Clip
from tirtrack.distillation.diagnostics import uneven_split
from tirtrack.distillation.job import Job, Sources
from tirtrack.distillation.pool import Pool
from tirtrack.pairs.doubts import QUICK, RecordingDoubts, look_for_doubts, sentences


def warn_of_split(sources: Sources, job: Job) -> None:
    """Warn if the choice of held-back recordings leaves few to train on."""
    if sources.held_back is not sources.train or sources.named:
        return
    if said := uneven_split(sources.train, sources.split, job.recipe.held_back.share):
        job.warn(said)


def warn_of_doubts(sources: Sources, clips: Sequence[Clip], pool: Pool, job: Job) -> None:
    """Warn of recordings that may not be pairs, with the teacher's pass counts for them.

    Args:
        sources: pairs to check, held-back ones included.
        clips: clips of the pool.
        pool: pool with the teacher's checks.
        job: job that collects the warnings.
    """
    found = look_for_doubts(sources.train, QUICK, progress=job.progress)
    for said in sentences(found, _passed(found, clips, pool)):
        job.warn(said)
    if sources.held_back is not sources.train:
        for said in sentences(look_for_doubts(sources.held_back, QUICK, progress=job.progress)):
            job.warn(f"held-back pairs: {said}")


def _passed(found: Sequence[RecordingDoubts], clips: Sequence[Clip], pool: Pool) -> dict[str, str]:
    """Pass counts of the recordings whose modalities have nothing in common, in words."""
    if pool.checks is None:
        return {}
    remarks = {}
    for name in (one.name for one in found if one.shows_nothing_in_common):
        counts = Counter(
            bool(passed)
            for sample, passed in zip(pool.samples, pool.checks.passed, strict=True)
            if clips[sample.clip].name == name
        )
        if counts.total():
            remarks[name] = f"the teacher passed {counts[True]} of {counts.total()} samples"
    return remarks
