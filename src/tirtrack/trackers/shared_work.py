"""The shareable work of DiMP and ATOM; see :mod:`tirtrack.trackers.steps`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from tirtrack.networks.box_estimator import BoxEstimator
from tirtrack.networks.filter_optimisers import SteepestDescent
from tirtrack.trackers.box_refinement import Ascent, AscentRule, ascend


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
        modulation = [_stack(one)[:, 0] for one in zip(*(w.modulation for w in works), strict=True)]
        test = [_stack(one)[:, 0] for one in zip(*(w.test_features for w in works), strict=True)]
        found = ascend(
            lambda boxes: first.estimator.energies(modulation, test, boxes),
            _stack([work.boxes for work in works]),
            first.rule,
        )
        return [Ascent(*one) for one in zip(found.boxes, found.scores, strict=True)]


@dataclass(frozen=True, eq=False)
class Improvement:
    """A filter to improve on the sample memory; result: the filter ``[1,C,k,k]``.

    Attributes:
        optimiser: filter optimiser of the network.
        filter: filter to start from, ``[1,C,k,k]``.
        samples: features of the samples, ``[N,C,H,W]``.
        boxes: boxes of the samples, ``[N,4]`` xywh, sample pixels.
        weights: weights of the samples, ``[N]``.
        iterations: number of iterations of the optimiser.
    """

    optimiser: SteepestDescent
    filter: Tensor
    samples: Tensor
    boxes: Tensor
    weights: Tensor
    iterations: int

    @property
    def kind(self) -> Hashable:
        """See :class:`~tirtrack.trackers.steps.Work`."""
        shapes = self.filter.shape, self.samples.shape
        return type(self), id(self.optimiser), shapes, self.iterations

    @classmethod
    def done(cls, works: Sequence[Self]) -> list[Tensor]:
        """See :class:`~tirtrack.trackers.steps.Work`."""
        first = works[0]
        run = first.optimiser(
            _stack([work.filter for work in works])[:, 0],
            _stack([work.samples for work in works], dim=1),
            _stack([work.boxes for work in works], dim=1),
            iterations=first.iterations,
            sample_weights=_stack([work.weights for work in works], dim=1),
            with_losses=False,
        )
        return list(run.filters[-1].split(1))


def _stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Stacks along a new axis; a single tensor is not copied."""
    return tensors[0].unsqueeze(dim) if len(tensors) == 1 else torch.stack(list(tensors), dim)
