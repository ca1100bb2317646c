"""One operator's golden numbers (golden/networks/README.md, 5), compared as its section 6 says."""

from __future__ import annotations

import numpy as np
import torch

TOLERANCE = 1e-9  # of the largest magnitude of an array; all of them are float64


class Piece:
    """The arrays of one file."""

    def __init__(self, path):
        self.name = path.stem
        self.arrays = dict(np.load(path))

    def cases(self):
        return sorted({key.split("/")[0] for key in self.arrays if "/" in key})

    def __contains__(self, key):
        return key in self.arrays

    def __getitem__(self, key):
        """A golden array as a tensor of its own, which takes gradient."""
        return torch.tensor(self.arrays[key], requires_grad=True)

    def keys(self, prefix):
        return [key for key in self.arrays if key.startswith(prefix)]

    def agrees(self, key, ours):
        """Name array, place and both values of the worst difference."""
        golden, ours = self.arrays[key], ours.detach().numpy()
        assert ours.shape == golden.shape, key
        worst = np.unravel_index(np.abs(ours - golden).argmax(), golden.shape)
        difference = abs(ours[worst] - golden[worst])
        place = f"{self.name} {key}{[int(i) for i in worst]}"
        limit = TOLERANCE * np.abs(golden).max()
        assert difference <= limit, f"{place}: {ours[worst]} is not {golden[worst]}"
