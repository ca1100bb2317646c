"""What things are made of, in visible light and in heat: two measurements of one surface.

Radiance in 8-14 um is linearised about 300 K, so that it can be given in kelvin: *apparent
temperature* is ``emissivity * T + (1 - emissivity) * T_environment``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tirtrack.synthetic.settings import WorldSettings
from tirtrack.synthetic.textures import stream

Colour = tuple[float, float, float]
DAYLIGHTS = ("sun", "overcast", "dusk", "night", "dark")
BLACK: Colour = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Material:
    """One surface.

    Attributes:
        reflectance: red, green, blue, 0 to 1.
        grain_light: relative deviation of the reflectance texture.
        kelvin: temperature above air, without sun.
        heating_kelvin: warming by some hours of full sun.
        grain_kelvin: deviation of the temperature texture.
        grain: index of the texture's grain.
        emissivity: emissivity in 8-14 um.
        glow: visible light that it emits (lamps, lit windows, by night only).
    """

    reflectance: Colour
    grain_light: float
    kelvin: float
    heating_kelvin: float
    grain_kelvin: float
    grain: int = 1
    emissivity: float = 0.95
    glow: Colour = BLACK


@dataclass(frozen=True)
class Climate:
    """Heat of the day: what the TIR camera sees depends on this and never on light.

    Attributes:
        air_kelvin: air temperature.
        sky_kelvin: apparent temperature of the sky overhead.
        sun_heat: warming of sunlit surfaces by the sun of the last hours, 0 to 1.
    """

    air_kelvin: float
    sky_kelvin: float
    sun_heat: float

    def apparent(self, material: Material) -> float:
        """Apparent temperature of a material, kelvin, without texture."""
        kelvin = self.air_kelvin + material.kelvin + material.heating_kelvin * self.sun_heat
        return material.emissivity * kelvin + (1 - material.emissivity) * self.sky_kelvin


@dataclass(frozen=True)
class Light:
    """Visible light: what the RGB camera sees depends on this and never on temperature.

    Attributes:
        daylight: one of ``DAYLIGHTS``.
        ambient: light from the whole sky.
        sun: direct light; casts shadows.
        shadow_xy: shadow of a point one pixel up, relative to its foot, pixels.
        lamp: light of one street lamp, near it.
        exposure: factor of the camera.
    """

    daylight: str
    ambient: Colour
    sun: Colour
    shadow_xy: tuple[float, float]
    lamp: Colour
    exposure: float

    @property
    def is_night(self) -> bool:
        """Whether lamps are lit."""
        return self.daylight in ("night", "dark")


def draw_climate(seed: Sequence[int], settings: WorldSettings, daylight: str) -> Climate:
    """Heat for an hour and weather."""
    rng = stream(seed, "climate")
    air = rng.uniform(*settings.air_kelvin)
    clear = min(rng.uniform(*settings.clear_sky_kelvin), air - 15.0)
    cloudy = daylight == "overcast" or (daylight != "sun" and rng.random() < 0.3)
    heat = {"sun": (0.5, 1.0), "overcast": (0.05, 0.25), "dusk": (0.2, 0.6)}
    sun_heat = rng.uniform(*heat.get(daylight, (0.0, 0.2)))
    return Climate(air, air - rng.uniform(2.0, 8.0) if cloudy else clear, sun_heat)


def _scaled(colour: Sequence[float], factor: float) -> Colour:
    red, green, blue = (float(factor * value) for value in colour)
    return red, green, blue


def draw_light(seed: Sequence[int], daylight: str) -> Light:
    """Light for an hour and weather; levels are relative to a white surface in full sun."""
    rng = stream(seed, "light")
    shadow = float(rng.choice([-1, 1]) * rng.uniform(0.2, 1.2)), float(rng.uniform(-0.25, 0.3))
    level, night = rng.uniform(0.75, 1.25), np.exp(rng.uniform(np.log(0.02), np.log(0.07)))
    lamp = (1.0, 0.72, 0.36) if rng.random() < 0.6 else (0.85, 0.92, 1.0)
    parts: dict[str, tuple[Colour, Colour, float]] = {
        "sun": (_scaled((0.30, 0.35, 0.45), level), _scaled((1.0, 0.93, 0.8), level), 0.85),
        "overcast": (_scaled((0.78, 0.81, 0.86), level), BLACK, 0.95),
        "dusk": (_scaled((0.34, 0.28, 0.36), level), _scaled((0.42, 0.22, 0.1), level), 1.0),
        "night": (_scaled((0.7, 0.8, 1.2), float(night)), BLACK, 1.0),
        "dark": (_scaled((0.8, 0.9, 1.1), float(night) * 0.35), BLACK, 1.3),
    }
    ambient, sun, exposure = parts[daylight]
    strength = {"night": rng.uniform(0.5, 1.2), "dark": rng.uniform(0.1, 0.3)}.get(daylight, 0.0)
    return Light(daylight, ambient, sun, shadow, _scaled(lamp, strength), exposure)


def encoded(radiance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Radiance (1 is a white surface, well exposed) as grey levels 0 to 255, gamma and shoulder."""
    shoulder = radiance / (np.float32(1.0) + np.float32(0.18) * radiance)
    return np.float32(255.0) * np.minimum(shoulder, 1.0) ** np.float32(1 / 2.2)


