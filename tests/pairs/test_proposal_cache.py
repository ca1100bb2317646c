"""Kept proposals are those that were made, and a spoilt file is no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tirtrack.boxes import Box
from tirtrack.pairs import open_pairs
from tirtrack.pairs.proposals import propose_all, proposer
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet, Rejection
from tirtrack.pairs.proposals.proposal_cache import kept_or_made, kept_proposals

MADE = [
    ProposalSet(
        (Proposal(Box(0.1, 2, 3, 4), FoundIn.BOTH, 1.0, 1 / 3, "saliency"),),
        (Rejection(Box(1, 2, 3, 4), "too small"),),
    ),
    ProposalSet((), (), fault="b.png: is damaged"),
]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path))


def refuse() -> list[ProposalSet]:
    raise AssertionError("made again")


def test_second_call_gives_equal_proposals_without_making_them() -> None:
    assert kept_or_made({"seed": 1}, 2, lambda: MADE) == MADE
    assert kept_or_made({"seed": 1}, 2, refuse) == MADE


def test_another_identity_is_made_anew() -> None:
    kept_or_made({"seed": 1}, 2, lambda: MADE)
    with pytest.raises(AssertionError, match="made again"):
        kept_or_made({"seed": 2}, 2, refuse)


def test_damaged_file_is_made_again(tmp_path: Path) -> None:
    kept_or_made({"seed": 1}, 2, lambda: MADE)
    (kept,) = (tmp_path / "proposals").glob("*.json")
    kept.write_text(kept.read_text()[:40])
    assert kept_or_made({"seed": 1}, 2, lambda: MADE) == MADE
    assert kept_or_made({"seed": 1}, 2, refuse) == MADE


def test_an_edited_box_file_makes_new_proposals(tmp_path: Path, write_images) -> None:
    source = open_pairs(write_images(tmp_path / "a", ["1", "2"]))
    table = tmp_path / "boxes.csv"
    found = []
    for x in (20, 24, 20):
        row = f"a/1,tir,{x},40,20,24,0.9,person\n"
        table.write_text("key,modality,x,y,w,h,score,label\n" + row)
        way = proposer("detector", boxes=table)
        found.append(kept_proposals(source, way, 0, indices=[0])[0].kept[0].box.x)
    assert found == [20, 24, 20]
    assert len(list((tmp_path / "proposals").glob("*.json"))) == 2


def test_kept_proposals_are_those_of_the_pairs_asked_for_in_their_order(
    tmp_path: Path, write_images
) -> None:
    source, way = open_pairs(write_images(tmp_path / "a", ["1", "2", "3"])), proposer("random")
    whole = propose_all(source, way, 5)
    for _ in range(2):
        assert kept_proposals(source, way, 5, indices=[2, 0]) == [whole[2], whole[0]]
    assert kept_proposals(source, way, 5, indices=[0, 2]) == [whole[0], whole[2]]
    assert kept_proposals(source, way, 6, indices=[0, 2]) != [whole[0], whole[2]]


def test_a_recording_of_another_name_is_another_source(tmp_path: Path, write_images) -> None:
    """A box file finds its boxes by that name."""
    table = tmp_path / "boxes.csv"
    row = "a/1,tir,20,40,20,24,0.9,person\n"
    table.write_text("key,modality,x,y,w,h,score,label\n" + row)
    ways = [
        kept_proposals(
            open_pairs(write_images(tmp_path / name, ["1"])),
            proposer("detector", boxes=table),
            0,
            indices=[0],
        )[0].kept[0].way
        for name in ("a", "b")
    ]  # fmt: skip
    assert ways == ["detector", "random"]
