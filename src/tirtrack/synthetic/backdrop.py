"""The scene without actors: two painted layers, their light, and the props in front.

A far layer (sky, skyline) and a near one (ground and what stands on it) shift against each other
when the camera moves sideways. Both are painted once, as radiance of both modalities, and are only
resampled afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tirtrack.synthetic import materials as stuff
from tirtrack.synthetic.easel import Easel, Paints
from tirtrack.synthetic.ground import paint_ground
from tirtrack.synthetic.materials import Light, encoded, varied
from tirtrack.synthetic.plan import Prop, ScenePlan
from tirtrack.synthetic.props import Art, paint_prop
from tirtrack.synthetic.textures import Textures, resized, stream

Array = NDArray[np.float32]
_LAMP_GRID = 4


@dataclass(frozen=True)
class Layer:
    """A painted picture, ready to be resampled: planes of mode F, times their cover.

    Attributes:
        rgb: three planes, grey levels 0 to 255.
        kelvin: one plane, apparent temperature.
        light_cover: opacity to light; None where it is 1 everywhere.
        heat_cover: opacity to heat; None where it is 1 everywhere.
        left: world column of its first pixel.
        top: world row of its first pixel.
        foot_y: world row on which it stands (what it hides lies beyond).
    """

    rgb: tuple[Image.Image, ...]
    kelvin: tuple[Image.Image, ...]
    light_cover: Image.Image | None
    heat_cover: Image.Image | None
    left: float
    top: float
    foot_y: float


@dataclass(frozen=True)
class LightMap:
    """Light that falls on the scene: lamps ``[3,h,w]`` at a quarter of the size, sun ``[H,W]``."""

    lamps: Array
    sun: Array
    light: Light

    def at(self, x: float, y: float) -> tuple[Array, float]:
        """Illumination ``[3]`` of an upright thing at a world point, and the share of sun there."""
        height, width = self.sun.shape
        row, column = int(np.clip(y, 0, height - 1)), int(np.clip(x, 0, width - 1))
        sun = float(self.sun[row, column])
        lamp = self.lamps[:, row // _LAMP_GRID, column // _LAMP_GRID]
        total = np.asarray(self.light.ambient) + sun * np.asarray(self.light.sun) + lamp
        return total.astype(np.float32), sun


@dataclass(frozen=True)
class Stage:
    """Everything that is painted once for a sequence."""

    far: Layer
    near: Layer
    far_rows: int
    standing: tuple[Layer, ...]
    light_map: LightMap


def make_paints(plan: ScenePlan) -> Paints:
    """The sequence's own textures."""
    return Paints(
        Textures(stream(plan.seed, "reflectance textures")),
        Textures(stream(plan.seed, "temperature textures")),
        plan.climate,
        plan.settings.texture_correlation,
        plan.light.is_night,
    )


def build_stage(plan: ScenePlan) -> Stage:
    """Paint a sequence's scene."""
    paints = make_paints(plan)
    rng = stream(plan.seed, "paint")
    far = _paint_far(plan, paints, rng)
    near = paint_ground(plan, paints)
    shade = np.zeros(near.shape, np.float32)
    lamps = [prop for prop in plan.backdrop if prop.kind == "lamp"]
    for number, prop in enumerate(plan.backdrop):
        art = _art(prop, plan, paints, stream(plan.seed, "backdrop prop", number))
        _cast(shade, art, prop, plan.light)
        near.paste(art.easel, round(prop.x - art.foot_xy[0]), round(prop.y - art.foot_xy[1]))
    arts = [
        _art(prop, plan, paints, stream(plan.seed, "standing prop", number))
        for number, prop in enumerate(plan.occluders)
    ]
    for prop, art in zip(plan.occluders, arts, strict=True):
        _cast(shade, art, prop, plan.light)
    light_map = _light_map(plan, shade, lamps, rng)
    if plan.crossover_x is not None:
        _equalise(far, near, plan)
    covered = near.light_cover.min(axis=1) >= 1.0
    far_rows = int(np.flatnonzero(~covered)[-1]) + 1 if not covered.all() else 0
    standing = tuple(
        _standing(prop, art, light_map) for prop, art in zip(plan.occluders, arts, strict=True)
    )
    return Stage(
        _finished(far, _lit(far, light_map, sunny=True), covers=False),
        _finished(near, _lit(near, light_map, sunny=False), covers=True),
        far_rows,
        standing,
        light_map,
    )


