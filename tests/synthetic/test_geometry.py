"""Boxes, absence and motion: exact, because they are read off what was drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tirtrack.synthetic import (
    WorldSettings,
    actor_extents,
    draw_plan,
    render_plan,
    render_sequence,
)
from tirtrack.synthetic.actors import Look
from tirtrack.synthetic.clocks import seen_by_tir
from tirtrack.synthetic.outlines import pooled, raster, whole_extent
from tirtrack.synthetic.painter import views
from tirtrack.synthetic.plan import ScenePlan
from tirtrack.synthetic.shapes import KINDS, SHAPES, Body, Part
from tirtrack.synthetic.trajectories import excursion, folded, stroll

ALONE = WorldSettings(
    sixteen_bit_share=1.0,
    distractor_share=0.0,
    occluder_share=0.0,
    crossover_share=0.0,
    camera_weights=(1.0, 0.0, 0.0, 0.0),
    leave_share=0.0,
    halo_strength=(0.0, 0.0),
    psf_sigma=(0.05, 0.06),
    netd_kelvin=(0.0, 0.0),
    pattern_kelvin=(0.0, 0.0),
    dead_pixels=0,
)


def alone(seed: int, kind: str) -> ScenePlan:
    """A plan without anybody else in it."""
    plan = draw_plan((21, seed), 4, settings=ALONE, kind=kind, daylight="overcast")
    return replace(plan, actors=plan.actors[:1], crossover_x=None)


def shifted(plan: ScenePlan, by: float) -> ScenePlan:
    """The same plan with the target moved sideways, world pixels."""
    target = plan.actors[0]
    return replace(plan, actors=(replace(target, feet=target.feet + np.array([by, 0.0])),))


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("seed", [0, 1])
def test_box_is_the_extent_of_what_changes_when_the_target_does(kind: str, seed: int):
    plan = alone(seed, kind)
    target = plan.actors[0]
    hot = {
        name: replace(surface, apparent_kelvin=surface.apparent_kelvin + 60)
        for name, surface in target.look.surfaces.items()
    }
    look = Look(hot, target.look.grain_light, target.look.grain_kelvin)
    before = render_plan(plan)
    after = render_plan(replace(plan, actors=(replace(target, look=look),)))
    for frame, box in enumerate(before.facts.boxes_tir):
        changed = np.abs(after.tir[frame].astype(int) - before.tir[frame].astype(int)) > 0
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        x, y, w, h = box
        # the motion of the shutter smears along x by less than a pixel or two a side
        assert rows[0] == np.floor(y)
        assert rows[-1] + 1 == np.ceil(y + h)
        assert np.floor(x) - 3 <= columns[0] <= np.floor(x)
        assert np.ceil(x + w) <= columns[-1] + 1 <= np.ceil(x + w) + 3


def test_raster_extent_is_the_polygons_to_a_sub_pixel():
    corners = np.array([[10.3, 20.6], [30.9, 20.6], [30.9, 50.2], [10.3, 50.2]])
    outline = raster([Part("a", corners)], [corners], 100, 100)
    assert outline is not None
    x, y, w, h = outline.box
    assert [x, y, x + w, y + h] == pytest.approx([10.3, 20.6, 30.9, 50.2], abs=0.25)
    assert outline.box == pytest.approx(whole_extent([corners])[0])
    assert outline.coverage.sum() == pytest.approx(20.6 * 29.6, rel=0.03)


def test_raster_cuts_at_the_frame_and_the_whole_extent_does_not():
    corners = np.array([[-20.0, 90.0], [15.2, 90.0], [15.2, 120.0], [-20.0, 120.0]])
    outline = raster([Part("a", corners)], [corners], 100, 100)
    assert outline is not None
    assert outline.box == pytest.approx([0, 90, 15.25, 10])
    assert whole_extent([corners])[0] == pytest.approx([-20, 90, 35.25, 30.25])


@given(st.sampled_from([2, 4]), st.integers(1, 6), st.integers(1, 6))
def test_pooling_keeps_the_mean(fineness: int, height: int, width: int):
    values = np.random.default_rng(height).random((3, height * fineness, width * fineness))
    values = values.astype(np.float32)
    assert pooled(values, fineness).mean() == pytest.approx(values.mean(), rel=1e-5)


def test_target_outside_the_frame_is_absent_and_its_box_is_nan():
    plan = shifted(alone(2, "person"), 2000.0)
    facts = render_plan(plan).facts
    assert facts.absent.all()
    assert np.isnan(facts.boxes_tir).all()
    assert np.isnan(facts.boxes_rgb).all()
    assert np.isfinite(facts.extents_tir).all()
    assert facts.frame_attributes["out_of_view"].all()
    assert facts.attributes["out_of_view"] == 1


def test_the_extents_of_all_actors_begin_with_that_of_the_target():
    shown = next(
        found
        for seed in range(20)
        if len((found := render_sequence((31, seed), 2, spacing=5)).plan.actors) > 1
    )
    for k, tick in enumerate(shown.plan.ticks):
        extents = actor_extents(shown.plan, tick, tir=True)
        assert extents.shape == (len(shown.plan.actors), 4)
        assert np.array_equal(extents[0], shown.facts.extents_tir[k])
        box = shown.facts.boxes_rgb[k]
        x, y, w, h = actor_extents(shown.plan, tick, tir=False)[0]
        assert x - 1 <= box[0] <= box[0] + box[2] <= x + w + 1
        assert y - 1 <= box[1] <= box[1] + box[3] <= y + h + 1


def test_target_at_the_border_has_a_box_inside_the_frame_and_a_larger_extent():
    plan = alone(3, "vehicle")
    box = render_plan(plan).facts.boxes_tir[0]
    half_out = shifted(plan, float(ALONE.width - box[0] - box[2] / 2))
    facts = render_plan(half_out).facts
    assert not facts.absent[0]
    assert facts.boxes_tir[0, 0] + facts.boxes_tir[0, 2] == ALONE.width
    assert facts.extents_tir[0, 2] == pytest.approx(box[2], abs=0.6)
    assert facts.boxes_tir[0, 2] < 0.7 * box[2]


def test_occluders_never_change_the_box_only_what_is_visible():
    settings_ = WorldSettings(occluder_share=1.0, camera_weights=(1.0, 0.0, 0.0, 0.0))
    for seed in range(30):
        plan = draw_plan((22, seed), 60, settings=settings_, kind="person")
        plan = replace(plan, ticks=tuple(range(15, 60, 4)))
        if not plan.occluders:
            continue
        with_props = render_plan(plan, rgb=False).facts
        if with_props.frame_attributes["occlusion"].any():
            break
    free = render_plan(replace(plan, occluders=()), rgb=False).facts
    assert np.array_equal(with_props.boxes_tir, free.boxes_tir, equal_nan=True)
    hidden = with_props.frame_attributes["occlusion"]
    area = np.nan_to_num(with_props.visible_tir[:, 2] * with_props.visible_tir[:, 3])
    assert (area <= np.nan_to_num(free.boxes_tir[:, 2] * free.boxes_tir[:, 3])).all()
    assert (with_props.occluded_tir[hidden] > free.occluded_tir[hidden]).all()


def test_rig_maps_rgb_boxes_onto_tir_boxes():
    near = WorldSettings(rig_parallax=0.0, leave_share=0.0)
    facts = render_sequence((23, 0), 5, settings=near, kind="vehicle").facts
    corners = np.concatenate([facts.boxes_rgb[:, :2], np.ones((5, 1))], axis=1)
    mapped = (facts.tir_from_rgb @ corners.T).T[:, :2]
    assert mapped == pytest.approx(facts.boxes_tir[:, :2], abs=0.6)


def test_delayed_tir_shows_what_rgb_showed_before():
    settings_ = ALONE.model_copy(
        update={"delay_frames": 1, "rig_scale": (1.0, 1.0), "rig_shift": 0.0, "rig_parallax": 0.0}
    )
    plan = draw_plan((24, 1), 6, settings=settings_, kind="vehicle", daylight="sun")
    late = replace(plan, rig=replace(plan.rig, delay_ticks=1))
    facts = render_plan(late).facts
    assert facts.delay_ticks == 1
    assert facts.boxes_tir[1:] == pytest.approx(facts.boxes_rgb[:-1])


UNMOVED = {"rig_scale": (1.0, 1.0), "rig_shift": 0.0, "rig_parallax": 0.0}


@pytest.mark.parametrize("late", [1.5, -2.25])
def test_tir_may_be_late_or_early_by_parts_of_a_frame(late: float):
    settings_ = ALONE.model_copy(update={"clock_offset_frames": 3.0, **UNMOVED})
    plan = draw_plan((24, 1), 12, settings=settings_, kind="vehicle", daylight="sun")
    assert abs(plan.rig.offset_ticks) <= 3.0
    assert plan.ticks == tuple(range(3, 15)), "no frame shows an instant that was not drawn"
    late_plan = replace(plan, rig=replace(plan.rig, offset_ticks=late))
    facts = render_plan(late_plan).facts
    instants = np.arange(12) - late
    inside = (instants >= 0) & (instants <= 11)
    expected = np.interp(instants[inside], np.arange(12), facts.boxes_rgb[:, 0])
    assert facts.boxes_tir[inside, 0] == pytest.approx(expected, abs=0.3)
    assert np.ptp(expected) > 3.0, "else a late frame would look like one in time"


def test_the_offset_of_a_drifting_clock_grows_with_time():
    settings_ = ALONE.model_copy(update={"clock_drift": 600.0, **UNMOVED})
    plan = draw_plan((24, 1), 25, settings=settings_, kind="vehicle", daylight="sun")
    assert abs(plan.rig.drift) <= 600 / (60 * 25.0)
    seen = seen_by_tir(replace(plan, rig=replace(plan.rig, drift=0.25)))
    first, last = plan.ticks[0], plan.ticks[-1]
    x = plan.actors[0].feet[:, 0]
    assert seen.actors[0].feet[first, 0] == pytest.approx(x[first])
    assert seen.actors[0].feet[last, 0] == pytest.approx(x[last - 6])
    assert seen.camera.center_xy[last] == pytest.approx(plan.camera.center_xy[last - 6])


def test_without_a_clock_of_its_own_tir_sees_the_plan_itself():
    plan = draw_plan((24, 1), 6)
    assert seen_by_tir(plan) is plan


def test_near_things_shift_against_far_ones_when_the_camera_sways():
    plan = draw_plan((25, 0), 30, daylight="sun")
    swaying = replace(plan.camera, sway=np.linspace(0, 10, 30), zoom=np.ones(30))
    swayed = replace(plan, camera=swaying)
    far, near = views(swayed, 29, tir=False)
    assert near.x0 - far.x0 == pytest.approx(10.0)
    far, near = views(swayed, 0, tir=False)
    assert near.x0 == pytest.approx(far.x0)


@pytest.mark.parametrize("kind", list(KINDS))
def test_shapes_stand_on_the_ground_and_have_their_height(kind: str):
    body = Body(height_m=KINDS[kind].height_m[1], build=1.0, variant=0, facing=1.0)
    points = np.concatenate([part.points for part in SHAPES[kind](body, 1.0, 0.5)])
    tall = points[:, 1].max() - points[:, 1].min()
    assert 0.35 * body.height_m < tall < 1.5 * body.height_m
    if not KINDS[kind].flies:
        assert points[:, 1].min() == pytest.approx(0.0, abs=1e-9)


def test_walker_changes_its_form_and_is_periodic():
    body = Body(1.75, 1.0, 1, 1.0)
    poses = [SHAPES["person"](body, phase, 1.0) for phase in (0.3, 1.9, 0.3 + 2 * np.pi)]
    legs = [np.concatenate([part.points for part in pose]) for pose in poses]
    assert np.abs(legs[0] - legs[1]).max() > 0.2
    assert legs[0] == pytest.approx(legs[2], abs=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(20, 200))
def test_strolls_are_smooth_and_folded_ways_stay_inside(seed: int, ticks: int):
    way = stroll(np.random.default_rng(seed), ticks, 3.0)
    assert np.abs(np.diff(way, 2)).max() < 2.5
    inside = folded(way, -10.0, 25.0)
    assert inside.min() >= -10.0
    assert inside.max() <= 25.0


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_excursions_go_out_and_come_back(seed: int):
    way = excursion(np.random.default_rng(seed), 100, 40.0, -30.0)
    assert way[0] == pytest.approx(40.0, abs=0.01)
    assert way.min() < -29.0
    assert way[-1] > 15.0


@pytest.mark.parametrize("seed", range(12))
def test_views_never_leave_the_painted_canvas(seed: int):
    plan = draw_plan((26, seed), 120)
    for tick in range(0, 120, 7):
        for tir in (False, True):
            for view in views(plan, tick, tir=tir):
                right = view.x0 + plan.settings.width / view.scale
                bottom = view.y0 + plan.settings.height / view.scale
                assert view.x0 >= 0
                assert view.y0 >= 0
                assert right <= plan.canvas.width
                assert bottom <= plan.canvas.height
