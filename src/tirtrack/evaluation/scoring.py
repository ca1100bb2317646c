"""From runs to a comparison: every tracker under one protocol, and the differences between them.

Serves both ``evaluate`` (runs just made) and ``score`` (runs read from files).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.errors import DatasetError
from tirtrack.evaluation.bootstrap import Bootstrap, score_differences, score_intervals
from tirtrack.evaluation.comparison import (
    Comparison,
    MissingRun,
    SequenceResult,
    Speed,
    Spread,
    SubsetResult,
    TrackerResult,
)
from tirtrack.evaluation.failures import failures
from tirtrack.evaluation.overlap import overlap
from tirtrack.evaluation.protocols.base import (
    EvaluationProtocol,
    LengthMode,
    SequenceScores,
    StartsProtocol,
)
from tirtrack.evaluation.repeats import ScoredRun, spread
from tirtrack.evaluation.results import SequenceRun, unshifted
from tirtrack.evaluation.score_quality import ScoredFrames, pooled_quality
from tirtrack.evaluation.scored_dataset import (
    annotation_sha256,
    dataset_facts,
    groups_of,
    included,
)
from tirtrack.evaluation.starts import Starts, all_starts, chosen_starts, start_frame, starts_of
from tirtrack.evaluation.statistics import RESAMPLES
from tirtrack.evaluation.vot_runs import counted_frames
from tirtrack.files import fingerprint
from tirtrack.identity import versions
from tirtrack.source_line import are_or_is

MissingMode = Literal["error", "skip"]
_LISTED = 3
_Pass = tuple[LabelledSequence, SequenceRun]  # a start of a sequence and the run from it


@dataclass(frozen=True)
class Runs:
    """One tracker's runs.

    Attributes:
        name: name of the tracker, unique in a comparison.
        tracks: tracks by sequence; of a later start by its name (``SEQUENCE.start2``).
        facts: known facts of it: ``weights``, ``sha256``, ``preset``, ``overrides``; ``base`` of
            its files where they were read.
        faults: reasons why there is no track, by sequence, where known.
        files: result files that tracks were read from, by sequence.
    """

    name: str
    tracks: Mapping[str, SequenceRun]
    facts: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


def score_runs(
    runs: Sequence[Runs],
    dataset: LabelledDataset,
    protocol: EvaluationProtocol,
    *,
    length: LengthMode = "strict",
    missing: MissingMode = "error",
    starts: int = 1,
    group: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Score and compare trackers.

    A run from a later start is scored on its own frames. A sequence counts with the average of its
    starts, and not at all if one of them is missing.

    Args:
        runs: runs of each tracker; empty tracks count as missing.
        dataset: data set with the annotation.
        protocol: protocol to score by.
        length: treatment of results of another length than the annotation.
        missing: ``error`` refuses when a run is missing; ``skip`` averages over what is there and
            lists the rest.
        starts: number of start frames of each sequence.
        group: key of ``attributes.json`` whose text names the group of a sequence; the bootstrap
            then draws whole groups. ``None``: it draws sequences.
        seed: seed of the bootstrap.
        resamples: number of bootstrap resamples.

    Raises:
        DatasetError: a run is missing, has the wrong length or no scores that the protocol counts
            by, or nothing is left to score; or a sequence has no group.
    """
    dataset = included(dataset, protocol)
    groups = {} if group is None else groups_of(dataset, group)
    begun = chosen_starts(protocol, starts)
    passes = all_starts(dataset, begun)
    runs = [_scorable(one, protocol) for one in runs]
    absent = _missing(runs, passes)
    if absent and missing == "error":
        raise DatasetError(*missing_sentence(absent, len(runs) * len(passes.sequences)))
    scored: dict[str, TrackerResult] = {}
    over_runs: list[Spread] = []
    for members in _by_tracker(runs):
        of_one = [
            found
            for one in members
            if (
                found := _score_tracker(
                    one, dataset, protocol, length=length, starts=begun, groups=groups
                )
            )
        ]
        scored |= {one.result.name: one.result for one in of_one}
        pooled = spread(of_one, protocol) if of_one else None
        over_runs += [] if pooled is None else [pooled]
    if not scored:
        lacking, _, _ = missing_sentence(absent, len(runs) * len(passes.sequences))
        raise DatasetError(f"no run to score; {lacking}", dataset.root or dataset.name)
    identity: dict[str, Any] = {
        "protocol": protocol.name,
        "dataset": dataset.name,
        "annotation_sha256": annotation_sha256(dataset),
        "starts": starts,
        "group": group,
        "seed": seed,
        "versions": versions(*(str(one.facts.get("engine")) for one in runs)),
    }
    bootstrap = Bootstrap(groups, seed, resamples)
    facts = [{"name": one.name, **one.facts} for one in runs if one.name in scored]
    trackers = tuple(scored[one.name] for one in runs if one.name in scored)
    return Comparison(
        **identity,
        **dataset_facts(dataset),
        fingerprint=fingerprint({**identity, "trackers": facts}),
        scores=protocol.scores,
        absent_rule=protocol.absent_rule,
        repaired_rows=sum(one.repaired_rows for one in trackers),
        missing=absent,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        trackers=trackers,
        runs=tuple(over_runs),
        intervals=score_intervals(
            trackers, _subset_members(dataset.sequences), protocol.scores, bootstrap
        ),
        differences=score_differences(trackers, protocol.scores, bootstrap),
    )


