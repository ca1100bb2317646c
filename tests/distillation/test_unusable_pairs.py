"""Pairs that cannot be used are left out where the recipe says so, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tirtrack.boxes import Box
from tirtrack.distillation import stages, unusable_pairs
from tirtrack.distillation.recipe import load_recipe, recipe_names
from tirtrack.distillation.recipe_check import check_recipe
from tirtrack.distillation.run_folder import Run
from tirtrack.distillation.sources import hold_back
from tirtrack.pairs.likeness import Unusable
from tirtrack.pairs.proposals.base import FoundIn, Proposal
from tirtrack.pairs.tracklets import Track, Tracklet


@pytest.mark.parametrize("name", recipe_names("cross_modal"))
def test_shipped_recipes_train_on_the_pairs_of_their_figures(name):
    assert load_recipe(name).unusable == "keep"


@pytest.fixture
def some_blank(tiny):
    class SomeBlank(tiny.TinyPairs):
        """The tiny pairs; TIR of the first pair of each recording is blank."""

        def __getitem__(self, index):
            pair = super().__getitem__(index)
            return pair if pair.position else replace(pair, tir=np.full_like(pair.tir, 90))

    return SomeBlank(recordings=4, frames=3)


def _proposed(tiny, recipe, source, folder):
    check_recipe(recipe, tiny.network_of())
    split = hold_back(source, recipe.held_back.share)
    identity = {"recipe": recipe.name, **split.identity()}
    run = Run(folder / "student.safetensors", folder, recipe, identity, seed=0)
    found, held_back = stages.propose(split, run)
    before = {**found, **held_back}
    counted = unusable_pairs.leave_out_unusable(split, found, held_back, run)
    return before, {**found, **held_back}, counted


def test_a_recipe_that_keeps_them_does_not_even_look(tiny, some_blank, tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("looked")

    monkeypatch.setattr(unusable_pairs, "unusable_pairs", never)
    before, after, counted = _proposed(tiny, tiny.recipe_of("mixed"), some_blank, tmp_path)
    assert (before, counted) == (after, ({}, {}))


def test_a_recipe_that_leaves_them_out_takes_no_box_of_theirs(tiny, some_blank, tmp_path):
    recipe = tiny.recipe_of("mixed", unusable="leave_out", pool=100)
    before, after, counted = _proposed(tiny, recipe, some_blank, tmp_path)
    blank = [index for index in before if some_blank[index].position == 0]
    assert len(blank) == 4
    assert counted == (dict.fromkeys(blank, Unusable.BLANK), {})
    assert [index for index, one in after.items() if not one.kept] == blank
    assert all(after[index] == before[index] for index in before if index not in blank)


def test_the_summary_counts_them_and_says_so(tiny, some_blank, tmp_path):
    recipe = tiny.recipe_of("mixed", unusable="leave_out", pool=100)
    _, summary = tiny.run_tiny(recipe, tmp_path, source=some_blank)
    assert summary.unusable == {"blank": 4}
    (said,) = [one for one in summary.warnings if "left out" in one]
    assert said == "4 pairs cannot be used and were left out: 4 x blank"


def test_a_track_passes_pairs_that_cannot_be_used_without_a_sample(tiny, some_blank, tmp_path):
    box = Box(40, 30, 24, 20)
    first = Proposal(box, FoundIn.RGB, 1.0, "saliency")
    track = Track(first, "rgb", (2, 3, 4), Tracklet((box,) * 3, (True,) * 3))
    tracks = {"take0": [track], "take1": []}
    for unusable, trusted in (("keep", [2, 3, 4]), ("leave_out", [2, 4])):
        recipe = tiny.recipe_of("mixed", unusable=unusable)
        run = Run(tmp_path / "student.safetensors", tmp_path, recipe, {}, seed=0)
        left = {9: Unusable.SHUTTER}
        passed, every = unusable_pairs.usable_frames(some_blank, tracks, left, run)
        assert list(passed) == list(tracks)
        assert list(passed["take0"][0].trusted()) == trusted
        assert every == ({3: Unusable.BLANK, **left} if unusable == "leave_out" else left)
