"""The thermal normaliser: what must move the grey levels, and what must not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.errors import RecipeError
from tirtrack.media import read_image
from tirtrack.thermal import QUANTILES, ThermalNormaliser, gain_change, normaliser, to_display

ADAPTING = ["adaptive", "percentile"]


def scene(index: int, *, shape=(60, 80), seed=3) -> np.ndarray:
    """Counts of a smooth warm background with a textured target that moves; float64."""
    rng = np.random.default_rng([seed, index])
    row, column = np.mgrid[: shape[0], : shape[1]]
    counts = 7000 + 60 * np.sin(row / 9) + 40 * np.cos(column / 13) + rng.normal(0, 3, shape)
    counts[20:30, 10 + index % 40 : 18 + index % 40] += 120
    return np.round(counts)


def run(name: str, clip: list[np.ndarray], **changes) -> list[np.ndarray]:
    levels = ThermalNormaliser(normaliser(name, **changes))
    return [levels(frame) for frame in clip]


def test_eight_bit_frames_pass_unchanged_as_the_same_array():
    frame = np.random.default_rng(0).integers(0, 256, (7, 9), dtype=np.uint8)
    for name in ("adaptive", "percentile", "fixed:0:10"):
        assert ThermalNormaliser(normaliser(name))(frame) is frame


def test_fixed_range_maps_its_ends_and_clips_beyond():
    out = run("fixed:1000:2000", [np.array([[900, 1000, 1500, 2000, 60000]], dtype=np.uint16)])[0]
    assert_allclose(out, [[0, 0, 127.5, 255, 255]])
    assert out.dtype == np.float32


@pytest.mark.parametrize("name", [*ADAPTING, "fixed:0:400"])
def test_inverting_twice_gives_the_frame_back(name):
    clip = [scene(k).astype(np.uint16) for k in range(4)]
    plain, inverted = run(name, clip), run(name, clip, invert=True)
    for white, black in zip(plain, inverted, strict=True):
        assert_allclose(255 - black, white, atol=1e-3)
    grey = np.arange(256, dtype=np.uint8)[None]
    turn = ThermalNormaliser(normaliser(name, invert=True))
    assert_array_equal(turn(turn(grey)), grey)
    assert turn(grey)[0, 0] == 255


@pytest.mark.parametrize("name", ADAPTING)
@settings(max_examples=25)
@given(gain=st.integers(1, 8), offset=st.integers(0, 5000), seed=st.integers(0, 99))
def test_counts_times_a_plus_b_give_the_same_frames(name, gain, offset, seed):
    clip = [scene(k, seed=seed) for k in range(5)]
    moved = [(gain * frame + offset).astype(np.uint16) for frame in clip]
    for before, after in zip(run(name, clip), run(name, moved), strict=True):
        assert_allclose(after, before, atol=0.02)


def test_ramp_of_401_levels_keeps_at_least_200():
    ramp = np.repeat(np.arange(6700, 7101, dtype=np.uint16)[None], 50, axis=0)
    for name in ADAPTING:
        assert len(np.unique(run(name, [ramp])[0])) >= 200


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_gain_step_of_30_percent_is_gone_after_ten_frames(kind):
    clip = [scene(k) * (1.3 if k >= 20 else 1.0) for k in range(31)]
    levels = run("adaptive", [frame.astype(kind) for frame in clip])
    steady = run("adaptive", [scene(k).astype(kind) for k in range(31)])
    for k in (20, 30):  # already in the frame of the step
        target = np.s_[20:30, 10 + k % 40 : 18 + k % 40]
        assert levels[k][target].mean() == pytest.approx(steady[k][target].mean(), rel=0.05)
        assert levels[k].mean() == pytest.approx(steady[k].mean(), rel=0.05)


@pytest.mark.parametrize("rows", [3, 10, 25], ids=["5%", "17%", "42%"])
def test_hot_object_that_enters_does_not_flicker_the_rest(rows):
    calm = [scene(k) for k in range(40)]
    hot = [frame.copy() for frame in calm]
    for frame in hot[20:]:
        frame[60 - rows :] += 1500
    rest = np.s_[: 60 - rows]
    smoothed = run("adaptive", hot)
    means = np.array([frame[rest].mean() for frame in smoothed])
    by_frame = run("percentile", hot)
    assert np.abs(np.diff(means)).max() < 8
    assert abs(by_frame[20][rest].mean() - by_frame[19][rest].mean()) > 40


def test_scene_follows_a_lasting_change_within_a_few_time_constants():
    clip = [scene(k) for k in range(10)]
    hot = [scene(k) for k in range(10, 110)]
    for frame in hot:
        frame[40:] += 600
    last = run("adaptive", clip + hot)[-1]
    assert_allclose(last, run("percentile", [hot[-1]])[0], atol=15)


@pytest.mark.parametrize(
    "poison",
    [
        np.full((60, 80), np.nan),
        np.full((60, 80), np.inf),
        np.full((60, 80), 7000.0),
        np.zeros((60, 80)),
        np.where(np.arange(80) < 75, np.nan, np.arange(4800.0).reshape(60, 80) * 9e6),
    ],
    ids=["nan", "inf", "constant", "black", "mostly nan"],
)
def test_bad_frame_leaves_the_state_alone(poison):
    clip = [scene(k) for k in range(12)]
    clean, levels = (
        ThermalNormaliser(normaliser("adaptive")),
        ThermalNormaliser(normaliser("adaptive")),
    )
    for k, frame in enumerate(clip):
        if k in (3, 4, 9):
            out = levels(poison)
            assert np.isfinite(out).all()
            assert out.min() >= 0
            assert out.max() <= 255
        assert_array_equal(levels(frame), clean(frame))


def test_bad_first_frame_is_black_and_forgotten():
    levels = ThermalNormaliser(normaliser("adaptive"))
    assert_array_equal(levels(np.full((4, 4), np.nan)), np.zeros((4, 4)))
    assert_array_equal(levels(scene(0)), run("adaptive", [scene(0)])[0])


def test_pixels_that_are_not_finite_become_the_mean_level_and_the_others_stay():
    frame = scene(0)
    holed = frame.copy()
    holed[5, 5], holed[6, 6] = np.nan, -np.inf
    for invert in (False, True):
        out = run("adaptive", [holed], invert=invert)[0]
        mean = out[np.isfinite(holed)].mean()
        assert_allclose([out[5, 5], out[6, 6]], mean, atol=1e-3)
    assert_allclose(out[20:], run("adaptive", [frame], invert=True)[0][20:], atol=0.5)


def test_another_scene_is_shown_at_once():
    dark = [scene(k) for k in range(10)]
    far_away = (
        20000 + 90 * np.random.default_rng(0).exponential(1, (60, 80)) ** 3
    )  # no gain makes it
    last = run("adaptive", [*dark, far_away])[-1]
    assert_array_equal(last, run("percentile", [far_away])[0])


def test_splitting_a_run_with_save_and_load_gives_the_same_frames():
    clip = [scene(k) * (1 + 0.01 * k) for k in range(12)]
    whole = run("adaptive", clip)
    first, second = (ThermalNormaliser(normaliser("adaptive")) for _ in range(2))
    begun = [first(frame) for frame in clip[:5]]
    second.load_state_dict(first.state_dict())
    for a, b in zip(whole, begun + [second(frame) for frame in clip[5:]], strict=True):
        assert_array_equal(a, b)
    fresh = ThermalNormaliser(normaliser("adaptive"))
    fresh.load_state_dict(ThermalNormaliser(normaliser("adaptive")).state_dict())
    assert_array_equal(fresh(clip[0]), whole[0])


def test_frame_is_never_changed():
    for name in (*ADAPTING, "fixed:0:9000"):
        for kind in (np.uint16, np.float32, np.float64):
            frame = scene(0).astype(kind)
            kept = frame.copy()
            run(name, [frame], invert=True)
            assert_array_equal(frame, kept)


def test_gain_change_finds_gain_and_offset_and_nothing_in_noise():
    before = np.quantile(scene(0), QUANTILES)
    assert gain_change(before, 1.3 * before - 200) == pytest.approx((1.3, -200), rel=1e-6)
    assert gain_change(before, np.quantile(scene(1), QUANTILES)) is None
    assert gain_change(before, 20 * before) is None
    assert gain_change(before, -before) is None


@pytest.mark.parametrize("frame", [np.zeros((3, 4, 3), np.uint16), np.zeros((3, 4), np.int32)])
def test_wrong_shape_or_type_is_a_value_error_that_says_which(frame):
    with pytest.raises(ValueError, match=f"{frame.dtype}"):
        ThermalNormaliser(normaliser("adaptive"))(frame)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("adaptve", {}, 'unknown normaliser "adaptve"; did you mean "adaptive"?'),
        ("fixed", {}, "low_counts: Field required"),
        ("fixed:30:20", {}, "high_counts 20 must be above low_counts 30"),
        ("fixed:30", {}, 'write it as "fixed:LOW:HIGH"'),
        ("fixed:nan:20", {}, "must be finite"),
        ("adaptive", {"time_constant": 3}, "time_constant: Extra inputs are not permitted"),
        ("adaptive", {"time_constant_frames": 0.0}, "greater than 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_settings_are_refused_in_one_sentence(name, changes, message):
    with pytest.raises(RecipeError) as caught:
        normaliser(name, **changes)
    assert message in str(caught.value)


def test_display_keeps_8_bits_and_spreads_more(shared):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert_array_equal(to_display(grey), np.stack([grey] * 3, axis=2))
    colour = np.random.default_rng(0).integers(0, 255, (3, 4, 3), dtype=np.uint8)
    assert_array_equal(to_display(colour), colour)
    assert to_display(colour) is not colour
    picture = to_display(read_image(shared / "data/pairs/odd/raw16_flirpy.tiff"))
    assert picture.shape == (512, 640, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 20
    assert to_display(np.full((3, 4), np.nan)).max() == 0
    assert to_display(np.zeros((3, 4, 1), np.float32)).shape == (3, 4, 3)


def test_real_lepton_frames_use_the_range_and_do_not_jump(shared):
    folder = shared / "data/tir_video/cptv/mammal_v2/img"
    clip = [read_image(path) for path in sorted(folder.iterdir())]
    levels = run("adaptive", clip)
    means = np.array([frame.mean() for frame in levels])
    assert np.abs(np.diff(means)).max() < 3
    assert levels[20].std() > 25


def test_a_hot_border_is_a_measurement_where_every_number_is_said_to_be_one():
    frame = np.full((96, 128), 7000, np.uint16) + np.arange(128, dtype=np.uint16)
    frame[40:56, :20] = 65535
    masked = ThermalNormaliser(normaliser("percentile"))(frame)
    assert masked[48, 5] == pytest.approx(masked[frame < 60000].mean(), abs=1)
    assert ThermalNormaliser(normaliser("percentile", no_data="none"))(frame)[48, 5] > 200


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "black"])
def test_a_value_that_no_pixel_can_have_is_no_value_without_measurement(value):
    with pytest.raises(RecipeError, match="no_data"):
        normaliser("adaptive", no_data=value)