def _art(prop: Prop, plan: ScenePlan, paints: Paints, rng: np.random.Generator) -> Art:
    return paint_prop(prop.kind, prop.size_m * float(plan.perspective.scale(prop.y)), paints, rng)


def _image(plane: Array) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))


def _finished(easel: Easel, rgb: Array, *, covers: bool) -> Layer:
    light = easel.light_cover if covers else np.float32(1.0)
    heat = easel.heat_cover if covers else np.float32(1.0)
    return Layer(
        (_image(light * rgb[0]), _image(light * rgb[1]), _image(light * rgb[2])),
        (_image(heat * easel.kelvin),),
        _image(easel.light_cover) if covers else None,
        _image(easel.heat_cover) if covers else None,
        0.0,
        0.0,
        -1e9,
    )


def _standing(prop: Prop, art: Art, light_map: LightMap) -> Layer:
    """A prop in front, lit by the light at its foot."""
    illumination, _ = light_map.at(prop.x, prop.y)
    easel = art.easel
    rgb = easel.reflectance * illumination[:, None, None] + easel.glow
    rgb = encoded(rgb * np.float32(light_map.light.exposure))
    layer = _finished(easel, rgb, covers=True)
    return replace(layer, left=prop.x - art.foot_xy[0], top=prop.y - art.foot_xy[1], foot_y=prop.y)


def _paint_far(plan: ScenePlan, paints: Paints, rng: np.random.Generator) -> Easel:
    """Sky and skyline; opaque everywhere."""
    easel = Easel(plan.canvas.height, plan.canvas.width, paints)
    horizon = plan.perspective.horizon_y
    if horizon < -40:
        return easel
    _paint_sky(easel, plan, rng)
    columns = np.arange(easel.shape[1])
    rows = np.arange(easel.shape[0])[:, None]
    for height, material in ((rng.uniform(8, 40), stuff.LEAVES), (rng.uniform(4, 16), stuff.SOIL)):
        lumps = (
            paints.light.patch(1, easel.shape[1], 3)[0]
            + 0.5 * paints.light.patch(1, easel.shape[1], 2)[0]
        )
        crest = ndimage.gaussian_filter1d(horizon - height * (1 + 0.35 * lumps), 2.0)[columns]
        haze = varied(material, rng)
        red, green, blue = (0.6 * value + 0.1 for value in haze.reflectance)
        hazy = replace(haze, reflectance=(red, green, blue + 0.02), grain_light=0.3)
        easel.fill(np.clip(rows - crest[None, :], 0, 1).astype(np.float32), hazy)
    if rng.random() < 0.6:
        _paint_skyline(easel, horizon, paints, rng)
    return easel


def _paint_skyline(easel: Easel, horizon: float, paints: Paints, rng: np.random.Generator) -> None:
    x = float(rng.uniform(-40, 60))
    while x < easel.shape[1]:
        tall = float(rng.uniform(20, 90))
        art = paint_prop("house", tall, paints, rng)
        easel.paste(art.easel, round(x), round(horizon + 3 - art.foot_xy[1]))
        x += 1.6 * tall * float(rng.uniform(0.5, 2.2))


def _paint_sky(easel: Easel, plan: ScenePlan, rng: np.random.Generator) -> None:
    """Bright at the horizon, dark and cold overhead; clouds are warmer than clear sky.

    Near the horizon the sky's apparent temperature is almost that of air; at the top of a frame (35
    degrees up) it has gone about 60 % of the way to the zenith's.
    """
    height, width = easel.shape
    up = np.clip((plan.perspective.horizon_y - np.arange(height)) / 220.0, 0, 1)[:, None]
    zenith, rim = {
        "sun": ((0.25, 0.42, 0.8), (0.75, 0.82, 0.92)),
        "overcast": ((0.62, 0.65, 0.7), (0.8, 0.82, 0.84)),
        "dusk": ((0.16, 0.17, 0.34), (0.85, 0.45, 0.2)),
        "night": ((0.012, 0.013, 0.025), (0.06, 0.045, 0.04)),
        "dark": ((0.004, 0.004, 0.008), (0.015, 0.012, 0.012)),
    }[plan.light.daylight]
    clouds = easel.paints.light.patch(height, width, 3) + 0.5 * easel.paints.light.patch(
        height, width, 2
    )
    cloudy = np.clip(0.35 * (clouds + float(rng.uniform(-1.0, 0.6))), 0, 0.8)
    for channel in range(3):
        clear = rim[channel] + (zenith[channel] - rim[channel]) * up**0.6
        easel.glow[channel] = clear + cloudy * (rim[channel] * 1.1 - clear)
    climate = plan.climate
    low = climate.air_kelvin - 6.0
    clear_kelvin = low + 0.6 * (climate.sky_kelvin - low) * up**0.7
    easel.kelvin[:] = clear_kelvin + 0.45 * cloudy * (low - clear_kelvin)
    easel.kelvin += 0.15 * easel.paints.heat.patch(height, width, 2)


