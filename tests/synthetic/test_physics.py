"""One scene, two measurements: what each camera depends on, and on what it must not depend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tirtrack.synthetic import WorldSettings, draw_plan, render_plan, render_sequence
from tirtrack.synthetic.actors import Look, Surface
from tirtrack.synthetic.cameras import Agc, AgcSettings, to_counts
from tirtrack.synthetic.materials import Climate, Material
from tirtrack.synthetic.plan import Prop, ScenePlan

COUNTS = WorldSettings(sixteen_bit_share=1.0, distractor_share=0.0, occluder_share=0.0)
STILL = COUNTS.model_copy(update={"camera_weights": (1.0, 0.0, 0.0, 0.0)})


def plain(seed: int, *, frames: int = 3, **more: object) -> ScenePlan:
    """A person by day, standing camera, TIR as counts."""
    plan = draw_plan((11, seed), frames, settings=STILL, kind="person", daylight="sun")
    return replace(plan, crossover_x=None, **more)


def warmed(plan: ScenePlan, kelvin: float) -> ScenePlan:
    """The same plan with a target that is warmer."""
    target = plan.actors[0]
    surfaces = {
        name: replace(surface, apparent_kelvin=surface.apparent_kelvin + kelvin)
        for name, surface in target.look.surfaces.items()
    }
    look = Look(surfaces, target.look.grain_light, target.look.grain_kelvin)
    return replace(plan, actors=(replace(target, look=look), *plan.actors[1:]))


def test_more_light_changes_rgb_and_not_one_tir_count():
    plan = plain(0)
    dim = replace(plan.light, ambient=(0.1, 0.1, 0.1), sun=(0.2, 0.2, 0.2))
    bright, dark = render_plan(plan), render_plan(replace(plan, light=dim))
    assert np.array_equal(bright.tir, dark.tir)
    assert bright.rgb.mean() > dark.rgb.mean() + 30


def test_warmer_target_changes_tir_and_not_one_rgb_value():
    plan = plain(1)
    before, after = render_plan(plan), render_plan(warmed(plan, 6.0))
    assert np.array_equal(before.rgb, after.rgb)
    rise = after.facts.difference_kelvin - before.facts.difference_kelvin
    assert rise == pytest.approx([6.0] * 3, abs=1e-3)


@pytest.mark.parametrize("air_kelvin", [264.0, 305.0])
def test_another_climate_changes_tir_and_not_one_rgb_value(air_kelvin: float):
    plan = plain(2)
    climates = [replace(plan.climate, air_kelvin=kelvin) for kelvin in (285.0, air_kelvin)]
    before, after = (render_plan(replace(plan, climate=climate)) for climate in climates)
    assert np.array_equal(before.rgb, after.rgb)
    rise = (after.tir.mean() - before.tir.mean()) / 25
    assert rise == pytest.approx(air_kelvin - 285.0, rel=0.25)


@pytest.mark.parametrize("seed", [3, 4])
def test_crossover_takes_the_target_out_of_tir_and_leaves_rgb_alone(seed: int):
    plan = warmed(plain(seed), 8.0)
    here = float(plan.actors[0].feet[0, 0])
    crossed = replace(plan, crossover_x=(here, 60.0))
    clear, lost = render_plan(plan), render_plan(crossed)
    assert np.array_equal(clear.rgb, lost.rgb)
    contrast = np.abs(clear.facts.difference_kelvin)
    assert (np.abs(lost.facts.difference_kelvin) < 0.5 * contrast).all()
    assert np.abs(lost.facts.difference_kelvin).max() < 3.0


def test_glass_hides_from_heat_and_smoke_hides_from_light():
    plan = plain(5)
    foot = plan.actors[0].feet[0]
    size = 1.3 * plan.actors[0].body.height_m

    def hidden(kind: str) -> tuple[float, float]:
        prop = Prop(kind, float(foot[0]), float(foot[1] + 2), size)
        facts = render_plan(replace(plan, occluders=(prop,))).facts
        return float(facts.occluded_tir[0]), float(facts.occluded_rgb[0])

    glass_tir, glass_rgb = hidden("glass")
    smoke_tir, smoke_rgb = hidden("smoke")
    assert glass_tir > 0.8 > 0.4 > glass_rgb
    assert smoke_rgb > 0.5 > 0.1 > smoke_tir


def test_hot_target_is_brighter_in_counts_where_it_stands():
    sequence = render_plan(warmed(plain(6), 15.0))
    x, y, w, h = sequence.facts.boxes_tir[0].round().astype(int)
    inner = sequence.tir[0][y + h // 4 : y + 3 * h // 4, x + w // 4 : x + 3 * w // 4]
    assert np.median(inner) > np.median(sequence.tir[0]) + 100


def test_halo_darkens_what_surrounds_a_hot_target():
    settings = STILL.model_copy(update={"target_height": (60.0, 61.0)})
    plan = draw_plan((11, 7), 1, settings=settings, kind="blob", daylight="overcast")
    plan = replace(plan, crossover_x=None)
    cold, hot = render_plan(plan), render_plan(warmed(plan, 25.0))
    x, y, w, _ = cold.facts.boxes_tir[0].round().astype(int)
    above = (slice(max(y - 8, 0), y - 4), slice(x + w // 4, x + 3 * w // 4))
    far = (slice(0, 20), slice(0, 20))
    drop = cold.tir[0][above].mean() - hot.tir[0][above].mean()
    assert drop > 5
    assert abs(cold.tir[0][far].mean() - hot.tir[0][far].mean()) < 2


def test_counts_are_25_a_kelvin_and_7000_at_zero_celsius():
    kelvin = np.array([[273.15, 274.15, 313.15]], np.float32)
    assert to_counts(kelvin).tolist() == [[7000, 7025, 8000]]


@pytest.mark.parametrize("seed", range(4))
def test_counts_of_a_scene_lie_between_a_cold_sky_and_a_hot_engine(seed: int):
    tir = render_sequence((12, seed), 1, settings=COUNTS).tir
    assert tir.dtype == np.uint16
    assert tir.min() > 7000 + 25 * (225 - 273)
    assert tir.max() < 7000 + 25 * (375 - 273)
    assert tir.std() > 10


def test_apparent_temperature_mixes_surface_and_sky_by_emissivity():
    climate = Climate(air_kelvin=290.0, sky_kelvin=240.0, sun_heat=0.5)
    mirror = Material((0.5, 0.5, 0.5), 0.0, 2.0, 8.0, 0.0, emissivity=0.8)
    assert climate.apparent(mirror) == pytest.approx(0.8 * 296.0 + 0.2 * 240.0)


@pytest.mark.parametrize("plateau", [False, True], ids=["percentile", "plateau"])
def test_hot_thing_that_enters_darkens_everybody_else(plateau: bool):
    agc = Agc(AgcSettings(plateau=plateau, black_hot=False, memory=0.5))
    rng = np.random.default_rng(0)
    calm = rng.integers(7000, 7200, (64, 64)).astype(np.uint16)
    calm[:, :2] = 7600
    hot = calm.copy()
    hot[:32, :32] = rng.integers(7400, 7800, (32, 32))
    before, after = agc(calm), agc(hot)
    assert after[48:].mean() < before[48:].mean() - 5
    assert agc.jump > 1


def test_black_hot_is_white_hot_inverted():
    counts = np.random.default_rng(1).integers(7000, 7400, (32, 32)).astype(np.uint16)
    white, black = (Agc(AgcSettings(plateau=False, black_hot=flag, memory=0.9)) for flag in (0, 1))
    assert np.array_equal(white(counts), 255 - black(counts))


def test_textures_of_one_material_follow_each_other_by_the_given_correlation():
    from tirtrack.synthetic.backdrop import make_paints

    paints = make_paints(plain(8))
    light, heat = (bank.patch(400, 600, 0) for bank in (paints.light, paints.heat))
    measured = np.corrcoef(light.ravel(), paints.kelvin_texture(light, heat).ravel())[0, 1]
    assert measured == pytest.approx(-0.2, abs=0.02)


def test_night_is_dark_in_rgb_and_no_different_in_tir():
    plan = plain(9)
    night = draw_plan((11, 9), 3, settings=STILL, kind="person", daylight="dark").light
    by_day, by_night = render_plan(plan), render_plan(replace(plan, light=night))
    assert by_night.rgb.mean() < 0.5 * by_day.rgb.mean()
    # lamps and lit windows are surfaces of their own; no other temperature hangs on the hour
    assert np.array_equal(by_day.tir, by_night.tir)


def test_surfaces_have_no_light_of_their_own_by_day():
    assert Surface((0.5, 0.5, 0.5), 300.0).glow == (0.0, 0.0, 0.0)
