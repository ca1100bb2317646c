"""How individuals look in both modalities: the surfaces of their parts, drawn once each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tirtrack.synthetic.materials import BLACK, Climate, Colour
from tirtrack.synthetic.settings import Kind
from tirtrack.synthetic.shapes import Body
from tirtrack.synthetic.trajectories import Track

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Surface:
    """One surface: reflectance, apparent temperature, emitted light (by night)."""

    reflectance: Colour
    apparent_kelvin: float
    glow: Colour = BLACK


@dataclass(frozen=True)
class Look:
    """All surfaces of an individual, and how strong their textures are.

    Attributes:
        surfaces: surfaces by the names that the shape of its kind uses.
        grain_light: relative deviation of reflectance.
        grain_kelvin: deviation of temperature.
    """

    surfaces: Mapping[str, Surface]
    grain_light: float
    grain_kelvin: float


@dataclass(frozen=True)
class Actor:
    """Something that moves.

    Attributes:
        kind: kind of the actor.
        body: its proportions.
        look: its surfaces.
        feet: ``[T,2]`` the point of the ground below it, world pixels.
        lift: ``[T]`` pixels above that point (flyers).
        px_per_m: ``[T]`` its scale at zoom 1.
        heading: ``[T]`` +1 to the right, -1 to the left.
        facing: ``[T]`` 1 from the side, 0 from the front.
        phase: ``[T]`` phase of its gait, radians.
        stride: ``[T]`` 0 standing, 1 walking.
    """

    kind: Kind
    body: Body
    look: Look
    feet: Track
    lift: Track
    px_per_m: Track
    heading: Track
    facing: Track
    phase: Track
    stride: Track


def _dye(rng: np.random.Generator) -> Colour:
    """A colour of clothes or car paint: often grey and dark, sometimes strong."""
    brightness = float(np.exp(rng.uniform(np.log(0.025), np.log(0.65))))
    strong = rng.random() < 0.4
    tint = rng.uniform(0.15, 1.0, 3) if strong else rng.normal(1.0, 0.08, 3)
    red, green, blue = np.clip(brightness * tint / tint.mean(), 0.015, 0.85)
    return float(red), float(green), float(blue)


def _earthy(rng: np.random.Generator) -> Colour:
    level = float(rng.uniform(0.05, 0.45))
    return level, level * float(rng.uniform(0.6, 0.9)), level * float(rng.uniform(0.35, 0.75))


_SKIN: tuple[Colour, ...] = ((0.55, 0.38, 0.3), (0.42, 0.27, 0.19), (0.25, 0.15, 0.1))
_HAIR: tuple[Colour, ...] = ((0.03, 0.025, 0.02), (0.12, 0.07, 0.04), (0.35, 0.26, 0.14))


def _clothed(rng: np.random.Generator, climate: Climate) -> float:
    sun = 4.0 * climate.sun_heat
    return float(min(climate.air_kelvin + rng.uniform(2.0, 8.0) + sun, 309.0))


def _person(rng: np.random.Generator, climate: Climate) -> dict[str, Surface]:
    skin = _SKIN[int(rng.integers(3))]
    hair = _HAIR[int(rng.integers(3))]
    warm = float(rng.uniform(303.0, 307.0) - 0.06 * max(0.0, 293.0 - climate.air_kelvin))
    shirt, trousers, torso = _dye(rng), _dye(rng), _clothed(rng, climate)
    bare = climate.air_kelvin > 293.0 and rng.random() < 0.5
    head = float(rng.uniform(0.45, 0.75))
    return {
        "skin": Surface(skin, warm),
        "hair": Surface(hair, head * warm + (1 - head) * torso),
        "shirt": Surface(shirt, torso),
        "sleeves": Surface(skin if bare else shirt, warm - 0.5 if bare else torso - 0.7),
        "trousers": Surface(trousers, _clothed(rng, climate) - 0.5),
        "shoes": Surface(_dye(rng), climate.air_kelvin + float(rng.uniform(0.5, 4.0))),
        "bag": Surface(_dye(rng), climate.air_kelvin + float(rng.uniform(0.0, 2.0))),
    }


def _vehicle(rng: np.random.Generator, climate: Climate) -> dict[str, Surface]:
    air, sky = climate.air_kelvin, climate.sky_kelvin
    paint, work = _dye(rng), float(rng.uniform(0.35, 1.0))
    shell = air + 9.0 * climate.sun_heat * (1.1 - max(paint)) + float(rng.uniform(-1, 1.5))
    mirror = float(rng.uniform(0.06, 0.14))

    def body(kelvin: float) -> float:
        return (1 - mirror) * kelvin + mirror * sky

    dark: Colour = (0.03, 0.03, 0.035)
    return {
        "paint": Surface(paint, body(shell)),
        "hood": Surface(paint, body(shell + work * float(rng.uniform(4, 20)))),
        "windows": Surface((0.07, 0.09, 0.11), 0.82 * (air + 1.0) + 0.18 * sky),
        "tyres": Surface(dark, air + work * float(rng.uniform(6, 20))),
        "rims": Surface((0.35, 0.35, 0.36), air + work * float(rng.uniform(10, 30))),
        "underside": Surface((0.02, 0.02, 0.02), air + work * float(rng.uniform(4, 14))),
        "exhaust": Surface(dark, air + work * float(rng.uniform(15, 40))),
        "headlight": Surface((0.7, 0.7, 0.7), air + 6.0, (3.0, 2.9, 2.5)),
        "taillight": Surface((0.45, 0.03, 0.03), air + 2.0, (1.3, 0.06, 0.04)),
    }


def _animal(rng: np.random.Generator, climate: Climate) -> dict[str, Surface]:
    coat = _earthy(rng)
    fur = climate.air_kelvin + float(rng.uniform(3, 12))
    return {
        "fur": Surface(coat, min(fur, 308.0)),
        "legs": Surface(_earthy(rng), min(fur + float(rng.uniform(-3, 1)), 308.0)),
        "face": Surface(coat, min(fur + float(rng.uniform(2, 7)), 309.0)),
    }


def _bird(rng: np.random.Generator, climate: Climate) -> dict[str, Surface]:
    colour, warm = _earthy(rng), climate.air_kelvin + float(rng.uniform(4, 10))
    wing = climate.air_kelvin + float(rng.uniform(1, 4))
    return {
        "plumage": Surface(colour, warm),
        "face": Surface(_earthy(rng), warm + 2.0),
        "near wing": Surface(colour, wing + 0.6),
        "far wing": Surface(colour, wing),
    }


def _drone(rng: np.random.Generator, climate: Climate) -> dict[str, Surface]:
    air, shade = climate.air_kelvin, float(rng.choice([0.03, 0.08, 0.7]))
    shell: Colour = (shade, shade, shade)
    return {
        "frame": Surface(shell, air + float(rng.uniform(0.5, 4))),
        "battery": Surface(shell, air + float(rng.uniform(5, 15))),
        "motors": Surface((0.1, 0.1, 0.1), air + float(rng.uniform(10, 30))),
        "rotors": Surface(shell, air + 0.5),
    }


def _blob(rng: np.random.Generator, climate: Climate) -> dict[str, Surface]:
    base = climate.air_kelvin + float(rng.uniform(-5.0, 14.0))
    return {
        "skin": Surface(_dye(rng), base),
        "patch": Surface(_dye(rng), base + float(rng.normal(0, 4))),
        "core": Surface(_dye(rng), base + float(rng.normal(0, 4))),
    }


_SURFACES: dict[Kind, Callable[[np.random.Generator, Climate], dict[str, Surface]]] = {
    "person": _person,
    "vehicle": _vehicle,
    "quadruped": _animal,
    "bird": _bird,
    "drone": _drone,
    "blob": _blob,
}


def draw_look(rng: np.random.Generator, kind: Kind, climate: Climate) -> Look:
    """One individual's surfaces in a climate."""
    surfaces = _SURFACES[kind](rng, climate)
    return Look(surfaces, float(rng.uniform(0.08, 0.3)), float(rng.uniform(0.2, 0.7)))


def alike(rng: np.random.Generator, look: Look, other: Look, spread_kelvin: float) -> Look:
    """A distractor: the visible surfaces of ``other``, temperatures near those of ``look``."""
    surfaces = {
        name: Surface(
            other.surfaces[name].reflectance,
            surface.apparent_kelvin + float(rng.normal(0, spread_kelvin)),
            surface.glow,
        )
        for name, surface in look.surfaces.items()
    }
    return Look(surfaces, other.grain_light, look.grain_kelvin)
