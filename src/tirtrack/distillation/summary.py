"""What a run of ``train`` or ``distill`` tells of itself: a line of its log for every step
(``log.jsonl``), and its summary (``summary.json``).

Each is written and read by one model. What a run does not have is empty or null.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tirtrack.stored import Number, Stored, read_stored, read_stored_lines

if TYPE_CHECKING:
    from tirtrack.distillation.pool import Pool
    from tirtrack.pairs.proposals.base import ProposalSet
    from tirtrack.pairs.tracklets import Track

LOG = "log.jsonl"
SUMMARY = "summary.json"
_DAMAGED = "the file is damaged: take the run folder out, or distil again"


class LogLine(Stored):
    """One step in the log.

    Attributes:
        step: number of the step, from 1.
        loss: loss that was minimised.
        terms: parts of the loss by name, each before weighting.
        rate: learning rate.
        gradient_norm: norm of the gradient, before it was clipped.
        seconds: duration of the step.
        held_back: numbers of the network on the held-back data just before the step; ``None`` if it
            was not validated there.
    """

    step: int
    loss: float
    terms: Mapping[str, float] = {}
    rate: Number = None
    gradient_norm: Number = None
    seconds: Number = None
    held_back: Mapping[str, float] | None = None


class PassRate(Stored):
    """Number of samples that passed the teacher's check, by proposer and by modality of the box."""

    way: str
    found_in: str
    samples: int
    passed: int

    @property
    def rate(self) -> float:
        """Share of samples that passed."""
        return self.passed / self.samples


class Harvest(Stored):
    """The yield of the proposers.

    Attributes:
        unit: what was searched, ``pair``, or ``TIR frame`` where RGB is not read.
        pairs: number of pairs that were searched.
        boxes: number of boxes kept, by the modality in which they were found.
        rejected: number of boxes rejected, by reason.
        fallback_pairs: pairs in which the proposer found nothing, so that random boxes are used.
        unreadable_pairs: pairs that could not be read and were left out.
    """

    unit: str = "pair"
    pairs: int = 0
    boxes: Mapping[str, int] = {}
    rejected: Mapping[str, int] = {}
    fallback_pairs: int = 0
    unreadable_pairs: int = 0


class TrackRate(Stored):
    """Number of boxes that were followed in one modality, and what became of them.

    Attributes:
        modality: modality in which they were followed, ``rgb`` or ``tir``.
        followed: number of boxes followed.
        kept: number of trusted tracks.
        boxes: number of trusted boxes on them.
        rejected: number of rejected tracks, by reason.
    """

    modality: str
    followed: int
    kept: int
    boxes: int
    rejected: Mapping[str, int] = {}


class StudentDifference(Stored):
    """Student minus baseline: mean over samples, with a 95 % interval over scenes."""

    baseline: float
    student: float
    difference: float
    low: float
    high: float


class HeldBackComparison(Stored):
    """Baseline and student on the held-back data, in one step of localisation.

    Attributes:
        samples: number of samples; of pairs only those that passed the teacher's check.
        scenes: number of scenes, or of labelled pictures and sequences, of these samples.
        with_label: IoU of the network's box with the label; of ``train``. What follows is of
            ``distill``, where both branches see TIR.
        with_teacher: IoU of the network's box on TIR with the teacher's box on RGB; this and what
            names the teacher are left out where the recipe reads no RGB.
        with_box: IoU of the network's box with the pseudo-box.
        centre: distance of the best cell from the pseudo-box's centre, cells (less is better).
        teacher_centre: the same distance for the teacher on RGB.
        like_teacher: similarity of the network's answer on TIR to the teacher's on RGB, for what
            the network gives: correlation of the last ``score`` map, cosine of the ``modulation``,
            rank correlation of the ``energy`` of the proposals.
    """

    samples: int
    scenes: int
    with_label: StudentDifference | None = None
    with_teacher: StudentDifference | None = None
    with_box: StudentDifference | None = None
    centre: StudentDifference | None = None
    teacher_centre: float | None = None
    like_teacher: Mapping[str, StudentDifference] = {}


