"""Warnings of a distillation about its pairs, one sentence each: boxes, pixels, split, doubts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TypeGuard

import numpy as np

from tirtrack.distillation.clips import Clip
from tirtrack.distillation.pool import Pool
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.distillation.sources import Split, uneven_split
from tirtrack.distillation.summary import PassRate, harvest_of
from tirtrack.pairs.doubt_sentences import delay_fix, reasons, sentences
from tirtrack.pairs.doubts import QUICK, RecordingDoubts, look_for_doubts
from tirtrack.pairs.proposals.base import ProposalSet
from tirtrack.pairs.rig import TimeOffset
from tirtrack.pairs.source import PairSource
from tirtrack.pairs.time_offset import time_offsets
from tirtrack.pairs.track_delay import TrackDelay
from tirtrack.pairs.tracklets import Track
from tirtrack.progress import Progress
from tirtrack.valid_pixels import share_text

DELAYED_FRAMES = 0.75  # less is the difference between cameras that are triggered together


def harvest_warnings(
    trained: Sequence[ProposalSet],
    held_back: Sequence[ProposalSet],
    recipe: CrossModalRecipe,
    unit: str,
) -> list[str]:
    """Warnings of pairs (or TIR frames) that could not be read, and of those without a proposal."""
    way, warnings = recipe.proposals.way, []
    for kind, proposals in (("", trained), ("held-back ", held_back)):
        found = harvest_of(proposals, way, unit)
        if found.unreadable_pairs:
            warnings.append(
                f"{found.unreadable_pairs} of {found.pairs} {kind}{unit}s could not be read and "
                "were left out; `tirtrack pairs inspect` names them"
            )
        if found.fallback_pairs:
            use = "are used" if recipe.boxes.fallback else "are not used"
            warnings.append(
                f"in {found.fallback_pairs} of {found.pairs} {kind}{unit}s {way} found nothing; "
                f"the random boxes that stand in {use} (boxes.fallback)"
            )
    return warnings


def unusable_warnings(unusable: Mapping[str, int], unit: str) -> list[str]:
    """A warning if pairs that cannot be used were left out.

    Args:
        unusable: number of such pairs by reason.
        unit: what was judged, a pair or a TIR frame.
    """
    if not unusable:
        return []
    return [
        f"{sum(unusable.values())} {unit}s cannot be used and were left out: {reasons(unusable)}"
    ]


def masked_warnings(found: Sequence[ProposalSet], unit: str) -> list[str]:
    """A warning if TIR pixels hold no measurement."""
    shares = [one.masked for one in found if one.masked]
    if not shares:
        return []
    return [
        f"{share_text(float(np.mean(shares)))} of the TIR pixels hold no measurement in "
        f"{len(shares)} of {len(found)} {unit}s; they are left out"
    ]


def rate_warnings(rates: Sequence[PassRate], recipe: CrossModalRecipe) -> list[str]:
    """A warning if the teacher passes few samples."""
    total = sum(rate.samples for rate in rates)
    passed = sum(rate.passed for rate in rates)
    if not total or passed / total >= recipe.teacher.warn_below:
        return []
    unregistered = ", or the pairs are not registered" if recipe.reads_rgb else ""
    return [
        f"the teacher finds only {passed} of {total} boxes again: many proposals are no "
        f"objects{unregistered}; look at the contact sheet"
    ]


def track_warnings(tracks: Mapping[str, Sequence[Track]] | None) -> list[str]:
    """A warning if a recipe with tracks trains on stills alone.

    Args:
        tracks: tracks by name of the video; ``None`` for a recipe without tracks.
    """
    if tracks is None:
        return []
    if not tracks:
        return ["there is no video in which boxes could be followed: only stills are trained on"]
    followed = list(chain.from_iterable(tracks.values()))
    if any(one.tracklet.fault is None for one in followed):
        return []
    why = f"none of {len(followed)} tracks is trusted" if followed else "no box was found to follow"
    return [f"{why}: no video is trained on, only stills"]


def delay_warnings(delay: TrackDelay | None, given: int | None) -> list[str]:
    """A warning if TIR is late or early by a frame or more.

    Args:
        delay: delay by the tracks; ``None`` if it cannot be told.
        given: frames by which TIR is taken later already; ``None`` where that drifts.
    """
    if not _is_late(delay):
        return []
    return [
        f"frames of a pair are not of one instant: by {delay.targets} targets that were followed "
        f"in both modalities TIR is {abs(delay.frames):.1f} frames "
        f"{'late' if delay.frames > 0 else 'early'}; {delay_fix(round(delay.frames), given)}"
    ]


def _is_late(delay: TrackDelay | None) -> TypeGuard[TrackDelay]:
    return delay is not None and abs(delay.frames) >= DELAYED_FRAMES


def split_warnings(split: Split, recipe: CrossModalRecipe) -> list[str]:
    """A warning if the choice of held-back recordings leaves few to train on."""
    if split.has_two_sources or split.named:
        return []
    said = uneven_split(split, recipe.held_back.share)
    return [] if said is None else [said]


def doubt_warnings(
    split: Split, clips: Sequence[Clip], pool: Pool, progress: Progress, delay: TrackDelay | None
) -> list[str]:
    """Warnings of recordings that may not be pairs, with the teacher's pass counts for them.

    Args:
        split: pairs to check, held-back ones included.
        clips: clips of the pool.
        pool: pool that the teacher checked.
        progress: callback that is told of every recording.
        delay: delay by the tracks, which is said in place of any other; ``None`` if it cannot be
            told.
    """
    found = look_for_doubts(split.source, QUICK, progress=progress)
    drifts = _drifts(split.source, found, delay)
    given = next(iter(split.source.recordings().values())).delay_frames
    by_tracks = [] if drifts else delay_warnings(delay, given)
    remarks = _passed(found, clips, pool)
    warnings = [
        *by_tracks,
        *sentences(found, remarks, times=drifts, says_delays=not by_tracks),
    ]
    if split.has_two_sources:
        doubts = look_for_doubts(split.held_back_source, QUICK, progress=progress)
        drifts = _drifts(split.held_back_source, doubts, None)
        warnings += [f"held-back pairs: {said}" for said in sentences(doubts, times=drifts)]
    return warnings


def _drifts(
    source: PairSource, found: Sequence[RecordingDoubts], delay: TrackDelay | None
) -> dict[str, TimeOffset]:
    """The time offsets that drift, by name, of recordings in which a delay was noticed: what is
    noticed of a drift is a delay that no constant one mends.
    """
    recordings = source.recordings()
    late = {one.name for one in found if one.delay is not None}
    if _is_late(delay):
        late = set(recordings)
    times = time_offsets(source, late) if late else {}
    return {
        name: one
        for name, one in times.items()
        if one.drift_per_1000 and one.moves(len(recordings[name].indices))
    }


def _passed(found: Sequence[RecordingDoubts], clips: Sequence[Clip], pool: Pool) -> dict[str, str]:
    """Pass counts of the recordings whose modalities have nothing in common, in words."""
    remarks = {}
    for name in (one.name for one in found if one.shows_nothing_in_common):
        counts = Counter(
            bool(passed)
            for sample, passed in zip(pool.samples, pool.passed, strict=True)
            if clips[sample.clip].name == name
        )
        if counts.total():
            remarks[name] = f"the teacher passed {counts[True]} of {counts.total()} samples"
    return remarks
