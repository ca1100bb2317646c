"""Tracks are the same from any number of processes; a kill loses only the starts at work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pans import SETTINGS, Deadly, Pan, Panning, Unknown, reads, starts

from tirtrack.errors import RunError
from tirtrack.pairs.following import Following, kept_tracks
from tirtrack.pairs.proposals import FoundIn

EVERY_FOURTH = range(0, 40, 4)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TIRTRACK_CACHE", str(folder))
    return folder / "tracks"


def followed(make=Panning, frames=EVERY_FOURTH, *, source=None, content="pan", **more):
    following = Following(source or Pan(), make, SETTINGS, content)
    return kept_tracks(following, starts(*frames), **more)


def test_tracks_are_the_same_from_any_number_of_processes_and_kept(cache, tmp_path):
    one = followed(content="again")
    assert followed(source=Pan(tmp_path / "log"), workers=3) == one
    assert len(list(cache.iterdir())) == 2 * len(EVERY_FOURTH)
    assert max(reads(tmp_path / "log").values()) <= 3
    counts = [track.tracklet.counts for tracks in one for track in tracks]
    assert {count for track in counts for count in track} == {True, False}


def test_tracks_of_a_start_are_those_of_its_modalities_and_boxes():
    assert [len(tracks) for tracks in followed(frames=(0, 8))] == [4, 4]
    assert [tracks[0].indices[0] for tracks in followed(frames=(0, 8))] == [0, 8]


def test_every_pair_is_read_once_in_a_process(tmp_path):
    followed(source=Pan(tmp_path / "log"))
    assert reads(tmp_path / "log") == Counter(range(40))


def test_every_start_is_kept_by_itself(cache):
    followed(frames=(0, 4))
    assert len(list(cache.iterdir())) == 2
    made = []

    class Watched(Panning):
        def init(self, frame, box):
            made.append(int(frame.flat[0]))
            super().init(frame, box)

    assert followed(Watched, (0, 4, 8)) == followed(frames=(0, 4, 8))
    assert min(made) == 8


@pytest.mark.parametrize("workers", [1, 3])
def test_tracks_that_a_damaged_pair_ended_are_made_again_once_it_can_be_read(workers, cache):
    whole = followed(content="again")
    cut = followed(source=Pan(damaged=(20,)), workers=workers)
    assert [one == other for one, other in zip(cut, whole, strict=True)].count(False) == 3
    assert len(list(cache.iterdir())) == 2 * len(EVERY_FOURTH) - 3
    assert followed(workers=workers) == whole


def test_tracks_of_unknown_origin_are_not_kept(cache):
    assert followed(Unknown) == followed(Unknown)
    assert not cache.exists()


def test_names_of_kept_tracks_do_not_hang_on_the_numbers_of_the_quality():
    start = starts(0)[0]
    box = start.proposals[0]
    ways = ((FoundIn.BOTH, "saliency"), (FoundIn.TIR, "saliency"), (FoundIn.BOTH, "random"))
    proposals = tuple(replace(box, found_in=found_in, way=way) for found_in, way in ways)
    following = Following(Pan(), Panning, SETTINGS, "pan")
    named = following.identity(replace(start, proposals=proposals), None)["proposals"]
    keys = {"box", "found_in", "quality", "score", "way"}
    assert [(set(one), one["quality"]) for _, one in named] == [
        (keys, 1.0),
        (keys, 0.5),
        (keys, 0.5),
    ]


def test_what_cannot_be_sent_to_another_process_is_followed_in_this_one(caplog):
    here = []

    class Local(Panning):
        def init(self, frame, box):
            here.append(os.getpid())
            super().init(frame, box)

    assert followed(Local, workers=2) == followed(content="again")
    assert set(here) == {os.getpid()}
    assert "a single process follows boxes, " in caplog.text


def test_progress_counts_starts_and_begins_with_those_that_are_kept():
    followed(frames=(0, 4, 8))
    told = []
    followed(progress=lambda stage, done, total, note="": told.append((done, total)))
    assert told == [(done, 10) for done in range(3, 11)]


def test_a_worker_that_dies_ends_with_one_sentence_and_finished_starts_are_kept(cache):
    with pytest.raises(RunError, match="pan: a worker process that follows boxes died; memory"):
        followed(partial(Deadly, 39, os.getpid()), workers=2)
    assert len(list(cache.iterdir())) < len(EVERY_FOURTH)


KILLED = """
import sys
from functools import partial
sys.path.insert(0, {here!r})
from pans import SETTINGS, Deadly, Pan, starts
from tirtrack.pairs.following import Following, kept_tracks
kept_tracks(Following(Pan(), partial(Deadly, 25), SETTINGS, "pan"), starts(*range(0, 40, 4)))
"""


def test_a_recording_that_is_killed_goes_on_at_the_start_that_was_at_work(cache, tmp_path):
    code = KILLED.format(here=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()
    assert len(list(cache.iterdir())) == 4  # frame 25 is the tenth of the start at 16
    log = tmp_path / "log"
    resumed = followed(source=Pan(log))
    assert min(reads(log)) == 16
    assert resumed == followed(content="again")
