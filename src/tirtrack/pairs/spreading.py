"""An evenly spread selection of many items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_One = TypeVar("_One")


def spread(items: Sequence[_One], count: int) -> list[_One]:
    """At most ``count`` of the items, evenly spread, including the first and the last.

    >>> spread(range(100), 3), spread([4, 7], 5)
    ([0, 50, 99], [4, 7])
    """
    places = np.rint(np.linspace(0, len(items) - 1, min(count, len(items)))).astype(int)
    return [items[place] for place in places]
