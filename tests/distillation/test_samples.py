"""Samples and steps: pure functions of a seed, the same rectangles in both modalities."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tirtrack.boxes import Box
from tirtrack.crops import CropRule, boxes_to_patch
from tirtrack.distillation.batch import Batch
from tirtrack.distillation.clips import clips_of, serves_direction, usable_proposals
from tirtrack.distillation.pool import Draw, Pool, PoolArrays
from tirtrack.distillation.recipe import load_recipe, recipe_names
from tirtrack.distillation.samples import away_crop, draw_samples, draw_shots
from tirtrack.distillation.settings import Direction, Modality, Term
from tirtrack.distillation.step_plan import check_directions
from tirtrack.errors import PairsError, TrainingError
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet

BOX = Box(40.0, 30.0, 24.0, 20.0)
SIAMESE = SimpleNamespace(reference_crop=CropRule(127), test_crop=CropRule(255))
FRAME_HW = (96, 128)


def found(*kinds: FoundIn, way: str = "saliency") -> ProposalSet:
    return ProposalSet([Proposal(BOX, kind, 1.0, way) for kind in kinds], [])


def samples_of(tiny, recipe, *, count=40, seed=0, kinds=tuple(FoundIn), source=None):
    source = source or tiny.TinyPairs()
    proposals = [found(*kinds) for _ in range(len(source))]
    clips = clips_of(source, dict(enumerate(proposals)), recipe)
    return draw_samples(clips, recipe, range(count), network=SIAMESE, seed=seed)


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


def test_a_calibrated_recipe_draws_boxes_by_their_own_quality(tiny):
    """Both boxes are of one kind, so ``boxes.quality`` would draw them equally often."""
    likely, unlikely = (
        Proposal(replace(BOX, x=BOX.x + by), FoundIn.TIR, score, "saliency")
        for by, score in ((0, 0.95), (30, 0.85))
    )
    share = likely.quality / (likely.quality + unlikely.quality)
    assert 0.7 < share < 0.9
    source = tiny.TinyPairs()
    found = {index: ProposalSet([likely, unlikely], []) for index in range(len(source))}
    shares = {}
    for calibrated in (False, True):
        recipe = tiny.recipe_of("mixed", boxes__calibrated=calibrated)
        clips = clips_of(source, found, recipe)
        drawn = draw_samples(clips, recipe, range(2000), network=SIAMESE, seed=0)
        of_likely = [one for one in drawn if one.references[0].box == likely.box]
        shares[calibrated] = len(of_likely) / 2000
        assert {one.quality for one in of_likely} == {likely.quality if calibrated else 0.5}
    assert shares == {False: pytest.approx(0.5, abs=0.04), True: pytest.approx(share, abs=0.04)}


@pytest.mark.parametrize("name", recipe_names("cross_modal"))
def test_no_shipped_recipe_draws_by_calibrated_quality(name):
    """Published figures hang on the weights by modality."""
    assert not load_recipe(name).boxes.calibrated


def test_a_box_of_one_modality_serves_where_this_modality_is_seen(tiny):
    mixed = tiny.recipe_of("mixed")
    only_tir = tiny.recipe_of("tir_only")
    assert [p.found_in for p in usable_proposals(found(*FoundIn), mixed)] == list(FoundIn)
    assert {p.found_in for p in usable_proposals(found(*FoundIn), only_tir)} == {
        FoundIn.TIR,
        FoundIn.BOTH,
    }
    rgb = samples_of(tiny, mixed, kinds=[FoundIn.RGB])
    pool = Pool(rgb, PoolArrays({}, {}, np.zeros(40, bool)), are_features=True)
    with pytest.raises(TrainingError, match="no sample of 40 is left for tir_to_tir"):
        check_directions(pool, mixed)


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
        clips_of(tiny.TinyPairs(), {0: stand_in}, tiny.recipe_of("mixed"))


def test_the_target_stays_inside_the_test_patch_and_near_the_middle_of_the_template(tiny):
    offsets, sides = [], []
    recipe = tiny.recipe_of("mixed")
    for number in range(300):
        here = [(0, BOX)]
        shots = draw_shots(here, here, recipe, network=SIAMESE, number=number, seed=3)
        reference, test = (shot.spec.crop(FRAME_HW) for (shot,) in shots)
        for crop, limit in ((reference, 4.0), (test, 64.0)):
            x, y, w, h = boxes_to_patch(BOX.array(), crop)
            away = np.abs([x + w / 2 - crop.patch_side / 2, y + h / 2 - crop.patch_side / 2])
            assert away.max() <= limit + 1e-9
        offsets.append(away.max())
        sides.append(test.side)
    assert max(offsets) > 60
    assert max(sides) / min(sides) == pytest.approx(np.exp(0.36), rel=0.05)


def with_others(tiny, **changes):
    """Samples of a pair with three boxes, drawn for a recipe that rejects the others."""
    terms = [Term(name="cross_supervision"), Term(name="distractors")]
    boxes = [BOX, Box(80.0, 20.0, 16.0, 30.0), Box(5.0, 60.0, 20.0, 12.0)]
    proposals = [Proposal(box, FoundIn.BOTH, 1.0, "saliency") for box in boxes]
    recipe = tiny.recipe_of("mixed", **changes).model_copy(update={"terms": terms})
    clips = clips_of(tiny.TinyPairs(), {0: ProposalSet(proposals, [])}, recipe)
    return boxes, draw_samples(clips, recipe, range(20), network=SIAMESE, seed=0)


def test_a_sample_knows_the_other_boxes_of_its_frame_if_a_term_needs_them(tiny):
    boxes, samples = with_others(tiny)
    for sample in samples:
        assert {sample.tests[0].box, *sample.others} == {*boxes}
        assert len(sample.others) == 2
    assert {one.others for one in samples_of(tiny, tiny.recipe_of("mixed"))} == {()}


@pytest.mark.parametrize("flip", [0.0, 1.0], ids=["plain", "mirrored"])
def test_other_boxes_lie_in_the_patch_where_its_crop_puts_them(tiny, flip):
    _, samples = with_others(tiny, flip=flip)
    for sample in samples:
        crop = sample.tests[0].spec.crop(FRAME_HW)
        own = boxes_to_patch(sample.tests[0].box.array(), crop)
        wanted = boxes_to_patch(np.array([box.array() for box in sample.others]), crop)
        np.testing.assert_allclose(sample.others_patch(own), wanted, atol=1e-9)


def test_a_batch_has_other_boxes_where_the_test_patch_shows_the_target(tiny):
    _, samples = with_others(tiny)
    shots = [sample.tests[0] for sample in samples]
    own = np.stack([boxes_to_patch(one.box.array(), one.spec.crop(FRAME_HW)) for one in shots])
    arrays = PoolArrays({}, {"reference": own[:, None], "test": own[:, None]}, np.ones(20, bool))
    pool = Pool(samples, arrays, are_features=True)
    rows = [Draw(Direction.TIR_TO_TIR, 3, 3), Draw(Direction.TIR_TO_TIR, 4, 4, away=True)]
    others = pool.batch(rows).test.others_patch
    np.testing.assert_allclose(others[0], samples[3].others_patch(own[3]), rtol=1e-5)
    assert others[1].isnan().all()
    assert pool.batch(rows).reference.others_patch is None


def test_the_patch_beside_the_box_does_not_show_it(tiny):
    recipe = tiny.recipe_of("mixed")
    sample = samples_of(tiny, recipe, count=1)[0]
    crop = away_crop(sample, (2000, 2000), seed=0)
    x, y, w, h = boxes_to_patch(BOX.array(), crop)
    assert x + w <= 0 or y + h <= 0 or x >= 255 or y >= 255
    assert away_crop(sample, (60, 70), seed=0) is None
