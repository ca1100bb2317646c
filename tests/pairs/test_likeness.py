"""Pairs that cannot be used are named by kind, and real pairs can be used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rigs import RGB_WH, matrix, pictures
from scipy import ndimage

from benchmarks.unusable_pairs import KINDS
from tirtrack.pairs import open_pairs
from tirtrack.pairs.doubt_sentences import sentences
from tirtrack.pairs.doubts import left_out, look_for_doubts, unusable_pairs
from tirtrack.pairs.likeness import FOLLOWS_DETAIL, Unusable, content, likeness, unusable
from tirtrack.pairs.source import Pair, Recording
from tirtrack.palettes import palette_colours

REAL = ("roadscene", "m3svd/0111_1753", "vtuav/bus1", "m3svd_video/1230_1202", "llvip")


@pytest.fixture(scope="module")
def real(shared) -> list[Pair]:
    """Pairs of five rigs; those of roadscene first."""
    sources = [open_pairs(shared / "data" / "pairs" / name) for name in REAL]
    return [source[index] for source in sources for index in (0, len(source) // 2)]


def test_real_pairs_can_be_used(real):
    assert [unusable(pair) for pair in real] == [None] * len(real)
    assert [unusable(replace(pair, rgb=None)) for pair in real] == [None] * len(real)


@pytest.mark.parametrize("kind", KINDS)
def test_most_pairs_of_a_kind_are_named_as_that_kind(real, kind):
    found = []
    for place, pair in enumerate(real):
        others = [one for one in real if one.recording != pair.recording]
        made = KINDS[kind](pair, others, np.random.default_rng([place, 5]))
        found.append(unusable(made))
    assert sum(one is not None for one in found) >= 0.8 * len(found)
    assert sum(one is kind for one in found) >= 0.7 * len(found)


def test_thermal_painted_with_a_palette_in_place_of_rgb_is_a_second_thermal_camera(real):
    for pair in real:
        other = np.clip(0.8 * np.roll(pair.tir, 2, axis=1) + 20, 0, 255).astype(np.uint8)
        painted = replace(pair, rgb=palette_colours("ironbow")[other])
        assert unusable(painted) is Unusable.ONE_KIND


def test_blank_and_shutter_frames_are_told_without_rgb():
    rng = np.random.default_rng(0)
    alone = Pair("a/0", "a", 0, None, np.full((120, 160), 7000, np.uint16))
    assert unusable(alone) is Unusable.BLANK
    noise = (7000 + rng.normal(0, 12, (120, 160)) + 20 * rng.normal(size=160)).astype(np.uint16)
    assert unusable(replace(alone, tir=noise)) is Unusable.SHUTTER


@pytest.mark.parametrize(
    "rgb", [None, np.zeros((120, 160, 3), np.uint8)], ids=["TIR alone", "pair"]
)
def test_pixels_without_a_measurement_hide_no_blank_frame(rgb):
    border = np.zeros((120, 160), bool)
    border[:, :40] = border[:12] = True
    eight = np.where(border, 0, 90).astype(np.uint8)
    counts = np.where(border, np.nan, 7000).astype(np.float32)
    if rgb is not None:
        rgb = np.random.default_rng(0).integers(0, 255, rgb.shape, np.uint8)
        rgb[30:90, 50:120] = (200, 40, 20)
    for tir, filled in ((eight, border), (counts, None)):
        pair = Pair("a/0", "a", 0, rgb, tir, tir_filled=filled)
        assert unusable(pair) is Unusable.BLANK
        if rgb is not None:
            assert likeness(pair).tir.is_blank


def test_one_small_warm_thing_before_an_even_sky_is_no_shutter_frame():
    sky = 60 + np.linspace(0, 30, 120)[:, None] + np.random.default_rng(0).normal(0, 3, (120, 160))
    assert content(sky.astype(np.float32)).is_noise
    sky[50:56, 80:88] += 60
    assert not content(sky.astype(np.float32)).is_noise


def test_lamps_that_rgb_alone_shows_hide_no_outlines_that_both_show():
    """A street at night: kerbs and trees are weak in RGB, lamps are strong and cold."""
    both = pictures(matrix(tir_wh=RGB_WH), tir_wh=RGB_WH)
    dim = 20 + 0.1 * both.rgb.astype(float)
    rows, columns = np.mgrid[: RGB_WH[1], : RGB_WH[0]]
    for x, y in np.random.default_rng(0).integers(0, RGB_WH, (12, 2)):
        dim[np.hypot(columns - x, rows - y) < 9] = 255
    night = Pair("a/0", "a", 0, dim.astype(np.uint8), both.tir)
    assert likeness(night).outlines < 0.15, "by strength alone they have little in common"
    assert unusable(night) is None
    other = pictures(matrix(tir_wh=RGB_WH), 7, tir_wh=RGB_WH).tir
    assert unusable(replace(night, tir=other)) is Unusable.OTHER_SCENE


def test_a_cold_sky_over_warm_ground_is_no_near_infrared():
    """Sky and ground differ in both; what lies in them does not agree."""
    rng = np.random.default_rng(0)
    rgb = np.zeros((120, 160, 3))
    rgb[:60], rgb[60:] = (150, 180, 230), (90, 80, 60)
    texture = ndimage.gaussian_filter(rng.normal(size=(2, 120, 160)), (0, 2, 2)) * 60
    tir = np.where(np.arange(120) < 60, 20.0, 200.0)[:, None] + texture[0]
    rgb += (0.6 * texture[0] + 0.8 * texture[1])[..., None]
    pair = Pair("a/0", "a", 0, rgb.clip(0, 255).astype(np.uint8), tir.clip(0, 255).astype(np.uint8))
    found = likeness(pair)
    assert found.detail_from_rgb > FOLLOWS_DETAIL
    assert found.unusable is None
    reflected = replace(pair, tir=pair.rgb[..., 0])
    assert likeness(reflected).follows_rgb


class _InMemory:
    """A source of given pairs, one recording after the other."""

    def __init__(self, recordings: dict[str, list[Pair]]) -> None:
        self.name = "in memory"
        self._recordings = recordings
        self._pairs = [pair for one in recordings.values() for pair in one]

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Pair:
        return self._pairs[index]

    def recordings(self):
        found, start = {}, 0
        for name, pairs in self._recordings.items():
            found[name] = Recording(name, range(start, start + len(pairs)), is_video=False)
            start += len(pairs)
        return found

    def manifest(self):
        raise NotImplementedError


def test_single_unusable_pairs_are_found_and_a_recording_of_other_scenes_is_kept(real):
    wrong = KINDS[Unusable.OTHER_SCENE](real[0], [real[2]], np.random.default_rng(0))
    flat = replace(real[2], tir=np.full_like(real[2].tir, 90))
    source = _InMemory({"some": [*real[2:6], flat], "apart": [wrong, wrong]})
    assert likeness(wrong).unusable is Unusable.OTHER_SCENE
    assert unusable_pairs(source, range(len(source))) == {4: Unusable.BLANK}
    assert unusable_pairs(source, [0, 1]) == {}
    some = {0: None, 1: Unusable.OTHER_SCENE, 2: None, 3: None}
    assert left_out(some) == {1: Unusable.OTHER_SCENE}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Unusable.NEAR_INFRARED, "near infrared is reflected light"),
        (Unusable.ONE_KIND, "two thermal cameras"),
        (Unusable.SHUTTER, "shutter frame"),
    ],
)
def test_a_recording_that_is_mostly_unusable_is_one_sentence(real, kind, said):
    bad = [KINDS[kind](one, real, np.random.default_rng(k)) for k, one in enumerate(real[2:8])]
    found = look_for_doubts(_InMemory({"good": real[2:6], "bad": bad}))
    (sentence,) = sentences(found)
    assert said in sentence
    assert "bad (" in sentence
    assert "good" not in sentence


def test_each_reason_has_its_own_advice_and_tir_alone_is_not_blamed_on_rgb(real):
    def made(kind, seed):
        return [KINDS[kind](one, real, np.random.default_rng(k + seed)) for k, one in bad]

    bad = list(enumerate(real[2:8]))
    flat = [replace(one, tir=np.full_like(one.tir, 90)) for _, one in bad]
    found = look_for_doubts(
        _InMemory(
            {
                "shut": made(Unusable.SHUTTER, 0),
                "near": made(Unusable.NEAR_INFRARED, 9),
                "off": flat,
            }
        )
    )
    said = sentences(found)
    assert len(said) == 3
    for name, advice in (
        ("shut", "its closed shutter"), ("near", "(LWIR or MWIR)"), ("off", "covered or off"),
    ):  # fmt: skip
        (one,) = [sentence for sentence in said if f"{name} (" in sentence]
        assert advice in one
        assert "smoke" not in one
