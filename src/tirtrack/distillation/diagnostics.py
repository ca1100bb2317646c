"""What can be said of a student without labels: does it, on TIR, see what the teacher sees on RGB?

Looked at on recordings that training did not see. It is a signal and no proof: over 58 runs it did
not follow the true gain, so the sentences here never promise one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tirtrack.boxes import iou
from tirtrack.distillation.answers import Answer, answer
from tirtrack.distillation.batches import Draw
from tirtrack.distillation.losses import turned_away
from tirtrack.distillation.pair_batch import PairBatch
from tirtrack.distillation.pool import CHUNK, Pool
from tirtrack.distillation.self_check import best_boxes, self_check
from tirtrack.distillation.settings import Direction
from tirtrack.networks.two_branch import Energies, TwoBranchNetwork
from tirtrack.pairs.source import PairSource

HELD_BACK_SEED = 7919  # held-back samples are the same whatever the seed of the training
RESAMPLING_SEED = 0  # of the intervals, which are the same too
RESAMPLES = 2000
MAX_OVERSHOOT = 1.5
MIN_SAMPLES = 20
MIN_SCENES = 3


# --- which pairs are held back -------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Indices of the pairs that are trained on and of those that are not, and how they were
    chosen, in words.
    """

    train: tuple[int, ...]
    held_back: tuple[int, ...]
    how: str


def hold_back(source: PairSource, share: float) -> Split:
    """Whole recordings held back, about ``share`` of the pairs; the seed has no say in it.

    Recordings are taken in the order of a hash of their names, so that adding one seldom moves
    others. Of a single recording the last frames are held back.
    """
    recordings = source.recordings()
    everything = [index for recording in recordings.values() for index in recording.indices]
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
    apart = {index for name in held for index in recordings[name].indices}
    return Split(
        tuple(index for index in everything if index not in apart),
        tuple(sorted(apart)),
        f"whole recordings: {', '.join(sorted(held))}",
    )


# --- agreement -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Student minus baseline, mean over samples with a 95 % interval over scenes."""

    baseline: float
    student: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """Baseline and student on held-back pairs, one step, template and search both TIR.

    Attributes:
        samples: how many samples the teacher passed and are counted.
        scenes: from how many scenes.
        with_teacher: IoU of their box on TIR with the teacher's box on RGB.
        with_box: IoU of their box with the pseudo-box.
        centre: distance of their best cell from the pseudo-box, cells (less is better).
        teacher_centre: the same distance of the teacher on RGB.
        like_teacher: how alike their answers on TIR and the teacher's on RGB are, where the network
            gives them: correlation of the last ``score`` map, cosine of the ``modulation``, rank
            correlation of the ``energy`` of the proposals.
    """

    samples: int
    scenes: int
    with_teacher: Difference
    with_box: Difference
    centre: Difference
    teacher_centre: float = 0.0
    like_teacher: dict[str, Difference] = field(default_factory=dict)


@torch.no_grad()
def agreement(
    student: TwoBranchNetwork,
    baseline: TwoBranchNetwork,
    pool: Pool,
    *,
    device: torch.device | None = None,
) -> Agreement | None:
    """Both networks on the samples of a held-back pool that the teacher passes.

    Args:
        student: after training, in eval mode.
        baseline: before it; on RGB it is the teacher.
        pool: with views of both modalities and with checks.
        device: of the networks.

    Returns:
        ``None`` where the teacher passed no sample.
    """
    passed = np.ones(len(pool), dtype=bool) if pool.checks is None else pool.checks.passed
    places = np.flatnonzero(passed)
    if not len(places):
        return None
    rows: dict[str, list[np.ndarray]] = {}
    for begin in range(0, len(places), CHUNK):
        chunk = [int(place) for place in places[begin : begin + CHUNK]]
        batch = pool.batch([Draw(Direction.TIR_TO_TIR, i, i) for i in chunk], device=device)
        for name, values in _compare(student, baseline, batch).items():
            rows.setdefault(name, []).append(values)
    whole = {name: np.concatenate(parts) for name, parts in rows.items()}
    scenes = [pool.samples[place].scene for place in places]
    return Agreement(
        samples=len(places),
        scenes=len(set(scenes)),
        with_teacher=_difference(whole["baseline/teacher"], whole["student/teacher"], scenes),
        with_box=_difference(whole["baseline/box"], whole["student/box"], scenes),
        centre=_difference(whole["baseline/centre"], whole["student/centre"], scenes),
        teacher_centre=float(whole["teacher/centre"].mean()),
        like_teacher={
            name: _difference(whole[f"baseline/{name}"], whole[f"student/{name}"], scenes)
            for name in ("score", "modulation", "energy")
            if f"student/{name}" in whole
        },
    )


def _compare(
    student: TwoBranchNetwork, baseline: TwoBranchNetwork, batch: PairBatch
) -> dict[str, np.ndarray]:
    """Per sample: overlap with the teacher's box, with the pseudo-box, distance of the centre, and
    how alike the answers are.
    """
    plain = batch.for_teacher
    teacher = answer(baseline, plain, Direction.RGB_TO_RGB)
    teacher_boxes = _boxes(teacher, plain)
    distance = self_check(teacher, plain).distance_cells
    found = {"teacher/centre": distance.double().cpu().numpy()}
    for name, network in (("baseline", baseline), ("student", student)):
        given = answer(network, plain, Direction.TIR_TO_TIR)
        check = self_check(given, plain)
        found[f"{name}/box"] = check.overlap.double().cpu().numpy()
        found[f"{name}/centre"] = check.distance_cells.double().cpu().numpy()
        found[f"{name}/teacher"] = iou(_boxes(given, plain), teacher_boxes)
        for part, values in likeness(given, teacher).items():
            found[f"{name}/{part}"] = values.double().cpu().numpy()
    return found


def likeness(given: Answer, teacher: Answer) -> dict[str, Tensor]:
    """``[S]`` of each kind of answer that both give: see :class:`Agreement`."""
    found = {}
    if given.response.scores:
        maps = (one.response.scores[-1][0].flatten(1) for one in (given, teacher))
        found["score"] = _correlation(*maps)
    if given.target.modulation:
        pairs = zip(given.target.modulation, teacher.target.modulation, strict=True)
        found["modulation"] = torch.stack([1 - turned_away(a, b) for a, b in pairs]).mean(dim=0)
    boxes, theirs = given.response.boxes, teacher.response.boxes
    if isinstance(boxes, Energies) and isinstance(theirs, Energies):
        ranks = (one.values[0].argsort(dim=1).argsort(dim=1).double() for one in (boxes, theirs))
        found["energy"] = _correlation(*ranks)
    return found


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """``[S]`` of ``[S,n]``; 0 where one of both is constant."""
    a, b = (one.double() - one.double().mean(dim=1, keepdim=True) for one in (a, b))
    lengths = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    found: Tensor = (a * b).sum(dim=1) / lengths.clamp(min=1e-12)
    return found


def _boxes(given: Answer, batch: PairBatch) -> np.ndarray:
    """``[S,4]`` float64 xywh, test patch pixels: what the answer takes for the target."""
    return np.asarray(best_boxes(given, batch.test).double().cpu())


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
    """95 % bootstrap interval of a mean ``[n]``, whole groups drawn with replacement; single values
    where there are fewer than three groups, which says less than it seems to.
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
    """What the agreement allows to say, in one sentence."""
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
        "the student is not better than the baseline by agreement on held-back pairs: "
        f"{numbers}; do not call it an improvement unless labelled TIR says so"
    )
