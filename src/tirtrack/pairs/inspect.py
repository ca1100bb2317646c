"""What a source of pairs holds, measured before distillation: the library side of ``tirtrack pairs
inspect``.

Every pair is read, so every damaged file is found and named; offset and proposals are measured on
pairs spread evenly over the source. Nothing here changes a file.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tirtrack.errors import PairsError
from tirtrack.files import new_folder
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.doubt_sentences import reasons, sentences
from tirtrack.pairs.doubts import RecordingDoubts, counted_reasons, left_out, look_for_doubts
from tirtrack.pairs.folder import named_folders, open_pairs
from tirtrack.pairs.inspection_folder import (
    TILES,
    Damage,
    Inspection,
    ProposalRates,
    RecordingFacts,
    write_inspection,
)
from tirtrack.pairs.likeness import Unusable, unusable
from tirtrack.pairs.proposals import registry
from tirtrack.pairs.proposals.base import ProposalSet, Proposer
from tirtrack.pairs.proposals.proposal_cache import kept_proposals
from tirtrack.pairs.proposals.registry import Proposing, is_fallback
from tirtrack.pairs.registering import find_rigs
from tirtrack.pairs.registration import (
    WARN_OFFSET_PX,
    Offset,
    OffsetSummary,
    measure_offset,
    summarise,
)
from tirtrack.pairs.rig import TimeOffset
from tirtrack.pairs.source import (
    Pair,
    PairSource,
    Recording,
    assumptions,
    pairs_line,
    unit_of,
)
from tirtrack.pairs.source_views import CanRegister, registered
from tirtrack.pairs.spreading import spread
from tirtrack.pairs.time_offset import time_offsets
from tirtrack.progress import Progress, silent
from tirtrack.remote import AnyPath, on_disk
from tirtrack.valid_pixels import share_text
from tirtrack.workers import check_workers

_log = logging.getLogger(__name__)

SAMPLED_PAIRS = 60
MIN_USABLE_SHARE = 0.5
COMMON_SHIFT = 0.7
MIN_PAIRS = 20


def proposal_rates(found: Sequence[ProposalSet], way: str) -> ProposalRates:
    """Counts over the boxes of some pairs; unreadable pairs are not counted."""
    readable = [one for one in found if one.fault is None]
    kept = Counter(str(box.found_in) for one in readable for box in one.kept)
    rejected = Counter(str(box.reason) for one in readable for box in one.rejected)
    total = kept.total() + rejected.total()
    return ProposalRates(
        way=way,
        pairs=len(readable),
        kept=dict(kept.most_common()),
        rejected=dict(rejected.most_common()),
        fallback_pairs=sum(is_fallback(one, way) for one in readable),
        empty_pairs=sum(not one.kept for one in readable),
        accepted=round(kept.total() / total, 4) if total else 0.0,
    )


def inspect_pairs(
    pairs: str | AnyPath | Sequence[str | AnyPath] | PairSource,
    proposer: str | Proposer = "saliency",
    *,
    pairing: Pairing = Pairing(),  # noqa: B008 - frozen
    licence: str = "not stated",
    seed: int = 0,
    sampled: int = SAMPLED_PAIRS,
    out: str | Path | None = None,
    tiles: int = TILES,
    force: bool = False,
    workers: int = 1,
    progress: Progress = silent,
) -> Inspection:
    """Read every pair; measure offset and proposals on some.

    Args:
        pairs: folder, folders, or an opened source. Recordings in folders that cannot be used are
            listed in the result; an opened source has left them out.
        proposer: proposer of boxes, or the name of one with its default settings
            (:func:`tirtrack.pairs.proposer` makes one with others).
        pairing: names of the two cameras, how frames are matched, and their rig, if ``pairs`` are
            folders. Without a rig, recordings whose modalities lie apart get one of their own.
        licence: licence of the pairs, for the manifest, if ``pairs`` are folders.
        seed: seed of proposers that draw at random.
        sampled: number of pairs, evenly spread, that get an offset and proposals.
        out: a new folder for the contact sheet, the findings and the manifest; ``None``: nothing
            is written.
        tiles: largest number of pairs on the contact sheet.
        force: replace what is at ``out``.
        workers: number of processes that propose boxes; the result does not depend on it.
        progress: callback that is told of every finished pair.

    Raises:
        PairsError: no recording can be used.
        RequestError: there is no such proposer, or ``out`` exists; nothing was written.
        StorageError: a file could not be written.
    """
    check_workers(workers)
    proposes = registry.proposer(proposer) if isinstance(proposer, str) else proposer
    rejected: list[PairsError] = []
    source = open_pairs(pairs, licence=licence, pairing=pairing, rejected=rejected)
    named = [] if isinstance(pairs, PairSource) else [one for _, one in named_folders(pairs)]
    read = [path for one in named if (path := on_disk(one)) is not None]
    folder = None if out is None else new_folder(Path(out), force=force, inputs=read)
    if source is not pairs:
        _log.info("%s: %s", source.name, pairs_line(source))
    registration: tuple[str, ...] = ()
    if isinstance(source, CanRegister):
        rigs = find_rigs(source, progress=progress)
        registration = rigs.said
        source = registered(source, rigs.rigs) if rigs.rigs else source
    proposing = Proposing(source, proposes, seed)
    found = _inspection(
        proposing, sampled, workers, registration, rejected=rejected, progress=progress
    )
    if folder is not None:
        write_inspection(folder, source, found, tiles=tiles)
    return found


def _inspection(
    proposing: Proposing,
    sampled: int,
    workers: int,
    registration: Sequence[str],
    *,
    rejected: Sequence[PairsError],
    progress: Progress,
) -> Inspection:
    source = proposing.source
    chosen = set(spread(range(len(source)), sampled))
    readable: list[int] = []
    tallies: list[_Tally] = []
    unit, done = unit_of(source), 0
    for recording in source.recordings().values():
        tally = _Tally(recording)
        tallies.append(tally)
        kinds: dict[int, Unusable | None] = {}
        for index in recording.indices:
            pair = tally.read(source, index)
            if pair is not None and index in chosen:
                kinds[index] = unusable(pair)
                if pair.rgb is not None:
                    tally.offsets.append(measure_offset(pair.rgb, pair.tir))
            done += 1
            progress(f"reading {unit}s", done, len(source))
        tally.judged, tally.left_out = len(kinds), left_out(kinds)
        readable += [index for index in kinds if index not in tally.left_out]
    sets = kept_proposals(proposing, readable, workers=workers, progress=progress)
    proposals = dict(zip(readable, sets, strict=True))
    for tally in tallies:
        proposals |= dict.fromkeys(tally.left_out, ProposalSet((), ()))
    damaged = [damage for tally in tallies for damage in tally.damaged]
    doubts = look_for_doubts(source, progress=progress)
    times = time_offsets(source)
    facts = [
        tally.facts(doubt, times.get(doubt.name))
        for tally, doubt in zip(tallies, doubts, strict=True)
    ]
    offset = summarise([offset for tally in tallies for offset in tally.offsets])
    rates = proposal_rates(sets, proposing.proposer.name)
    return Inspection(
        name=source.name,
        source_line=pairs_line(source),
        unit=unit,
        pairs=len(source),
        usable_pairs=len(source) - len(damaged),
        recordings=facts,
        damaged=damaged,
        unusable_recordings=[str(error) for error in rejected],
        offset=offset,
        proposals=rates,
        registration=registration,
        assumed=assumptions(source.recordings().values()),
        warnings=_warnings(len(source), damaged, facts, rates, unit=unit, rejected=len(rejected)),
        boxes=proposals,
    )


class _Tally:
    """Counts that are kept while a recording is read."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._sizes: Counter[str] = Counter()
        self._depths: Counter[str] = Counter()
        self._resampled_from: str | None = None
        self._masked: list[float] = []
        self.offsets: list[Offset] = []
        self.damaged: list[Damage] = []
        self.judged = 0
        self.left_out: Mapping[int, Unusable] = {}

    def read(self, source: PairSource, index: int) -> Pair | None:
        """A pair, counted; ``None`` if it cannot be used."""
        try:
            pair = source[index]
        except PairsError as error:
            self.damaged.append(Damage(index=index, message=str(error)))
            return None
        height, width = pair.tir.shape
        self._sizes[f"{width}x{height}"] += 1
        self._depths[pair.tir_depth] += 1
        if (valid := pair.tir_valid) is not None:
            self._masked.append(1.0 - float(valid.mean()))
        if pair.tir_stored_wh is not None and pair.tir_mapped is None:  # what is registered is said
            self._resampled_from = "{}x{}".format(*pair.tir_stored_wh)
        return pair

    def facts(self, doubts: RecordingDoubts, time: TimeOffset | None) -> RecordingFacts:
        """The recording's entry."""
        return RecordingFacts(
            name=self._recording.name,
            pairs=len(self._recording.indices),
            is_video=self._recording.is_video,
            sizes=dict(self._sizes.most_common()),
            tir_depths=dict(self._depths.most_common()),
            tir_resampled_from=self._resampled_from,
            tir_masked_pairs=len(self._masked),
            tir_masked_share=round(float(np.mean(self._masked)), 4) if self._masked else 0.0,
            offset=summarise(self.offsets),
            assumed=self._recording.assumed,
            description=self._recording.description,
            judged=self.judged,
            unusable=counted_reasons(self.left_out.values()),
            doubts=doubts,
            time=time,
        )


