"""The picture book of the synthetic world: every shape, hour, occluder and event, as sheets.

    python -m benchmarks.synthetic_pictures docs/pictures

Left of each pair is RGB, right is TIR (counts stretched to their 1 to 99 % range). Boxes are the
exact ones of the target.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tirtrack.files import atomic_path
from tirtrack.synthetic import (
    SyntheticSequence,
    WorldSettings,
    draw_plan,
    render_plan,
)
from tirtrack.synthetic.materials import DAYLIGHTS, draw_light
from tirtrack.synthetic.plan import Prop, ScenePlan
from tirtrack.synthetic.shapes import KINDS
from tirtrack.thermal import to_display

SEED = 5
GREEN = (60, 255, 90)
EIGHT_BIT = WorldSettings(sixteen_bit_share=0.0, black_hot_share=0.0, leave_share=0.0)
STILL = EIGHT_BIT.model_copy(update={"camera_weights": (1.0, 0.0, 0.0, 0.0)})
PROPS = ("tree", "bush", "pole", "wall", "pipe", "glass", "smoke", "parked")


def _tile(picture: np.ndarray, box: np.ndarray, label: str) -> np.ndarray:
    image = Image.fromarray(to_display(picture) if picture.dtype == np.uint16 else picture)
    image = image.convert("RGB")
    draw = ImageDraw.Draw(image)
    if np.isfinite(box).all():
        x, y, w, h = box
        draw.rectangle([x - 1, y - 1, x + w, y + h], outline=GREEN)
    draw.text((4, 2), label, fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(image)


def _both(sequence: SyntheticSequence, frame: int, label: str) -> np.ndarray:
    """RGB and TIR of one frame, side by side."""
    facts = sequence.facts
    if sequence.rgb is None or facts.boxes_rgb is None:
        raise ValueError("the sequence was rendered without RGB")
    left = _tile(sequence.rgb[frame], facts.boxes_rgb[frame], label)
    return np.concatenate([left, _tile(sequence.tir[frame], facts.boxes_tir[frame], "TIR")], axis=1)


def _sheet(pairs: Iterable[np.ndarray], columns: int) -> Image.Image:
    """Pairs in rows, at three quarters of their size."""
    tiles = list(pairs)
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.concatenate(tiles[k : k + columns], 1) for k in range(0, len(tiles), columns)]
    image = Image.fromarray(np.concatenate(rows, 0))
    size = (image.width * 3 // 4, image.height * 3 // 4)
    return image.resize(size, Image.Resampling.LANCZOS)


def kinds() -> Image.Image:
    """Every kind of target, by day."""
    tiles = []
    for number, kind in enumerate(KINDS):
        sizes = {"target_height": (40.0, 80.0), "flyer_height": (20.0, 30.0)}
        large = STILL.model_copy(update={**sizes, "crossover_share": 0.0})
        plan = draw_plan((SEED, 1, number), 12, settings=large, kind=kind, daylight="sun")
        tiles.append(_both(render_plan(plan), 11, kind))
    return _sheet(tiles, 2)


def walk() -> Image.Image:
    """A walking person and a car, cut out of successive frames, both modalities."""
    rows = []
    for number, kind in ((0, "person"), (4, "vehicle")):
        near = STILL.model_copy(update={"target_height": (70.0, 90.0), "occluder_share": 0.0})
        plan = draw_plan((SEED, 2, number), 30, settings=near, kind=kind, daylight="overcast")
        sequence = render_plan(plan)
        for modality in ("rgb", "tir"):
            tiles = [_cut(sequence, frame, modality) for frame in range(0, 30, 3)]
            rows.append(np.concatenate(tiles, axis=1))
    return Image.fromarray(np.concatenate(rows, axis=0))


def _cut(sequence: SyntheticSequence, frame: int, modality: str) -> np.ndarray:
    pictures = sequence.rgb if modality == "rgb" else sequence.tir
    boxes = sequence.facts.boxes_rgb if modality == "rgb" else sequence.facts.boxes_tir
    if pictures is None or boxes is None:
        raise ValueError("the sequence was rendered without RGB")
    x, y, w, h = boxes[frame]
    side = 1.25 * max(w, h)
    left, top = x + w / 2 - side / 2, y + h / 2 - side / 2
    picture = pictures[frame]
    image = Image.fromarray(to_display(picture) if picture.dtype == np.uint16 else picture)
    area = (round(left), round(top), round(left + side), round(top + side))
    return np.asarray(image.convert("RGB").crop(area).resize((96, 96)))


def hours() -> Image.Image:
    """One scene under five lights: TIR does not change with them."""
    plan = draw_plan((SEED, 3, 8), 4, settings=STILL, kind="person", daylight="sun")
    tiles = []
    for daylight in DAYLIGHTS:
        lit = replace(plan, light=draw_light(plan.seed, daylight))
        tiles.append(_both(render_plan(lit), 3, daylight))
    cold = replace(plan.climate, air_kelvin=266.0, sun_heat=0.0)
    tiles.append(_both(render_plan(replace(plan, climate=cold)), 3, "sun, frost"))
    return _sheet(tiles, 2)


def _hidden(plan: ScenePlan, kind: str) -> ScenePlan:
    x, y = plan.actors[0].feet[plan.ticks[-1]]
    tall = {"tree": 3.0, "pole": 2.4}.get(kind, 1.25) * plan.actors[0].body.height_m
    return replace(plan, occluders=(Prop(kind, float(x) + 6, float(y) + 2, tall),))


def occluders() -> Image.Image:
    """What stands in front: glass hides from heat only, smoke from light only."""
    near = STILL.model_copy(
        update={"target_height": (55.0, 75.0), "crossover_share": 0.0, "distractor_share": 0.0}
    )
    tiles = []
    for number, kind in enumerate(PROPS):
        hour = "sun" if number % 2 else "overcast"
        plan = draw_plan((SEED, 4, number % 3), 8, settings=near, kind="person", daylight=hour)
        tiles.append(_both(render_plan(_hidden(plan, kind)), 7, kind))
    return _sheet(tiles, 2)


def events() -> Image.Image:
    """Crossover, distractors, both gain controls, inverted polarity, counts, a target leaving."""
    share = {"occluder_share": 0.0, "distractor_share": 0.0, "crossover_share": 0.0}
    cases: Sequence[tuple[str, int, dict[str, object]]] = (
        ("crossover", 0, {"crossover_share": 1.0}),
        ("distractors", 3, {"distractor_share": 1.0}),
        ("percentile gain", 2, {"plateau_share": 0.0}),
        ("plateau gain", 2, {"plateau_share": 1.0}),
        ("black-hot", 2, {"plateau_share": 1.0, "black_hot_share": 1.0}),
        ("16-bit counts", 2, {"sixteen_bit_share": 1.0}),
        ("leaving", 5, {"leave_share": 1.0}),
        ("other views", 7, {"camera_weights": (0.0, 0.0, 0.0, 1.0)}),
    )
    tiles = []
    for label, number, changes in cases:
        settings = STILL.model_copy(update={**share, "target_height": (40.0, 70.0), **changes})
        plan = draw_plan((SEED, 5, number), 60, settings=settings, kind="person")
        sequence = render_plan(plan)
        tiles.append(_both(sequence, _telling_frame(sequence), label))
    return _sheet(tiles, 2)


def _telling_frame(sequence: SyntheticSequence) -> int:
    """The smallest contrast of a crossover, half way out when leaving, else a late frame."""
    facts = sequence.facts
    if sequence.plan.crossover_x is not None:
        return int(np.nanargmin(np.abs(facts.difference_kelvin)))
    partly = facts.frame_attributes["out_of_view"] & ~facts.absent
    return int(np.flatnonzero(partly)[0]) if partly.any() else 40


SHEETS = {
    "kinds": kinds,
    "walk": walk,
    "hours": hours,
    "occluders": occluders,
    "events": events,
}


def main() -> None:
    """Write every sheet."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.synthetic_pictures", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=sorted(SHEETS))
    asked = parser.parse_args()
    for name, make in SHEETS.items():
        if asked.only in (None, name):
            path = asked.folder / f"synthetic_{name}.jpg"
            with atomic_path(path) as partial:
                make().save(partial, quality=88)
            print(path)


if __name__ == "__main__":
    main()
