"""Kept proposals are those that were made, by any number of processes; a spoilt file is no harm."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pans import Pan, Stopping, reads

from tirtrack.boxes import Box
from tirtrack.errors import PairsError, RunError
from tirtrack.pairs import open_pairs
from tirtrack.pairs.proposals import ProposalSet, propose_all, proposer
from tirtrack.pairs.proposals.base import Rejection
from tirtrack.pairs.proposals.proposal_cache import kept_proposals
from tirtrack.pairs.proposals.registry import Proposing
from tirtrack.pairs.proposals.rules import RejectionReason
from tirtrack.pairs.proposals.saliency import Saliency

SOME = range(8, 20)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path))
    return tmp_path / "proposals"


def proposed(way=None, *, indices=SOME, source=None, content="pan", **more):
    proposing = Proposing(source or Pan(), way or Saliency(), 0)
    return kept_proposals(proposing, indices, content=content, **more)


def files(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.json"))


def test_proposals_are_the_same_from_any_number_of_processes_and_kept(cache, tmp_path):
    one = proposed(content="again")
    assert proposed(source=Pan(tmp_path / "log"), workers=3) == one
    assert max(reads(tmp_path / "log").values()) <= 3
    assert len(files(cache)) == 2 * len(SOME)
    assert one == propose_all(Pan(), Saliency(), 0, indices=SOME)
    assert {box.way for found in one for box in found.kept} == {"saliency"}


def test_a_second_call_gives_equal_proposals_and_makes_none():
    found = proposed()
    assert proposed(Stopping(SOME[0])) == found


def test_every_pair_is_kept_by_itself(cache, tmp_path):
    proposed(indices=SOME[:6])
    assert len(files(cache)) == 6
    assert proposed(Stopping(SOME[0]), indices=SOME) == proposed(content="again")


def test_a_damaged_file_is_made_again(cache):
    found = proposed()
    for kept, text in zip(files(cache), ("", "{", '{"kept": 3}'), strict=False):
        kept.write_text(text)
    assert proposed() == found
    assert proposed(Stopping(SOME[0])) == found


def test_boxes_that_an_older_version_kept_with_another_quality_are_still_those(cache):
    found = proposed()
    for kept in files(cache):
        text = kept.read_text()
        kept.write_text(text.replace('"score":', '"quality":0.5,"score":'))
        assert kept.read_text() != text
    assert proposed(Stopping(SOME[0])) == found


def test_progress_counts_pairs_and_begins_with_those_that_are_kept():
    proposed(indices=SOME[:5])
    told = []
    proposed(progress=lambda stage, done, total, note="": told.append((stage, done, total)))
    assert told == [("proposals", done, 12) for done in range(5, 13)]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_pair_that_cannot_be_read_is_named_and_read_again(workers, cache, caplog):
    found = proposed(source=Pan(damaged=(9,)), workers=workers)
    assert found[1] == ProposalSet((), (), fault="9.png: the image is damaged")
    assert caplog.messages == ["pair 9 left out: 9.png: the image is damaged"]
    assert len(files(cache)) == len(SOME) - 2  # nor those of pair 18, of which it is a neighbour
    assert proposed()[1].kept


@pytest.mark.parametrize("workers", [1, 3])
def test_boxes_made_without_a_neighbour_are_made_again_once_it_can_be_read(workers):
    whole = proposed(content="again")
    poorer = proposed(source=Pan(damaged=(0,)), workers=workers)
    assert poorer != whole
    assert proposed(workers=workers) == whole


@pytest.mark.parametrize("workers", [1, 3])
def test_too_many_damaged_pairs_are_one_sentence_and_the_others_are_kept(workers, cache, caplog):
    with pytest.raises(PairsError) as raised:
        proposed(source=Pan(damaged=(17, 9)), workers=workers)
    assert str(raised.value).startswith(
        "pan: 2 of 12 pairs cannot be used (first: 9.png: the image is damaged); "
    )
    assert [line.split(":")[0] for line in caplog.messages] == [
        "pair 9 left out",
        "pair 17 left out",
    ]
    assert (
        len(files(cache)) == len(SOME) - 4
    )  # with those of 8 and 18, of which they are neighbours


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_of_the_proposer_is_the_same_from_any_number_of_processes(workers, cache):
    with pytest.raises(PairsError) as raised:
        proposed(Stopping(17), workers=workers)
    assert (type(raised.value), str(raised.value)) == (PairsError, "boxes.csv: line 3 is not a box")
    assert len(files(cache)) >= 6


def test_what_cannot_be_sent_to_another_process_proposes_in_this_one(caplog):
    here = []

    class Local(Saliency):
        def propose(self, pair, neighbours, rng):
            here.append(os.getpid())
            return super().propose(pair, neighbours, rng)

    assert proposed(Local(), workers=2) == proposed(content="again")
    assert set(here) == {os.getpid()}
    assert "a single process proposes boxes, " in caplog.text


def test_a_worker_that_dies_ends_with_one_sentence_and_finished_pairs_are_kept(cache):
    with pytest.raises(RunError, match="pan: a worker process that proposes boxes died; memory"):
        proposed(Stopping(19, kills=True, spares=os.getpid()), workers=2)
    assert 6 <= len(files(cache)) < len(SOME)


KILLED = """
import sys
sys.path.insert(0, {here!r})
from pans import Pan, Stopping
from tirtrack.pairs.proposals.proposal_cache import kept_proposals
from tirtrack.pairs.proposals.registry import Proposing
kept_proposals(Proposing(Pan(), Stopping(15, kills=True), 0), range(8, 20), content="pan")
"""


def test_a_run_that_is_killed_goes_on_at_the_pair_that_was_at_work(cache, tmp_path):
    code = KILLED.format(here=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()
    assert len(files(cache)) == 7
    resumed = proposed(Stopping(14))
    assert resumed == proposed(content="again")


def test_an_edited_box_file_makes_new_proposals(tmp_path: Path, write_images) -> None:
    source = open_pairs(write_images(tmp_path / "a", ["1", "2"]))
    table = tmp_path / "boxes.csv"
    found = []
    for x in (20, 24, 20):
        row = f"a/1,tir,{x},40,20,24,0.9,person\n"
        table.write_text("key,modality,x,y,w,h,score,label\n" + row)
        way = proposer("detector", boxes=table)
        found.append(kept_proposals(Proposing(source, way, 0), [0])[0].kept[0].box.x)
    assert found == [20, 24, 20]
    assert len(list((tmp_path / "proposals").glob("*.json"))) == 2


def test_kept_proposals_are_those_of_the_pairs_asked_for_in_their_order(
    tmp_path: Path, write_images
) -> None:
    source, way = open_pairs(write_images(tmp_path / "a", ["1", "2", "3"])), proposer("random")
    whole = propose_all(source, way, 5)
    for _ in range(2):
        assert kept_proposals(Proposing(source, way, 5), [2, 0]) == [whole[2], whole[0]]
    assert kept_proposals(Proposing(source, way, 5), [0, 2]) == [whole[0], whole[2]]
    assert kept_proposals(Proposing(source, way, 6), [0, 2]) != [whole[0], whole[2]]


def test_a_recording_of_another_name_is_another_source(tmp_path: Path, write_images) -> None:
    """A box file finds its boxes by that name."""
    table = tmp_path / "boxes.csv"
    row = "a/1,tir,20,40,20,24,0.9,person\n"
    table.write_text("key,modality,x,y,w,h,score,label\n" + row)
    way = proposer("detector", boxes=table)
    sources = [open_pairs(write_images(tmp_path / name, ["1"])) for name in ("a", "b")]
    found = [kept_proposals(Proposing(source, way, 0), [0])[0] for source in sources]
    assert [one.kept[0].way for one in found] == ["detector", "random"]


class Counting(Saliency):
    """Rejects a box that is none, and counts the pairs in which it was asked."""

    asked = 0

    def propose(self, pair, neighbours, rng):
        self.asked += 1
        found = super().propose(pair, neighbours, rng)
        odd = Rejection(Box(math.nan, 0.0, math.inf, 9.0), RejectionReason.NOT_FINITE)
        return replace(found, rejected=(odd,))


def test_a_rejected_box_that_is_not_finite_is_kept_as_it_was():
    way = Counting()
    proposed(way)
    assert way.asked == len(SOME)
    rejected = proposed(way)[0].rejected[0]
    assert way.asked == len(SOME)
    assert math.isnan(rejected.box.x)
    assert (rejected.box.w, rejected.reason) == (math.inf, RejectionReason.NOT_FINITE)
