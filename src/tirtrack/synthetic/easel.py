"""Painting with materials: every stroke sets reflectance and temperature in one outline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tirtrack.synthetic.materials import Climate, Material
from tirtrack.synthetic.shapes import Points
from tirtrack.synthetic.textures import Textures

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Paints:
    """What painters share in one sequence: textures of both modalities and the heat of the day."""

    light: Textures
    heat: Textures
    climate: Climate
    correlation: float
    is_night: bool

    def kelvin_texture(self, light: Array, heat: Array) -> Array:
        """A temperature texture that follows darkness a little (dark is warm), deviation 1."""
        rho = np.float32(self.correlation)
        mixed: Array = -rho * light + np.sqrt(np.float32(1.0) - rho * rho) * heat
        return mixed


def polygon_mask(points: Points, height: int, width: int) -> Array:
    """Coverage 0 or 1 ``[height,width]`` of a polygon in pixels."""
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in points], fill=1)
    return np.asarray(image, dtype=np.float32)


class Easel:
    """A picture in the making.

    Attributes:
        reflectance: ``[3,H,W]``.
        glow: ``[3,H,W]`` emitted light.
        kelvin: ``[H,W]`` apparent temperature.
        light_cover: ``[H,W]`` opacity to visible light, 0 to 1.
        heat_cover: ``[H,W]`` opacity to heat, 0 to 1.
    """

    def __init__(self, height: int, width: int, paints: Paints) -> None:
        self.shape = height, width
        self.paints = paints
        self.reflectance = np.zeros((3, height, width), np.float32)
        self.glow = np.zeros((3, height, width), np.float32)
        self.kelvin = np.full((height, width), paints.climate.air_kelvin, np.float32)
        self.light_cover = np.zeros((height, width), np.float32)
        self.heat_cover = np.zeros((height, width), np.float32)

    def fill(self, mask: Array, material: Material) -> None:
        """Put a material where ``mask [H,W]`` is above 0, with that strength."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return
        part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        shape = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
        light = self.paints.light.mixed(*shape, material.grain)
        heat = self.paints.heat.mixed(*shape, material.grain)
        self.lay(part, mask[part], material, light=light, heat=heat)

    def lay(
        self,
        part: tuple[slice, slice],
        mask: Array,
        material: Material,
        *,
        light: Array,
        heat: Array,
    ) -> None:
        """Put a material with given textures on a part of the picture."""
        shade = np.clip(1 + np.float32(material.grain_light) * light, 0.15, 2.2)
        colour = np.asarray(material.reflectance, np.float32)[:, None, None] * shade
        whole = (slice(None), *part)
        self.reflectance[whole] += mask * (colour - self.reflectance[whole])
        glow = np.asarray(material.glow, np.float32) * np.float32(self.paints.is_night)
        self.glow[whole] += mask * (glow[:, None, None] - self.glow[whole])
        kelvin = np.float32(self.paints.climate.apparent(material))
        texture = self.paints.kelvin_texture(light, heat)
        kelvin_map = kelvin + np.float32(material.grain_kelvin) * texture
        self.kelvin[part] += mask * (kelvin_map - self.kelvin[part])
        for cover in (self.light_cover, self.heat_cover):
            cover[part] = np.maximum(cover[part], mask)

    def polygon(self, points: Points, material: Material) -> None:
        """Fill a polygon, pixels."""
        self.fill(polygon_mask(points, *self.shape), material)

    def rectangle(self, box: tuple[float, float, float, float], material: Material) -> None:
        """Fill a rectangle xywh, pixels."""
        x, y, w, h = box
        corners = np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], dtype=np.float64)
        self.polygon(corners, material)

    def paste(self, other: Easel, left: int, top: int) -> None:
        """Lay another picture on this one; what falls outside is clipped."""
        y0, x0 = max(top, 0), max(left, 0)
        y1 = min(top + other.shape[0], self.shape[0])
        x1 = min(left + other.shape[1], self.shape[1])
        if y0 >= y1 or x0 >= x1:
            return
        here = (slice(y0, y1), slice(x0, x1))
        there = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        light, heat = other.light_cover[there], other.heat_cover[there]
        for mine, its in ((self.reflectance, other.reflectance), (self.glow, other.glow)):
            target = mine[(slice(None), *here)]
            target += light * (its[(slice(None), *there)] - target)
        self.kelvin[here] += heat * (other.kelvin[there] - self.kelvin[here])
        for cover in (self.light_cover, self.heat_cover):
            cover[here] = np.maximum(cover[here], light)