def varied(material: Material, rng: np.random.Generator) -> Material:
    """Another piece of the same material: brightness, tint and temperature differ a little."""
    factor = rng.uniform(0.75, 1.3)
    tint = rng.normal(1.0, 0.05, 3)
    red, green, blue = (
        float(np.clip(value * factor * part, 0.01, 0.9))
        for value, part in zip(material.reflectance, tint, strict=True)
    )
    return replace(
        material,
        reflectance=(red, green, blue),
        kelvin=material.kelvin + float(rng.normal(0, 0.7)),
        heating_kelvin=material.heating_kelvin * float(rng.uniform(0.6, 1.3)),
    )


ASPHALT = Material((0.10, 0.10, 0.105), 0.16, 0.6, 14.0, 0.35, 1)
CONCRETE = Material((0.34, 0.33, 0.31), 0.12, 0.4, 10.0, 0.35, 1)
PAVING = Material((0.28, 0.24, 0.21), 0.14, 0.4, 10.0, 0.4, 1)
GRASS = Material((0.10, 0.17, 0.06), 0.35, -1.2, 3.0, 0.6, 1, 0.98)
DRY_GRASS = Material((0.27, 0.23, 0.12), 0.3, -0.8, 8.0, 0.7, 1)
SOIL = Material((0.25, 0.18, 0.12), 0.25, -0.3, 11.0, 0.6, 1)
SNOW = Material((0.80, 0.83, 0.88), 0.05, -2.5, 0.5, 0.35, 2, 0.98)
PAINT = Material((0.75, 0.74, 0.70), 0.1, 0.0, 9.0, 0.2, 0, 0.93)
LEAVES = Material((0.07, 0.13, 0.04), 0.6, -0.3, 2.0, 0.45, 1, 0.98)
AUTUMN = Material((0.30, 0.15, 0.05), 0.5, -0.3, 2.5, 0.45, 1, 0.97)
BARK = Material((0.14, 0.10, 0.07), 0.3, 0.2, 4.0, 0.4, 1)
BRICK = Material((0.33, 0.16, 0.11), 0.2, 1.0, 8.0, 0.25, 1)
PLASTER = Material((0.55, 0.50, 0.42), 0.08, 1.2, 7.0, 0.2, 1)
ROOF = Material((0.20, 0.12, 0.10), 0.18, -2.0, 14.0, 0.3, 1)
GLASS = Material((0.10, 0.13, 0.16), 0.1, 0.5, 1.5, 0.3, 2, 0.85)
METAL = Material((0.30, 0.31, 0.33), 0.08, 0.2, 6.0, 0.2, 2, 0.88)
HOT_PIPE = Material((0.42, 0.40, 0.38), 0.1, 14.0, 3.0, 0.8, 2, 0.9)
COLD_WALL = Material((0.48, 0.46, 0.43), 0.1, -2.0, 2.0, 0.4, 2)
LAMP_HEAD = Material((0.5, 0.5, 0.5), 0.0, 6.0, 3.0, 0.1, 0, 0.9, (2.5, 2.3, 1.9))

GROUNDS = (GRASS, GRASS, DRY_GRASS, SOIL, ASPHALT, PAVING, CONCRETE)
FLAT = {"asphalt": ASPHALT, "paving": PAVING, "concrete": CONCRETE}
WALLS = (BRICK, PLASTER, CONCRETE)
