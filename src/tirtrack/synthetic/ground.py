"""The ground plane: patches, roads, marks that only one modality sees."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tirtrack.synthetic import materials as stuff
from tirtrack.synthetic.easel import Easel, Paints
from tirtrack.synthetic.materials import Material, varied
from tirtrack.synthetic.plan import FOCAL_PX, ScenePlan
from tirtrack.synthetic.textures import stream

Array = NDArray[np.float32]


class _Ground:
    """The easel, and where each of its pixels lies on the plane.

    Attributes:
        across: ``[H,W]`` position along x, in pixels of the row where the scale is known.
        away: ``[H]`` distance, in the same pixels.
        depth: ``[H]`` scale relative to that row.
        cover: ``[H,W]`` 1 below the horizon.
    """

    def __init__(self, plan: ScenePlan, paints: Paints) -> None:
        height, width = plan.canvas.height, plan.canvas.width
        self.plan, self.paints = plan, paints
        self.easel = Easel(height, width, paints)
        lens, y = plan.perspective, np.arange(height) + 0.5
        self.depth = np.maximum((y - lens.horizon_y) / (lens.ref_y - lens.horizon_y), 0.02)
        self.across = (np.arange(width)[None, :] - width / 2) / self.depth[:, None]
        self.away = FOCAL_PX / self.depth
        shown = np.clip(y - lens.horizon_y, 0, 1)[:, None].astype(np.float32)
        self.cover = np.repeat(shown, width, axis=1)
        self._near = np.clip(1.4 * self.depth, 0.35, 1.0)[:, None].astype(np.float32)

    def texture(self, *, heat: bool, grain: int) -> Array:
        """Noise on the plane, weaker in the distance."""
        bank = self.paints.heat if heat else self.paints.light
        lying = bank.on_ground(self.across, self.away, grain)
        fine = bank.patch(*self.easel.shape, 0)
        mixed: Array = self._near * (np.float32(0.75) * lying + np.float32(0.65) * fine)
        return mixed

    def lay(self, mask: Array, material: Material) -> None:
        """Put a material on the plane where ``mask [H,W]`` says."""
        whole = slice(0, self.easel.shape[0]), slice(0, self.easel.shape[1])
        light = self.texture(heat=False, grain=material.grain + 1)
        heat = self.texture(heat=True, grain=material.grain + 1)
        self.easel.lay(whole, mask * self.cover, material, light=light, heat=heat)

    def spot(
        self, x: float, y: float, half_width: float, half_height: float
    ) -> tuple[tuple[slice, slice], Array]:
        """A soft ellipse on the ground: the slices of the picture around it, its strength."""
        height, width = self.easel.shape
        top, bottom = max(int(y - half_height), 0), min(int(y + half_height) + 1, height)
        left, right = max(int(x - half_width), 0), min(int(x + half_width) + 1, width)
        part = slice(top, max(bottom, top)), slice(left, max(right, left))
        rows, columns = np.arange(height)[part[0], None], np.arange(width)[None, part[1]]
        radius = ((columns - x) / half_width) ** 2 + ((rows - y) / half_height) ** 2
        return part, (np.clip(1.3 * (1 - radius), 0, 1) * self.cover[part]).astype(np.float32)


def paint_ground(plan: ScenePlan, paints: Paints) -> Easel:
    """The near layer from the horizon down, nothing above it."""
    ground, rng = _Ground(plan, paints), stream(plan.seed, "ground")
    kinds = (stuff.SNOW, stuff.SNOW, stuff.SOIL) if plan.snow else stuff.GROUNDS
    first, second = (varied(kinds[int(rng.integers(len(kinds)))], rng) for _ in range(2))
    ground.lay(ground.cover, first)
    lumps = paints.light.on_ground(0.6 * ground.across, 0.6 * ground.away, 3)
    lumps = lumps + np.float32(0.5) * paints.light.on_ground(ground.across, ground.away, 2)
    lumps += np.float32(0.3) * paints.light.on_ground(ground.across, ground.away, 1)
    ground.lay(np.clip(1.2 * (lumps - np.float32(rng.uniform(0.2, 0.9))), 0, 1), second)
    _path(ground, rng)
    if plan.actors[0].kind == "vehicle" or rng.random() < 0.4:
        _road(ground, rng)
    _marks_of_heat(ground, rng)
    _marks_of_light(ground, rng)
    return ground.easel


def _road(ground: _Ground, rng: np.random.Generator) -> None:
    """A road across the picture, under the target's feet at the start, with lane marks."""
    plan, rows = ground.plan, np.arange(ground.easel.shape[0])[:, None]
    foot = float(plan.actors[0].feet[0, 1])
    scale = float(plan.perspective.scale(foot))
    flat = min(1.0, plan.perspective.camera_m / 12)
    half = max(10.0, scale * rng.uniform(2.0, 4.0) * flat)
    wide = np.broadcast_to(np.clip(half - np.abs(rows - foot), 0, 1), ground.easel.shape)
    ground.lay(wide.astype(np.float32), varied(stuff.ASPHALT, rng))
    thin = max(0.8, 0.12 * scale * flat)
    dashes = np.sin(ground.across * (2 * math.pi / (4.0 * plan.perspective.px_per_m))) > 0
    for offset, solid in ((0.0, False), (-half + 2 * thin, True), (half - 2 * thin, True)):
        line = np.clip(thin - np.abs(rows - foot - offset) + 0.5, 0, 1)
        mask = line * (1.0 if solid else dashes)
        ground.lay(np.broadcast_to(mask, ground.easel.shape).astype(np.float32), stuff.PAINT)


