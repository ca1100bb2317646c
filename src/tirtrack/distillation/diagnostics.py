"""Diagnostics of a student without labels: does it find on TIR what the teacher finds on RGB?

Measured on recordings that were not trained on. It is a signal, not a proof: over 58 runs it did
not follow the true gain, so the sentences here never promise one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from tirtrack.boxes import iou
from tirtrack.distillation.batch import Batch
from tirtrack.distillation.batches import Draw
from tirtrack.distillation.cross_modal import respond, self_check
from tirtrack.distillation.pool import CHUNK, Pool
from tirtrack.distillation.settings import Direction
from tirtrack.errors import PairsError, did_you_mean
from tirtrack.networks.losses import cosine_distance
from tirtrack.networks.response import Response
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.source import PairSource, Recording, named

HELD_BACK_SEED = 7919  # held-back samples are the same for every training seed
RESAMPLING_SEED = 0  # seed of the bootstrap intervals, for the same reason
RESAMPLES = 2000
MAX_OVERSHOOT = 1.5
MAX_HELD_SHARE = 0.4
MAX_NAMED = 6
MIN_SAMPLES = 20
MIN_SCENES = 3


# --- held-back pairs -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Indices of the pairs that are trained on and of those held back, and how they were chosen, in
    words.
    """

    train: tuple[int, ...]
    held_back: tuple[int, ...]
    how: str


def hold_back(source: PairSource, share: float, names: Sequence[str] = ()) -> Split:
    """Hold back whole recordings, about ``share`` of the pairs; the split depends on no seed.

    Recordings are taken in the order of a hash of their names, so that adding one seldom moves
    others. Of a single recording the last frames are held back.

    Args:
        source: pairs to split.
        share: approximate share of the pairs to hold back.
        names: recordings to hold back instead of that choice.

    Raises:
        PairsError: no recording has one of the names, or none is left to train on.
    """
    recordings = source.recordings()
    everything = [index for recording in recordings.values() for index in recording.indices]
    if names:
        return _split(recordings, _checked(names, recordings), "whole recordings, as named")
    if share == 0:
        return Split(tuple(everything), (), "nothing is held back")
    if len(recordings) == 1:
        cut = len(everything) - max(round(share * len(everything)), 1)
        how = f"the last {len(everything) - cut} pairs of the only recording"
        return Split(tuple(everything[:cut]), tuple(everything[cut:]), how)
    wanted = share * len(everything)
    held: list[str] = []
    count = 0
    for name in sorted(recordings, key=lambda name: hashlib.sha256(name.encode()).digest()):
        size = len(recordings[name].indices)
        if count < wanted and count + size <= MAX_OVERSHOOT * wanted:
            held.append(name)
            count += size
    if not held:
        held = [min(recordings, key=lambda name: (len(recordings[name].indices), name))]
    return _split(recordings, held, "whole recordings")


def _split(recordings: Mapping[str, Recording], held: Sequence[str], how: str) -> Split:
    everything = [index for recording in recordings.values() for index in recording.indices]
    apart = {index for name in held for index in recordings[name].indices}
    return Split(
        tuple(index for index in everything if index not in apart),
        tuple(sorted(apart)),
        f"{how}: {', '.join(sorted(held))}",
    )


def _checked(names: Sequence[str], recordings: Mapping[str, Recording]) -> list[str]:
    """The names without repeats; an unknown name is an error."""
    for name in names:
        if name not in recordings:
            raise PairsError(
                f'no recording is called "{name}"',
                "--hold-back",
                did_you_mean(name, recordings, most=3),
            )
    chosen = list(dict.fromkeys(names))
    if len(chosen) == len(recordings):
        raise PairsError(
            f"all {len(chosen)} recordings are held back, so none is left to train on",
            "--hold-back",
            "name fewer of them",
        )
    return chosen


def uneven_split(source: PairSource, split: Split, share: float) -> str | None:
    """A warning if recordings are so unequal in length that the split holds back more of them than
    it leaves to train on, or far more pairs than the share; else ``None``.
    """
    recordings = source.recordings()
    apart = set(split.held_back)
    held = [name for name, one in recordings.items() if apart.issuperset(one.indices)]
    kept = [name for name in recordings if name not in held]
    total = len(split.train) + len(split.held_back)
    largest = max(recordings.values(), key=lambda one: len(one.indices))
    part = len(largest.indices) / total
    many = len(split.held_back) > MAX_HELD_SHARE * total
    if not held or part <= MAX_OVERSHOOT * share or (len(held) <= len(kept) and not many):
        return None
    return (
        f"recordings are unequal: {largest.name} has {part:.0%} of all pairs, and one above "
        f"{MAX_OVERSHOOT * share:.0%} is held back only where no other fits; so {len(held)} of "
        f"{len(recordings)} recordings ({len(split.held_back)} of {total} pairs) are held back: "
        f"{named(held, MAX_NAMED)}; trained on are {named(kept, MAX_NAMED)}; choose others with "
        "--hold-back NAME"
    )


