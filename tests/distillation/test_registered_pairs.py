"""Registered pairs: patches come from TIR as stored; published figures use no registration."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from benchmarks.evidence.boxes import WAYS, recipe_with
from benchmarks.evidence.plan import arm_called, read_plan, recipe_of
from benchmarks.evidence.real_plan import gentle_recipe, read_real_plan
from benchmarks.experiments import training
from benchmarks.experiments.rows import STUDIES
from tirtrack.boxes import Box
from tirtrack.crops import MappedFrame, cut_patch
from tirtrack.demo import _checked_recipes
from tirtrack.distillation.clips import Clip, Target
from tirtrack.distillation.pool import ViewKey
from tirtrack.distillation.pool_making import cut, levels_of
from tirtrack.distillation.recipe import load_recipe
from tirtrack.distillation.samples import draw_samples
from tirtrack.distillation.settings import Modality
from tirtrack.distillation.sources import Split, open_split
from tirtrack.pairs import Pairing
from tirtrack.pairs.proposals.base import FoundIn
from tirtrack.pairs.rig import Rig, TimeOffset
from tirtrack.pairs.source import Pair, Recording

GRID = (96, 128)


def halved(points: np.ndarray) -> np.ndarray:
    return points / 2 + [4.0, 3.0]


class Registered:
    """One pair whose TIR is stored at half the size, moved; the one on the grid is blank."""

    name = "rig"

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Pair:
        rng = np.random.default_rng(index)
        rgb = rng.integers(0, 255, (*GRID, 3), dtype=np.uint8)
        stored = rng.integers(0, 255, (60, 80), dtype=np.uint8)
        mapped = MappedFrame(stored, halved, GRID)
        return Pair("rig/0", "rig", 0, rgb, np.zeros(GRID, np.uint8), tir_mapped=mapped)

    def recordings(self) -> dict[str, Recording]:
        return {"rig": Recording("rig", [0], is_video=False)}


@pytest.mark.parametrize("normaliser", ["adaptive", "percentile"])
def test_patches_are_cut_from_tir_as_stored(tiny, normaliser):
    """The picture on the grid is blank, so a patch of it would be: nothing is resampled twice."""
    source = Registered()
    recipe = load_recipe("mixed", changes={"normaliser": normaliser})
    target = Target({0: Box(40.0, 30.0, 24.0, 20.0)}, FoundIn.BOTH, "saliency", 1.0)
    clip = Clip("rig", False, source, [0], {0: [target]})
    network = tiny.network_of()
    samples = draw_samples([clip], recipe, [0, 1], network=network, seed=0)
    keys = [
        ViewKey("reference", Modality.TIR),
        ViewKey("test", Modality.RGB),
    ]
    patches = {
        (one.row, one.key.modality): one
        for one in cut([clip], samples, keys, recipe, levels=levels_of(recipe), seed=0)
    }
    pair = source[0]
    for row, sample in enumerate(samples):
        crop = sample.references[0].spec.crop(GRID)
        fill = pair.tir_mapped.pixels.mean()
        own = cut_patch(pair.tir_mapped, crop, fill)
        assert_array_equal(patches[row, Modality.TIR].patch, np.rint(own))
        assert own.std() > 10
        rgb = cut_patch(pair.rgb, sample.tests[0].spec.crop(GRID), pair.rgb.mean(axis=(0, 1)))
        assert_allclose(patches[row, Modality.RGB].patch, rgb, atol=1)


# --- recipes --------------------------------------------------------------------------------------


PLAN, GENTLE = read_plan(), read_real_plan().gentle


def test_recipes_behind_published_figures_register_nothing():
    recipes = [
        *(recipe_of(PLAN, arm_called(PLAN, name)) for name in ("tir_tracks-tir-same",)),
        *(recipe_with(changes) for changes in WAYS.values()),
        *(gentle_recipe(PLAN, GENTLE, name) for name in GENTLE.variants),
        *(
            training.recipe_of(row)
            for study in STUDIES.values()
            for row in study.rows
            if row.recipe
        ),
        *_checked_recipes("nano-rgb", "mixed", "small", 1).values(),
    ]
    crossed = [one for one in recipes if one.kind == "cross_modal"]
    assert len(crossed) > 30
    assert not [one.name for one in crossed if one.registration and one.reads_rgb]


def test_registration_off_is_plain_yaml(tmp_path):
    (tmp_path / "own.yaml").write_text("based_on: mixed\nsummary: s\nregistration: off\n")
    assert load_recipe(tmp_path / "own.yaml").registration is False


def test_pairs_in_memory_are_left_as_they_are(tiny):
    split = open_split(tiny.TinyPairs(), None, load_recipe("mixed"), "none")
    assert split.registered == ()


def test_a_late_rig_pairs_what_is_trained_on_and_what_is_held_back(tmp_path):
    """TIR of frame k shows the level 20 k, so the pair of RGB frame k must show 20 (k + 2)."""
    for name in ("night", "day"):
        for modality, shape in (("rgb", (48, 64, 3)), ("tir", (48, 64))):
            (tmp_path / name / modality).mkdir(parents=True)
            for k in range(8):
                picture = np.full(shape, 20 * k, np.uint8)
                Image.fromarray(picture).save(tmp_path / name / modality / f"{k:03d}.png")
    rows = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    time = TimeOffset(frames=2.3)
    late = Rig(rgb_wh=(64, 48), tir_wh=(64, 48), tir_from_rgb=rows, time=time)
    pairs, held_back = tmp_path / "night", tmp_path / "day"

    def split(recipe: str, rig: Rig | None) -> Split:
        pairing = Pairing(rig=rig)
        return open_split(pairs, held_back, load_recipe(recipe), "none", pairing=pairing)

    moved, plain = split("mixed", late), split("mixed", None)
    for source in (moved.source, moved.held_back_source):
        assert [int(source[k].rgb.max()) for k in range(len(source))] == list(range(0, 120, 20))
        assert [int(source[k].tir.max()) for k in range(len(source))] == list(range(40, 160, 20))
    before, after = plain.identity(), moved.identity()
    assert all(before[name] != after[name] for name in ("pairs", "held-back pairs"))
    assert len(split("tir_only", late).source) == 8