def missing_sentence(missing: Sequence[MissingRun], asked: int) -> tuple[str, None, str]:
    """What, where and fix of the error that reports missing runs."""
    first = ", ".join(str(one) for one in missing[:_LISTED])
    more = "" if len(missing) <= _LISTED else f" and {len(missing) - _LISTED} more"
    return (
        f"{len(missing)} of {asked} runs {are_or_is(len(missing))} missing: {first}{more}",
        None,
        "run them, or leave them out of the averages with --partial",
    )


def _by_tracker(runs: Sequence[Runs]) -> list[list[Runs]]:
    """The runs of each tracker, in order."""
    found: dict[str, list[Runs]] = {}
    for one in runs:
        found.setdefault(one.facts.get("run_of", one.name), []).append(one)
    return list(found.values())


def _scorable(runs: Runs, protocol: EvaluationProtocol) -> Runs:
    """The runs without those that have no score, where the protocol counts by it."""
    if "scores" not in protocol.needs:
        return runs
    without = [
        name
        for name, track in runs.tracks.items()
        if len(track.boxes) > 1 and not np.isfinite(track.scores[1:]).any()
    ]
    tracks = {name: track for name, track in runs.tracks.items() if name not in without}
    reason = f"the result has no scores, by which {protocol.name} counts"
    return replace(runs, tracks=tracks, faults={**runs.faults, **dict.fromkeys(without, reason)})


def _missing(runs: Sequence[Runs], dataset: LabelledDataset) -> tuple[MissingRun, ...]:
    found = []
    for one in runs:
        for sequence in dataset.sequences:
            track = one.tracks.get(sequence.name)
            if track is None or len(track.boxes) == 0:
                reason = "no result file" if track is None else "the result is empty"
                reason = one.faults.get(sequence.name, reason)
                found.append(MissingRun(tracker=one.name, sequence=sequence.name, reason=reason))
    return tuple(found)