def _warnings(
    pairs: int,
    damaged: Sequence[Damage],
    facts: Sequence[RecordingFacts],
    rates: ProposalRates,
    *,
    unit: str,
    rejected: int,
) -> list[str]:
    """What the user should change or know, the worst first."""
    found = []
    if rejected:
        found.append(
            f"{rejected} of {rejected + len(facts)} recordings cannot be used; repair or remove "
            "them (listed below)"
        )
    if damaged:
        found.append(
            f"{len(damaged)} of {pairs} {unit}s cannot be used; repair or remove them (listed "
            "below)"
        )
    times = {
        one.name: one.time for one in facts if one.time is not None and one.time.moves(one.pairs)
    }
    found += sentences([one.doubts for one in facts], times=times)
    for one in facts:
        if one.unusable and one.doubts.main_reason is None:  # else a sentence has said so
            found.append(
                f"{one.name}: {sum(one.unusable.values())} of {one.judged} {unit}s that were "
                f"looked at closely cannot be used and got no boxes: {reasons(one.unusable)}"
            )
        if one.offset.too_large and one.doubts.delay is None:
            found.append(f"{one.name}: {_too_far_apart(one.offset)}")
        if one.tir_resampled_from:
            found.append(
                f"{one.name}: TIR was resampled from {one.tir_resampled_from} onto the RGB grid"
            )
        if one.tir_masked_pairs:
            found.append(
                f"{one.name}: {share_text(one.tir_masked_share)} of the TIR pixels hold no "
                f"measurement, in {one.tir_masked_pairs} of {one.pairs} {unit}s; they are left out"
            )
    unexplained = [one.offset for one in facts if not one.doubts.explains_few_outlines]
    total = sum(one.tested for one in unexplained)
    usable = sum(one.usable for one in unexplained)
    if total and usable < MIN_USABLE_SHARE * total:
        found.append(
            f"only {usable} of {total} pairs share enough outlines to measure their offset; look "
            "at the contact sheet whether they show the same scene"
        )
    if pairs < MIN_PAIRS:
        found.append(
            f"{pairs} {unit}s are few to distil from; more scenes help more than more frames"
        )
    if rates.fallback_pairs:
        found.append(
            f"{rates.way} found nothing in {rates.fallback_pairs} of {rates.pairs} {unit}s; "
            "random boxes stand there"
        )
    return found


def _too_far_apart(offset: OffsetSummary) -> str:
    """The warning; one shift repairs it if the median vector is as long as the usual distance."""
    where = f"{offset.dx:+.1f} right, {offset.dy:+.1f} down"
    miss = "or boxes of one will miss the object in the other"
    more = "register them with more pairs of their rig (`tirtrack pairs register`, then --rig)"
    if offset.shift >= COMMON_SHIFT * offset.median_length:
        return (
            f"the modalities lie {offset.median_length:.1f} px apart (RGB = TIR {where}), more "
            f"than {WARN_OFFSET_PX:g}; {more}, {miss}"
        )
    return (
        f"the modalities of a typical pair lie {offset.median_length:.1f} px apart, more than "
        f"{WARN_OFFSET_PX:g}, and each pair in its own direction (their median is {where}, "
        f"{offset.shift:.1f} px): no single shift repairs that; check scale, rotation, parallax "
        f"and time, {miss}"
    )
