"""Kept proposals are those that were made, and a spoilt file is no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tirtrack.boxes import Box
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet, Rejection
from tirtrack.pairs.proposals.kept import kept_or_made

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
