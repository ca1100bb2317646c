"""Two sources that must be one: a folder, and the shards that were mined from it."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal

from tirtrack.pairs.source import PairSource, content_identity


def assert_same_pairs(one: PairSource, other: PairSource) -> None:
    """Equal names, facts, pixels and identity."""
    assert len(one) == len(other)
    assert one.name == other.name
    assert list(one.recordings().items()) == list(other.recordings().items())
    for index in range(len(one)):
        a, b = one[index], other[index]
        assert (a.key, a.recording, a.position) == (b.key, b.recording, b.position)
        assert (a.tir_stored_wh, a.tir_depth, a.tir_colour) == (
            b.tir_stored_wh, b.tir_depth, b.tir_colour,
        )  # fmt: skip
        assert a.tir.dtype == b.tir.dtype
        assert_array_equal(a.tir, b.tir)
        assert (a.rgb is None) == (b.rgb is None)
        assert a.rgb is None or np.array_equal(a.rgb, b.rgb)
    assert content_identity(one, one.manifest()) == content_identity(other, other.manifest())