class RunSummary(Stored):
    """Summary of a run.

    Attributes:
        recipe: name of the recipe.
        seed: seed of all random draws.
        steps: number of training steps.
        average: share of the start weights in the finished ones.
        held_back: baseline and student on the held-back data; ``None`` if there is none, or if the
            teacher passed none of it.
        verdict: conclusion in one sentence.
        kept: which weights were written; ``start`` if the training did not help (``train``).
        data: labelled pictures and sequences trained on, and how many are held back (``train``).
        split: how pairs were held back, in words (this and the next eight: ``distill``).
        harvest: yield of the proposers in the pairs that were trained on.
        unusable: number of pairs that cannot be used and were left out, by reason; empty where the
            recipe keeps them.
        tracks: yield of following boxes through videos, by modality; empty for a recipe without
            tracks.
        delay_frames: delay of TIR by targets that were followed in both modalities: TIR frame
            ``k + delay_frames`` belongs to RGB frame ``k`` of the pairs as they were taken: beyond
            a given ``--delay`` or a rig's time offset; ``None`` where it cannot be told.
        delay_targets: number of targets on which it rests.
        pass_rates: pass rates of the teacher's check in the training pool.
        samples: samples in the pool, how many of them could be used, in how many the box's centre
            lies outside the test patch, and for how many usable ones RGB counted (its box was found
            there, the teacher checked it there, or the student saw it).
        assumed: assumptions about names and times of the pairs, one sentence for each.
        warnings: warnings, one sentence each.
        seconds: duration of every stage.
        source_lines: description of every source of data in one line, held-back ones included.
        registered: recordings whose modalities lay apart, and how they were registered or why not,
            one sentence for each.
        weights: file name of the weights; empty without one.
        fingerprint: fingerprint of all inputs of the run, as in ``identity.json``.
        versions: versions of Python and packages.
        command: command line of the run; empty without one.
    """

    recipe: str
    seed: int | None = None
    steps: int = 0
    average: float = 0.0
    held_back: HeldBackComparison | None = None
    verdict: str = ""
    kept: Literal["trained", "start"] = "trained"
    data: Mapping[str, int] = {}
    split: str = ""
    harvest: Harvest = Harvest()
    unusable: Mapping[str, int] = {}
    tracks: tuple[TrackRate, ...] = ()
    delay_frames: Number = None
    delay_targets: int = 0
    pass_rates: tuple[PassRate, ...] = ()
    samples: Mapping[str, int] = {}
    assumed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = {}
    source_lines: tuple[str, ...] = ()
    registered: tuple[str, ...] = ()
    weights: str = ""
    fingerprint: str = ""
    versions: Mapping[str, str] = {}
    command: str = ""


def read_log(folder: Path) -> list[LogLine]:
    """The log of a run, step by step; empty if no step was run.

    A last line that was cut short when the run was killed is ignored.

    Raises:
        DatasetError: the log is damaged; names the line.
    """
    return read_stored_lines(folder / LOG, LogLine, called="row of a loss log", fix=_DAMAGED)


def read_summary(folder: Path) -> RunSummary | None:
    """The summary of a run; ``None`` before its end.

    Raises:
        DatasetError: the file is damaged.
    """
    return read_stored(
        folder / SUMMARY, RunSummary, called="summary of a distillation", fix=_DAMAGED
    )


def harvest_of(proposals: Sequence[ProposalSet], way: str, unit: str) -> Harvest:
    """Counts of proposed and rejected boxes, in pairs or in another unit."""
    from tirtrack.pairs.proposals.registry import is_fallback

    kept = [box for found in proposals for box in found.kept]
    rejected = [box for found in proposals for box in found.rejected]
    return Harvest(
        unit=unit,
        pairs=len(proposals),
        boxes=dict(sorted(Counter(str(box.found_in) for box in kept).items())),
        rejected=dict(sorted(Counter(str(box.reason) for box in rejected).items())),
        fallback_pairs=sum(is_fallback(found, way) for found in proposals),
        unreadable_pairs=sum(found.fault is not None for found in proposals),
    )


def track_rates_of(tracks: Iterable[Track]) -> tuple[TrackRate, ...]:
    """Counts of kept and rejected tracks by modality."""
    by_modality: dict[str, list[Track]] = {}
    for track in tracks:
        by_modality.setdefault(track.modality, []).append(track)
    return tuple(
        TrackRate(
            modality=modality,
            followed=len(followed),
            kept=sum(one.tracklet.fault is None for one in followed),
            boxes=sum(len(one.trusted()) for one in followed),
            rejected=dict(
                sorted(Counter(str(f) for one in followed if (f := one.tracklet.fault)).items())
            ),
        )
        for modality, followed in sorted(by_modality.items())
    )


def pass_rates_of(pool: Pool) -> list[PassRate]:
    """Pass rates of the teacher's self-check by proposer and modality."""
    drawn: Counter[tuple[str, str]] = Counter()
    passed: Counter[tuple[str, str]] = Counter()
    for sample, ok in zip(pool.samples, pool.passed, strict=True):
        kind = (sample.way, str(sample.found_in))
        drawn[kind] += 1
        passed[kind] += bool(ok)
    return [
        PassRate(way=way, found_in=found_in, samples=count, passed=passed[way, found_in])
        for (way, found_in), count in sorted(drawn.items())
    ]
