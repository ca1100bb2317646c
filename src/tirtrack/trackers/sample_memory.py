"""The weighted samples that a filter learns from: allocated once, replaced one by one.

The weight rule is the published one: every new sample takes a share of the others' weight, the
samples of the first frame together keep a minimum, and the other sample with the lowest weight is
replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tirtrack.errors import RecipeError


@dataclass(frozen=True)
class SampleWeights:
    """Weights of the samples.

    Attributes:
        values: weights ``[M]`` float64, 0 for free slots.
        stored: number of samples ever stored; it may exceed ``M``.
        first: number of samples from the first frame.
        last_slot: slot of the last sample; ``None`` before the first update.
    """

    values: np.ndarray
    stored: int
    first: int
    last_slot: int | None = None


def first_weights(size: int, first: int, minimum: float | None) -> SampleWeights:
    """Equal weights for the samples of the first frame.

    Raises:
        RecipeError: the memory is too small for them.
    """
    needed = first + 1 if minimum else first
    if size < needed:
        raise RecipeError(
            f"a sample memory of {size} cannot hold the {first} samples of the first frame"
            + (" and another" if minimum else ""),
            fix=f"sample_memory_size: at least {needed}",
        )
    values = np.zeros(size)
    values[:first] = 1 / first if first else 0.0
    return SampleWeights(values, first, first)


def next_weights(
    weights: SampleWeights, rate: float, *, minimum: float | None, fills_by_weight: bool
) -> SampleWeights:
    """The weights after one more sample, which goes into slot ``last_slot``.

    As published, their sum is slightly above 1 if the minimum was enforced.

    Args:
        weights: current weights.
        rate: share of the new sample.
        minimum: total share that the samples of the first frame keep; none or 0: no such share.
        fills_by_weight: always use the slot with the lowest weight (ATOM), not the free ones first
            (DiMP); these have weight 0, but others may have it too.
    """
    values = weights.values.copy()
    protected = weights.first if minimum else 0
    if weights.stored == 0 or rate == 1:
        slot = 0
        values[:] = 0
        values[slot] = 1
    else:
        lightest = protected + int(values[protected:].argmin())
        free = weights.stored < len(values) and not fills_by_weight
        slot = weights.stored if free else lightest
        if weights.last_slot is None:
            values /= 1 - rate
            values[slot] = rate
        else:
            values[slot] = values[weights.last_slot] / (1 - rate)
    values /= values.sum()
    if minimum and values[: weights.first].sum() < minimum:
        values /= minimum + values[weights.first :].sum()
        values[: weights.first] = minimum / weights.first
    return replace(weights, values=values, stored=weights.stored + 1, last_slot=slot)


class SampleMemory:
    """Samples and their labels, in memory that is allocated once.

    Args:
        samples: samples of the first frame, ``[n,...]``; the memory keeps their device and type.
        labels: label of each sample, ``[n,...]``: a box, or a label map.
        size: number of samples that fit.
        minimum: minimum share of the first frame, see :func:`next_weights`.
        fills_by_weight: order in which slots are used, see :func:`next_weights`.

    Raises:
        RecipeError: ``size`` is too small for the samples of the first frame.
    """

    def __init__(
        self,
        samples: Tensor,
        labels: Tensor,
        *,
        size: int,
        minimum: float | None,
        fills_by_weight: bool,
    ) -> None:
        self.weights = first_weights(size, len(samples), minimum)
        self._minimum = minimum
        self._fills_by_weight = fills_by_weight
        self._samples = _room(samples, size)
        self._labels = _room(labels, size)

    @property
    def samples(self) -> Tensor:
        """The stored samples ``[m,...]``, a view."""
        return self._samples[: self._filled]

    @property
    def labels(self) -> Tensor:
        """Their labels ``[m,...]``, a view."""
        return self._labels[: self._filled]

    def sample_weights(self) -> Tensor:
        """Their weights ``[m]``, on the device of the samples."""
        return torch.from_numpy(self.weights.values[: self._filled]).to(self._samples)

    def store(self, sample: Tensor, label: Tensor, rate: float) -> None:
        """Store a sample ``[...]`` and its label in the slot with the lowest weight."""
        self.weights = next_weights(
            self.weights, rate, minimum=self._minimum, fills_by_weight=self._fills_by_weight
        )
        slot = self.weights.last_slot
        self._samples[slot] = sample
        self._labels[slot] = label

    def state_dict(self) -> dict[str, Any]:
        """Samples, labels and weights as arrays."""
        return {
            "samples": self.samples.cpu().numpy().copy(),
            "labels": self.labels.cpu().numpy().copy(),
            "weights": self.weights.values.copy(),
            "stored": self.weights.stored,
            "first": self.weights.first,
            "last_slot": self.weights.last_slot,
        }

    @classmethod
    def from_state_dict(
        cls,
        state: dict[str, Any],
        like: Tensor,
        *,
        minimum: float | None,
        fills_by_weight: bool,
    ) -> SampleMemory:
        """A saved memory, on the device and of the type of ``like``."""
        samples, labels = (
            torch.from_numpy(np.array(state[key])).to(like) for key in ("samples", "labels")
        )
        values = np.array(state["weights"], dtype=np.float64)
        memory = cls(
            samples,
            labels,
            size=len(values),
            minimum=None,
            fills_by_weight=fills_by_weight,
        )
        memory._minimum = minimum
        memory.weights = SampleWeights(values, state["stored"], state["first"], state["last_slot"])
        return memory

    @property
    def _filled(self) -> int:
        return min(self.weights.stored, len(self.weights.values))


def _room(values: Tensor, size: int) -> Tensor:
    room = values.new_zeros((size, *values.shape[1:]))
    room[: len(values)] = values
    return room
