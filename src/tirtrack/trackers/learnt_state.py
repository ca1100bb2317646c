"""The learnt state of a tracker that learns online, and how it is saved.

Plain tensors and the sample memory; ``dimp`` and ``atom`` learn them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from torch import Tensor

from tirtrack.trackers.place import Layout
from tirtrack.trackers.sample_memory import SampleMemory


@dataclass
class LearntState:
    """The target model and its memory; tensors of the network's type, on its device, without graph.

    Attributes:
        layout: sizes fixed by the first frame.
        modulation: modulation of the box estimator, from the first frame.
        filter: filter of the classifier, ``[1,C,k,k]``.
        memory: sample memory; ``None`` if nothing is learnt after the first frame.
        extra: further tensors of the family.
    """

    layout: Layout
    modulation: list[Tensor]
    filter: Tensor
    memory: SampleMemory | None
    extra: dict[str, Tensor] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """The learnt state as plain values and arrays."""
        return {
            "layout": vars(self.layout) | {"scale_bounds": list(self.layout.scale_bounds)},
            "modulation": [_array(vector) for vector in self.modulation],
            "filter": _array(self.filter),
            "memory": None if self.memory is None else self.memory.state_dict(),
            "extra": {name: _array(tensor) for name, tensor in self.extra.items()},
        }

    @classmethod
    def from_state_dict(
        cls,
        state: dict[str, Any],
        tensor: Callable[[np.ndarray], Tensor],
        *,
        minimum: float | None,
        fills_by_weight: bool,
    ) -> Self:
        """The learnt state from a saved one.

        Args:
            state: result of :meth:`state_dict`.
            tensor: function that makes a tensor of the network's type, on its device.
            minimum: see :class:`~tirtrack.trackers.sample_memory.SampleMemory`.
            fills_by_weight: see :class:`~tirtrack.trackers.sample_memory.SampleMemory`.
        """
        layout = state["layout"]
        low, high = layout["scale_bounds"]
        frame_hw, sample_hw, base_hw = (
            np.array(layout[key]) for key in ("frame_hw", "sample_hw", "base_hw")
        )
        memory = None
        if state["memory"] is not None:
            memory = SampleMemory.from_state_dict(
                state["memory"],
                tensor(np.empty(0)),
                minimum=minimum,
                fills_by_weight=fills_by_weight,
            )
        return cls(
            Layout(frame_hw, sample_hw, base_hw, (float(low), float(high))),
            [tensor(vector) for vector in state["modulation"]],
            tensor(state["filter"]),
            memory,
            {name: tensor(array) for name, array in state["extra"].items()},
        )


def _array(tensor: Tensor) -> np.ndarray:
    return np.array(tensor.cpu().numpy())