def _score_tracker(
    runs: Runs,
    dataset: LabelledDataset,
    protocol: EvaluationProtocol,
    *,
    length: LengthMode,
    starts: Starts,
    groups: Mapping[str, str],
) -> ScoredRun | None:
    present = [
        (sequence, passes)
        for sequence in dataset.sequences
        if (passes := _passes(runs, starts_of(sequence, starts)))
    ]
    if not present:
        return None
    # asked once: a protocol of many attributes takes its time to be known as one
    together = protocol.together if isinstance(protocol, StartsProtocol) else None
    try:
        scored = [_score_passes(one, protocol, together, length=length) for _, one in present]
    except DatasetError as error:  # a protocol does not know whose result it scores
        if error.where is not None:
            raise
        raise DatasetError(error.what, runs.name, error.fix) from error
    average = protocol.average(scored)
    every = [one for _, passes in present for one in passes]
    overlaps = [[_overlaps(*one) for one in passes] for _, passes in present]
    frames = {
        sequence.name: [
            _scored_frames(track, *measured)
            for (_, track), measured in zip(passes, row, strict=True)
        ]
        for (sequence, passes), row in zip(present, overlaps, strict=True)
    }
    speed = _speed([track for _, track in every])
    facts = runs.facts
    result = TrackerResult(
        name=runs.name,
        base=facts.get("base", dataset.file_base),
        weights=str(facts.get("weights", "")),
        sha256=str(facts.get("sha256", "")),
        preset=facts.get("preset"),
        overrides=facts.get("overrides", {}),
        engine=str(facts.get("engine", "")),
        outside=facts.get("outside", {}),
        run=facts.get("run", 1),
        run_of=facts.get("run_of", runs.name),
        values=average.values,
        visible_values=average.visible_values,
        curves={name: curve.tolist() for name, curve in average.curves.items()},
        subsets=subset_results([sequence for sequence, _ in present], scored, protocol),
        fps=None if speed is None else speed.total,
        speed=speed,
        score_quality=pooled_quality([one for row in frames.values() for one in row]),
        repaired_rows=sum(one.repaired_rows for one in scored),
        sequences=[
            _sequence_result(
                one,
                sequence,
                passes,
                groups.get(sequence.name, ""),
                str(runs.files.get(passes[0][0].name, "")),
                None if together is not None else failures(*row[0]),
            )
            for one, (sequence, passes), row in zip(scored, present, overlaps, strict=True)
        ],
    )
    return ScoredRun(result, scored, frames)


def _passes(runs: Runs, starts: Sequence[LabelledSequence]) -> list[_Pass]:
    """Each start with its track; empty unless all starts have one."""
    found = [(one, runs.tracks[one.name]) for one in starts if one.name in runs.tracks]
    whole = len(found) == len(starts) and all(len(track.boxes) for _, track in found)
    return found if whole else []


def _score_passes(
    passes: Sequence[_Pass],
    protocol: EvaluationProtocol,
    together: Callable[[Sequence[SequenceScores]], SequenceScores] | None,
    *,
    length: LengthMode,
) -> SequenceScores:
    """The scores of a sequence: the average of its starts, or those of all ``together``.

    A protocol that averages frames, not sequences, gets the frames of all starts.
    """
    scored = [_score_pass(start, track, protocol, length=length) for start, track in passes]
    if together is not None:
        return together(scored)
    if len(scored) == 1:
        return scored[0]
    average = protocol.average(scored)
    one = replace(
        scored[0],
        curves=average.curves,
        values=average.values,
        visible_values=average.visible_values,
        repaired_rows=sum(one.repaired_rows for one in scored),
        measures={
            key: np.concatenate([one.measures[key] for one in scored]) for key in scored[0].measures
        },
        weights={key: sum(one.weights[key] for one in scored) for key in scored[0].weights},
    )
    return replace(one, values=protocol.average([one]).values)


def _score_pass(
    start: LabelledSequence, track: SequenceRun, protocol: EvaluationProtocol, *, length: LengthMode
) -> SequenceScores:
    """The scores of one run from its first row on, in the base that the protocol compares in."""
    row = start_frame(start)
    shift = start.shift if protocol.as_stored else 0
    facts = start.facts.from_row(row)
    annotation = start.annotation[row:]
    if protocol.by_flags and facts.with_absent is not None:
        annotation = facts.with_absent
    if facts.second is not None:
        facts = replace(facts, second=unshifted(facts.second, shift))
    return protocol.score_sequence(
        start.name,
        unshifted(track.boxes, shift),
        unshifted(annotation, shift),
        length=length,
        facts=replace(facts, scores=track.scores, statuses=track.statuses),
    )


