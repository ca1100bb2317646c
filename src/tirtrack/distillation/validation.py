"""Validation on held-back data: baseline and student on the same samples, in one step.

Without labels it is asked whether the student finds on TIR what the teacher finds on RGB, in
recordings that were not trained on. That is a signal, not a proof: over 58 runs it did not follow
the true gain, so the sentences here never promise one. Labels tell more (``one_step``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tirtrack.boxes import iou
from tirtrack.distillation.batch import Batch
from tirtrack.distillation.cross_modal import respond, self_check
from tirtrack.distillation.pool import CHUNK, Draw, Pool
from tirtrack.distillation.settings import Direction, Keep
from tirtrack.distillation.summary import HeldBackComparison, StudentDifference
from tirtrack.networks.losses import cosine_distance
from tirtrack.networks.response import Response
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.source_line import counted

HELD_BACK_SEED = 7919  # held-back samples are the same for every training seed
RESAMPLING_SEED = 0  # seed of the bootstrap intervals, for the same reason
RESAMPLES = 2000
MIN_SAMPLES = 20
MIN_SCENES = 3


Measure = Callable[[TwoBranchNetwork], Mapping[str, np.ndarray]]
"""Values ``[n]`` of a network in eval mode on the held-back samples, by name."""


class Validator:
    """Validates students on held-back samples; the baseline is measured once, before the training.

    Args:
        baseline: network before the training.
        measure: what is measured, by the names of :class:`HeldBackComparison` and its
            ``like_teacher``.
        scenes: scene of every sample; empty if there are no samples.
        teacher_centre: the teacher's distance, see :class:`HeldBackComparison`.
    """

    def __init__(
        self,
        baseline: TwoBranchNetwork,
        measure: Measure,
        scenes: Sequence[str],
        *,
        teacher_centre: float | None = None,
    ) -> None:
        self._measure, self._scenes, self._teacher_centre = measure, scenes, teacher_centre
        self._before = measure(baseline)

    def numbers(self, student: TwoBranchNetwork) -> dict[str, float]:
        """Means over the samples by name; empty if there are no samples.

        Args:
            student: network to validate, in eval mode.
        """
        return {name: float(values.mean()) for name, values in self._measure(student).items()}

    def comparison(self, student: TwoBranchNetwork) -> HeldBackComparison | None:
        """Student compared with baseline; ``None`` if there are no samples.

        Args:
            student: network to validate, in eval mode.
        """
        if not self._scenes:
            return None
        found = {
            name: difference_of(self._before[name], values, self._scenes)
            for name, values in self._measure(student).items()
        }
        return HeldBackComparison(
            samples=len(self._scenes),
            scenes=len(set(self._scenes)),
            with_label=found.pop("with_label", None),
            with_teacher=found.pop("with_teacher", None),
            with_box=found.pop("with_box", None),
            centre=found.pop("centre", None),
            teacher_centre=self._teacher_centre,
            like_teacher=found,
        )


def difference_of(
    baseline: np.ndarray, student: np.ndarray, scenes: Sequence[str]
) -> StudentDifference:
    """Student minus baseline, values ``[n]`` of the same samples; the interval is over scenes."""
    low, high = interval(student - baseline, scenes, seed=RESAMPLING_SEED)
    return StudentDifference(
        baseline=float(baseline.mean()),
        student=float(student.mean()),
        difference=float((student - baseline).mean()),
        low=low,
        high=high,
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


# --- agreement with the teacher ------------------------------------------------------------------


class Agreement:
    """Measures how far a network on TIR agrees with the teacher on RGB and with the pseudo-box, on
    the samples that pass the teacher's check. The teacher is evaluated once.

    Args:
        teacher: network that sees RGB; ``None`` without RGB: the pseudo-box alone is compared with,
            for agreeing with oneself on TIR says nothing.
        pool: held-back pool, with the views of these modalities, checked.
        device: device of all networks.

    Attributes:
        scenes: scene of every sample that passed.
    """

    def __init__(
        self, teacher: TwoBranchNetwork | None, pool: Pool, *, device: torch.device | None = None
    ) -> None:
        places = np.flatnonzero(pool.passed)
        self._pool, self._device = pool, device
        self.scenes = [pool.samples[place].scene for place in places]
        self._chunks = [
            [Draw(Direction.TIR_TO_TIR, int(place), int(place)) for place in places[begin:][:CHUNK]]
            for begin in range(0, len(places), CHUNK)
        ]
        self._teacher_answers = [
            None if teacher is None else self._ask_teacher(teacher, draws) for draws in self._chunks
        ]

    @property
    def teacher_centre(self) -> float | None:
        """Mean distance of the teacher's best cell from the pseudo-box's centre, in cells."""
        centres = [one.centre for one in self._teacher_answers if one is not None]
        return float(np.concatenate(centres).mean()) if centres else None

    @torch.no_grad()
    def _ask_teacher(self, teacher: TwoBranchNetwork, draws: Sequence[Draw]) -> _TeacherAnswer:
        batch = self._batch(draws)
        given = respond(teacher, batch, Direction.RGB_TO_RGB)
        centre = self_check(given, batch.test.boxes_patch).distance_cells
        light = replace(given, features=[])  # features would fill the device
        return _TeacherAnswer(light, _boxes(given), _array(centre))

    @torch.no_grad()
    def __call__(self, network: TwoBranchNetwork) -> dict[str, np.ndarray]:
        """Values ``[n]`` of the samples, by name."""
        rows: dict[str, list[np.ndarray]] = {}
        for draws, teacher in zip(self._chunks, self._teacher_answers, strict=True):
            batch = self._batch(draws)
            given = respond(network, batch, Direction.TIR_TO_TIR)
            check = self_check(given, batch.test.boxes_patch)
            found = {
                "with_box": _array(check.overlap),
                "centre": _array(check.distance_cells),
            }
            if teacher is not None:
                alike = likeness(given, teacher.response)
                found["with_teacher"] = iou(_boxes(given), teacher.boxes)
                found |= {name: _array(one) for name, one in alike.items()}
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
    """Similarities ``[S]``, by kind of answer that both give: see :class:`HeldBackComparison`."""
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


# --- conclusions ---------------------------------------------------------------------------------


def verdict(found: HeldBackComparison | None, *, is_held_back: bool = True) -> str:
    """The conclusion that the comparison allows, in one sentence.

    Args:
        found: the comparison; ``None`` if there was no sample to compare on.
        is_held_back: whether anything was held back to compare on.
    """
    if not is_held_back:
        return "nothing can be said: nothing was held back to validate on"
    if found is None:
        return "nothing can be said: the teacher found the target in no held-back sample"
    if found.with_teacher is None:
        return _verdict_without_rgb(found)
    with_teacher = found.with_teacher
    numbers = _overlap_numbers("the teacher", with_teacher, found)
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


def _verdict_without_rgb(found: HeldBackComparison) -> str:
    """The conclusion where nothing but TIR was seen: the judge of the boxes is the baseline."""
    if found.with_box is None:
        return "nothing can be said: the teacher found the target in no held-back sample"
    with_box = found.with_box
    numbers = _overlap_numbers("the proposed boxes", with_box, found)
    if with_box.high < 0:
        said = "on held-back TIR the student finds proposed boxes less well than the baseline does"
    elif found.samples < MIN_SAMPLES or found.scenes < MIN_SCENES:
        said = "too few held-back samples or scenes to say anything"
    elif with_box.low > 0:
        said = "on held-back TIR the student finds proposed boxes better than the baseline does"
    else:
        said = "held-back TIR shows no difference"
    return (
        f"{said}: {numbers}; without RGB nothing else judges these boxes than the baseline on TIR, "
        "so this cannot tell whether it tracks better, test it on labelled TIR"
    )


def _overlap_numbers(other: str, overlap: StudentDifference, found: HeldBackComparison) -> str:
    return (
        f"overlap with {other} {overlap.baseline:.3f} before, {overlap.student:.3f} after "
        f"(difference {overlap.difference:+.3f}, 95 % interval {overlap.low:+.3f} to "
        f"{overlap.high:+.3f}; {found.samples} samples, {counted(found.scenes, 'scene')})"
    )


def verdict_by_labels(compared: HeldBackComparison | None, *, is_kept: bool) -> str:
    """The conclusion on trained weights from held-back labels, and whether they are kept."""
    if compared is None or compared.with_label is None:
        return "nothing was held back, so nothing can be said; the trained weights are kept"
    found = compared.with_label
    numbers = (
        f"one-step IoU on {compared.samples} held-back samples of {compared.scenes} pictures and "
        f"sequences: {found.baseline:.3f} before, {found.student:.3f} after (95 % interval of the "
        f"difference {found.low:+.3f} to {found.high:+.3f})"
    )
    if not is_kept:
        return f"training did not help, the start weights are kept; {numbers}"
    if found.low > 0:
        return f"the trained weights are better on held-back labels; {numbers}"
    if found.high < 0:
        return f"the trained weights are kept, though they are worse; {numbers}"
    return f"the trained weights are kept, no better and no worse that one can tell; {numbers}"


def keeps_trained(compared: HeldBackComparison | None, keep: Keep) -> bool:
    """Whether the trained weights are kept, by the recipe's rule and the held-back samples."""
    if compared is None or compared.with_label is None or keep == "always":
        return True
    found = compared.with_label
    return found.student > found.baseline if keep == "if_better" else found.high >= 0
