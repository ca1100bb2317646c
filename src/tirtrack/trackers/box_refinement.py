"""From a last box to a refined one: proposals, ascent on the box estimator's score, their mean.

Boxes are xywh, sample pixels. The two families differ only in the ascent: DiMP's step length decays
with every step; ATOM's decays for each box whose score got worse in a step, and that step is
undone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import torch
from torch import Tensor

from tirtrack.networks.box_estimator import BoxEstimator
from tirtrack.trackers.online_settings import OnlineSettings
from tirtrack.trackers.patch_extraction import SampleFrame

Energies = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Boxes ``[...,P,4]`` to scores ``[...,P]`` and their gradients by the boxes, ``[...,P,4]``."""

StepLength = float | tuple[float, float]
_WORST = -99999999.0  # ATOM compares the first score with it


@dataclass(frozen=True)
class Ascent:
    """Boxes after the last step, and their scores before it: ``[...,P,4]`` and ``[...,P]``."""

    boxes: Tensor
    scores: Tensor


def proposals(box: Tensor, uniforms: Tensor, *, jitter_pos: float, jitter_size: float) -> Tensor:
    """A box ``[4]`` and its jittered copies, together ``[1+n,4]``.

    Args:
        box: last box.
        uniforms: uniform random numbers ``[n,4]`` in [0, 1).
        jitter_pos: range of the centres, as a share of ``sqrt(w*h)``.
        jitter_size: the same for the sides, which are at least a third of the smaller one.
    """
    corner, size = box[:2], box[2:]
    side = size.prod().sqrt()
    jitter = (uniforms - 0.5) * side * box.new_tensor([jitter_pos] * 2 + [jitter_size] * 2)
    sizes = torch.maximum(size + jitter[:, 2:], size.min() / 3)
    centers = corner + size / 2 + jitter[:, :2]
    return torch.cat([box[None], torch.cat([centers - sizes / 2, sizes], dim=1)])


@dataclass(frozen=True)
class AscentRule:
    """Settings of the gradient ascent.

    Attributes:
        space: ``default``: steps in corners and sides, scaled by the sides; ``relative``: in
            centres over the first box's sides and in log sides.
        step_length: step length, one number or (position, size).
        decay: factor on the step length, see ``undo``.
        iterations: number of steps, at least 1.
        undo: whether to use ATOM's rule, box by box; else the step length decays with every step.
    """

    space: str
    step_length: StepLength
    decay: float
    iterations: int
    undo: bool

    @classmethod
    def of(cls, settings: OnlineSettings, *, undo: bool) -> Self:
        """The rule in a tracker's settings."""
        return cls(
            settings.box_refinement_space,
            settings.box_refinement_step_length,
            settings.box_refinement_step_decay,
            settings.box_refinement_iter,
            undo,
        )


def ascend(energies: Energies, boxes: Tensor, rule: AscentRule) -> Ascent:
    """Gradient ascent of all boxes ``[...,P,4]`` at once.

    Args:
        energies: function that scores boxes, with gradients.
        boxes: boxes to start from.
        rule: settings of the ascent.
    """
    length = rule.step_length
    steps = (length, length) if not isinstance(length, tuple) else length
    step = boxes.new_tensor([steps[0]] * 2 + [steps[1]] * 2).expand_as(boxes)
    unit = boxes[..., :1, 2:].clone()
    is_relative = rule.space == "relative"
    points = _to_relative(boxes, unit) if is_relative else boxes
    previous, last_move = boxes.new_full(boxes.shape[:-1], _WORST), torch.zeros_like(boxes)
    scores = previous
    for _ in range(rule.iterations):
        if is_relative:
            scores, gradient = energies(_from_relative(points, unit))
            gradient = _relative_slopes(gradient, points, unit)
        else:
            scores, gradient = energies(points)
        move = step * gradient
        if not is_relative:
            move = move * torch.cat([points[..., 2:]] * 2, dim=-1)
        if rule.undo:
            better = ((scores > previous) | (rule.decay >= 1))[..., None]
            step = torch.where(better, step, step * rule.decay)
            move = torch.where(better, move, -last_move)
            previous, last_move = scores, move
        else:
            step = step * rule.decay
        points = points + move
    return Ascent(_from_relative(points, unit) if is_relative else points, scores)