def _path(ground: _Ground, rng: np.random.Generator) -> None:
    """A path into the distance, straight on the plane, or none."""
    if rng.random() < 0.35:
        return
    ppm = ground.plan.perspective.px_per_m
    half = ppm * rng.uniform(0.8, 3.5)
    lean = rng.uniform(-0.8, 0.8)
    middle = rng.uniform(-0.3, 0.3) * ground.easel.shape[1] + lean * (ground.away - FOCAL_PX)
    inside = half - np.abs(ground.across - middle[:, None])
    kind = stuff.FLAT[str(rng.choice(list(stuff.FLAT)))]
    ground.lay(np.clip(inside, 0, 1).astype(np.float32), varied(kind, rng))
    if kind is stuff.PAVING:
        step = ppm * rng.uniform(0.5, 1.0)
        joints = (np.mod(ground.across, step) < 0.12 * step) | (
            np.mod(ground.away, step)[:, None] < 0.12 * step
        )
        shade = np.where(joints & (inside > 0), np.float32(0.72), np.float32(1.0))
        ground.easel.reflectance *= shade


def _marks_of_heat(ground: _Ground, rng: np.random.Generator) -> None:
    """Warm and cold places that RGB does not show: where a car stood, a drain, moist soil."""
    height, width = ground.easel.shape
    for _ in range(int(rng.integers(2, 7))):
        y = float(rng.uniform(0.3, 1.0) * height)
        scale = float(ground.plan.perspective.scale(y))
        wide = scale * rng.uniform(0.5, 2.4)
        part, spot = ground.spot(float(rng.uniform(0, width)), y, wide, max(2.0, 0.3 * wide))
        ground.easel.kelvin[part] += spot * np.float32(rng.normal(0, 2.0))


def _marks_of_light(ground: _Ground, rng: np.random.Generator) -> None:
    """Stains, paint and leaves at the temperature of the ground."""
    height, width = ground.easel.shape
    for _ in range(int(rng.integers(3, 10))):
        y = float(rng.uniform(0.3, 1.0) * height)
        scale = float(ground.plan.perspective.scale(y))
        wide = scale * rng.uniform(0.2, 1.2)
        part, spot = ground.spot(float(rng.uniform(0, width)), y, wide, max(1.5, 0.3 * wide))
        tint = rng.uniform(0.5, 1.7) * rng.normal(1.0, 0.1, 3)
        tinted = 1 + spot * (tint.astype(np.float32)[:, None, None] - 1)
        ground.easel.reflectance[(slice(None), *part)] *= tinted
