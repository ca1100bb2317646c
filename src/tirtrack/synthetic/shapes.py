"""Outlines of moving things, as polygons of parts, in metres.

``x`` points forward, ``y`` up, the origin is on the ground below the middle. A shape knows nothing
of light, heat or pixels: each part only says which surface of its owner it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tirtrack.synthetic.settings import Kind

Points = NDArray[np.float64]

_HALF_TURN = np.linspace(-math.pi / 2, math.pi / 2, 6)[:, None]
_ALONG, _ACROSS = np.cos(_HALF_TURN), np.sin(_HALF_TURN)
_TURN = np.linspace(0, 2 * math.pi, 18, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


@dataclass(frozen=True)
class Part:
    """A polygon ``[n,2]`` in metres, and the name of the surface that it shows."""

    surface: str
    points: Points


@dataclass(frozen=True)
class Body:
    """What stays the same about one individual.

    Attributes:
        height_m: height of the whole silhouette, metres.
        build: width relative to the usual one.
        variant: number of the form within the kind, read by the shape.
        facing: 1 from the side, 0 from the front.
    """

    height_m: float
    build: float
    variant: int
    facing: float


def capsule(start: Points, end: Points, start_radius: float, end_radius: float) -> Points:
    """A limb: two half circles and what lies between, ``[12,2]``."""
    way_x, way_y = float(end[0] - start[0]), float(end[1] - start[1])
    length = math.hypot(way_x, way_y) or 1.0
    along = np.array([way_x / length, way_y / length])
    across = np.array([-along[1], along[0]])
    cap = _ALONG * along + _ACROSS * across
    return np.concatenate([end + end_radius * cap, start - start_radius * cap])


def ellipse(x: float, y: float, half_width: float, half_height: float) -> Points:
    """An ellipse, ``[18,2]``."""
    return np.asarray(_CIRCLE * (half_width, half_height) + (x, y))


def _polygon(*corners: tuple[float, float]) -> Points:
    return np.array(corners, dtype=np.float64)


def _limb(start: Points, length: float, angle: float, squeeze: float) -> Points:
    return start + length * np.array([squeeze * math.sin(angle), -math.cos(angle)])


def _leg(hip: Points, phase: float, stride: float, body: Body) -> tuple[Part, Part, Part]:
    swing = stride * 0.5 * math.sin(phase)
    bend = stride * 0.75 * max(0.0, math.cos(phase)) + 0.06
    knee = _limb(hip, 0.44, swing, body.facing)
    ankle = _limb(knee, 0.42, swing - bend, body.facing)
    toe = ankle + np.array([0.17 * body.facing, -0.02])
    width = body.build
    return (
        Part("trousers", capsule(knee, ankle, 0.065 * width, 0.05 * width)),
        Part("trousers", capsule(hip, knee, 0.095 * width, 0.068 * width)),
        Part("shoes", capsule(ankle - np.array([0.0, 0.01]), toe, 0.05, 0.038)),
    )


def _arm(shoulder: Points, phase: float, stride: float, body: Body) -> tuple[Part, Part, Part]:
    swing = stride * 0.55 * math.sin(phase)
    elbow = _limb(shoulder, 0.29, swing, body.facing)
    wrist = _limb(elbow, 0.25, swing + 0.35, body.facing)
    width = body.build
    return (
        Part("sleeves", capsule(shoulder, elbow, 0.062 * width, 0.05 * width)),
        Part("sleeves", capsule(elbow, wrist, 0.048 * width, 0.04 * width)),
        Part("skin", ellipse(wrist[0], wrist[1] - 0.04, 0.034, 0.05)),
    )


def person(body: Body, phase: float, stride: float) -> list[Part]:
    """A walking person: two legs and two arms in counter-swing; ``stride`` 0 is standing."""
    spread, depth = 0.085 * (1 - body.facing) * body.build, 0.0
    hips = np.array([0.0, 0.90]), np.array([0.0, 0.90])
    shoulders = np.array([0.01, 1.39]), np.array([0.01, 1.39])
    side = np.array([spread, depth])
    wide = np.array([spread * 2.3, depth])
    half = (0.115 + 0.06 * (1 - body.facing)) * body.build
    torso = _polygon(
        (-half * 0.9, 0.86), (half * 0.9, 0.86), (half * 0.92, 1.1), (half * 1.1, 1.38),
        (half * 0.6, 1.47), (-half * 0.6, 1.47), (-half * 1.1, 1.38), (-half * 0.92, 1.1),
    )  # fmt: skip
    hem = 0.62 if body.variant % 4 == 1 else 0.82
    coat = _polygon(
        (-half * 1.1, hem), (half * 1.15, hem), (half * 0.98, 1.05), (-half * 0.98, 1.05)
    )
    parts = [
        *_arm(shoulders[0] - wide, phase, stride, body),
        *_leg(hips[0] - side, phase + math.pi, stride, body),
        *_leg(hips[1] + side, phase, stride, body),
        Part("shirt", torso),
        Part("shirt", coat),
        Part("skin", capsule(np.array([0.01, 1.45]), np.array([0.02, 1.56]), 0.055, 0.055)),
        Part("skin", ellipse(0.025, 1.635, 0.088, 0.115)),
        Part("hair", ellipse(-0.005, 1.69, 0.096, 0.075)),
    ]
    if body.variant % 3 == 0:
        parts.append(Part("bag", ellipse(-half - 0.07 * body.facing, 1.2, 0.11, 0.2)))
    parts += _arm(shoulders[1] + wide, phase + math.pi, stride, body)
    return _standing(parts, body.height_m / 1.75)


def _standing(parts: list[Part], scale: float) -> list[Part]:
    """Scaled, with the lowest point on the ground."""
    floor = min(float(part.points[:, 1].min()) for part in parts)
    return [Part(part.surface, (part.points - (0.0, floor)) * scale) for part in parts]


def _wheel(x: float, radius: float) -> list[Part]:
    return [
        Part("tyres", ellipse(x, radius, radius, radius)),
        Part("rims", ellipse(x, radius, 0.58 * radius, 0.58 * radius)),
    ]


_CAR = _polygon(
    (-2.2, 0.35), (2.2, 0.33), (2.24, 0.62), (2.1, 0.78), (1.0, 0.92), (-1.75, 0.95), (-2.2, 0.85)
)  # fmt: skip
_CABIN = {
    0: _polygon((-1.85, 0.92), (-1.2, 1.40), (0.25, 1.45), (1.1, 0.9)),
    1: _polygon((-2.15, 0.9), (-1.95, 1.42), (0.2, 1.5), (1.1, 0.9)),
    2: _polygon((-2.2, 0.9), (-2.18, 2.1), (1.3, 2.12), (1.75, 0.9)),
}
_WINDOWS = {
    0: [
        _polygon((-1.6, 0.96), (-1.12, 1.33), (-0.45, 1.36), (-0.45, 0.97)),
        _polygon((-0.37, 0.97), (-0.37, 1.37), (0.2, 1.38), (0.9, 0.95)),
    ],
    1: [
        _polygon((-1.95, 0.96), (-1.82, 1.34), (-0.55, 1.4), (-0.55, 0.97)),
        _polygon((-0.45, 0.97), (-0.45, 1.41), (0.16, 1.43), (0.9, 0.95)),
    ],
    2: [
        _polygon((0.25, 1.25), (0.25, 1.95), (1.25, 1.98), (1.6, 1.22)),
        _polygon((-0.9, 1.3), (-0.9, 1.85), (0.1, 1.87), (0.1, 1.3)),
    ],
}
_CAR_HEIGHT_M = (1.45, 1.5, 2.12)


def vehicle(body: Body, phase: float, stride: float) -> list[Part]:
    """A car, estate or van from the side; windows are dark by day and mirror the sky in TIR."""
    del phase, stride
    form = body.variant % 3
    parts = [
        Part("underside", _polygon((-1.9, 0.14), (1.9, 0.14), (2.0, 0.4), (-2.0, 0.4))),
        Part("paint", _CABIN[form]),
        Part("paint", _CAR),
        Part("hood", _polygon((1.05, 0.62), (2.14, 0.55), (2.02, 0.78), (1.0, 0.91))),
        *(Part("windows", points) for points in _WINDOWS[form]),
        *_wheel(-1.35, 0.33),
        *_wheel(1.4, 0.33),
        Part("headlight", ellipse(2.12, 0.66, 0.1, 0.09)),
        Part("taillight", _polygon((-2.2, 0.7), (-2.1, 0.7), (-2.1, 0.85), (-2.2, 0.85))),
        Part("exhaust", ellipse(-2.1, 0.28, 0.1, 0.07)),
    ]
    return _standing(parts, body.height_m / _CAR_HEIGHT_M[form])


def quadruped(body: Body, phase: float, stride: float) -> list[Part]:
    """A four-legged animal that trots: diagonal legs swing together."""
    long = 0.5 * body.build
    parts: list[Part] = []
    for index, x in enumerate((-0.8 * long, 0.75 * long)):
        for offset in (0.0, math.pi):
            swing = 0.6 * stride * math.sin(phase + offset + index * math.pi)
            hip = np.array([x, 0.5])
            knee = _limb(hip, 0.26, swing, 1.0)
            foot = _limb(knee, 0.25, swing - 0.3 * stride * max(0.0, math.cos(phase + offset)), 1.0)
            parts.append(Part("legs", capsule(hip, knee, 0.09, 0.05)))
            parts.append(Part("legs", capsule(knee, foot, 0.045, 0.035)))
    neck, nod = np.array([0.9 * long, 0.62]), 0.03 * math.sin(2 * phase)
    head = neck + np.array([0.24, 0.22 + nod])
    parts += [
        Part(
            "fur", capsule(np.array([-0.8 * long, 0.58]), np.array([0.85 * long, 0.6]), 0.17, 0.19)
        ),
        Part("fur", capsule(neck, head, 0.12, 0.085)),
        Part("face", capsule(head, head + np.array([0.16, -0.04]), 0.09, 0.05)),
        Part("face", ellipse(head[0] - 0.05, head[1] + 0.1, 0.035, 0.07)),
        Part("fur", capsule(np.array([-long, 0.62]), np.array([-1.35 * long, 0.5]), 0.04, 0.03)),
    ]
    return _standing(parts, body.height_m / 1.0)


def bird(body: Body, phase: float, stride: float) -> list[Part]:
    """A bird that beats its wings."""
    beat = math.sin(phase) if stride > 0.2 else 0.25
    tip, elbow = 0.62 * beat, 0.32 * beat + 0.08
    parts = [
        Part("far wing", _polygon((-0.16, 0.02), (0.14, 0.03), (0.02, elbow), (-0.2, tip * 0.9))),
        Part("plumage", capsule(np.array([-0.22, 0.0]), np.array([0.22, 0.03]), 0.05, 0.09)),
        Part("plumage", _polygon((-0.2, 0.04), (-0.48, 0.06), (-0.46, -0.04), (-0.2, -0.03))),
        Part("face", ellipse(0.33, 0.07, 0.07, 0.065)),
        Part("near wing", _polygon((-0.18, 0.0), (0.15, 0.02), (0.0, elbow), (-0.28, tip))),
    ]
    return [Part(part.surface, part.points * body.height_m / 0.5) for part in parts]


def drone(body: Body, phase: float, stride: float) -> list[Part]:
    """A small multirotor: body, arms, four hot motors, turning rotors."""
    del stride
    parts = [
        Part("frame", _polygon((-0.2, -0.05), (0.2, -0.05), (0.16, 0.09), (-0.16, 0.09))),
        Part("frame", capsule(np.array([-0.55, 0.08]), np.array([0.55, 0.08]), 0.03, 0.03)),
        Part("frame", _polygon((-0.22, -0.22), (-0.17, -0.22), (-0.12, -0.04), (-0.16, -0.04))),
        Part("frame", _polygon((0.22, -0.22), (0.17, -0.22), (0.12, -0.04), (0.16, -0.04))),
        Part("battery", ellipse(0.0, 0.05, 0.12, 0.06)),
    ]
    for x, shift in ((-0.55, 0.0), (0.55, 1.3), (-0.32, 2.1), (0.32, 0.7)):
        reach = 0.12 + 0.15 * abs(math.cos(7 * phase + shift))
        parts.append(Part("motors", ellipse(x, 0.12, 0.05, 0.07)))
        parts.append(Part("rotors", ellipse(x, 0.2, reach, 0.02)))
    return [Part(part.surface, part.points * body.height_m / 0.44) for part in parts]


def blob(body: Body, phase: float, stride: float) -> list[Part]:
    """A smooth object of no kind whose outline changes; two more of its surfaces lie on it."""
    del stride
    rng = np.random.default_rng(body.variant)
    turn = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    radius = np.ones(40)
    for order in range(2, 6):
        strength, start = rng.uniform(0.0, 0.5 / order), rng.uniform(0, 2 * math.pi)
        radius += strength * np.cos(order * turn + start + 0.25 * phase * rng.uniform(-1, 1))
    outline = np.stack([body.build * radius * np.cos(turn), radius * np.sin(turn)], axis=1)
    parts = [Part("skin", outline)]
    for name in ("patch", "core"):
        angle, distance, size = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.45), 0.28
        x, y = body.build * distance * math.cos(angle), distance * math.sin(angle)
        inner = ellipse(x, y, size * body.build, size * rng.uniform(0.7, 1.3))
        parts.append(Part(name, inner))
    return _standing(parts, body.height_m / 2.0)


SHAPES: dict[Kind, Callable[[Body, float, float], list[Part]]] = {
    "person": person,
    "vehicle": vehicle,
    "quadruped": quadruped,
    "bird": bird,
    "drone": drone,
    "blob": blob,
}


@dataclass(frozen=True)
class KindFacts:
    """Sizes and speeds of a kind: metres, metres per second, metres per full cycle of its gait."""

    height_m: tuple[float, float]
    width_m: float
    speed: tuple[float, float]
    cycle_m: float
    flies: bool = False
    changes_form: bool = True


KINDS: dict[Kind, KindFacts] = {
    "person": KindFacts((1.6, 1.9), 0.65, (0.7, 2.0), 1.5),
    "vehicle": KindFacts((1.4, 1.6), 4.4, (2.0, 8.0), 2.0, changes_form=False),
    "quadruped": KindFacts((0.6, 1.2), 1.2, (0.6, 3.0), 1.1),
    "bird": KindFacts((0.4, 0.6), 0.8, (3.0, 8.0), 2.2, flies=True),
    "drone": KindFacts((0.35, 0.5), 1.2, (0.5, 5.0), 1.0, flies=True, changes_form=False),
    "blob": KindFacts((0.8, 1.6), 1.2, (0.4, 2.5), 3.0),
}
