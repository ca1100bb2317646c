"""What a proposer with one eye closed sees, in the pair and in its neighbours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tirtrack.pairs.proposals import proposer
from tirtrack.pairs.proposals.base import FoundIn, ProposalSet
from tirtrack.pairs.proposals.single_modality import SingleModality
from tirtrack.pairs.source import Pair


def _seen(position: int) -> Pair:
    rng = np.random.default_rng(position)
    rgb = rng.integers(40, 80, (96, 128, 3), dtype=np.uint8)
    tir = rng.integers(40, 80, (96, 128), dtype=np.uint8)
    x = 40 + 6 * position
    rgb[30:50, x : x + 24] = [200, 90, 160]
    tir[30:50, x : x + 24] = 220
    return Pair(f"a/{position}", "a", position, rgb, tir)


class Remembering:
    """Notes what it is shown."""

    name = "remembering"

    def __init__(self) -> None:
        self.shown: list[Pair] = []

    def identity(self):
        return {"way": self.name}

    def propose(self, pair, neighbours, rng):
        self.shown = [pair, *neighbours]
        return ProposalSet((), ())


@pytest.mark.parametrize(("seen", "blank"), [("rgb", "tir"), ("tir", "rgb")])
def test_the_unseen_modality_is_blank_in_the_pair_and_in_its_neighbours(seen, blank):
    pairs = [_seen(position) for position in range(3)]
    way = Remembering()
    SingleModality(way, [seen]).propose(pairs[1], [pairs[0], pairs[2]], np.random.default_rng(0))
    for shown, pair in zip(way.shown, [pairs[1], pairs[0], pairs[2]], strict=True):
        assert np.array_equal(getattr(shown, seen), getattr(pair, seen))
        assert getattr(shown, blank).shape == getattr(pair, blank).shape
        assert not getattr(shown, blank).any()


@pytest.mark.parametrize(("seen", "blank"), [("rgb", "tir"), ("tir", "rgb")])
def test_boxes_do_not_depend_on_the_unseen_modality_anywhere(seen, blank):
    pairs = [_seen(position) for position in range(3)]
    other = [replace(pair, **{blank: 255 - getattr(pair, blank)}) for pair in pairs]
    way = SingleModality(proposer("saliency"), [seen])
    one, two = (
        way.propose(take[1], [take[0], take[2]], np.random.default_rng(0))
        for take in (pairs, other)
    )
    assert one == two
    assert {str(box.found_in) for box in one.kept} == {seen}


def test_with_both_eyes_open_nothing_is_changed():
    pair, way = _seen(0), Remembering()
    both = SingleModality(proposer("saliency"), ["rgb", "tir"]).propose(
        pair, [], np.random.default_rng(0)
    )
    assert FoundIn.BOTH in {box.found_in for box in both.kept}
    SingleModality(way, ["rgb", "tir"]).propose(pair, [], np.random.default_rng(0))
    assert way.shown[0] is pair


def test_what_is_blank_is_part_of_the_identity():
    way = Remembering()
    identities = [
        SingleModality(way, eyes).identity() for eyes in (["rgb"], ["tir"], ["tir", "rgb"])
    ]
    assert [one["blind"] for one in identities] == [["tir"], ["rgb"], []]
    assert all(one["way"] == "remembering" for one in identities)
