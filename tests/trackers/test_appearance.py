"""Likeness tells the same skin from another of its kind, whatever the camera's gain and offset."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom

from tirtrack.boxes import Box
from tirtrack.trackers.appearance import Appearance

BOX = Box(50.0, 40.0, 36.0, 28.0)


def picture(seed, *, box=BOX, skin_seed=1, skin_scale=1.0):
    """``[120,160]`` float: a skin in an ellipse, before noise that changes with ``seed``."""
    rng = np.random.default_rng([seed, 1])
    frame = 100 + 10 * gaussian_filter(rng.normal(size=(120, 160)), 3)
    skin = gaussian_filter(np.random.default_rng([skin_seed, 2]).normal(size=(64, 64)), 4.0)
    shape = (round(box.h * skin_scale), round(box.w * skin_scale))
    skin = zoom(skin, (shape[0] / 64, shape[1] / 64), order=1)
    y = round(box.center_xy[1] - shape[0] / 2)
    x = round(box.center_xy[0] - shape[1] / 2)
    frame[y : y + shape[0], x : x + shape[1]] = 160 + 300 * skin[: shape[0], : shape[1]]
    return frame + rng.normal(0, 1, frame.shape)


@pytest.fixture(scope="module")
def first():
    return Appearance.of(picture(0), BOX)


def test_the_same_skin_is_alike_and_another_is_not(first):
    assert first.likeness(picture(0), BOX) == pytest.approx(1.0, abs=1e-6)
    assert first.likeness(picture(1), BOX) > 0.95
    others = [first.likeness(picture(1, skin_seed=seed), BOX) for seed in range(2, 22)]
    assert max(others) < 0.75
    assert np.mean(others) < 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_number_type_gain_offset_and_channels_do_not_matter(first, dtype):
    grey = picture(1)
    plain = first.likeness(grey, BOX)
    assert first.likeness((0.9 * grey + 3).astype(dtype), BOX) == pytest.approx(plain, abs=0.01)
    colour = np.repeat(grey[..., None], 3, axis=2)
    assert first.likeness(colour, BOX) == pytest.approx(plain, abs=1e-9)


@pytest.mark.parametrize(
    "box",
    [
        Box(BOX.x + 5, BOX.y - 4, BOX.w, BOX.h),
        Box(BOX.x - 3, BOX.y - 2, BOX.w + 6, BOX.h + 4),
        Box(BOX.x + 2, BOX.y + 2, BOX.w - 4, BOX.h - 4),
    ],
    ids=["shifted", "too large", "too small"],
)
def test_a_box_that_is_off_is_forgiven(first, box):
    assert first.likeness(picture(1), box) > 0.85


def test_a_target_that_grew_is_alike_in_a_box_that_grew(first):
    grown = Box(BOX.x - 18, BOX.y - 14, 2 * BOX.w, 2 * BOX.h)
    assert first.likeness(picture(1, skin_scale=2.0), grown) > 0.9


@pytest.mark.parametrize(
    "box",
    [
        Box(-500.0, -500.0, 20.0, 20.0),
        Box(155.0, 118.0, 900.0, 700.0),
        Box(10.0, 10.0, 0.3, 0.2),
        Box(-20.0, -20.0, 400.0, 300.0),
    ],
    ids=["outside", "mostly outside", "tiny", "over all"],
)
def test_any_box_gives_a_finite_likeness(first, box):
    assert -1 <= first.likeness(picture(1), box) <= 1
    assert -1 <= Appearance.of(picture(1), box).likeness(picture(2), BOX) <= 1


def test_nothing_is_alike_without_texture(first):
    flat = np.full((120, 160), 7.0)
    assert first.likeness(flat, BOX) == pytest.approx(0.0, abs=1e-3)
    assert Appearance.of(flat, BOX).likeness(picture(1), BOX) == 0.0
    broken = picture(1)
    broken[::3] = np.nan
    broken[1::3] = np.inf
    assert np.isfinite(first.likeness(broken, BOX))
