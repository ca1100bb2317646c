"""Warnings about the pairs of a distillation: an uneven split, and doubtful pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tirtrack.distillation.diagnostics import uneven_split
from tirtrack.distillation.job import Job, Sources
from tirtrack.distillation.pool import Pool
from tirtrack.pairs.doubts import QUICK, RecordingDoubts, look_for_doubts, sentences
from tirtrack.pairs.source import PairSource


def warn_of_split(sources: Sources, job: Job) -> None:
    """Warn if the choice of held-back recordings leaves few to train on."""
    if sources.held_back is not sources.train or sources.named:
        return
    if said := uneven_split(sources.train, sources.split, job.recipe.held_back.share):
        job.warn(said)


def warn_of_doubts(sources: Sources, pool: Pool, job: Job) -> None:
    """Warn of recordings that may not be pairs, with the teacher's pass counts for them.

    Args:
        sources: pairs to check, held-back ones included.
        pool: pool with the teacher's checks.
        job: job that collects the warnings.
    """
    found = look_for_doubts(sources.train, QUICK, progress=job.progress)
    for said in sentences(found, _passed(found, sources.train, pool)):
        job.warn(said)
    if sources.held_back is not sources.train:
        for said in sentences(look_for_doubts(sources.held_back, QUICK, progress=job.progress)):
            job.warn(f"held-back pairs: {said}")


def _passed(found: Sequence[RecordingDoubts], source: PairSource, pool: Pool) -> dict[str, str]:
    """Pass counts of the recordings whose modalities have nothing in common, in words."""
    if pool.checks is None:
        return {}
    recordings = source.recordings()
    remarks = {}
    for name in (one.name for one in found if one.shows_nothing_in_common):
        inside = set(recordings[name].indices)
        counts = Counter(
            bool(passed)
            for sample, passed in zip(pool.samples, pool.checks.passed, strict=True)
            if sample.pair in inside
        )
        if counts.total():
            remarks[name] = f"the teacher passed {counts[True]} of {counts.total()} samples"
    return remarks
