"""Where things are and where the camera looks, at every tick of a sequence.

World coordinates are pixels of the near background layer at zoom 1, ``x`` right, ``y`` down.
Everything here is drawn once from a stream and is then a plain table over ticks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Track = NDArray[np.float64]


def smoothed(values: Track, ticks: float) -> Track:
    """``[T]`` or ``[T,2]`` smoothed along time; beyond the ends the end values are repeated."""
    return np.asarray(ndimage.gaussian_filter1d(values, ticks, axis=0, mode="nearest"))


def folded(values: Track, low: float, high: float) -> Track:
    """Values reflected at the ends of ``[low, high]``, as a ball between two walls."""
    span = max(high - low, 1e-6)
    around = np.mod(values - low, 2 * span)
    return low + np.where(around > span, 2 * span - around, around)


def stroll(rng: np.random.Generator, ticks: int, speed: float) -> Track:
    """One coordinate of a walk with changes of pace, stops and turns: ``[T]``, from 0."""
    velocity = np.empty(ticks)
    start, sign = 0, float(rng.choice([-1.0, 1.0]))
    while start < ticks:
        length = int(rng.integers(15, 60))
        pace = 0.0 if rng.random() < 0.12 else rng.uniform(0.6, 1.2)
        velocity[start : start + length] = sign * pace * speed
        sign = -sign if rng.random() < 0.2 else sign
        start += length
    moved = np.cumsum(smoothed(velocity, 4.0))
    return np.asarray(moved - moved[0])


def wander(rng: np.random.Generator, ticks: int, reach: float, pace_ticks: float) -> Track:
    """A slow smooth random curve ``[T]`` within ``+-reach``, from 0."""
    knots = max(4, int(ticks / pace_ticks) + 3)
    values = rng.uniform(-1, 1, knots)
    curve = np.interp(np.linspace(0, knots - 1, ticks), np.arange(knots), values)
    curve = smoothed(curve, pace_ticks / 3)
    return np.asarray(np.clip(reach * (curve - curve[0]), -reach, reach))


def excursion(rng: np.random.Generator, ticks: int, start: float, outside: float) -> Track:
    """One coordinate that goes out to ``outside``, stays there a while, and comes back."""
    leave = rng.uniform(0.3, 0.5) * ticks
    gone = rng.uniform(0.1, 0.2) * ticks
    back = leave + gone + rng.uniform(0.2, 0.3) * ticks
    inside = start + rng.uniform(-0.2, 0.2) * (start - outside)
    knots = [0.0, 0.1 * ticks, leave, leave + gone, back, float(ticks)]
    values = [start, start, outside, outside, inside, inside]
    return smoothed(np.interp(np.arange(ticks), knots, values), 3.0)


@dataclass(frozen=True)
class CameraPath:
    """Where the camera looks.

    Attributes:
        mode: ``static``, ``hand``, ``pan`` or ``follow``.
        center_xy: ``[T,2]`` centre of the view, world pixels.
        zoom: ``[T]`` at least 1.
        sway: ``[T]`` sideways movement of the camera itself; near things shift by it.
    """

    mode: str
    center_xy: Track
    zoom: Track
    sway: Track


@dataclass(frozen=True)
class CameraRoom:
    """How far the view may move: its centre at rest and the largest shift along x and y."""

    home_xy: tuple[float, float]
    reach_xy: tuple[float, float]


def camera_path(
    rng: np.random.Generator, mode: str, room: CameraRoom, *, target: Track, zoom: float
) -> CameraPath:
    """A camera's path, given where the target goes (``[T,2]``, which only ``follow`` uses)."""
    ticks = len(target)
    shift = np.zeros((ticks, 2))
    if mode == "pan":
        shift[:, 0] = wander(rng, ticks, 1.6 * room.reach_xy[0], 50)
        shift[:, 1] = wander(rng, ticks, 0.6 * room.reach_xy[1], 50)
    if mode == "follow":
        seen = smoothed(target, 12.0)
        shift[:, 0] = seen[:, 0] - room.home_xy[0] + wander(rng, ticks, 25, 30)
    if mode in ("hand", "follow"):
        shake = rng.normal(0, 1.0, (ticks, 2))
        shift += smoothed(shake, 1.5) * rng.uniform(0.8, 2.5) + smoothed(shake, 6) * 6
    limit = np.array(room.reach_xy)
    sway = {"static": 0.0, "hand": 2.0, "pan": 12.0, "follow": 12.0}[mode]
    pace = wander(rng, ticks, sway, 40)
    curve = 1 + (zoom - 1) * 0.5 * (1 - np.cos(wander(rng, ticks, np.pi, ticks / 2)))
    return CameraPath(mode, np.array(room.home_xy) + np.clip(shift, -limit, limit), curve, pace)
