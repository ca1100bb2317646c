"""Things that stand still: trees, houses, lamps, walls, pipes, panes, smoke, parked cars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tirtrack.synthetic import materials as stuff
from tirtrack.synthetic.actors import draw_look
from tirtrack.synthetic.easel import Easel, Paints
from tirtrack.synthetic.materials import Material, varied
from tirtrack.synthetic.plan import WIDTH_OF
from tirtrack.synthetic.shapes import Body, vehicle

Array = NDArray[np.float32]

BORDER = 3
"""Empty pixels round a prop's picture, so that it can be resampled at its edges."""


@dataclass(frozen=True)
class Art:
    """A prop's picture; ``foot_xy`` is the pixel of it that stands on the ground."""

    easel: Easel
    foot_xy: tuple[float, float]


@dataclass(frozen=True)
class _Sheet:
    """An empty sheet for one prop: height and width of the thing itself, and its random stream."""

    easel: Easel
    width: float
    height: float
    rng: np.random.Generator

    def box(self, x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        """A box in shares of the thing (y from the top) as pixels of the sheet."""
        return (
            BORDER + x * self.width, BORDER + y * self.height, w * self.width, h * self.height,
        )  # fmt: skip

    def grid(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Coordinates of the pixels in shares of the thing: x across, y from the top."""
        y, x = np.mgrid[0 : self.easel.shape[0], 0 : self.easel.shape[1]].astype(np.float32)
        return (x + 0.5 - BORDER) / self.width, (y + 0.5 - BORDER) / self.height


def _crown(sheet: _Sheet, *, top: float, bottom: float, leaf: Material) -> None:
    x, y = sheet.grid()
    middle, half = (top + bottom) / 2, (bottom - top) / 2
    radius = ((x - 0.5) / 0.5) ** 2 + ((y - middle) / half) ** 2
    lumps = sheet.easel.paints.light.patch(*sheet.easel.shape, 2)
    leaves = sheet.easel.paints.light.patch(*sheet.easel.shape, 1)
    mask = np.clip(6 * (0.95 - radius + 0.22 * lumps + 0.12 * leaves), 0, 1).astype(np.float32)
    inside = (np.abs(x - 0.5) < 0.5) & (y > 0) & (y < 1)
    mask *= inside
    sheet.easel.fill(mask, leaf)
    shading = np.clip(1.3 - 0.8 * (y - top) / (bottom - top) + 0.2 * lumps, 0.3, 1.6)
    sheet.easel.reflectance *= 1 + mask * (shading - 1)


def _leaf(rng: np.random.Generator) -> Material:
    return varied(stuff.AUTUMN if rng.random() < 0.15 else stuff.LEAVES, rng)


def _tree(sheet: _Sheet) -> None:
    thick = float(sheet.rng.uniform(0.07, 0.14))
    sheet.easel.rectangle(
        sheet.box(0.5 - thick / 2, 0.5, thick, 0.5), varied(stuff.BARK, sheet.rng)
    )
    _crown(sheet, top=0.0, bottom=float(sheet.rng.uniform(0.6, 0.85)), leaf=_leaf(sheet.rng))


def _bush(sheet: _Sheet) -> None:
    _crown(sheet, top=0.0, bottom=1.25, leaf=_leaf(sheet.rng))


def _pole(sheet: _Sheet) -> None:
    material = stuff.METAL if sheet.rng.random() < 0.6 else stuff.BARK
    sheet.easel.rectangle(sheet.box(0.1, 0.0, 0.8, 1.0), varied(material, sheet.rng))


def _lamp(sheet: _Sheet) -> None:
    sheet.easel.rectangle(sheet.box(0.35, 0.04, 0.3, 0.96), varied(stuff.METAL, sheet.rng))
    sheet.easel.rectangle(sheet.box(0.0, 0.0, 1.0, 0.05), stuff.LAMP_HEAD)


def _wall(sheet: _Sheet) -> None:
    kind = stuff.COLD_WALL if sheet.rng.random() < 0.5 else stuff.BRICK
    sheet.easel.rectangle(sheet.box(0, 0, 1, 1), varied(kind, sheet.rng))
    sheet.easel.rectangle(sheet.box(0, 0, 1, 0.06), varied(stuff.CONCRETE, sheet.rng))


def _fence(sheet: _Sheet) -> None:
    material = varied(stuff.METAL if sheet.rng.random() < 0.5 else stuff.BARK, sheet.rng)
    for x in np.arange(0, 1, 0.06):
        sheet.easel.rectangle(sheet.box(float(x), 0, 0.012, 1), material)
    for y in (0.12, 0.75):
        sheet.easel.rectangle(sheet.box(0, y, 1, 0.06), material)


def _pipe(sheet: _Sheet) -> None:
    steel = varied(stuff.METAL, sheet.rng)
    for x in (0.12, 0.5, 0.86):
        sheet.easel.rectangle(sheet.box(x, 0.3, 0.03, 0.7), steel)
    hot = replace(stuff.HOT_PIPE, kelvin=float(sheet.rng.uniform(6, 25)))
    sheet.easel.rectangle(sheet.box(0, 0.0, 1, 0.4), hot)


def _glass(sheet: _Sheet) -> None:
    """A pane: visible light goes through, heat does not."""
    sheet.easel.rectangle(sheet.box(0, 0, 1, 1), varied(stuff.GLASS, sheet.rng))
    sheet.easel.light_cover *= 0.16
    for box in ((0, 0, 1, 0.03), (0, 0, 0.03, 1), (0.97, 0, 0.03, 1), (0, 0.97, 1, 0.03)):
        sheet.easel.rectangle(sheet.box(*box), stuff.METAL)


def _smoke(sheet: _Sheet) -> None:
    """A plume: heat goes through, visible light does not."""
    x, y = sheet.grid()
    lumps = sheet.easel.paints.light.patch(*sheet.easel.shape, 3)
    radius = ((x - 0.5) / 0.48) ** 2 + ((y - 0.5) / 0.5) ** 2
    mask = np.clip(1.5 * (1.0 - radius + 0.2 * lumps), 0, 0.92).astype(np.float32)
    mask *= (np.abs(x - 0.5) < 0.5) & (np.abs(y - 0.5) < 0.5)
    grey = float(sheet.rng.uniform(0.3, 0.7))
    sheet.easel.fill(mask, Material((grey, grey, grey), 0.06, 1.5, 0.0, 0.2, 3))
    sheet.easel.heat_cover *= 0.05


def _parked(sheet: _Sheet) -> None:
    """A car that has stood for a while: the shapes of the moving ones, without their heat."""
    rng, climate = sheet.rng, sheet.easel.paints.climate
    look = draw_look(rng, "vehicle", climate)
    body = Body(2.0, 1.0, int(rng.integers(3)), 1.0)
    parts = vehicle(body, 0.0, 0.0)
    tall = max(float(part.points[:, 1].max()) for part in parts)
    scale = sheet.height / tall
    sign = float(rng.choice([-1.0, 1.0]))
    for part in parts:
        surface = look.surfaces[part.surface]
        cold = (
            0.15 * (surface.apparent_kelvin - climate.air_kelvin) if part.surface != "paint" else 0
        )
        material = Material(surface.reflectance, 0.08, float(cold), 2.0, 0.25, 2, 0.92)
        x = BORDER + sheet.width / 2 + sign * scale * part.points[:, 0]
        y = BORDER + sheet.height - scale * part.points[:, 1]
        sheet.easel.polygon(np.stack([x, y], axis=1), material)


def _house(sheet: _Sheet) -> None:
    rng = sheet.rng
    roof = float(rng.choice([0.0, 0.04, 0.2]))
    sheet.easel.rectangle(
        sheet.box(0, roof, 1, 1 - roof), varied(stuff.WALLS[int(rng.integers(3))], rng)
    )
    if roof > 0.1:
        x, y, w, h = sheet.box(0, 0, 1, roof)
        corners = [(x, y + h), (x + 0.12 * w, y), (x + 0.88 * w, y), (x + w, y + h)]
        sheet.easel.polygon(np.array(corners, dtype=np.float64), varied(stuff.ROOF, rng))
    rows, columns = int(rng.integers(2, 5)), int(rng.integers(3, 7))
    pane = varied(stuff.GLASS, rng)
    for row in range(rows):
        for column in range(columns):
            lit = rng.random() < 0.3
            glow = (0.55, 0.42, 0.2) if lit else stuff.BLACK
            window = replace(pane, glow=glow, kelvin=pane.kelvin + float(rng.normal(0.5, 1.2)))
            y = roof + (1 - roof) * (row + 0.25) / rows
            x = (column + 0.25) / columns
            sheet.easel.rectangle(sheet.box(x, y, 0.5 / columns, 0.5 * (1 - roof) / rows), window)


_PAINTERS: dict[str, Callable[[_Sheet], None]] = {
    "tree": _tree,
    "bush": _bush,
    "pole": _pole,
    "lamp": _lamp,
    "wall": _wall,
    "fence": _fence,
    "pipe": _pipe,
    "glass": _glass,
    "smoke": _smoke,
    "parked": _parked,
    "house": _house,
}


def paint_prop(kind: str, height_px: float, paints: Paints, rng: np.random.Generator) -> Art:
    """A prop's picture, ``height_px`` tall, lit later."""
    height_px = max(height_px, 3.0)
    width_px = max(height_px * WIDTH_OF[kind], 1.5)
    shape = int(np.ceil(height_px)) + 2 * BORDER, int(np.ceil(width_px)) + 2 * BORDER
    easel = Easel(*shape, paints)
    _PAINTERS[kind](_Sheet(easel, width_px, height_px, rng))
    for cover in (easel.light_cover, easel.heat_cover):
        cover[: BORDER - 1], cover[:, : BORDER - 1], cover[:, 1 - BORDER :] = 0, 0, 0
        cover[1 - BORDER :] = 0
    return Art(easel, (BORDER + width_px / 2, BORDER + height_px))