def subset_results(
    sequences: Sequence[LabelledSequence],
    scored: Sequence[SequenceScores],
    protocol: EvaluationProtocol,
) -> dict[str, SubsetResult]:
    """Averages over each part of the data set and each attribute, without those of all sequences.

    As in the official toolkits, an attribute needs two sequences.
    """
    by_name = {one.name: one for one in scored}
    return {
        subset: _subset([by_name[name] for name in members], protocol)
        for subset, members in _subset_members(sequences).items()
    }


def _subset_members(sequences: Sequence[LabelledSequence]) -> dict[str, list[str]]:
    """Names of the sequences of each part and attribute that has not all of them."""
    members: dict[str, list[str]] = {}
    for sequence in sequences:
        for name in dict.fromkeys((sequence.subset, *_attributes(sequence))):
            members.setdefault(name, []).append(sequence.name)
    parts = {one.subset for one in sequences}
    return {
        name: members[name]
        for name in sorted(members)
        if len(members[name]) < len(sequences) and (name in parts or len(members[name]) > 1)
    }


def _attributes(sequence: LabelledSequence) -> list[str]:
    """The attributes that the sequence has."""
    return [name for name, value in sequence.attributes.items() if value]


def _subset(scored: Sequence[SequenceScores], protocol: EvaluationProtocol) -> SubsetResult:
    average = protocol.average(scored)
    return SubsetResult(
        sequences=len(scored), values=average.values, visible_values=average.visible_values
    )


def _sequence_result(
    scored: SequenceScores,
    sequence: LabelledSequence,
    passes: Sequence[_Pass],
    group: str,
    file: str,
    failed: tuple[tuple[int, int], ...] | None,
) -> SequenceResult:
    speed = _speed([track for _, track in passes])
    return SequenceResult(
        name=scored.name,
        subset=sequence.subset,
        attributes=_attributes(sequence),
        file=file,
        group=group,
        failures=failed,
        starts=[start_frame(start) for start, _ in passes],
        frames=scored.frames,
        visible_frames=scored.visible_frames,
        values=scored.values,
        visible_values=scored.visible_values,
        weights=scored.weights,
        repaired_rows=scored.repaired_rows,
        fps=None if speed is None else speed.total,
    )


def _overlaps(start: LabelledSequence, track: SequenceRun) -> tuple[np.ndarray, np.ndarray]:
    """``[T]`` overlap of each box of a run with the annotated one, wherever that lies, and ``[T]``
    whether there is one.
    """
    annotation = start.annotation[start_frame(start) :]
    rows = min(len(annotation), len(track.boxes))
    has_target = np.asarray((annotation[:rows, 2:] > 0).all(axis=1))
    return overlap(track.boxes[:rows], annotation[:rows]), has_target


def _scored_frames(track: SequenceRun, overlaps: np.ndarray, present: np.ndarray) -> ScoredFrames:
    """The frames in which the box was not given: it is in the first one of a run, and in a
    supervised run in those of later starts; where it was not running there is no box.

    The overlap is that with the annotated box, wherever it lies; absent frames count as wrong.
    """
    rows = len(overlaps)
    counted = counted_frames(track.statuses[:rows], burn_in=1)
    counted[:1] = False
    return ScoredFrames(track.scores[:rows][counted], overlaps[counted], present[counted])


def _speed(tracks: Sequence[SequenceRun]) -> Speed | None:
    seconds = [track.seconds[track.seconds != 0] for track in tracks]  # 0: it was not running
    if any(not np.isfinite(s).all() or s.sum() <= 0 for s in seconds):
        return None
    pooled = np.concatenate(seconds)
    return Speed(
        total=float(len(pooled) / pooled.sum()),
        sequence=float(np.mean([len(s) / s.sum() for s in seconds])),
        frame=float(np.mean(1 / pooled[pooled > 0])),
    )