@dataclass(frozen=True, eq=False)
class Climb:
    """Boxes to refine by gradient ascent on the box estimator's energy; result: :class:`Ascent`.

    Attributes:
        estimator: box estimator of the network.
        modulation: modulation of the target, two ``[1,C,1,1]``.
        test_features: features of the sample, two ``[1,C,H,W]``.
        boxes: boxes ``[P,4]`` xywh, sample pixels.
        rule: rule of the ascent.
    """

    estimator: BoxEstimator
    modulation: Sequence[Tensor]
    test_features: Sequence[Tensor]
    boxes: Tensor
    rule: AscentRule

    @property
    def kind(self) -> Hashable:
        """See :class:`~tirtrack.trackers.steps.Work`."""
        maps = tuple(features.shape for features in self.test_features)
        return type(self), id(self.estimator), maps, self.boxes.shape, self.rule

    @classmethod
    def done(cls, works: Sequence[Self]) -> list[Ascent]:
        """See :class:`~tirtrack.trackers.steps.Work`."""
        first = works[0]
        modulation = [
            stacked(one)[:, 0] for one in zip(*(w.modulation for w in works), strict=True)
        ]
        test = [stacked(one)[:, 0] for one in zip(*(w.test_features for w in works), strict=True)]
        found = ascend(
            partial(first.estimator.energies_with_slopes, modulation, test),
            stacked([work.boxes for work in works]),
            first.rule,
        )
        return [Ascent(*one) for one in zip(found.boxes, found.scores, strict=True)]


def stacked(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Stacks along a new axis; a single tensor is not copied."""
    return tensors[0].unsqueeze(dim) if len(tensors) == 1 else torch.stack(list(tensors), dim)


def mean_of_best(ascent: Ascent, *, maximal_aspect_ratio: float, count: int) -> Tensor | None:
    """The mean ``[4]`` of the best boxes that are not too thin; ``None`` if all are too thin."""
    corners, sizes = ascent.boxes[:, :2], ascent.boxes[:, 2:].clamp(min=1)
    aspect = sizes[:, 0] / sizes[:, 1]
    kept = (aspect < maximal_aspect_ratio) & (aspect > 1 / maximal_aspect_ratio)
    if not bool(kept.any()):
        return None
    boxes = torch.cat([corners, sizes], dim=1)[kept]
    best = ascent.scores[kept].topk(min(count, len(boxes))).indices
    return boxes[best].mean(dim=0)


def from_sample(box: Tensor, sample: SampleFrame) -> tuple[np.ndarray, np.ndarray]:
    """Centre ``[2]`` and size ``[2]`` in the frame, row first, of a box ``[4]`` of a sample.

    As published, this is not the inverse of ``box_in_sample``: an unchanged box moves by half a
    sample pixel.
    """
    x, y, width, height = (float(value) for value in box)
    center = np.array([y + height / 2, x + width / 2])
    center_yx = (center - (sample.side_hw - 1) / 2) * sample.scale + sample.center_yx
    return center_yx, np.array([height, width]) * sample.scale


def _to_relative(boxes: Tensor, unit: Tensor) -> Tensor:
    corners, sizes = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(corners + sizes / 2) / unit, sizes.log()], dim=-1)


def _from_relative(points: Tensor, unit: Tensor) -> Tensor:
    sizes = points[..., 2:].exp()
    return torch.cat([points[..., :2] * unit - sizes / 2, sizes], dim=-1)


def _relative_slopes(slopes: Tensor, points: Tensor, unit: Tensor) -> Tensor:
    """Gradient by the points of :func:`_from_relative`, from that by its boxes."""
    by_corner, by_size = slopes[..., :2], slopes[..., 2:]
    by_log_size = (by_size - by_corner / 2) * points[..., 2:].exp()
    return torch.cat([by_corner * unit, by_log_size], dim=-1)