# --- light


def _cast(shade: Array, art: Art, prop: Prop, light: Light) -> None:
    """Add a prop's shadow on the ground to ``shade [H,W]``."""
    if not any(light.sun):
        return
    shadow_x, shadow_y = light.shadow_xy
    rise = shadow_y if abs(shadow_y) > 0.12 else 0.12
    cover = Image.fromarray((255 * art.easel.light_cover).astype(np.uint8))
    left, top = prop.x - art.foot_xy[0], prop.y - art.foot_xy[1]
    # (X, Y) on the ground <- (u, v) of the picture: X = u + sx * h, Y = foot + rise * h,
    # where h = foot - v; solved for (u, v), as the transform needs it.
    slope = shadow_x / rise
    coefficients = (
        1.0, -slope, slope * prop.y - left,
        0.0, -1.0 / rise, prop.y / rise + prop.y - top,
    )  # fmt: skip
    size = (shade.shape[1], shade.shape[0])
    fallen = cover.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    np.maximum(shade, np.asarray(fallen, np.float32) / 255, out=shade)


def _light_map(
    plan: ScenePlan, shade: Array, lamps: list[Prop], rng: np.random.Generator
) -> LightMap:
    """Pools of light round the lamps, and where the sun does not reach."""
    height, width = shade.shape
    y, x = np.mgrid[0:height:_LAMP_GRID, 0:width:_LAMP_GRID].astype(np.float32)
    pools = np.zeros((3, *x.shape), np.float32)
    if plan.light.is_night:
        spots = [(prop.x, prop.y, prop.size_m) for prop in lamps]
        for _ in range(int(rng.integers(1, 4))):
            row = rng.uniform(0.35, 1.0) * height
            spots.append((float(rng.uniform(0, width)), float(row), float(rng.uniform(4, 7))))
        for spot_x, spot_y, size_m in spots:
            reach = 1.4 * size_m * float(np.clip(plan.perspective.scale(spot_y), 6, 40))
            distance = ((x - spot_x) / reach) ** 2 + ((y - spot_y) / (0.6 * reach)) ** 2
            pool = 0.7 / (1 + distance) ** 1.5
            pools += np.asarray(plan.light.lamp, np.float32)[:, None, None] * pool
    sun = 1 - np.float32(0.85) * ndimage.gaussian_filter(shade, 1.0)
    return LightMap(pools, sun, plan.light)


def _lit(easel: Easel, light_map: LightMap, *, sunny: bool) -> Array:
    """Grey levels ``[3,H,W]`` of a layer; ``sunny`` layers have no shadows."""
    height, width = easel.shape
    light = light_map.light
    rgb = np.empty((3, height, width), np.float32)
    sun = np.float32(1.0) if sunny else light_map.sun
    for channel in range(3):
        lamps = resized(light_map.lamps[channel], width, height)
        lamps = lamps * np.float32(0.4) if sunny else lamps
        falling = np.float32(light.ambient[channel]) + np.float32(light.sun[channel]) * sun + lamps
        radiance = easel.reflectance[channel] * falling + easel.glow[channel]
        rgb[channel] = encoded(radiance * np.float32(light.exposure))
    return rgb


# --- heat


def _equalise(far: Easel, near: Easel, plan: ScenePlan) -> None:
    """Give the background the target's temperature on a stretch of its path; light is unchanged."""
    if plan.crossover_x is None:
        return
    middle, half = plan.crossover_x
    kelvins = np.array(
        [surface.apparent_kelvin for surface in plan.actors[0].look.surfaces.values()]
    )
    wanted = np.float32(np.median(kelvins))
    ragged = near.paints.heat.patch(*near.shape, 3) + near.paints.heat.patch(*near.shape, 2)
    away = np.abs(np.arange(near.shape[1]) - middle)[None, :] + 6 * ragged
    weight = np.clip((half + 20 - away) / 16, 0, 1).astype(np.float32)
    for easel in (near, far):
        smooth = ndimage.uniform_filter(easel.kelvin, 31)
        easel.kelvin += weight * easel.heat_cover * (wanted - smooth)  # never the sky
