"""What is cut and kept of frozen parts, and what augmentation does to patches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from tirtrack.boxes import Box
from tirtrack.crops import CropRule
from tirtrack.distillation.augmentation import PhotometricJitter, apply_jitter, draw_jitter
from tirtrack.distillation.clips import clips_of
from tirtrack.distillation.cross_modal import SelfCheck, respond
from tirtrack.distillation.frozen_backbone import as_patches, torch_engine
from tirtrack.distillation.pool import Draw, ViewKey, wanted_views
from tirtrack.distillation.pool_cache import KEPT_POOLS, pool_folder
from tirtrack.distillation.pool_making import as_stored, build_pool, cut
from tirtrack.distillation.samples import draw_samples
from tirtrack.distillation.settings import Direction, Modality, Photometric
from tirtrack.distillation.step_plan import rows_serving
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet

RGB, TIR = Modality.RGB, Modality.TIR


BOX = Box(46.0, 35.0, 24.0, 20.0)
EDGE = Box(104.0, 30.0, 24.0, 20.0)  # of a frame 128 pixels wide
SIAMESE = SimpleNamespace(reference_crop=CropRule(127), test_crop=CropRule(255))


def clips_and_samples(tiny, recipe, source, count, *, network=SIAMESE, found_in=FoundIn.BOTH):
    proposals = [
        ProposalSet([Proposal(BOX, found_in, 1.0, "saliency")], []) for _ in range(len(source))
    ]
    clips = clips_of(source, dict(enumerate(proposals)), recipe)
    return clips, draw_samples(clips, recipe, range(count), network=network, seed=0)


def pool_of(tiny, recipe, *, engine="torch", cache_key=None, found_in=FoundIn.BOTH, source=None):
    network = tiny.network_of()
    clips, samples = clips_and_samples(
        tiny,
        recipe,
        source or tiny.TinyPairs(),
        recipe.pool,
        network=network,
        found_in=found_in,
    )
    pool = build_pool(
        clips,
        samples,
        recipe,
        seed=0,
        engine=torch_engine(network) if engine else None,
        cache_key=cache_key,
    )
    return pool, network


def test_crops_of_a_canvas_show_the_other_modality_at_the_right(tiny):
    """A pair of even frames: RGB (10, 20, 30), TIR 200."""

    class Even(tiny.TinyPairs):
        def __getitem__(self, index):
            pair = super().__getitem__(index)
            rgb = np.full_like(pair.rgb, 1) * np.array([10, 20, 30], dtype=np.uint8)
            return replace(pair, rgb=rgb, tir=np.full_like(pair.tir, 200))

    recipe = tiny.recipe_of("published", as_published=["canvas"])
    proposals = [ProposalSet([Proposal(EDGE, FoundIn.BOTH, 1.0, "saliency")], [])]
    clips = clips_of(Even(), dict(enumerate(proposals)), recipe)
    samples = draw_samples(clips, recipe, range(8), network=SIAMESE, seed=0)
    compared = 0
    keys = [ViewKey("test", modality) for modality in Modality]
    for one in cut(clips, samples, keys, recipe, levels=as_stored, seed=0):
        crop = samples[one.row].tests[0].spec.crop((96, 256))
        pixels = (np.arange(crop.patch_side) + 0.5) * crop.side / crop.patch_side
        x, rows = crop.x + pixels, (crop.y + pixels > 2) & (crop.y + pixels < 94)
        halves = (x > 2) & (x < 126), (x > 130) & (x < 254)
        shows = {Modality.RGB: ((10, 20, 30), 200), Modality.TIR: (200, (10, 20, 30))}
        for columns, shown in zip(halves, shows[one.key.modality], strict=True):
            seen = one.patch[rows][:, columns]
            assert_array_equal(seen, np.broadcast_to(np.array(shown), seen.shape))
            compared += bool(columns.any())
    assert compared == 8 * 4


def test_both_modalities_are_cut_by_the_same_rectangle(tiny):
    recipe = tiny.recipe_of("mixed")

    class Equal(tiny.TinyPairs):
        def __getitem__(self, index):
            pair = super().__getitem__(index)
            return replace(pair, rgb=np.repeat(pair.tir[..., None], 3, axis=2))

    source = Equal()
    clips, samples = clips_and_samples(tiny, recipe, source, 6)
    keys = [ViewKey(b, m) for b in ("reference", "test") for m in Modality]
    patches = {
        (one.row, one.key): one.patch
        for one in cut(clips, samples, keys, recipe, levels=as_stored, seed=0)
    }
    for row in range(6):
        for branch, side in (("reference", 127), ("test", 255)):
            rgb = patches[row, ViewKey(branch, Modality.RGB)]
            assert rgb.shape == (side, side, 3)
            assert_array_equal(rgb[..., 1], patches[row, ViewKey(branch, Modality.TIR)])


def test_frames_are_read_once_a_pair(tiny):
    read = Counter()

    class Counting(tiny.TinyPairs):
        def __getitem__(self, index):
            read[index] += 1
            return super().__getitem__(index)

    recipe, source = tiny.recipe_of("mixed"), Counting()
    clips, samples = clips_and_samples(tiny, recipe, source, 40)
    keys = [ViewKey("test", TIR)]
    rows = [one.row for one in cut(clips, samples, keys, recipe, levels=as_stored, seed=0)]
    assert sorted(rows) == list(range(40))
    assert set(read.values()) == {1}


def test_kept_features_are_those_of_the_patches(tiny):
    recipe = tiny.recipe_of("mixed")
    kept, network = pool_of(tiny, recipe)
    fresh, _ = pool_of(tiny, recipe, engine=None)
    draws = [Draw(Direction.TIR_TO_TIR, 2, 2), Draw(Direction.TIR_TO_TIR, 5, 1)]
    with torch.no_grad():
        for direction in Direction:
            one, other = (
                respond(network, pool.batch(draws), direction).scores[0] for pool in (kept, fresh)
            )
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_only_views_that_somebody_looks_at_are_kept(tiny):
    seen = {key.modality for key in wanted_views(tiny.recipe_of("tir_only"), one_scene=False)}
    assert seen == {TIR}
    rgb_only = wanted_views(
        tiny.recipe_of("control_rgb_only", boxes__found_in=["both"]), one_scene=False
    )
    assert {key.modality for key in rgb_only} == {RGB}
    fake = wanted_views(
        tiny.recipe_of("control_fake_tir", boxes__found_in=["both"]), one_scene=False
    )
    assert ViewKey("test", RGB, augmented=True) in fake
    assert ViewKey("test", RGB) in fake


def test_the_student_sees_augmented_crops_and_the_teacher_plain_ones(tiny):
    recipe = tiny.recipe_of("control_fake_tir", negatives=0.0)
    pool, _ = pool_of(tiny, recipe, engine=None)
    batch = pool.batch([Draw(Direction.RGB_TO_RGB, i, i) for i in range(4)])
    seen, plain = batch.test.rgb.patches, batch.for_teacher.test.rgb.patches
    assert torch.equal(seen[:, :, 0], seen[:, :, 1])  # grey
    assert not torch.equal(plain[:, :, 0], plain[:, :, 1])
    assert torch.equal(batch.test.boxes_patch, batch.for_teacher.test.boxes_patch)


def test_a_negative_pair_takes_the_other_patch_and_its_own_template(tiny):
    pool, _ = pool_of(tiny, tiny.recipe_of("mixed"), engine=None)
    draws = [Draw(Direction.TIR_TO_TIR, 0, 3), Draw(Direction.TIR_TO_TIR, 3, 3)]
    batch = pool.batch(draws)
    assert batch.present.tolist() == [False, True]
    assert torch.equal(batch.test.tir.patches[0, 0], batch.test.tir.patches[0, 1])
    assert not torch.equal(batch.reference.tir.patches[0, 0], batch.reference.tir.patches[0, 1])
    assert batch.keys[0].startswith(pool.samples[0].key)
    assert pool.samples[3].key in batch.keys[0]


def test_patches_beside_the_box_are_cut_where_all_is_one_scene(tiny):
    recipe = tiny.recipe_of("mixed")
    source = tiny.TinyPairs(recordings=1, frames=3)
    pool, _ = pool_of(tiny, recipe, engine=None, source=source)
    place = int(np.flatnonzero(pool.has_away)[0])
    beside, own = (
        pool.batch([Draw(Direction.TIR_TO_TIR, place, place, away=away)]) for away in (True, False)
    )
    assert not bool(beside.present[0])
    assert not torch.equal(beside.test.tir.patches, own.test.tir.patches)
    several, _ = pool_of(tiny, recipe, engine=None)
    assert not several.has_away.any()


def test_a_box_found_in_tir_alone_is_checked_on_tir(tiny, monkeypatch):
    class BlankRgb(tiny.TinyPairs):
        def __getitem__(self, index):
            pair = super().__getitem__(index)
            pair.rgb[:] = 0
            return pair

    recipe = tiny.recipe_of("mixed")
    network = tiny.network_of()
    checks, real = {}, SelfCheck.passed

    def noted(check, *limits, **named):
        chosen.append(check.probability)
        return real(check, *limits, **named)

    monkeypatch.setattr(SelfCheck, "passed", noted)
    for name, source in (("seen", tiny.TinyPairs()), ("blank", BlankRgb())):
        for found_in in (FoundIn.TIR, FoundIn.BOTH):
            pool, _ = pool_of(tiny, recipe, found_in=found_in, source=source)
            checks[name, found_in] = chosen = []
            pool.check(network, recipe, device=None)
    np.testing.assert_array_equal(checks["seen", FoundIn.TIR], checks["blank", FoundIn.TIR])
    assert not np.array_equal(checks["seen", FoundIn.BOTH], checks["blank", FoundIn.BOTH])


def test_samples_that_the_teacher_fails_are_used_only_where_it_is_not_required(tiny):
    needed = tiny.recipe_of("mixed", teacher__require=True)
    pool, network = pool_of(tiny, needed)
    pool.check(network, needed, device=None)
    pool.passed[:] = False
    pool.passed[[1, 4]] = True
    assert rows_serving(pool, Direction.TIR_TO_TIR, needed).tolist() == [1, 4]
    free = tiny.recipe_of("mixed")
    assert len(rows_serving(pool, Direction.TIR_TO_TIR, free)) == len(pool)
    batch = pool.batch([Draw(Direction.TIR_TO_TIR, i, i) for i in (0, 1)])
    assert batch.accepted.tolist() == [False, True]


def test_features_come_back_from_the_cache_and_damage_is_made_anew(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path))
    recipe = tiny.recipe_of("mixed")
    first, _ = pool_of(tiny, recipe, cache_key="key")
    (stored,) = (tmp_path / "pools").iterdir()

    def refusing(patches):
        raise AssertionError("the cache was not used")

    clips, samples = clips_and_samples(
        tiny, recipe, tiny.TinyPairs(), recipe.pool, network=tiny.network_of()
    )
    again = build_pool(clips, samples, recipe, seed=0, engine=refusing, cache_key="key")
    draws = [Draw(Direction.TIR_TO_TIR, i, i) for i in range(3)]
    one, other = (pool.batch(draws).test.tir.features[0] for pool in (first, again))
    assert torch.equal(one, other)
    for file in sorted(stored.iterdir()):
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        made_anew, _ = pool_of(tiny, recipe, cache_key="key")
        assert torch.equal(made_anew.batch(draws).test.tir.features[0], one)
        assert file.stat().st_size == len(whole)


def test_the_cache_tells_pools_apart_and_does_not_grow(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path))
    recipe = tiny.recipe_of("mixed")
    pool, _ = pool_of(tiny, recipe)
    keys = wanted_views(recipe, one_scene=False)
    folders = {
        pool_folder(key, samples, keys, other, seed)
        for key in ("a", "b")
        for samples in (pool.samples, pool.samples[:-1])
        for other in (recipe, tiny.recipe_of("mixed", augmentation__tir={"gain": 0.2}))
        for seed in (0, 1)
    }
    assert len(folders) == 16
    for number in range(KEPT_POOLS + 2):
        pool_of(tiny, recipe, cache_key=f"key {number}")
    assert len(list((tmp_path / "pools").iterdir())) == KEPT_POOLS
    newest = pool_folder(f"key {number}", pool.samples, keys, recipe, 0)
    assert newest.is_dir()


def test_stored_patches_come_back_exactly():
    stored = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    patches = as_patches(stored)
    assert patches.shape == (1, 3, 16, 16)
    assert torch.equal((patches[0, 0] * 255).round().to(torch.uint8), torch.from_numpy(stored[0]))


# --- augmentation --------------------------------------------------------------------------------


def ramp() -> np.ndarray:
    return np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.float32)


def test_no_augmentation_changes_nothing():
    look = draw_jitter(Photometric(), np.random.default_rng(0))
    assert look == PhotometricJitter()
    np.testing.assert_allclose(
        apply_jitter(ramp(), look, np.random.default_rng(0)), ramp(), atol=1e-3
    )


def test_each_change_does_what_its_name_says():
    rng = np.random.default_rng(0)
    colour = np.stack([ramp(), 255 - ramp(), ramp() / 2], axis=2)
    grey = apply_jitter(colour, PhotometricJitter(is_grey=True), rng)
    assert np.ptp(grey, axis=2).max() < 1e-3
    np.testing.assert_allclose(grey[..., 0], colour @ [0.299, 0.587, 0.114], atol=1e-2)
    np.testing.assert_allclose(
        apply_jitter(ramp(), PhotometricJitter(is_inverted=True), rng), 255 - ramp(), atol=1e-3
    )
    np.testing.assert_allclose(
        apply_jitter(ramp(), PhotometricJitter(gain=0.5, offset=10), rng),
        ramp() / 2 + 10,
        atol=1e-3,
    )
    darker = apply_jitter(ramp(), PhotometricJitter(gamma=2.0), rng)
    np.testing.assert_allclose(darker, 255 * (ramp() / 255) ** 2, atol=1e-2)
    spike = np.zeros((64, 64), np.float32)
    spike[32, 32] = 255
    assert apply_jitter(spike, PhotometricJitter(blur_sigma=2.0), rng).max() < 20
    noisy = apply_jitter(
        np.full((64, 64), 128.0, np.float32), PhotometricJitter(noise_sigma=8.0), rng
    )
    assert noisy.std() == pytest.approx(8.0, rel=0.1)


def test_levels_stay_in_range_and_the_patch_is_not_changed():
    patch = ramp()
    before = patch.copy()
    out = apply_jitter(
        patch, PhotometricJitter(gain=3.0, offset=-40, noise_sigma=30), np.random.default_rng(1)
    )
    assert out.min() >= 0
    assert out.max() <= 255
    np.testing.assert_array_equal(patch, before)


def test_turning_one_change_on_does_not_shift_the_others():
    plain = draw_jitter(Photometric(gain=0.3), np.random.default_rng(5))
    more = draw_jitter(Photometric(gain=0.3, invert=1.0, blur=1.0), np.random.default_rng(5))
    assert plain.gain == more.gain
    assert (plain.is_inverted, more.is_inverted) == (False, True)
