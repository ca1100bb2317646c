"""The contact sheet: which pairs it shows."""

from types import SimpleNamespace

import pytest

from tirtrack.pairs.contact_sheet import _tiles


@pytest.mark.parametrize(
    ("rejecting", "count", "shown"),
    [
        ([], 4, [0, 3, 6, 9]),
        ([4], 4, [0, 4, 5, 9]),
        ([2, 3, 4, 5], 4, [0, 2, 5, 9]),
        (range(10), 4, [0, 3, 6, 9]),
        (range(9), 4, [0, 1, 4, 8]),
        ([7], 1, [0]),
        ([7], 20, list(range(10))),
    ],
)
def test_half_of_the_tiles_show_a_rejection_where_there_are_so_many(rejecting, count, shown):
    proposals = {index: SimpleNamespace(rejected=index in rejecting) for index in range(10)}
    assert _tiles(range(10), proposals, count) == shown