# --- agreement -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Student minus baseline: mean over samples, with a 95 % interval over scenes."""

    baseline: float
    student: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """Baseline and student on held-back pairs: one step, both branches see TIR.

    Attributes:
        samples: number of samples that passed the teacher's check; only these count.
        scenes: number of scenes of these samples.
        with_teacher: IoU of the network's box on TIR with the teacher's box on RGB.
        with_box: IoU of the network's box with the pseudo-box.
        centre: distance of the best cell from the pseudo-box's centre, cells (less is better).
        teacher_centre: the same distance for the teacher on RGB.
        like_teacher: similarity of the network's answer on TIR to the teacher's on RGB, for what
            the network gives: correlation of the last ``score`` map, cosine of the ``modulation``,
            rank correlation of the ``energy`` of the proposals.
    """

    samples: int
    scenes: int
    with_teacher: Difference
    with_box: Difference
    centre: Difference
    teacher_centre: float = 0.0
    like_teacher: dict[str, Difference] = field(default_factory=dict)


class Validator:
    """Validates students on the samples of a held-back pool that pass the teacher's check.

    Baseline and teacher are evaluated once, for any number of validations.

    Args:
        baseline: network before the training; on RGB it is the teacher.
        pool: held-back pool, with views of both modalities and with checks.
        device: device of all networks.
    """

    def __init__(
        self, baseline: TwoBranchNetwork, pool: Pool, *, device: torch.device | None = None
    ) -> None:
        passed = np.ones(len(pool), dtype=bool) if pool.checks is None else pool.checks.passed
        places = np.flatnonzero(passed)
        self._pool, self._device = pool, device
        self._scenes = [pool.samples[place].scene for place in places]
        self._chunks = [
            [Draw(Direction.TIR_TO_TIR, int(place), int(place)) for place in places[begin:][:CHUNK]]
            for begin in range(0, len(places), CHUNK)
        ]
        self._taught = [self._ask_teacher(baseline, draws) for draws in self._chunks]
        self._before = self._measured(baseline)

    def numbers(self, student: TwoBranchNetwork) -> dict[str, float]:
        """Means over the samples, by the names of :class:`Agreement` and of its ``like_teacher``;
        empty if no sample passed the teacher's check.

        Args:
            student: network to validate, in eval mode.
        """
        return {name: float(values.mean()) for name, values in self._measured(student).items()}

    def agreement(self, student: TwoBranchNetwork) -> Agreement | None:
        """Student compared with baseline; ``None`` if no sample passed the teacher's check.

        Args:
            student: network to validate, in eval mode.
        """
        if not self._chunks:
            return None
        after = self._measured(student)
        differences = {
            name: _difference(self._before[name], values, self._scenes)
            for name, values in after.items()
        }
        return Agreement(
            samples=len(self._scenes),
            scenes=len(set(self._scenes)),
            with_teacher=differences.pop("with_teacher"),
            with_box=differences.pop("with_box"),
            centre=differences.pop("centre"),
            teacher_centre=float(np.concatenate([one.centre for one in self._taught]).mean()),
            like_teacher=differences,
        )

    @torch.no_grad()
    def _ask_teacher(self, baseline: TwoBranchNetwork, draws: Sequence[Draw]) -> _TeacherAnswer:
        batch = self._batch(draws)
        given = respond(baseline, batch, Direction.RGB_TO_RGB)
        centre = self_check(given, batch.test.boxes_patch).distance_cells
        light = replace(given, features=[])  # features would fill the device
        return _TeacherAnswer(light, _boxes(given), _array(centre))

    @torch.no_grad()
    def _measured(self, network: TwoBranchNetwork) -> dict[str, np.ndarray]:
        """Values ``[n]`` of the samples, by name."""
        rows: dict[str, list[np.ndarray]] = {}
        for draws, teacher in zip(self._chunks, self._taught, strict=True):
            batch = self._batch(draws)
            given = respond(network, batch, Direction.TIR_TO_TIR)
            check = self_check(given, batch.test.boxes_patch)
            found = {
                "with_teacher": iou(_boxes(given), teacher.boxes),
                "with_box": _array(check.overlap),
                "centre": _array(check.distance_cells),
                **{name: _array(one) for name, one in likeness(given, teacher.response).items()},
            }
            for name, values in found.items():
                rows.setdefault(name, []).append(values)
        return {name: np.concatenate(parts) for name, parts in rows.items()}

    def _batch(self, draws: Sequence[Draw]) -> Batch:
        return self._pool.batch(draws, device=self._device).for_teacher


