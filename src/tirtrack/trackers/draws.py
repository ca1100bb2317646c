"""The one source of a tracker's random numbers.

As published, a tracker reads one stream from its first frame on; otherwise every frame of every
target has a stream of its own, so no target shifts another's numbers. Numbers are drawn on the CPU
in float32, in the published order, whatever the device and type of the network.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Draws:
    """A stream of random numbers.

    Args:
        seed: seed of the run.
        target: name of the target, each frame of which has a stream of its own; ``None``: one
            stream from the first frame on, as published.
    """

    def __init__(self, seed: int, target: str | None = None) -> None:
        self._seed = seed
        self._target = None if target is None else zlib.crc32(target.encode())
        self._generator = torch.Generator().manual_seed(seed)

    def begin_frame(self, frame: int) -> None:
        """Start the numbers of this frame; 0 is the first."""
        if self._target is not None:
            key = np.random.SeedSequence([self._seed, self._target, frame])
            self._generator.manual_seed(int(key.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        elif frame == 0:
            self._generator.manual_seed(self._seed)

    def uniforms(self, shape: tuple[int, ...]) -> Tensor:
        """Uniforms in [0, 1)."""
        return torch.rand(shape, generator=self._generator)

    def kept(self, count: int, channels: int, share: float) -> Tensor:
        """``[count,channels]``, 0 with probability ``share``, else 1."""
        return torch.empty(count, channels).bernoulli_(1 - share, generator=self._generator)

    def normals(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self._generator)

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator."""
        return {"generator": self._generator.get_state().numpy().copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a saved state."""
        self._generator.set_state(torch.from_numpy(np.array(state["generator"])))
