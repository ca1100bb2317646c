"""Samples and steps: pure functions of a seed, the same rectangles in both modalities."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tirtrack.boxes import Box
from tirtrack.crops import CropRule, boxes_to_patch
from tirtrack.distillation.batch import Batch
from tirtrack.distillation.batches import (
    Stock,
    ViewKey,
    away_crop,
    cut_views,
    draw_crop_specs,
    draw_samples,
    plan_step,
    serves_direction,
    stock_of,
    usable_proposals,
)
from tirtrack.distillation.crop_specs import CropRules
from tirtrack.distillation.settings import Direction, Modality
from tirtrack.errors import PairsError, TrainingError
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet

BOX = Box(40.0, 30.0, 24.0, 20.0)
EDGE = Box(104.0, 30.0, 24.0, 20.0)  # of a frame 128 pixels wide
SIAMESE = CropRules(CropRule(127), CropRule(255))
FRAME_HW = (96, 128)


def found(*kinds: FoundIn, way: str = "saliency") -> ProposalSet:
    return ProposalSet([Proposal(BOX, kind, 1.0, 1.0, way) for kind in kinds], [])


def samples_of(tiny, recipe, *, count=40, seed=0, kinds=tuple(FoundIn), source=None):
    source = source or tiny.TinyPairs()
    proposals = [found(*kinds) for _ in range(len(source))]
    return draw_samples(
        source, range(len(source)), proposals, recipe, rules=SIAMESE, count=count, seed=seed
    )


def test_a_batch_has_no_field_for_an_annotation():
    names = set(Batch.__dataclass_fields__)
    assert names == {"reference", "test", "quality", "present", "accepted", "keys", "plain"}


def test_sample_n_does_not_depend_on_how_many_are_drawn(tiny):
    recipe = tiny.recipe_of("mixed")
    few, many = (samples_of(tiny, recipe, count=count) for count in (5, 40))
    assert many[:5] == few
    assert samples_of(tiny, recipe, count=5, seed=1) != few


def test_boxes_are_drawn_by_quality(tiny):
    recipe = tiny.recipe_of("mixed")
    drawn = Counter(sample.found_in for sample in samples_of(tiny, recipe, count=2000))
    assert drawn[FoundIn.BOTH] / 2000 == pytest.approx(0.5, abs=0.04)
    assert drawn[FoundIn.TIR] / 2000 == pytest.approx(0.25, abs=0.04)


def test_a_box_of_one_modality_serves_where_this_modality_is_seen(tiny):
    mixed = tiny.recipe_of("mixed")
    only_tir = tiny.recipe_of("control_tir_only")
    assert [p.found_in for p in usable_proposals(found(*FoundIn), mixed)] == list(FoundIn)
    assert {p.found_in for p in usable_proposals(found(*FoundIn), only_tir)} == {
        FoundIn.TIR,
        FoundIn.BOTH,
    }
    rgb = samples_of(tiny, mixed, kinds=[FoundIn.RGB])
    with pytest.raises(TrainingError, match="no sample of 40 is left for tir_to_tir"):
        stock_of(rgb, np.ones(40, bool), np.zeros(40, bool), mixed)


def test_crops_of_a_canvas_show_the_other_modality_at_the_right(tiny):
    """A pair of even frames: RGB (10, 20, 30), TIR 200."""

    class Even(tiny.TinyPairs):
        def __getitem__(self, index):
            pair = super().__getitem__(index)
            rgb = np.full_like(pair.rgb, 1) * np.array([10, 20, 30], dtype=np.uint8)
            return replace(pair, rgb=rgb, tir=np.full_like(pair.tir, 200))

    recipe = tiny.recipe_of("published", as_published=["canvas"])
    proposals = [ProposalSet([Proposal(EDGE, FoundIn.BOTH, 1.0, 1.0, "saliency")], [])]
    samples = draw_samples(tiny.TinyPairs(), [0], proposals, recipe, rules=SIAMESE, count=8, seed=0)
    compared = 0
    keys = [ViewKey("test", modality) for modality in Modality]
    for cut in cut_views(Even(), samples, keys, recipe, levels=lambda f: f, seed=0):
        crop = samples[cut.place].test.crop((96, 256))
        pixels = (np.arange(crop.patch_side) + 0.5) * crop.side / crop.patch_side
        x, rows = crop.x + pixels, (crop.y + pixels > 2) & (crop.y + pixels < 94)
        halves = (x > 2) & (x < 126), (x > 130) & (x < 254)
        shows = {Modality.RGB: ((10, 20, 30), 200), Modality.TIR: (200, (10, 20, 30))}
        for key in keys:
            for columns, shown in zip(halves, shows[key.modality], strict=True):
                seen = cut.patches[key][rows][:, columns]
                assert_array_equal(seen, np.broadcast_to(np.array(shown), seen.shape))
                compared += bool(columns.any())
    assert compared == 8 * 4


def test_by_source_the_modality_in_which_a_box_was_found_teaches(tiny):
    recipe = tiny.recipe_of("published", boxes__by_source=True)
    stocks = {
        kind: [serves_direction(kind, direction, recipe.boxes) for direction in sorted(Direction)]
        for kind in FoundIn
    }
    teaches = [direction.reference for direction in sorted(Direction)]
    assert stocks[FoundIn.RGB] == [modality is Modality.RGB for modality in teaches]
    assert stocks[FoundIn.TIR] == [modality is Modality.TIR for modality in teaches]
    assert all(stocks[FoundIn.BOTH])


def test_random_boxes_that_stand_in_are_not_used_unless_asked_for(tiny):
    stand_in = found(FoundIn.BOTH, way="random")
    assert usable_proposals(stand_in, tiny.recipe_of("mixed")) == []
    assert len(usable_proposals(stand_in, tiny.recipe_of("published"))) == 1
    with pytest.raises(PairsError, match="no box that the recipe can use"):
        draw_samples(
            tiny.TinyPairs(), [0], [stand_in], tiny.recipe_of("mixed"),
            rules=SIAMESE, count=3, seed=0,
        )  # fmt: skip


def test_the_target_stays_inside_the_test_patch_and_near_the_middle_of_the_template(tiny):
    offsets, sides = [], []
    recipe = tiny.recipe_of("mixed")
    for number in range(300):
        aims = draw_crop_specs(BOX, SIAMESE, recipe, number=number, seed=3)
        reference, test = (spec.crop(FRAME_HW) for spec in aims)
        for crop, limit in ((reference, 4.0), (test, 64.0)):
            x, y, w, h = boxes_to_patch(BOX.array(), crop)
            away = np.abs([x + w / 2 - crop.patch_side / 2, y + h / 2 - crop.patch_side / 2])
            assert away.max() <= limit + 1e-9
        offsets.append(away.max())
        sides.append(test.side)
    assert max(offsets) > 60
    assert max(sides) / min(sides) == pytest.approx(np.exp(0.36), rel=0.05)


def test_both_modalities_are_cut_by_the_same_rectangle(tiny):
    recipe = tiny.recipe_of("mixed")

    class Equal(tiny.TinyPairs):
        def __getitem__(self, index):
            pair = super().__getitem__(index)
            return replace(pair, rgb=np.repeat(pair.tir[..., None], 3, axis=2))

    source = Equal()
    samples = samples_of(tiny, recipe, count=6, source=source)
    keys = [ViewKey(b, m) for b in ("reference", "test") for m in Modality]
    for cut in cut_views(source, samples, keys, recipe, levels=lambda f: f, seed=0):
        patches = cut.patches
        for branch, side in (("reference", 127), ("test", 255)):
            rgb = patches[ViewKey(branch, Modality.RGB)]
            assert rgb.shape == (side, side, 3)
            np.testing.assert_array_equal(rgb[..., 1], patches[ViewKey(branch, Modality.TIR)])


def test_frames_are_read_once_a_pair(tiny):
    read = Counter()

    class Counting(tiny.TinyPairs):
        def __getitem__(self, index):
            read[index] += 1
            return super().__getitem__(index)

    recipe, source = tiny.recipe_of("mixed"), Counting()
    samples = samples_of(tiny, recipe, count=40, source=source)
    keys = [ViewKey("test", Modality.TIR)]
    places = [
        cut.place for cut in cut_views(source, samples, keys, recipe, levels=lambda f: f, seed=0)
    ]
    assert sorted(places) == list(range(40))
    assert set(read.values()) == {1}


def test_the_patch_beside_the_box_does_not_show_it(tiny):
    recipe = tiny.recipe_of("mixed")
    sample = samples_of(tiny, recipe, count=1)[0]
    crop = away_crop(sample, (2000, 2000), seed=0)
    x, y, w, h = boxes_to_patch(BOX.array(), crop)
    assert x + w <= 0 or y + h <= 0 or x >= 255 or y >= 255
    assert away_crop(sample, (60, 70), seed=0) is None


# --- steps ---------------------------------------------------------------------------------------


def stock(scenes=("a", "a", "b", "b"), *, has_away=False) -> Stock:
    everything = np.arange(len(scenes))
    return Stock(scenes, dict.fromkeys(Direction, everything), np.full(len(scenes), has_away))


def test_a_step_is_a_pure_function_of_seed_and_number(tiny):
    recipe = tiny.recipe_of("mixed", training__batch=16)
    plan = [plan_step(stock(), recipe, seed=1, step=step) for step in (3, 4, 3)]
    assert plan[0] == plan[2]
    assert plan[0] != plan[1]
    assert plan[0] != plan_step(stock(), recipe, seed=2, step=3)


def test_directions_have_their_shares_in_every_step(tiny):
    recipe = tiny.recipe_of("mixed", training__batch=16)
    for step in range(20):
        drawn = Counter(draw.direction for draw in plan_step(stock(), recipe, seed=0, step=step))
        assert drawn[Direction.TIR_TO_TIR] == 8
        assert drawn[Direction.RGB_TO_TIR] == drawn[Direction.TIR_TO_RGB] == 4


def test_negative_pairs_come_from_another_scene(tiny):
    recipe = tiny.recipe_of("mixed", training__batch=16)
    draws = [d for step in range(100) for d in plan_step(stock(), recipe, seed=0, step=step)]
    negatives = [draw for draw in draws if not draw.is_positive]
    assert len(negatives) / len(draws) == pytest.approx(0.2, abs=0.03)
    scenes = "aabb"
    assert all(scenes[draw.reference] != scenes[draw.test] for draw in negatives)


def test_in_a_single_scene_negatives_lie_beside_the_box_or_do_not_exist(tiny):
    recipe = tiny.recipe_of("mixed", training__batch=16)
    beside = plan_step(stock("aaaa", has_away=True), recipe, seed=0, step=0)
    assert any(draw.away for draw in beside)
    assert all(draw.is_positive or draw.away for draw in beside)
    none = [d for k in range(9) for d in plan_step(stock("aaaa"), recipe, seed=0, step=k)]
    assert all(draw.is_positive for draw in none)