@dataclass(frozen=True)
class _TeacherAnswer:
    """The teacher's answer on RGB for some samples, without features; its boxes ``[S,4]`` in the
    test patch; the distance ``[S]`` of its best cell from the pseudo-box's centre, in cells.
    """

    response: Response
    boxes: np.ndarray
    centre: np.ndarray


def likeness(given: Response, teacher: Response) -> dict[str, Tensor]:
    """Similarities ``[S]``, by kind of answer that both give: see :class:`Agreement`."""
    found = {}
    if given.scores:
        maps = (one.scores[-1][0].flatten(1) for one in (given, teacher))
        found["score"] = _correlation(*maps)
    if given.target.modulation:
        pairs = zip(given.target.modulation, teacher.target.modulation, strict=True)
        found["modulation"] = torch.stack([1 - cosine_distance(a, b) for a, b in pairs]).mean(dim=0)
    boxes, theirs = given.boxes, teacher.boxes
    if given.box_kind.rates_proposals and boxes is not None and theirs is not None:
        ranks = (one[0].argsort(dim=1).argsort(dim=1).double() for one in (boxes, theirs))
        found["energy"] = _correlation(*ranks)
    return found


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Correlations ``[S]`` of rows ``[S,n]``; 0 where one of the two rows is constant."""
    a, b = (one.double() - one.double().mean(dim=1, keepdim=True) for one in (a, b))
    lengths = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    found: Tensor = (a * b).sum(dim=1) / lengths.clamp(min=1e-12)
    return found


def _array(values: Tensor) -> np.ndarray:
    return np.asarray(values.double().cpu())


def _boxes(given: Response) -> np.ndarray:
    """Boxes ``[S,4]`` float64 xywh that the answer gives for the target, test patch pixels."""
    return _array(given.box_kind.best(given))


def _difference(baseline: np.ndarray, student: np.ndarray, scenes: Sequence[str]) -> Difference:
    low, high = interval(student - baseline, scenes, seed=RESAMPLING_SEED)
    return Difference(
        float(baseline.mean()),
        float(student.mean()),
        float((student - baseline).mean()),
        low,
        high,
    )


def interval(values: np.ndarray, groups: Sequence[str], *, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of values ``[n]``, by drawing whole groups with
    replacement. With fewer than three groups single values are drawn: the interval is optimistic.
    """
    if len(set(groups)) < MIN_SCENES:
        groups = [str(place) for place in range(len(values))]
    names, inverse = np.unique(np.array(groups), return_inverse=True)
    sums = np.bincount(inverse, weights=values, minlength=len(names))
    counts = np.bincount(inverse, minlength=len(names))
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def verdict(found: Agreement | None) -> str:
    """The conclusion that the agreement allows, in one sentence."""
    if found is None:
        return "nothing can be said: the teacher found the target in no held-back sample"
    with_teacher = found.with_teacher
    scenes = "1 scene" if found.scenes == 1 else f"{found.scenes} scenes"
    numbers = (
        f"overlap with the teacher {with_teacher.baseline:.3f} before, {with_teacher.student:.3f} "
        f"after (difference {with_teacher.difference:+.3f}, 95 % interval {with_teacher.low:+.3f} "
        f"to {with_teacher.high:+.3f}; {found.samples} samples, {scenes})"
    )
    if found.samples < MIN_SAMPLES or found.scenes < MIN_SCENES:
        if with_teacher.high < 0:
            return (
                "on the few held-back pairs the student agrees less with the teacher than the "
                f"baseline does: {numbers}; do not use it unless labelled TIR says otherwise"
            )
        return f"too few held-back samples or scenes to say anything: {numbers}"
    if with_teacher.low > 0:
        return (
            "on held-back pairs the student agrees with the teacher more than the baseline does: "
            f"{numbers}; this does not prove better tracking, test it on labelled TIR"
        )
    return (
        f"held-back pairs show no improvement: {numbers}; do not call it one unless labelled TIR "
        "says so"
    )
